"""The exact error of a span against rational numbers, weighted errors, simulated inputs and mpmath."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias
from curse_of_memory.theory.expiry import exponential_span, mask, span_loss

findroot: Callable[..., Any] = mpmath.findroot  # mpmath has no types
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)
# values without digits below 2^-8, so that squares and their sums are exact
kernels = st.lists(st.integers(-8, 8).map(lambda k: k / 8), min_size=1, max_size=14)
spans = st.integers(0, 16 * 64).map(lambda k: k / 64)
DECAYING = np.exp(-0.05 * np.arange(2000))


def naive_error(rho, R, e):
    """Σ ρ² (1 − m)² in rational numbers."""
    parts = [min(Fraction(1), max(Fraction(0), (s - Fraction(e)) / R)) for s in range(len(rho))]
    return sum((Fraction(r) ** 2 * p**2 for r, p in zip(rho, parts, strict=True)), Fraction(0))


def naive_slope(rho, R, e):
    """Its derivative from the left, in rational numbers."""
    seen = [(s - Fraction(e), Fraction(r) ** 2) for s, r in enumerate(rho) if 0 < s - Fraction(e) < R]
    return -sum((2 * w * d / R**2 for d, w in seen), Fraction(0))


def naive_best(rho, R, alpha):
    """The least cost over whole numbers and the stationary points between them, in rational numbers."""
    alpha, points = Fraction(alpha), [Fraction(n) for n in range(len(rho) + 1)]
    for n in range(len(rho)):
        seen = [(s, Fraction(rho[s]) ** 2) for s in range(n + 1, min(n + R, len(rho) - 1) + 1)]
        if total := sum(w for _, w in seen):
            e = (sum(s * w for s, w in seen) - alpha * R * R / 2) / total
            points += [e] if n < e < n + 1 else []
    return min((naive_error(rho, R, e) + alpha * e, e) for e in points)


@steady
@given(rho=kernels, R=st.integers(1, 9), e=spans)
def test_errors_and_slopes_are_those_of_rational_numbers(rho, R, e):
    loss = span_loss(rho, R)
    # up to 14 terms of a few roundings each, all of one sign
    assert loss.error(e) == pytest.approx(float(naive_error(rho, R, e)), rel=32 * EPS)
    assert loss.slope(e) == pytest.approx(float(naive_slope(rho, R, e)), rel=32 * EPS)


@steady
@given(rho=kernels, R=st.integers(1, 9), alpha=st.integers(0, 64).map(lambda k: k / 64))
def test_the_best_span_is_the_best_of_all_stationary_points(rho, R, alpha):
    cost, span = naive_best(rho, R, alpha)
    best = span_loss(rho, R).best(alpha)
    assert best.cost == pytest.approx(float(cost), rel=64 * EPS, abs=64 * EPS)
    assert best.cost == pytest.approx(best.error + alpha * best.span, rel=64 * EPS, abs=64 * EPS)
    assert best.error == pytest.approx(float(naive_error(rho, R, best.span)), rel=64 * EPS, abs=64 * EPS)
    # of two that cost the same to rounding either may be found
    assert best.span == pytest.approx(float(span)) or math.isclose(
        float(naive_error(rho, R, best.span) + Fraction(alpha) * Fraction(best.span)),
        float(cost),
        rel_tol=1e-13,
    )


@steady
@given(rho=kernels, R=st.integers(1, 9), e=spans)
def test_the_slope_is_the_derivative_from_the_left(rho, R, e):
    if e > 0:
        h = Fraction(1, 2**40)
        difference = (naive_error(rho, R, e) - naive_error(rho, R, Fraction(e) - h)) / h
        assert span_loss(rho, R).slope(e) == pytest.approx(float(difference), abs=1e-8)


@pytest.mark.parametrize("p", [0, 2, math.inf])
def test_it_is_the_weighted_error_of_a_masked_memory(p):
    rho, R, variance = 0.9 ** np.arange(30) * np.cos(np.arange(30)), 5, 2.0
    b = bias.power(p)
    loss = span_loss(rho, R, b=b, variance=variance)
    for e in (0.0, 3.0, 7.3, 28.9, 40.0):
        kept = mask(np.arange(30), e, R) * rho
        exact = bias.weighted_error(rho, kept, b, variance=variance, unit_mean=True)
        assert loss.error(e) == pytest.approx(float(exact), rel=64 * EPS, abs=1e-300)
    values = span_loss(rho, R, b=b.discrete(30), variance=variance)
    np.testing.assert_allclose(loss.worth, values.worth, rtol=64 * EPS)


def test_it_is_the_mean_of_simulated_errors():
    rho, R, e, draws = 0.8 ** np.arange(25), 6, 4.5, 40_000
    x = np.random.default_rng(0).normal(scale=1.5, size=(draws, 25))
    errors = (x @ rho - x @ (mask(np.arange(25), e, R) * rho)) ** 2
    exact = float(span_loss(rho, R, variance=2.25).error(e))
    assert abs(errors.mean() - exact) < 5 * errors.std() / math.sqrt(draws)
    assert errors.std() / math.sqrt(draws) < 0.02 * exact


@pytest.mark.parametrize(("alpha", "printed", "by_phi"), [(1e-3, 59.30, 59.17), (1e-5, 105.34, 105.22)])
def test_the_best_exponential_spans_of_whole_steps(alpha, printed, by_phi):
    n, R = math.floor(printed), 16

    def excess(e):
        return (
            sum(mpmath.exp(-s / mpmath.mpf(10)) * (s - e) for s in range(n + 1, n + R + 1)) * 2 / R**2 - alpha
        )

    root = float(findroot(excess, printed))
    best = span_loss(DECAYING, R).best(alpha)
    assert best.span == pytest.approx(root, rel=1e-10)
    assert round(best.span, 2) == printed
    assert round(exponential_span(0.05, alpha, ramp=R), 2) == by_phi


def test_finer_steps_tend_to_continuous_time():
    exact, off = exponential_span(0.05, 1e-3, ramp=16), []
    for fine in (1, 4, 16):
        lags = np.arange(400 * fine) / fine
        off.append(span_loss(np.exp(-0.05 * lags), 16 * fine).best(1e-3).span / fine - exact)
    assert abs(off[1]) < abs(off[0]) / 3
    assert abs(off[2]) < abs(off[1]) / 3


@steady
@given(rho=kernels, R=st.integers(1, 9), low=st.floats(0.0, 1.0), more=st.floats(0.0, 1.0))
def test_dearer_memory_is_never_longer(rho, R, low, more):
    loss = span_loss(rho, R)
    cheap, dear = loss.best(low), loss.best(low + more)
    assert dear.span <= cheap.span + 1e-9 or math.isclose(dear.cost, cheap.cost, abs_tol=1e-12)
    assert dear.error >= cheap.error - 1e-12 or more < 1e-9


def test_free_memory_spans_the_last_used_lag():
    rho = np.zeros(50)
    rho[[3, 31]] = 0.1
    best = span_loss(rho, 16).best(0.0)
    assert (best.span, best.error) == (31, 0)
    assert span_loss(np.zeros(5), 3).best(0.0).span == span_loss([1.0], 3).best(0.1).span == 0


def test_a_memory_that_falls_may_have_a_minimum_in_every_step():
    """ρ = 1 up to lag 100: at a price near one each step has its own minimum, of which one is best."""
    R, alpha = 16, 1.0
    loss = span_loss(np.where(np.arange(140) <= 100, 1.0, 0.0), R)
    slopes = loss.slope(np.arange(0, 84)[:, None] + np.array([0.01, 0.99])) + alpha
    assert (slopes[:, 0] < 0).all()
    assert (slopes[:, 1] > 0).all()
    grid = np.linspace(0, 110, 11_001)
    assert loss.best(alpha).cost == pytest.approx((loss.error(grid) + alpha * grid).min(), abs=1e-3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: span_loss([], 2), "rho must not be empty"),
        (lambda: span_loss([1.0], 0), "ramp must be at least 1"),
        (lambda: span_loss([1.0, 0.5], 2, b=[1.0]), "weight must have one value per lag"),
        (lambda: span_loss([1.0], 2, variance=-1.0), "variance must not be negative"),
        (lambda: span_loss([1.0], 2).error(-1.0), "spans must be in"),
        (lambda: span_loss([1.0], 2).best(-1.0), "alpha must not be negative"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_no_float_holds_is_refused():
    with pytest.raises(OverflowError, match="give rho in another unit"):
        span_loss([1e200], 2)
