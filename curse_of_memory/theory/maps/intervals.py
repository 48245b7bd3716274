"""Intervals that go through a formula as numbers do: where its values and its slopes are certain to be.

An :class:`Interval` holds, for each of many pieces of the line, bounds of a function on that piece and of its
derivative, both rounded outwards, and the sign of the function where that is certain although its bounds
underflow to zero, as those of e^w do at w = −1000.
"""

import math
import numbers

import numpy as np

__all__ = ["Interval", "Intervals", "over"]

# numpy's elementary functions are within 4 units in the last place of the right value; sums and products
# within one
_WIDER = 4 * np.finfo(float).eps
_TINY = 5e-324
_MAX = np.finfo(float).max
_WHOLE = (-math.inf, math.inf)


def _outwards(low, high):
    """Return bounds that hold in spite of rounding, the whole line where they are undefined."""
    low, high = np.asarray(low, dtype=float), np.asarray(high, dtype=float)
    undefined = np.isnan(low) | np.isnan(high)
    # what overflows is larger than every float, not infinite
    low = np.where(low == math.inf, _MAX, low - _WIDER * np.minimum(np.abs(low), _MAX) - _TINY)
    high = np.where(high == -math.inf, -_MAX, high + _WIDER * np.minimum(np.abs(high), _MAX) + _TINY)
    return np.where(undefined, -math.inf, low), np.where(undefined, math.inf, high)


def _times(a, b):
    products = np.array([x * y for x in a for y in b])
    # the values are finite, so that zero times an infinite bound is zero
    products = np.where(np.isnan(products), 0.0, products)
    return _outwards(products.min(0), products.max(0))


def _plus(a, b):
    return _outwards(a[0] + b[0], a[1] + b[1])


def _inverse(a):
    low, high = (np.asarray(end, dtype=float) for end in a)
    least, largest = 1 / np.where(high == 0, math.nan, high), 1 / np.where(low == 0, math.nan, low)
    across = (low < 0) & (high > 0)
    least = np.where(across | ((high == 0) & (low < 0)), -math.inf, np.where(high == 0, math.nan, least))
    largest = np.where(across | ((low == 0) & (high > 0)), math.inf, np.where(low == 0, math.nan, largest))
    return _outwards(least, largest)


def _hull(a, b):
    return np.minimum(a[0], b[0]), np.maximum(a[1], b[1])


class Interval:
    """Bounds of a function and of its slope over pieces of the line.

    Parameters
    ----------
    value, slope : tuple of numpy.ndarray
        (lower, upper) bounds, one of each for every piece.
    sign : numpy.ndarray or int
        1 or −1 where all values are certain to be > 0 or < 0, else 0.

    Examples
    --------
    >>> w = over(np.array([0.0]), np.array([2.0]))
    >>> found = -(w * w) - 1
    >>> found.value[0].round(9), found.value[1].round(9), found.sign
    (array([-5.]), array([-1.]), array([-1.]))
    """

    __array_ufunc__ = None  # numpy numbers leave the arithmetic to this class

    def __init__(self, value, slope, sign=0):
        self.slope = slope
        low, high = value
        self.sign = np.where(low > 0, 1.0, np.where(high < 0, -1.0, sign))
        # where the sign is certain rounding must not lose it
        self.value = np.where(self.sign > 0, np.maximum(low, 0.0), low), np.where(
            self.sign < 0, np.minimum(high, 0.0), high
        )

    def chain(self, value, derivative, sign=0) -> "Interval":
        """Return the function of this with these values and, for the chain rule, these derivatives."""
        return Interval(value, _times(self.slope, derivative), sign)

    def monotone(self, function, derivative, sign=0) -> "Interval":
        """Return a rising function of this, of which `derivative` are bounds."""
        with np.errstate(all="ignore"):
            return self.chain(_outwards(*(function(end) for end in self.value)), derivative, sign)

    def __neg__(self):
        return Interval(*((-high, -low) for low, high in (self.value, self.slope)), -self.sign)

    def __pos__(self):
        return self

    def __add__(self, other):
        other = interval(other)
        weakly = [x.value[0] >= 0 for x in (self, other)], [x.value[1] <= 0 for x in (self, other)]
        up = ((self.sign > 0) & weakly[0][1]) | ((other.sign > 0) & weakly[0][0])
        down = ((self.sign < 0) & weakly[1][1]) | ((other.sign < 0) & weakly[1][0])
        with np.errstate(all="ignore"):
            value, slope = _plus(self.value, other.value), _plus(self.slope, other.slope)
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
            value = _times(self.value, other.value)
            slope = _plus(_times(self.slope, other.value), _times(self.value, other.slope))
        return Interval(value, slope, self.sign * other.sign)

    __rmul__ = __mul__

    def __truediv__(self, other):
        return self * interval(other).reciprocal()

    def __rtruediv__(self, other):
        return interval(other) * self.reciprocal()

    def reciprocal(self):
        """Return 1/x."""
        with np.errstate(all="ignore"):
            value = _inverse(self.value)
            # a sign that is certain keeps the bounds on its side of zero
            low = np.where(self.sign > 0, np.maximum(value[0], 0.0), value[0])
            high = np.where(self.sign < 0, np.minimum(value[1], 0.0), value[1])
            slope = _square((low, high))
            return Interval((low, high), _times(self.slope, (-slope[1], -slope[0])), self.sign)

    def __pow__(self, power):
        if isinstance(power, Interval):
            return Intervals.exp(power * Intervals.log(self))
        power = float(power)
        if not power.is_integer():
            if power == 0.5:
                return Intervals.sqrt(self)
            return Intervals.exp(power * Intervals.log(self))
        if power < 0:
            return (self ** (-power)).reciprocal()
        if power == 0:
            return interval(1.0)
        even = power % 2 == 0
        with np.errstate(all="ignore"):
            value = _power(self.value, power)
            slope = _power(self.value, power - 1) if power > 1 else (1.0, 1.0)
            return self.chain(value, _times((power, power), slope), np.abs(self.sign) if even else self.sign)

    def __rpow__(self, base):
        return Intervals.exp(self * math.log(base)) if base > 0 else NotImplemented

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

    def __bool__(self):
        raise TypeError("an interval is neither true nor false")


class Condition:
    """Whether something holds on pieces of the line: `surely`, `never`, or on a part of the piece."""

    def __init__(self, surely, never):
        self.surely, self.never = surely, never

    def __invert__(self):
        return Condition(self.never, self.surely)

    def __and__(self, other):
        return Condition(self.surely & other.surely, self.never | other.never)

    def __or__(self, other):
        return Condition(self.surely | other.surely, self.never & other.never)

    def __bool__(self):
        raise TypeError("a condition on an interval is neither true nor false")


def over(low: np.ndarray, high: np.ndarray) -> Interval:
    """Return the identity over the pieces [`low`, `high`]."""
    ones = np.ones(np.shape(low))
    return Interval((np.asarray(low, dtype=float), np.asarray(high, dtype=float)), (ones, ones))


def interval(x) -> Interval:
    """Return a number as an interval; an interval as it is."""
    if isinstance(x, Interval):
        return x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x.item()
    if not isinstance(x, numbers.Real):
        raise TypeError(f"intervals go with real numbers, got {type(x).__name__}")
    number = np.float64(x)
    return Interval((number, number), (np.float64(0.0), np.float64(0.0)))


def _square(a):
    return _power(a, 2.0)


def _power(a, n):
    low, high = a
    if n % 2:
        return _outwards(low**n, high**n)
    least = np.where((low <= 0) & (high >= 0), 0.0, np.minimum(low**n, high**n))
    least, largest = _outwards(least, np.maximum(low**n, high**n))
    return np.maximum(least, 0.0), largest


def _sigmoid(w):
    return np.exp(-np.logaddexp(0.0, -w))


class Intervals:
    """The functions of the array API that formulas use, on intervals."""

    @staticmethod
    def exp(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            slope = _outwards(*map(np.exp, w.value))
        return w.monotone(np.exp, (np.maximum(slope[0], 0.0), slope[1]), 1)

    @staticmethod
    def expm1(w):
        w = interval(w)
        return w.monotone(np.expm1, Intervals.exp(w).value, w.sign)

    @staticmethod
    def log(w):
        w = interval(w)
        # undefined where w is not certain to be positive
        with np.errstate(all="ignore"):
            low = np.where(w.sign > 0, w.value[0], math.nan)
            value = _outwards(np.log(low), np.log(w.value[1]))
            return Interval(value, _times(w.slope, w.reciprocal().value))

    @staticmethod
    def log1p(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            low = np.where(w.value[0] > -1, w.value[0], math.nan)
            value = _outwards(np.log1p(low), np.log1p(w.value[1]))
            return Interval(value, _times(w.slope, (1 + w).reciprocal().value), w.sign)

    @staticmethod
    def sqrt(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            root = _outwards(*map(np.sqrt, w.value))
            value = np.where(np.isinf(root[0]), root[0], np.maximum(root[0], 0.0)), root[1]
            return w.chain(value, _inverse(_times((2.0, 2.0), value)), np.maximum(w.sign, 0.0))

    @staticmethod
    def tanh(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            flat, steep = _extremes(w, lambda x: 4 * _sigmoid(2 * x) * _sigmoid(-2 * x), 1.0)
        return w.monotone(np.tanh, (flat, steep), w.sign)

    @staticmethod
    def sinh(w):
        w = interval(w)
        return w.monotone(np.sinh, Intervals.cosh(w).value, w.sign)

    @staticmethod
    def cosh(w):
        w = interval(w)
        with np.errstate(all="ignore"):
            ends = [np.cosh(end) for end in w.value]
            least = np.where((w.value[0] <= 0) & (w.value[1] >= 0), 1.0, np.minimum(*ends))
            return w.chain(
                _outwards(least, np.maximum(*ends)), _outwards(*(np.sinh(end) for end in w.value)), 1
            )

    @staticmethod
    def atan(w):
        w = interval(w)
        return w.monotone(np.arctan, (1 / (1 + w**2)).value, w.sign)

    @staticmethod
    def sin(w):
        w = interval(w)
        return w.chain(_wave(w.value, -math.pi / 2), _wave(w.value, 0.0))

    @staticmethod
    def cos(w):
        return Intervals.sin(interval(w) + math.pi / 2)

    @staticmethod
    def logaddexp(u, w):
        u, w = interval(u), interval(w)
        with np.errstate(all="ignore"):
            value = _outwards(*(np.logaddexp(a, b) for a, b in zip(u.value, w.value, strict=True)))
            share = _outwards(_sigmoid(w.value[0] - u.value[1]), _sigmoid(w.value[1] - u.value[0]))
            rest = _outwards(_sigmoid(u.value[0] - w.value[1]), _sigmoid(u.value[1] - w.value[0]))
            slope = _plus(_times(w.slope, share), _times(u.slope, rest))
        # larger than the larger of the two
        return Interval(value, slope, (np.maximum(u.value[0], w.value[0]) >= 0) * 1.0)

    @staticmethod
    def maximum(u, w):
        u, w = interval(u), interval(w)
        value = tuple(np.maximum(a, b) for a, b in zip(u.value, w.value, strict=True))
        first, second = u.value[0] > w.value[1], w.value[0] > u.value[1]
        both = _hull(u.slope, w.slope)
        slope = tuple(
            np.where(first, a, np.where(second, b, c)) for a, b, c in zip(u.slope, w.slope, both, strict=True)
        )
        up, down = (u.sign > 0) | (w.sign > 0), (u.sign < 0) & (w.sign < 0)
        return Interval(value, slope, up * 1.0 - down * 1.0)

    @staticmethod
    def minimum(u, w):
        return -Intervals.maximum(-interval(u), -interval(w))

    @staticmethod
    def abs(w):
        return abs(interval(w))

    @staticmethod
    def square(w):
        return interval(w) ** 2

    @staticmethod
    def where(condition, yes, no):
        yes, no = interval(yes), interval(no)
        hull = _hull(yes.value, no.value)
        decided = condition.surely | condition.never
        # across the switch the function may jump, so that no slope bounds it
        chosen = [
            np.where(condition.surely, a, np.where(condition.never, b, c))
            for a, b, c in zip(
                (*yes.value, *yes.slope), (*no.value, *no.slope), (*hull, *_WHOLE), strict=True
            )
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


def _extremes(w, bump, top):
    """Return bounds of an even function that falls from `top` at 0."""
    ends = [bump(end) for end in w.value]
    across = (w.value[0] <= 0) & (w.value[1] >= 0)
    least, largest = _outwards(np.minimum(*ends), np.where(across, top, np.maximum(*ends)))
    return np.maximum(least, 0.0), np.minimum(largest, top)


def _wave(value, phase):
    """Return bounds of cos(x + phase)."""
    with np.errstate(all="ignore"):
        low, high = (end + phase for end in value)
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
