"""Intervals of what a memory curve says: how often they hold where the truth is known."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal, stats

from curse_of_memory.theory.decay import DecayIntervals, decay, decay_intervals
from curse_of_memory.theory.decay.law_interval import slow_scatter

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=150)
DRAWS = 150
# coins of probability 0.9 fall in fewer than 0.82 of 150 throws once in a thousand times
LEAST = float(stats.binom.ppf(1e-3, DRAWS, 0.9)) / DRAWS


def deviations(size: int, correlation: float, random: np.random.Generator) -> np.ndarray:
    """Return normal deviations of variance one, each alike its neighbour."""
    drive = math.sqrt(1 - correlation**2) * random.standard_normal(size + 100)
    return np.asarray(signal.lfilter([1.0], [1.0, -correlation], drive))[100:]


def covered(curve, truth, size, scatter, correlation=0.0, floor=0.0, level=0.9):
    """Return how often each interval holds the truth."""
    random, held = np.random.default_rng(0), dict.fromkeys(truth, 0)
    for _ in range(DRAWS):
        noisy = curve(np.arange(size)) * np.exp(scatter * deviations(size, correlation, random))
        noisy = noisy + floor * random.standard_normal(size)
        answer = decay_intervals(noisy, noise_floor=floor or None, level=level)
        for name, value in truth.items():
            low, high = getattr(answer, name) or (math.nan, math.nan)
            held[name] += low <= value <= high
    return {name: count / DRAWS for name, count in held.items()}


def ends_of(answer: DecayIntervals, name: str) -> np.ndarray:
    """Return the ends of an interval that must be there."""
    ends = getattr(answer, name)
    assert ends is not None
    return np.array(ends)


def truth_of_an_exponential(rate: float) -> dict[str, float]:
    # Σ_{s <= L} e^{−λs} is 1 − e^{−λ(L+1)} of the whole sum
    horizon = math.ceil(math.log(100) / rate) - 1
    return {"rate": rate, "half_life": math.log(2) / rate, "effective_horizon": horizon}


@pytest.mark.parametrize(
    ("size", "scatter", "correlation"), [(120, 0.1, 0.0), (200, 0.02, 0.5), (120, 0.3, 0.0)]
)
def test_the_intervals_of_an_exponential_hold_as_often_as_they_say(size, scatter, correlation):
    held = covered(lambda t: np.exp(-0.05 * t), truth_of_an_exponential(0.05), size, scatter, correlation)
    assert min(held.values()) >= LEAST


def test_under_an_additive_floor_too():
    held = covered(lambda t: np.exp(-0.05 * t), truth_of_an_exponential(0.05), 300, 0.0, floor=2e-3)
    assert min(held.values()) >= LEAST


def test_the_interval_of_an_exponent_holds_as_often_as_it_says():
    truth = {"exponent": 3.0, "half_life": 10 * (2 ** (1 / 3) - 1)}
    held = covered(lambda t: (1 + 0.1 * t) ** -3.0, truth, 400, 0.01)
    assert min(held.values()) >= LEAST


def test_a_level_is_how_often_and_no_more():
    """For white deviations the interval of the rate is exact: at the level 1/2 it fails half the time."""
    held = covered(lambda t: np.exp(-0.05 * t), {"rate": 0.05}, 200, 0.02, level=0.5)["rate"]
    # three standard deviations of 150 coins; that the window is chosen by the data costs a little
    assert held == pytest.approx(0.5, abs=3 * math.sqrt(0.25 / DRAWS) + 0.03)


def test_correlated_deviations_widen_the_interval_as_their_slow_part_does():
    """A slope moves with the spectrum at zero: (1 + φ)/(1 − φ) times that of white noise, in variance."""
    lags, correlation, random = np.arange(400.0), 0.6, np.random.default_rng(1)
    tangent = np.stack([np.ones_like(lags), lags], 1)
    squares = []
    for _ in range(300):
        noise = deviations(lags.size, correlation, random)
        residual = noise - tangent @ np.linalg.lstsq(tangent, noise, rcond=None)[0]
        squares.append(slow_scatter(residual, tangent)[0] ** 2)
    # 300 means of ten squares are good to √(2/3000) = 0.026; at the tenth direction the spectrum is 3 % lower
    assert np.mean(squares) == pytest.approx((1 + correlation) / (1 - correlation), rel=3 * 0.026 + 0.03)


def test_slow_scatter_of_white_residuals_is_chi_square():
    lags, random = np.linspace(0, 1, 60), np.random.default_rng(2)
    tangent = np.stack([np.ones_like(lags), np.log1p(3 * lags), lags / (1 + 3 * lags)], 1)
    found, counts = [], set()
    for _ in range(400):
        noise = random.standard_normal(60)
        residual = noise - tangent @ np.linalg.lstsq(tangent, noise, rcond=None)[0]
        slow, count = slow_scatter(residual, tangent)
        counts.add(count)
        found.append(count * slow**2)
    assert counts == {round(math.sqrt(60) / 2)}
    assert stats.kstest(found, stats.chi2(counts.pop()).cdf).pvalue > 0.01


@pytest.mark.parametrize("scale", [1.0, 1e-200, 1e200])
def test_what_follows_its_law_has_intervals_as_wide_as_rounding(scale):
    t = np.arange(200.0)
    sure = decay_intervals(scale * np.exp(-0.07 * t))
    # rounding of log M, about eps times 14, over a window of half the lags
    low, high = ends_of(sure, "rate")
    assert 0.07 * (1 - 1e-12) < low <= 0.07 <= high < 0.07 * (1 + 1e-12)
    assert sure.half_life == pytest.approx((math.log(2) / 0.07,) * 2, rel=1e-11)
    assert sure.effective_horizon == (sure.fit.effective_horizon,) * 2
    power = decay_intervals(scale * (1 + t) ** -2.5)
    low, high = ends_of(power, "exponent")
    assert 2.5 * (1 - 1e-9) < low <= 2.5 <= high < 2.5 * (1 + 1e-9)


def test_a_misfit_is_no_noise_of_what_was_measured_but_of_the_law():
    """Two modes: the half-life is read off the curve, and the rate of one law is uncertain."""
    t = np.arange(60.0)
    both = decay_intervals(np.exp(-0.05 * t) + np.exp(-0.04 * t))
    low, high = ends_of(both, "rate")
    assert high - low > 1e-6
    low, high = both.half_life
    assert high - low < 1e-2 * both.fit.half_life


CURVES = {
    "exponential": np.exp(-0.1 * np.arange(60.0)),
    "polynomial": (1 + np.arange(100.0)) ** -1.1,
    "heavy": (1 + np.arange(100.0)) ** -0.7,
    "oscillation": np.exp(-0.03 * np.arange(200.0)) * np.cos(0.4 * np.arange(200.0)),
    "faster": np.exp(-((np.arange(100.0) / 20) ** 2)),
    "compact": np.r_[np.ones(5), np.zeros(20)],
    "none": np.ones(50),
    "unknown": np.random.default_rng(0).standard_normal(50),
    "short": np.array([1.0, 0.5]),
    "six": np.array([1.0, 0.9, 0.8, 0.6, 0.5, 0.4]),
    "zero": np.zeros(4),
}


@pytest.mark.parametrize("name", CURVES)
def test_what_the_fit_says_lies_in_its_intervals(name):
    answer = decay_intervals(CURVES[name])
    assert repr(answer.fit) == repr(decay(CURVES[name]))  # NaN is not itself
    for quantity in ("rate", "exponent", "half_life", "effective_horizon"):
        value, ends = getattr(answer.fit, quantity), getattr(answer, quantity)
        assert (value is None) == (ends is None)
        if ends is not None:
            assert 0 <= ends[0] <= value <= ends[1]


def test_without_a_law_nothing_is_certain_beyond_the_end():
    assert decay_intervals(CURVES["short"]).half_life == (0.0, math.inf)
    assert decay_intervals(CURVES["none"]).effective_horizon[1] == math.inf
    assert decay_intervals(CURVES["heavy"]).effective_horizon == (math.inf, math.inf)
    assert decay_intervals(CURVES["zero"]).effective_horizon == (0.0, 0.0)


def test_intervals_scale_with_the_unit_of_time_and_grow_with_the_level():
    noisy = np.exp(-0.05 * np.arange(100.0) + 0.05 * np.random.default_rng(3).standard_normal(100))
    one, other = decay_intervals(noisy), decay_intervals(noisy, dt=0.5)
    assert np.allclose(ends_of(other, "rate"), 2 * ends_of(one, "rate"), rtol=64 * EPS)
    assert np.allclose(ends_of(other, "half_life"), ends_of(one, "half_life") / 2, rtol=64 * EPS)
    assert np.allclose(ends_of(other, "effective_horizon"), ends_of(one, "effective_horizon") / 2)
    wider = decay_intervals(noisy, level=0.99)
    for name in ("rate", "half_life", "effective_horizon"):
        assert ends_of(wider, name)[0] <= ends_of(one, name)[0]
        assert ends_of(wider, name)[1] >= ends_of(one, name)[1]
    assert np.ptp(ends_of(wider, "rate")) > 1.5 * np.ptp(ends_of(one, "rate"))


@pytest.mark.parametrize("level", [0.0, 1.0, -1.0, 90])
def test_a_level_is_a_share(level):
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        decay_intervals(CURVES["exponential"], level=level)


@steady
@given(
    logs=st.lists(st.floats(-30, 30), min_size=1, max_size=60),
    fall=st.floats(-0.5, 5.0),
    level=st.floats(0.01, 0.9999),
    scale=st.sampled_from([1e-280, 1.0, 1e280]),
)
def test_whatever_comes_the_intervals_hold_what_the_fit_says(logs, fall, level, scale):
    curve = scale * np.exp(np.array(logs) / 30 * fall - fall * np.arange(len(logs)) / 3)
    answer = decay_intervals(curve, level=level)
    for name in ("rate", "exponent", "half_life", "effective_horizon"):
        value, ends = getattr(answer.fit, name), getattr(answer, name)
        assert (value is None) == (ends is None)
        assert ends is None or 0 <= ends[0] <= value <= ends[1]
