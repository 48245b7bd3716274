"""Formulas in one symbol: parsed, compiled to numpy, checked in their values, written as LaTeX for labels."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import ArrayLike

from curse_of_memory.theory.airy_integrals import airy_values
from curse_of_memory.tools import checks

__all__ = ["arguments", "exact", "in_symbol", "mathtext", "numpy_function", "values_like"]

# how tightly the text of a formula binds: what binds less than its place asks for gets parentheses
_SUM, _PRODUCT, _POWER, _ATOM = range(4)
_WRITTEN = {
    sympy.sin: r"\sin",
    sympy.cos: r"\cos",
    sympy.sinh: r"\sinh",
    sympy.cosh: r"\cosh",
    sympy.tanh: r"\tanh",
    sympy.log: r"\log",
    sympy.erf: r"\mathrm{erf}",
    sympy.erfc: r"\mathrm{erfc}",
    sympy.airyai: r"\mathrm{Ai}",
}


def exact(number: float) -> sympy.Rational:
    """Return a number as the rational it prints as: 1.1 is 11/10, not the nearest binary fraction.

    Examples
    --------
    >>> exact(1.1) - 1
    1/10
    """
    value = sympy.Rational(repr(number))
    assert isinstance(value, sympy.Rational)  # of a finite number it is no NaN
    return value


def arguments(formula: sympy.Expr) -> list[sympy.Expr]:
    """Return the arguments of a formula that are formulas themselves: all, unless it is piecewise.

    Examples
    --------
    >>> arguments(sympy.Symbol("x") + 1)
    [1, x]
    """
    return [argument for argument in formula.args if isinstance(argument, sympy.Expr)]


def in_symbol(expr: sympy.Expr | str, symbol: sympy.Symbol) -> sympy.Expr:
    """Return the formula `expr`, an expression or its text, in terms of `symbol`.

    A symbol of the same name but with other assumptions is replaced by `symbol`.

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
        # sympy's overloads leave out its own argument `locals`
        formula = sympy.sympify(expr, locals={symbol.name: symbol})  # pyright: ignore[reportCallIssue]
    except (sympy.SympifyError, TypeError, SyntaxError):
        formula = None
    if not isinstance(formula, sympy.Expr):
        raise TypeError(f"expr must be a formula in {symbol}, got {checks.shown(expr)}")
    formula = formula.subs({x: symbol for x in formula.free_symbols if str(x) == symbol.name})
    if others := sorted(str(x) for x in formula.free_symbols - {symbol}):
        raise ValueError(f"expr must have no symbol but {symbol}, got {', '.join(others)} in {formula}")
    return formula


@lru_cache
def numpy_function(formula: sympy.Expr, symbol: sympy.Symbol) -> Callable[[np.ndarray], ArrayLike]:
    """Return a formula as a vectorised numpy function of its symbol.

    Examples
    --------
    >>> x = sympy.Symbol("x")
    >>> numpy_function(x**2, x)(np.array([1.0, 3.0]))
    array([1., 9.])
    """
    # scipy's own Ai is NaN where it has long underflowed
    ready = formula.replace(sympy.airyai, sympy.Function("airy_values"))
    return sympy.lambdify(symbol, ready, modules=[{"airy_values": airy_values}, "scipy", "numpy"])


def values_like(t: np.ndarray, values: ArrayLike, name: str) -> np.ndarray:
    """Return `values` as finite float64 in the shape of `t`; a constant is repeated.

    Raises
    ------
    ValueError, TypeError
        For another shape, or values that are not finite real numbers; `name` is what they are called.

    Examples
    --------
    >>> values_like(np.zeros(2), 3, "rho")
    array([3., 3.])
    """
    values = checks.finite_array(name, values)
    if values.shape not in (t.shape, ()):
        raise ValueError(f"{name} must keep the shape of t, {t.shape}, got {values.shape}")
    return np.broadcast_to(values, t.shape).copy()


def mathtext(formula: sympy.Expr) -> str:
    """Return a formula as LaTeX that matplotlib draws, without dollar signs, as one writes it by hand.

    Rational numbers are written as decimals, rounded to four digits, or as a divisor; powers stay powers but
    for 1/x and 1/√x; (…)₊ is max(…, 0).

    Parameters
    ----------
    formula : sympy.Expr
        Sums, products, powers, exp, log, sin, cos, sinh, cosh, tanh, erf, erfc, airyai, abs and max(…, 0) of
        real numbers and symbols.

    Raises
    ------
    ValueError
        If there is anything else in the formula.

    Examples
    --------
    >>> t = sympy.Symbol("t")
    >>> mathtext((1 + t / 10) ** sympy.Rational(-11, 10)), mathtext(sympy.exp(-t) / (1 + t))
    ('(1+t/10)^{-1.1}', 'e^{-t}/(1+t)')
    """
    return _written(formula)[0]


def _within(formula: sympy.Expr, place: int) -> str:
    """Return the text of a formula, in parentheses where its place asks for a tighter one."""
    text, binds = _written(formula)
    return text if binds >= place else f"({text})"


def _written(formula: sympy.Expr) -> tuple[str, int]:
    """Return the text of a formula and how tightly it binds."""
    if isinstance(formula, sympy.Add):
        terms = [mathtext(term) for term in arguments(formula)]
        # 1 + t, but t − 6
        terms.sort(key=lambda text: text.startswith("-"))
        return "".join(terms[:1] + [text if text.startswith("-") else f"+{text}" for text in terms[1:]]), _SUM
    if isinstance(formula, sympy.Symbol) or formula in (sympy.pi, sympy.E):
        return sympy.latex(formula), _ATOM
    if isinstance(formula, sympy.Number | sympy.Mul) or _divides(formula):
        return _product(formula)
    if isinstance(formula, sympy.Pow):
        base, exponent = formula.base, formula.exp
        if exponent == sympy.Rational(1, 2):
            return rf"\sqrt{{{mathtext(base)}}}", _ATOM
        return f"{_within(base, _ATOM)}^{{{mathtext(exponent)}}}", _POWER
    if isinstance(formula, sympy.exp):
        return f"e^{{{mathtext(arguments(formula)[0])}}}", _POWER
    inner = [argument for argument in arguments(formula) if argument != 0]
    if isinstance(formula, sympy.Max) and len(inner) == 1:
        return f"({mathtext(inner[0])})_+", _ATOM
    if isinstance(formula, sympy.Abs):
        return f"|{mathtext(inner[0])}|", _ATOM
    if formula.func in _WRITTEN:
        return f"{_WRITTEN[formula.func]}({mathtext(inner[0])})", _ATOM
    raise ValueError(f"formula must be one that can be written for a label, got {formula}")


def _divides(formula: sympy.Expr) -> bool:
    """Tell whether a factor is written below the stroke: 1/x and 1/√x."""
    return isinstance(formula, sympy.Pow) and formula.exp in (-1, sympy.Rational(-1, 2))


def _product(formula: sympy.Expr) -> tuple[str, int]:
    """Return the text of a number or a product, with a divisor where it has one."""
    number, rest = formula.as_coeff_Mul()
    factors = [] if rest == 1 else list(sympy.Mul.make_args(rest))
    above, below = _fraction(abs(number), alone=not factors)
    divisors = [below] if below else []
    divisors += [_within(1 / factor, _POWER) for factor in factors if _divides(factor)]
    texts = [_within(factor, _POWER) for factor in factors if not _divides(factor)]
    # exponentials stand before powers of sums
    texts.sort(key=lambda text: text.startswith("("))
    if above != "1" or not texts:
        texts.insert(0, above)
    text = texts[0]
    for factor in texts[1:]:
        text += rf"\cdot{factor}" if factor[0].isdigit() else factor
    if divisors:
        text += f"/{divisors[0]}" if len(divisors) == 1 else f"/({''.join(divisors)})"
    if number < 0:
        return f"-{text}", _SUM
    return text, _ATOM if text.replace(".", "").isdigit() else _PRODUCT


def _fraction(number: sympy.Expr, alone: bool) -> tuple[str, str]:
    """Return what stands above and below the stroke for a number >= 0: 2/5 is 0.4; t/20, but alone 0.05."""
    if isinstance(number, sympy.Rational) and not isinstance(number, sympy.Integer):
        p, q = int(number.p), int(number.q)
        rounded = sympy.Rational(f"{p / q:.4g}") != number
        if (p == 1 and q < 10_000 and (rounded or not alone)) or (rounded and max(p, q) < 100):
            return str(p), str(q)
    mantissa, _, power = f"{float(number):.4g}".partition("e")
    return (rf"{mantissa}\times10^{{{int(power)}}}" if power else mantissa), ""
