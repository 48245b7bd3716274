"""One formula for numpy arrays, torch tensors, sympy expressions and intervals.

A formula is a function ``f(x, w)`` of the elementary functions `x` and the argument `w`, such as
``lambda x, w: -x.exp(w)``; :func:`functions_for` gives the `x` that goes with a `w`. The names are those
of the Python array API standard.
"""

import sympy
from array_api_compat import array_namespace

from curse_of_memory.theory.maps.intervals import ELEMENTARY, Interval

__all__ = ["functions_for", "is_symbolic"]


class _Symbolic:
    """The functions of the array API that formulas use, as sympy expressions."""

    exp, log, tanh, sqrt = sympy.exp, sympy.log, sympy.tanh, sympy.sqrt
    sin, cos, sinh, cosh, atan = sympy.sin, sympy.cos, sympy.sinh, sympy.cosh, sympy.atan
    abs = sympy.Abs

    @staticmethod
    def expm1(w):
        return sympy.exp(w) - 1

    @staticmethod
    def log1p(w):
        return sympy.log(1 + w)

    @staticmethod
    def logaddexp(u, w):
        return sympy.log(sympy.exp(u) + sympy.exp(w))

    @staticmethod
    def maximum(u, w):
        return sympy.Max(u, w)

    @staticmethod
    def minimum(u, w):
        return sympy.Min(u, w)

    @staticmethod
    def square(w):
        return w**2

    @staticmethod
    def where(condition, yes, no):
        return sympy.Piecewise((yes, condition), (no, True))

    @staticmethod
    def zeros_like(_):
        return sympy.Integer(0)

    @staticmethod
    def ones_like(_):
        return sympy.Integer(1)


def is_symbolic(w) -> bool:
    """Whether `w` is a sympy expression."""
    return isinstance(w, sympy.Basic)


def functions_for(w):
    """Return the elementary functions for arguments like `w`: array, tensor, sympy expression or interval.

    Examples
    --------
    >>> functions_for(sympy.Symbol("w")).log1p(sympy.Symbol("w"))
    log(w + 1)
    """
    if isinstance(w, Interval):
        return ELEMENTARY
    return _Symbolic if is_symbolic(w) else array_namespace(w)
