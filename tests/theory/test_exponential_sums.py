import math
import warnings

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import (
    ExponentialSum,
    fit_exponential_sum,
    fit_exponential_sums,
)
from curse_of_memory.theory.sums.lag_weights import lag_weights
from curse_of_memory.theory.sums.modes import RealRates
from curse_of_memory.theory.sums.variable_projection import Projection

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=100)

LAGS = np.arange(100.0)
POLYNOMIAL = (1 + 0.1 * LAGS) ** -1.1
FLAT = (100 - LAGS) / 100
SMOOTH = 1 / (30 + np.arange(16.0))


def relative_error(fit, values, w):
    lags = fit.dt * np.arange(values.size)
    rho_hat = (np.exp(-np.outer(lags, fit.rates)) @ fit.coefficients).real
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
        errors = [fit_exponential_sum(values, m, FLAT).error for m in range(1, 6)]
        assert (np.diff(errors) <= 0).all()


def test_the_fit_is_a_local_minimum():
    fit = fit_exponential_sum(POLYNOMIAL, 4, FLAT)
    problem = Projection(RealRates(100), np.sqrt(FLAT), POLYNOMIAL)
    best = np.linalg.norm(problem.residual(np.log(fit.rates)))
    for direction in np.vstack([np.eye(4), -np.eye(4)]):
        moved = np.linalg.norm(problem.residual(np.log(fit.rates) + 1e-3 * direction))
        assert moved > best * (1 + 1e-6)


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


@settings(steady, max_examples=20)
@given(
    gaps=st.lists(st.floats(1.5, 4.0), min_size=1, max_size=3),
    slowest=st.floats(0.01, 0.05),
    coefficients=st.lists(st.sampled_from([-2.0, -0.7, 0.5, 1.0, 3.0]), min_size=3, max_size=3),
)
def test_a_sum_of_exponentials_is_recovered(gaps, slowest, coefficients):
    rates = slowest * np.cumprod(gaps)
    c = np.array(coefficients[: rates.size])
    values = targets.exponential_sum(coefficients=c, rates=rates).on_grid(100).values
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


@pytest.mark.parametrize("modes", ["real", "complex"])
def test_all_widths_at_once_are_the_fits_one_by_one(modes):
    together = fit_exponential_sums(targets.airy()(LAGS), 3, FLAT, modes=modes)
    for m, fit in enumerate(together, start=1):
        alone = fit_exponential_sum(targets.airy()(LAGS), m, FLAT, modes=modes)
        assert np.array_equal(fit.rates, alone.rates)
        assert fit.error == alone.error


@pytest.mark.parametrize("name", ["airy", "shift", "sine", "two_parts"])
def test_conjugate_pairs_never_fit_worse(name):
    values = getattr(targets, name)()(LAGS)
    real, pairs = (fit_exponential_sums(values, 4, FLAT, modes=modes) for modes in ("real", "complex"))
    assert all(p.error <= r.error for p, r in zip(pairs, real, strict=True))
    assert (np.diff([p.error for p in pairs]) <= 0).all()
    assert [p.rates.size for p in pairs] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("terms", "real", "pairs"), [(4, 0.8, 0.17983), (6, 0.07, 3.879e-5), (7, 7e-3, 1.82e-7)]
)
def test_an_oscillating_memory_wants_conjugate_pairs(terms, real, pairs):
    values = targets.airy()(LAGS)
    assert fit_exponential_sum(values, terms, FLAT).error > real
    fit = fit_exponential_sum(values, terms, FLAT, modes="complex")
    assert fit.error <= pairs
    assert fit.error == pytest.approx(relative_error(fit, values, FLAT), abs=64 * EPS)


@settings(steady, max_examples=8)
@given(
    damping=st.floats(0.005, 0.2),
    frequency=st.floats(0.05, 3.0),
    real=st.floats(0.3, 1.0),
    phase=st.floats(0.0, 6.0),
)
def test_a_damped_oscillation_is_recovered(damping, frequency, real, phase):
    values = np.exp(-damping * LAGS) * np.cos(frequency * LAGS + phase) + np.exp(-real * LAGS)
    fit = fit_exponential_sum(values, 3, modes="complex")
    assert fit.error < 1e-12
    expected = np.array([damping - 1j * frequency, damping + 1j * frequency, real])
    np.testing.assert_allclose(fit.rates[np.lexsort([fit.rates.imag, fit.rates.real])], expected, rtol=1e-6)


def test_what_rings_on_forever_is_recovered_from_inside():
    fit = fit_exponential_sum(np.sin(LAGS), 2, modes="complex")
    assert fit.error < 16 * EPS
    np.testing.assert_allclose(fit.rates.imag, [-1.0, 1.0], rtol=1e-12)
    assert (fit.rates.real > 0).all()


def test_a_double_rate_is_met_by_two_close_ones():
    fit = fit_exponential_sum(LAGS * np.exp(-0.1 * LAGS), 2, modes="complex")
    # rates kept apart by 1e-5 of the horizon's inverse err by the square of that
    assert fit.error < 1e-9
    np.testing.assert_allclose(fit.rates, [0.1, 0.1], rtol=1e-5)


@pytest.mark.parametrize(
    ("values", "terms", "limit"),
    [
        (POLYNOMIAL, 3, False),
        (POLYNOMIAL, 8, False),
        (SMOOTH, 6, True),  # a smooth kernel: an error below 1e-14
        (0.9**LAGS, 2, True),  # an exact sum: nothing for the second term to do
        (np.sin(LAGS), 8, True),  # real rates want to coincide
    ],
)
def test_a_fit_says_when_float64_has_no_more_to_give(values, terms, limit):
    fit = fit_exponential_sum(values, terms)
    assert fit.at_limit is limit
    assert limit == (fit.conditioning >= 1e9 or fit.error < 1e-14)


def test_beyond_the_limit_more_terms_do_not_help():
    fits = fit_exponential_sums(SMOOTH, 7)
    assert fits[-1].at_limit
    assert fits[-1].error > 0.1 * fits[-2].error


def test_conditioning_is_that_of_the_weighted_exponentials():
    fit = fit_exponential_sum(POLYNOMIAL, 3, FLAT)
    basis = np.sqrt(FLAT)[:, None] * np.exp(-np.outer(LAGS, fit.rates))
    assert fit.conditioning == pytest.approx(np.linalg.cond(basis), rel=1e-9)


@pytest.mark.parametrize("modes", ["real", "complex"])
@pytest.mark.parametrize("m", [1, 2, 3, 4])
def test_no_system_of_as_many_states_fits_better(m, modes):
    fit = fit_exponential_sum(POLYNOMIAL, m, FLAT, modes=modes)
    assert 0.95 * fit.error < fit.lower_bound <= fit.error


def test_a_sum_of_ones_own_has_no_error_and_no_bound():
    own = ExponentialSum(rates=[0.5, 0.1], coefficients=[1.0, 2.0])
    assert math.isnan(own.error)
    assert (own.dt, own.lower_bound, own.at_limit) == (1.0, 0.0, False)


def test_a_complex_sum_is_real():
    own = ExponentialSum(rates=[0.1 + 2j, 0.1 - 2j, 0.3], coefficients=[1 - 0.5j, 1 + 0.5j, 2.0])
    t = np.linspace(0, 5, 7)
    wave = 2 * np.exp(-0.1 * t) * (np.cos(2 * t) - 0.5 * np.sin(2 * t)) + 2 * np.exp(-0.3 * t)
    np.testing.assert_allclose(own(t), wave, rtol=0, atol=32 * EPS)
    assert own(t).dtype == float


def test_lag_weights_are_ones_a_bias_or_given():
    assert lag_weights(None, 3).tolist() == [1, 1, 1]
    np.testing.assert_allclose(lag_weights(bias.power(0), 4), [1, 0.75, 0.5, 0.25])
    assert lag_weights([8, 4], 2).tolist() == [1, 0.5]


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
        (lambda: fit_exponential_sum(np.ones(8), 2, modes="pairs"), "modes must be one of 'real', 'complex'"),
        (lambda: ExponentialSum(rates=[0.0], coefficients=[1.0]), "rates must have positive real parts"),
        (
            lambda: ExponentialSum(rates=[-0.1 + 1j, -0.1 - 1j], coefficients=[1, 1]),
            "rates must have positive real parts",
        ),
        (lambda: ExponentialSum(rates=[1.0], coefficients=[1.0, 2.0]), "agree in length, got 1, 2"),
        (lambda: ExponentialSum(rates=[0.1 + 1j], coefficients=[1.0]), "real or come in conjugate pairs"),
        (
            lambda: ExponentialSum(rates=[0.1 + 1j, 0.1 - 1j], coefficients=[1.0, 2.0]),
            "real or come in conjugate pairs",
        ),
        (lambda: ExponentialSum(rates=[0.1], coefficients=[1j]), "real or come in conjugate pairs"),
        (lambda: ExponentialSum(rates=[complex(0.1, math.nan)], coefficients=[1.0]), "rates must be finite"),
        (lambda: ExponentialSum(rates=[], coefficients=[]), "rates must not be empty"),
        (lambda: ExponentialSum(rates=[1.0], coefficients=[1.0], dt=0.0), "dt must be positive"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_spike_is_fitted_as_well_as_a_global_search_over_the_rates_does():
    """Differential evolution over log λ, with the best coefficients for each, finds nothing better."""
    rho = np.zeros(60)
    rho[10] = 1.0

    def error(log_rates):
        basis = np.exp(-np.outer(np.arange(60), np.exp(log_rates)))
        return np.linalg.norm(rho - basis @ np.linalg.lstsq(basis, rho)[0])

    for terms in (2, 3, 4):
        bounds = [(np.log(1e-4), np.log(30.0))] * terms
        found = scipy.optimize.differential_evolution(error, bounds, rng=0, popsize=30, maxiter=200, tol=1e-8)
        # lstsq drops directions below its rounding threshold, the fit keeps them
        assert fit_exponential_sum(rho, terms=terms).error <= found.fun * (1 + 1e-4)
