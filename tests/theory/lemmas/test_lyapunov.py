"""Lemma A.8 of IAT: what it claims holds for normal matrices, what is proven holds for all."""

import math

import numpy as np
import pytest
import sympy
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.integrate import quad_vec
from scipy.linalg import expm

from curse_of_memory.theory.lemmas.lyapunov import Shear, envelope, lyapunov_norm
from curse_of_memory.theory.lemmas.resolvent import distance_to_instability, is_normal, spectral_abscissa

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=60)
TIMES = np.linspace(0, 8, 81)


@st.composite
def hurwitz(draw, normal=False):
    """Stable matrices of size 2 to 6 in a Schur form turned around."""
    blocks = draw(
        st.lists(st.tuples(st.floats(0.1, 3.0), st.sampled_from([0.0, 0.5, 4.0])), min_size=1, max_size=3)
    )
    W = np.zeros((2 * len(blocks), 2 * len(blocks)))
    for i, (rate, frequency) in enumerate(blocks):
        W[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] = [[-rate, frequency], [-frequency, -rate]]
    draws = np.random.default_rng(draw(st.integers(0, 1000)))
    if not normal:
        W += draw(st.sampled_from([0.1, 1.0, 5.0])) * np.triu(draws.standard_normal(W.shape), 2)
    Q = np.linalg.qr(draws.standard_normal(W.shape))[0]
    return Q @ W @ Q.T


@pytest.mark.parametrize(("a", "printed"), [(0, 0.5), (1, 0.905), (5, 6.99), (10, 25.7)])
def test_the_counterexample_has_the_norms_of_the_fact_sheet(a, printed):
    found = lyapunov_norm(Shear(a).matrix)
    assert float(f"{found.norm:.3g}") == printed
    assert found.claimed == 0.5
    assert found.is_normal == (a == 0)


def test_the_closed_form_is_the_solution_of_the_equation():
    a, r = sympy.symbols("a r", positive=True)
    W = sympy.Matrix([[-r, a], [0, -r]])
    p, q, s = sympy.symbols("p q s")
    P = sympy.Matrix([[p, q], [q, s]])
    P = P.subs(sympy.solve(W.T * P + P * W + sympy.eye(2), [p, q, s]))
    largest = P.trace() / 2 + sympy.sqrt(P.trace() ** 2 / 4 - P.det())
    ours = (1 + sympy.exp(2 * sympy.asinh(a / (2 * r)))) / (4 * r)
    assert sympy.simplify((largest - ours).rewrite(sympy.log)) == 0


@pytest.mark.parametrize("rate", [0.3, 1.0, 7.0])
@pytest.mark.parametrize("a", [-4.0, 0.0, 1e-3, 2.0, 30.0])
def test_the_numerical_norm_is_the_closed_form_within_its_error(a, rate):
    shear = Shear(a, rate)
    found = lyapunov_norm(shear.matrix)
    # 8 roundings of the closed form, and of the eigenvalue of P
    assert abs(found.norm - shear.lyapunov_norm) <= found.error + 16 * EPS * found.norm
    assert found.error < 1e-7 * found.norm


@steady
@given(W=hurwitz(normal=True))
def test_for_normal_matrices_the_claim_holds_with_equality(W):
    found = lyapunov_norm(W)
    assert found.is_normal
    assert found.norm == pytest.approx(
        found.claimed, rel=1e-11
    )  # abscissae of 6 x 6: a few hundred roundings


@steady
@given(W=hurwitz())
def test_for_all_matrices_the_claimed_bound_is_a_lower_bound_and_the_proven_bounds_hold(W):
    found = lyapunov_norm(W)
    # eigenvalues of non-normal matrices are good to eps times their condition, here below 1e6
    assert found.claimed * (1 - 1e-9) <= found.lower * (1 + 1e-9)
    assert found.lower - found.error <= found.norm <= found.upper + found.error


@steady
@given(W=hurwitz())
def test_propagators_obey_the_proven_envelopes_and_never_fall_below_the_claimed_one(W):
    curves = envelope(W, TIMES)
    assert (curves.norm <= curves.bound * (1 + 1e-9)).all()
    assert (curves.norm >= curves.claimed * (1 - 1e-9)).all()


@steady
@given(W=hurwitz())
def test_the_solution_is_the_integral_of_the_propagator(W):
    assume(spectral_abscissa(W) < -0.3)
    found = lyapunov_norm(W)

    def squared(t):
        E = expm(t * W)
        return E.T @ E

    P, _ = quad_vec(squared, 0, 120, epsrel=1e-10, limit=400, points=np.linspace(1, 20, 20))
    np.testing.assert_allclose(found.P, P, rtol=0, atol=1e-8 * found.norm)


@settings(steady, max_examples=20)
@given(W=hurwitz(), share=st.floats(0.0, 0.99))
def test_a_ball_of_stable_matrices_has_one_envelope(W, share):
    """IAT, theorem 3.9: |W|₂ and the distance to instability d > β bound |e^{Wt}|₂ e^{βt}, whatever m is."""
    distance, t = distance_to_instability(W).lower, TIMES[::8]
    beta = share * distance
    left, size = distance - beta, np.linalg.norm(W, 2) + beta
    constant = math.sqrt(2 * size * (size + 2 * left) / (math.pi * left**2))  # |P|₂ |P⁻¹|₂ <= 2|A|₂ |P|₂
    norms = np.linalg.norm(expm(t[:, None, None] * W), 2, axis=(1, 2))
    assert (norms <= constant * np.exp(-beta * t) * (1 + 1e-9)).all()


@pytest.mark.parametrize("a", [1, 5, 10])
def test_a_shear_breaks_the_claimed_envelope_at_every_positive_time(a):
    curves = envelope(Shear(a).matrix, TIMES[1:])
    assert (curves.norm > curves.claimed).all()
    np.testing.assert_allclose(curves.norm, Shear(a).propagator_norm(TIMES[1:]), rtol=1e-13)


def test_transient_growth_begins_where_the_numerical_abscissa_turns_positive():
    tiny = 1e-4
    for a, grows in ((1.9, False), (2.1, True)):
        start = Shear(a).propagator_norm(tiny)
        assert (start > 1) == grows
        assert start == pytest.approx(math.exp((a / 2 - 1) * tiny), abs=a**3 * tiny**3)  # ω = a/2 − 1


def test_normal_is_judged_at_rounding():
    rotation = np.array([[-1.0, 2.0], [-2.0, -1.0]])
    assert is_normal(rotation)
    assert not is_normal(rotation + np.array([[0, 1e-9], [0, 0]]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lyapunov_norm(np.ones((2, 3))), "W must be a square matrix"),
        (lambda: lyapunov_norm([[0.0]]), "W must be Hurwitz, but its spectral abscissa is 0"),
        (lambda: lyapunov_norm([[math.nan]]), "W must be finite"),
        (lambda: envelope([[-1.0]], [-1.0]), "times must not be negative"),
        (lambda: Shear(1.0, 0.0), "rate must be positive"),
        (lambda: Shear(math.inf), "a must be finite"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_what_float64_cannot_solve_is_said():
    with pytest.raises(ArithmeticError, match="float64 does not solve"):
        lyapunov_norm(Shear(1e9).matrix)
