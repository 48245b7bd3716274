"""Integrals and maxima of functions nobody gave a closed form for, with their errors judged.

`scipy.integrate.quad` warns when it fails; here a number that has not settled is never returned.
"""

import itertools
import math
from collections.abc import Callable

import numpy as np
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

__all__ = ["integrals_to", "largest_magnitude"]

Function = Callable[[np.ndarray], np.ndarray]

# Octaves around one time unit: a feature as narrow as its distance from 0 is not stepped over.
_OCTAVES = 2.0 ** np.arange(-10, 21)
_RELATIVE_ERROR = 1e-8


def integrals_to(values: Function, starts: np.ndarray, stop: float, name: str) -> np.ndarray:
    """Return ∫_a^stop f(t) dt of a nonnegative f for every `a` in `starts` (any shape, a <= stop).

    Parameters
    ----------
    values : callable
        f, vectorised, nonnegative.
    starts : numpy.ndarray
        Lower limits, at most `stop`.
    stop : float
        Upper limit; may be ``math.inf``.
    name : str
        What is integrated, for the error message.

    Returns
    -------
    numpy.ndarray
        Integrals, shaped like `starts`, good to 1e-8 of the largest of them.

    Raises
    ------
    ArithmeticError
        If the estimated error is larger than that: the integral diverges or oscillates too long.

    Examples
    --------
    >>> integrals_to(lambda t: np.exp(-t), np.array([0.0, 1.0]), math.inf, "exp").round(6)
    array([1.      , 0.367879])
    """
    inner = [edge for edge in _OCTAVES if starts.min() < edge < stop]
    edges = np.unique(np.concatenate([starts.ravel(), inner, [stop]]))

    def scalar(t: float) -> float:
        return float(values(np.asarray(t)))

    def beyond(u: float) -> float:
        # t = a/u for the last edge a: quad's own map of (a, ∞) is blind to the scale of a and can
        # return a wrong, even negative, number with a small error
        return scalar(edges[-2] / u) * edges[-2] / u**2

    # full_output keeps quad from warning: its error estimate is judged below instead
    options = {"epsabs": 0.0, "epsrel": 1e-11, "limit": 100, "full_output": 1}
    found = [quad(scalar, low, high, **options) for low, high in itertools.pairwise(edges[:-1])]
    found.append(
        quad(scalar, *edges[-2:], **options) if math.isfinite(stop) else quad(beyond, 0.0, 1.0, **options)
    )
    pieces, errors = np.array([*(piece[:2] for piece in found), (0.0, 0.0)]).T
    error = errors.sum()
    totals = np.cumsum(pieces[::-1])[::-1]
    if not (math.isfinite(totals[0]) and error <= _RELATIVE_ERROR * totals[0]):
        raise ArithmeticError(
            f"the integral of {name} does not settle, {totals[0]:.6g} ± {error:.1g}: does it diverge?"
        )
    return totals[np.searchsorted(edges, starts)]


def largest_magnitude(values: Function) -> float:
    """Return the largest |f(t)| found on t >= 0: a lower bound of the supremum.

    64 points an octave over 2^-10 <= t <= 2^20, then a bounded search beside the best of them.

    Examples
    --------
    >>> round(largest_magnitude(lambda t: t * np.exp(-t)), 12) == round(math.exp(-1), 12)
    True
    """
    grid = np.concatenate([[0.0], 2.0 ** np.linspace(-10, 20, 30 * 64 + 1)])
    sizes = np.abs(values(grid))
    best = int(sizes.argmax())
    around = (grid[max(best - 1, 0)], grid[min(best + 1, grid.size - 1)])

    def negative(t: float) -> float:
        return -abs(float(values(np.asarray(t))))

    found = minimize_scalar(negative, bounds=around, method="bounded", options={"xatol": 1e-10})
    return max(float(sizes[best]), -float(found.fun))
