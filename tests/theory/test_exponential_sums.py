import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import _Projection, fit_exponential_sum

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=100)

LAGS = np.arange(100.0)
POLYNOMIAL = (1 + 0.1 * LAGS) ** -1.1
FLAT = (100 - LAGS) / 100


def relative_error(fit, values, w):
    rho_hat = np.exp(-np.outer(fit.dt * np.arange(values.size), fit.rates)) @ fit.coefficients
    return math.sqrt((w * (values - rho_hat) ** 2).sum() / (w * values**2).sum())


@pytest.mark.parametrize(("m", "bound"), [(3, 1.33e-3), (4, 1.12e-4), (6, 6.95e-7), (8, 3.65e-9)])
def test_polynomial_memory_is_fitted_as_well_as_known(m, bound):
    fit = fit_exponential_sum(POLYNOMIAL, m, FLAT)
    assert fit.rates.shape == fit.coefficients.shape == (m,)
    assert (fit.rates > 0).all()
    assert (np.diff(fit.rates) > 0).all()
    assert fit.error == pytest.approx(relative_error(fit, POLYNOMIAL, FLAT), abs=4 * EPS * m)
    assert fit.error <= bound


def test_more_terms_never_fit_worse():
    for values in (POLYNOMIAL, np.sin(LAGS), targets.airy()(LAGS)):
        errors = [fit_exponential_sum(values, m, FLAT).error for m in range(1, 7)]
        assert (np.diff(errors) <= 0).all()


def test_the_fit_is_a_local_minimum():
    fit = fit_exponential_sum(POLYNOMIAL, 4, FLAT)
    problem = _Projection(np.sqrt(FLAT), POLYNOMIAL)
    best = np.linalg.norm(problem.residual(np.log(fit.rates)))
    for direction in np.vstack([np.eye(4), -np.eye(4)]):
        moved = np.linalg.norm(problem.residual(np.log(fit.rates) + 1e-3 * direction))
        assert moved > best * (1 + 1e-6)


def test_the_jacobian_is_the_derivative():
    problem = _Projection(np.sqrt(FLAT), POLYNOMIAL)
    at = np.log([0.01, 0.1, 0.5])
    h = 1e-5
    jacobian = problem.jacobian(at)
    for i, unit in enumerate(np.eye(3)):
        slope = (problem.residual(at + h * unit) - problem.residual(at - h * unit)) / (2 * h)
        # central differences: h² of a third derivative of order one, and rounding over h
        np.testing.assert_allclose(jacobian[:, i], slope, rtol=0, atol=h**2 + 16 * EPS / h)


@pytest.mark.parametrize("m", range(1, 15))
def test_one_exponential_needs_one_term(m):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit = fit_exponential_sum(0.9**LAGS, m, FLAT)
    assert fit.rates.size == m
    assert fit.error < 1e-14
    # the spare terms are there, and do nothing
    (active,) = np.nonzero(fit.coefficients)
    assert active.size == 1
    assert fit.rates[active[0]] == pytest.approx(-math.log(0.9), rel=1e-12)
    assert fit.coefficients[active[0]] == pytest.approx(1.0, rel=1e-12)


@steady
@given(
    gaps=st.lists(st.floats(1.5, 4.0), min_size=1, max_size=3),
    slowest=st.floats(0.01, 0.05),
    coefficients=st.lists(st.sampled_from([-2.0, -0.7, 0.5, 1.0, 3.0]), min_size=3, max_size=3),
)
def test_a_sum_of_exponentials_is_recovered(gaps, slowest, coefficients):
    rates = slowest * np.cumprod(gaps)
    c = np.array(coefficients[: rates.size])
    values = targets.exponential_sum(c, rates).on_grid(100).values
    fit = fit_exponential_sum(values, rates.size)
    assert fit.error < 1e-13
    # the condition of the sum, about 1e5 for the closest rates, stands between values and parameters
    np.testing.assert_allclose(fit.rates, rates, rtol=1e-9)
    np.testing.assert_allclose(fit.coefficients, c, rtol=0, atol=1e-9)


def test_weights_decide_where_the_fit_is_good():
    early = np.where(LAGS < 10, 1.0, 1e-6)
    weighted, plain = fit_exponential_sum(POLYNOMIAL, 2, early), fit_exponential_sum(POLYNOMIAL, 2)
    head = slice(0, 10)

    def head_error(fit):
        return np.abs(fit.on_grid(100).values - POLYNOMIAL)[head].max()

    assert head_error(weighted) < 0.2 * head_error(plain)


def test_a_bias_is_its_discrete_values():
    b = bias.exponential(0.1)
    by_bias = fit_exponential_sum(POLYNOMIAL, 3, b, dt=0.5)
    by_values = fit_exponential_sum(POLYNOMIAL, 3, b.discrete(100, 0.5), dt=0.5)
    np.testing.assert_allclose(by_bias.rates, by_values.rates, rtol=1e-6)
    assert by_bias.error == pytest.approx(by_values.error, rel=1e-9)


def test_the_error_is_the_weighted_error_of_the_library():
    fit = fit_exponential_sum(POLYNOMIAL, 3, bias.power(1))
    lost = bias.weighted_error(POLYNOMIAL, fit.on_grid(100).values, bias.power(1))
    all_of_it = bias.weighted_error(POLYNOMIAL, 0 * POLYNOMIAL, bias.power(1))
    assert fit.error == pytest.approx(math.sqrt(lost / all_of_it), rel=1e-9)


def test_rates_are_per_unit_time():
    values = targets.exponential(0.3).on_grid(40, dt=0.25).values
    fit = fit_exponential_sum(values, 1, dt=0.25)
    assert fit.rates[0] == pytest.approx(0.3, rel=1e-12)
    assert float(fit(2.0)) == pytest.approx(math.exp(-0.6), rel=1e-12)
    grid = fit.on_grid(40)
    assert grid.lag.values[-1] == 39 * 0.25
    np.testing.assert_allclose(grid, values, rtol=1e-12)


def test_the_scale_of_values_does_not_matter():
    unit, tiny = fit_exponential_sum(POLYNOMIAL, 3), fit_exponential_sum(1e-12 * POLYNOMIAL, 3)
    np.testing.assert_allclose(tiny.rates, unit.rates, rtol=1e-6)
    np.testing.assert_allclose(tiny.coefficients, 1e-12 * unit.coefficients, rtol=1e-6)


def test_what_no_sum_of_real_exponentials_fits_still_returns_a_sum():
    fit = fit_exponential_sum(np.sin(LAGS), 6)
    assert fit.error == pytest.approx(relative_error(fit, np.sin(LAGS), np.ones(100)), rel=1e-6)
    assert 0.5 < fit.error < 1
    assert np.isfinite(fit.coefficients).all()


def test_fits_are_deterministic():
    first, second = fit_exponential_sum(POLYNOMIAL, 5), fit_exponential_sum(POLYNOMIAL, 5)
    assert np.array_equal(first.rates, second.rates)
    assert np.array_equal(first.coefficients, second.coefficients)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: fit_exponential_sum([1.0, math.nan]), "values must be finite"),
        (lambda: fit_exponential_sum(np.ones((2, 2))), "values must have 1 dimension"),
        (lambda: fit_exponential_sum(np.ones(7), 4), "terms must be at most half the 7"),
        (
            lambda: fit_exponential_sum(np.ones(8), 4, [1, 1, 1, 1, 1, 1, 1, 0]),
            "terms must be at most half the 7",
        ),
        (lambda: fit_exponential_sum(np.ones(8), 0), "terms must be at least 1"),
        (lambda: fit_exponential_sum(np.ones(8), 2, -np.ones(8)), "weight must not be negative"),
        (
            lambda: fit_exponential_sum(np.ones(8), 2, np.ones(7)),
            "weight must have one value per lag, 8, got 7",
        ),
        (lambda: fit_exponential_sum(np.zeros(8), 2), "values must not be zero"),
        (lambda: fit_exponential_sum(np.ones(8), 2, dt=0.0), "dt must be positive"),
        (lambda: fit_exponential_sum(np.ones(8), 2)(-1.0), "t must not be negative"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
