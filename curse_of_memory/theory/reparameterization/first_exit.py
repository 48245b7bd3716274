"""The certified distance from a free weight to the nearest one whose mode does not decay, for any map.

The definition of a map, v(w) = f(w) in continuous time or 1 − f(w) in discrete time, has to stay within an
open interval of stable values. Interval arithmetic proves that of pieces of the line; the first piece of
which it cannot be proved is cut, until nothing but rounding is left of it.
"""

import math
from itertools import pairwise

import numpy as np

from curse_of_memory.theory.reparameterization.contract import WeightMap
from curse_of_memory.theory.reparameterization.ranges import values_over

__all__ = ["first_exit"]

_FAR = 1e15
_CUTS, _TOGETHER, _ROUNDS = 16, 48, 4000
_EPS = np.finfo(float).eps


def first_exit(f: WeightMap, w: float, side: int, stable: tuple[float, float]) -> float:
    """Return how far `w` can move to one side with all values of `f` certain to be `stable`.

    Parameters
    ----------
    f : WeightMap
        A map whose definition takes intervals.
    w : float
        Where to start.
    side : {-1, 1}
        Which way.
    stable : tuple of float
        The open interval of stable values of the definition.

    Returns
    -------
    float
        The distance to the first weight that is not stable, or that is not in the domain; infinite if there
        is none within 1e15 times max(1, |w|).

    Raises
    ------
    ValueError
        If some piece can neither be proved stable nor shrunk to a point.

    Examples
    --------
    >>> from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
    >>> touching = Reparameterization("touching", lambda x, w: -((w - 0.3) ** 2))
    >>> round(first_exit(touching, 1.0, -1, (-math.inf, 0.0)), 12)
    0.7
    """
    edge = f.domain[0 if side < 0 else 1]
    end = side * (edge - w) if math.isfinite(edge) else _FAR * max(1.0, abs(w))
    start = min(1e-6 * max(abs(w), 1e-6), end / 2)
    edges = np.concatenate([[0.0], np.geomspace(start, end, max(2, int(4 * math.log2(end / start))))])
    edges[-1] = end
    # the nearest piece is last
    pieces = list(pairwise(edges))[::-1]
    for _ in range(_ROUNDS):
        nearest = pieces[-_TOGETHER:][::-1]
        proved = _proved(f, w, side, np.array(nearest), stable)
        count = len(nearest) if proved.all() else int(np.argmin(proved))
        del pieces[len(pieces) - count :]
        if not pieces:
            return end if math.isfinite(edge) else math.inf
        if count == len(nearest):
            continue
        a, b = pieces.pop()
        if b - a <= 4 * _EPS * max(abs(w), b):
            return float(a)
        cuts = np.linspace(a, b, _CUTS + 1)
        cuts[-1] = b
        pieces += list(pairwise(cuts))[::-1]
    raise ValueError(f"whether {f.name!r} is stable {a:g} away from {w:g} cannot be decided")


def _proved(f: WeightMap, w: float, side: int, pieces: np.ndarray, stable: tuple[float, float]) -> np.ndarray:
    """Return for each piece (near, far) whether all values on it are certain to be stable."""
    ends = np.sort(w + side * pieces, axis=1)
    room = 2 * _EPS * np.abs(ends).max(1)
    low, high = (np.clip(end, *f.domain) for end in (ends[:, 0] - room, ends[:, 1] + room))
    values = values_over(f, low, high)
    (least, largest), sign = values.value, values.sign
    above = (least > stable[0]) | (stable[0] == -math.inf) | ((stable[0] == 0) & (sign > 0))
    below = (largest < stable[1]) | ((stable[1] == 0) & (sign < 0))
    return above & below
