import math
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, optimize

from curse_of_memory.theory import targets
from curse_of_memory.theory.approximation_rates import (
    best_spacing,
    equispaced_error,
    l1_norm,
    truncation_terms,
)
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.exponential_sums.geometric_sums import geometric_exponential_sum
from curse_of_memory.theory.exponential_sums.l1_fit import fit_l1, l1_error
from curse_of_memory.theory.targets.far_bump import far_bump
from curse_of_memory.theory.targets.rate_targets import damped, kink

# mpmath has no types
quad: Callable[..., Any] = mpmath.quad
EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=30)


def l1_by_quadrature(target, rates, coefficients, end=60.0):
    """∫_0^end |ρ − ρ̂| by a fine composite rule, and what is left of both beyond."""
    edges = np.concatenate([[0.0], np.geomspace(1e-4, end, 1500)])
    nodes, weights = np.polynomial.legendre.leggauss(8)
    half = np.diff(edges)[:, None] / 2
    t = edges[:-1, None] + half * (1 + nodes)
    fitted = np.exp(-np.multiply.outer(t, rates)) @ coefficients
    inside = float((half * weights * np.abs(target(t) - fitted)).sum())
    beyond = float(target.tail(end)) - float(np.exp(-end * np.asarray(rates)) / rates @ coefficients)
    return inside + abs(beyond)


@pytest.mark.parametrize(
    "rho", [kink(1), kink(3, at=0.7), damped(), damped(2, 0.3)], ids=lambda rho: rho.name
)
def test_tails_and_formulas_are_those_of_the_values(rho):
    symbol = rho.formula.free_symbols.pop()
    for t in (0.0, 0.4, 2.5):
        assert float(rho(t)) == pytest.approx(float(rho.formula.subs(symbol, t)), rel=32 * EPS, abs=EPS)
        with mpmath.workdps(20):
            edges = [t, *[e for e in (0.7, 1.0, 4.0, 20.0) if e > t], mpmath.inf]
            tail = quad(lambda x: mpmath.mpf(float(rho(float(x)))), edges)
        assert float(rho.tail(t)) == pytest.approx(float(tail), rel=1e-9, abs=1e-12)


def test_a_damped_tail_far_out_is_zero_and_not_nan():
    assert damped(1, 2.0).tail([1e3, 1e30]).tolist() == [0.0, 0.0]


# the bracket under fixed exponents


@pytest.mark.parametrize(("rho", "rate"), [(targets.polynomial(2.0), 0.3), (damped(), 0.5), (kink(2), 1.0)])
@pytest.mark.parametrize("m", [1, 2, 5])
def test_the_best_coefficients_found_lie_in_the_bracket(rho, rate, m):
    bracket = equispaced_error(rho, m, rate)
    rates = rate * np.arange(1, m + 1)
    # an independent search: linear programming on a grid, whose optimum is then measured by quadrature
    edges = np.concatenate([np.linspace(0, 4, 401), np.geomspace(4.02, 4000, 400)])
    t, dt = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    basis = np.exp(-np.outer(t, rates))
    n = t.size
    found = optimize.linprog(
        np.concatenate([np.zeros(m), dt]),
        A_ub=np.block([[basis, -np.eye(n)], [-basis, -np.eye(n)]]),
        b_ub=np.concatenate([rho(t), -rho(t)]),
        bounds=[(None, None)] * m + [(0, None)] * n,
    )
    error = l1_by_quadrature(rho, rates, found.x[:m], end=3000.0)
    assert bracket.lower * (1 - 1e-6) <= error  # theorem: no coefficients beat the lower bound
    assert error <= bracket.upper * 1.01  # the grid's optimum is nearly the best


@steady
@given(
    m=st.integers(1, 12),
    rate=st.floats(1e-3, 3.0),
    c=st.lists(st.floats(-2, 2), min_size=12, max_size=12),
    exponent=st.sampled_from([1.5, 2.0, 3.0]),
)
def test_no_coefficients_beat_the_lower_bound(m, rate, c, exponent):
    rho, c = targets.polynomial(exponent), np.array(c[:m])
    bracket = equispaced_error(rho, m, rate)
    assert bracket.lower <= bracket.upper
    rates = rate * np.arange(1, m + 1)
    assert bracket.lower <= l1_error(rho, ExponentialSum(rates=rates, coefficients=c)) * (1 + 1e-12) + 1e-12


@steady
@given(order=st.integers(1, 3), m=st.integers(1, 24), at=st.floats(0.2, 3.0))
def test_bounds_are_in_order_beside_a_kink(order, m, at):
    found = equispaced_error(kink(order, at), m)
    assert 0 <= found.lower <= found.upper


@pytest.mark.parametrize(("at", "m", "rate"), [(1.10581, 20, 0.003517046), (0.245403, 6, 0.0106131068)])
def test_a_kink_just_beside_a_node_is_not_stepped_over(at, m, rate):
    found = equispaced_error(kink(1, at), m, rate)
    assert found.lower <= found.upper <= found.lower * (1 + 1e-8)


def test_bounds_agree_where_the_interpolant_is_best():
    for m in (2, 8, 32):
        found = equispaced_error(targets.polynomial(2.0), m, rate=0.3)
        assert found.upper == pytest.approx(found.lower, rel=1e-8)


def test_a_sum_with_these_exponents_has_no_error():
    rho = targets.exponential_sum(coefficients=[1.0, 2.0], rates=[0.5, 1.5])
    found = equispaced_error(rho, 3, rate=0.5)
    assert found.lower <= found.upper < 200 * EPS * rho.norm(1)
    assert equispaced_error(rho, 2, rate=0.5).lower > 0.01


def test_more_terms_never_fit_worse():
    # the best error never grows: each lower bound is below every earlier upper bound
    for rho in (kink(1), kink(2), damped()):
        found = [equispaced_error(rho, m) for m in range(1, 20)]
        upper = np.minimum.accumulate([e.upper for e in found])
        assert all(e.lower <= u for e, u in zip(found[1:], upper, strict=False))


def test_units_of_time_do_not_matter():
    slow, fast = targets.polynomial(2.0, rate=0.01), targets.polynomial(2.0)
    stretched, plain = equispaced_error(slow, 6, rate=0.003), equispaced_error(fast, 6, rate=0.3)
    assert stretched.upper == pytest.approx(100 * plain.upper, rel=1e-9)
    assert stretched.lower == pytest.approx(100 * plain.lower, rel=1e-9)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_slope_follows_the_smoothness(order):
    # the constant wanders with the place of the kink among the zeros: means over an octave do so less
    def slope(bound):
        near, far = (
            np.mean([math.log(getattr(equispaced_error(kink(order), m, extra=20), bound)) for m in octave])
            for octave in (range(8, 16), range(64, 128, 7))
        )
        return (far - near) / math.log(8)

    assert slope("lower") == pytest.approx(-(order + 1), abs=0.2)
    assert slope("upper") == pytest.approx(-(order + 1), abs=0.4)


@pytest.mark.parametrize("omega", [0.5, 1.0])
def test_equispaced_exponents_need_about_the_root_of_the_estimate(omega):
    rho = targets.polynomial(1 + omega)
    errors = [best_spacing(rho, m).upper for m in (32, 128)]
    slope = math.log(errors[1] / errors[0]) / math.log(4)
    # (ln m / m²)^ω, up to constants: flatter than −2ω, and far steeper than the −ω of the estimate
    assert -2.05 * omega < slope < -1.7 * omega


def test_the_best_spacing_is_no_worse_than_its_neighbours():
    rho = targets.polynomial(2.0)
    best = best_spacing(rho, 6)
    for factor in (0.5, 0.9, 1.1, 2.0):
        assert best.upper <= equispaced_error(rho, 6, factor * best.rate).upper


def test_a_fixed_spacing_gains_only_logarithmically():
    rho = targets.polynomial(2.0)
    few, many = (equispaced_error(rho, m, rate=1.0).lower for m in (32, 256))
    # what is beyond the last zero, t = 2 ln(2(m+1)/π), is out of reach: an error of (ln m)^{−1}
    assert many > few / 2


def test_the_truncation_estimate():
    assert truncation_terms(0.5, 0.1) == pytest.approx(50.0, rel=4 * EPS)
    assert truncation_terms(2.0, 1e-4) == pytest.approx(200.0, rel=4 * EPS)


# geometric exponents with a certificate


@steady
@given(exponent=st.floats(1.2, 4.0), digits=st.floats(0.5, 8.0), rate=st.sampled_from([0.1, 1.0, 7.0]))
def test_the_certificate_holds(exponent, digits, rate):
    rho = targets.polynomial(exponent, rate=rate)
    tolerance = 10.0**-digits * rho.norm(1)
    found = geometric_exponential_sum(rho, tolerance)
    assert found.bound <= tolerance
    assert found.bound == pytest.approx(found.discretization + found.truncation, rel=4 * EPS)
    measured = l1_error(rho, found.sum)
    assert measured <= found.bound + 64 * EPS * rho.norm(1)
    assert measured > found.bound / 50  # and it is not vacuous


@pytest.mark.parametrize(
    ("exponent", "share", "message"),
    [
        (1.5, 1.0, "tolerance must be below the L1 norm"),
        (1.5, 1e-13, "tolerance must be at least 1e-12"),
        (1.01, 1e-4, "rates below 1e-290"),  # the rate at which the tail is left out is e^{-921}
    ],
)
def test_a_tolerance_that_no_sum_can_have_is_refused(exponent, share, message):
    rho = targets.polynomial(exponent)
    with pytest.raises(ValueError, match=message):
        geometric_exponential_sum(rho, share * rho.norm(1))


def test_one_term_remains_at_a_tolerance_just_below_the_norm():
    rho = targets.polynomial(4.0, rate=0.1)
    found = geometric_exponential_sum(rho, 0.999 * rho.norm(1))
    assert found.sum.rates.size == 1
    assert l1_error(rho, found.sum) <= found.bound


def test_rates_are_geometric_and_coefficients_positive():
    found = geometric_exponential_sum(targets.polynomial(1.5), 1e-4)
    np.testing.assert_allclose(np.diff(np.log(found.sum.rates)), found.step, rtol=1e-9)
    assert (found.sum.coefficients > 0).all()


@pytest.mark.parametrize("omega", [0.5, 1.0, 2.0])
def test_terms_grow_like_the_square_of_the_digits(omega):
    rho = targets.polynomial(1 + omega)
    terms = [geometric_exponential_sum(rho, 10.0**-digits).sum.rates.size for digits in (3, 6, 9)]
    # a quadratic has constant second differences; a power of 1/ε would multiply the terms
    assert terms[2] - terms[1] < 2.5 * (terms[1] - terms[0])
    assert terms[2] < truncation_terms(omega, 1e-9) / 100


def test_the_sum_is_the_trapezoidal_rule():
    a = 2.5
    found = geometric_exponential_sum(targets.polynomial(a), 1e-9)
    t = np.array([0.0, 0.3, 4.0, 100.0])
    np.testing.assert_allclose(found.sum(t), (1 + t) ** -a, rtol=0, atol=1e-8)


# the L¹ error and free exponents


@steady
@given(
    c=st.lists(st.floats(-3, 3).filter(lambda x: abs(x) > 1e-3), min_size=3, max_size=3),
    lam=st.lists(st.floats(0.2, 5.0), min_size=3, max_size=3, unique=True),
)
def test_the_l1_error_is_the_integral(c, lam):
    rho = damped(1, 0.5)
    error = l1_error(rho, ExponentialSum(rates=np.array(lam), coefficients=np.array(c)))
    # the rule has an error where |·| has its kinks: panels of 1 % of t, a thousandth of the integral
    assert error == pytest.approx(l1_by_quadrature(rho, np.array(lam), np.array(c)), rel=1e-3)


def test_the_l1_error_of_nothing_is_the_norm():
    rho = targets.polynomial(1.5)
    tiny = ExponentialSum(rates=np.array([1.0]), coefficients=np.array([1e-300]))
    assert l1_error(rho, tiny) == pytest.approx(rho.norm(1), rel=4 * EPS)


@pytest.fixture(scope="module")
def free():
    chosen = [targets.polynomial(1.5), targets.polynomial(2.0), damped(1, 1.0)]
    return {rho.name: (rho, fit_l1(rho, 5)) for rho in chosen}


def test_the_error_of_a_free_fit_is_measured_right(free):
    rho, fits = free[damped(1, 1.0).name]
    for fit in fits[:3]:
        measured = integrate.quad(
            lambda t, s=fit.sum: abs(float(rho(t)) - float(s(t))), 0, 40, limit=500, epsabs=1e-10
        )[0]
        assert fit.error == pytest.approx(measured, abs=1e-7)


def test_free_fits_have_all_the_sign_changes_there_can_be(free):
    for _, fits in free.values():
        assert [fit.sign_changes for fit in fits] == [2, 4, 6, 8, 10]


def test_free_fits_are_local_minima(free):
    rho, fits = free["polynomial(exponent=2, rate=1)"]
    fit = fits[2]
    parameters = np.concatenate([fit.sum.coefficients, fit.sum.rates])
    for direction in np.vstack([np.eye(6), -np.eye(6), np.random.default_rng(0).standard_normal((6, 6))]):
        c, lam = np.split(parameters * (1 + 1e-3 * direction), 2)
        assert l1_error(rho, ExponentialSum(rates=lam, coefficients=c)) > fit.error


def test_free_beats_geometric_beats_equispaced_beats_the_estimate(free):
    rho, fits = free["polynomial(exponent=2, rate=1)"]
    error = 8.5e-3
    assert fits[4].error < error < fits[3].error
    geometric = geometric_exponential_sum(rho, error).sum.rates.size
    assert 5 < geometric < 16
    assert best_spacing(rho, 16).lower > error  # at the spacing found, certified
    assert best_spacing(rho, 32).upper < error < 32 / truncation_terms(1.0, error)


def test_free_errors_of_a_smooth_exponential_memory_fall_geometrically(free):
    errors = [fit.error for fit in free[damped(1, 1.0).name][1]]
    ratios = np.divide(errors[1:], errors[:-1])
    assert ratios.max() < 0.1  # every further term gains a digit: faster than any power
    assert equispaced_error(damped(1, 1.0), 5, rate=0.5).lower > 1000 * errors[4]


def test_the_slowest_rate_is_kept_away_from_zero_by_exponential_memory_only(free):
    exponential = [fit.sum.rates.min() for fit in free[damped(1, 1.0).name][1]]
    assert min(exponential) > 1.0  # its mixture has no rate below
    polynomial = [fit.sum.rates.min() for fit in free["polynomial(exponent=1.5, rate=1)"][1]]
    assert (np.diff(np.log(polynomial)) < -1).all()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: equispaced_error(targets.polynomial(1.0), 3), ValueError, "finite L1 norm"),
        (lambda: equispaced_error(np.ones(3), 3), TypeError, "target must be a Target"),  # pyright: ignore[reportArgumentType]
        (lambda: equispaced_error(damped(), 0), ValueError, "terms must be at least 1"),
        (lambda: equispaced_error(damped(), 3, rate=0.0), ValueError, "rate must be positive"),
        (lambda: equispaced_error(damped(), 3, extra=-1), ValueError, "extra must not be negative"),
        (lambda: equispaced_error(targets.airy(), 3), ValueError, "target must not be negative"),
        (lambda: best_spacing(targets.sine(), 3), ValueError, "finite L1 norm"),
        (lambda: l1_norm(targets.polynomial(0.5)), ValueError, "finite L1 norm"),
        (lambda: truncation_terms(0.0, 0.1), ValueError, "omega must be positive"),
        (lambda: truncation_terms(1.0, math.nan), ValueError, "error must be finite"),
        (lambda: geometric_exponential_sum(damped(), 0.1), TypeError, "one of targets.polynomial"),
        (lambda: geometric_exponential_sum(targets.polynomial(1.0), 0.1), ValueError, "finite L1 norm"),
        (lambda: geometric_exponential_sum(targets.polynomial(2.0), 1e-13), ValueError, "at least 1e-12"),
        (
            lambda: l1_error(targets.airy(), ExponentialSum(rates=[1.0], coefficients=[1.0])),
            ValueError,
            "must not be negative",
        ),
        (
            lambda: l1_error(damped(), ExponentialSum(rates=[1 + 1j, 1 - 1j], coefficients=[0.5, 0.5])),
            ValueError,
            "fitted must have real rates",
        ),
        (lambda: fit_l1(damped(), 0), ValueError, "terms must be at least 1"),
        (lambda: fit_l1(targets.shift(), 2), ValueError, r"target\(0\) must be positive"),
        (lambda: kink(0), ValueError, "order must be at least 1"),
        (lambda: damped(1, rate=101.0), ValueError, "rate must be at most 100"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_a_narrow_bump_does_not_escape_the_bracket():
    found = equispaced_error(far_bump(20.0, 0.005), 4, 0.1)
    # e^{−t} costs at most its norm; of a bump of integral 1 in (19.9, 20.1) no smooth sum has more than its
    # values there, e^{−0.1·20} Σ|c| over 0.2, so the error is nearly 1 at least, and zero coefficients give 2
    assert 0.9 < found.lower <= found.upper < 2.0
