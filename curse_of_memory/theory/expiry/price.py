"""The price of memory: what a span is charged, and in continuous time the span at which a memory is worth it.

Charge.     The loss has a charge on every query t of a block of M steps and every memory i on its ramp,

                (α/(R M)) Σ_{t,i} (e_i − (t − i)) 1[0 < m_ti < 1] ,

            whose gradient is that of (α/M) Σ e_i, and (R − 1)/R of it for whole spans. The task loss it is
            added to is a mean over labels, the charge one over steps: where few steps have labels, α still is
            the price of one step of the mean span in units of the mean loss of a label.

Worth.      For y_t = ∫ ρ(s) x_{t−s} ds, white inputs of the variance σ² and a weight with the memory bias b,
            b(0) = 1, that much error is left of a memory of ρ that expires at e, and its best span is where

                σ² b(e) ρ(e)² = α .

            That is for a sharp mask (R → 0), and for b ρ² that falls; else the rule is only necessary, and
            the best span is found on the whole curve (:meth:`.SpanLoss.best`), which gradients may miss.

Source.     Charge: equation 7 of "Not All Memories are Created Equal" (2105.06548), in the form of its public
            code. Its value, and the worth of spans, are ours; the bias is that of INTEREST (2307.11462).
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import brentq

from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.expiry._checked import checked_spans
from curse_of_memory.theory.expiry.life import ramp_steps
from curse_of_memory.theory.targets import Target
from curse_of_memory.tools import checks

__all__ = ["charge", "charge_gradient", "exponential_span", "ramp_factor", "sharp_span", "window_error"]


def charge(spans: ArrayLike, ramp: int, alpha: float, block: int = 1) -> np.ndarray:
    """Return −(α/M)(⌈e⌉ − e + (R − 1)/2), what a memory adds to the loss while it is on its ramp.

    However long the span: the value says nothing of memory, and is negative. Report the mean span instead.

    Parameters
    ----------
    spans : array_like
        e >= 0, in steps, of memories that end before their sequence does.
    ramp : int
        R >= 1, in steps.
    alpha : float
        α >= 0, per step of span.
    block : int
        M >= 1, the steps over which the loss is a mean.

    Returns
    -------
    numpy.ndarray
        Of the shape of `spans`.

    Raises
    ------
    ValueError, TypeError
        If a number is negative or not finite, or ramp or block is below 1.

    Notes
    -----
    Proof. On the ramp are s = ⌊e⌋ + 1, …, ⌊e⌋ + R, but not the last of them if e is whole, and
    Σ (e − s)/R is −(R + 1)/2 + e − ⌊e⌋ for fractions, −(R − 1)/2 for whole spans.

    Examples
    --------
    >>> charge([2.5, 1000.5, 3.0], ramp=4, alpha=1.0).tolist()
    [-2.0, -2.0, -1.5]
    """
    e, R = checked_spans("spans", spans), checks.positive_int("ramp", ramp)
    price = checks.non_negative("alpha", alpha) / checks.positive_int("block", block)
    return (-price * (np.ceil(e) - e + (R - 1) / 2))[()]


def charge_gradient(spans: ArrayLike, ramp: int, alpha: float, block: int = 1) -> np.ndarray:
    """Return the derivative of :func:`charge` that training sees: α/M, or (α/M)(R − 1)/R for whole spans.

    Parameters
    ----------
    spans : array_like
        e >= 0, in steps, of memories that end before their sequence does.
    ramp : int
        R >= 1, in steps.
    alpha : float
        α >= 0, per step of span.
    block : int
        M >= 1, the steps over which the loss is a mean.

    Returns
    -------
    numpy.ndarray
        Of the shape of `spans`.

    Raises
    ------
    ValueError, TypeError
        If a number is negative or not finite, or ramp or block is below 1.

    Notes
    -----
    Proof. Each age on the ramp adds α/(R M), and there are :func:`.ramp_steps` of them.

    Examples
    --------
    >>> charge_gradient([2.5, 1000.5, 3.0], ramp=4, alpha=1.0).tolist()
    [1.0, 1.0, 0.75]
    """
    R = checks.positive_int("ramp", ramp)
    price = checks.non_negative("alpha", alpha) / checks.positive_int("block", block)
    return price * (ramp_steps(spans, R) / R)


def ramp_factor(x: ArrayLike) -> np.ndarray:
    """Return φ(x) = 2(1 − e^{−x}(1 + x))/x², by which a ramp lowers the worth of a span, x = 2λR.

    Parameters
    ----------
    x : array_like
        x >= 0.

    Returns
    -------
    numpy.ndarray
        In (0, 1], falling, φ(0) = 1; of the shape of `x`.

    Raises
    ------
    ValueError, TypeError
        If x is negative or not finite.

    Notes
    -----
    Proof. Of E(e) = ∫ ρ² (1 − m)², with ρ = e^{−λs} and 1 − m = (s − e)/R on the ramp, the derivative is
    −(2/R²) ∫_0^R u ρ(e + u)² du = −φ(2λR) ρ(e)². It is 2 γ(2, x)/x², with the incomplete gamma function.

    Examples
    --------
    >>> ramp_factor([0.0, 1.6]).round(4).tolist()
    [1.0, 0.3711]
    """
    x = checks.finite_array("x", x)
    if x.min() < 0:
        raise ValueError(f"x must not be negative, got {x.min():g}")
    safe = np.maximum(x, 1e-150)  # whose square is no zero; φ is one there to the last digit
    return np.where(x < 1e-8, 1 - 2 * x / 3, 2 * special.gammainc(2, safe) / safe / safe)[()]


def exponential_span(rate: float, alpha: float, *, ramp: float = 0.0, variance: float = 1.0) -> float:
    """Return the best span for ρ = e^{−λs}, e = log(σ² φ(2λR)/α)/(2λ), not below 0.

    Parameters
    ----------
    rate : float
        λ > 0, per step.
    alpha : float
        α > 0, per step of span.
    ramp : float
        R >= 0, in steps; 0 for a sharp mask.
    variance : float
        σ² > 0, of the inputs.

    Returns
    -------
    float
        In steps, of continuous time. For whole steps :meth:`.SpanLoss.best` is exact.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, or ramp is negative.

    Examples
    --------
    >>> round(exponential_span(0.05, 1e-3), 2), round(exponential_span(0.05, 1e-3, ramp=16), 2)
    (69.08, 59.17)
    """
    lam, price = checks.positive("rate", rate), checks.positive("alpha", alpha)
    R, power = checks.non_negative("ramp", ramp), checks.positive("variance", variance)
    if (factor := float(ramp_factor(min(2 * lam * R, 1e300)))) == 0:
        return 0.0
    return max(0.0, (math.log(power) + math.log(factor) - math.log(price)) / (2 * lam))


def sharp_span(
    rho: Target,
    alpha: float,
    *,
    variance: float = 1.0,
    b: Bias | None = None,
    horizon: float | None = None,
) -> float:
    """Return the best span of a sharp mask where b ρ² falls: the e with σ² b(e) ρ(e)² = α.

    Parameters
    ----------
    rho : Target
        ρ, per step.
    alpha : float
        α > 0, per step of span.
    variance : float
        σ² > 0, of the inputs.
    b : Bias, optional
        The memory bias of the weight on errors, scaled to b(0) = 1; 1 at all lags unless given.
    horizon : float, optional
        T, in steps, which a bias needs, and which no span exceeds.

    Returns
    -------
    float
        In steps; zero if not even the present is worth α, and `horizon` if all of it is.

    Raises
    ------
    ValueError, TypeError
        If a number is not positive, or there is a bias without a horizon, or one that is infinite at zero.
    ArithmeticError
        If there is no horizon and b ρ² does not fall to α.

    Notes
    -----
    Proof. The derivative of σ² ∫_e^T b ρ² + α e is α − σ² b(e) ρ(e)², which changes its sign once if b ρ²
    falls. Of other ρ this is one of the points with that worth, and may be a maximum.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> round(sharp_span(polynomial(1.5), 1e-6), 6)  # (1 + e)^{−3} = 1e-6
    99.0
    """
    if not isinstance(rho, Target):
        raise TypeError(f"rho must be a target, got {checks.shown(rho)}")
    price, power = checks.positive("alpha", alpha), checks.positive("variance", variance)
    if b is not None and not isinstance(b, Bias):
        raise TypeError(f"b must be a bias, got {checks.shown(b)}")
    if b is not None and horizon is None:
        raise ValueError("horizon must be given with a bias b, which is ∫_s^T w(r) dr")
    T = rho.last if horizon is None else checks.positive("horizon", horizon)
    head = 1.0 if b is None else float(b(0.0, T))

    def gain(e: float) -> float:
        return power * (1.0 if b is None else float(b(e, T)) / head) * float(rho(e)) ** 2 - price

    if gain(0.0) <= 0:
        return 0.0
    low, high = 0.0, min(1.0, T)
    while gain(high) > 0:
        if high == T and horizon is None:
            raise ArithmeticError(f"rho = {rho.name} must fall below the price alpha = {price:g}")
        if high == T:
            return T
        low, high = high, min(2 * high, T)
    # scipy's stubs take the result for a tuple
    return float(brentq(gain, low, high, xtol=1e-12 * high))  # pyright: ignore[reportArgumentType]


def window_error(rho: Target, window: float, variance: float = 1.0) -> float:
    """Return σ² ∫_C^∞ ρ², the least error of whatever knows the last C steps alone.

    Against memory it falls as e^{−2λC}/(2λ) for ρ = e^{−λs}, and as C^{1−2p} for (1 + s)^{−p}.

    Parameters
    ----------
    rho : Target
        ρ, per step.
    window : float
        C >= 0, in steps.
    variance : float
        σ² >= 0, of the inputs.

    Returns
    -------
    float
        Infinite where ρ is not square integrable.

    Raises
    ------
    ValueError, TypeError
        If a number is negative or not finite, or rho is no target.

    Notes
    -----
    Proof. What happened before is independent of all that is known, and its share of y has this variance.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> window_error(polynomial(1.5), 9.0)
    0.005
    """
    if not isinstance(rho, Target):
        raise TypeError(f"rho must be a target, got {checks.shown(rho)}")
    C, power = checks.non_negative("window", window), checks.non_negative("variance", variance)
    return power * float(rho._energy(np.array(C)))
