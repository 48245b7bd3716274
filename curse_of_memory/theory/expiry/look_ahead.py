"""What gradients can learn of a span: they see the ramp and nothing beyond.

Flow.       de/dτ = −d(E + αe)/de, with the exact error E of :mod:`.span_loss`. A lag s moves the span
            only while it is on the ramp, e < s < e + R. Each span that rises with a weight x, as L σ̂(x) does,
            goes the same way at another pace: the limits are those of this flow.

Look-ahead. Without a price, the flow from a start e_0 ends at the first e >= e_0 with no used lag in
            (e, e + R): a use more than R − 1 steps after the last useful lag, and than e_0, is never learnt,
            however much it is worth. (Uses at lags 1 to 20 and one at 20 + g, R = 16, a start below 20:
            g = 15 is learnt, g = 16 never.) This is the curse of memory of attention; its cure is uses at
            variable delays, with gaps below R.

Steps.      Gradient descent with small steps ends at the same place (:func:`safe_step`); larger steps, noise
            or momentum may jump the gap. "Never" is said of the flow.

Source.     Ours.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.expiry._checked import checked_ages
from curse_of_memory.theory.expiry.span_loss import SpanLoss
from curse_of_memory.tools import checks

__all__ = ["blind_span", "learnt_span", "safe_step"]


def learnt_span(loss: SpanLoss, start: float, alpha: float = 0.0) -> float:
    """Return where the gradient flow of E(e) + αe ends that starts at the span `start`.

    Parameters
    ----------
    loss : SpanLoss
        E, such as :func:`.span_loss` makes it.
    start : float
        e_0 >= 0, in steps.
    alpha : float
        α >= 0, per step of span.

    Returns
    -------
    float
        The limit of e(τ), τ → ∞, in steps; exact to rounding, as the flow between whole numbers is linear.

    Raises
    ------
    ValueError, TypeError
        If loss is no `SpanLoss`, or a number is negative or not finite.

    Notes
    -----
    Proof. One equation of the first order goes one way: up or down to the next stationary point. At whole
    numbers the force −dE/de may rise with e, but never falls, so that a flow that gets there passes; there is
    no gradient from a lag with m(s) = 0, so that one which only approaches stays. Spans below zero there are
    none: from there on the flow would fall for ever.

    Examples
    --------
    >>> from curse_of_memory.theory.expiry import span_loss
    >>> used = np.zeros(60)
    >>> used[1:21] = 1.0
    >>> near, far = used.copy(), used.copy()
    >>> near[20 + 15], far[20 + 16] = 1.0, 1.0
    >>> [learnt_span(span_loss(rho, ramp=16), start=5.0) for rho in (near, far)]
    [35.0, 20.0]
    """
    if not isinstance(loss, SpanLoss):
        raise TypeError(f"loss must be a SpanLoss, got {checks.shown(loss)}")
    start, alpha = checks.non_negative("start", start), checks.non_negative("alpha", alpha)
    R, last = loss.ramp, loss.worth.size - 1
    if start > last:  # where there is nothing but the price
        if not alpha:
            return start
        start = float(last)
    w = np.concatenate([[0.0], loss.worth, np.zeros(R + 1)])  # from lag −1 on
    j = np.arange(1.0, R + 1)
    price = alpha * R * R / 2

    def force(n: int, u: float) -> float:
        """Return R²/2 times −d(E + αe)/de at e = n + u, from within n < e < n + 1."""
        return float(w[n + 2 : n + 2 + R] @ (j - u)) - price

    def rest(n: int) -> float:
        """Return the stationary point of the parabola from n to n + 1."""
        seen = w[n + 2 : n + 2 + R]
        return n + min(1.0, max(0.0, (float(seen @ j) - price) / float(seen.sum())))

    n = math.ceil(start) - 1
    way = force(n, start - n)
    if way == 0:
        return start
    if way > 0:
        n = math.floor(start)
        while force(n, 1.0) > 0:
            n += 1
        return rest(n)
    while n >= 0 and force(n, 0.0) < 0:
        n -= 1
    return rest(n) if n >= 0 else 0.0


def blind_span(uses: ArrayLike, start: float, ramp: int) -> float:
    """Return the first e >= start with no used lag in (e, e + R), where learning ends without a price.

    Parameters
    ----------
    uses : array_like
        Lags s with ρ_s ≠ 0, in whole steps, in any order.
    start : float
        e_0 >= 0, in steps.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    float
        e, in steps: `start`, or the last lag of a chain whose gaps are R − 1 at most.

    Raises
    ------
    ValueError, TypeError
        If uses are no whole numbers, a number is negative or not finite, or ramp is below 1.

    Notes
    -----
    Proof. Each lag on the ramp pulls with a force > 0 until e reaches it, and nothing else does.

    Examples
    --------
    >>> [blind_span([*range(1, 21), 20 + gap], start=5.0, ramp=16) for gap in (15, 16)]
    [35.0, 20.0]
    """
    lags = np.unique(checked_ages("uses", uses))
    e, R = checks.non_negative("start", start), checks.positive_int("ramp", ramp)
    for lag in lags[lags > e].tolist():
        if lag >= e + R:
            break
        e = lag
    return e


def safe_step(loss: SpanLoss) -> float:
    """Return a step size with which descent ends where the flow does, η = R²/(2 max_n Σ_{s=n+1}^{n+R} w_s).

    Steps e ← e − η d(E + αe)/de up to this approach the limit of the flow and never pass it, for any α >= 0;
    below it, not even by rounding.

    Parameters
    ----------
    loss : SpanLoss
        E.

    Returns
    -------
    float
        Infinite if nothing is worth anything.

    Raises
    ------
    TypeError
        If loss is no `SpanLoss`.

    Notes
    -----
    Proof. Let F = R²/2 times the force, F(e*) = 0 at the limit. For e < e* the lags on the ramp of e are
    below e* + R, so that F(e) <= Σ w_s (s − e) − Σ w_s (s − e*) = (e* − e) Σ w_s over them. For e > e*,
    likewise F(e) >= −(e − e*) Σ w_s over the ramp of e*.

    Examples
    --------
    >>> from curse_of_memory.theory.expiry import span_loss
    >>> safe_step(span_loss(np.ones(100), ramp=16))
    8.0
    """
    if not isinstance(loss, SpanLoss):
        raise TypeError(f"loss must be a SpanLoss, got {checks.shown(loss)}")
    R = loss.ramp
    sums = np.convolve(loss.worth[1:], np.ones(R)) if loss.worth.size > 1 else np.zeros(1)
    return R**2 / (2 * float(sums.max())) if sums.max() > 0 else math.inf
