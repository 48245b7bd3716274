"""Formulas on rectangles of the complex plane: interval arithmetic that bounds |f(z)| where f is analytic.

Every intermediate value is enclosed by a rectangle and by a disk around 0, of which the narrower counts; the
disk is kept as the logarithm of its radius, since e^{−t} underflows where cosh t overflows.
Where a formula may not be analytic (a pole, a branch cut), its bound is infinite.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, reduce

import numpy as np
import sympy
from numpy.typing import ArrayLike

from curse_of_memory.theory.airy_integrals import airy_magnitude
from curse_of_memory.theory.formulas import arguments

__all__ = ["magnitude_of"]

# far above the rounding errors of any formula here
_ROUNDING = 1 + 1e-9
_SLACK = 8 * float(np.finfo(float).eps)  # of the logarithm of a number that was rounded a few times


@dataclass(frozen=True)
class _Rectangle:
    """Values with left <= Re <= right, bottom <= Im <= top and ln|z| <= log, arrays of one shape."""

    left: np.ndarray
    right: np.ndarray
    bottom: np.ndarray
    top: np.ndarray
    log: np.ndarray

    @staticmethod
    def of(left, right, bottom, top, log: ArrayLike = np.inf) -> "_Rectangle":
        """Return the rectangle with these bounds, and the smaller disk; a NaN is an infinite bound."""
        left, right, bottom, top = (
            np.where(np.isnan(x), sign * np.inf, x)
            for x, sign in ((left, -1), (right, 1), (bottom, -1), (top, 1))
        )
        corner = np.hypot(np.maximum(abs(left), abs(right)), np.maximum(abs(bottom), abs(top)))
        log = np.fmin(np.log(corner), log)
        size = np.exp(log)
        clip = (np.maximum(left, -size), np.minimum(right, size), np.maximum(bottom, -size))
        return _Rectangle(*clip, np.minimum(top, size), log)

    @staticmethod
    def disk(log) -> "_Rectangle":
        """Return the disk of all z with ln|z| <= log."""
        log = np.where(np.isnan(log), np.inf, log)
        size = np.exp(log)
        return _Rectangle(-size, size, -size, size, log)

    @property
    def nearest(self) -> np.ndarray:
        """The smallest |z|."""
        across = np.maximum(np.maximum(self.left, -self.right), 0.0)
        along = np.maximum(np.maximum(self.bottom, -self.top), 0.0)
        return np.hypot(across, along)

    def __add__(self, other: "_Rectangle") -> "_Rectangle":
        left, right = self.left + other.left, self.right + other.right
        bottom, top = self.bottom + other.bottom, self.top + other.top
        return _Rectangle.of(left, right, bottom, top, np.logaddexp(self.log, other.log))

    def __mul__(self, other: "_Rectangle") -> "_Rectangle":
        low, high = _product(self.left, self.right, other.left, other.right)
        minus_low, minus_high = _product(self.bottom, self.top, other.bottom, other.top)
        one = _product(self.left, self.right, other.bottom, other.top)
        two = _product(self.bottom, self.top, other.left, other.right)
        size = self.log + other.log
        return _Rectangle.of(low - minus_high, high - minus_low, one[0] + two[0], one[1] + two[1], size)

    def squared(self) -> "_Rectangle":
        """Return z², with the real part x² − y²: narrower than the product of two different z."""
        x_low, x_high = _square(self.left, self.right)
        y_low, y_high = _square(self.bottom, self.top)
        low, high = _product(self.left, self.right, self.bottom, self.top)
        return _Rectangle.of(x_low - y_high, x_high - y_low, 2 * low, 2 * high, 2 * self.log)

    def power(self, exponent: sympy.Expr) -> "_Rectangle":
        """Return the principal z^p; a disk only, unless p is a whole number > 0 or 0 < p < 1."""
        p = float(exponent)
        if exponent.is_Integer and p > 0:
            if p == 1:
                return self
            if p % 2 == 0:
                return self.power(exponent / 2).squared()
            return self * self.power(exponent - 1)
        # a branch cut may touch the edge of a rectangle, but not enter it
        analytic = (self.nearest > 0) if exponent.is_Integer else (self.left >= 0)
        log = p * (np.log(self.nearest) if p < 0 else self.log)
        if not 0 < p < 1:
            return _Rectangle.disk(np.where(analytic, log, np.inf))
        # a root stays in the right half plane
        turned = p * np.arctan2(self.height, np.maximum(self.left, 0.0))
        up, log = np.sin(turned) * np.exp(log), np.where(analytic, log, np.inf)
        left = np.where(analytic, np.cos(turned) * self.nearest**p, -np.inf)
        return _Rectangle.of(left, np.exp(log), -up, up, log)

    def exp(self) -> "_Rectangle":
        """Return the rectangle around e^z, a sector of a ring; its angle counts up to a right one."""
        low, high = np.exp(self.left), np.exp(self.right)
        turned = self.height
        # beyond a right angle the real part may be anything
        share = np.where(turned < math.pi / 2, np.cos(np.minimum(turned, math.pi / 2)), -1.0)
        left = np.where(share > 0, low * share, -high)
        up = high * np.where(turned < math.pi / 2, np.sin(np.minimum(turned, math.pi / 2)), 1.0)
        return _Rectangle.of(left, high, -up, up, self.right)

    def logarithm(self) -> "_Rectangle":
        """Return log z for Re z > 0; near z = 1 the rounding of z is all of it, and counts."""
        turned = np.arctan2(self.height, np.maximum(self.left, 0.0))
        analytic = self.left > 0
        low = np.where(analytic, np.log(np.maximum(self.nearest, 1e-320)), -np.inf)
        high = np.where(analytic, self.log, np.inf)
        return _Rectangle.of(low - _SLACK, high + _SLACK, -turned, turned)

    @property
    def height(self) -> np.ndarray:
        """The largest |Im z|."""
        return np.maximum(abs(self.bottom), abs(self.top))

    @property
    def breadth(self) -> np.ndarray:
        """The largest |Re z|."""
        return np.maximum(abs(self.left), abs(self.right))


def _product(a, b, c, d):
    """Return the range of xy for a <= x <= b, c <= y <= d; here 0 times infinity is 0."""
    xs, ys = (a,) if a is b else (a, b), (c,) if c is d else (c, d)  # constants have one corner, not four
    with np.errstate(invalid="ignore", over="ignore"):
        corners = [np.where((x == 0) | (y == 0), 0.0, x * y) for x in xs for y in ys]
    return np.minimum.reduce(corners), np.maximum.reduce(corners)


def _square(a, b):
    return np.where((a <= 0) & (b >= 0), 0.0, np.minimum(a * a, b * b)), np.maximum(a * a, b * b)


def _erf_size(z: _Rectangle) -> np.ndarray:
    # |erf(x + iy)| <= 1 + |∫_0^y e^{v² − x²} dv| · 2/√π
    return 1 + 2 / math.sqrt(math.pi) * z.height * np.exp(z.height**2 - _square(z.left, z.right)[0])


def _erfc_size(z: _Rectangle) -> np.ndarray:
    # e^{−z²} times the integral of e^{−s² − 2zs}; for Re z >= 0 no more than e^{y² − x²}
    decays = np.exp(z.height**2 - z.left**2)
    return np.where(z.left >= 0, np.fmin(decays, 1 + _erf_size(z)), 1 + _erf_size(z))


def _log_cosh(x: np.ndarray) -> np.ndarray:
    return x - math.log(2) + np.log1p(np.exp(-2 * x))


def _log_erfc(z: _Rectangle) -> np.ndarray:
    decays = (z.height - z.left) * (z.height + z.left)
    return np.fmin(np.log(_erfc_size(z) + 1e-300), np.where(z.left >= 0, decays, np.inf))


def _log_airy(z: _Rectangle) -> np.ndarray:
    # |Ai| <= e^{y²/(4√x) − 2x^{3/2}/3} for x >= 1
    decays = np.where((z.left > 1) & (z.height <= z.left), -5 / 12 * z.left**1.5, np.inf)
    return np.fmin(np.log(airy_magnitude(z.left, z.right, z.height) + 1e-300), decays)


_SIZES = {
    sympy.sin: lambda z: _log_cosh(z.height),
    sympy.cos: lambda z: _log_cosh(z.height),
    sympy.sinh: lambda z: _log_cosh(z.breadth),
    sympy.cosh: lambda z: _log_cosh(z.breadth),
    sympy.erf: lambda z: np.log(_erf_size(z)),
    sympy.erfc: _log_erfc,
    sympy.airyai: _log_airy,
}
_KNOWN = (sympy.Add, sympy.Mul, sympy.exp, sympy.log, *_SIZES)


def _known(expr: sympy.Expr) -> bool:
    """Tell whether every function in the formula has bounds here, of real constants."""
    if not expr.free_symbols:
        return bool(expr.is_real)
    if expr.is_Symbol:
        return True
    if expr.is_Pow:
        base, exponent = arguments(expr)
        if base == sympy.E or (base.is_positive and not base.free_symbols):
            return _known(exponent)
        return not exponent.free_symbols and bool(exponent.is_real) and _known(base)
    return expr.func in _KNOWN and all(_known(argument) for argument in arguments(expr))


def _enclosure(expr: sympy.Expr) -> Callable[[_Rectangle], _Rectangle]:
    """Return the map from a rectangle of t to one of the formula; the formula is read but once."""
    if not expr.free_symbols:
        return _constant(float(expr))
    if expr.is_Symbol:
        return lambda z: z
    if expr.is_Pow or expr.func is sympy.exp:
        base, exponent = expr.as_base_exp()
        if not exponent.free_symbols:
            raised = _enclosure(base)
            return lambda z: raised(z).power(exponent)
        inner = _enclosure(exponent)
        if base == sympy.E:
            return lambda z: inner(z).exp()
        log = _enclosure(sympy.log(base))
        return lambda z: (inner(z) * log(z)).exp()
    first, *others = [_enclosure(argument) for argument in arguments(expr)]
    if expr.func is sympy.log:
        return lambda z: first(z).logarithm()
    if expr.func in _SIZES:
        size = _SIZES[expr.func]
        return lambda z: _Rectangle.disk(size(first(z)))
    join = operator.add if expr.is_Add else operator.mul
    return lambda z: reduce(join, [other(z) for other in others], first(z))


def _constant(number: float) -> Callable[[_Rectangle], _Rectangle]:
    def of(z: _Rectangle) -> _Rectangle:
        value = np.full(z.left.shape, number)
        zero = 0 * value
        return _Rectangle(value, value, zero, zero, np.log(abs(value)))

    return of


@lru_cache
def magnitude_of(formula: sympy.Expr) -> Callable | None:
    """Return a bound of |f(z)| on rectangles, (low, high, height) -> array; None for unknown functions.

    The bound holds for low <= Re z <= high, |Im z| <= height.

    Examples
    --------
    >>> t = sympy.Symbol("t")
    >>> float(magnitude_of(sympy.exp(-t))(np.zeros(1), np.ones(1), np.ones(1))[0].round(6))
    1.0
    >>> magnitude_of(abs(t)) is None
    True
    """
    if not _known(formula):
        return None

    enclosure = _enclosure(formula)

    def magnitude(low, high, height):
        with np.errstate(all="ignore"):
            log = enclosure(_Rectangle.of(low, high, -height, height)).log
            return _ROUNDING * np.exp(np.where(np.isnan(log), np.inf, log))

    return magnitude
