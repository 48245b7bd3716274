"""Sums of real exponentials: their formula, values and energy, accurate also where the terms cancel.

Nearly equal rates with opposite coefficients leave divided differences. The first order is taken out exactly,
Σ cᵢ e^{−λᵢt} = e^{−λ₁t} (Σcᵢ + Σ cᵢ expm1((λ₁ − λᵢ)t)); what still cancels is summed in longer arithmetic.
"""

import math
from collections.abc import Callable, Iterable

import mpmath
import numpy as np
import sympy
from numpy.typing import ArrayLike

from curse_of_memory.theory.formulas import exact
from curse_of_memory.tools import checks

__all__ = ["coefficients_and_rates", "exponential_formula", "exponential_values", "gram_form"]

# the least share of the size of its terms, each good to rounding, at which a sum keeps its digits
_DIGITS_KEPT = 1 / 64
_PRECISION, _LONGEST = 120, 1 << 16


def coefficients_and_rates(coefficients: ArrayLike, rates: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return checked coefficients cᵢ and rates λᵢ > 0, two arrays of shape (m,).

    Raises
    ------
    ValueError, TypeError
        If they are not such numbers, or differ in length; the message names the argument.
    """
    c = checks.finite_array("coefficients", coefficients, ndim=1)
    lam = checks.finite_array("rates", rates, ndim=1)
    if c.shape != lam.shape:
        raise ValueError(f"coefficients and rates must be as many, got {c.size} and {lam.size}")
    if lam.min() <= 0:
        raise ValueError(f"rates must be positive, got {lam.min():g}")
    return c, lam


def exponential_formula(
    coefficients: Iterable[float], rates: Iterable[float], symbol: sympy.Symbol
) -> sympy.Expr:
    """Return the formula Σ cᵢ e^{−λᵢ t} in the symbol t, its numbers the decimals they print as.

    Examples
    --------
    >>> exponential_formula([1.0, 0.5], [0.1, 2.0], sympy.Symbol("t"))
    exp(-2*t)/2 + exp(-t/10)
    """
    pairs = zip(coefficients, rates, strict=True)
    return sympy.Add(*(exact(c) * sympy.exp(-exact(rate) * symbol) for c, rate in pairs))


def exponential_values(
    coefficients: ArrayLike, rates: ArrayLike, t: ArrayLike, *, integrals: int = 0
) -> np.ndarray:
    """Return Σ cᵢ λᵢ^{−k} e^{−λᵢ t}, shaped like `t`, accurate also where the terms cancel.

    There the terms are summed in longer arithmetic, which takes about ten microseconds a term.

    Parameters
    ----------
    coefficients, rates : array_like, shape (m,)
        cᵢ and λᵢ, in any order.
    t : array_like
        Times.
    integrals : int
        k: how often the sum is integrated from t to infinity.

    Examples
    --------
    >>> c, rates = np.array([5, -4.9999999]), np.array([0.5, 0.50000001])
    >>> round(float(exponential_values(c, rates, np.array([2.0]))[0]) * 1e8, 5)  # (1e-7 + 1e-8 · 5 · 2) / e
    7.35759
    """
    order = np.argsort(rates)
    c, lam = np.asarray(coefficients, dtype=float)[order], np.asarray(rates, dtype=float)[order]
    t = np.asarray(t, dtype=float)
    divided = c / lam**integrals
    gaps = np.multiply.outer(t, lam - lam[0])
    shares, total = np.exp(-gaps), math.fsum(divided)
    values, size = shares @ divided, shares @ np.abs(divided)
    if not integrals:
        # quotients are rounded, coefficients are not
        split, split_size = total + np.expm1(-gaps) @ c, abs(total) + np.abs(np.expm1(-gaps)) @ np.abs(c)
        values, size = np.where(split_size < size, split, values), np.minimum(split_size, size)
    values = np.array(values)
    if c.size > 1:
        for at in np.argwhere(np.abs(values) < _DIGITS_KEPT * size):
            at = tuple(at)
            values[at] = _exact_sum(c, lam, float(t[at]), integrals)
    return np.exp(-lam[0] * t) * values


def _exact_sum(c: np.ndarray, lam: np.ndarray, t: float, integrals: int) -> float:
    """Return Σ cᵢ λᵢ^{−k} e^{(λ₁ − λᵢ) t}, right to the last digit unless 300 digits cancel."""

    def terms():
        for a, rate in zip(c.tolist(), lam.tolist(), strict=True):
            yield (
                mpmath.mpf(a)
                / mpmath.mpf(rate) ** integrals
                * mpmath.exp((lam[0].item() - mpmath.mpf(rate)) * t)
            )

    return _added(terms, 1 << 10)


def _added(terms: Callable[[], Iterable], longest: int) -> float:
    """Return the sum of `terms()`, computed at a precision at which 64 bits of it are right."""
    precision = _PRECISION
    while precision <= longest:
        with mpmath.workprec(precision):
            numbers = list(terms())
            total, size = mpmath.fsum(numbers), mpmath.fsum(numbers, absolute=True)
            if abs(total) > mpmath.ldexp(size, 64 - precision):
                return float(total)
        precision *= 2
    return 0.0


def gram_form(coefficients: ArrayLike, rates: ArrayLike, t: float = 0.0) -> float:
    """Return ∫_t^∞ (Σ cᵢ e^{−λᵢ s})² ds = Σ cᵢcⱼ e^{−(λᵢ + λⱼ)t}/(λᵢ + λⱼ), accurate where terms cancel.

    Parameters
    ----------
    coefficients, rates : array_like, shape (m,)
        cᵢ, and λᵢ > 0.
    t : float
        Where the integral begins.

    Examples
    --------
    >>> round(gram_form(np.array([1.0, -1.0]), np.array([1.0, 1 + 1e-8])) * 1e16, 6)  # 1e-16/4
    0.25
    """
    c, lam = np.asarray(coefficients, dtype=float), np.asarray(rates, dtype=float)
    c, lam = c[c != 0], lam[c != 0]
    if not c.size:
        return 0.0
    slowest = float(lam.min())
    begun = c * np.exp((slowest - lam) * t)
    products = np.outer(begun, begun) / np.add.outer(lam, lam)
    total = float(products.sum())

    def terms():
        rates = [mpmath.mpf(rate) for rate in lam.tolist()]
        sizes = [a * mpmath.exp((slowest - rate) * t) for a, rate in zip(c.tolist(), rates, strict=True)]
        for a, p in zip(sizes, rates, strict=True):
            for b, q in zip(sizes, rates, strict=True):
                yield a * b / (p + q)

    if total <= _DIGITS_KEPT * float(np.abs(products).sum()):
        # distinct rates make the form positive definite: some precision shows its digits
        total = _added(terms, _LONGEST)
    return total * math.exp(-2 * slowest * t)
