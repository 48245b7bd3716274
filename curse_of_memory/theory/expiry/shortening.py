"""Spans that are shortened at random in training: what is left of a mask, and of a span, in the mean.

Rules.      In each pass one limit ℓ ~ U(0, L) is drawn, of which the mask is

                soft:   m(s; min(e, ℓ)),        sharp:   m(s; e) 1[s <= ℓ].

            The first cuts spans, and leaves them their ramp of R steps; the second cuts the mask.

Means.      With h = min(e, s) and a = max(s − R, 0), for e <= L,

                E m(s; min(e, ℓ)) = (1/R) ((R − s)₊ + (h − a)(1 − (h + a)/(2L))),        0 for s >= e + R,

            and E m(s; e) 1[s <= ℓ] = m(s; e) (1 − s/L)₊. From R up to the age e the soft
            rule leaves 1 − (s − R/2)/L: in the mean the mask falls in a line over all of L.

Source.     Section 4.2 of "Not All Memories are Created Equal" (2105.06548) has the sharp rule, its public
            code the soft one; the means and their proofs are ours.
"""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.expiry._checked import checked_ages, checked_spans
from curse_of_memory.theory.expiry.life import mask
from curse_of_memory.tools import checks

__all__ = ["shortened_gradient", "shortened_mask", "shortened_span"]


def shortened_mask(
    ages: ArrayLike, spans: ArrayLike, ramp: int, max_span: float, *, sharp: bool = False
) -> np.ndarray:
    """Return E m(s; min(e, ℓ)) over ℓ ~ U(0, L), the mean factor on the weight of a memory of age s.

    Parameters
    ----------
    ages : array_like
        s >= 0, whole steps since the memory was written.
    spans : array_like
        e from 0 to L, in steps; broadcasts with `ages`.
    ramp : int
        R >= 1, in steps.
    max_span : float
        L > 0, the limit of all spans, in steps.
    sharp : bool
        Cut the mask at ℓ, as the paper says, and not the span, as its public code does.

    Returns
    -------
    numpy.ndarray
        In [0, 1], of the broadcast shape.

    Raises
    ------
    ValueError, TypeError
        If ages are no whole numbers, a number is negative or not finite, a span is above max_span, or ramp is
        below 1.

    Notes
    -----
    Proof. m(s; ·) rises, so m(s; min(e, ℓ)) is the smaller one of m(s; e) and m(s; ℓ), and its mean is
    ∫_0^{m(s; e)} P(m(s; ℓ) > x) dx, where m(s; ℓ) > x iff ℓ > v = s − R + R x. That is
    (1/R) ∫_{s−R}^{h} min(1, 1 − v/L) dv: R x goes over v from s − R to h, as 1 + (e − s)/R <= 1 iff e <= s.

    Examples
    --------
    >>> shortened_mask([1, 4, 10, 12, 14], 10.0, 4, 20).round(4).tolist()
    [0.9938, 0.9, 0.6, 0.275, 0.0]
    >>> shortened_mask([1, 4, 10, 12, 14], 10.0, 4, 20, sharp=True).round(4).tolist()
    [0.95, 0.8, 0.5, 0.2, 0.0]
    """
    s, e, L = checked_ages("ages", ages), checked_spans("spans", spans), checks.positive("max_span", max_span)
    R = checks.positive_int("ramp", ramp)
    _check_limit(e, L)
    if checks.flag("sharp", sharp):
        return (mask(s, e, R) * np.clip(1 - s / L, 0, 1))[()]
    high, low = np.minimum(e, s), np.maximum(s - R, 0)
    width = np.maximum(high - low, 0)
    return ((np.maximum(R - s, 0) + width * (1 - (high + low) / (2 * L))) / R)[()]


def shortened_span(spans: ArrayLike, max_span: float) -> np.ndarray:
    """Return E min(e, ℓ) = e − e²/(2L) over ℓ ~ U(0, L): half of a span that is L, nearly all of a short one.

    Parameters
    ----------
    spans : array_like
        e from 0 to L, in steps.
    max_span : float
        L > 0, the limit of all spans, in steps.

    Returns
    -------
    numpy.ndarray
        In steps, of the shape of `spans`.

    Raises
    ------
    ValueError, TypeError
        If a number is negative or not finite, or a span is above max_span.

    Notes
    -----
    Proof. ∫_0^e P(ℓ > v) dv. With (R − 1)/2 more it is the sum of :func:`shortened_mask` over all ages from
    one on, since Σ_s m(s; c) = c + (R − 1)/2 for every c (:func:`.span_kernel`).

    Examples
    --------
    >>> shortened_span([2.0, 20.0], 20).tolist()
    [1.9, 10.0]
    """
    e, L = checked_spans("spans", spans), checks.positive("max_span", max_span)
    _check_limit(e, L)
    return (e * (1 - e / (2 * L)))[()]


def shortened_gradient(spans: ArrayLike, max_span: float) -> np.ndarray:
    """Return 1 − e/L, the share of passes in which a span learns: what it gains and its price are cut alike.

    So the soft rule makes long spans learn more slowly, and memory no dearer: of a mean mask the derivative
    by e on the ramp, and of the mean charge, have this one factor.

    Parameters
    ----------
    spans : array_like
        e from 0 to L, in steps.
    max_span : float
        L > 0, the limit of all spans, in steps.

    Returns
    -------
    numpy.ndarray
        In [0, 1], of the shape of `spans`.

    Raises
    ------
    ValueError, TypeError
        If a number is negative or not finite, or a span is above max_span.

    Notes
    -----
    Proof. A span that is cut is the number ℓ, which has no derivative by e; P(ℓ > e) = 1 − e/L.

    Examples
    --------
    >>> shortened_gradient([5.0, 20.0], 20).tolist()
    [0.75, 0.0]
    """
    e, L = checked_spans("spans", spans), checks.positive("max_span", max_span)
    _check_limit(e, L)
    return (1 - e / L)[()]


def _check_limit(spans: np.ndarray, max_span: float) -> None:
    if spans.max() > max_span:
        raise ValueError(f"spans must be at most max_span = {max_span:g}, got {spans.max():g}")
