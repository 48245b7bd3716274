"""Decay classes against curves whose law is known."""

import dataclasses
import math
import time
import tracemalloc

import numpy as np
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import signal

from curse_of_memory.theory import targets
from curse_of_memory.theory.decay import decay
from curse_of_memory.theory.decay.laws import Window

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=40)
T = np.arange(100.0)


# --- exact laws -------------------------------------------------------------------------------


@steady
@given(
    log_rate=st.floats(math.log(1e-6), math.log(8.0)),
    scale=st.floats(1e-12, 1e12),
    dt=st.sampled_from([0.01, 1.0, 30.0]),
)
def test_an_exponential_has_its_rate(log_rate, scale, dt):
    rate = math.exp(log_rate)  # per step; below, per unit time
    fit = decay(scale * np.exp(-rate * T), dt)
    assert fit.kind == "exponential"
    # log M is off by eps (and eps of itself), over a fall of rate times half the lags
    assert fit.rate * dt == pytest.approx(rate, rel=1e-9, abs=64 * EPS)
    assert 0 <= fit.confidence <= 1
    assert abs(fit.index) < 1e-3 or fit.confidence < 1e-3


@pytest.mark.parametrize("horizon", [50, 100, 200, 500, 1000])
@pytest.mark.parametrize(("exponent", "rate"), [(1.1, 0.1), (0.5, 1.0), (1.5, 1.0), (3.0, 0.2)])
def test_a_power_has_its_exponent_and_shift(exponent, rate, horizon):
    fit = decay(targets.polynomial(exponent, rate=rate).on_grid(horizon))
    assert fit.kind == "polynomial"
    assert fit.exponent == pytest.approx(exponent, rel=1e-9)
    assert fit.shift == pytest.approx(1 / rate, rel=1e-6)
    assert fit.misfit_polynomial < 1e-13 < fit.misfit_exponential


def test_the_index_of_a_power_is_how_far_it_has_bent():
    """ℓ = ω/(t + τ), so that κ = log((T + τ)/(T/2 + τ))/log 2 over the second half."""
    for horizon in (51, 101, 1001):
        fit = decay((1 + 0.1 * np.arange(horizon)) ** -1.1)
        last = horizon - 1
        assert fit.index == pytest.approx(math.log2((last + 10) / (last / 2 + 10)), abs=1e-9)


def test_confidence_in_a_power_grows_with_the_horizon():
    found = [decay((1 + 0.1 * np.arange(n)) ** -1.1).confidence for n in (50, 100, 200, 1000)]
    assert np.all(np.diff(found) > 0)
    assert found[0] < 0.5
    assert found[-1] > 0.95


def test_a_power_that_has_not_bent_yet_reads_as_an_exponential_of_little_confidence():
    fit = decay((1 + 0.01 * np.arange(50)) ** -3.0)
    assert fit.kind == "exponential"
    assert fit.confidence < 0.4


def test_a_gaussian_is_faster():
    fit = decay(np.exp(-((T / 20) ** 2)))
    assert fit.kind == "faster"
    assert fit.index == pytest.approx(-1, abs=0.2)
    assert fit.rate is None
    assert fit.exponent is None


@pytest.mark.parametrize("value", [1.0, 3.7, 1e-9])
def test_a_constant_does_not_decay(value):
    fit = decay(np.full(100, value))
    assert (fit.kind, fit.half_life, fit.effective_horizon) == ("none", math.inf, math.inf)
    assert fit.confidence == pytest.approx(1.0, abs=1e-12)
    assert fit.censored


def test_a_memory_that_settles_at_a_level_does_not_decay():
    assert decay(0.1 + np.exp(-T)).kind == "none"
    assert decay(0.5 + np.exp(-T / 10)).kind == "none"


@pytest.mark.parametrize("values", [[1, 0, 0], [0, 0, 3, 0, 0], [1, 1, 1, 1, 0, 0], np.zeros(5), [0.0]])
def test_what_ends_is_compact(values):
    fit = decay(values)
    assert (fit.kind, fit.confidence) == ("compact", pytest.approx(1.0, abs=1e-9))
    assert not fit.censored


@pytest.mark.parametrize("values", [[1.0], [1.0, 0.5], np.arange(50.0)])
def test_too_little_is_unknown(values):
    fit = decay(values)
    assert (fit.kind, fit.confidence) == ("unknown", 0.0)


# --- sums, layers, oscillations -----------------------------------------------------------------


@pytest.mark.parametrize(("fast", "slow"), [(0.5, 0.01), (1.0, 0.02), (0.3, 0.05)])
def test_of_a_sum_the_slowest_rate_is_found(fast, slow):
    fit = decay(np.exp(-fast * T) + 0.3 * np.exp(-slow * T))
    assert fit.kind == "exponential"
    # at the first lag of the window, 50, the local rate is off by this weight times the gap of rates
    weight = math.exp(-(fast - slow) * 50) / 0.3
    assert 0 <= fit.rate - slow <= weight * (fast - slow) + 64 * EPS


@pytest.mark.parametrize("layers", [2, 3, 5])
@pytest.mark.parametrize("rate", [1.0, 0.3])
def test_the_bias_of_many_layers_is_that_of_their_local_rate(layers, rate):
    """t^{l−1} e^{−λt} has the local rate λ − (l − 1)/t."""
    t = np.arange(300.0)
    fit = decay(t ** (layers - 1) * np.exp(-rate * t))
    assert fit.kind == "exponential"
    assert fit.confidence > 0.5
    assert (layers - 1) / fit.stop <= rate - fit.rate <= (layers - 1) / fit.start


@pytest.mark.parametrize("frequency", [0.2, 0.5, 1.0, 3.0])
def test_oscillations_are_judged_by_their_envelope(frequency):
    wave = np.abs(np.cos(frequency * np.arange(200)))
    exponential = decay(np.exp(-0.05 * np.arange(200)) * wave)
    assert exponential.kind == "exponential"
    # where a period has three samples, a peak may be missed by up to half of it
    assert exponential.rate == pytest.approx(0.05, rel=0.02)
    power = decay(wave / (1 + np.arange(200)))
    assert power.kind == "polynomial"
    assert power.exponent == pytest.approx(1, rel=0.15)


@pytest.mark.parametrize("name", targets.NAMED)
@pytest.mark.parametrize(("horizon", "dt"), [(100, 1.0), (400, 0.25)])
def test_every_named_target_has_the_decay_it_says(name, horizon, dt):
    rho = targets.named(name)
    fit = decay(rho.on_grid(horizon, dt))
    assert fit.kind == rho.decay.kind
    measured = {"exponential": fit.rate, "polynomial": fit.exponent}.get(fit.kind)
    if measured is not None:
        assert measured == pytest.approx(rho.decay.rate, rel=1e-6)


# --- noise ----------------------------------------------------------------------------------


@pytest.mark.parametrize("floor", [1e-7, 1e-4])
def test_values_below_the_noise_are_ignored(floor):
    noise = floor * np.random.default_rng(0).random(300)
    clean = np.exp(-0.2 * np.arange(300))
    fit = decay(clean + noise, noise_floor=floor)
    assert clean[int(fit.stop)] > 9 * floor
    assert fit.kind == "exponential"
    # log M is off by at most 1/10 at the end of a window of at least half the lags
    assert fit.rate == pytest.approx(0.2, rel=0.4 / (0.2 * fit.stop))
    # without being told, the floor is that of the tail: 1.48 times the median of uniform numbers
    own = decay(clean + noise)
    assert own.noise_floor == pytest.approx(1.48 * floor / 2, rel=4 / math.sqrt(200))
    assert (own.kind, own.rate) == ("exponential", pytest.approx(0.2, rel=0.4 / (0.2 * own.stop)))
    other = decay(clean + 0.5 * noise, noise_floor=floor)
    assert other.effective_horizon == fit.effective_horizon


def test_the_noise_floor_comes_from_the_measurement():
    curve = xr.DataArray(np.exp(-T), {"lag": T}, ["lag"], attrs={"noise_floor": 1e-3})
    fit = decay(curve)
    assert fit.noise_floor == 1e-3
    assert fit.stop == 4  # e^-4 > 1e-2 > e^-5
    assert decay(curve, noise_floor=0.0).stop == 99
    assert decay(curve, noise_floor=1.0).kind == "unknown"


def test_scatter_costs_confidence_and_white_noise_is_no_memory():
    random = np.random.default_rng(1)
    scatter = random.standard_normal(T.size)
    found = [decay(np.exp(-0.05 * T + size * scatter)).confidence for size in (0.0, 0.1, 0.3, 1.0, 3.0)]
    assert np.all(np.diff(found) < 0)
    assert found[-1] < 0.1 < 0.99 < found[0]
    for noise in (random.random(400), random.standard_normal(400), random.exponential(size=400)):
        assert decay(noise).kind == "unknown"


@pytest.mark.parametrize("seed", range(40))
def test_a_power_under_noise_is_not_surely_anything_else(seed):
    """(1 + t)^{−1.5} with 30 % of log-normal noise has the index 1; nothing bends it the other way."""
    noise = 0.3 * np.random.default_rng(seed).standard_normal(200)
    fit = decay((1 + np.arange(200.0)) ** -1.5 * np.exp(noise))
    assert fit.kind == "polynomial" or fit.confidence < 0.5
    if fit.kind == "polynomial":
        # of a line in log t, of sd 0.96 over 200 points, the standard error is 0.022; the shift costs five
        assert fit.exponent == pytest.approx(1.5, abs=5 * 5 * 0.022)


@pytest.mark.parametrize("correlation", [0.5, 0.9])
@pytest.mark.parametrize("size", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("lags", [50, 200, 1000])
def test_noise_that_is_correlated_makes_no_class_sure(correlation, size, lags):
    """Such noise has few runs; what they say of a smooth misfit keeps it from being taken for a law."""
    random = np.random.default_rng(lags)
    memories = {
        "exponential": np.exp(-8 * np.arange(lags) / lags),
        "polynomial": (1 + 100 * np.arange(lags) / lags) ** -1.5,
        "none": np.ones(lags),
    }
    for kind, memory in memories.items():
        for _ in range(3):
            white = random.standard_normal(lags)
            noise = signal.lfilter([math.sqrt(1 - correlation**2)], [1, -correlation], white)
            fit = decay(memory * np.exp(size * noise))
            assert fit.kind == kind or fit.confidence < 0.9


@pytest.mark.parametrize("kind", ["normal", "uniform", "exponential"])
@pytest.mark.parametrize("seed", range(10))
def test_a_floor_of_noise_is_not_taken_for_memory(kind, seed):
    random = np.random.default_rng(seed)
    noise = {"normal": random.standard_normal, "uniform": random.random, "exponential": random.exponential}
    fit = decay(np.abs(np.exp(-0.05 * np.arange(200)) + 0.01 * noise[kind](size=200)))
    assert fit.kind == "exponential" or fit.confidence < 0.8
    assert 0.004 < fit.noise_floor < 0.02
    assert fit.stop < 60  # e^{−0.05 t} is 0.05 there


def test_a_level_is_not_taken_for_noise():
    """Noise is as large as itself; 10 % of scatter around a level are not."""
    scatter = np.exp(0.1 * np.random.default_rng(0).standard_normal(200))
    fit = decay((0.01 + np.exp(-0.2 * np.arange(200))) * scatter)
    assert fit.noise_floor == pytest.approx(EPS, rel=1)
    assert fit.kind == "none"
    assert fit.confidence > 0.8


@pytest.mark.parametrize("floor", [0.0, 1e-3])
def test_long_curves_are_judged_in_seconds_and_little_memory(floor):
    lags = np.arange(100_000.0)
    noise = floor * np.random.default_rng(0).standard_normal(lags.size)
    tracemalloc.start()
    started = time.process_time()
    fit = decay(np.abs(np.exp(-1e-4 * lags) + noise))
    seconds, (_, peak) = time.process_time() - started, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seconds < 10
    # 2**20 numbers take 8 MB; all bends at once would take 160 MB
    assert peak < 80e6
    # where M is ten floors high, log M is 1/200 too low, E log(1 + z/10), of a fall of log 10 at least
    assert (fit.kind, fit.rate) == ("exponential", pytest.approx(1e-4, rel=5e-3))


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_no_scale_is_too_large_or_too_small(scale):
    wave = np.cos(np.arange(200.0))
    for curve in (
        np.exp(-0.05 * np.arange(200)),
        (1 + np.arange(200.0)) ** -1.5,
        np.exp(-0.05 * T) * wave[:100],
    ):
        one, other = decay(curve), decay(scale * curve)
        assert other.kind == one.kind
        for name in ("rate", "exponent", "confidence", "half_life", "effective_horizon"):
            if getattr(one, name) is not None:
                assert getattr(other, name) == pytest.approx(getattr(one, name), rel=1e-9)
        assert other.level / scale == pytest.approx(one.level, rel=1e-9)


def test_the_standard_error_of_the_index_is_honest():
    """White residuals of n points have n/2 runs, which count for n independent ones."""
    lags = np.arange(50.0, 100.0)
    random = np.random.default_rng(0)
    found = [Window(lags, -0.05 * lags + 0.01 * random.standard_normal(50)).bend() for _ in range(60)]
    bends, errors = zip(*found, strict=True)
    # a standard deviation of 60 draws is good to 1/√120 = 0.09; few runs make single errors larger
    assert np.mean(errors) / np.std(bends) == pytest.approx(1, rel=0.3)


def test_the_share_of_a_class_is_how_often_the_index_lies_there():
    """With normal noise the likelihood of a bend is its distribution around the one that was found."""
    lags = np.arange(50.0, 100.0)
    random = np.random.default_rng(0)
    law = -3 * np.log1p(math.expm1(0.4) * (lags - 50) / 49) / math.expm1(0.4)
    below, expected = 0, 0.0
    for _ in range(200):
        seen = Window(lags, law + 0.05 * random.standard_normal(50))
        nodes, density = seen.likelihood(*seen.bend())
        inside = nodes <= 0.4
        expected += np.trapezoid(density[inside], nodes[inside]) / np.trapezoid(density, nodes)
        below += seen.bend()[0] > 0.4
    # 200 coins of the probability 1/2 fall 100 ± 7
    assert expected == pytest.approx(100, abs=3 * 7)
    assert below == pytest.approx(100, abs=3 * 7)


def test_a_fall_to_next_to_nothing_has_its_half_life():
    """The exponential from 4 to 2⁻¹⁰²² halves 1024 times in one step."""
    assert decay([4.0, 2.0**-1022]).half_life == pytest.approx(1 / 1024, rel=1e-12)


@steady
@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_confidence_is_a_number_in_the_unit_interval_whatever_comes(values):
    fit = decay(values)
    assert 0 <= fit.confidence <= 1
    assert fit.half_life >= 0
    assert fit.effective_horizon >= 0


# --- half-life and effective horizon --------------------------------------------------------------


@steady
@given(rate=st.floats(0.05, 2.0), share=st.floats(0.5, 0.999))
def test_half_life_and_effective_horizon_of_an_exponential(rate, share):
    fit = decay(np.exp(-rate * np.arange(400)), share=share)
    assert fit.half_life == pytest.approx(math.log(2) / rate, rel=1e-9)
    # Σ_{s ≤ n} e^{−λs} = (1 − e^{−λ(n+1)}) of the whole sum
    n = fit.effective_horizon
    assert 1 - math.exp(-rate * (n + 1)) >= share - 1e-9
    assert 1 - math.exp(-rate * n) <= share + 1e-9


def test_the_last_crossing_counts():
    assert decay([1.0, 0.2, 0.9, 0.2, 0.1, 0.0]).half_life == pytest.approx(
        2 + math.log(0.9 / 0.5) / math.log(0.9 / 0.2)
    )
    assert decay([2.0, 0.0, 0.0], dt=0.5).half_life == 0.25


def test_the_curve_may_end_before():
    slow = decay(np.exp(-0.01 * T))
    assert slow.half_life == pytest.approx(69.31, abs=0.01)
    assert slow.effective_horizon == math.inf
    assert slow.censored
    assert decay(np.exp(-0.001 * T)).half_life == math.inf
    # beyond lag 1000, a power 1.1 still holds most of its mass
    assert decay((1 + 0.1 * np.arange(1000)) ** -1.1).effective_horizon == math.inf
    # and a third power holds 1 − (1 + t/τ)^{−2} up to t: 99 % at t = 9 τ
    cubic = decay((1 + 0.01 * np.arange(2000)) ** -3.0)
    assert cubic.effective_horizon == pytest.approx(900, rel=0.01)


def test_what_the_law_has_beyond_the_end_counts():
    """Σ_{s<4} e^{−s} = 1.553 is 98.2 % of the whole sum 1.582, and 94.7 % without the last lag."""
    short = np.exp(-np.arange(4.0))
    assert decay(short, share=0.975).effective_horizon == 3
    assert decay(short, share=0.985).effective_horizon == math.inf


# --- the result -----------------------------------------------------------------------------


@pytest.mark.parametrize("rho", [targets.exponential(0.1), targets.polynomial(1.5)])
def test_the_law_is_the_curve_where_it_was_fitted(rho):
    fit = decay(rho.on_grid(100))
    lags = np.arange(fit.start, fit.stop + 1)
    np.testing.assert_allclose(fit(lags), rho(lags), rtol=1e-12)
    assert isinstance(float(fit(fit.stop)), float)


def test_the_scale_of_values_and_of_time_is_only_a_unit():
    one = decay(targets.polynomial(1.5).on_grid(200))
    other = decay(1e5 * targets.polynomial(1.5).on_grid(200).values, dt=10.0)
    assert other.exponent == pytest.approx(one.exponent, rel=1e-9)
    assert other.confidence == pytest.approx(one.confidence, rel=1e-9)
    for name in ("shift", "half_life", "start", "stop"):
        assert getattr(other, name) == pytest.approx(10 * getattr(one, name), rel=1e-7)


def test_signs_do_not_count():
    signed, plain = np.exp(-0.1 * T) * (-1) ** T, np.exp(-0.1 * T)
    assert dataclasses.astuple(decay(signed))[:6] == dataclasses.astuple(decay(plain))[:6]


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: decay([]), ValueError, "memory must not be empty"),
        (lambda: decay([1.0, math.nan]), ValueError, "memory must be finite"),
        (lambda: decay(np.ones((2, 2))), ValueError, "memory must have 1 dimension"),
        (lambda: decay("memory"), TypeError, "memory must be an array"),
        (lambda: decay([1.0, 0.5], dt=0.0), ValueError, "dt must be positive"),
        (lambda: decay([1.0], noise_floor=-1.0), ValueError, "noise_floor must not be negative"),
        (lambda: decay([1.0], share=1.0), ValueError, "share must lie between 0 and 1"),
        (lambda: decay(xr.DataArray(np.ones(3), dims=["t"])), ValueError, "memory must be over 'lag'"),
        (
            lambda: decay(xr.DataArray(np.ones(3), {"lag": [0.0, 1.0, 3.0]}, ["lag"])),
            ValueError,
            "lags of memory must be even, 0, dt, 2 dt",
        ),
        (lambda: decay(np.ones(9))(3.0), ValueError, "a memory of kind 'none' has no fitted law"),
        (lambda: decay(np.exp(-0.1 * T))(0.0), ValueError, "t must not be before start"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()


def test_a_curve_that_flattens_but_falls_on_is_not_sure_to_have_settled():
    """e^{−s/2} + 0.03 e^{−s/50} halves for ever; e^{−s/10} + 0.5 has settled."""
    s = np.arange(240)
    surest = 0.0
    for seed in range(20):
        noise = 1e-3 * np.random.default_rng(seed).standard_normal(s.size)
        falling = decay(np.exp(-s / 2) + 0.03 * np.exp(-s / 50) + noise)
        surest = max(surest, falling.confidence if falling.kind == "none" else 0.0)
        settled = decay(np.exp(-s / 10) + 0.5 + noise)
        assert settled.kind == "none"
        assert settled.confidence > 0.9
    assert surest < 0.8
