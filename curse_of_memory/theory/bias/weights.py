"""Weights w(t) on errors in closed form, or your own, with their memory biases b(s).

A weight w > 0 on the error at time t in (0, T] weighs the memory at lag s by b(s) = ∫_s^T w(r) dr
(INTEREST (2307.11462), Theorem 3.3): it decreases strictly, so every such error prefers short memory.

>>> flat, late = power(0), power(2)
>>> flat.head_tail_ratio(64), round(late.head_tail_ratio(64), 3)
(64.0, 21.836)
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike
from scipy import special

from curse_of_memory.theory.bias.memory_bias import Bias, steps, t
from curse_of_memory.theory.formulas import exact, in_symbol, numpy_function, values_like
from curse_of_memory.tools import checks

__all__ = ["exponential", "from_callable", "from_formula", "power"]


@dataclass(frozen=True)
class _Power(Bias):
    p: float

    def _weight(self, t):
        with np.errstate(over="ignore"):
            return t**self.p

    def _relative_weight(self, t):
        return (t / (t[-1] if self.p >= 0 else t[0])) ** self.p

    def _integral(self, s, T):
        # r^p dr is largest at T for p > −1 and at s for p < −1; the factor r^p may overflow where the result
        # does not, so its root is multiplied twice
        base = np.full(s.shape, T) if self.p > -1 else s
        with np.errstate(over="ignore", divide="ignore"):
            half = base ** (self.p / 2)
            return half * (base * self._scaled(s, T)) * half

    def _relative_integral(self, s, T):
        scaled = self._scaled(s, T)
        return scaled if self.p > -1 else (s / s.min()) ** (self.p + 1) * scaled

    def _scaled(self, s, T):
        """Return b(s) over T^{p+1}, or for p < −1 over s^{p+1}: (1 − (s/T)^{|p+1|})/|p+1|, or log(T/s)."""
        q = self.p + 1
        if q <= 0 and s.min() == 0:
            raise ValueError(f"b(0) = ∫_0^T t^p dt diverges for p = {self.p:g} <= -1; ask for s > 0")
        near = s > T / 2
        with np.errstate(divide="ignore"):
            # log(s/T) by the formula that keeps its digits
            log_ratio = np.where(near, np.log1p(np.where(near, (s - T) / T, 0.0)), np.log(s / T))
        finite = np.where(s > 0, log_ratio, -1.0)
        return np.where(s > 0, -finite * special.exprel(abs(q) * finite), 1 / q if q else math.inf)


@dataclass(frozen=True)
class _LastStep(Bias):
    """The limit of (t/T)^p as p → ∞."""

    def _weight(self, t):
        raise ValueError("w at p = inf is the limit of (t/T)^p, which needs T: ask for weights(horizon)")

    def _relative_weight(self, t):
        return np.where(t == t[-1], 1.0, 0.0)

    def weights(self, horizon, dt=1.0, unit_mean=False):
        relative = self._relative_weight(steps(horizon, dt))
        return relative / relative.mean() if unit_mean else relative

    def _integral(self, s, T):
        return np.where(s < T, 1.0, 0.0)

    @property
    def formula(self):
        return sympy.Integer(1)


def power(p: float) -> Bias:
    """w(t) = t^p, the temporally rescaled error (INTEREST (2307.11462)).

    b(s) = (T^{p+1} − s^{p+1})/(p+1), or ln(T/s) for p = −1. The README of the paper's code prints
    w = 1/t^p; the paper and its code use t^p.

    Parameters
    ----------
    p : float
        Any real power; p <= −1 has no continuous bias at s = 0. ``math.inf`` is the limit of
        (t/T)^p: only the last step weighs, and b(s) is 1 for s < T and 0 at T.

    Examples
    --------
    >>> round(float(power(1)(3.0, T=5.0)), 12)  # (25 − 9)/2
    8.0
    >>> power(1).formula
    T**2/2 - s**2/2
    """
    if (p := checks.real("p", p, endless=True)) == math.inf:
        return _LastStep("t^inf", None)
    return _Power(f"t^{p:g}", t ** exact(p), p)


@dataclass(frozen=True)
class _Exponential(Bias):
    rate: float

    def _weight(self, t):
        with np.errstate(over="ignore"):
            return np.exp(self.rate * t)

    def _relative_weight(self, t):
        return np.exp(self.rate * (t - (t[-1] if self.rate >= 0 else t[0])))

    def _integral(self, s, T):
        with np.errstate(over="ignore"):
            half = np.exp(max(self.rate, 0.0) * T / 2)
            return half * self._relative_integral(s, T) * half

    def _relative_integral(self, s, T):
        # growing weights are scaled by their value at T and falling ones by that at 0: neither overflows
        gap = T - s
        return np.exp(min(self.rate, 0.0) * s) * gap * special.exprel(-abs(self.rate) * gap)


def exponential(rate: float) -> Bias:
    """w(t) = e^{rate t}, b(s) = (e^{rate T} − e^{rate s})/rate.

    Parameters
    ----------
    rate : float
        Any real rate, per unit time.

    Examples
    --------
    >>> float(exponential(0.0)(1.0, T=3.0))
    2.0
    """
    rate = checks.real("rate", rate)
    return _Exponential(f"exp({rate:g}t)", sympy.exp(exact(rate) * t), rate)


@dataclass(frozen=True)
class _Opaque(Bias):
    func: Callable[[np.ndarray], ArrayLike]

    def _weight(self, t):
        return _positive(self.func(t), t, self.name)


def from_callable(func: Callable[[np.ndarray], ArrayLike], name: str = "callable") -> Bias:
    """w(t) = func(t), any positive function of time.

    Parameters
    ----------
    func : callable
        Maps an array of times to weights of the same shape.
    name : str
        What legends call it.

    Raises
    ------
    TypeError
        If `func` cannot be called; weights that are not positive raise where they are evaluated.

    Examples
    --------
    >>> from_callable(np.sqrt).head_tail_ratio(64) == power(0.5).head_tail_ratio(64)
    True
    """
    checks.function("func", func)
    return _Opaque(name, None, func)


@dataclass(frozen=True)
class _Formula(Bias):
    def _weight(self, times):
        with np.errstate(over="ignore"):
            return _positive(numpy_function(self.weight_formula, t)(times), times, self.name)


def from_formula(expr: sympy.Expr | str, name: str | None = None) -> Bias:
    """w(t) = a formula in the one symbol ``t``, a sympy expression or its text, positive for t > 0.

    Parameters
    ----------
    expr : sympy.Expr or str
        The formula.
    name : str, optional
        What legends call it; the formula unless given.

    Raises
    ------
    ValueError
        If `expr` has another symbol, or sympy knows that it is not positive; other weights that are not
        positive raise where they are evaluated.

    Examples
    --------
    >>> from_formula("1 + t").formula
    T**2/2 + T - s**2/2 - s
    """
    formula = in_symbol(expr, t)
    if formula.is_positive is False:
        raise ValueError(f"expr must be positive for t > 0, got {formula}")
    return _Formula(name or str(formula), formula)


def _positive(weights: ArrayLike, t: np.ndarray, name: str) -> np.ndarray:
    weights = values_like(t, weights, f"w = {name}")
    bad = weights <= 0
    if bad.any():
        raise ValueError(f"w = {name} must be positive, but w({t[bad][0]:g}) = {weights[bad][0]:g}")
    return weights
