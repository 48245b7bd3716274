"""tanh and the logistic function for compiled loops, free of branches, so that many are computed at once.

Equations.   tanh x = −sign(x) E / (2 + E),   E = exp(−2|x|) − 1;     σ̂(x) = e^{min(x, 0)} / (1 + e^{−|x|}).

Algorithm.   exp: y = n ln 2 + r with n whole and |r| <= ln 2 / 2; e^y = 2ⁿ (1 + p), p = e^r − 1 = r + r² q(r)
             with q from the Taylor polynomial of degree 14, whose remainder is below r¹⁵/15! < 10⁻¹⁹. Then
             E = 2ⁿ p + (2ⁿ − 1): for small x, n = 0 and E = p has the full relative accuracy. The power 2ⁿ is
             made out of bits: adding 3·2⁵¹ rounds a number to a whole one and leaves it in the last bits.

All of it in float64, for float32 arguments, too. Errors are at most three units in the last place, NaN stays
NaN, and infinite arguments have their limits.
"""

import math

import numpy as np

from curse_of_memory.nn.recurrence.compiled._numba_private import WITHOUT_COUNTS
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
UNDERFLOW = -700.0
C2, C3, C4, C5, C6, C7, C8, C9, C10, C11, C12, C13, C14 = (1 / math.factorial(k) for k in range(2, 15))


@compiled(**SMALL)
def _exp_parts(y):
    """Return 2ⁿ and p with e^y = 2ⁿ (1 + p), for −700 <= y <= 0 or NaN."""
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
def tanh(x):
    """Return tanh x of a real number `x`, in float64."""
    x = np.float64(x)
    y = -2 * abs(x)
    # written so that NaN, of which no comparison is true, goes through
    power, p = _exp_parts(UNDERFLOW if y < UNDERFLOW else y)
    e = power * p + (power - 1.0)
    return math.copysign(e / (2.0 + e), x)


@compiled(**SMALL)
def logistic(x):
    """Return 1 / (1 + e^{−x}) of a real number `x`, in float64."""
    x = np.float64(x)
    y = -abs(x)
    power, p = _exp_parts(UNDERFLOW if y < UNDERFLOW else y)
    e = power + power * p
    return (e if x < 0 else 1.0) / (1.0 + e)
