"""The Airy function Ai: values, bounds of |Ai(z)|, and ∫_x^∞ |Ai| over millions of sign changes."""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

__all__ = ["airy_magnitude", "airy_values", "tails_of_airy"]

_FAR = -30.0
"""From here down the asymptotic series of Hi is exact to rounding."""

_FARTHEST = -1e5
_SERIES = 14
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(20)
# what the contour is moved by, in units of the best shift on the real axis
_SHIFTS = np.geomspace(1e-5, 30.0, 24)
_GONE = 30.0  # beyond it Ai is below 1e-47


def airy_values(x: ArrayLike) -> np.ndarray:
    """Return Ai(x), and 0 where it underflows.

    Examples
    --------
    >>> float(airy_values(np.array(1e3)))
    0.0
    """
    # scipy gives NaN far beyond the underflow at 104
    return special.airy(np.minimum(x, 200.0))[0]


def airy_magnitude(low: np.ndarray, high: np.ndarray, height: np.ndarray) -> np.ndarray:
    """Return a bound of |Ai(z)| for low <= Re z <= high, |Im z| <= height.

    On the contour moved up by any η > 0, |Ai(z)| <= e^{η³/3 − xη + y²/(4η)} / (2 √(πη)) for z = x + iy. Close
    to the negative axis, |y| <= √3 |x|, Ai(z) = −ω Ai(ωz) − ω̄ Ai(ω̄z) with ω = e^{2πi/3} and the error bounds
    of the asymptotic series (DLMF 9.7(iii)) give (π √|x|)^{−1/2} (1 + 0.27 |x|^{−3/2}) e^{|y| |z|^{1/2}}.

    Examples
    --------
    >>> bool(0.355 < airy_magnitude(*np.zeros((3, 1)))[0] < 0.6)  # Ai(0) = .355
    True
    >>> airy_magnitude(np.array([-100.0]), np.array([-100.0]), np.zeros(1)).round(3)  # at most .178
    array([0.178])
    """
    best = np.full(np.broadcast(low, height).shape, np.inf)
    # η = √x where Ai decays; |y|/(2 √|x|) where it oscillates, which costs e^{|y| √|x|}
    root = np.sqrt(np.abs(low) + 1e-3)
    with np.errstate(over="ignore", invalid="ignore"):
        for eta in (*_SHIFTS, root, height / (2 * root) + 1 / (2 * root**2)):
            exponent = eta**3 / 3 - low * eta + height**2 / (4 * eta)
            best = np.fmin(best, np.exp(exponent) / (2 * np.sqrt(math.pi * eta)))
        nearest = np.maximum(-high, 1.0)
        growth = np.exp(height * np.sqrt(np.hypot(low, height)))
        near_axis = growth * (1 + 0.27 * nearest**-1.5) / np.sqrt(math.pi * np.sqrt(nearest))
    best = np.where((high <= -1) & (height <= 1.7 * nearest), np.fmin(best, near_axis), best)
    # with η = √x the exponent is y²/(4√x) − 2x^{3/2}/3, which underflows before its parts overflow
    return np.where((low > 1e4) & (height <= low), 0.0, best)


def _primitive(x: np.ndarray, ai: np.ndarray, slope: np.ndarray) -> np.ndarray:
    """Return the primitive −π (Ai' Hi − Ai Hi') of Ai, at x <= -30, given Ai and Ai' there.

    (Ai' Hi − Ai Hi')' = −Ai/π by Hi'' = x Hi + 1/π; Hi ~ −1/(πx) Σ (3s)!/(s! (3x³)^s) as x → −∞.
    """
    power, hi, hi_slope = 1 / x, np.zeros_like(x), np.zeros_like(x)
    for s in range(_SERIES):
        factor = math.factorial(3 * s) / math.factorial(s) / 3.0**s
        hi, hi_slope = hi - factor * power, hi_slope + (3 * s + 1) * factor * power / x
        power = power / x**3
    return ai * hi_slope - slope * hi


def tails_of_airy(x: np.ndarray, name: str) -> np.ndarray:
    """Return ∫_x^∞ |Ai|, shaped like `x`.

    Between zeros below −30 these are closed forms, elsewhere Gauss sums with 20 points per unit.

    Raises
    ------
    ArithmeticError
        If an `x` is below -1e5, beyond more than 6 million sign changes; the message gives the `name`.

    Examples
    --------
    >>> round(float(tails_of_airy(np.array(0.0), "Ai")), 12)
    0.333333333333
    """
    first = float(x.min())
    if first < _FARTHEST:
        raise ArithmeticError(
            f"the L1 norm of {name} spans more than 6e6 sign changes: it is computed from {_FARTHEST:g} on"
        )
    # the k-th zero is near -(3π(4k-1)/8)^{2/3}, so this many reach beyond the first x
    count = 2 + int((8 * max(-first, 0.0) ** 1.5 / (3 * math.pi) + 3) / 4)
    zeros, _, _, slopes = special.ai_zeros(count)
    inner = (zeros > max(first, _FAR)) & (zeros < _GONE)
    near = np.arange(math.floor(max(first, _FAR)), _GONE + 1)
    edges = np.unique(np.concatenate([[max(first, _FAR)], near, zeros[inner], x[(x > _FAR) & (x < _GONE)]]))
    edges = edges[edges >= max(first, _FAR)]
    half = np.diff(edges)[:, None] / 2
    pieces = np.abs((half * airy_values(edges[:-1, None] + half * (1 + _NODES))) @ _WEIGHTS)
    if first < _FAR:
        given = np.append(np.unique(x[x < _FAR]), _FAR)
        ai, slope, _, _ = special.airy(given)
        at_zero = zeros < _FAR
        points = np.concatenate([given, zeros[at_zero]])
        primitive = _primitive(
            points, np.concatenate([ai, 0 * zeros[at_zero]]), np.concatenate([slope, slopes[at_zero]])
        )
        points, order = np.unique(points, return_index=True)
        kept = points >= first
        primitive = primitive[order][kept]
        edges = np.concatenate([points[kept][:-1], edges])
        pieces = np.concatenate([np.abs(np.diff(primitive)), pieces])
    tails = np.append(np.cumsum(pieces[::-1])[::-1], 0.0)
    return tails[np.searchsorted(edges, np.minimum(x, edges[-1]))]
