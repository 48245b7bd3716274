"""Sums of real exponentials where the terms cancel: values, and the energy, with the digits that survive.

Two nearly equal rates with opposite coefficients leave a divided difference. Its first order is taken out
exactly, Σ cᵢ e^{−λᵢt} = e^{−λ₁t} (Σcᵢ + Σ cᵢ expm1((λ₁ − λᵢ)t)); the energy is a sum of fractions, which
longer arithmetic adds up.
"""

import math

import mpmath
import numpy as np

__all__ = ["exponential_values", "gram_form"]

_PLAIN = 0.1
_PRECISION = 120


def exponential_values(coefficients: np.ndarray, rates: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return Σ cᵢ e^{−λᵢ t}, shaped like `t`, by the formula of the smaller rounding error at each time.

    Parameters
    ----------
    coefficients, rates : numpy.ndarray, shape (m,)
        cᵢ and λᵢ, in any order.
    t : numpy.ndarray
        Times.

    Examples
    --------
    >>> c, rates = np.array([5, -4.9999999]), np.array([0.5, 0.50000001])
    >>> round(float(exponential_values(c, rates, np.array([2.0]))[0]) * 1e8, 5)  # (1e-7 + 1e-8 · 5 · 2) / e
    7.35759
    """
    order = np.argsort(rates)
    c, lam = np.asarray(coefficients, dtype=float)[order], np.asarray(rates, dtype=float)[order]
    gaps = np.multiply.outer(t, lam - lam[0])
    shares, total = np.exp(-gaps), math.fsum(c)
    plain, split = shares @ c, total + np.expm1(-gaps) @ c
    better = abs(total) + np.abs(np.expm1(-gaps)) @ np.abs(c) < shares @ np.abs(c)
    return np.exp(-lam[0] * t) * np.where(better, split, plain)


def gram_form(coefficients: np.ndarray, rates: np.ndarray) -> float:
    """Return ∫_0^∞ (Σ cᵢ e^{−λᵢ t})² dt = Σ cᵢcⱼ/(λᵢ + λⱼ), right however far the terms cancel.

    Parameters
    ----------
    coefficients, rates : numpy.ndarray, shape (m,)
        cᵢ, and λᵢ > 0.

    Examples
    --------
    >>> round(gram_form(np.array([1.0, -1.0]), np.array([1.0, 1 + 1e-8])) * 1e16, 6)  # 1e-16/4
    0.25
    """
    c, lam = np.asarray(coefficients, dtype=float), np.asarray(rates, dtype=float)
    terms = np.outer(c, c) / np.add.outer(lam, lam)
    total = float(terms.sum())
    if total > _PLAIN * float(np.abs(terms).sum()):
        return total
    precision, used = _PRECISION, [i for i in range(c.size) if c[i]]
    # distinct rates make the form positive definite, so that some precision shows it
    while used and precision < 1 << 16:
        with mpmath.workprec(precision):
            parts = [mpmath.mpf(c[i]) * c[j] / (mpmath.mpf(lam[i]) + lam[j]) for i in used for j in used]
            exact, size = mpmath.fsum(parts), mpmath.fsum(parts, absolute=True)
            if exact > mpmath.ldexp(size, 64 - precision):
                return float(exact)
        precision *= 2
    return 0.0
