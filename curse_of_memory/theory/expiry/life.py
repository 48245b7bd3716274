"""How long a memory with a span serves, how far back a stack of such layers reaches, and what one remembers.

Mask.       A memory of age s = t − i (in whole steps; s = 1 for the step after it was written) with the span
            e >= 0 has, with a ramp of R >= 1 steps, the factor

                m(s) = min(1, max(0, 1 + (e − s)/R))

            on its weight in attention, which is then scaled to the sum one. A step does not see itself.

Life.       m(s) > 0 iff s < e + R: exactly the R − 1 + ⌈e⌉ ages 1, 2, …, R − 1 + ⌈e⌉. (The paper has ⌊e⌋,
            which is one less for all spans that are no whole numbers.)

Source.     Mask: equations 3 to 5 of "Not All Memories are Created Equal" (2105.06548); what is counted and
            proved here is ours, below each function.
"""

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.expiry._checked import checked_ages, checked_spans
from curse_of_memory.theory.targets.lagged import lag_grid
from curse_of_memory.tools import checks

__all__ = ["last_reached", "life", "mask", "ramp_steps", "reach", "serves_next_step", "span_kernel"]

_LEAST = float(np.nextafter(0.0, 1.0))


def mask(ages: ArrayLike, spans: ArrayLike, ramp: int) -> np.ndarray:
    """Return m(s) = min(1, max(0, 1 + (e − s)/R)), the factor on the weight of a memory of age s.

    Parameters
    ----------
    ages : array_like
        s >= 0, whole steps since the memory was written.
    spans : array_like
        e >= 0, in steps; broadcasts with `ages`.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    numpy.ndarray
        In [0, 1], of the broadcast shape.

    Raises
    ------
    ValueError, TypeError
        If ages are no whole numbers, a number is negative or not finite, or ramp is below 1.

    Notes
    -----
    Computed as (e − (s − R))/R, which is zero for s >= e + R alone, also in floats: s − R is exact, and a
    difference of two floats is zero only if they are equal. 1 + (e − s)/R rounds to zero too early: for
    R = 1 and e <= 2⁻⁵⁴ already at s = 1, so that rows of attention would be empty. A part of R that is too
    small for a float is the smallest one.

    Examples
    --------
    >>> mask([1, 2, 3, 4, 5, 6], 2.5, 3).round(3).tolist()
    [1.0, 1.0, 0.833, 0.5, 0.167, 0.0]
    """
    s, e, R = checked_ages("ages", ages), checked_spans("spans", spans), checks.positive_int("ramp", ramp)
    left = e - (s - R)
    return np.where(left > 0, np.clip(left / R, _LEAST, 1.0), 0.0)[()]


def life(spans: ArrayLike, ramp: int) -> np.ndarray:
    """Return R − 1 + ⌈e⌉: how many queries a memory serves, those of the ages 1 to this, each with m(s) > 0.

    Parameters
    ----------
    spans : array_like
        e >= 0, in steps.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    numpy.ndarray of int
        Of the shape of `spans`; exact.

    Raises
    ------
    ValueError, TypeError
        If a span is negative or not finite, or ramp is below 1.

    Notes
    -----
    Proof. m(s) > 0 iff s < e + R, and the largest whole number below e + R is R − 1 + ⌈e⌉. It is the age from
    which on, plus one, the memory may be deleted without a trace.

    Examples
    --------
    >>> life([0.0, 2.5, 3.0], 16).tolist()
    [15, 18, 18]
    """
    e, R = checked_spans("spans", spans), checks.positive_int("ramp", ramp)
    return (R - 1 + np.ceil(e).astype(np.int64))[()]


def ramp_steps(spans: ArrayLike, ramp: int) -> np.ndarray:
    """Return at how many ages a memory is on its ramp, 0 < m(s) < 1: R, or R − 1 if its span is whole.

    These are the queries that move its span, and those at which it is charged.

    Parameters
    ----------
    spans : array_like
        e >= 0, in steps.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    numpy.ndarray of int
        Of the shape of `spans`; exact.

    Raises
    ------
    ValueError, TypeError
        If a span is negative or not finite, or ramp is below 1.

    Notes
    -----
    Proof. e < s < e + R are the whole numbers of an open interval of the length R, all of them >= 1.

    Examples
    --------
    >>> ramp_steps([2.5, 3.0], 16).tolist()
    [16, 15]
    """
    e, R = checked_spans("spans", spans), checks.positive_int("ramp", ramp)
    return (R - (e == np.floor(e)))[()]


def serves_next_step(spans: ArrayLike, ramp: int) -> np.ndarray:
    """Return m(1) > 0, whether memories serve the step right after them: iff e > 1 − R.

    If all do, and there is something to see at the first step (zero vectors do), then no row of attention is
    ever empty. Spans above zero do so for every ramp R >= 1, and a span of zero does for R >= 2.

    Parameters
    ----------
    spans : array_like
        e, in steps, of any sign.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    numpy.ndarray of bool
        Of the shape of `spans`.

    Raises
    ------
    ValueError, TypeError
        If a span is not finite, or ramp is below 1.

    Notes
    -----
    Proof. 1 + (e − 1)/R > 0 iff e > 1 − R. A logistic function that underflows makes spans of zero, which for
    R = 1 serve nobody.

    Examples
    --------
    >>> serves_next_step([0.0, 1e-300], 1).tolist(), bool(serves_next_step(0.0, 2))
    ([False, True], True)
    """
    e, R = checks.finite_array("spans", spans), checks.positive_int("ramp", ramp)
    return (e > 1 - R)[()]


def reach(spans: Sequence[ArrayLike] | np.ndarray, ramp: int) -> int:
    """Return Σ_l (R − 1 + ⌈max e_l⌉), from how many steps back at most a stack of N layers knows anything.

    Steps farther back change nothing, not even the last digit. No smaller number will do if each layer has
    its largest span wherever the relay passes, such as for spans that are the same at all steps; for given
    spans of all steps see :func:`last_reached`.

    Parameters
    ----------
    spans : sequence of array_like
        For each layer its spans e >= 0, of any shape, in steps. If spans react to the input, these are the
        spans of both inputs that are compared.
    ramp : int
        R >= 1, in steps, of every layer.

    Returns
    -------
    int
        In steps.

    Raises
    ------
    ValueError, TypeError
        If there is no layer, a span is negative or not finite, or ramp is below 1.

    Notes
    -----
    Proof. An answer at t differs between two inputs only if the layer below differs at t, or at a memory that
    is alive at t in one of the two, so at most one life before; then induction over layers.

    Examples
    --------
    >>> reach([4.0, [1.5, 2.5]], 3)
    11
    """
    one = isinstance(spans, np.ndarray) and not spans.ndim
    if one or isinstance(spans, str) or not isinstance(spans, Sequence | np.ndarray):
        raise TypeError(f"spans must be a list with the spans of each layer, got {checks.shown(spans)}")
    if len(spans) == 0:
        raise ValueError("spans must have at least one layer, got none")
    return sum(int(life(checked_spans("spans", layer).max(), ramp)) for layer in spans)


def last_reached(spans: ArrayLike, ramp: int) -> np.ndarray:
    """Return for every step the last one whose answer depends on its input, given the spans of all layers.

    Parameters
    ----------
    spans : array_like, shape (layers, T)
        e >= 0 of the memory that each layer writes at each step, in steps; if spans react to the input, the
        larger ones of both inputs that are compared.
    ramp : int
        R >= 1, in steps, of every layer.

    Returns
    -------
    numpy.ndarray of int, shape (T,)
        Steps 0, 1, …; from T on if the sequence ends before.

    Raises
    ------
    ValueError, TypeError
        If spans have another shape, one is negative or not finite, or ramp is below 1.

    Notes
    -----
    Proof. What the input i changes in layer l are the steps i to f_l(i): f_0 = i, and f_l is the largest
    j + life_l(j) of the steps j from i to f_{l−1}(i), which are relays one and all.

    Examples
    --------
    >>> last_reached([[0.0, 2.0, 0.0, 0.0], [0.0, 0.0, 0.0, 5.0]], 1).tolist()  # the last relay speaks late
    [0, 8, 2, 8]
    """
    e = checked_spans("spans", spans, ndim=2)
    steps = np.arange(e.shape[1])
    last = steps
    for lives in life(e, ramp):
        ends = steps + lives
        last = np.array([max(end, ends[i : end + 1].max()) for i, end in enumerate(last.tolist())])
    return last


def span_kernel(span: float, ramp: int, horizon: int) -> xr.DataArray:
    """Return the memory of one layer with equal scores, the trapezoid m(s)/(e + (R − 1)/2), s >= 1.

    Its support is finite, R − 1 + ⌈e⌉ steps. Without forgetting such a layer takes the mean of all steps,
    1/t, and with a window W it is a box of the height 1/W.

    Parameters
    ----------
    span : float
        e >= 0, the same for all memories, in steps.
    ramp : int
        R >= 1, in steps.
    horizon : int
        How many lags.

    Returns
    -------
    xarray.DataArray
        Values over ``lag`` = 0, 1, … in steps; zero at lag 0, as a step does not see itself, and everywhere
        if nobody is served.

    Raises
    ------
    ValueError, TypeError
        If span is negative or not finite, or ramp or horizon is below 1.

    Notes
    -----
    Proof of Σ_{s>=1} m(s) = e + (R − 1)/2. For e = n + f, 0 <= f < 1, n ages have m = 1, and
    Σ_{j=1}^{R} (f + R − j)/R = f + (R − 1)/2.

    Examples
    --------
    >>> span_kernel(1.0, 3, 5).values.tolist()
    [0.0, 0.5, 0.3333333333333333, 0.16666666666666666, 0.0]
    """
    e, R = checks.non_negative("span", span), checks.positive_int("ramp", ramp)
    lags = np.arange(checks.positive_int("horizon", horizon))
    values, total = mask(lags, e, R) * (lags > 0), e + (R - 1) / 2
    return lag_grid(values / total if total else values, 1.0, "memory")
