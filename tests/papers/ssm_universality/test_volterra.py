"""Volterra functionals by two layers: exact errors against sampled ones, and widths against horizons."""

import math

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from curse_of_memory.papers.ssm_universality import volterra as paper
from curse_of_memory.tasks import VolterraFunctional
from curse_of_memory.theory import second_order_kernels as kernels

EPS = np.finfo(float).eps


@pytest.fixture(scope="module")
def data():
    return paper.data(
        widths=(1, 2, 3),
        horizons=(16, 64, 256),
        trained_widths=(2,),
        trained_horizons=(16, 64),
        seeds=2,
        steps=200,
    )


@pytest.fixture(scope="module")
def found(data):
    return paper.medians(data.table)


def test_every_kind_has_its_widths_horizons_and_seeds(data):
    counts = data.table.groupby(["kernel", "kind"]).size()
    for name in kernels.KERNELS:
        assert counts[name, paper.SQUARES] == counts[name, paper.STATES] == 9
        assert counts[name, paper.TRAINED] == 4
    assert counts["product", paper.POLARISED] == 3


@pytest.mark.parametrize("horizon", [16, 128, 1024])
def test_two_squares_by_polarisation_are_the_product(horizon):
    """The stack's answers against products of convolutions by FFT."""
    K = kernels.kernel_values("product", horizon)
    t = np.arange(horizon) * kernels.DURATION / horizon
    scale = K[0, 0] / kernels.KERNELS["product"](np.zeros(()), np.zeros(()))
    a, b = (np.exp(-rate * t) for rate in kernels.PRODUCT_RATES)
    x, y = VolterraFunctional(horizon, second=[(scale * a, b)]).sample(4, seed=0, dtype=torch.float64)
    answers = paper.polarised(K)(x)
    # sums of T terms in two orders, squares of up to some ten standard deviations, which are one
    torch.testing.assert_close(answers, y, rtol=0, atol=100 * math.sqrt(horizon) * EPS)


@pytest.mark.parametrize("name", kernels.KERNELS)
def test_the_error_of_the_last_step_is_twice_the_square_of_the_kernels(name):
    """Sampled: Var(y − ŷ) = 2 |K − K̂|², and Var y = 1 by the scale of K."""
    K = kernels.kernel_values(name, 20)
    model = paper.stack(3, 20, 1)
    task = VolterraFunctional(20, second=K)
    x, y = task.sample(100_000, seed=0, dtype=torch.float64)
    with torch.no_grad():
        errors = (y - model(x))[:, -1, 0].numpy()
    expected = 2 * np.linalg.norm(K - paper.second_kernel(model, 20)) ** 2
    # a variance of N numbers of kurtosis at most 15 has the relative spread √(14/N)
    spread = math.sqrt(14 / 100_000)
    assert errors.var() == pytest.approx(expected, rel=4 * spread)
    assert y[:, -1].var().item() == pytest.approx(1, rel=4 * spread)


def test_states_are_above_squares_and_better_when_they_are_more(found):
    squares, states = (found.xs(kind, level="kind") for kind in (paper.SQUARES, paper.STATES))
    assert (states >= squares * (1 - 1e-9)).all()
    by_width = states.unstack("width")
    assert (by_width.diff(axis=1).iloc[:, 1:] <= 0).all(axis=None)


def test_two_states_hold_the_product_and_one_does_not(found):
    states = found["product", paper.STATES].unstack("horizon")
    assert (states.loc[1] > 0.1).all()
    # the error is the root of a difference of numbers of size one
    assert (states.loc[2] < 100 * math.sqrt(EPS)).all()
    assert (found["product", paper.POLARISED] < 1e-13).all()


@pytest.mark.parametrize("kind", [paper.SQUARES, paper.STATES])
def test_the_width_needed_does_not_depend_on_the_horizon(data, kind):
    for name in kernels.KERNELS:
        needed = paper.width_needed(data.table, name, kind)
        assert len(needed) == 3
        assert needed.nunique() == 1
    errors = paper.medians(data.table).loc["infinite rank", kind].unstack("horizon")
    # sums over lags against integrals: relative corrections of the order of the step, 1/8 at T = 64
    assert (errors[64] / errors[256]).between(0.8, 1.25).all()


def test_no_trained_stack_is_below_the_exact_bound(data, found):
    trained = data.table[data.table.kind == paper.TRAINED]
    for row in trained.itertuples():
        least = kernels.rank_errors(kernels.kernel_values(row.kernel, row.horizon))[row.width]
        assert row.error >= least
    # and training has begun to find them: far below a stack that says nothing
    assert (trained.groupby(["kernel", "horizon"]).error.min() < 0.3).all()


def test_the_spread_is_over_the_trainings(data, expect_spread):
    rows = data.table[(data.table.kind == paper.TRAINED) & (data.table.kernel == "infinite rank")]
    for T in (16, 64):
        expect_spread(data, f"infinite rank, m = 2, T = {T}, trained", rows[rows.horizon == T].error)
    assert set(data.spread) == {label for label in data.headline if label.endswith("trained")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": (0,)}, "widths must be at least 1"),
        ({"trained_widths": (0,)}, "trained_widths must be at least 1"),
        ({"widths": (2, 4)}, r"widths must hold 1, from where errors fall, got \[2, 4\]"),
        ({"horizons": (8,)}, "at least twice the largest width 5, got 8"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        paper.data(**arguments)


def test_every_panel_says_what_it_shows(data):
    figure = paper.plot(data)
    assert [axis.get_xlabel() for axis in figure.axes] == ["width $m$"] * 2 + ["horizon $T$ (steps)"]
    plt.close(figure)
    little = paper.data(
        widths=(1,), horizons=(16,), trained_widths=(1,), trained_horizons=(16,), seeds=1, steps=1
    )
    plt.close(paper.plot(little))
