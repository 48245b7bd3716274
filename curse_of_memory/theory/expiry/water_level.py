"""Who gains from spans of their own: kinds of memories that are needed for different times.

Kinds.      The input at a step is of kind k with the share q_k, which its span can tell, and is used with
            the kernel ρ_k. Error and mean memory are Σ q_k E_k(e_k) and C = Σ q_k e_k, so that with a price α
            on memory each kind has its own best span: all stop at one level of worth,

                σ² ρ_k(e_k)² = α    for every k    (sharp masks, ρ_k that fall; e_k = 0 where it is below α).

            No other spans of as little memory have less error.

One window. One span W for all needs W/C times the memory for the same error. For kernels e^{−s/τ_k} of one
            height this is at most max τ_k/Σ q_k τ_k, and tends to it as α → 0: rare slow kinds gain most.

Source.     Ours, below each function.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from curse_of_memory.theory.expiry.span_loss import SpanLoss
from curse_of_memory.tools import checks

__all__ = ["KindSpans", "exponential_kinds", "kind_spans", "largest_saving"]


class KindSpans(NamedTuple):
    """Spans of all kinds of memories at one price, beside the one window of the same error.

    Attributes
    ----------
    spans : numpy.ndarray, shape (kinds,)
        e_k, in steps.
    memory : float
        C = Σ q_k e_k, the mean span.
    error : float
        Σ q_k E_k(e_k).
    window : float
        W, a span with this error if all kinds share it.
    """

    spans: np.ndarray
    memory: float
    error: float
    window: float

    @property
    def saving(self) -> float:
        """W/C, how many times the memory one window needs; NaN without memory."""
        return self.window / self.memory if self.memory else np.nan


def kind_spans(losses: Sequence[SpanLoss], shares: ArrayLike, alpha: float) -> KindSpans:
    """Return the best spans of kinds of memories in whole steps, exactly, for kernels of any shape.

    Parameters
    ----------
    losses : sequence of SpanLoss
        E_k for each kind, all with one ramp.
    shares : array_like, shape (kinds,)
        q_k >= 0, with the sum 1.
    alpha : float
        α >= 0, per step of the mean span.

    Returns
    -------
    KindSpans

    Raises
    ------
    ValueError, TypeError
        If losses have different ramps, shares do not add up to 1, or alpha is negative.

    Notes
    -----
    Proof. Σ q_k (E_k(e_k) + αe_k) is least if every term is. Other spans of no more memory with less error
    would make it less.

    Examples
    --------
    >>> from curse_of_memory.theory.expiry import span_loss
    >>> lags = np.arange(1000)
    >>> slow, fast = (span_loss(np.exp(-lags / tau), ramp=1) for tau in (100.0, 2.0))
    >>> found = kind_spans([slow, fast], [0.05, 0.95], alpha=1e-4)
    >>> found.spans.round(1).tolist(), round(found.saving, 1)
    ([459.5, 8.6], 14.3)
    """
    q, price = _shares(shares), checks.non_negative("alpha", alpha)
    if isinstance(losses, SpanLoss) or not isinstance(losses, Sequence) or len(losses) != q.size:
        raise TypeError(f"losses must be a list of {q.size}, one for each share, got {checks.shown(losses)}")
    for loss in losses:
        if not isinstance(loss, SpanLoss):
            raise TypeError(f"losses must be SpanLosses, got {checks.shown(loss)}")
    if len({loss.ramp for loss in losses}) > 1:
        raise ValueError(f"losses must have one ramp, got {[loss.ramp for loss in losses]}")
    all_best = [loss.best(price) for loss in losses]
    spans = np.array([best.span for best in all_best])
    error = float(q @ [best.error for best in all_best])
    worth = np.zeros(max(loss.worth.size for loss in losses))
    for share, loss in zip(q, losses, strict=True):
        worth[: loss.worth.size] += share * loss.worth
    pooled = SpanLoss(worth, losses[0].ramp)
    window = _root(lambda W: float(pooled.error(W)) - error, float(spans[q > 0].max()))
    return KindSpans(spans, float(q @ spans), error, window)


def exponential_kinds(times: ArrayLike, shares: ArrayLike, alpha: float, variance: float = 1.0) -> KindSpans:
    """Return the best spans e_k = (τ_k/2) log(σ²/α) of kinds with kernels e^{−s/τ_k}, in continuous time.

    Parameters
    ----------
    times : array_like, shape (kinds,)
        τ_k > 0, in steps.
    shares : array_like, shape (kinds,)
        q_k >= 0, with the sum 1.
    alpha : float
        α > 0, per step of the mean span.
    variance : float
        σ² > 0, of the inputs.

    Returns
    -------
    KindSpans
        All zero for α >= σ².

    Raises
    ------
    ValueError, TypeError
        If times or alpha are not positive, or shares do not fit or do not add up to 1.

    Notes
    -----
    The window solves Σ q_k τ_k e^{−2W/τ_k} = (α/σ²) Σ q_k τ_k.

    Examples
    --------
    >>> [round(exponential_kinds([100.0, 2.0], [0.05, 0.95], alpha).saving, 1) for alpha in (1e-2, 1e-4)]
    [13.5, 14.0]
    """
    tau, q = _times(times), _shares(shares)
    if tau.size != q.size:
        raise ValueError(f"shares must be as many as times, {tau.size}, got {q.size}")
    price, power = checks.positive("alpha", alpha), checks.positive("variance", variance)
    level = max(0.0, np.log(power) - np.log(price))
    spans, some = tau / 2 * level, q > 0
    heads = np.log(q[some]) + np.log(tau[some])
    target = float(np.logaddexp.reduce(heads)) - level

    def excess(W: float) -> float:
        return float(np.logaddexp.reduce(heads - 2 * W / tau[some])) - target

    window = _root(excess, float(spans[some].max()))
    return KindSpans(spans, float(q @ spans), power * float(np.exp(target)) / 2, window)


def largest_saving(times: ArrayLike, shares: ArrayLike) -> float:
    """Return max τ_k/Σ q_k τ_k, which W/C of kernels e^{−s/τ_k} never exceeds, and reaches as α → 0.

    Parameters
    ----------
    times : array_like, shape (kinds,)
        τ_k > 0, in steps.
    shares : array_like, shape (kinds,)
        q_k >= 0, with the sum 1; kinds without a share do not count.

    Raises
    ------
    ValueError, TypeError
        If times are not positive, or shares do not fit or do not add up to 1.

    Notes
    -----
    Proof. The window W' = (max τ/2) log(σ²/α) = C max τ/Σ q_k τ_k is no shorter than any span, and so leaves
    no more error. As W >= (max τ/2)(log(σ²/α) + log(q τ/Σ q_k τ_k)), with the q and
    τ of the slowest kind, it is reached. It holds for kernels of one height alone: kinds that are worth
    nothing have no span, however slow they are, and one window keeps them, too.

    Examples
    --------
    >>> round(largest_saving([100.0, 2.0], [0.05, 0.95]), 2)
    14.49
    """
    tau, q = _times(times), _shares(shares)
    if tau.size != q.size:
        raise ValueError(f"shares must be as many as times, {tau.size}, got {q.size}")
    return float(tau[q > 0].max() / (q @ tau))


def _root(excess: Callable[[float], float], high: float) -> float:
    """Return the first W in [0, high] at which a falling function is no longer positive."""
    if excess(0.0) <= 0:
        return 0.0
    if excess(high) >= 0:  # by rounding, where all kinds have one span
        return high
    # scipy's stubs take the result for a tuple
    return float(brentq(excess, 0.0, high, xtol=1e-13 * high))  # pyright: ignore[reportArgumentType]


def _times(times: ArrayLike) -> np.ndarray:
    tau = checks.finite_array("times", times, ndim=1)
    if tau.min() <= 0:
        raise ValueError(f"times must be positive, got {tau.min():g}")
    return tau


def _shares(shares: ArrayLike) -> np.ndarray:
    q = checks.finite_array("shares", shares, ndim=1)
    if q.min() < 0 or abs(q.sum() - 1) > 1e-9:
        raise ValueError(f"shares must not be negative and have the sum 1, got {q.sum():g}")
    return q
