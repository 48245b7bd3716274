"""Targets for approximation rates: `kink` has few derivatives; `damped` is smooth, and no finite sum."""

import math
from dataclasses import dataclass

import numpy as np
import sympy
from scipy import special

from curse_of_memory.theory.formulas import exact
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.target import Target, t
from curse_of_memory.tools import checks

__all__ = ["damped", "kink"]


@dataclass(frozen=True)
class _Kink(Target):
    order: int
    at: float

    def _above(self, t):
        return np.maximum(np.exp(-t) - math.exp(-self.at), 0.0)

    def _values(self, t):
        return np.exp(-t) * self._above(t) ** self.order

    def _tail(self, t):
        return self._above(t) ** (self.order + 1) / (self.order + 1)

    def _energy(self, t):
        # ∫ (v + x₀) v^{2k} dv in v = e^{−t} − x₀
        above, power = self._above(t), 2 * self.order + 1
        return above ** (power + 1) / (power + 1) + math.exp(-self.at) * above**power / power

    def _peak(self):
        return float(self._values(np.zeros(())))

    def _magnitude(self, low, high, height):
        return np.exp(-low) * (np.exp(-low) + math.exp(-self.at)) ** self.order

    @property
    def breaks(self):
        return (self.at,)


def kink(order: int, at: float = 1.0) -> Target:
    """ρ(t) = e^{−t} (e^{−t} − e^{−at})₊ᵏ: k − 1 continuous derivatives, the k-th jumps at t = at.

    Its step response has k of them, so the Jackson rate promises m^{−(k−1)}. In x = e^{−t} it is
    x (x − x₀)₊ᵏ, and the L¹ error falls like m^{−(k+1)}.

    Parameters
    ----------
    order : int
        k >= 1.
    at : float
        > 0, in time units.

    Examples
    --------
    >>> round(kink(1).norm(1), 6) == round((1 - math.exp(-1)) ** 2 / 2, 6)
    True
    """
    order, at = checks.positive_int("order", order), checks.positive("at", at)
    above = sympy.Max(sympy.exp(-t) - sympy.exp(-exact(at)), 0)
    return _Kink(f"kink({order}, at={at:g})", sympy.exp(-t) * above**order, Decay("compact"), order, at)


@dataclass(frozen=True)
class _Damped(Target):
    exponent: int
    rate: float

    def _values(self, t):
        return np.exp(-self.rate * t) * (1 + t) ** -float(self.exponent)

    def _integral(self, t, exponent, rate):
        """Return ∫_t^∞ e^{−rate s} (1 + s)^{−exponent} ds."""
        # e^{rate} E_n(rate (1 + t)), where the first factor must not overflow alone
        scaled = special.expn(exponent, rate * (1 + np.minimum(t, 500 / rate)))
        return np.where(t > 500 / rate, 0.0, (1 + t) ** (1.0 - exponent) * math.exp(rate) * scaled)

    def _tail(self, t):
        return self._integral(t, self.exponent, self.rate)

    def _energy(self, t):
        return self._integral(t, 2 * self.exponent, 2 * self.rate)

    def _magnitude(self, low, high, height):
        nearest = 1 + low
        size = np.exp(-self.rate * low) * np.maximum(nearest, 1e-300) ** -float(self.exponent)
        return np.where(nearest > 0, size, math.inf)

    def _peak(self):
        return 1.0


def damped(exponent: int = 1, rate: float = 1.0) -> Target:
    """ρ(t) = e^{−rate t} (1 + t)^{−exponent}: smooth, of exponential decay, and no finite sum.

    It is a mixture of all e^{−λt} with λ > rate.

    Parameters
    ----------
    exponent : int
        n >= 1.
    rate : float
        Between 0 and 100, per unit time.

    Examples
    --------
    >>> round(damped().norm(1), 6)  # e E₁(1)
    0.596347
    """
    exponent, rate = checks.positive_int("exponent", exponent), checks.positive("rate", rate)
    if rate > 100:
        raise ValueError(f"rate must be at most 100, got {rate:g}")
    formula = sympy.exp(-exact(rate) * t) * (1 + t) ** -exponent
    return _Damped(f"damped({exponent}, rate={rate:g})", formula, Decay("exponential", rate), exponent, rate)
