"""tanh and the logistic function for compiled loops, free of branches, so that many are computed at once.

Equations.   tanh x = −sign(x) E / (2 + E),   E = exp(−2|x|) − 1;     σ̂(x) = e^{min(x, 0)} / (1 + e^{−|x|}).

Algorithm.   exp: y = n ln 2 + r with n whole and |r| <= ln 2 / 2; e^y = 2ⁿ (1 + p), p = e^r − 1 = r + r² q(r)
             with q from the Taylor polynomial of degree 14, whose remainder is below r¹⁵/15! < 10⁻¹⁹. Then
             E = 2ⁿ p + (2ⁿ − 1): for small x, n = 0 and E = p has the full relative accuracy. The power 2ⁿ is
             made out of bits: adding 3·2⁵¹ rounds a number to a whole one and leaves it in the last bits.

For float32 the same with powers up to r⁷, whose remainder is below r⁸/8! < 10⁻⁸, and whole numbers by 3·2²².
Errors are at most three units in the last place, NaN stays NaN, and infinite arguments have their limits.
Where e^y would be subnormal it is zero, so that a gate that is shut is shut.
"""

import math

import numpy as np

from curse_of_memory.nn.recurrence.compiled._numba_private import WITHOUT_COUNTS, by_precision
from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled

__all__ = ["logistic", "tanh"]

OPTIONS = {"nogil": True, "error_model": "numpy", "fastmath": {"contract"}}
"""How loops are compiled: fused multiply-adds are allowed, nothing that could lose an inf or a NaN."""

SMALL = OPTIONS | WITHOUT_COUNTS
"""The same for functions that make no arrays: that slices refer to arrays of the caller is not counted, which
for small states takes as long as the arithmetic."""

ROUND = 1.5 * 2.0**52
# ln 2 in two parts; the first has so few digits that n times it is exact
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
UNDERFLOW = -709.2  # of which the whole number n is −1023: the bits of 2ⁿ are those of zero then
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14 = (1 / math.factorial(k) for k in range(2, 15))

single = np.float32
S_ROUND, S_PER_LN2 = single(1.5 * 2.0**23), single(1 / math.log(2))
S_LN2_HIGH = single(0.693359375)
S_LN2_LOW = single(math.log(2) - 0.693359375)
S_UNDERFLOW = single(-88.1)
S0, S1, S2, S_MINUS_2 = single(0), single(1), single(2), single(-2)
S_C2, S_C3, S_C4, S_C5, S_C6, S_C7 = (single(1 / math.factorial(k)) for k in range(2, 8))


@compiled(**SMALL)
def _exp_parts(y):
    """Return 2ⁿ and p with e^y = 2ⁿ (1 + p), for y <= 0 or NaN, in float64."""
    # written so that NaN, of which no comparison is true, goes through
    y = UNDERFLOW if y < UNDERFLOW else y
    shifted = y * (1 / math.log(2)) + ROUND
    n = shifted - ROUND
    r = (y - n * LN2_HIGH) - n * LN2_LOW
    q = C14
    for c in (C13, C12, C11, C10, C9, C8, C7, C6, C5, C4, C3, C2):
        q = q * r + c
    bits = np.int64(np.float64(shifted).view(np.int64))
    power = np.float64(np.int64((bits + 1023) << 52).view(np.float64))
    return power, r + r * r * q


@compiled(**SMALL)
def _exp_parts_in_single(y):
    """Return the same in float32."""
    y = S_UNDERFLOW if y < S_UNDERFLOW else y
    shifted = single(y * S_PER_LN2 + S_ROUND)
    n = shifted - S_ROUND
    r = (y - n * S_LN2_HIGH) - n * S_LN2_LOW
    q = S_C7
    for c in (S_C6, S_C5, S_C4, S_C3, S_C2):
        q = q * r + c
    bits = np.int32(shifted.view(np.int32))
    power = single(np.int32((bits + 127) << 23).view(single))
    return power, r + r * r * q


@compiled(**SMALL)
def _tanh(x):
    y = -2 * abs(x)
    power, p = _exp_parts(y)
    e = power * p + (power - 1.0)
    return math.copysign(e / (2.0 + e), x)


@compiled(**SMALL)
def _tanh_in_single(x):
    y = S_MINUS_2 * abs(x)
    power, p = _exp_parts_in_single(y)
    e = power * p + (power - S1)
    return math.copysign(e / (S2 + e), x)


@compiled(**SMALL)
def _logistic(x):
    power, p = _exp_parts(-abs(x))
    e = power + power * p
    return (e if x < 0 else 1.0) / (1.0 + e)


@compiled(**SMALL)
def _logistic_in_single(x):
    power, p = _exp_parts_in_single(-abs(x))
    e = power + power * p
    return (e if x < S0 else S1) / (S1 + e)


_tanh_of = by_precision(_tanh_in_single, _tanh, SMALL)
_logistic_of = by_precision(_logistic_in_single, _logistic, SMALL)


@compiled(**SMALL)
def tanh(x):
    """Return tanh x of a real number `x`, in its precision."""
    return _tanh_of(x)


@compiled(**SMALL)
def logistic(x):
    """Return 1 / (1 + e^{−x}) of a real number `x`, in its precision."""
    return _logistic_of(x)
