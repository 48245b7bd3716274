"""The modulus of stability g(β) of a reparameterisation, by numerical search for its supremum."""

import math

import numpy as np

from curse_of_memory.theory.quadrature import bounded_minimum
from curse_of_memory.theory.reparameterization.contract import WeightMap
from curse_of_memory.theory.reparameterization.first_exit import first_exit
from curse_of_memory.theory.reparameterization.ranges import bounded_by

__all__ = ["rate_modulus"]

_MAGNITUDES = np.geomspace(1e-9, 1e9, 721)
# perturbed weights tried within the ball, the ends included: f need not be monotone
_WITHIN = np.linspace(-1.0, 1.0, 41)
_SMALLEST = 1e-290
# where a multiplier is this near −1, what is left of 1 + f after rounding is noise
_NEAREST = 1e-6
_GROWTH = 1.02


def rate_modulus(reparameterization: WeightMap, beta: float) -> float:
    """Return g(β), the largest relative change of a memory e^{f(w)t} under |w̃ − w| <= β, over all w, or inf.

    The change is |f(w)| ∫|e^{f(w̃)t} − e^{f(w)t}| dt = |f(w)/f(w̃) − 1| in continuous time, and
    (1 − |f(w)|) Σ_s |f(w̃)^s − f(w)^s| in discrete time. The supremum is taken over a grid of magnitudes
    of w and refined where it is largest, so the value is a lower bound that is sharp for smooth f; it is
    taken as inf where some w̃ is unstable, or where the change still grows at the last representable w. For a
    map that interval arithmetic can follow, a weight at which it merely touches instability is found, too.

    Parameters
    ----------
    reparameterization : WeightMap
        The map f.
    beta : float
        Radius β > 0.

    Examples
    --------
    >>> from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
    >>> exp = Reparameterization("exp", lambda x, w: -x.exp(w))
    >>> round(rate_modulus(exp, 0.5) / math.expm1(0.5), 12)
    1.0
    """
    low, high = reparameterization.domain
    change = _continuous_change if reparameterization.time == "continuous" else _discrete_change

    def largest(w: np.ndarray) -> np.ndarray:
        """Return the largest change around each weight; NaN where nothing can be computed."""
        moved = w[:, None] + beta * _WITHIN
        with np.errstate(all="ignore"):
            values = change(reparameterization, w[:, None], np.clip(moved, low, high))
        values = np.where((moved <= low) | (moved >= high), math.inf, values)
        return np.where(np.isnan(values).any(1), math.nan, values.max(1))

    grid = np.unique(np.concatenate([-_MAGNITUDES, [0.0], _MAGNITUDES]))
    grid = grid[(grid > low) & (grid < high)]
    changes = largest(grid)
    known = np.flatnonzero(~np.isnan(changes))
    if known.size == 0:
        raise ValueError(f"nothing of {reparameterization.name!r} is stable, so that it has no modulus")
    grid, changes = grid[known], changes[known]
    if bounded_by(reparameterization) == "intervals":
        middle, stable = float(grid[np.argmin(np.abs(grid))]), reparameterization.stable_values
        if any(math.isfinite(first_exit(reparameterization, middle, side, stable)) for side in (-1, 1)):
            return math.inf
    at = int(np.argmax(changes))
    if not math.isfinite(changes[at]) or _grows_at_an_end(changes, at):
        return math.inf
    _, lowest = bounded_minimum(
        lambda w: -float(np.nan_to_num(largest(np.array([w]))[0], nan=0.0)),
        float(grid[max(at - 1, 0)]),
        float(grid[min(at + 1, grid.size - 1)]),
        tolerance=1e-12 * max(1.0, abs(float(grid[at]))),
    )
    return max(float(changes[at]), -lowest)


def _grows_at_an_end(changes: np.ndarray, at: int) -> bool:
    """Whether the largest change is near an end of the grid, and above one further in by more than 2 %."""
    inner = 4 if at < 4 else -5 if at >= changes.size - 4 else None
    return inner is not None and bool(changes[at] > _GROWTH * changes[inner])


def _continuous_change(reparameterization, w, moved):
    rate, new = -reparameterization.f(w), -reparameterization.f(moved)
    # a weight that is itself unstable, or under- or overflows, has no relative change
    usable = (rate > _SMALLEST) & (rate < 1 / _SMALLEST)
    change = np.where(new > 0, np.abs(rate / new - 1), math.inf)
    return np.where(usable, change, math.nan)


def _discrete_change(reparameterization, w, moved):
    gap, new_gap = reparameterization.gap(w), reparameterization.gap(moved)
    old, new = 1 - gap, 1 - new_gap
    left, new_left = np.minimum(gap, 2 - gap), np.minimum(new_gap, 2 - new_gap)  # 1 − |f|
    alike = np.abs(1 / new_left - 1 / left)
    # of opposite signs: |f|^s and |f̃|^s differ at even steps and add up at odd ones
    a, b = np.abs(old), np.abs(new)
    unlike = np.abs(1 / (1 - b * b) - 1 / (1 - a * a)) + a / (1 - a * a) + b / (1 - b * b)
    change = left * np.where(old * new >= 0, alike, unlike)
    change = np.where(new_left > 0, change, math.inf)
    return np.where((gap > _SMALLEST) & (gap < 2 - _NEAREST), change, math.nan)
