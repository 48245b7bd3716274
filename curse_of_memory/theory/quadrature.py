"""Integrals and maxima of functions known by samples alone, with estimated errors.

An integral that has not settled raises. What lies between the samples stays unknown: a feature is seen if it
is at least t/1000 wide, for 2^-20 <= t <= 2^20; others have to be named.
"""

import math
from collections.abc import Callable, Sequence
from typing import cast

import numpy as np
from scipy.optimize import OptimizeResult, minimize_scalar

__all__ = ["FINEST", "bounded_minimum", "integrals_to", "largest_magnitude", "panel_sums", "scan"]

Function = Callable[[np.ndarray], np.ndarray]

FINEST = 1000
"""A feature at t is seen if it is at least t/FINEST wide."""

# octaves of the scan, of 56 panels with 21 nodes each: neighbours are less than t/1000 apart
_EARLIEST, _LATEST, _PANELS = -20, 20, 56
_RELATIVE_ERROR = 1e-8
_FINE, _COARSE = np.polynomial.legendre.leggauss(21), np.polynomial.legendre.leggauss(16)
_ROUNDS, _MOST_PANELS = 60, 100_000


def scan(features: Sequence[tuple[float, float]] = (), last: float = math.inf) -> np.ndarray:
    """Return panel edges up to `last`: 56 an octave for 2^-20 <= t <= 2^20, else one; finer at `features`.

    Examples
    --------
    >>> edges = scan([(100.0, 1.0)])
    >>> bool(edges[0] == 0), bool((np.abs(edges - 101.0) < 1e-9).any())
    (True, True)
    """
    near = 2.0 ** np.linspace(_EARLIEST, _LATEST, (_LATEST - _EARLIEST) * _PANELS + 1)
    far = 2.0 ** np.arange(_LATEST + 1, 1001)
    grids = [np.zeros(1), near, far]
    for where, width in features:
        # half a width close by, wider panels farther off
        steps = width * np.concatenate([np.arange(0.0, 8.0, 0.5), 2.0 ** np.arange(3, 60)])
        grids += [where + steps, where - steps[steps <= where]]
    edges = np.unique(np.concatenate(grids))
    return edges[edges <= last]


def integrals_to(
    values: Function,
    starts: np.ndarray,
    stop: float,
    name: str,
    features: Sequence[tuple[float, float]] = (),
    last: float = math.inf,
) -> np.ndarray:
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
    features : sequence of (time, width)
        Features narrower than 1/1000 of their time, or beyond 2^20; kinks have width 0.
    last : float
        Where an infinite integral is cut at the latest, since f cannot be evaluated beyond.

    Returns
    -------
    numpy.ndarray
        Integrals, shaped like `starts`, good to 1e-8 of the largest of them, judged by two Gauss rules on
        adaptive panels; features that are narrower, and not named, may be missed.

    Raises
    ------
    ArithmeticError
        If the two rules differ by more than that: the integral diverges or oscillates too long.

    Examples
    --------
    >>> integrals_to(lambda t: np.exp(-t), np.array([0.0, 1.0]), math.inf, "exp").round(6)
    array([1.      , 0.367879])
    """
    edges = scan(features, last)
    last = min(stop, float(edges[-1]))
    inner = edges[(edges > starts.min()) & (edges < last)]
    edges = np.unique(np.concatenate([starts.ravel(), inner, [last]]))
    low, half, owner = edges[:-1], np.diff(edges) / 2, np.arange(edges.size - 1)
    pieces, error = np.zeros(owner.size), 0.0
    done, spent = np.zeros(0, dtype=bool), 0
    for _ in range(_ROUNDS):
        with np.errstate(over="ignore", invalid="ignore"):
            fine, coarse = (panel_sums(values, low, half, *rule) for rule in (_FINE, _COARSE))
            off = np.abs(fine - coarse)
        done = off <= 1e-11 * (pieces.sum() + fine[np.isfinite(fine)].sum()) / math.sqrt(edges.size)
        np.add.at(pieces, owner[done], fine[done])
        error += float(off[done].sum())
        spent += 2 * int((~done).sum())
        if done.all() or spent > _MOST_PANELS:
            break
        low, half, owner = low[~done], half[~done] / 2, np.tile(owner[~done], 2)
        low, half = np.concatenate([low, low + 2 * half]), np.tile(half, 2)
    totals = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    settled = done.all() and math.isfinite(totals[0]) and error <= _RELATIVE_ERROR * totals[0]
    if not settled or (stop == math.inf and pieces.size and pieces[-1] > 1e-11 * totals[0]):
        raise ArithmeticError(
            f"the integral of {name} does not settle, {totals[0]:.6g} ± {error:.1g}: does it diverge?"
        )
    return totals[np.searchsorted(edges, starts)]


def panel_sums(
    values: Function, low: np.ndarray, half: np.ndarray, nodes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Return the sums of a quadrature rule for ∫ f on the panels [low, low + 2 half].

    Parameters
    ----------
    values : callable
        f, vectorised.
    low, half : numpy.ndarray, shape (n,)
        Left ends and half widths of the panels.
    nodes, weights : numpy.ndarray, shape (k,)
        The rule on [−1, 1].

    Returns
    -------
    numpy.ndarray, shape (n,)

    Examples
    --------
    >>> panel_sums(np.cos, np.array([0.0, 1.0]), np.array([0.5, 0.5]), *_FINE).round(6)
    array([0.841471, 0.067826])
    """
    times = (low + half)[:, None] + half[:, None] * nodes
    return half * (values(times) @ weights)


def largest_magnitude(
    values: Function, features: Sequence[tuple[float, float]] = (), last: float = math.inf
) -> float:
    """Return the largest sampled |f(t)| on t >= 0, a lower bound of the supremum.

    Sampled are the nodes of :func:`scan`, and then the surroundings of the best of them.

    Parameters
    ----------
    values : callable
        f, vectorised.
    features, last
        As of :func:`integrals_to`.

    Examples
    --------
    >>> round(largest_magnitude(lambda t: t * np.exp(-t)), 12) == round(math.exp(-1), 12)
    True
    """
    edges = scan(features, last)
    inner = edges[:-1, None] + np.diff(edges)[:, None] / 2 * (1 + _FINE[0])
    grid = np.unique(np.concatenate([edges, inner.ravel()]))
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.abs(values(grid))
    best = int(sizes.argmax())
    around = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)]))

    def negative(t: float) -> float:
        return -abs(float(values(np.asarray(t))))

    return max(float(sizes[best]), -bounded_minimum(negative, *around, tolerance=1e-10)[1])


def bounded_minimum(
    function: Callable[[float], float], low: float, high: float, tolerance: float
) -> tuple[float, float]:
    """Return the x in [low, high] at which a function of one number is smallest, and its value there.

    The search of :func:`scipy.optimize.minimize_scalar`; of several minima it returns any.

    Parameters
    ----------
    function : callable
        Continuous.
    low, high : float
        low < high.
    tolerance : float
        Of x.

    Examples
    --------
    >>> x, value = bounded_minimum(lambda x: (x - 1) ** 2 + 3, 0.0, 4.0, tolerance=1e-8)
    >>> round(x, 6), round(value, 6)
    (1.0, 3.0)
    """
    search = minimize_scalar(function, bounds=(low, high), method="bounded", options={"xatol": tolerance})
    # scipy has no types: a checker takes the result for any object
    search = cast(OptimizeResult, search)
    return float(search.x), float(search.fun)
