"""The charge of spans against fractions, and best spans in continuous time against mpmath."""

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.expiry import (
    charge,
    charge_gradient,
    exponential_span,
    ramp_factor,
    sharp_span,
    span_loss,
    window_error,
)

# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
findroot: Callable[..., Any] = mpmath.findroot
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=100)


def charged(e, R):
    """R times the charge of a memory, and of its gradient, over all queries, in rational numbers."""
    e = Fraction(e)
    ramp = [e - s for s in range(1, math.ceil(e) + R + 2) if 0 < 1 + (e - s) / R < 1]
    return sum(ramp, Fraction(0)), len(ramp)


@steady
@given(e=st.floats(0.0, 50.0) | st.integers(0, 50).map(float), R=st.integers(1, 20), block=st.integers(1, 9))
def test_the_charge_of_a_memory_is_the_sum_over_its_queries(e, R, block):
    value, count = charged(e, R)
    alpha = 0.3
    # ⌈e⌉ − e is exact, what is added to it is rounded once, and three factors are
    assert charge(e, R, alpha, block) == pytest.approx(
        float(alpha * value / R / block), rel=8 * EPS, abs=1e-15
    )
    assert charge_gradient(e, R, alpha, block) == pytest.approx(alpha * count / R / block, rel=8 * EPS)


@steady
@given(e=st.integers(0, 10**6).map(lambda k: k / 64), R=st.integers(1, 200))
def test_the_charge_says_nothing_of_the_span(e, R):
    assert -(R + 1) / 2 <= charge(e, R, 1.0) <= -(R - 1) / 2
    assert charge(e, R, 1.0) == charge(e + 1000, R, 1.0)


def test_a_whole_span_is_charged_less_and_at_a_ramp_of_one_not_at_all():
    assert charge_gradient([7.0, 7.5], 1, 0.5, 2).tolist() == [0.0, 0.25]
    assert charge_gradient([7.0, 7.5], 16, 1.0).tolist() == [15 / 16, 1.0]


@pytest.mark.parametrize("x", [0.0, 1e-12, 9.9e-9, 1e-8, 1e-3, 0.1, 1.6, 30.0, 1e4, 1e160])
def test_the_ramp_factor_is_its_formula(x):
    with mpmath.workdps(60):
        u = mpmath.mpf(x)
        exact = 2 * (1 - mpmath.exp(-u) * (1 + u)) / u**2 if x else mpmath.mpf(1)
    assert ramp_factor(x) == pytest.approx(float(exact), rel=1e-14, abs=1e-320)


@pytest.mark.parametrize(("lam", "R"), [(0.05, 16), (0.3, 4), (0.001, 100)])
def test_the_ramp_factor_is_an_integral_over_the_ramp(lam, R):
    exact = quad(lambda u: 2 * u * mpmath.exp(-2 * lam * u) / R**2, [0, R])
    assert ramp_factor(2 * lam * R) == pytest.approx(float(exact), rel=1e-13)


@steady
@given(x=st.floats(0.0, 50.0), more=st.floats(1e-3, 50.0))
def test_longer_ramps_are_worth_less(x, more):
    assert 0 < ramp_factor(x + more) < ramp_factor(x) <= 1


def test_the_numbers_of_exponential_spans():
    both = [1e-3, 1e-5]
    assert [round(exponential_span(0.05, a, ramp=16), 2) for a in both] == [59.17, 105.22]
    assert [round(exponential_span(0.05, a), 2) for a in both] == [69.08, 115.13]


@pytest.mark.parametrize(("lam", "R", "alpha", "variance"), [(0.05, 16, 1e-3, 1.0), (0.2, 3, 0.01, 2.5)])
def test_exponential_spans_are_stationary_points_of_the_integral(lam, R, alpha, variance):
    def cost(e):
        ramp = quad(lambda u: (u / R) ** 2 * mpmath.exp(-2 * lam * (e + u)), [0, R])
        return variance * (ramp + mpmath.exp(-2 * lam * (e + R)) / (2 * lam)) + alpha * e

    with mpmath.workdps(30):
        found = exponential_span(lam, alpha, ramp=R, variance=variance)
        root = findroot(lambda e: mpmath.diff(cost, e), (0.9 * found, 1.05 * found), solver="secant")
    assert found == pytest.approx(float(root), rel=1e-9)


def test_dear_memory_has_no_span():
    assert exponential_span(0.05, 1.0) == exponential_span(0.05, 0.5, ramp=16) == 0
    assert exponential_span(1e200, 1e-3, ramp=1e200) == 0
    assert sharp_span(targets.exponential(0.05), 2.0) == 0


@pytest.mark.parametrize(("alpha", "variance"), [(1e-3, 1.0), (1e-9, 0.3), (0.2, 4.0)])
def test_sharp_spans_have_closed_forms(alpha, variance):
    exponential = sharp_span(targets.exponential(0.05), alpha, variance=variance)
    assert exponential == pytest.approx(math.log(variance / alpha) / 0.1, rel=1e-10)
    polynomial = sharp_span(targets.polynomial(1.5), alpha, variance=variance)
    assert polynomial == pytest.approx((variance / alpha) ** (1 / 3) - 1, rel=1e-10)


@pytest.mark.parametrize("p", [0, 1, 2.5])
def test_sharp_spans_with_a_bias(p):
    T, alpha = 100.0, 1e-3
    found = sharp_span(targets.exponential(0.05), alpha, b=bias.power(p), horizon=T)
    root = findroot(
        lambda e: (1 - (e / T) ** (p + 1)) * mpmath.exp(-e / 10) - alpha, (10, 70), solver="anderson"
    )
    assert found == pytest.approx(float(root), rel=1e-9)
    assert found < sharp_span(targets.exponential(0.05), alpha)


def test_no_span_exceeds_the_horizon():
    assert sharp_span(targets.exponential(0.05), 1e-3, horizon=20.0) == 20
    with pytest.raises(ArithmeticError, match="must fall below the price"):
        sharp_span(targets.from_callable(np.ones_like), 0.5)


def test_where_memory_does_not_fall_the_rule_only_finds_a_stationary_point():
    rho, alpha = targets.two_parts(center=60.0), 1e-3
    rule = sharp_span(rho, alpha)
    assert rule == pytest.approx(math.log(1 / alpha) / 2, rel=1e-9)  # ahead of the bump
    # with a mask of 1/64 of a step, lags in 64ths
    fine = 64
    loss = span_loss(rho(np.arange(80 * fine) / fine) / math.sqrt(fine), ramp=1)
    best = loss.best(alpha / fine)
    assert best.span / fine == pytest.approx(60 + math.sqrt(-math.log(alpha) / 2), abs=2 / fine)
    assert best.cost < 0.1 * float(loss.error(rule * fine) + alpha * rule)


@pytest.mark.parametrize("C", [0.0, 3.0, 50.0])
def test_the_error_of_a_window_is_what_lies_beyond(C):
    for lam in (0.05, 1.0):
        exact = math.exp(-2 * lam * C) / (2 * lam)
        assert window_error(targets.exponential(lam), C) == pytest.approx(exact, rel=1e-13)
    exact = quad(lambda s: (1 + s) ** -2.4, [C, 10 + C, mpmath.inf])
    assert window_error(targets.polynomial(1.2), C, variance=3.0) == pytest.approx(3 * float(exact), rel=1e-9)


def test_errors_fall_with_memory_as_powers():
    for p in (0.8, 1.1, 2.0):
        few, many = (window_error(targets.polynomial(p), C) for C in (1e6, 1e7))
        assert math.log10(many / few) == pytest.approx(1 - 2 * p, abs=1e-5)
    assert window_error(targets.polynomial(0.5), 10.0) == math.inf


def test_whole_steps_have_the_same_error_beyond_a_window():
    loss = span_loss(0.9 ** np.arange(600), ramp=1)
    C = np.arange(0.0, 100.0, 9.0)
    # Σ_{s>C} 0.81^s; the lags cut off are below 0.81^600
    np.testing.assert_allclose(loss.error(C), 0.81 ** (C + 1) / 0.19, rtol=1e-12)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: charge(-1.0, 2, 0.1), "spans must be in"),
        (lambda: charge(1.0, 2, -0.1), "alpha must not be negative"),
        (lambda: charge(1.0, 2, 0.1, 0), "block must be at least 1"),
        (lambda: charge_gradient(1.0, 0, 0.1), "ramp must be at least 1"),
        (lambda: ramp_factor(-1.0), "x must not be negative"),
        (lambda: exponential_span(0.0, 0.1), "rate must be positive"),
        (lambda: exponential_span(0.1, 0.0), "alpha must be positive"),
        (lambda: sharp_span(targets.exponential(1.0), 0.1, b=bias.power(0)), "horizon must be given"),
        (lambda: sharp_span(targets.exponential(1.0), 0.1, b=bias.power(-1), horizon=3.0), "diverges"),
        (lambda: window_error(targets.exponential(1.0), -1.0), "window must not be negative"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_is_no_target_or_bias_is_refused():
    one: Any = 1.0
    with pytest.raises(TypeError, match="rho must be a target"):
        sharp_span(one, 0.1)
    with pytest.raises(TypeError, match="rho must be a target"):
        window_error(one, 0.1)
    with pytest.raises(TypeError, match="b must be a bias"):
        sharp_span(targets.exponential(1.0), 0.1, b=one, horizon=3.0)
