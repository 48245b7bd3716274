"""One formula for numpy arrays, torch tensors, sympy expressions and intervals.

A formula is a function ``f(x, w)`` of the elementary functions `x` and the argument `w`, such as
``lambda x, w: -x.exp(w)``; :func:`functions_for` gives the `x` that goes with a `w`. The names are those
of the Python array API standard.
"""

from functools import reduce
from typing import Any

import sympy
from array_api_compat import array_namespace
from sympy.printing.numpy import NumPyPrinter

from curse_of_memory.theory.reparameterization import _interval_functions
from curse_of_memory.theory.reparameterization.intervals import Interval

__all__ = ["evaluated", "functions_for", "is_symbolic"]


class _Symbolic:
    """The functions of the array API that formulas use, for sympy expressions."""

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


def is_symbolic(w: Any) -> bool:
    """Whether `w` is a sympy expression."""
    return isinstance(w, sympy.Basic)


def functions_for(w: Any) -> Any:
    """Return the elementary functions for arguments like `w`: array, tensor, sympy expression or interval.

    Examples
    --------
    >>> functions_for(sympy.Symbol("w")).log1p(sympy.Symbol("w"))
    log(w + 1)
    """
    if isinstance(w, Interval):
        return _interval_functions
    return _Symbolic if is_symbolic(w) else array_namespace(w)


def evaluated(expression: sympy.Expr, symbol: sympy.Symbol, w: Any) -> Any:
    """Return the values of a sympy expression where its `symbol` has the values `w`, an array or a tensor.

    Examples
    --------
    >>> import numpy as np
    >>> t = sympy.Symbol("t", real=True)
    >>> evaluated(sympy.diff(sympy.Max(0, t) * t, t), t, np.array([-1.0, 1.0]))
    array([0., 2.])
    """
    x = functions_for(w)
    names = {name: getattr(x, name) for name in _ELEMENTARY} | _selections(x, w)
    printer = NumPyPrinter({"fully_qualified_modules": False, "inline": True})
    return sympy.lambdify(symbol, expression, modules=[names], printer=printer)(w) + 0 * w


_ELEMENTARY = (
    *("exp", "log", "tanh", "sqrt", "sign", "abs", "sin", "cos", "sinh", "cosh", "atan"),
    *("less", "less_equal", "greater", "greater_equal", "equal", "logical_and", "logical_or", "logical_not"),
)


def _selections(x, w) -> dict:
    """Return the functions that lambdified expressions call by numpy's names, from those of the array API."""

    def full(value):
        return value + 0 * w

    def select(conditions, values, default):
        chosen = full(default)
        for condition, value in list(zip(conditions, values, strict=True))[::-1]:
            chosen = x.where(x.asarray(condition), full(value), chosen)
        return chosen

    return {
        "select": select,
        "maximum": lambda a, b: x.maximum(full(a), full(b)),
        "minimum": lambda a, b: x.minimum(full(a), full(b)),
        "reduce": reduce,
        "nan": float("nan"),
        "arctan": x.atan,
    }
