import math

import mpmath
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy import linalg, signal
from scipy.integrate import quad

from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.exponential_sums.gramians import gram_factor, singular_values
from curse_of_memory.theory.hankel import balanced_truncation, hankel_singular_values, weighted_lower_bound

EPS = np.finfo(float).eps
few = settings(derandomize=True, deadline=None, max_examples=25)
POLYNOMIAL = (1 + 0.1 * np.arange(100.0)) ** -1.1
LADDER = np.geomspace(1e-2, 1e1, 16)


def oracle(rates, c, dt=None, digits=60):
    """Hankel singular values as square roots of eigenvalues of C G̅ C̅ G, to 60 digits."""
    with mpmath.workdps(digits):
        rates, c = ([mpmath.mpmathify(x) for x in np.asarray(z).tolist()] for z in (rates, c))
        m = len(rates)
        G = mpmath.matrix(m)
        for i in range(m):
            for j in range(m):
                sums = mpmath.conj(rates[i]) + rates[j]
                G[i, j] = 1 / sums if dt is None else -1 / mpmath.expm1(-sums * mpmath.mpf(dt))
        C = mpmath.diag(c)
        squares = mpmath.eig(C * G.conjugate() * C.conjugate() * G, left=False, right=False)
        return np.array(sorted((float(mpmath.sqrt(abs(x))) for x in squares), reverse=True))


def test_the_finite_section_of_the_polynomial_memory():
    known = [9.9, 1.1, 9.9e-2, 8.1e-3, 6.4e-4, 4.9e-5, 3.6e-6, 2.6e-7, 1.8e-8]
    found = hankel_singular_values(POLYNOMIAL)
    assert found.shape == (50,)
    assert [float(f"{x:.2g}") for x in found[:9]] == known
    section = linalg.svdvals(linalg.hankel(POLYNOMIAL[:50], POLYNOMIAL[49:]))
    np.testing.assert_allclose(found, section, rtol=0, atol=50 * EPS * section[0])


def test_an_odd_number_of_samples_has_fewer_rows_than_columns():
    values = [5.0, -4.0, 3.0, 2.0, 1.0]
    section = linalg.svdvals(linalg.hankel(values[:2], values[1:]))
    np.testing.assert_allclose(hankel_singular_values(values), section, rtol=1e-14)


@pytest.mark.parametrize("dt", [None, 1.0, 0.1])
@pytest.mark.parametrize("signs", ["positive", "alternating", "random"])
def test_sixteen_modes_are_exact_to_the_smallest(signs, dt):
    c = {
        "positive": np.ones(16),
        "alternating": (-1.0) ** np.arange(16),
        "random": np.random.default_rng(0).standard_normal(16),
    }[signs]
    found = hankel_singular_values(ExponentialSum(rates=LADDER, coefficients=c), dt=dt)
    # the goal is 1e-8; what is left is the conditioning of the unit triangular factor times eps
    np.testing.assert_allclose(found, oracle(LADDER, c, dt), rtol=1e-12)


@pytest.mark.parametrize("dt", [None, 0.3])
def test_conjugate_pairs_are_exact_too(dt):
    rates = np.array([0.1 + 1j, 0.1 - 1j, 0.5 + 0.2j, 0.5 - 0.2j, 0.02, 3.0])
    c = np.array([1 + 0.3j, 1 - 0.3j, -0.4 + 0.1j, -0.4 - 0.1j, 0.7, -2.0])
    found = hankel_singular_values(ExponentialSum(rates=rates, coefficients=c), dt=dt)
    np.testing.assert_allclose(found, oracle(rates, c, dt), rtol=1e-13)


def test_sampling_tends_to_continuous_time():
    source = ExponentialSum(rates=[0.5, 2.0, 7.0], coefficients=[1.0, -2.0, 3.0])
    dt = 1e-4
    np.testing.assert_allclose(
        dt * hankel_singular_values(source, dt=dt), hankel_singular_values(source), rtol=1e-3
    )


def test_sampled_sums_are_long_sections():
    source = ExponentialSum(rates=[0.3, 0.9], coefficients=[1.0, 2.0], dt=0.5)
    section = hankel_singular_values(source.on_grid(400).values)[:2]
    # the tails beyond the section are e^{-0.3 · 100}
    np.testing.assert_allclose(hankel_singular_values(source, dt=0.5), section, rtol=1e-12)


def test_terms_without_effect_have_the_value_zero():
    twice = ExponentialSum(rates=[0.5, 0.5, 1.0], coefficients=[1.0, 2.0, 0.0])
    found = hankel_singular_values(twice)
    np.testing.assert_allclose(found, [3.0, 0.0, 0.0], rtol=1e-14)


def test_graded_singular_values_keep_their_digits():
    grade = 10.0 ** -np.arange(0, 120, 20)
    X = np.random.default_rng(1).standard_normal((6, 6)) + 4 * np.eye(6)
    with mpmath.workdps(300):
        A = mpmath.matrix((grade[:, None] * X).tolist()) * mpmath.diag(grade.tolist())
        exact = [float(s) for s in mpmath.svd_r(A, compute_uv=False)]
    np.testing.assert_allclose(singular_values(grade[:, None] * X * grade), exact, rtol=1e-12)


def test_the_gram_factor_is_a_factor():
    rates = np.array([0.1 + 1j, 0.1 - 1j, 2.0])
    scale = np.array([1.0, 1.0, 3.0])
    R = gram_factor(rates, scale)
    gram = scale[:, None] * scale / (rates.conj()[:, None] + rates)
    np.testing.assert_allclose(R.conj().T @ R, gram, rtol=1e-14)


@few
@given(size=st.integers(9, 40), m=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_hankel_norm_lies_between_the_next_singular_value_and_the_l1_norm(size, m, seed):
    draws = np.random.default_rng(seed)
    values = draws.standard_normal(size)
    rates, c = draws.uniform(0.01, 2, m), draws.standard_normal(m)
    error = values - ExponentialSum(rates=rates, coefficients=c).on_grid(size).values
    norm = hankel_singular_values(error)[0]
    assert hankel_singular_values(values)[m] <= norm * (1 + size * EPS)
    assert norm <= np.abs(error).sum() * (1 + size * EPS)


def balanced_cases():
    return st.tuples(
        st.lists(st.floats(0.2, 1.2), min_size=3, max_size=6),
        st.lists(st.floats(0.2, 2.0), min_size=6, max_size=6),
        st.lists(st.sampled_from([-1, 1]), min_size=6, max_size=6),
        st.booleans(),
    )


def drawn(case):
    gaps, sizes, signs, pair = case
    rates = 0.01 * np.exp(np.cumsum(gaps))
    c = np.array(sizes[: rates.size]) * signs[: rates.size]
    if pair:
        rates = np.append(rates.astype(complex), [0.2 + 0.7j, 0.2 - 0.7j])
        c = np.append(c.astype(complex), [0.5 - 0.2j, 0.5 + 0.2j])
    return ExponentialSum(rates=rates, coefficients=c)


@few
@given(case=balanced_cases(), data=st.data())
def test_a_truncation_errs_between_its_bounds(case, data):
    source = drawn(case)
    m = data.draw(st.integers(1, source.rates.size - 1))
    sigma = hankel_singular_values(source)
    assume(sigma[m] < 0.99 * sigma[m - 1])
    found = balanced_truncation(source, m)
    assert found.sum.rates.size == m
    # the response is a difference of two that are as large as Σ |c/λ|
    slack = 1e4 * EPS * np.abs(source.coefficients / source.rates).sum()
    assert found.lower == sigma[m]
    assert found.measured <= found.upper + slack
    # the H∞ norm is at least σ_{m+1}; its maximum over a grid may miss a little of it
    assert found.lower <= found.measured * 1.001 + slack


@few
@given(case=balanced_cases())
def test_the_l1_error_is_not_below_the_next_singular_value(case):
    source = drawn(case)
    m = source.rates.size // 2
    sigma = hankel_singular_values(source)
    assume(sigma[m] < 0.99 * sigma[m - 1])
    reduced = balanced_truncation(source, m).sum
    t = np.linspace(0, 60 / source.rates.real.min(), 200_001)
    l1 = np.trapezoid(np.abs(source(t) - reduced(t)), t)
    # trapezoids err by h²/12 times the second derivative, far below the distance to the bound
    assert l1 >= sigma[m] * (1 - 1e-3)


def test_positive_sums_stay_positive_and_attain_the_upper_bound():
    found = balanced_truncation(ExponentialSum(rates=LADDER, coefficients=np.ones(16)), 5)
    assert found.sum.rates.dtype == float
    assert (found.sum.rates > 0).all()
    assert (found.sum.coefficients > 0).all()
    # of relaxation systems the error is largest at ω = 0, where it is the bound
    assert found.measured == pytest.approx(found.upper, rel=1e-9)


def test_truncation_agrees_with_scipys_lyapunov_equations():
    rates, c = np.array([0.1, 0.7, 2.0, 9.0]), np.array([1.0, -2.0, 3.0, 0.5])
    A, b = -np.diag(rates), np.ones((4, 1))
    P = linalg.solve_continuous_lyapunov(A, -b @ b.T)
    Q = linalg.solve_continuous_lyapunov(A.T, -np.outer(c, c))
    L, K = np.linalg.cholesky(P), np.linalg.cholesky(Q)
    U, s, V = np.linalg.svd(K.T @ L)
    T, Tinv = L @ V[:2].T / np.sqrt(s[:2]), (K @ U[:, :2] / np.sqrt(s[:2])).T
    system = signal.StateSpace(Tinv @ A @ T, Tinv @ b, c[None] @ T, 0)
    found = balanced_truncation(ExponentialSum(rates=rates, coefficients=c), 2)
    np.testing.assert_allclose(found.singular_values, s, rtol=1e-9)
    t = np.linspace(0, 20, 50)
    np.testing.assert_allclose(found.sum(t), signal.impulse(system, T=t)[1], rtol=0, atol=1e-7)


def test_the_measured_error_is_that_of_scipys_frequency_response():
    source = ExponentialSum(rates=[0.1 + 1j, 0.1 - 1j, 0.4], coefficients=[1.0, 1.0, 2.0])
    found = balanced_truncation(source, 2)
    omega = np.linspace(0, 5, 5001)
    response = sum(c / (1j * omega + r) for r, c in zip(source.rates, source.coefficients, strict=True))
    response -= sum(
        c / (1j * omega + r) for r, c in zip(found.sum.rates, found.sum.coefficients, strict=True)
    )
    assert found.measured == pytest.approx(np.abs(response).max(), rel=1e-3)


def test_the_first_singular_value_of_one_mode_is_half_its_integral():
    source = ExponentialSum(rates=[0.25], coefficients=[3.0])
    area = quad(lambda t: float(source(t)), 0, np.inf)[0]
    assert hankel_singular_values(source)[0] == pytest.approx(area / 2, rel=1e-9)


def test_a_fit_can_be_asked():
    fit = fit_exponential_sum(POLYNOMIAL, 4)
    assert hankel_singular_values(fit).shape == (4,)
    assert balanced_truncation(fit, 2).sum.rates.size == 2


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: hankel_singular_values([1.0, math.nan]), ValueError, "source must be finite"),
        (lambda: hankel_singular_values([1.0]), ValueError, "at least 2 samples, got 1"),
        (lambda: hankel_singular_values(np.ones((2, 2))), ValueError, "source must have 1 dimension"),
        (lambda: hankel_singular_values(targets.airy()), TypeError, "sampled values or an ExponentialSum"),  # pyright: ignore[reportArgumentType]
        (lambda: hankel_singular_values([1.0, 0.5], dt=1.0), TypeError, "dt is for exponential sums"),
        (
            lambda: hankel_singular_values(ExponentialSum(rates=[1.0], coefficients=[1.0]), dt=-1.0),
            ValueError,
            "dt must be positive",
        ),
        (
            lambda: hankel_singular_values(ExponentialSum(rates=[-1.0], coefficients=[1.0])),
            ValueError,
            "positive real parts",
        ),
        (lambda: balanced_truncation([1.0, 2.0], 1), TypeError, "source must be an ExponentialSum"),  # pyright: ignore[reportArgumentType]
        (
            lambda: balanced_truncation(ExponentialSum(rates=[1.0, 2.0], coefficients=[1.0, 1.0]), 0),
            ValueError,
            "at least 1",
        ),
        (
            lambda: balanced_truncation(ExponentialSum(rates=[1.0, 2.0], coefficients=[1.0, 1.0]), 2),
            ValueError,
            "fewer than the 2",
        ),
        (
            lambda: balanced_truncation(ExponentialSum(rates=[1.0, 2.0], coefficients=[1.0, 0.0]), 1),
            ValueError,
            "fewer than the 1",
        ),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("scale", [1e-300, 1e-150, 1e150, 1e300])
def test_singular_values_scale_with_the_values(scale):
    rho = (1 + 0.1 * np.arange(60.0)) ** -1.1
    plain = hankel_singular_values(rho)
    # LAPACK scales a matrix whose entries would overflow when squared: a few roundings of the largest
    np.testing.assert_allclose(hankel_singular_values(scale * rho) / scale, plain, atol=1e-13 * plain[0])
    source = ExponentialSum(rates=[0.3, 0.9], coefficients=[1.0, -2.0])
    scaled = ExponentialSum(rates=[0.3, 0.9], coefficients=[scale, -2.0 * scale])
    np.testing.assert_allclose(
        hankel_singular_values(scaled) / scale, hankel_singular_values(source), rtol=1e-12
    )
    one, other = balanced_truncation(source, 1), balanced_truncation(scaled, 1)
    np.testing.assert_allclose(other.sum.rates, one.sum.rates, rtol=1e-9)
    np.testing.assert_allclose(other.sum.coefficients / scale, one.sum.coefficients, rtol=1e-9)
    assert other.measured / scale == pytest.approx(one.measured, rel=1e-9)
    found = weighted_lower_bound(scale * rho, 2, weight=scale * np.linspace(2, 1, 60))
    assert found.bound == pytest.approx(
        weighted_lower_bound(rho, 2, weight=np.linspace(2, 1, 60)).bound, rel=1e-6
    )


def test_alternating_terms_have_the_singular_values_of_their_matrix():
    z, c = np.array([0.6, -0.5, -0.8]), np.array([1.0, 2.0, -0.5])
    rates = np.where(z < 0, 1j * np.pi, 0) - np.log(np.abs(z))
    source = ExponentialSum(rates=rates, coefficients=c)
    values = (z ** np.arange(400.0)[:, None]) @ c
    # 0.8^200 is 4e-20: the rest of the matrix is below rounding
    expected = np.linalg.svd(np.array([values[i : i + 200] for i in range(200)]), compute_uv=False)[:3]
    np.testing.assert_allclose(hankel_singular_values(source, dt=1.0), expected, rtol=1e-12)
    for call in (
        lambda: hankel_singular_values(source),
        lambda: hankel_singular_values(source, dt=0.5),
        lambda: balanced_truncation(source, 1),
    ):
        with pytest.raises(ValueError, match="source must not alternate"):
            call()
