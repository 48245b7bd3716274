"""Random stacks: rates against closed forms, and the claims of the two figures at a small size."""

import math

import numpy as np
import pytest
import torch
import xarray as xr

from curse_of_memory.experiments import random_models
from curse_of_memory.experiments.random_stacks import STACKS, fitted_slope, spread
from curse_of_memory.measure import linearised_rate, memory_function
from curse_of_memory.papers.inverse_approximation import memory_of_random_models
from curse_of_memory.papers.ssm_universality import exponential_decay
from curse_of_memory.theory.lemmas.layered_memory import LayeredMemory

SMALL = {"width": 8, "repeats": 3, "layers": (1, 2)}


@pytest.fixture(scope="module")
def memories():
    return memory_of_random_models.data(**SMALL, s4d_layers=(1, 2), models=("GRU", "S4D"), s4d_horizon=6000)


@pytest.fixture(scope="module")
def decays():
    return exponential_decay.data(**SMALL, models=("RNN", "LSTM", "SSM"))


def curve(values, floor=1e-16):
    return xr.DataArray(values, {"lag": np.arange(len(values))}, ["lag"], attrs={"noise_floor": floor})


def test_the_line_through_an_exponential_is_it():
    slope = fitted_slope(curve(3 * np.exp(-0.1 * np.arange(300))))
    assert slope.rate == pytest.approx(0.1, rel=1e-10)
    assert slope.r2 == pytest.approx(1, abs=1e-10)
    assert slope.level == pytest.approx(3 * np.exp(-0.1 * slope.start), rel=1e-10)
    # 3 e^{−0.1 t} is 1e-15 at t = 356: all lags are above the noise, and the second half of them counts
    assert (slope.start, slope.stop) == (149, 299)


def test_the_line_goes_through_the_peaks_of_what_oscillates_and_stops_at_the_noise():
    t = np.arange(400)
    slope = fitted_slope(curve(np.exp(-0.1 * t) * np.abs(np.cos(0.4 * t)) + 1e-13, floor=1e-13))
    # summits of parabolas through samples of a cosine: some parts in a thousand
    assert slope.rate == pytest.approx(0.1, rel=0.02)
    assert slope.stop <= math.log(1e12) / 0.1


def test_a_slope_of_nothing_is_none():
    assert math.isnan(fitted_slope(curve(np.zeros(20))).rate)


@pytest.mark.parametrize("layers", [1, 2, 3, 4])
def test_layers_take_from_the_slope_what_their_power_of_t_says(layers):
    """−d/dt log(t^{ℓ−1} e^{−βt}) = β − (ℓ − 1)/t, which on a window lies between its ends."""
    memory = LayeredMemory((0.05,) * layers).discrete(600)
    slope = fitted_slope(memory.assign_attrs(noise_floor=1e-300))
    beta = -math.log1p(-0.05)
    low, high = (beta - (layers - 1) / end for end in (slope.start, slope.stop))
    assert low - 1e-9 <= slope.rate <= high + 1e-9


def test_quantiles_are_over_models_and_leave_the_noise_out():
    curves = [curve(scale * 0.5 ** np.arange(10), floor=1e-3) for scale in range(1, 11)]
    found = spread(curves)
    for name, scale in {"low": 1, "median": 5, "high": 9}.items():
        expected = scale * 0.5 ** np.arange(10)
        np.testing.assert_array_equal(found[name], np.where(expected > 1e-2, expected, np.nan))


def test_memories_of_the_table_are_those_of_the_library(memories):
    models = [STACKS["GRU"](8, 2, seed) for seed in range(3)]
    measured = np.stack([memory_function(m, 120, probe="impulse", device="cpu").values for m in models])
    rows = memories.table.query("panel == 'memory' and model == 'GRU' and layers == 2 and probe == 'impulse'")
    some = rows.dropna(subset=["median"])
    assert len(some) > 30
    np.testing.assert_array_equal(some["median"], np.sort(measured, 0)[1][some.lag.astype(int)])


def test_slopes_are_those_of_the_theory(memories, decays):
    """The rest of the spectrum shifts a slope on a window; by how much was seen with twenty models."""
    assert random_models.agreement(memories.table).ratio.between(0.8, 1.5).all()
    assert random_models.agreement(decays.table).ratio.between(0.8, 1.2).all()
    assert (random_models.agreement(decays.table).r2 > 0.95).all()


def test_c0_is_the_rate_of_the_square(decays):
    model = STACKS["LSTM"](8, 1, 0)
    with torch.no_grad():
        y = model(torch.ones(1, 121, 1, dtype=torch.float64))[0, :, 0]
    rows = decays.table.query("model == 'LSTM' and layers == 1")
    rate = rows[rows.seed == 0]
    assert rate.predicted.item() == 2 * linearised_rate(model, (1.0,))
    squares = y.diff().numpy() ** 2
    # a line of its own, from a third to two thirds of the way to the noise
    some = slice(20, 40)
    line = np.polyfit(np.arange(20, 40), np.log(squares[some]), 1)
    assert rate.rate.item() == pytest.approx(-line[0], rel=0.2)
    curves = rows[rows.panel == "memory"].dropna(subset=["low"])
    assert (curves.low <= curves["median"]).all()
    assert (curves["median"] <= curves.high).all()


def test_the_spread_is_over_the_models(memories, decays, expect_spread):
    rates = memories.table.query("panel == 'rate' and model == 'GRU' and layers == 2 and probe == 'impulse'")
    expect_spread(memories, "rate per step, GRU, layers 2, impulse", rates.rate)
    expect_spread(memories, "over that of the theory, GRU, layers 2, impulse", rates.rate / rates.predicted)
    lines = decays.table.query("panel == 'rate' and model == 'SSM' and layers == 1")
    expect_spread(decays, "R², SSM, layers 1", lines.r2)
    for data in (memories, decays):
        assert set(data.spread) == set(data.headline)


def test_models_without_a_rate_are_in_no_median_and_no_spread(decays, expect_spread):
    table = decays.table.copy()
    (gone, *rest) = table.query("panel == 'rate' and model == 'RNN' and layers == 1").index
    table.loc[gone, "rate"] = math.nan
    expect_spread(exponential_decay._decay_findings(table), "c₀ per step, RNN, layers 1", table.rate[rest])


def test_early_slopes_of_s4d_are_steeper(memories):
    found = random_models.agreement(memories.table).xs("S4D", level="model")
    assert found.early.mean() > 1.2 * found.ratio.mean()
    assert "Within the paper's 2000 steps" in memories.message


@pytest.mark.parametrize("name", ["memory_of_random_models", "exponential_decay"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ("RNNs",)}, "did you mean 'RNN'"),
        ({"repeats": 0}, "repeats must be at least 1"),
        ({"layers": (0,)}, "layers must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"horizon": 0}, "must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(name, arguments, message):
    module = {"exponential_decay": exponential_decay}.get(name, memory_of_random_models)
    with pytest.raises(ValueError, match=message):
        module.data(**({"models": ("RNN",), "layers": (1,)} | arguments))


def test_pictures_are_drawn_of_much_and_of_little(memories, decays):
    memory_of_random_models.plot(memories)
    exponential_decay.plot(decays)
    little = {"models": ("RNN",), "layers": (1,), "repeats": 1, "width": 1, "horizon": 8}
    memory_of_random_models.plot(memory_of_random_models.data(**little))
    exponential_decay.plot(exponential_decay.data(**little))
