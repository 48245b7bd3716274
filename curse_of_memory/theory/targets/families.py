"""Families of memory functions ρ(t) with closed forms of tails and norms, and bounds of |ρ(z)|.

They are exposed as `curse_of_memory.targets`.
"""

import math
from dataclasses import dataclass

import numpy as np
import sympy
from scipy import special

from curse_of_memory.theory.airy_integrals import airy_magnitude, airy_values, tails_of_airy
from curse_of_memory.theory.formulas import exact, mathtext
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.target import Target, t
from curse_of_memory.tools import checks

__all__ = ["airy", "exponential", "polynomial", "shift", "sine", "two_parts"]


@dataclass(frozen=True)
class _Exponential(Target):
    rate: float

    def _values(self, t):
        return np.exp(-self.rate * t)

    def _tail(self, t):
        return np.exp(-self.rate * t) / self.rate

    def _energy(self, t):
        return np.exp(-2 * self.rate * t) / (2 * self.rate)

    def _magnitude(self, low, high, height):
        return np.exp(-self.rate * low)

    def _peak(self):
        return 1.0


def exponential(rate: float = 1.0) -> Target:
    """ρ(t) = e^{−rate t}: the memory an RNN can approximate stably (IAT (2305.19190), Thm 3.9).

    Parameters
    ----------
    rate : float
        λ > 0, per unit time.

    Examples
    --------
    >>> exponential(rate=0.5).norm(1)
    2.0
    """
    rate = checks.positive("rate", rate)
    decay = Decay("exponential", rate)
    return _Exponential(f"exponential(rate={rate:g})", sympy.exp(-exact(rate) * t), decay, rate)


@dataclass(frozen=True)
class _Polynomial(Target):
    exponent: float
    rate: float

    def _values(self, t):
        return (1 + self.rate * t) ** -self.exponent

    def _tail(self, t):
        # 1.1 - 1 loses digits in binary; the parameters as decimals do not
        power = exact(self.exponent) - 1
        if power <= 0:
            return np.full(t.shape, math.inf)
        return (1 + self.rate * t) ** -float(power) * float(1 / (exact(self.rate) * power))

    def _energy(self, t):
        power = 2 * exact(self.exponent) - 1
        if power <= 0:
            return np.full(t.shape, math.inf)
        return (1 + self.rate * t) ** -float(power) * float(1 / (exact(self.rate) * power))

    def _magnitude(self, low, high, height):
        # |1 + rz| is least where Re z is
        nearest = 1 + self.rate * low
        return np.where(nearest > 0, np.maximum(nearest, 1e-300) ** -self.exponent, math.inf)

    def _peak(self):
        return 1.0


def polynomial(exponent: float, rate: float = 1.0) -> Target:
    """ρ(t) = (1 + rate t)^{−exponent}: the memory that shows the curse (Curse of memory (2009.07799)).

    Parameters
    ----------
    exponent : float
        > 0. The L¹ norm 1/(rate (exponent − 1)) is finite for exponent > 1, the L² norm for > 1/2.
    rate : float
        > 0, per unit time.

    Examples
    --------
    >>> polynomial(exponent=1.1, rate=0.1).norm(1)
    100.0
    """
    exponent, rate = checks.positive("exponent", exponent), checks.positive("rate", rate)
    formula = (1 + exact(rate) * t) ** -exact(exponent)
    name = f"polynomial(exponent={exponent:g}, rate={rate:g})"
    return _Polynomial(name, formula, Decay("polynomial", exponent), exponent, rate)


@dataclass(frozen=True)
class _Shift(Target):
    start: float
    stop: float

    def _values(self, t):
        return ((self.start < t) & (t < self.stop)).astype(float)

    def _tail(self, t):
        return np.maximum(self.stop - np.maximum(t, self.start), 0.0)

    def _energy(self, t):
        return self._tail(t)

    def _magnitude(self, low, high, height):
        return np.ones(low.shape)

    def _label(self, symbol):
        inside = f"{mathtext(exact(self.start))}<{symbol}<{mathtext(exact(self.stop))}"
        return rf"$\mathbf{{1}}_{{{inside}}}$"

    @property
    def breaks(self):
        return (self.start, self.stop)

    def _peak(self):
        return 1.0


def shift(start: float = 9.0, stop: float = 11.0) -> Target:
    """ρ(t) = 1 for start < t < stop, else 0: a delay (public code of IAT (2305.19190)).

    Parameters
    ----------
    start, stop : float
        0 <= start < stop, in time units.

    Examples
    --------
    >>> shift().norm(1)
    2.0
    """
    start, stop = checks.non_negative("start", start), checks.positive("stop", stop)
    if stop <= start:
        raise ValueError(f"stop must exceed start = {start:g}, got {stop:g}")
    inside = sympy.And(t > exact(start), t < exact(stop))
    formula = sympy.Piecewise((sympy.Integer(1), inside), (sympy.Integer(0), True))
    return _Shift(f"shift({start:g}, {stop:g})", formula, Decay("compact"), start, stop)


@dataclass(frozen=True)
class _TwoParts(Target):
    center: float

    def _values(self, t):
        # far beyond the bump its exponent would overflow
        apart = np.minimum(t - self.center, 1e3)
        return np.exp(-t) + np.exp(-(apart**2))

    def _tail(self, t):
        return np.exp(-t) + math.sqrt(math.pi) / 2 * special.erfc(t - self.center)

    def _energy(self, t):
        far = t - self.center
        cross = math.exp(0.25 - self.center) * math.sqrt(math.pi) / 2 * special.erfc(far + 0.5)
        bump = math.sqrt(math.pi / 8) * special.erfc(math.sqrt(2) * far)
        return np.exp(-2 * t) / 2 + 2 * cross + bump

    def _magnitude(self, low, high, height):
        # |e^{−(z−c)²}| = e^{(Im z)² − (Re z − c)²}
        apart = np.maximum(np.maximum(low - self.center, self.center - high), 0.0)
        return np.exp(-low) + np.exp((height - apart) * (height + apart))


def two_parts(center: float = 9.0) -> Target:
    """ρ(t) = e^{−t} + e^{−(t−center)²}: near memory and a far bump (public code of IAT (2305.19190)).

    Parameters
    ----------
    center : float
        Where the bump is, >= 0, in time units.

    Examples
    --------
    >>> round(two_parts().norm(1), 6)  # 1 + sqrt(pi)
    2.772454
    """
    center = checks.non_negative("center", center)
    formula = sympy.exp(-t) + sympy.exp(-((t - exact(center)) ** 2))
    return _TwoParts(f"two_parts(center={center:g})", formula, Decay("exponential", 1.0), center)


@dataclass(frozen=True)
class _Airy(Target):
    shift: float

    def _values(self, t):
        return airy_values(t - self.shift)

    def _tail(self, t):
        return tails_of_airy(t - self.shift, self.name)

    def _energy(self, t):
        # x Ai² − Ai'² is an antiderivative of Ai²; where its parts cancel, Ai² is nearly gone
        x = t - self.shift
        ai, slope, _, _ = special.airy(np.minimum(x, 100.0))
        return np.where(x < 100, np.maximum(slope**2 - x * ai**2, 0.0), 0.0)

    def _magnitude(self, low, high, height):
        return airy_magnitude(low - self.shift, high - self.shift, height)

    def _peak(self):
        # |Ai| is largest at the first zero of Ai', from where on it falls
        first = -special.ai_zeros(1)[1][0]
        return float(airy_values(-min(self.shift, first)))


def airy(shift: float = 6.0) -> Target:
    """ρ(t) = Ai(t − shift): oscillates before t = shift, then decays (public code of IAT (2305.19190)).

    Parameters
    ----------
    shift : float
        0 to 1e6, in time units.

    Examples
    --------
    >>> round(airy(shift=0.0).norm(1), 12)  # ∫_0^∞ Ai = 1/3
    0.333333333333
    """
    shift = checks.non_negative("shift", shift)
    if shift > 1e6:
        raise ValueError(f"shift must be at most 1e6, where Ai is still computed, got {shift:g}")
    return _Airy(f"airy(shift={shift:g})", sympy.airyai(t - exact(shift)), Decay("faster"), shift)


@dataclass(frozen=True)
class _Sine(Target):
    frequency: float

    def _values(self, t):
        return np.sin(self.frequency * t)

    def _magnitude(self, low, high, height):
        return np.cosh(self.frequency * height)

    def _peak(self):
        return 1.0


def sine(frequency: float = 1.0) -> Target:
    """ρ(t) = sin(frequency t): no decay at all, infinite L¹ and L² norms (public code of IAT (2305.19190)).

    Parameters
    ----------
    frequency : float
        > 0, in radians per unit time.

    Examples
    --------
    >>> sine().norm(1)
    inf
    """
    frequency = checks.positive("frequency", frequency)
    formula = sympy.sin(exact(frequency) * t)
    return _Sine(f"sine(frequency={frequency:g})", formula, Decay("none"), frequency)
