import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import fminbound

from curse_of_memory.theory.lemmas.resolvent import (
    distance_to_instability,
    numerical_abscissa,
    spectral_abscissa,
)

steady = settings(derandomize=True, deadline=None, max_examples=40)


def stable(seed, size=4):
    W = np.random.default_rng(seed).standard_normal((size, size))
    return W - (spectral_abscissa(W) + 0.3) * np.eye(size)


EPS = np.finfo(float).eps


def rounding(W, level):
    """What LAPACK may be off by: 8 m eps times the size of the matrix."""
    return 8 * len(W) * EPS * (np.linalg.norm(W) + level)


@pytest.mark.parametrize("a", [0.0, 1.0, 10.0, 1000.0, 1e6, 1e8, 1e12])
def test_distance_of_a_shear_in_closed_form(a):
    # σ_min of [[r, −a], [0, r]], at ω = 0: from 1e6 on rounding is a share of it that one can see
    d = math.exp(-math.asinh(a / 2))
    W = np.array([[-1, a], [0, -1]])
    found = distance_to_instability(W)
    assert found.lower <= d <= found.upper
    assert found.upper - found.lower <= 1.1e-6 * d + 4 * rounding(W, d)
    if a == 1e12:  # float64 does not tell it from an unstable one
        assert found.lower == 0


@steady
@given(seed=st.integers(0, 10**6))
def test_no_frequency_is_below_the_bracket(seed):
    W = stable(seed)

    def sigma(omega):
        return np.linalg.svd(1j * omega * np.eye(4) - W, compute_uv=False)[-1]

    found = distance_to_instability(W)
    grid = np.linspace(0, np.linalg.norm(W, 2), 2001)
    best = grid[np.argmin([sigma(omega) for omega in grid])]
    step = grid[1]
    around = (max(best - step, 0), best + step)
    polished = sigma(fminbound(sigma, *around, xtol=1e-10))
    assert found.lower <= polished
    assert found.upper <= polished * (1 + 1.1e-6) + 2 * rounding(W, grid[-1])
    assert abs(found.upper - sigma(found.frequency)) <= rounding(W, grid[-1])


@steady
@given(seed=st.integers(0, 10**6))
def test_a_perturbation_of_that_size_reaches_the_axis(seed):
    W = stable(seed)
    found = distance_to_instability(W)
    u, s, vh = np.linalg.svd(1j * found.frequency * np.eye(4) - W)
    E = s[-1] * np.outer(u[:, -1], vh[-1])
    nearest = np.linalg.eigvals(W + E)
    assert np.linalg.norm(E, 2) == pytest.approx(found.upper)
    assert np.abs(nearest - 1j * found.frequency).min() < 1e-10


@steady
@given(seed=st.integers(0, 10**6), beta=st.floats(0.0, 0.6))
def test_a_shift_by_beta_stays_hurwitz_exactly_below_the_decay_rate(seed, beta):
    """IAT, theorem 3.9: a model that bears W + βI has max Re λ(W) < −β."""
    W = stable(seed)  # decays at rate 0.3
    shifted = spectral_abscissa(W + beta * np.eye(4))
    assert shifted == pytest.approx(beta - 0.3, abs=1e-11)
    assert distance_to_instability(W).upper <= 0.3 * (1 + 1e-9)


@steady
@given(seed=st.integers(0, 10**6))
def test_the_abscissae_are_ordered(seed):
    W = stable(seed)
    assert spectral_abscissa(W) <= numerical_abscissa(W)
    symmetric = W + W.T
    assert spectral_abscissa(symmetric) == pytest.approx(numerical_abscissa(symmetric), abs=1e-12)


@pytest.mark.parametrize("function", [spectral_abscissa, numerical_abscissa, distance_to_instability])
@pytest.mark.parametrize(
    ("W", "message"), [(np.ones((2, 3)), "square"), ([[math.nan]], "finite"), ([1.0], "2 dimension")]
)
def test_bad_matrices_are_refused(function, W, message):
    with pytest.raises(ValueError, match=f"W must .*{message}"):
        function(W)
