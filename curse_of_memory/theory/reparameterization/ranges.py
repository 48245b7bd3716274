"""Bounds of the values of a map f over intervals of weights.

What is bounded is the definition of the map, f(w) in continuous time and 1 − f(w) in discrete time. What the
bounds rest on, :func:`bounded_by`, is one of three: turning points that are declared; interval arithmetic,
which proves by bisection where f rises and falls; or, of other maps, samples.
"""

from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.reparameterization.bounds import WHOLE
from curse_of_memory.theory.reparameterization.contract import WeightMap
from curse_of_memory.theory.reparameterization.intervals import Interval, interval, over

__all__ = ["Range", "bounded_by", "value_intervals", "value_range", "values_over"]

_CUTS, _ROUNDS, _MOST = 16, 12, 2**14
_SAMPLES = np.linspace(0.0, 1.0, 4097)
_CLOSE = 1e-9


@dataclass(frozen=True, eq=False)
class Range:
    """Bounds of a function of the weight, such as a map or a pole, over each of n intervals of weights.

    Attributes
    ----------
    low, high : numpy.ndarray, shape (n,)
        All values are between these.
    at_low, at_high : numpy.ndarray, shape (n,)
        The weights of the lowest and the highest value that was found.
    certified : bool
        Whether the bounds are certain; else they are those of samples.
    """

    low: np.ndarray
    high: np.ndarray
    at_low: np.ndarray
    at_high: np.ndarray
    certified: bool


def bounded_by(f: WeightMap) -> str:
    """Return what bounds of `f` rest on: 'turns', 'intervals', or 'samples'.

    Examples
    --------
    >>> from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
    >>> bounded_by(Reparameterization("quartic", lambda x, w: -(w**4) - 1))
    'intervals'
    >>> bounded_by(Reparameterization("table", lambda x, w: np.interp(w, [0.0, 1.0], [-1.0, -2.0])))
    'samples'
    """
    if f.turns is not None:
        return "turns"
    edge = f.domain[0] if np.isfinite(f.domain[0]) else min(f.domain[1], 1.0) - 1.0
    return "samples" if value_intervals(f, np.array([edge]), np.array([edge])) is None else "intervals"


def value_intervals(f: WeightMap, low: np.ndarray, high: np.ndarray) -> Interval | None:
    """Return bounds of the definition of `f` over pieces [`low`, `high`]; None if it takes no intervals."""
    try:
        return values_over(f, low, high)
    # what somebody's formula raises for an argument of another type is not known
    except Exception:
        return None


def values_over(f: WeightMap, low: np.ndarray, high: np.ndarray) -> Interval:
    """Return bounds of the definition of `f`, which takes intervals, over the pieces [`low`, `high`]."""
    bounds = interval(f.value(over(low, high)))
    value, slope = (
        tuple(np.broadcast_to(end, np.shape(low)) for end in pair) for pair in (bounds.value, bounds.slope)
    )
    return Interval(value, slope, np.broadcast_to(bounds.sign, np.shape(low)))


def value_range(f: WeightMap, low: np.ndarray, high: np.ndarray) -> Range:
    """Return the range of the definition of `f` over each of the intervals [`low`, `high`]."""
    how = bounded_by(f)
    if how == "intervals":
        bounds = np.array([_by_intervals(f, a, b) for a, b in zip(low, high, strict=True)])
        least, largest, at_least, at_largest = bounds.T
        return Range(least, largest, at_least, at_largest, certified=True)
    if f.turns is not None:
        tried = np.array([low, high, *(np.clip(turn, low, high) for turn in f.turns)])
    else:
        tried = low + (high - low) * _SAMPLES[:, None]
    with np.errstate(all="ignore"):
        values = f.value(tried)
    unknown = np.isnan(values)
    least = np.where(unknown, np.inf, values).argmin(0)
    largest = np.where(unknown, -np.inf, values).argmax(0)
    columns = np.arange(low.size)
    return Range(
        values[least, columns],
        values[largest, columns],
        tried[least, columns],
        tried[largest, columns],
        certified=how == "turns",
    )


def _by_intervals(f: WeightMap, low: float, high: float) -> tuple[float, float, float, float]:
    """Return bounds of the values over [low, high], and the weights of the extreme values found.

    Pieces on which the slope keeps its sign have their extremes at their ends. The others are cut until
    they add nothing to the values found, or there are too many.
    """
    edges = np.linspace(low, high, _CUTS + 1)
    a, b = edges[:-1], edges[1:]
    b[-1] = high
    least, largest = np.inf, -np.inf
    best, worst = (np.inf, low), (-np.inf, low)
    for done in range(_ROUNDS):
        ends = values_over(f, a, a).value, values_over(f, b, b).value
        whole = values_over(f, a, b)
        steady = (whole.slope[0] >= 0) | (whole.slope[1] <= 0)
        at_ends = np.minimum(ends[0][0], ends[1][0]), np.maximum(ends[0][1], ends[1][1])
        # by the slope from either end, as far as the piece is wide
        with np.errstate(all="ignore"):
            reach = np.maximum(np.abs(whole.slope[0]), np.abs(whole.slope[1])) * (b - a) * (1 + 1e-15)
            leaning = at_ends[0] - reach, at_ends[1] + reach
            leaning = [np.where(np.isnan(end), side, end) for end, side in zip(leaning, WHOLE, strict=True)]
        below = np.where(steady, at_ends[0], np.maximum(whole.value[0], leaning[0]))
        above = np.where(steady, at_ends[1], np.minimum(whole.value[1], leaning[1]))
        for points, side in ((a, ends[0]), (b, ends[1])):
            # a value is found only as far as rounding lets it be known
            down, up = int(np.argmin(side[1])), int(np.argmax(side[0]))
            best = min(best, (float(side[1][down]), float(points[down])))
            worst = max(worst, (float(side[0][up]), float(points[up])))
        room = _CLOSE * max(worst[0] - best[0], 0.0) + 16 * np.finfo(float).eps * max(
            abs(worst[0]), abs(best[0])
        )
        open_ = ~steady & ((below < best[0] - room) | (above > worst[0] + room)) & (b > a)
        closed = ~open_
        if done == _ROUNDS - 1 or open_.sum() * _CUTS > _MOST:
            closed = np.ones_like(open_)
        if closed.any():
            least, largest = min(least, below[closed].min()), max(largest, above[closed].max())
        if closed.all():
            break
        a, b = a[open_], b[open_]
        cuts = a[:, None] + (b - a)[:, None] * np.linspace(0.0, 1.0, _CUTS + 1)
        cuts[:, -1] = b
        a, b = cuts[:, :-1].ravel(), cuts[:, 1:].ravel()
    return float(least), float(largest), best[1], worst[1]
