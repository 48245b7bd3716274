"""Stability of a matrix: spectral and numerical abscissa, normality, and the distance to instability.

d(W) = min_ω σ_min(iω − W) is the smallest spectral norm of a complex E for which W + E is not Hurwitz.
It is at most −max Re λ(W), and equal to it for normal W; for others it can be much smaller.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = ["Distance", "distance_to_instability", "is_normal", "numerical_abscissa", "spectral_abscissa"]

EPS = float(np.finfo(float).eps)
# Where a level touches the minimum, eigenvalues of the Hamiltonian lose half their digits: no finer bracket.
_WIDTH = 1e-6
_ON_THE_AXIS = 1e-8
_ROUNDING = 8  # times m eps and the size of the matrix: what LAPACK may be off by
_ROUNDS = 100  # convergence is quadratic: a handful do


@dataclass(frozen=True)
class Distance:
    """A bracket lower <= d(W) <= upper, per unit time.

    Both ends allow for the rounding of LAPACK's singular values and eigenvalues, 8 m eps times the size of
    the matrix: a W that float64 does not tell from an unstable one has `lower` 0.

    Attributes
    ----------
    lower : float
        No eigenvalue of the Hamiltonian of this level lies on the imaginary axis, judged in float64.
    upper : float
        σ_min(iω − W) at `frequency`.
    frequency : float
        ω >= 0, per unit time, at which the nearest unstable matrix has its eigenvalue iω.
    """

    lower: float
    upper: float
    frequency: float


def square_matrix(name: str, W: ArrayLike) -> np.ndarray:
    """Return `W` as a finite real square matrix, or refuse it under this `name`."""
    W = checks.finite_array(name, W, ndim=2)
    if W.shape[0] != W.shape[1]:
        raise ValueError(f"{name} must be a square matrix, got shape {W.shape}")
    return W


def spectral_abscissa(W: ArrayLike) -> float:
    """Return α(W) = max Re λ(W): the rate of |e^{Wt}| as t → ∞, and a lower bound at every t.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Real matrix, per unit time; it is Hurwitz if α(W) < 0.

    Raises
    ------
    ValueError, TypeError
        If it is not a finite real square matrix.

    Examples
    --------
    >>> spectral_abscissa([[-1, 5], [0, -1]])
    -1.0
    """
    return float(np.linalg.eigvals(square_matrix("W", W)).real.max())


def numerical_abscissa(W: ArrayLike) -> float:
    """Return ω(W) = λ_max((W + Wᵀ)/2): the rate of |e^{Wt}|₂ at t = 0, and |e^{Wt}|₂ <= e^{ω(W) t}.

    Also called the logarithmic norm. ω(W) >= α(W), equal for normal W.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Real matrix, per unit time.

    Raises
    ------
    ValueError, TypeError
        If it is not a finite real square matrix.

    Examples
    --------
    >>> numerical_abscissa([[-1, 5], [0, -1]])
    1.5
    """
    W = square_matrix("W", W)
    return float(np.linalg.eigvalsh((W + W.T) / 2)[-1])


def is_normal(W: ArrayLike) -> bool:
    """Return whether W Wᵀ = Wᵀ W up to rounding.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Real matrix.

    Examples
    --------
    >>> is_normal([[-1, 2], [-2, -1]]), is_normal([[-1, 2], [0, -1]])
    (True, False)
    """
    W = square_matrix("W", W)
    commutator = W @ W.T - W.T @ W
    # each entry is a sum of 2m products; 8 leaves room for a W that was itself computed
    return bool(np.linalg.norm(commutator) <= 8 * len(W) * EPS * np.linalg.norm(W) ** 2)


def distance_to_instability(W: ArrayLike) -> Distance:
    """Return a bracket of d(W) = min_ω σ_min(iω − W), of relative width 1e-6 plus rounding.

    γ >= d exactly if [[W, −γ], [γ, −Wᵀ]] has an eigenvalue on the imaginary axis (Byers 1988); the
    frequencies found there lead to a smaller γ until there is none (Boyd & Balakrishnan 1990).

    Parameters
    ----------
    W : array_like, shape (m, m)
        Hurwitz, real, per unit time.

    Raises
    ------
    ValueError, TypeError
        If W is not a finite real square matrix, or not Hurwitz.
    ArithmeticError
        If the search does not settle.

    Examples
    --------
    >>> distance = distance_to_instability([[-1, 10], [0, -1]])
    >>> round(distance.upper, 6), float((np.sqrt(26) - 5).round(6))
    (0.09902, 0.09902)
    """
    W = square_matrix("W", W)
    if (alpha := spectral_abscissa(W)) >= 0:
        raise ValueError(f"W must be Hurwitz, but its spectral abscissa is {alpha:g}")
    frequencies = np.append(np.abs(np.linalg.eigvals(W).imag), 0.0)
    upper, frequency = np.inf, 0.0
    for _ in range(_ROUNDS):
        sizes = [_smallest_singular_value(W, omega) for omega in frequencies]
        if min(sizes, default=np.inf) < upper:
            best = int(np.argmin(sizes))
            upper, frequency = sizes[best], float(frequencies[best])
        level = upper * (1 - _WIDTH)
        crossings = _frequencies_at(W, level)
        frequencies = np.concatenate([crossings, (crossings[1:] + crossings[:-1]) / 2])
        if all(_smallest_singular_value(W, omega) > level for omega in frequencies):
            size = float(np.linalg.norm(W)) + frequency + level
            rounding = _ROUNDING * len(W) * EPS * size
            return Distance(max(0.0, level - rounding), upper + rounding, frequency)
    raise ArithmeticError(f"the distance to instability did not settle, it is at most {upper:g}")


def _smallest_singular_value(W: np.ndarray, omega: float) -> float:
    return float(np.linalg.svd(1j * omega * np.eye(len(W)) - W, compute_uv=False)[-1])


def _frequencies_at(W: np.ndarray, level: float) -> np.ndarray:
    """Return the ω >= 0 at which some singular value of iω − W is `level`, ascending."""
    identity = level * np.eye(len(W))
    eigenvalues = np.linalg.eigvals(np.block([[W, -identity], [identity, -W.T]]))
    size = np.linalg.norm(W) + level
    on_the_axis = (np.abs(eigenvalues.real) <= _ON_THE_AXIS * size) & (eigenvalues.imag >= 0)
    return np.sort(eigenvalues.imag[on_the_axis])
