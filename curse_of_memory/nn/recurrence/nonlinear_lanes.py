"""Products and elementwise updates of small states, for LANES sequences side by side.

All arrays end with an axis of that fixed length, along which the processor computes several numbers per
instruction: products are taken a few rows and columns at a time, so that a number that was loaded is used
several times, and elementwise work goes over the numbers of all units at once. Sums have no fixed order along
lanes; inf and NaN are what the same operations in torch make of them.
"""

import numba
import numpy as np

from curse_of_memory.nn.recurrence import nonlinear_cells as cells
from curse_of_memory.nn.recurrence import vector_math
from curse_of_memory.nn.recurrence.compile_cache import drop_stale
from curse_of_memory.nn.recurrence.vector_math import OPTIONS, logistic, tanh

__all__ = [
    "ACTIVATION_CODES",
    "LANES",
    "activate",
    "add_diagonal_product",
    "add_outer",
    "add_product",
    "dot",
    "move",
    "move_back",
    "rows",
    "set_affine",
    "slope",
]

LANES = 64

ACTIVATION_CODES = {name: code for code, name in enumerate(cells.ACTIVATIONS)}
_TANH, _HARDTANH, _RELU, _SIGMOID = (ACTIVATION_CODES[n] for n in ("tanh", "hardtanh", "relu", "sigmoid"))

drop_stale(__file__, cells, vector_math)

_euler, _euler_adjoint, _leak, _leak_adjoint = (
    numba.njit(**OPTIONS)(f) for f in (cells.euler, cells.euler_adjoint, cells.leak, cells.leak_adjoint)
)


# --- products ---------------------------------------------------------------------------------------


@numba.njit(**OPTIONS)
def add_product(W, h, a):
    """Add W h to a, four rows and four columns at a time: a number that was loaded is used four times."""
    rows, columns = W.shape
    for i in range(0, rows - 3, 4):
        a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
        for j in range(0, columns - 3, 4):
            h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
            w00, w01, w02, w03 = W[i, j], W[i, j + 1], W[i, j + 2], W[i, j + 3]
            w10, w11, w12, w13 = W[i + 1, j], W[i + 1, j + 1], W[i + 1, j + 2], W[i + 1, j + 3]
            w20, w21, w22, w23 = W[i + 2, j], W[i + 2, j + 1], W[i + 2, j + 2], W[i + 2, j + 3]
            w30, w31, w32, w33 = W[i + 3, j], W[i + 3, j + 1], W[i + 3, j + 2], W[i + 3, j + 3]
            for n in range(LANES):
                x0, x1, x2, x3 = h0[n], h1[n], h2[n], h3[n]
                y0 = a0[n] + w00 * x0 + w01 * x1 + w02 * x2 + w03 * x3
                y1 = a1[n] + w10 * x0 + w11 * x1 + w12 * x2 + w13 * x3
                y2 = a2[n] + w20 * x0 + w21 * x1 + w22 * x2 + w23 * x3
                y3 = a3[n] + w30 * x0 + w31 * x1 + w32 * x2 + w33 * x3
                a0[n], a1[n], a2[n], a3[n] = y0, y1, y2, y3
    wide, high = columns - columns % 4, rows - rows % 4
    for i in range(high, rows):
        a0 = a[i]
        for j in range(0, wide, 4):
            h0, h1, h2, h3 = h[j], h[j + 1], h[j + 2], h[j + 3]
            w0, w1, w2, w3 = W[i, j], W[i, j + 1], W[i, j + 2], W[i, j + 3]
            for n in range(LANES):
                a0[n] += w0 * h0[n] + w1 * h1[n] + w2 * h2[n] + w3 * h3[n]
    for j in range(wide, columns):
        h0 = h[j]
        for i in range(0, high, 4):
            a0, a1, a2, a3 = a[i], a[i + 1], a[i + 2], a[i + 3]
            w0, w1, w2, w3 = W[i, j], W[i + 1, j], W[i + 2, j], W[i + 3, j]
            for n in range(LANES):
                x0, y0, y1, y2, y3 = h0[n], a0[n], a1[n], a2[n], a3[n]
                a0[n], a1[n], a2[n], a3[n] = y0 + w0 * x0, y1 + w1 * x0, y2 + w2 * x0, y3 + w3 * x0
        for i in range(high, rows):
            a0, w0 = a[i], W[i, j]
            for n in range(len(a0)):
                a0[n] += w0 * h0[n]


@numba.njit(**OPTIONS)
def set_affine(U, x, a):
    """Set a to u₀ + u₁ x, with the two columns of U."""
    for i in range(len(U)):
        a0, u0, u1 = a[i], U[i, 0], U[i, 1]
        for n in range(len(a0)):
            a0[n] = u0 + u1 * x[n]


@numba.njit(**OPTIONS)
def add_diagonal_product(w, h, a):
    """Add w ⊙ h to a."""
    for i in range(len(w)):
        a0, h0, w0 = a[i], h[i], w[i, 0]
        for n in range(len(a0)):
            a0[n] += w0 * h0[n]


@numba.njit(**(OPTIONS | {"fastmath": {"contract", "reassoc"}}))
def add_outer(d, h, gradient):
    """Add d hᵀ to the gradient, for rows of numbers over steps and lanes; a sum may be taken in any order."""
    rows, columns = gradient.shape
    zero = gradient.dtype.type(0)
    for i in range(0, rows - 1, 2):
        d0, d1 = d[i], d[i + 1]
        for j in range(0, columns - 1, 2):
            h0, h1 = h[j], h[j + 1]
            s00, s01, s10, s11 = zero, zero, zero, zero
            for n in range(len(d0)):
                s00 += d0[n] * h0[n]
                s01 += d0[n] * h1[n]
                s10 += d1[n] * h0[n]
                s11 += d1[n] * h1[n]
            gradient[i, j] += s00
            gradient[i, j + 1] += s01
            gradient[i + 1, j] += s10
            gradient[i + 1, j + 1] += s11
    done = rows - rows % 2, columns - columns % 2
    for i in range(rows):
        for j in range(done[1] if i < done[0] else 0, columns):
            gradient[i, j] += dot(d[i], h[j])


@numba.njit(**(OPTIONS | {"fastmath": {"contract", "reassoc"}}))
def dot(d, h):
    """Return Σ d h, summed in any order."""
    total = d.dtype.type(0)
    for n in range(len(d)):
        total += d[n] * h[n]
    return total


@numba.njit(**OPTIONS)
def rows(block, first, steps, start, end):
    """Return the rows start … end − 1 of some steps of (step, row, lane) as vectors over steps and lanes."""
    vectors = np.empty((end - start, steps, LANES), block.dtype)
    for i in range(start, end):
        for s in range(steps):
            old, new = block[first + s, i], vectors[i - start, s]
            for n in range(len(old)):
                new[n] = old[n]
    return vectors.reshape(end - start, -1)


# --- elementwise, over all units of a step ------------------------------------------------------------


@numba.njit(**OPTIONS)
def activate(code, s):
    """Write σ(s) over s. Comparisons are such that NaN stays NaN."""
    zero, one = s.dtype.type(0), s.dtype.type(1)
    if code == _TANH:
        for n in range(len(s)):
            s[n] = tanh(s[n])
    elif code == _SIGMOID:
        for n in range(len(s)):
            s[n] = logistic(s[n])
    elif code == _HARDTANH:
        for n in range(len(s)):
            low = -one if s[n] < -one else s[n]
            s[n] = one if low > one else low
    elif code == _RELU:
        for n in range(len(s)):
            s[n] = zero if s[n] < zero else s[n]


@numba.njit(**OPTIONS)
def slope(code, s, d):
    """Write σ' d over the values s = σ."""
    zero, one = s.dtype.type(0), s.dtype.type(1)
    if code == _TANH:
        for n in range(len(s)):
            s[n] = d[n] * (one - s[n] * s[n])
    elif code == _SIGMOID:
        for n in range(len(s)):
            s[n] = d[n] * (s[n] * (one - s[n]))
    elif code == _HARDTANH:
        for n in range(len(s)):
            s[n] = zero if abs(s[n]) >= one else d[n]
    elif code == _RELU:
        for n in range(len(s)):
            s[n] = zero if s[n] <= zero else d[n]
    else:
        s[:] = d


@numba.njit(**OPTIONS)
def move(old, new, first, second, two, dt):
    """Write the update of the old state to the new one; with one value or two."""
    if two:
        for n in range(len(old)):
            new[n] = _leak(old[n], first[n], second[n], dt)
    else:
        for n in range(len(old)):
            new[n] = _euler(old[n], first[n], dt)


@numba.njit(**OPTIONS)
def move_back(p, d, e, old, first, second, two, dt):
    """Write the adjoint of the old state over p, those of the values to d and e."""
    if two:
        for n in range(len(p)):
            p[n], d[n], e[n] = _leak_adjoint(p[n], old[n], first[n], second[n], dt)
    else:
        for n in range(len(p)):
            p[n], d[n] = _euler_adjoint(p[n], dt)
