"""Random stacks: slopes of memories against closed forms."""

import math

import numpy as np
import pytest
import xarray as xr

from curse_of_memory.experiments.random_stacks import fitted_slope, spread
from curse_of_memory.theory.lemmas.layered_memory import LayeredMemory


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


def test_rounding_makes_no_peaks():
    """An exponential that rounding lets rise at every fourth lag of its last three hundred."""
    t = np.arange(4000)
    rounding = 3e-14 * np.where(t % 4 == 0, 1.0, -1.0)
    slope = fitted_slope(curve(np.exp(-0.01 * t) + rounding, floor=3e-14))
    assert slope.start == slope.stop // 2
    assert slope.stop == pytest.approx(math.log(1 / 3e-13) / 0.01, abs=15)  # a tenth is 10 lags
    assert slope.rate == pytest.approx(0.01, rel=0.01)


def test_peaks_in_a_short_stretch_at_the_end_make_no_line():
    t = np.arange(1000)
    end = np.where(t > 900, np.abs(np.cos(0.4 * (t - 900))), 1)
    assert math.isnan(fitted_slope(curve(np.exp(-0.02 * t) * end)).rate)


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
