"""The Heaviside dynamics of a tanh RNN: what its memory does once the input has become constant.

For dh/dt = tanh(W h + U x + b) with a constant x, v = dh/dt obeys an equation without x and b,

    dv/dt = (1 − v²) ∘ (W v),     v(0) = tanh(W h(0) + U x + b) ∈ (−1, 1)^m,

and cᵀv is the memory that the Heaviside probe measures. Small v decay like e^{Wt}; large ones need not
decay at all, whatever the eigenvalues of W. Source: "Inverse approximation theory" (2305.19190), proof of
theorem 3.9.
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from curse_of_memory.theory.lemmas.lyapunov import lyapunov_norm
from curse_of_memory.theory.lemmas.resolvent import square_matrix
from curse_of_memory.tools import checks

__all__ = ["ContractionRegion", "contraction_region", "corner_rates", "simulate", "velocity_field"]

_STEPS = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}


def velocity_field(W: ArrayLike, v: ArrayLike) -> np.ndarray:
    """Return dv/dt = (1 − v²) ∘ (W v).

    Parameters
    ----------
    W : array_like, shape (m, m)
        Recurrent weight, per unit time.
    v : array_like, shape (..., m)
        States.

    Returns
    -------
    numpy.ndarray, shape (..., m)

    Raises
    ------
    ValueError, TypeError
        If W is not a finite real square matrix, or v does not fit it.

    Examples
    --------
    >>> velocity_field([[1, 1], [-4, -3]], [0.5, 0.0])
    array([ 0.375, -2.   ])
    """
    W, v = square_matrix("W", W), checks.finite_array("v", v)
    if v.ndim == 0 or v.shape[-1] != len(W):
        raise ValueError(f"v must have last dimension {len(W)}, like W, got shape {v.shape}")
    return (1 - v * v) * (v @ W.T)


def simulate(W: ArrayLike, drive: ArrayLike, times: ArrayLike) -> xr.Dataset:
    """Return dh/dt of a tanh RNN under a constant drive, from h itself and from its own equation.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Recurrent weight, per unit time.
    drive : array_like, shape (m,)
        U x + b; the RNN starts from h = 0.
    times : array_like, shape (n,)
        Ascending, from 0 on.

    Returns
    -------
    xarray.Dataset over ``time, unit``
        ``velocity``: v = tanh(W h + drive) along the solution h of the RNN; ``velocity_equation``: v as the
        solution of dv/dt = (1 − v²) ∘ (W v). Attribute `gap`: the largest difference of the two, which are
        equal in exact arithmetic: an estimate of the error of either.

    Raises
    ------
    ValueError, TypeError
        If the arrays do not fit, or the times do not ascend from 0.
    ArithmeticError
        If the integrator gives up.

    Examples
    --------
    >>> paths = simulate([[-1, 2], [-2, -1]], [0.3, -0.2], np.linspace(0, 10, 11))
    >>> paths.attrs["gap"] < 1e-11
    True
    """
    W = square_matrix("W", W)
    drive = checks.finite_array("drive", drive, ndim=1)
    if drive.size != len(W):
        raise ValueError(f"drive must have one value per unit, {len(W)}, got {drive.size}")
    t = checks.finite_array("times", times, ndim=1)
    if t[0] != 0 or t.size < 2 or (np.diff(t) <= 0).any():
        raise ValueError("times must ascend from 0, at least two of them")
    hidden = _integrate(lambda _, h: np.tanh(W @ h + drive), np.zeros(len(W)), t)
    velocity = np.tanh(hidden @ W.T + drive)
    by_equation = _integrate(lambda _, v: (1 - v * v) * (W @ v), np.tanh(drive), t)
    return xr.Dataset(
        {"velocity": (("time", "unit"), velocity), "velocity_equation": (("time", "unit"), by_equation)},
        {"time": t, "unit": np.arange(len(W))},
        {"gap": float(np.abs(velocity - by_equation).max())},
    )


def _integrate(field, start: np.ndarray, t: np.ndarray) -> np.ndarray:
    solved = solve_ivp(field, (t[0], t[-1]), start, t_eval=t, **_STEPS)
    if not solved.success:
        raise ArithmeticError(f"the integrator gave up at time {solved.t[-1]:g}: {solved.message}")
    return solved.y.T


@dataclass(frozen=True)
class ContractionRegion:
    """A ball in which the Heaviside dynamics contracts, and a lower bound of its rate there.

    Attributes
    ----------
    level : float
        L: the rate is 1 − L of the linear one, and the radius grows like √L.
    radius : float
        Υ_L: dV/dt <= −rate · V for V = vᵀPv wherever |v|₂ <= Υ_L.
    rate : float
        Of V, per unit time; the memory |v| decays at half of it.
    start : float
        From |v(0)|₂ <= start the solution stays inside `radius`, and V decays for ever.
    """

    level: float
    radius: float
    rate: float
    start: float


def contraction_region(W: ArrayLike, level: float = 0.5) -> ContractionRegion:
    """Return a ball where V = vᵀPv, Wᵀ P + P W = −1, is a Lyapunov function of dv/dt = (1 − v²) ∘ (W v).

    dV/dt = −|v|² − 2 vᵀP (v² ∘ W v) <= −(1 − 2|P||W||v|²) |v|² and |v|² >= V/|P|, so that within

        Υ_L = √(L/(2|P||W|))     the rate is     (1 − L)/|P| .

    For normal W, |P|₂ = 1/(2β₀): Υ_L = √(β₀L/M₀) and the rate 2(1 − L)β₀, the statement of the paper with
    M₀ = |W|₂. For other W the paper's numbers have no proof; these have.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Hurwitz, real, per unit time.
    level : float
        L, 0 < L < 1.

    Returns
    -------
    ContractionRegion

    Raises
    ------
    ValueError, TypeError
        If W is not Hurwitz, or L is not between 0 and 1.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), proof of theorem 3.9.

    Examples
    --------
    >>> region = contraction_region([[-2.0]], level=0.5)
    >>> round(region.radius, 9), round(region.rate, 9)
    (0.707106781, 2.0)
    """
    level = checks.positive("level", level)
    if level >= 1:
        raise ValueError(f"level must be below 1, got {level!r}")
    solved = lyapunov_norm(W)
    # an upper bound of |P|, whatever its numerical error
    largest = solved.norm + solved.error
    radius = math.sqrt(level / (2 * largest * np.linalg.norm(square_matrix("W", W), 2)))
    condition = largest / (np.linalg.eigvalsh(solved.P)[0] - solved.error)
    return ContractionRegion(level, radius, (1 - level) / largest, radius / math.sqrt(condition))


def corner_rates(W: ArrayLike, corner: ArrayLike) -> np.ndarray:
    """Return the eigenvalues −2 sᵢ (W s)ᵢ of the Heaviside dynamics at a corner s ∈ {−1, 1}^m.

    Every corner of the cube is at rest. It attracts if all of them are negative: W then pushes every unit
    further into the saturation it is in.

    Parameters
    ----------
    W : array_like, shape (m, m)
        Recurrent weight, per unit time.
    corner : array_like, shape (m,)
        s, of entries 1 and −1.

    Returns
    -------
    numpy.ndarray, shape (m,)
        Per unit time; entry i belongs to the i-th axis.

    Raises
    ------
    ValueError, TypeError
        If W is no square matrix, or s no corner of its cube.

    Examples
    --------
    >>> corner_rates([[1, 1], [-4, -3]], [1, 1])
    array([-4., 14.])
    """
    W = square_matrix("W", W)
    s = checks.finite_array("corner", corner, ndim=1)
    if s.size != len(W) or not (np.abs(s) == 1).all():
        raise ValueError(f"corner must hold {len(W)} entries 1 or -1, got {corner!r}")
    return -2 * s * (W @ s)
