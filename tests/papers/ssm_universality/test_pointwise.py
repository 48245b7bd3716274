"""Element-wise functions by two layers: constructions against their theory, and what training may not do."""

import itertools
import math

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn import SSM
from curse_of_memory.papers.ssm_universality import pointwise as paper
from curse_of_memory.papers.ssm_universality._two_layer_stacks import TwoLayers, without_memory

EPS = np.finfo(float).eps


@pytest.fixture(scope="module")
def data():
    return paper.data(widths=(1, 2, 4, 8, 16), trained_widths=(1, 16), seeds=3, draws=5, steps=200, horizon=4)


def test_every_kind_has_its_widths_and_seeds(data):
    counts = data.table.groupby(["function", "kind"]).size().unstack("function")
    expected = {paper.KNOTS: 5, paper.RANDOM: 25, paper.FLOOR: 5, paper.FREE: 6}
    expected |= dict.fromkeys(paper.TRAINED, 6)
    assert all((counts.loc[kind] == count).all() for kind, count in expected.items())
    assert counts.index.size == len(expected)


def test_a_layer_without_memory_answers_each_step_alone_and_stays_so():
    layer = without_memory(3, output_size=2, seed=0, dtype=torch.float64)
    x = torch.randn(2, 5, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    alone = layer(x.reshape(10, 1, 1)).reshape(2, 5, 2)
    # W h is 0 · h: nothing but the order of two sums differs
    torch.testing.assert_close(layer(x), alone, rtol=4 * EPS, atol=4 * EPS)
    assert not layer.recurrent_weight.requires_grad


def test_the_stack_is_its_formula():
    model = paper._stack(4, "tanh", 1)
    x = torch.linspace(-1, 1, 9, dtype=torch.float64)
    u, b = model.first.input_weight[:, 0], model.first.get_parameter("bias")
    expected = torch.tanh(x[:, None] * u + b) @ model.readout + model.second.get_parameter("bias")
    torch.testing.assert_close(model(x[:, None, None])[:, 0, 0], expected, rtol=0, atol=16 * EPS)


def test_two_relu_units_in_two_layers_are_the_modulus():
    model = TwoLayers(without_memory(2, output_size=2, bias=False, dtype=torch.float64), "relu", seed=0)
    with torch.no_grad():
        model.first.input_weight[:, 0] = torch.tensor([1.0, -1.0])
        model.first.output_weight.copy_(torch.eye(2))
        model.readout[:] = 1.0
    x = torch.linspace(-1, 1, 11, dtype=torch.float64)[None, :, None]
    assert torch.equal(model(x), x.abs())


def test_the_floor_is_that_of_trying_all_pieces():
    """With a least-squares line for each run, all places where runs can begin, for every number of them."""
    x = np.linspace(-1, 1, 9)
    f = np.sin(3 * x) + 0.3 * np.random.default_rng(0).standard_normal(9)

    def rest(i, j):
        design = np.stack([x[i:j], np.ones(j - i)], 1)
        return np.square(f[i:j] - design @ np.linalg.lstsq(design, f[i:j])[0]).sum()

    tried = [
        min(
            sum(rest(i, j) for i, j in itertools.pairwise((0, *cuts, 9)))
            for cuts in itertools.combinations(range(1, 9), pieces - 1)
        )
        for pieces in (1, 2, 3, 4)
    ]
    found = paper.piecewise_linear_floor(x, f, 4) ** 2
    # what is taken off for rounding, and no more
    np.testing.assert_allclose(found, tried / (f @ f), rtol=0, atol=1.1 * paper.ROUNDING)


def test_equal_knots_follow_the_law_of_splines():
    """Corrections are of relative order h², here (6/16)², and the knots at the two ends."""
    x = -1 + (2 * np.arange(2000) + 1) / 2000
    f = np.sin(3 * x)
    errors = {
        m: paper._least_squares(x, f, "relu", np.ones(m), 1 - 2 * np.arange(m) / m) for m in (16, 32, 64)
    }
    away = [abs(m**2 * error / paper.LAW - 1) for m, error in errors.items()]
    assert away[0] < 0.03
    assert away[0] > away[1] > away[2]


def test_the_modulus_is_exact_with_two_units_and_not_with_one(data):
    exact = paper.medians(data.table).loc["|x|", paper.KNOTS]
    assert exact[1] > 0.1
    assert (exact[[2, 4, 8, 16]] < paper.EXACT).all()


def test_no_relu_stack_is_below_the_floor(data):
    floors = paper.medians(data.table)[paper.FLOOR]
    stacks = data.table[data.table.kind.isin([paper.KNOTS, "ReLU, trained"])]
    least = floors.loc[list(zip(stacks.function, stacks.width, strict=True))].to_numpy()
    assert (stacks.error >= least).all()
    assert floors.to_dict()["sin(3x)", 16] > 1e-3


def test_constructions_get_better_with_the_width(data):
    found = paper.medians(data.table).unstack("function")
    assert isinstance(found, pd.DataFrame)
    assert (np.diff(found[paper.RANDOM], axis=0) < 0).all()
    assert (np.diff(found[paper.KNOTS].loc[[2, 4, 8, 16], "sin(3x)"]) < 0).all()


def test_training_gets_better_with_the_width_and_is_easier_without_memory(data):
    found = paper.medians(data.table).unstack("function")
    assert isinstance(found, pd.DataFrame)
    for kind in paper.TRAINED:
        assert (found[kind].loc[16] < found[kind].loc[1] / 3).all()
    assert (found["ReLU, trained"].loc[16] < found[paper.FREE].loc[16]).all()


def test_the_spread_is_over_the_trainings(data, expect_spread):
    rows = data.table[(data.table.function == "|x|") & (data.table.width == 16)]
    for kind in (*paper.TRAINED, paper.FREE):
        expect_spread(data, f"|x|, m = 16, {kind}", rows[rows.kind == kind].error)
    assert len(data.spread) == 2 * 3


def test_the_share_of_the_past_is_that_of_a_geometric_sum():
    """ŷ = Σ zˢ x_{k−s} over four steps: all but one part of 1 + z² + z⁴ + z⁶ is the past."""
    first = SSM(1, initial=[-0.5], discretization="euler", bias=False, dtype=torch.float64)
    with torch.no_grad():
        first.input_weight.fill_(1.0)
        first.output_weight.fill_(1.0)
    task = paper.Pointwise(lambda x: x, 4)
    _, past = paper._error_and_past(first, task, 0)
    powers = 0.25 ** np.arange(4)
    # a share from 4096 pairs, whose squares have a relative spread of about √2
    assert past == pytest.approx(1 - powers[0] / powers.sum(), rel=5 * math.sqrt(2 / 4096))


def test_the_past_is_only_in_stacks_that_may_remember(data):
    free = data.table[data.table.kind == paper.FREE]
    assert free.past.between(1e-12, 0.5).all()
    assert (data.table[data.table.kind.isin(list(paper.TRAINED))].past == 0).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (0,)}, "widths must be at least 1"),
        ({"widths": (200,)}, "widths must be below half of points"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"draws": 0}, "draws must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        paper.data(**arguments)


def test_unknown_nonlinearities_are_refused():
    with pytest.raises(ValueError, match="did you mean 'tanh'"):
        TwoLayers(without_memory(2), "tan", seed=0)


def test_pictures_are_drawn_of_much_and_of_little(data):
    figure = paper.plot(data)
    assert [axis.get_xlabel() for axis in figure.axes[1:]] == ["width $m$ (units)"] * 2
    plt.close(figure)
    little = paper.data(widths=(2,), trained_widths=(2,), seeds=1, draws=1, steps=1)
    plt.close(paper.plot(little))
