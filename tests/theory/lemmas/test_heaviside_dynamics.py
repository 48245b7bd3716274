import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import solve_ivp

from curse_of_memory.theory.lemmas.heaviside_dynamics import (
    contraction_region,
    corner_rates,
    simulate,
    velocity_field,
)
from curse_of_memory.theory.lemmas.lyapunov import Shear, lyapunov_norm
from curse_of_memory.theory.lemmas.resolvent import is_normal, spectral_abscissa

EPS = np.finfo(float).eps
steady = settings(derandomize=True, deadline=None, max_examples=25)
PLANAR = np.array([[1.0, 1.0], [-4.0, -3.0]])
ROTATION = np.array([[-0.5, 2.0], [-2.0, -0.5]])


def stable(seed, size=3):
    W = np.random.default_rng(seed).standard_normal((size, size))
    return W - (spectral_abscissa(W) + 0.4) * np.eye(size)


@steady
@given(seed=st.integers(0, 10**6))
def test_the_derivative_of_the_rnn_obeys_the_equation(seed):
    draws = np.random.default_rng(seed)
    paths = simulate(stable(seed), draws.normal(size=3), np.linspace(0, 10, 21))
    # steps are good to 1e-12 each; e^{Wt} of these matrices carries errors on a hundredfold at most
    assert paths.attrs["gap"] < 1e-9
    assert np.abs(paths.velocity_equation).max() < 1


def test_the_input_decides_where_the_velocity_starts():
    paths = simulate(ROTATION, [0.3, -0.2], [0.0, 1.0])
    np.testing.assert_allclose(paths.velocity[0], np.tanh([0.3, -0.2]), rtol=1e-15)


@pytest.mark.parametrize("seed", range(4))
def test_small_velocities_decay_at_the_spectral_abscissa(seed):
    Q = np.linalg.qr(np.random.default_rng(seed).standard_normal((3, 3)))[0]
    W = Q @ np.diag([-0.5, -1.5, -3.0]) @ Q.T
    t = np.linspace(0, 40, 201)
    v = np.linalg.norm(simulate(W, [0.3, -0.2, 0.4], t).velocity_equation, axis=1)
    late = (v < 1e-5) & (v > 1e-8)
    slope = np.polyfit(t[late], np.log(v[late]), 1)[0]
    # atol 1e-14 a step against 1e-8, the second mode e^{−t} with t > 18, and the cubic term v² < 1e-10
    assert slope == pytest.approx(spectral_abscissa(W), abs=1e-5)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("W", [ROTATION, np.diag([-1.0, -3.0]), Shear(5.0).matrix, PLANAR, stable(1)])
def test_inside_the_region_the_lyapunov_function_falls_at_the_stated_rate(W, level):
    region, P = contraction_region(W, level), lyapunov_norm(W).P
    v = np.random.default_rng(0).standard_normal((2000, len(W)))
    v *= (
        region.radius * np.random.default_rng(1).uniform(0, 1, (2000, 1)) / np.linalg.norm(v, axis=1)[:, None]
    )
    V = np.einsum("ni,ij,nj->n", v, P, v)
    slope = 2 * np.einsum("ni,ij,nj->n", v, P, velocity_field(W, v))
    assert (slope <= -region.rate * V * (1 - 1e-12)).all()


@pytest.mark.parametrize("W", [ROTATION, np.diag([-1.0, -3.0]), -2.0 * np.eye(3)])
def test_for_normal_matrices_rate_and_radius_are_those_of_the_paper(W):
    assert is_normal(W)
    beta_0, M_0, L = -spectral_abscissa(W), np.linalg.norm(W, 2), 0.3
    region = contraction_region(W, L)
    assert region.rate == pytest.approx(2 * (1 - L) * beta_0, rel=1e-12)
    assert region.radius == pytest.approx(math.sqrt(beta_0 * L / M_0), rel=1e-12)


def test_the_rate_of_the_paper_fails_for_a_shear():
    """2(1 − L)β₀ and √(β₀L/M₀), taken from the spectrum alone, are too much for a non-normal W."""
    W, L = Shear(10.0).matrix, 0.5
    P = lyapunov_norm(W).P
    v = 1e-3 * np.linalg.eigh(P)[1][:, -1]  # well inside √(L/M₀)
    assert np.linalg.norm(v) < math.sqrt(L / np.linalg.norm(W, 2))
    assert 2 * v @ P @ velocity_field(W, v) > -2 * (1 - L) * (v @ P @ v)


@steady
@given(seed=st.integers(0, 10**6), level=st.floats(0.05, 0.95))
def test_what_starts_inside_decays_for_ever(seed, level):
    W = stable(seed)
    region, P = contraction_region(W, level), lyapunov_norm(W).P
    v0 = np.random.default_rng(seed).standard_normal(3)
    v0 *= region.start / np.linalg.norm(v0)
    t = np.linspace(0, 20, 41)
    v = solve_ivp(lambda _, v: velocity_field(W, v), (0, 20), v0, t_eval=t, rtol=1e-9, atol=1e-14).y.T
    V = np.einsum("ni,ij,nj->n", v, P, v)
    assert (np.linalg.norm(v, axis=1) <= region.radius * (1 + 1e-7)).all()
    assert (V[0] * np.exp(-region.rate * t) * (1 + 1e-6) >= V).all()


@pytest.mark.parametrize(
    ("corner", "rates"), [((1, 1), (-4, 14)), ((-1, -1), (-4, 14)), ((1, -1), (0, -2)), ((-1, 1), (0, -2))]
)
def test_no_corner_of_the_planar_example_attracts(corner, rates):
    assert corner_rates(PLANAR, corner).tolist() == list(rates)
    np.testing.assert_array_equal(velocity_field(PLANAR, corner), 0)


def test_corner_rates_are_the_eigenvalues_of_the_jacobian_there():
    W, h = stable(5), 1e-6
    s = np.array([1.0, -1.0, 1.0])
    jacobian = np.stack(
        [(velocity_field(W, s + h * e) - velocity_field(W, s - h * e)) / (2 * h) for e in np.eye(3)]
    )
    # central differences of a cubic: h² and rounding over h
    np.testing.assert_allclose(jacobian, np.diag(corner_rates(W, s)), rtol=0, atol=1e-8)


def test_a_corner_attracts_what_w_pushes_into_it():
    W = np.array([[2.0, 0.0], [0.0, 2.0]])
    assert (corner_rates(W, [1, -1]) == -4).all()
    paths = simulate(W, [0.1, -0.1], np.linspace(0, 10, 11))
    np.testing.assert_allclose(paths.velocity[-1], [1, -1], atol=1e-6)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: velocity_field(PLANAR, [1.0]), "v must have last dimension 2"),
        (lambda: simulate(PLANAR, [1.0], [0.0, 1.0]), "drive must have one value per unit, 2"),
        (lambda: simulate(PLANAR, [1.0, 1.0], [1.0, 2.0]), "times must ascend from 0"),
        (lambda: contraction_region(PLANAR, 1.0), "level must be below 1"),
        (lambda: contraction_region([[1.0]]), "W must be Hurwitz"),
        (lambda: corner_rates(PLANAR, [1, 0]), "corner must hold 2 entries 1 or -1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
