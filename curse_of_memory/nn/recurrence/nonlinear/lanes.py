"""Elementwise work on small states, for many sequences side by side.

All arrays end with an axis of the sequences, the lanes, and elementwise work goes over the numbers of all
units at once, flat, so that the processor computes several of them per instruction. inf and NaN are what the
same operations in torch make of them.
"""

from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.vector_math import SMALL, logistic, tanh
from curse_of_memory.nn.recurrence.nonlinear import cells

__all__ = [
    "ACTIVATION_CODES",
    "activate",
    "add_diagonal_outer",
    "add_diagonal_product",
    "add_step_gradient",
    "move",
    "move_back",
    "slope",
]

ACTIVATION_CODES = {name: code for code, name in enumerate(cells.SLOPES)}
_TANH, _HARDTANH, _RELU, _SIGMOID = (ACTIVATION_CODES[n] for n in ("tanh", "hardtanh", "relu", "sigmoid"))


_euler, _euler_adjoint, _euler_by_dt = (
    compiled(**SMALL)(f) for f in (cells.euler, cells.euler_adjoint, cells.euler_by_dt)
)
_leak, _leak_adjoint, _leak_by_dt = (
    compiled(**SMALL)(f) for f in (cells.leak, cells.leak_adjoint, cells.leak_by_dt)
)


# --- one weight per row -------------------------------------------------------------------------------


@compiled(**SMALL)
def add_diagonal_product(w, h, a):
    """Add w ⊙ h to a."""
    for i in range(len(w)):
        a0, h0, w0 = a[i], h[i], w[i]
        for n in range(len(a0)):
            a0[n] += w0 * h0[n]


@compiled(**(SMALL | {"fastmath": {"contract", "reassoc"}}))
def add_diagonal_outer(d, h, gradient):
    """Add Σ d ⊙ h over lanes to the gradient, summed in any order."""
    for i in range(len(gradient)):
        d0, h0 = d[i], h[i]
        total = d.dtype.type(0)
        for n in range(len(d0)):
            total += d0[n] * h0[n]
        gradient[i] += total


# --- elementwise, over all units of a step ------------------------------------------------------------


@compiled(**SMALL)
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


@compiled(**SMALL)
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
        for n in range(len(s)):
            s[n] = d[n]


# --- with a time step per unit ------------------------------------------------------------------------


@compiled(**SMALL)
def move(old, new, first, second, two, dt):
    """Write the update of the old state to the new one; with one value or two."""
    if two:
        for n in range(len(dt)):
            new[n] = _leak(old[n], first[n], second[n], dt[n])
    else:
        for n in range(len(dt)):
            new[n] = _euler(old[n], first[n], dt[n])


@compiled(**SMALL)
def move_back(p, d, e, old, first, second, two, dt):
    """Write the adjoint of the old state over p, those of the values to d and e."""
    if two:
        for n in range(len(dt)):
            p[n], d[n], e[n] = _leak_adjoint(p[n], old[n], first[n], second[n], dt[n])
    else:
        for n in range(len(dt)):
            p[n], d[n] = _euler_adjoint(p[n], dt[n])


@compiled(**(SMALL | {"fastmath": {"contract", "reassoc"}}))
def add_step_gradient(p, old, first, second, two, gradient):
    """Add Σ p ∂/∂dt of an update over lanes to the gradient, summed in any order."""
    for i in range(len(gradient)):
        adjoint, h, one, other = p[i], old[i], first[i], second[i]
        total = gradient.dtype.type(0)
        if two:
            for n in range(len(h)):
                total += _leak_by_dt(adjoint[n], h[n], one[n], other[n])
        else:
            for n in range(len(h)):
                total += _euler_by_dt(adjoint[n], one[n])
        gradient[i] += total
