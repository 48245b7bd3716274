import math
import os

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sum
from curse_of_memory.theory.exponential_sums.filters import FilterSearch
from curse_of_memory.theory.exponential_sums.lower_bounds import (
    _section,
    bound_of_filters,
    weighted_lower_bound,
)

EPS = np.finfo(float).eps
LAGS = np.arange(100.0)
POLYNOMIAL = (1 + 0.1 * LAGS) ** -1.1
FLAT = (100 - LAGS) / 100
few = settings(derandomize=True, deadline=None, max_examples=12)


def relative_error(values, rho_hat, w):
    return math.sqrt(np.sum(w * np.abs(values - rho_hat) ** 2) / np.sum(w * values**2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("m", "best"),
    [(1, 0.142702591), (2, 0.0145577988), (3, 1.32034282e-3), (4, 1.11849175e-4), (6, 6.9150277e-7)],
)
def test_the_best_fits_of_the_polynomial_memory_are_proved_best(m, best):
    floor = weighted_lower_bound(POLYNOMIAL, m, FLAT).bound
    assert 0.995 * best < floor <= best


@pytest.mark.slow
def test_the_bound_is_met_by_conjugate_pairs_where_real_rates_are_far_from_it():
    airy = targets.airy()(LAGS)
    floor = weighted_lower_bound(airy, 5, FLAT).bound
    fit = fit_exponential_sum(airy, 5, FLAT, modes="complex")
    assert 0.99 * fit.error < floor <= fit.error
    assert fit_exponential_sum(airy, 5, FLAT).limit_error > 20 * floor


def test_filters_gain_on_scaled_sections_and_those_on_the_plain_one():
    found = weighted_lower_bound(POLYNOMIAL, 4, FLAT)
    assert found.bound > 3 * found.section
    # lag s stands in a 50 by 51 section T − s times at most: the section over √T bounds the error
    sizes = np.linalg.svd(np.array([POLYNOMIAL[i : i + 51] for i in range(50)]), compute_uv=False)
    plain = math.sqrt(np.sum(sizes[4:] ** 2) / 100 / np.sum(FLAT * POLYNOMIAL**2))
    assert found.section > 1.4 * plain


@pytest.mark.parametrize("power", [0.25, 0.5])
def test_a_scaled_section_counts_every_lag_at_most_as_often_as_it_says(power):
    """‖D H(e) E‖_F² is Σ_s e_s² Σ_{a+b=s} u_a v_b: the largest share of w_s in it bounds it."""
    draws = np.random.default_rng(0)
    w, rho = draws.uniform(0.1, 1, 21), draws.standard_normal(21)
    u = (np.arange(11) + 0.5) ** -power
    H = np.array([rho[i : i + 11] for i in range(11)])
    sizes = np.linalg.svd(np.sqrt(np.outer(u, u)) * H, compute_uv=False)
    often = np.array([sum(u[a] * u[s - a] for a in range(11) if 0 <= s - a < 11) for s in range(21)])
    expected = math.sqrt(np.sum(sizes[2:] ** 2) / (often / w).max())
    assert _section(rho, w, 2, power, 0.0) == pytest.approx(expected, rel=1e-12)


@pytest.mark.slow
@few
@given(
    kind=st.sampled_from(["sum", "polynomial", "random", "oscillation"]),
    size=st.integers(12, 40),
    m=st.integers(1, 4),
    power=st.sampled_from([None, -0.5, 0, 2]),
    seed=st.integers(0, 2**32 - 1),
)
def test_lower_bound_best_fit_and_any_other_sum_stand_in_order(kind, size, m, power, seed):
    draws = np.random.default_rng(seed)
    t = np.arange(size)
    values = {
        "sum": draws.standard_normal(6) @ np.exp(-np.outer(draws.uniform(0.01, 2, 6), t)),
        "polynomial": (1 + draws.uniform(0.01, 1) * t) ** -draws.uniform(0.5, 3),
        "random": draws.standard_normal(size),
        "oscillation": np.exp(-0.05 * t) * np.cos(draws.uniform(0.1, 3) * t + draws.uniform(0, 6)),
    }[kind]
    w = np.ones(size) if power is None else bias.power(power).discrete(size)
    floor = weighted_lower_bound(values, m, w).bound
    pairs, real = (fit_exponential_sum(values, m, w, modes=modes).error for modes in ("complex", "real"))
    assert floor <= pairs <= real
    # any other system of m states: growing, rotating, with the best coefficients for its poles
    poles = draws.uniform(0.2, 1.2, m) * np.exp(1j * draws.uniform(-3, 3, m))
    basis = poles[None] ** t[:, None]
    c = np.linalg.lstsq(np.sqrt(w)[:, None] * basis, np.sqrt(w) * values)[0]
    assert floor <= relative_error(values, basis @ c, w)


KINDS = ("sum", "polynomial", "noise", "oscillation", "alternating", "spikes", "late", "confluent")


def any_kernel(kind, size, draws):
    """Return a memory of one kind, with random parameters."""
    t = np.arange(size)
    if kind == "sum":
        return draws.standard_normal(4) @ np.exp(-np.outer(np.exp(draws.uniform(-6, 1, 4)), t))
    if kind == "polynomial":
        return (1 + draws.uniform(0.01, 1) * t) ** -draws.uniform(0.3, 3)
    if kind == "noise":
        return draws.standard_normal(size)
    if kind == "oscillation":
        return np.exp(-draws.uniform(0, 0.3) * t) * np.cos(draws.uniform(0.1, 3.1) * t + draws.uniform(0, 6))
    if kind == "alternating":
        return (-draws.uniform(0.2, 1)) ** t + 0.3 * draws.uniform(0.2, 1) ** t
    if kind == "spikes":
        return np.where(draws.uniform(size=size) < 0.15, draws.standard_normal(size), 0.0) + (t == 0) * 1e-3
    if kind == "late":
        return np.exp(-0.5 * ((t - draws.uniform(0, size)) / draws.uniform(0.3, size / 4)) ** 2) + 1e-9
    return t ** draws.integers(0, 4) * np.exp(-draws.uniform(0.05, 1) * t)


def any_weight(kind, size, draws):
    """Return weights of one kind, or a bias."""
    t = np.arange(size)
    return {
        "none": None,
        "power": bias.power(draws.uniform(-1, 8)),
        "falling": np.exp(-draws.uniform(0, 40) * t / size),
        "rising": np.exp(-draws.uniform(0, 20) * (1 - t / size)),
        "wild": 10.0 ** draws.uniform(-8, 8, size),
        "gaps": draws.uniform(size=size) * (draws.uniform(size=size) < 0.8) + (t < 8),
    }[kind]


@pytest.mark.slow
@settings(derandomize=True, deadline=None, max_examples=int(os.environ.get("CURSE_OF_MEMORY_PROBLEMS", "12")))
@given(
    kind=st.sampled_from(KINDS),
    weight=st.sampled_from(["none", "power", "falling", "rising", "wild", "gaps"]),
    modes=st.sampled_from(["real", "real", "complex", "discrete"]),
    size=st.one_of(st.integers(12, 48), st.sampled_from([300, 1200])),
    m=st.integers(1, 3),
    scale=st.sampled_from([1.0, 1e-300, 1e280, 1e-5]),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_fit_comes_below_the_bound(kind, weight, modes, size, m, scale, seed):
    """Neither do the limits that fits tend to, whose states are as many."""
    draws = np.random.default_rng(seed)
    if size > 48 and modes != "real":
        size = 48
    values = scale * any_kernel(kind, size, draws)
    fit = fit_exponential_sum(values, m, any_weight(weight, size, draws), modes=modes)
    assert 0 <= fit.lower_bound <= fit.error
    # the error of a limit is that of coefficients without rounding, but for that of the basis
    assert fit.lower_bound <= fit.limit_error + 1e-13


@few
@given(m=st.integers(1, 3), zeros=st.sets(st.integers(0, 29), min_size=1, max_size=12))
def test_lags_without_weight_are_left_out(m, zeros):
    w = np.ones(30)
    w[list(zeros)] = 0
    values = POLYNOMIAL[:30]
    found = weighted_lower_bound(values, m, w)
    assert (w[found.lags] > 0).all()
    assert found.lags.size < 3 or np.ptp(np.diff(found.lags)) == 0
    assert found.bound <= fit_exponential_sum(values, m, w).error


def test_every_other_lag_is_enough():
    w = np.where(np.arange(60) % 2, 0.0, 1.0)
    found = weighted_lower_bound(POLYNOMIAL[:60], 2, w)
    assert found.lags.tolist() == list(range(0, 60, 2))
    assert found.bound > 0.9 * fit_exponential_sum(POLYNOMIAL[:60], 2, w).error


def test_the_certificate_holds_in_fifty_digits():
    w, values, m = FLAT[:20], POLYNOMIAL[:20], 2
    found = weighted_lower_bound(values, m, w / w.max(), filters=3)
    again = bound_of_filters(values, m, found.left, found.right, w)
    assert again == pytest.approx(found.bound, rel=1e-10)
    with mpmath.workdps(50):
        X, Y = mpmath.matrix(found.left.tolist()), mpmath.matrix(found.right.tolist())
        p, q = X.cols, Y.cols
        H = mpmath.matrix(p, q)
        for i in range(p):
            for j in range(q):
                H[i, j] = mpmath.mpf(float(values[i + j]))
        sizes = mpmath.svd_r(X * H * Y.T, compute_uv=False)
        products = [
            [
                mpmath.fsum(X[a, i] * Y[b, s - i] for i in range(max(0, s - q + 1), min(p, s + 1)))
                for s in range(20)
            ]
            for a in range(X.rows)
            for b in range(Y.rows)
        ]
        scaled = w / w.max()
        gram = mpmath.matrix(len(products))
        for a, one in enumerate(products):
            for b, other in enumerate(products):
                gram[a, b] = mpmath.fsum(x * y / float(v) for x, y, v in zip(one, other, scaled, strict=True))
        norm = mpmath.sqrt(
            mpmath.fsum(float(v) * mpmath.mpf(float(x)) ** 2 for v, x in zip(scaled, values, strict=True))
        )
        exact = sizes[m] / mpmath.sqrt(max(mpmath.eigsy(gram, eigvals_only=True))) / norm
    # below the exact one, and by no more than the rounding that is taken off
    assert found.bound <= exact
    assert found.bound > float(exact) * (1 - 1e-9)


def test_the_gradient_of_the_search_is_the_derivative():
    search = FilterSearch(POLYNOMIAL[:12], FLAT[:12], terms=2)
    search.shapes = (3, 6), (3, 7)
    draws = np.random.default_rng(0)
    theta = draws.standard_normal(39)
    gradient = search.objective(theta, 10)[1]
    for direction in draws.standard_normal((5, 39)):
        h = 1e-5
        slope = (
            search.objective(theta + h * direction, 10)[0] - search.objective(theta - h * direction, 10)[0]
        ) / (2 * h)
        # h² of a third derivative of some hundreds, and rounding over h
        assert gradient @ direction == pytest.approx(slope, rel=1e-6, abs=1e-6)


def test_a_system_of_m_states_has_the_bound_zero():
    values = 0.9**LAGS - 0.5**LAGS
    assert weighted_lower_bound(values, 2, FLAT).bound == 0
    assert weighted_lower_bound(values, 1, FLAT).bound > 0.01


def test_filters_find_nothing_in_a_system_of_m_states():
    values = 0.9**LAGS - 0.5**LAGS
    # the third singular value of the section is a rounding error of about 1e-16
    assert bound_of_filters(values, 2, np.eye(4), np.eye(97)) == 0
    assert bound_of_filters(values, 1, np.eye(4), np.eye(97)) > 0.01


def test_what_rounding_may_have_made_is_not_counted():
    # the best fit of 12 terms errs by 6e-14, which sums of rounding errors could also do
    assert weighted_lower_bound(POLYNOMIAL, 12, FLAT).bound == 0


def test_few_lags_can_always_be_met():
    assert weighted_lower_bound([3.0, -1.0, 2.0, 5.0], terms=2).bound == 0
    assert weighted_lower_bound([3.0, -1.0, 2.0, 5.0, 1.0], terms=2).bound > 0


def test_scale_of_values_and_weights_does_not_matter():
    one = weighted_lower_bound(POLYNOMIAL[:30], 2, FLAT[:30]).bound
    other = weighted_lower_bound(1e-200 * POLYNOMIAL[:30], 2, 1e8 * FLAT[:30]).bound
    assert other == pytest.approx(one, rel=1e-3)


def test_a_bias_is_its_discrete_values():
    b = bias.exponential(0.1)
    by_bias = weighted_lower_bound(POLYNOMIAL, 2, b, dt=0.5).bound
    by_values = weighted_lower_bound(POLYNOMIAL, 2, b.discrete(100, 0.5), dt=0.5).bound
    assert by_bias == pytest.approx(by_values, rel=1e-4)


def test_more_filters_sharpen_the_bound_where_singular_values_fall_slowly():
    values = np.random.default_rng(0).standard_normal(30)
    assert (
        weighted_lower_bound(values, 1, filters=9).bound
        > 1.1 * weighted_lower_bound(values, 1, filters=3).bound
    )


def test_a_long_memory_takes_a_ladder_of_rows():
    values = (1 + 0.1 * np.arange(1000)) ** -1.1
    found = weighted_lower_bound(values, 1)
    best = fit_exponential_sum(values, 1).error
    assert 0.9 * best < found.bound <= best
    assert found.lags.size == 1000


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: weighted_lower_bound([1.0, math.nan, 1.0], 1), ValueError, "values must be finite"),
        (lambda: weighted_lower_bound(np.ones((3, 3)), 1), ValueError, "values must have 1 dimension"),
        (lambda: weighted_lower_bound(np.zeros(9), 1), ValueError, "values must not be zero"),
        (lambda: weighted_lower_bound(POLYNOMIAL, 0), ValueError, "terms must be at least 1"),
        (lambda: weighted_lower_bound(POLYNOMIAL, 1.5), TypeError, "terms must be a whole number"),  # pyright: ignore[reportArgumentType]
        (lambda: weighted_lower_bound(POLYNOMIAL, 2, -FLAT), ValueError, "weight must not be negative"),
        (lambda: weighted_lower_bound(POLYNOMIAL, 2, FLAT[1:]), ValueError, "one value per lag, 100, got 99"),
        (
            lambda: weighted_lower_bound(POLYNOMIAL, 2, filters=2),
            ValueError,
            "filters must be more than terms = 2",
        ),
        (lambda: weighted_lower_bound(POLYNOMIAL, 2, dt=0.0), ValueError, "dt must be positive"),
        (lambda: bound_of_filters([1.0, 2.0], 1, np.eye(2), np.eye(2)), ValueError, "p \\+ q - 1 = 2"),
        (
            lambda: bound_of_filters([1.0, 2.0, 1.0], 1, np.eye(2), np.eye(2), [1, 0, 1]),
            ValueError,
            "weight must be positive at every lag",
        ),
        (lambda: bound_of_filters(np.zeros(3), 1, np.eye(2), np.eye(2)), ValueError, "must not be zero"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
