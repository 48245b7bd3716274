"""Intervals that go through a formula as numbers do, and give certain bounds of its values and slopes.

An :class:`Interval` holds, for each of many pieces of the line, bounds of a function on that piece and of its
derivative, both rounded outwards, and the sign of the function where that is certain although its bounds
underflow to zero, as those of e^w do at w = −1000.
"""

import math
import numbers

import numpy as np

from curse_of_memory.theory.reparameterization.bounds import inverse, outwards, plus, times, whole_power

__all__ = ["Condition", "Interval", "interval", "over"]


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
            slope = whole_power((low, high), 2.0)
            return Interval((low, high), times(self.slope, (-slope[1], -slope[0])), self.sign)

    def exp(self) -> "Interval":
        """Return e^x."""
        with np.errstate(all="ignore"):
            low, high = outwards(*map(np.exp, self.value))
        return self.monotone(np.exp, (np.maximum(low, 0.0), high), 1)

    def log(self) -> "Interval":
        """Return log x, undefined where x is not certain to be positive."""
        with np.errstate(all="ignore"):
            low = np.where(self.sign > 0, self.value[0], math.nan)
            return self.chain(outwards(np.log(low), np.log(self.value[1])), self.reciprocal().value)

    def sqrt(self) -> "Interval":
        """Return √x."""
        with np.errstate(all="ignore"):
            low, high = outwards(*map(np.sqrt, self.value))
            value = np.where(np.isinf(low), low, np.maximum(low, 0.0)), high
            return self.chain(value, inverse(times((2.0, 2.0), value)), np.maximum(self.sign, 0.0))

    def __pow__(self, exponent):
        if isinstance(exponent, Interval):
            return (exponent * self.log()).exp()
        exponent = float(exponent)
        if not exponent.is_integer():
            if exponent == 0.5:
                return self.sqrt()
            return (exponent * self.log()).exp()
        if exponent < 0:
            return (self ** (-exponent)).reciprocal()
        if exponent == 0:
            return interval(1.0)
        even = exponent % 2 == 0
        with np.errstate(all="ignore"):
            value = whole_power(self.value, exponent)
            slope = whole_power(self.value, exponent - 1) if exponent > 1 else (1.0, 1.0)
            return self.chain(
                value, times((exponent, exponent), slope), np.abs(self.sign) if even else self.sign
            )

    def __rpow__(self, base):
        return (self * math.log(base)).exp() if base > 0 else NotImplemented

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
