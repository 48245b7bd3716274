"""Figure 12: a transformer without positions keeps an impulse like 1/t, and a step not at all."""

import numpy as np
import pytest
from torch import nn

from curse_of_memory.measure import memory_function
from curse_of_memory.papers.inverse_approximation import transformer_memory as iat
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import TeacherFilter, random_transformer
from curse_of_memory.theory.decay import decay

SMALL = {"transformers": 2, "lags": 100, "widths": (2, 4), "horizon": 15, "steps": 30, "batch_size": 32}
SMALL |= {"draws": 3, "samples": 64, "seeds": 2, "device": "cpu"}


@pytest.fixture(scope="module")
def figure12():
    return iat.data(**SMALL)


@pytest.mark.parametrize("seed", range(4))
def test_an_impulse_is_kept_as_the_weights_say(seed):
    model = random_transformer(16, 1, 32, seed).double()
    memory = memory_function(model, 2001, probe="impulse", device="cpu").values
    law = iat.impulse_law(model)(np.arange(2001))
    assert np.isnan(law[0])
    off = np.abs(memory[1:] / law[1:] - 1)
    # the law is of first order in 1/t: what it is off by halves when t doubles
    assert off[999] < 0.01
    assert off[1999] == pytest.approx(off[999] / 2, rel=0.05)


def test_the_law_is_a_power_of_exponent_one(figure12):
    impulses = figure12.table[figure12.table.probe == "impulse"]
    for _, curve in impulses.groupby("teacher"):
        law = decay(curve.memory.values)
        assert law.kind == "polynomial"
        assert law.exponent == pytest.approx(1, abs=0.05)


def test_a_step_is_not_kept(figure12):
    steps = figure12.table[figure12.table.probe == "heaviside"]
    first = steps[steps.lag == 0].memory
    # averages of equal vectors: a few roundings of numbers of order one
    assert (steps[steps.lag > 0].memory < 1e-14).all()
    assert (first > 1e-3).all()


class Filter(nn.Module):
    """y_k = x_k + a x_{k−1}: the past decides a² of 1 + a², but nothing of the first."""

    def __init__(self, a):
        super().__init__()
        self.a = a

    def forward(self, x):
        return x + self.a * nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]


@pytest.mark.parametrize("a", [0.0, 0.5, 3.0])
def test_the_share_of_the_past(a):
    found = iat.past_share(TeacherFilter(Filter(a), 5), seed=0)
    late = 4 / 5
    share = late * a**2 / (1 + late * a**2)
    # mean and variance over 4096 pairs: 5 standard errors of each
    assert found == pytest.approx(share, abs=10 * share * np.sqrt(2 / 4096))


def test_students_miss_the_function_of_the_present(figure12):
    share = figure12.headline["share of the variance of the target that the past decides"]
    assert 0 < share < 0.01
    students = figure12.table[(figure12.table.panel == "students") & (figure12.table.beta == 0)]
    assert (students.error > 10 * share).all()
    least = figure12.headline["error of the widest in the function of the present input, at least"]
    assert 0 < least < students.error.max()


def test_the_spread_is_over_the_students(figure12, expect_spread):
    students = figure12.table[(figure12.table.panel == "students") & (figure12.table.beta == 0)]
    errors = students.set_index(["m", "seed"]).error
    expect_spread(figure12, "E_2(0) over the variance", errors[2])
    ratios = [errors[4, seed] / errors[2, seed] for seed in (0, 1)]
    expect_spread(figure12, "E(0), widest over narrowest students", ratios)
    share = figure12.headline["share of the variance of the target that the past decides"]
    present = [(np.sqrt(errors[4, seed]) - np.sqrt(share)) ** 2 for seed in (0, 1)]
    expect_spread(figure12, "error of the widest in the function of the present input, at least", present)
    assert len(figure12.spread) == 4  # with E_4(0)


def test_the_logs_stand_beside_it_with_their_true_widths(figure12):
    logs = figure12.table[figure12.table.panel == "authors"]
    rest = logs[logs.beta == 0].set_index("m")
    assert rest.label.dropna().to_dict() == {32: 8, 64: 16, 128: 32, 256: 64}
    # the remark of the paper on m = 64, worse than 16 and 32, is one on m = 256
    assert rest.error[256] > rest.error[64] > rest.error[128]
    assert len(logs) == len(reference("inverse_approximation/figure12"))


def test_axes_say_what_they_are(figure12):
    figure = iat.plot(figure12)
    memory, ours, theirs = figure.axes
    assert memory.get_xscale() == memory.get_yscale() == "log"
    legend = memory.get_legend()
    assert legend is not None
    assert "step" in legend.get_title().get_text()
    for axis in (ours, theirs):
        assert "beta" in axis.get_xlabel()
    labels = theirs.get_legend_handles_labels()[1]
    assert labels[0] == "$m=8$ (not in the paper)"
    assert labels[-1] == "$m=256$ (paper: 64)"


def test_bad_arguments():
    with pytest.raises(ValueError, match="one head"):
        iat.impulse_law(random_transformer(8, 2, 8, 0))
    with pytest.raises(ValueError, match="one input channel"):
        iat.impulse_law(random_transformer(8, 1, 8, 0, input_size=2))
    with pytest.raises(ValueError, match="widths must be at least two different"):
        iat.data(widths=(4,))
    with pytest.raises(ValueError, match="transformers"):
        iat.data(transformers=0)
