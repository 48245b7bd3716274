"""Sums of geometrically spaced exponentials for polynomial memory, with a certified L¹ error.

(1 + rt)^{−a} = (1/Γ(a)) ∫ e^{au − e^u} e^{−e^u rt} du by the trapezoidal rule in u, which for this integrand
converges exponentially: about log²(1/ε) terms reach the error ε, where the truncation argument of "Curse of
memory" (2009.07799) needs a power of 1/ε.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import special

from curse_of_memory.theory.approximation_rates import l1_norm
from curse_of_memory.theory.exponential_sums.exponential_sum import ExponentialSum
from curse_of_memory.theory.targets.families import _Polynomial
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["GeometricSum", "geometric_exponential_sum"]

# e^{−e^u} is 0 in double precision from here on
_TOP = math.log(746.0)
# rates and time scales below and above this have no place in double precision
_SMALLEST_RATE = 1e-290
_SHARES = (0.9, 0.7, 0.5, 0.3)


@dataclass(frozen=True, eq=False)
class GeometricSum:
    """ρ̂ = Σ cᵢ e^{−λᵢ t} with λᵢ = λ₁ e^{(i−1)h}, a bound of its L¹ error, and the two parts of that.

    Attributes
    ----------
    sum : ExponentialSum
        ρ̂; all coefficients are positive.
    bound : float
        ‖ρ − ρ̂‖_{L¹[0,∞)} <= bound, rounding errors of the coefficients aside.
    discretization, truncation : float
        Its two parts: the step of the trapezoidal rule, and the terms left out.
    step : float
        h.
    """

    sum: ExponentialSum
    bound: float
    discretization: float
    truncation: float
    step: float


def geometric_exponential_sum(target: Target, tolerance: float) -> GeometricSum:
    """Return a sum of exponentials whose L¹ distance to (1 + rt)^{−a} is certified to be below `tolerance`.

    By Poisson's formula the infinite rule of step h is off by at most the factor
    δ = 2 Σ_{k>=1} |Γ(a + 2πik/h)|/Γ(a), at every t alike; the terms left out are positive, and their
    integrals add up. Of several ways to divide the tolerance the one with the fewest terms is taken.

    Parameters
    ----------
    target : Target
        ``targets.polynomial(exponent=a, rate=r)`` with a > 1.
    tolerance : float
        ε, in the unit of the L¹ norm of ρ, at least 1e-12 of it.

    Returns
    -------
    GeometricSum

    Raises
    ------
    TypeError
        For another family.
    ValueError
        If a <= 1, where ρ has no L¹ norm; if ε is not below that norm, so that no term is needed; or if ε is
        too small for double precision: for 1e-12 of the norm, or for an a so close to 1 that it takes
        rates below 1e-290.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> geometric = geometric_exponential_sum(polynomial(2.0), tolerance=1e-3)
    >>> geometric.sum.rates.size, geometric.bound < 1e-3
    (13, True)
    """
    if not isinstance(target, _Polynomial):
        got = checks.shown(getattr(target, "name", target))
        raise TypeError(f"target must be one of targets.polynomial, got {got}")
    norm = l1_norm(target)
    if checks.positive("tolerance", tolerance) < 1e-12 * norm:
        raise ValueError(f"tolerance must be at least 1e-12 of the L1 norm {norm:g}, got {tolerance:g}")
    if tolerance >= norm:
        raise ValueError(f"tolerance must be below the L1 norm {norm:g} of no terms, got {tolerance:g}")
    sums = (_with_share(target, norm, tolerance, share) for share in _SHARES)
    return min(sums, key=lambda geometric: geometric.sum.rates.size)


def _with_share(target: _Polynomial, norm: float, tolerance: float, share: float) -> GeometricSum:
    a, r = target.exponent, target.rate
    h = _step(a, min(share * tolerance / norm, 0.5))
    discretization = _relative_error(a, h) * norm
    # ∫ of the term at u is h e^{(a−1)u − e^u}/(r Γ(a)); below 0 the e^{−e^u} is bounded by 1
    scale = h / (r * math.gamma(a))
    low = max(math.floor(-40 / ((a - 1) * h)) - 1, math.ceil(math.log(_SMALLEST_RATE / r) / h))
    k = np.arange(low, math.ceil(_TOP / h) + 1)
    areas = scale * np.exp((a - 1) * k * h - np.exp(k * h))
    beyond = scale * math.exp((a - 1) * (low - 1) * h) / -math.expm1(-(a - 1) * h)
    rest = tolerance - discretization - beyond
    if rest <= 0:
        raise ValueError(
            f"tolerance {tolerance:g} takes rates below {_SMALLEST_RATE:g}, which double precision does not "
            f"hold: the exponent {a:g} is too close to 1"
        )
    # the fewest terms: give up the smallest areas, which are at the two ends
    order = np.argsort(areas)
    dropped = np.cumsum(areas[order])
    count = min(int(np.searchsorted(dropped, rest * (1 - 1e-9))), areas.size - 1)
    keep = np.sort(order[count:])
    truncation = beyond + (float(dropped[count - 1]) if count else 0.0)
    u = k[keep] * h
    coefficients = h / math.gamma(a) * np.exp(a * u - np.exp(u))
    fitted = ExponentialSum(rates=r * np.exp(u), coefficients=coefficients)
    return GeometricSum(fitted, discretization + truncation, discretization, truncation, h)


def _relative_error(a: float, h: float) -> float:
    """Return δ, the rest of its series bounded by a geometric one, which falls more slowly."""
    k = np.arange(1, 40)
    logs = special.loggamma(a + 2j * math.pi * k / h).real - math.lgamma(a)
    terms = np.exp(logs)
    ratio = terms[-1] / terms[-2] if terms[-2] > 0 else 0.0
    return 2 * float(terms.sum() + terms[-1] * ratio / (1 - ratio))


def _step(a: float, tolerance: float) -> float:
    """Return the largest step, to a thousandth, with δ <= tolerance."""
    low, high = 1e-2, 50.0
    while high / low > 1.001:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if _relative_error(a, middle) <= tolerance else (low, middle)
    return low
