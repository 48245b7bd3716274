"""Formulas in one symbol: read exactly, compiled to numpy, their values checked."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import ArrayLike

from curse_of_memory import checks
from curse_of_memory.theory.functions.airy_integrals import airy_values

__all__ = ["compiled", "exact", "in_symbol", "values_like"]


def exact(number: float) -> sympy.Rational:
    """Read a parameter as the decimal it prints as: 1.1 is 11/10, not the nearest binary fraction.

    Examples
    --------
    >>> exact(1.1) - 1
    1/10
    """
    return sympy.Rational(repr(number))


def in_symbol(expr: sympy.Expr | str, symbol: sympy.Symbol) -> sympy.Expr:
    """Return `expr`, or the expression it spells, in `symbol`, whatever its own symbol of that name assumes.

    Raises
    ------
    ValueError, TypeError
        If there is another symbol in it, or it is no formula.

    Examples
    --------
    >>> t = sympy.Symbol("t", positive=True)
    >>> in_symbol("sqrt(t**2)", t)
    t
    """
    try:
        formula = sympy.sympify(expr, locals={symbol.name: symbol})
    except (sympy.SympifyError, TypeError, SyntaxError):
        formula = None
    if not isinstance(formula, sympy.Expr):
        raise TypeError(f"expr must be a formula in {symbol}, got {checks.shown(expr)}")
    formula = formula.subs({x: symbol for x in formula.free_symbols if x.name == symbol.name})
    if others := sorted(x.name for x in formula.free_symbols - {symbol}):
        raise ValueError(f"expr must have no symbol but {symbol}, got {', '.join(others)} in {formula}")
    return formula


@lru_cache
def compiled(formula: sympy.Expr, symbol: sympy.Symbol) -> Callable[[np.ndarray], ArrayLike]:
    """Return the numpy function of a formula.

    Examples
    --------
    >>> x = sympy.Symbol("x")
    >>> compiled(x**2, x)(np.array([1.0, 3.0]))
    array([1., 9.])
    """
    # scipy's own Ai is NaN where it has long underflowed
    plain = formula.replace(sympy.airyai, sympy.Function("airy_values"))
    return sympy.lambdify(symbol, plain, modules=[{"airy_values": airy_values}, "scipy", "numpy"])


def values_like(t: np.ndarray, values: ArrayLike, name: str) -> np.ndarray:
    """Return finite float64 `values` in the shape of `t`; a constant is spread, another shape refused.

    Examples
    --------
    >>> values_like(np.zeros(2), 3, "rho")
    array([3., 3.])
    """
    values = checks.finite_array(name, values)
    if values.shape not in (t.shape, ()):
        raise ValueError(f"{name} must keep the shape of t, {t.shape}, got {values.shape}")
    return np.broadcast_to(values, t.shape).copy()
