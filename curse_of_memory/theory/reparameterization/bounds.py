"""Arithmetic of bounds (lower, upper), rounded outwards; (−∞, ∞) where a value is undefined."""

import math

import numpy as np

__all__ = ["WHOLE", "bump", "hull", "inverse", "outwards", "plus", "sigmoid", "times", "wave", "whole_power"]

# numpy's elementary functions are within 4 units in the last place of the right value, sums and products
# within one; what is made of several of them here is within 16
_WIDER = 16 * np.finfo(float).eps
_TINY = 5e-324
_MAX = np.finfo(float).max
WHOLE = (-math.inf, math.inf)


def outwards(low, high):
    """Return the bounds [low, high] widened by rounding errors, (−∞, ∞) where one is NaN."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    undefined = np.isnan(low) | np.isnan(high)
    # what overflows is larger than every float, not infinite
    low = np.where(low == math.inf, _MAX, low - _WIDER * np.minimum(np.abs(low), _MAX) - _TINY)
    high = np.where(high == -math.inf, -_MAX, high + _WIDER * np.minimum(np.abs(high), _MAX) + _TINY)
    return np.where(undefined, -math.inf, low), np.where(undefined, math.inf, high)


def times(a, b):
    """Return bounds of the product a b."""
    products = np.array([x * y for x in a for y in b])
    # the values are finite, so that zero times an infinite bound is zero
    products = np.where(np.isnan(products), 0.0, products)
    return outwards(products.min(0), products.max(0))


def plus(a, b):
    """Return bounds of the sum a + b."""
    return outwards(a[0] + b[0], a[1] + b[1])


def inverse(a):
    """Return bounds of 1/a, infinite where a can be 0."""
    low, high = (np.asarray(end, dtype=float) for end in a)
    least, largest = 1 / np.where(high == 0, math.nan, high), 1 / np.where(low == 0, math.nan, low)
    across = (low < 0) & (high > 0)
    least = np.where(across | ((high == 0) & (low < 0)), -math.inf, np.where(high == 0, math.nan, least))
    largest = np.where(across | ((low == 0) & (high > 0)), math.inf, np.where(low == 0, math.nan, largest))
    return outwards(least, largest)


def hull(a, b):
    """Return the narrowest bounds that contain both a and b."""
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])


def whole_power(a, n):
    """Return bounds of aⁿ, n = 1, 2, ...."""
    low, high = a
    if n % 2:
        return outwards(low**n, high**n)
    least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(low**n, high**n))
    least, largest = outwards(least, np.maximum(low**n, high**n))
    return np.maximum(least, 0.0), largest


def sigmoid(w):
    """Return 1/(1 + e^{−w})."""
    return 1 / (1 + np.exp(-w))


def bump(a):
    """Return bounds of 1/cosh²(a)."""
    ends = [4 * sigmoid(2 * end) * sigmoid(-2 * end) for end in a]
    across = (a[0] <= 0) & (a[1] >= 0)
    least, largest = outwards(np.minimum(*ends), np.where(across, 1.0, np.maximum(*ends)))
    return np.maximum(least, 0.0), np.minimum(largest, 1.0)


def wave(a, phase):
    """Return bounds of cos(a + phase)."""
    with np.errstate(all="ignore"):
        low, high = (end + phase for end in a)
        # room for the rounding of large arguments
        room = 1e-15 * (1 + np.maximum(np.abs(low), np.abs(high)))
        tops, dips = (
            np.floor((high + room + shift) / (2 * math.pi)) >= np.ceil((low - room + shift) / (2 * math.pi))
            for shift in (0.0, math.pi)
        )
        ends = np.cos(low), np.cos(high)
        least, largest = np.minimum(*ends) - room, np.maximum(*ends) + room
        wild = ~np.isfinite(room)
        return np.where(dips | wild, -1.0, np.maximum(least, -1.0)), np.where(
            tops | wild, 1.0, np.minimum(largest, 1.0)
        )
