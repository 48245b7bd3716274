"""Intervals that go through a formula as numbers do, and give certain bounds of its values and slopes.

An :class:`Interval` holds, for each of many pieces of the line, bounds of a function on that piece and of its
derivative, both rounded outwards, and the sign of the function where that is certain although its bounds
underflow to zero, as those of e^w do at w = −1000.
"""

import math
import numbers

import numpy as np

from curse_of_memory.theory.reparameterization.bounds import (
    WHOLE,
    bump,
    hull,
    inverse,
    outwards,
    plus,
    power,
    sigmoid,
    times,
    wave,
)

__all__ = ["ELEMENTARY", "Interval", "over"]


class Interval:
    """Certain bounds of a function and of its slope, over each of many pieces of the line.

    Parameters
    ----------
    value, slope : tuple of numpy.ndarray
        (lower, upper) bounds, one of each for every piece.
    sign : numpy.ndarray or int
        1 or −1 where all values are certain to be > 0 or < 0, else 0.

    Examples
    --------
    >>> w = over(np.array([0.0]), np.array([2.0]))
    >>> f = -(w * w) - 1
    >>> f.value[0].round(9), f.value[1].round(9), f.sign
    (array([-5.]), array([-1.]), array([-1.]))
    """

    __array_ufunc__ = None  # numpy numbers leave the arithmetic to this class

    def __init__(self, value, slope, sign: np.ndarray | float = 0):
        self.slope = slope
        low, high = value
        self.sign = np.where(low > 0, 1.0, np.where(high < 0, -1.0, sign))
        # where the sign is certain rounding must not lose it
        self.value = (
            np.where(self.sign > 0, np.maximum(low, 0.0), low),
            np.where(self.sign < 0, np.minimum(high, 0.0), high),
        )

    def chain(self, value, derivative, sign: np.ndarray | float = 0) -> "Interval":
        """Return g(x) from bounds of its values and of g'(x), for x this interval."""
        return Interval(value, times(self.slope, derivative), sign)

    def monotone(self, function, derivative, sign: np.ndarray | float = 0) -> "Interval":
        """Return g(x) for a rising g, `function`, from bounds of g'(x), for x this interval."""
        with np.errstate(all="ignore"):
            return self.chain(outwards(*(function(end) for end in self.value)), derivative, sign)

    def __neg__(self):
        value, slope = ((-high, -low) for low, high in (self.value, self.slope))
        return Interval(value, slope, -self.sign)

    def __pos__(self):
        return self

    def __add__(self, other):
        other = interval(other)
        weakly = [x.value[0] >= 0 for x in (self, other)], [x.value[1] <= 0 for x in (self, other)]
        up = ((self.sign > 0) & weakly[0][1]) | ((other.sign > 0) & weakly[0][0])
        down = ((self.sign < 0) & weakly[1][1]) | ((other.sign < 0) & weakly[1][0])
        with np.errstate(all="ignore"):
            value, slope = plus(self.value, other.value), plus(self.slope, other.slope)
        return Interval(value, slope, up * 1.0 - down * 1.0)

    __radd__ = __add__

    def __sub__(self, other):
        return self + -interval(other)

    def __rsub__(self, other):
        return -self + other

    def __mul__(self, other):
        if other is self:
            return self**2
        other = interval(other)
        with np.errstate(all="ignore"):
            value = times(self.value, other.value)
            slope = plus(times(self.slope, other.value), times(self.value, other.slope))
        return Interval(value, slope, self.sign * other.sign)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * interval(other).reciprocal()

    def __rtruediv__(self, other):
        return interval(other) * self.reciprocal()

    def reciprocal(self):
        """Return 1/x."""
        with np.errstate(all="ignore"):
            value = inverse(self.value)
            # a sign that is certain keeps the bounds on its side of zero
            low = np.where(self.sign > 0, np.maximum(value[0], 0.0), value[0])
            high = np.where(self.sign < 0, np.minimum(value[1], 0.0), value[1])
            slope = power((low, high), 2.0)
            return Interval((low, high), times(self.slope, (-slope[1], -slope[0])), self.sign)

    def __pow__(self, exponent):
        if isinstance(exponent, Interval):
            return _Intervals.exp(exponent * _Intervals.log(self))
        exponent = float(exponent)
        if not exponent.is_integer():
            if exponent == 0.5:
                return _Intervals.sqrt(self)
            return _Intervals.exp(exponent * _Intervals.log(self))
        if exponent < 0:
            return (self ** (-exponent)).reciprocal()
        if exponent == 0:
            return interval(1.0)
        even = exponent % 2 == 0
        with np.errstate(all="ignore"):
            value = power(self.value, exponent)
            slope = power(self.value, exponent - 1) if exponent > 1 else (1.0, 1.0)
            return self.chain(
                value, times((exponent, exponent), slope), np.abs(self.sign) if even else self.sign
            )

    def __rpow__(self, base):
        return _Intervals.exp(self * math.log(base)) if base > 0 else NotImplemented

    def __abs__(self):
        low, high = self.value
        least = np.where(low > 0, low, np.where(high < 0, -high, 0.0))
        turn = np.where(low >= 0, 1.0, -1.0), np.where(high <= 0, -1.0, 1.0)
        return self.chain((least, np.maximum(-low, high)), turn, np.abs(self.sign))

    def _compared(self, other, strict):
        gap = self - other
        (low, high), sign = gap.value, gap.sign
        return Condition((low > 0) | (sign > 0), (high < 0) | (sign < 0) | (strict & (high <= 0)))

    def __gt__(self, other):
        return self._compared(other, True)

    def __ge__(self, other):
        return self._compared(other, False)

    def __lt__(self, other):
        return -self > -interval(other)

    def __le__(self, other):
        return -self >= -interval(other)

    def __eq__(self, other):
        raise TypeError("whether an interval is equal to something is not certain anywhere but at points")

    __ne__ = __eq__

    def __bool__(self):
        raise TypeError("an interval is neither true nor false")


class Condition:
    """Whether a comparison holds everywhere (`surely`), nowhere (`never`) or in part of each piece."""

    def __init__(self, surely, never):
        self.surely, self.never = surely, never

    def __invert__(self):
        return Condition(self.never, self.surely)

    def __and__(self, other):
        return Condition(self.surely & other.surely, self.never | other.never)

    def __or__(self, other):
        return Condition(self.surely | other.surely, self.never & other.never)

    def __eq__(self, other):
        raise TypeError("conditions are joined by &, | and ~")

    __ne__ = __eq__

    def __bool__(self):
        raise TypeError("a condition on an interval is neither true nor false")


def over(low: np.ndarray, high: np.ndarray) -> Interval:
    """Return the intervals [`low`, `high`] as argument of a formula: the identity, of slope one."""
    ones = np.ones(np.shape(low))
    return Interval((np.asarray(low, dtype=float), np.asarray(high, dtype=float)), (ones, ones))


def interval(x) -> Interval:
    """Return a number as an interval of width zero; an interval as it is."""
    if isinstance(x, Interval):
        return x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x.item()
    if not isinstance(x, numbers.Real):
        raise TypeError(f"intervals go with real numbers, got {type(x).__name__}")
    number = np.float64(x)
    return Interval((number, number), (np.float64(0.0), np.float64(0.0)))


class _Intervals:
    """The functions of the array API that formulas use, for intervals."""

    @staticmethod
    def exp(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            slope = outwards(*map(np.exp, w.value))
        return w.monotone(np.exp, (np.maximum(slope[0], 0.0), slope[1]), 1)

    @staticmethod
    def expm1(w):
        w = interval(w)
        return w.monotone(np.expm1, _Intervals.exp(w).value, w.sign)

    @staticmethod
    def log(w):
        w = interval(w)
        # undefined where w is not certain to be positive
        with np.errstate(all="ignore"):
            low = np.where(w.sign > 0, w.value[0], math.nan)
            value = outwards(np.log(low), np.log(w.value[1]))
            return Interval(value, times(w.slope, w.reciprocal().value))

    @staticmethod
    def log1p(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            low = np.where(w.value[0] > -1, w.value[0], math.nan)
            value = outwards(np.log1p(low), np.log1p(w.value[1]))
            return Interval(value, times(w.slope, (1 + w).reciprocal().value), w.sign)

    @staticmethod
    def sqrt(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            root = outwards(*map(np.sqrt, w.value))
            value = np.where(np.isinf(root[0]), root[0], np.maximum(root[0], 0.0)), root[1]
            return w.chain(value, inverse(times((2.0, 2.0), value)), np.maximum(w.sign, 0.0))

    @staticmethod
    def tanh(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            steep = bump(w.value)
        return w.monotone(np.tanh, steep, w.sign)

    @staticmethod
    def sinh(w):
        w = interval(w)
        return w.monotone(np.sinh, _Intervals.cosh(w).value, w.sign)

    @staticmethod
    def cosh(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            ends = [np.cosh(end) for end in w.value]
            least = np.where((w.value[0] <= 0) & (w.value[1] >= 0), 1.0, np.minimum(*ends))
            return w.chain(
                outwards(least, np.maximum(*ends)), outwards(*(np.sinh(end) for end in w.value)), 1
            )

    @staticmethod
    def atan(w):
        w = interval(w)
        return w.monotone(np.arctan, (1 / (1 + w**2)).value, w.sign)

    @staticmethod
    def sin(w):
        w = interval(w)
        return w.chain(wave(w.value, -math.pi / 2), wave(w.value, 0.0))

    @staticmethod
    def cos(w):
        return _Intervals.sin(interval(w) + math.pi / 2)

    @staticmethod
    def logaddexp(u, w):
        u, w = interval(u), interval(w)
        with np.errstate(all="ignore"):
            value = outwards(*(np.logaddexp(a, b) for a, b in zip(u.value, w.value, strict=True)))
            share = outwards(sigmoid(w.value[0] - u.value[1]), sigmoid(w.value[1] - u.value[0]))
            rest = outwards(sigmoid(u.value[0] - w.value[1]), sigmoid(u.value[1] - w.value[0]))
            slope = plus(times(w.slope, share), times(u.slope, rest))
        # larger than the larger of the two
        return Interval(value, slope, (np.maximum(u.value[0], w.value[0]) >= 0) * 1.0)

    @staticmethod
    def maximum(u, w):
        u, w = interval(u), interval(w)
        value = tuple(np.maximum(a, b) for a, b in zip(u.value, w.value, strict=True))
        first, second = u.value[0] > w.value[1], w.value[0] > u.value[1]
        both = hull(u.slope, w.slope)
        slope = tuple(
            np.where(first, a, np.where(second, b, c)) for a, b, c in zip(u.slope, w.slope, both, strict=True)
        )
        up, down = (u.sign > 0) | (w.sign > 0), (u.sign < 0) & (w.sign < 0)
        return Interval(value, slope, up * 1.0 - down * 1.0)

    @staticmethod
    def minimum(u, w):
        return -_Intervals.maximum(-interval(u), -interval(w))

    @staticmethod
    def abs(w):
        return abs(interval(w))

    @staticmethod
    def square(w):
        return interval(w) ** 2

    @staticmethod
    def where(condition, yes, no):
        yes, no = interval(yes), interval(no)
        both = hull(yes.value, no.value)
        decided = condition.surely | condition.never
        # across the switch the function may jump, so that no slope bounds it
        chosen = [
            np.where(condition.surely, a, np.where(condition.never, b, c))
            for a, b, c in zip((*yes.value, *yes.slope), (*no.value, *no.slope), (*both, *WHOLE), strict=True)
        ]
        same = np.where(yes.sign == no.sign, yes.sign, 0.0)
        sign = np.where(decided, np.where(condition.surely, yes.sign, no.sign), same)
        return Interval(tuple(chosen[:2]), tuple(chosen[2:]), sign)

    @staticmethod
    def zeros_like(_):
        return interval(0.0)

    @staticmethod
    def ones_like(_):
        return interval(1.0)


ELEMENTARY = _Intervals
"""The namespace of the elementary functions that intervals go through."""
