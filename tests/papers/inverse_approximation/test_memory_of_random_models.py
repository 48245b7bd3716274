"""The memory of random models: measured as the library does, with the slopes of the theory."""

import numpy as np
import pytest

from curse_of_memory.experiments.random_models import agreement
from curse_of_memory.experiments.random_stacks import STACKS
from curse_of_memory.measure import memory_function
from curse_of_memory.papers.inverse_approximation import memory_of_random_models as figure

SMALL = {"width": 8, "seeds": 3, "layers": (1, 2)}


@pytest.fixture(scope="module")
def data():
    return figure.data(**SMALL, s4d_layers=(1, 2), models=("GRU", "S4D"), s4d_horizon=6000)


def test_memories_of_the_table_are_those_of_the_library(data):
    models = [STACKS["GRU"](8, 2, seed) for seed in range(3)]
    measured = np.stack([memory_function(m, 120, probe="impulse", device="cpu").values for m in models])
    rows = data.table.query("panel == 'memory' and model == 'GRU' and layers == 2 and probe == 'impulse'")
    some = rows.dropna(subset=["median"])
    assert len(some) > 30
    np.testing.assert_array_equal(some["median"], np.sort(measured, 0)[1][some.lag.astype(int)])


def test_slopes_are_those_of_the_theory(data):
    """The rest of the spectrum shifts a slope on a window; by how much was seen with twenty models."""
    assert agreement(data.table).ratio.between(0.8, 1.5).all()


def test_the_spread_is_over_the_models(data, expect_spread):
    rates = data.table.query("panel == 'rate' and model == 'GRU' and layers == 2 and probe == 'impulse'")
    expect_spread(data, "rate per step, GRU, layers 2, impulse", rates.rate)
    expect_spread(data, "over that of the theory, GRU, layers 2, impulse", rates.rate / rates.predicted)
    assert set(data.spread) == set(data.headline)


def test_early_slopes_of_s4d_are_steeper(data):
    found = agreement(data.table).xs("S4D", level="model")
    assert found.early.mean() > 1.2 * found.ratio.mean()
    assert "Within the paper's 2000 steps" in data.message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ("RNNs",)}, "did you mean 'RNN'"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"layers": (0,)}, "layers must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"horizon": 0}, "must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        figure.data(**({"models": ("RNN",), "layers": (1,)} | arguments))


def test_pictures_are_drawn_of_much_and_of_little(data):
    figure.plot(data)
    figure.plot(figure.data(models=("RNN",), layers=(1,), seeds=1, width=1, horizon=8))
