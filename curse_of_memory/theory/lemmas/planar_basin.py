"""The edge of a basin in the plane: the periodic orbit inside which the Heaviside dynamics forgets.

For W with both eigenvalues in the left half-plane the origin of dv/dt = (1 − v²) ∘ (W v) attracts, but not
always all of the square: a repelling periodic orbit can stand around it, and what starts outside never
comes back. Source: "Inverse approximation theory" (2305.19190), the planar example of its figure 11.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from curse_of_memory.theory.lemmas.resolvent import spectral_abscissa, square_matrix
from curse_of_memory.tools import checks

__all__ = ["CORNERS", "PLANAR", "PeriodicOrbit", "basin_boundary"]

PLANAR = ((1.0, 1.0), (-4.0, -3.0))
"""W of the planar example of IAT (2305.19190): both eigenvalues are −1, and memory need not decay."""

CORNERS = ((1, 1), (-1, -1), (1, -1), (-1, 1))
"""The corners of the square (−1, 1)² in which v = tanh z lives."""

_STEPS = {"method": "DOP853", "rtol": 1e-11, "atol": 1e-13}
_START = 1e-3  # distance from the origin: backward time carries any point inside to the orbit
_LAPS = 60
_CLOSED = 1e-9


@dataclass(frozen=True, eq=False)
class PeriodicOrbit:
    """A periodic orbit of dv/dt = (1 − v²) ∘ (W v) around the origin.

    Attributes
    ----------
    points : numpy.ndarray, shape (n, 2)
        Along the orbit in the direction of time, the last equal to the first up to `closure`.
    period : float
        Time of one lap.
    closure : float
        |v(period) − v(0)|: how far from periodic the computed orbit is.
    log_multiplier : float
        ∮ Σ Wᵢᵢ (1 − vᵢ²) dt, the logarithm of the factor by which small distances from the orbit grow in one
        lap. If it is positive the orbit repels, and bounds a basin.
    """

    points: np.ndarray
    period: float
    closure: float
    log_multiplier: float


def basin_boundary(W: ArrayLike, samples: int = 400) -> PeriodicOrbit:
    """Return the repelling periodic orbit around the basin of the origin.

    It attracts in backward time. Integrated is z = artanh v, dz/dt = W tanh z, which keeps its digits close
    to the edge of the square.

    Parameters
    ----------
    W : array_like, shape (2, 2)
        Hurwitz, per unit time.
    samples : int
        How many points of the orbit to return, at equal distances in time.

    Returns
    -------
    PeriodicOrbit

    Raises
    ------
    ValueError, TypeError
        If W is not a Hurwitz matrix of size 2, or `samples` is not positive.
    ArithmeticError
        If no orbit is found: backward solutions run into the edge of the square.

    Examples
    --------
    >>> orbit = basin_boundary([[1, 1], [-4, -3]])
    >>> round(orbit.period, 2), orbit.closure < 1e-8, orbit.log_multiplier > 0
    (26.32, True, True)
    """
    W = square_matrix("W", W)
    if W.shape != (2, 2) or spectral_abscissa(W) >= 0:
        raise ValueError("W must be a Hurwitz matrix of shape (2, 2)")
    samples = checks.positive_int("samples", samples)

    def backward(_, state):
        v = np.tanh(state[:2])
        return np.append(-(W @ v), np.sum((1 - v * v) * np.diag(W)))  # the last: divergence of dz/dt

    def section(_, state):
        return state[0]

    section.direction = 1.0
    section.terminal = True

    # The field is odd: half a lap, from one side of the section to the other, says it all. Backwards in time
    # the first coordinate falls at first, and comes back through zero from below.
    side = math.copysign(1.0, W[0, 1])
    height = _START
    for _ in range(_LAPS):
        half = solve_ivp(
            backward, (0.0, 1e4), [0.0, side * height, 0.0], events=section, dense_output=True, **_STEPS
        )
        if half.status != 1:
            break
        reached = abs(float(half.y[1, -1]))
        if (closure := abs(math.tanh(reached) - math.tanh(height))) < _CLOSED:
            return _orbit(half, closure, samples)
        height = reached
    raise ArithmeticError("no periodic orbit around the origin was found in backward time")


def _orbit(half, closure: float, samples: int) -> PeriodicOrbit:
    """Return both halves of the orbit, in the direction of time."""
    time = float(half.t[-1])
    turns = np.linspace(2.0, 0.0, samples)
    mirrored = np.where(turns > 1, -1.0, 1.0)
    z = half.sol(time * np.where(turns > 1, turns - 1, turns))[:2]
    return PeriodicOrbit(
        np.tanh(mirrored * z).T, 2 * time, 2 * closure, log_multiplier=2 * float(half.y[2, -1])
    )
