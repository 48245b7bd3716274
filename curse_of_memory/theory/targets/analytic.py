"""Certified integrals and maxima of piecewise analytic functions, from bounds of |f(z)| near the real axis.

Samples do not show what lies between them; a bound of |f(z)| around a panel [a, b] does. If |f| <= M
in the ellipse with foci a, b and half-axes of sum r (b − a)/2, the Chebyshev coefficients of f on the panel
are at most 2M r^{−k}, hence n Gauss points are off by at most (64/15) (b − a)/2 M r^{−2n}/(1 − r^{−2}), and
by Cauchy's formula |f^{(j)}| <= j! M/d^j where |f| <= M within a distance d. Panels are halved until these
bounds are small.
"""

import math
from collections.abc import Callable

import numpy as np

__all__ = [
    "ELLIPSES",
    "GAUSS",
    "LARGEST_TIME",
    "absolute_integrals",
    "around",
    "derivative_bound",
    "gauss_bound",
    "gauss_factor",
    "largest_value",
    "octaves",
]

Magnitude = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(low, high, height) -> a bound of |f(z)| for low <= Re z <= high, |Im z| <= height; inf if unknown."""

Function = Callable[[np.ndarray], np.ndarray]

GAUSS = np.polynomial.legendre.leggauss(16)
LARGEST_TIME = 2.0**1000
"""Beyond it no function here is looked at: nearly the whole range of double precision."""

ELLIPSES = np.array([1.6, 2.0, 2.5, 3.0, 4.0, 5.5, 8.0, 16.0, 32.0])
_REACHES = 2.0 ** np.array([*range(-6, 5), 7, 10, 15, 20])
_SETTLED = 1e-8
_LAST = 1e-11
_MOST_PANELS = 200_000
_ROUNDS = 200
# n Gauss points on a panel of half width h share it out in cells of the lengths h q_k, each around its node
# (Chebyshev, Markov, Stieltjes), so that |∫ g − Σ h q_k g| <= max|g'| h² Σ q_k²/2 for any Lipschitz g
_CELLS = float(GAUSS[1] @ GAUSS[1]) / 2


def octaves() -> np.ndarray:
    """Return the panel edges 0, then powers of two from 2^-30 to :data:`LARGEST_TIME`.

    Examples
    --------
    >>> octaves()[[0, 1, -1]] == [0.0, 2.0**-30, LARGEST_TIME]
    array([ True,  True,  True])
    """
    return np.append(0.0, 2.0 ** np.arange(-30, 1001))


def gauss_bound(magnitude: Magnitude, low: np.ndarray, high: np.ndarray, nodes: int) -> np.ndarray:
    """Return a bound of the error of Gauss sums of ∫_low^high f with so many `nodes`, panel by panel.

    Examples
    --------
    >>> exp = lambda low, high, height: np.exp(-low)
    >>> gauss_bound(exp, np.zeros(1), np.ones(1), 12) < 1e-16
    array([ True])
    """
    best = np.full(low.shape, np.inf)
    for r in ELLIPSES:
        with np.errstate(all="ignore"):
            bound = gauss_factor(low, high, nodes, r) * magnitude(*around(low, high, r))
        best = np.fmin(best, bound)
    return best


def around(low: np.ndarray, high: np.ndarray, r: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rectangles (low, high, height) around the ellipses with parameter `r` of the panels.

    Examples
    --------
    >>> [float(x) for x in around(np.array(-1.0), np.array(1.0), 2.0)]
    [-1.25, 1.25, 0.75]
    """
    half, middle = (high - low) / 2, (high + low) / 2
    along, across = half * (r + 1 / r) / 2, half * (r - 1 / r) / 2
    return middle - along, middle + along, across


def gauss_factor(low: np.ndarray, high: np.ndarray, nodes: int, r: float) -> np.ndarray:
    """Return (64/15) h r^{−2n}/(1 − r^{−2}), the factor of M in the bound of a Gauss sum with n `nodes`.

    Examples
    --------
    >>> round(float(gauss_factor(np.array(0.0), np.array(2.0), 4, 2.0)), 6)  # 64/15 / 2^8 · 4/3
    0.022222
    """
    return 64 / 15 * (high - low) / 2 * r ** (-2.0 * nodes) / (1 - r**-2.0)


def derivative_bound(magnitude: Magnitude, low: np.ndarray, high: np.ndarray, order: int) -> np.ndarray:
    """Return a bound of |f^{(order)}| on [low, high], panel by panel.

    Examples
    --------
    >>> exp = lambda low, high, height: np.exp(-low)
    >>> bool(1 < derivative_bound(exp, np.zeros(1), np.ones(1), 1)[0] < 3)
    True
    """
    best, width = np.full(low.shape, np.inf), high - low
    for reach in _REACHES:
        d = reach * width
        with np.errstate(all="ignore"):
            bound = math.factorial(order) * magnitude(low - d, high + d, d)
            for _ in range(order):
                bound = bound / d
        best = np.fmin(best, bound)
    return best


def absolute_integrals(
    values: Function,
    magnitude: Magnitude,
    starts: np.ndarray,
    edges: np.ndarray,
    name: str,
    *,
    signed: bool = True,
) -> np.ndarray:
    """Return ∫_a^∞ |f| for every a in `starts` (any shape), certified to 1e-8 of the largest integral.

    Parameters
    ----------
    values : callable
        f, vectorised.
    magnitude : callable
        A bound of |f(z)| on rectangles, see :data:`Magnitude`.
    starts : numpy.ndarray
        Times a.
    edges : numpy.ndarray
        Edges of the first panels, ascending; f is analytic between them, and negligible on the last panel.
    name : str
        What is integrated, for the message.
    signed : bool
        Whether f may change its sign, where |f| is not analytic.

    Raises
    ------
    ArithmeticError
        If the bound of the error stays larger: the integral diverges, or takes too many panels.

    Examples
    --------
    >>> exp = lambda low, high, height: np.exp(-low)
    >>> integrals = absolute_integrals(lambda t: np.exp(-t), exp, np.array([0.0, 1.0]), octaves(), "exp")
    >>> integrals.round(9)
    array([1.        , 0.36787944])
    """
    edges = np.unique(np.concatenate([starts.ravel(), edges[edges > starts.min()]]))
    low, high, owner = edges[:-1], edges[1:], np.arange(edges.size - 1)
    totals, errors, spent = np.zeros(owner.size), 0.0, 0
    # a bound of the slope on a panel holds on its halves, too, whose own circles may give a worse one
    slopes = np.full(owner.size, np.inf)
    for _ in range(_ROUNDS):
        half = (high - low) / 2
        slopes = np.fmin(slopes, derivative_bound(magnitude, low, high, 1))
        sums, definite = _on_panels(values, slopes, low, high)
        smooth = gauss_bound(magnitude, low, high, GAUSS[0].size)
        with np.errstate(all="ignore"):
            # the Lipschitz bound holds where f changes its sign; no error exceeds the whole of the panel
            rough = np.fmin(slopes * half**2 * _CELLS, sums + 2 * half * magnitude(low, high, 0 * low))
            off = np.fmin(rough, np.where(definite | (not signed), smooth, np.inf))
        done = off <= 1e-12 * (totals.sum() + sums[np.isfinite(sums)].sum())
        np.add.at(totals, owner[done], sums[done])
        errors += float(off[done].sum())
        spent += low.size + 2 * int((~done).sum())
        if done.all() or spent > _MOST_PANELS:
            break
        low, high, owner, slopes = (x[~done] for x in (low, high, owner, slopes))
        low, high = _halved(low, high)
        owner, slopes = np.tile(owner, 2), np.tile(slopes, 2)
    whole = np.append(np.cumsum(totals[::-1])[::-1], 0.0)
    settled = done.all() and math.isfinite(whole[0]) and errors <= _SETTLED * whole[0]
    # where the last octave still counts, the integral goes on beyond it
    if not settled or totals[-1] > _LAST * whole[0]:
        raise ArithmeticError(
            f"the integral of {name} does not settle to 1e-8, {whole[0]:.6g} so far: does it diverge, "
            "or oscillate too long?"
        )
    return whole[np.searchsorted(edges, starts)]


def _on_panels(values: Function, slopes: np.ndarray, low: np.ndarray, high: np.ndarray):
    """Return the Gauss sums of |f|, and whether f certainly keeps its sign, panel by panel."""
    half, middle = (high - low) / 2, (high + low) / 2
    times = middle[:, None] + half[:, None] * np.append(GAUSS[0], 0.0)
    with np.errstate(all="ignore"):
        sizes = np.abs(values(times))
        return half * (sizes[:, :-1] @ GAUSS[1]), sizes[:, -1] > slopes * half


def _halved(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the panels cut in two, all left halves first."""
    middle = low + (high - low) / 2
    return np.concatenate([low, middle]), np.concatenate([middle, high])


def largest_value(values: Function, magnitude: Magnitude, edges: np.ndarray, name: str) -> float:
    """Return sup|f| on the panels from below: a value of |f| that none exceeds by more than 1e-9 of it.

    Parameters
    ----------
    values, magnitude, edges, name
        As of :func:`absolute_integrals`.

    Raises
    ------
    ArithmeticError
        If the bound of the rest stays larger.

    Examples
    --------
    >>> top = largest_value(lambda t: np.exp(-t), lambda low, high, height: np.exp(-low), octaves(), "exp")
    >>> round(top, 9)
    1.0
    """
    low, high, best, spent = edges[:-1], edges[1:], 0.0, 0
    bends = slopes = np.full(low.size, np.inf)
    # f may jump at the ends of a panel: samples stay inside
    inner = 1e-12
    while low.size:
        width = high - low
        times = low[:, None] + width[:, None] * np.array([inner, 0.25, 0.5, 0.75, 1 - inner])
        with np.errstate(all="ignore"):
            sampled = np.abs(values(times))
            bends = np.fmin(bends, derivative_bound(magnitude, low, high, 2))
            slopes = np.fmin(slopes, derivative_bound(magnitude, low, high, 1))
            above = np.fmin(bends * width**2 / 128, slopes * width / 8)
            bound = np.fmin(sampled.max(1) + above, magnitude(low, high, 0 * low))
        best = max(best, float(sampled.max()))
        spent += low.size
        if spent > _MOST_PANELS:
            raise ArithmeticError(f"the supremum of {name} does not settle to 1e-9, {best:.6g} so far")
        left = ~(bound <= best * (1 + 1e-9))
        low, high = _halved(low[left], high[left])
        bends, slopes = np.tile(bends[left], 2), np.tile(slopes[left], 2)
    return best
