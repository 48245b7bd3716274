"""The elementary functions of the array API on intervals, each with bounds of its values and its slope.

This module is the `x` of a formula ``f(x, w)`` whose argument is an interval.
"""

import math
from collections.abc import Callable
from functools import wraps

import numpy as np

from curse_of_memory.theory.reparameterization.bounds import (
    WHOLE,
    bump,
    hull,
    outwards,
    plus,
    sigmoid,
    times,
    wave,
)
from curse_of_memory.theory.reparameterization.intervals import Condition, Interval, interval


def _of_intervals(function: Callable[..., Interval]) -> Callable[..., Interval]:
    """Return a function of intervals that takes numbers as well, and overflows silently."""

    @wraps(function)
    def taking_numbers(*arguments) -> Interval:
        with np.errstate(all="ignore"):
            return function(*map(interval, arguments))

    return taking_numbers


exp, log, sqrt = (_of_intervals(function) for function in (Interval.exp, Interval.log, Interval.sqrt))
abs = _of_intervals(Interval.__abs__)  # its name in the array API


@_of_intervals
def expm1(w: Interval) -> Interval:
    return w.monotone(np.expm1, w.exp().value, w.sign)


@_of_intervals
def log1p(w: Interval) -> Interval:
    low = np.where(w.value[0] > -1, w.value[0], math.nan)
    value = outwards(np.log1p(low), np.log1p(w.value[1]))
    return w.chain(value, (1 + w).reciprocal().value, w.sign)


@_of_intervals
def tanh(w: Interval) -> Interval:
    return w.monotone(np.tanh, bump(w.value), w.sign)


@_of_intervals
def sinh(w: Interval) -> Interval:
    return w.monotone(np.sinh, cosh(w).value, w.sign)


@_of_intervals
def cosh(w: Interval) -> Interval:
    ends = [np.cosh(end) for end in w.value]
    least = np.where((w.value[0] <= 0) & (w.value[1] >= 0), 1.0, np.minimum(*ends))
    return w.chain(outwards(least, np.maximum(*ends)), outwards(*(np.sinh(end) for end in w.value)), 1)


@_of_intervals
def atan(w: Interval) -> Interval:
    return w.monotone(np.arctan, (1 / (1 + w**2)).value, w.sign)


@_of_intervals
def sin(w: Interval) -> Interval:
    return w.chain(wave(w.value, -math.pi / 2), wave(w.value, 0.0))


@_of_intervals
def cos(w: Interval) -> Interval:
    return sin(w + math.pi / 2)


@_of_intervals
def logaddexp(u: Interval, w: Interval) -> Interval:
    value = outwards(*(np.logaddexp(a, b) for a, b in zip(u.value, w.value, strict=True)))
    share = outwards(sigmoid(w.value[0] - u.value[1]), sigmoid(w.value[1] - u.value[0]))
    rest = outwards(sigmoid(u.value[0] - w.value[1]), sigmoid(u.value[1] - w.value[0]))
    slope = plus(times(w.slope, share), times(u.slope, rest))
    # larger than the larger of the two
    return Interval(value, slope, (np.maximum(u.value[0], w.value[0]) >= 0) * 1.0)


@_of_intervals
def maximum(u: Interval, w: Interval) -> Interval:
    value = tuple(np.maximum(a, b) for a, b in zip(u.value, w.value, strict=True))
    first, second = u.value[0] > w.value[1], w.value[0] > u.value[1]
    both = hull(u.slope, w.slope)
    slope = tuple(
        np.where(first, a, np.where(second, b, c)) for a, b, c in zip(u.slope, w.slope, both, strict=True)
    )
    up, down = (u.sign > 0) | (w.sign > 0), (u.sign < 0) & (w.sign < 0)
    return Interval(value, slope, up * 1.0 - down * 1.0)


@_of_intervals
def minimum(u: Interval, w: Interval) -> Interval:
    return -maximum(-u, -w)


@_of_intervals
def square(w: Interval) -> Interval:
    return w**2


def where(condition: Condition, yes: Interval | float, no: Interval | float) -> Interval:
    yes, no = interval(yes), interval(no)
    both = hull(yes.value, no.value)
    decided = condition.surely | condition.never
    # across the switch the function may jump, so that no slope bounds it
    low, high, falling, rising = (
        np.where(condition.surely, a, np.where(condition.never, b, c))
        for a, b, c in zip((*yes.value, *yes.slope), (*no.value, *no.slope), (*both, *WHOLE), strict=True)
    )
    same = np.where(yes.sign == no.sign, yes.sign, 0.0)
    sign = np.where(decided, np.where(condition.surely, yes.sign, no.sign), same)
    return Interval((low, high), (falling, rising), sign)


def zeros_like(_) -> Interval:
    return interval(0.0)


def ones_like(_) -> Interval:
    return interval(1.0)
