"""The Lyapunov equation Wᵀ P + P W = −1 of a recurrent weight, and bounds of e^{Wt}.

Lemma A.8 of "Inverse approximation theory" (2305.19190) concludes |P|₂ <= 1/(2β₀) from max Re λ(W) <= −β₀,
and its equation 38 uses |e^{Wt}|₂ <= e^{−β₀ t}. Both hold for normal W. For every Hurwitz W, with the
numerical abscissa ω(W), the distance to instability d(W) and α = max Re λ(W) = −β₀,

    1/(2β₀) <= 1/(2d) <= |P|₂ <= (|W|₂ + 2d)/(π d²),     |P|₂ <= 1/(−2ω) where ω < 0,
    e^{αt} <= |e^{Wt}|₂ <= min{ e^{ωt}, √(|P|₂ |P⁻¹|₂) e^{−t/(2|P|₂)} } ,

the last also for W + β, β < β₀, in place of W: every rate below β₀ is kept, at the price of a constant.

P = ∫ e^{Wᵀt} e^{Wt} dt gives the bound by ω, and, by Parseval, ∫ |(is − W)⁻¹|₂² ds/2π gives the one by d, as
σ_min(is − W) is at least d and at least |s| − |W|₂. So what controls |P| is not the spectrum but the ball:
a W that stays Hurwitz under every complex perturbation of spectral norm below d has a |P| bounded by d and
|W| alone, whatever its size.
"""

import math
import warnings
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.linalg import expm, solve_continuous_lyapunov

from curse_of_memory.theory.lemmas.resolvent import (
    EPS,
    distance_to_instability,
    is_normal,
    numerical_abscissa,
    spectral_abscissa,
    square_matrix,
)
from curse_of_memory.tools import checks

__all__ = ["LyapunovNorm", "Shear", "envelope", "lyapunov_norm"]

_SHARES = 0.5 ** np.arange(9)  # of β₀ that is left to e^{(W + β)t}


@dataclass(frozen=True, eq=False)
class LyapunovNorm:
    """The solution P of Wᵀ P + P W = −1, its norm |P|₂, the claimed bound of it and the proven ones.

    Attributes
    ----------
    P : numpy.ndarray, shape (m, m)
        Symmetric, positive definite, in units of time.
    norm : float
        |P|₂.
    error : float
        Bound of the error of `norm`: with the residual R of the computed P, |R|/(1 − |R|) · |P|₂.
    claimed : float
        1/(2β₀), β₀ = −max Re λ(W): the upper bound of lemma A.8. A lower bound for every W, and the
        value for normal W.
    lower, upper : float
        Proven bounds of |P|₂, see the module.
    is_normal : bool
        Whether W is normal, W Wᵀ = Wᵀ W.
    """

    P: np.ndarray
    norm: float
    error: float
    claimed: float
    lower: float
    upper: float
    is_normal: bool


def lyapunov_norm(W: ArrayLike) -> LyapunovNorm:
    """Return the solution P of Wᵀ P + P W = −1 with |P|₂, its error, the claimed and the proven bounds.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Hurwitz, real, per unit time.

    Returns
    -------
    LyapunovNorm

    Raises
    ------
    ValueError, TypeError
        If W is not a finite real square matrix, or not Hurwitz.
    ArithmeticError
        If W is so close to an unstable matrix that float64 does not solve the equation.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), lemma A.8.

    Examples
    --------
    >>> solved = lyapunov_norm([[-1, 5], [0, -1]])
    >>> round(solved.norm, 2), solved.claimed, solved.is_normal
    (6.99, 0.5, False)
    """
    W = square_matrix("W", W)
    distance = distance_to_instability(W)
    P = _solution(W)
    eigenvalues = np.linalg.eigvalsh(P)
    norm, size = float(eigenvalues[-1]), float(np.linalg.norm(W, 2))
    residual = np.linalg.norm(W.T @ P + P @ W + np.eye(len(W)), 2)
    residual += (len(W) + 2) * EPS * (2 * size * norm + 1)  # the rounding of the residual itself
    if not (residual < 0.5 and eigenvalues[0] > 0):
        raise ArithmeticError(
            f"W is within {distance.upper:.1g} of instability: float64 does not solve its equation"
        )
    omega = numerical_abscissa(W)
    near = distance.lower
    by_distance = (size / near + 2) / (math.pi * near) if near > 0 else math.inf
    return LyapunovNorm(
        P=P,
        norm=norm,
        error=float(residual / (1 - residual) * norm),
        claimed=-0.5 / spectral_abscissa(W),
        lower=0.5 / distance.upper,
        upper=min(by_distance, -0.5 / omega) if omega < 0 else by_distance,
        is_normal=is_normal(W),
    )


def _solution(W: np.ndarray) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the residual says more than scipy's guess of trouble
        P = solve_continuous_lyapunov(W.T, -np.eye(len(W)))
    return (P + P.T) / 2


def envelope(W: ArrayLike, times: ArrayLike) -> xr.Dataset:
    """Return |e^{Wt}|₂ over times, with the claimed bound e^{−β₀t} and the proven ones.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Hurwitz, real, per unit time.
    times : array_like, shape (n,)
        t >= 0.

    Returns
    -------
    xarray.Dataset over ``time``
        ``norm`` |e^{Wt}|₂; ``claimed`` e^{αt}, a bound for normal W and a lower bound for all;
        ``log_norm`` e^{ωt}; ``lyapunov`` √(|P||P⁻¹|) e^{−βt − t/(2|P|)}, P belonging to W + β, the smallest
        over a ladder of β from 0 up to β₀; ``bound``, the smaller of the last two.

    Raises
    ------
    ValueError, TypeError
        If W is not a Hurwitz matrix, or a time is negative.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), equation 38, for ``claimed``.

    Examples
    --------
    >>> curves = envelope([[-1, 5], [0, -1]], [1.0])
    >>> float(curves.norm[0].round(3)), float(curves.claimed[0].round(3)), float(curves.bound[0].round(3))
    (1.91, 0.368, 4.482)
    """
    W = square_matrix("W", W)
    t = checks.finite_array("times", times, ndim=1)
    if t.min() < 0:
        raise ValueError(f"times must not be negative, got {t.min():g}")
    lyapunov_norm(W)  # refuses a W that is not Hurwitz, or too close to instability
    alpha = spectral_abscissa(W)
    by_shift = []
    for share in _SHARES:
        beta = -alpha * (1 - share)
        sizes = np.linalg.eigvalsh(_solution(W + beta * np.eye(len(W))))
        if sizes[0] > 0:
            by_shift.append(math.sqrt(sizes[-1] / sizes[0]) * np.exp(-(beta + 0.5 / sizes[-1]) * t))
    curves = {
        "norm": np.linalg.norm(expm(t[:, None, None] * W), 2, axis=(1, 2)),
        "claimed": np.exp(alpha * t),
        "log_norm": np.exp(numerical_abscissa(W) * t),
        "lyapunov": np.min(by_shift, axis=0),
    }
    curves["bound"] = np.minimum(curves["log_norm"], curves["lyapunov"])
    return xr.Dataset({name: ("time", values) for name, values in curves.items()}, {"time": t})


@dataclass(frozen=True)
class Shear:
    """W = [[−r, a], [0, −r]]: both eigenvalues −r, and as far from normal as `a` is large.

    Parameters
    ----------
    a : float
        Off-diagonal entry, per unit time.
    rate : float
        r > 0, per unit time.

    Raises
    ------
    ValueError, TypeError
        If `a` is no finite number, or `rate` is not positive.

    Examples
    --------
    >>> [round(Shear(a).lyapunov_norm, 3) for a in (0, 1, 5, 10)]
    [0.5, 0.905, 6.991, 25.748]
    """

    a: float
    rate: float = 1.0

    def __post_init__(self):
        checks.real("a", self.a)
        checks.positive("rate", self.rate)

    @property
    def matrix(self) -> np.ndarray:
        """W, shape (2, 2)."""
        return np.array([[-self.rate, self.a], [0.0, -self.rate]])

    @property
    def lyapunov_norm(self) -> float:
        """|P|₂ = (1 + e^{2 arsinh(|a|/2r)})/(4r) in closed form; about a²/(4r³) for large a."""
        return (1 + math.exp(2 * math.asinh(abs(self.a) / (2 * self.rate)))) / (4 * self.rate)

    def propagator_norm(self, t: ArrayLike) -> np.ndarray:
        """Return |e^{Wt}|₂ = exp(arsinh(|a|t/2) − rt) in closed form, for times `t` of any shape."""
        t = checks.finite_array("t", t)
        return np.exp(np.arcsinh(abs(self.a) * t / 2) - self.rate * t)
