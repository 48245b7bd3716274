import math
import warnings

import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.bias.lag_weights import lag_weights
from curse_of_memory.theory.exponential_sums import (
    ExponentialSum,
    fit_exponential_sum,
    fit_exponential_sums,
)
from curse_of_memory.theory.exponential_sums.modes import RealRates
from curse_of_memory.theory.exponential_sums.samples import Samples
from curse_of_memory.theory.exponential_sums.variable_projection import Projection

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


@pytest.mark.slow
@pytest.mark.parametrize(("m", "bound"), [(3, 1.33e-3), (4, 1.12e-4), (6, 6.95e-7), (8, 3.65e-9)])
def test_polynomial_memory_is_fitted_as_well_as_known(m, bound):
    fit = fit_exponential_sum(POLYNOMIAL, m, FLAT)
    assert fit.rates.shape == fit.coefficients.shape == (m,)
    assert (fit.rates > 0).all()
    assert (np.diff(fit.rates) > 0).all()
    assert fit.error == pytest.approx(relative_error(fit, POLYNOMIAL, FLAT), abs=4 * EPS * m)
    assert fit.error <= bound


def residuals(basis, y):
    """Return the distances of y to the spans of a stack of bases, shape (k, n, m)."""
    Q = np.linalg.qr(basis)[0]
    return np.linalg.norm(y - np.einsum("kni,ki->kn", Q, np.einsum("kni,n->ki", Q, y)), axis=1)


def best_of_random_rates(values, w, m, draws, signs=(1.0,)):
    """Search globally without the library: draws, scattered and clustered, the best of them improved."""
    lags, y = np.arange(values.size), np.sqrt(w) * values
    y = y / np.linalg.norm(y)
    scattered = draws.uniform(math.log(0.3 / values.size), math.log(8), (1500, m))
    widths = np.exp(draws.uniform(math.log(3e-3), math.log(0.5), (1500, 1)))
    clustered = scattered[:, :1] + widths * draws.uniform(-1, 1, (1500, m))
    logs, sign = np.concatenate([scattered, clustered]), draws.choice(signs, (3000, m))

    def error(logs, sign):
        basis = sign[:, None, :] ** lags[:, None] * np.exp(-lags[:, None] * np.exp(logs)[:, None, :])
        basis = np.sqrt(w)[:, None] * basis
        # what is no better conditioned than this has no coefficients in float64
        return np.where(np.linalg.cond(basis) < 1e9, residuals(basis, y), 1.0)

    errors = error(logs, sign)
    improved = [
        scipy.optimize.minimize(
            lambda one, i=i: error(one[None], sign[i : i + 1])[0],
            logs[i],
            method="Nelder-Mead",
            options={"maxfev": 150 * m},
        ).fun
        for i in np.argsort(errors)[:3]
    ]
    return min(improved)


TAIL = np.exp(-LAGS[:60] / 15)
NOISE = np.random.default_rng(4).standard_normal(60)


@pytest.mark.slow
@pytest.mark.parametrize("m", [2, 3, 4])
@pytest.mark.parametrize(
    ("values", "w"),
    [
        (targets.airy()(LAGS[:60]), FLAT[:60]),
        (targets.two_parts()(LAGS[:60]), TAIL),
        (np.cos(0.4 * LAGS[:60]) * TAIL, np.ones(60)),
        (NOISE, TAIL),
        ((1 + LAGS[:60]) ** -1.5 - 0.3, FLAT[:60] ** 3),
    ],
    ids=["airy", "two parts", "oscillation", "noise", "difference"],
)
def test_no_global_search_over_real_rates_finds_more(values, w, m):
    found = best_of_random_rates(values, w, m, np.random.default_rng(m))
    assert fit_exponential_sum(values, m, w).error <= found * (1 + 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("m", [1, 2, 3])
def test_no_global_search_over_multipliers_of_either_sign_finds_more(m):
    for values in (NOISE, 0.8 ** LAGS[:60] - 0.5 * (-0.6) ** LAGS[:60] + 0.1 * NOISE * TAIL):
        found = best_of_random_rates(values, FLAT[:60], m, np.random.default_rng(m), signs=(-1.0, 1.0))
        assert fit_exponential_sum(values, m, FLAT[:60], modes="discrete").error <= found * (1 + 1e-6)


def test_the_fit_is_a_local_minimum():
    fit = fit_exponential_sum(POLYNOMIAL, 4, FLAT)
    problem = Projection(RealRates(np.arange(100)), Samples(POLYNOMIAL, np.sqrt(FLAT)))
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


@pytest.mark.slow
@pytest.mark.parametrize("modes", ["real", "discrete"])
def test_a_power_of_two_changes_nothing_but_the_scale(modes):
    values = targets.two_parts()(LAGS[:30])
    unit = fit_exponential_sum(values, 2, FLAT[:30], modes=modes)
    for power in (900, -900):
        fit = fit_exponential_sum(np.ldexp(values, power), 2, FLAT[:30], modes=modes)
        # exact as long as nothing underflows
        assert np.array_equal(fit.rates, unit.rates)
        assert np.array_equal(fit.coefficients, 2.0**power * unit.coefficients)
        assert fit.error == unit.error
        assert fit.lower_bound == pytest.approx(unit.lower_bound, rel=1e-12)


@pytest.mark.parametrize("scale", [1e300, 1e-12, 1e-300])
def test_the_scale_of_values_does_not_matter(scale):
    unit, scaled = fit_exponential_sum(POLYNOMIAL, 3), fit_exponential_sum(scale * POLYNOMIAL, 3)
    np.testing.assert_allclose(scaled.rates, unit.rates, rtol=1e-6)
    np.testing.assert_allclose(scaled.coefficients / scale, unit.coefficients, rtol=1e-6)
    assert scaled.lower_bound == pytest.approx(unit.lower_bound, rel=1e-3)


def test_coefficients_beyond_float64_are_refused():
    # five rates near 1.5, coefficients of 1e9 times the values
    with pytest.raises(ValueError, match="values must be smaller"):
        fit_exponential_sum(1e305 * targets.airy()(LAGS), 5)


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


@pytest.mark.slow
@pytest.mark.parametrize("name", ["airy", "shift", "sine", "two_parts"])
def test_conjugate_pairs_never_fit_worse(name):
    values = getattr(targets, name)()(LAGS)
    real, pairs = (fit_exponential_sums(values, 4, FLAT, modes=modes) for modes in ("real", "complex"))
    assert all(p.error <= r.error for p, r in zip(pairs, real, strict=True))
    assert (np.diff([p.error for p in pairs]) <= 0).all()
    assert [p.rates.size for p in pairs] == [1, 2, 3, 4]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("terms", "rates"),
    [
        (4, 0.925 * (1 + 0.002 * np.linspace(-1, 1, 4))),
        (5, 1.533 * (1 + 0.02 * np.linspace(-1, 1, 5))),
        (6, 2.06 * (1 + 0.08 * np.linspace(-1, 1, 6))),
        (7, 2.65 * np.exp(0.3 * np.linspace(-1, 1, 7))),
    ],
)
def test_an_oscillating_memory_is_met_by_nearly_equal_rates(terms, rates):
    """The least squares of rates close to each other, solved here, are a sum that the fit must not miss."""
    values = targets.airy()(LAGS)
    root = np.sqrt(FLAT)
    y = root * values / np.linalg.norm(root * values)
    basis = root[:, None] * np.exp(-np.outer(LAGS, rates))
    assert np.linalg.cond(basis) < 1e10
    known = np.linalg.norm(y - basis @ np.linalg.lstsq(basis, y, rcond=1e-12)[0])
    fit = fit_exponential_sum(values, terms, FLAT)
    assert fit.error <= known * (1 + 1e-6)
    assert fit.at_limit
    # its coefficients are large: what they are multiplied by is known to an eps
    rounding = 8 * EPS * np.abs(fit.coefficients).sum()
    assert fit.error == pytest.approx(relative_error(fit, values, FLAT), abs=rounding)


@pytest.mark.slow
@pytest.mark.parametrize("m", [3, 5, 7])
@pytest.mark.parametrize("name", ["iat-code-airy", "iat-code-shift"])
def test_the_error_of_the_limit_is_no_larger_than_that_of_one_rate_taken_m_times(m, name):
    """The best λ of t^k e^{−λt}, k < m, which Laguerre functions span, found on a grid and improved."""
    values, root = targets.named(name)(LAGS), np.sqrt(FLAT)
    y = root * values / np.linalg.norm(root * values)

    def error(log_rate):
        scaled = LAGS * math.exp(log_rate)
        powers = np.polynomial.laguerre.lagvander(2 * scaled, m - 1) * np.exp(-scaled)[:, None]
        return residuals((root[:, None] * powers)[None], y)[0]

    grid = np.linspace(math.log(0.03), math.log(4.0), 200)
    at = np.clip(np.argmin([error(x) for x in grid]), 1, 198)
    between = (grid[at - 1], grid[at + 1])
    best = error(scipy.optimize.fminbound(error, *between))
    fit = fit_exponential_sum(values, m, FLAT)
    assert fit.limit_error <= best * (1 + 1e-6)
    assert fit.limit_error <= fit.error


@pytest.mark.slow
def test_padding_with_zeros_changes_no_more_than_the_problem():
    """More lags make no error smaller, and the sum of before, continued, is one of the sums of after."""
    values = np.exp(-LAGS[:60] / 8) * np.cos(0.6 * LAGS[:60])
    of_before = fit_exponential_sums(values, 4)[1:]
    for more in (1, 40, 400):
        padded = np.append(values, np.zeros(more))
        for before, after in zip(of_before, fit_exponential_sums(padded, 4)[1:], strict=True):
            continued = relative_error(before, padded, np.ones(padded.size))
            assert before.limit_error * (1 - 1e-6) <= after.error <= continued * (1 + 1e-4)


@pytest.mark.slow
def test_an_oscillating_memory_wants_conjugate_pairs():
    values = targets.airy()(LAGS)
    pairs, real = (fit_exponential_sums(values, 7, FLAT, modes=modes) for modes in ("complex", "real"))
    for terms, error in ((4, 0.17983), (6, 3.879e-5), (7, 1.82e-7)):
        fit = pairs[terms - 1]
        assert fit.error <= error
        assert fit.error == pytest.approx(relative_error(fit, values, FLAT), abs=64 * EPS)
        assert fit.error < 0.5 * real[terms - 1].error


def test_an_alternating_memory_takes_one_negative_multiplier():
    fit = fit_exponential_sum((-0.5) ** LAGS, 1, modes="discrete")
    assert fit.error < 4 * EPS
    assert fit.alternates
    np.testing.assert_allclose(np.exp(-fit.rates), [-0.5], rtol=1e-12)
    np.testing.assert_allclose(fit.on_grid(5), (-0.5) ** np.arange(5.0), rtol=1e-12)
    # no positive multiplier does anything for it after lag 0, whose share is 3/4
    assert fit_exponential_sum((-0.5) ** LAGS, 1).error > 0.49


@pytest.mark.slow
@settings(steady, max_examples=6)
@given(
    multipliers=st.lists(
        st.sampled_from([-0.95, -0.7, -0.3, 0.2, 0.6, 0.9]), min_size=1, max_size=3, unique=True
    ),
    dt=st.sampled_from([1.0, 0.1]),
)
def test_multipliers_of_either_sign_are_recovered(multipliers, dt):
    z = np.array(multipliers)
    fit = fit_exponential_sum((z ** LAGS[:40, None]).sum(1), z.size, dt=dt, modes="discrete")
    assert fit.error < 1e-13
    np.testing.assert_allclose(np.sort(np.exp(-fit.rates * dt).real), np.sort(z), rtol=1e-6, atol=1e-8)
    assert fit.alternates == (z < 0).any()


@pytest.mark.slow
def test_any_multipliers_fit_no_worse_than_pairs_and_pairs_than_real_rates():
    draws = np.random.default_rng(2)
    for values in (draws.standard_normal(24), targets.airy()(LAGS[:30])):
        real, pairs, discrete = (
            [fit.error for fit in fit_exponential_sums(values, 3, modes=modes)]
            for modes in ("real", "complex", "discrete")
        )
        assert all(a >= b >= c for a, b, c in zip(real, pairs, discrete, strict=True))


def test_a_fit_is_printed_without_the_search_for_its_bound(monkeypatch):
    fit = fit_exponential_sum(POLYNOMIAL, 2)
    monkeypatch.setattr("curse_of_memory.theory.exponential_sums.fits.weighted_lower_bound", None)
    assert "error=0.0" in repr(fit)
    assert "lower_bound" not in repr(fit)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_spike_is_fitted_as_well_as_a_global_search_over_the_rates_does():
    """Differential evolution over log λ, with the best coefficients for each, finds nothing better."""
    rho = np.zeros(60)
    rho[10] = 1.0

    def errors(log_rates):
        """Return what the best coefficients leave, of many sets of rates at once, shape (terms, many)."""
        basis = np.exp(-np.arange(60)[:, None] * np.exp(log_rates).T[:, None])
        c = np.linalg.pinv(basis, rcond=1e-10) @ rho  # weaker directions the fit does not use, either
        return np.linalg.norm(rho - np.einsum("knm,km->kn", basis, c), axis=1)

    for terms in (2, 3, 4):
        bounds = [(np.log(1e-4), np.log(30.0))] * terms
        found = scipy.optimize.differential_evolution(
            errors,
            bounds,
            rng=0,
            popsize=30,
            maxiter=200,
            tol=1e-8,
            vectorized=True,
            updating="deferred",
        )
        assert fit_exponential_sum(rho, terms=terms).error <= found.fun * (1 + 1e-6)


def test_long_memories_are_fitted_on_few_numbers_and_lose_nothing():
    """Of 20 000 lags: the error is that of all of them, and exact sums are recovered."""
    lags = np.arange(20_000.0)
    slow, fast = np.exp(-lags / 5000), np.exp(-lags / 3)
    noise = 0.05 * np.random.default_rng(1).standard_normal(lags.size)
    for w in (np.ones(lags.size), np.exp(-lags / 2000)):
        exact = fit_exponential_sum(slow + fast, 2, w)
        assert exact.error < 1e-12
        np.testing.assert_allclose(exact.rates, [1 / 5000, 1 / 3], rtol=1e-9)
        noisy = fit_exponential_sum(slow + fast + noise, 2, w)
        assert noisy.error == pytest.approx(relative_error(noisy, slow + fast + noise, w), rel=1e-9)
        # two rates that are not the best ones leave more
        assert noisy.error <= relative_error(exact, slow + fast + noise, w)
        problem = Projection(RealRates(lags.astype(int)), Samples(slow + fast + noise, np.sqrt(w)))
        assert (
            np.abs(problem.jacobian(np.log(noisy.rates)).T @ problem.residual(np.log(noisy.rates))).max()
            < 1e-8
        )


@pytest.mark.parametrize("turn", [0.002, 1.3, 3.0])
def test_long_oscillations_are_recovered(turn):
    lags = np.arange(12_000.0)
    fit = fit_exponential_sum(np.exp(-lags / 2000) * np.cos(turn * lags), 2, modes="complex")
    assert fit.error < 1e-10
    np.testing.assert_allclose(np.abs(fit.rates.imag), turn, rtol=1e-8)


@pytest.mark.parametrize("seed", [3, 10, 20, 22])
def test_one_pair_is_as_good_as_the_best_of_a_grid(seed):
    """Of noise the best frequency may be any: damping and turn are looked at one by one."""
    rng = np.random.default_rng(seed)
    size = int(rng.integers(10, 50))
    values = rng.standard_normal(size)
    weight = np.ones(size) if seed % 2 else rng.random(size) ** 2
    y = np.sqrt(weight) * values
    damping, turn = (x.ravel() for x in np.meshgrid(np.geomspace(1e-3, 3, 30), np.linspace(0.02, 3.12, 120)))
    waves = np.sqrt(weight) * np.exp(np.multiply.outer(-damping + 1j * turn, np.arange(size)))
    basis = np.linalg.qr(np.stack([np.real(waves), np.imag(waves)], axis=2))[0]
    kept = np.linalg.norm(np.einsum("pst,s->pt", basis, y), axis=1).max() / np.linalg.norm(y)
    fit = fit_exponential_sum(values, 2, weight=weight, modes="complex")
    assert fit.error <= np.sqrt(1 - kept**2) * (1 + 1e-9)
