"""Memory functions ρ given by coefficients, by a formula, or by a callable.

They are exposed as `curse_of_memory.targets`.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike
from scipy import optimize

from curse_of_memory.theory.formulas import in_symbol, numpy_function, values_like
from curse_of_memory.theory.targets.analytic import octaves
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.exponentials import (
    coefficients_and_rates,
    exponential_formula,
    exponential_values,
    gram_form,
)
from curse_of_memory.theory.targets.rectangles import magnitude_of
from curse_of_memory.theory.targets.target import Target, t
from curse_of_memory.theory.targets.units import power_of_two
from curse_of_memory.tools import checks

__all__ = ["exponential_sum", "from_callable", "from_formula", "sign_changes"]

_UNKNOWN = Decay("unknown")


@dataclass(frozen=True)
class _ExponentialSum(Target):
    coefficients: tuple[float, ...]
    rates: tuple[float, ...]  # ascending

    def _values(self, t):
        return exponential_values(self.coefficients, self.rates, t)

    def _tail(self, t):
        # |ρ| integrates exactly between sign changes: Σ cᵢ/λᵢ e^{−λᵢ t} is the antiderivative, negated
        edges = np.unique(
            np.concatenate([t.ravel(), sign_changes(coefficients=self.coefficients, rates=self.rates)])
        )
        primitive = exponential_values(self.coefficients, self.rates, edges, integrals=1)
        pieces = np.abs(primitive - np.append(primitive[1:], 0.0))
        return np.cumsum(pieces[::-1])[::-1][np.searchsorted(edges, t)]

    def _l2(self):
        unit = power_of_two(max(map(abs, self.coefficients)))
        return unit * math.sqrt(gram_form(np.divide(self.coefficients, unit), self.rates))

    def _energy(self, t):
        energies = [gram_form(self.coefficients, self.rates, start) for start in np.ravel(t).tolist()]
        return np.reshape(energies, np.shape(t))

    def _magnitude(self, low, high, height):
        return np.exp(-np.multiply.outer(low, self.rates)) @ np.abs(self.coefficients)

    def _peak(self):
        slopes = np.multiply(self.coefficients, self.rates)
        return float(
            np.abs(self._values(np.append(sign_changes(coefficients=slopes, rates=self.rates), 0.0))).max()
        )


def sign_changes(*, coefficients: ArrayLike, rates: ArrayLike) -> np.ndarray:
    """Return the t > 0 where Σ cᵢ e^{−λᵢ t} (rates ascending) changes sign: at most m − 1 of them.

    e^{λ₁t} times the sum has the derivative of a sum of m − 1 terms, and is monotone between the
    sign changes of that one (Rolle); so every change is bracketed and none is missed.

    Examples
    --------
    >>> sign_changes(coefficients=[1.0, -2.0], rates=[1.0, 2.0]) / math.log(2)
    array([1.])
    """
    c, lam = np.asarray(coefficients, dtype=float), np.asarray(rates, dtype=float)
    if c.size < 2:
        return np.empty(0)
    c = c / power_of_two(float(np.abs(c).max()))
    gaps = lam - lam[0]

    def scaled(t):
        return float(exponential_values(c, gaps, t))

    edges = np.concatenate([[0.0], sign_changes(coefficients=c[1:] * gaps[1:], rates=gaps[1:])])
    last = edges[-1] + 1 / gaps[1]
    while scaled(last) * c[0] < 0:
        last *= 2
    edges = np.append(edges, last)
    brackets = [(a, b) for a, b in itertools.pairwise(edges) if scaled(a) * scaled(b) < 0]
    return np.array([optimize.brentq(scaled, a, b, xtol=1e-300) for a, b in brackets])


def exponential_sum(*, coefficients: ArrayLike, rates: ArrayLike) -> Target:
    """ρ(t) = Σ cᵢ e^{−λᵢ t}: the memory of a linear RNN with real eigenvalues −λᵢ.

    Tail and L¹ norm are exact through the at most m − 1 sign changes, the L² norm is
    cᵀG c with G_ij = 1/(λᵢ + λⱼ).

    Parameters
    ----------
    coefficients : array_like, shape (m,)
        cᵢ, not all zero.
    rates : array_like, shape (m,)
        λᵢ > 0, per unit time; terms of equal rate are added up.

    Examples
    --------
    >>> exponential_sum(coefficients=[1.0, -2.0], rates=[1.0, 2.0]).norm(1)
    0.5
    """
    c, lam = coefficients_and_rates(coefficients, rates)
    lam, where = np.unique(lam, return_inverse=True)
    c = np.bincount(where, weights=c)
    lam, c = tuple(lam[c != 0].tolist()), tuple(c[c != 0].tolist())
    if not c:
        raise ValueError("coefficients must not all be zero")
    name = f"exponential_sum(m={len(c)})"
    return _ExponentialSum(name, exponential_formula(c, lam, t), Decay("exponential", lam[0]), c, lam)


@dataclass(frozen=True)
class _Opaque(Target):
    func: Callable[[np.ndarray], ArrayLike]
    where: tuple[tuple[float, float], ...] = ()

    @property
    def last(self):
        return _evaluable(self.func)

    def _values(self, t):
        return values_like(t, self.func(t), f"rho of {self.name}")

    @property
    def features(self):
        return self.where


def _evaluable(func: Callable) -> float:
    """Return the largest power of two up to which `func` is finite at all of them: t² e^{−t} up to 1e154."""
    times = octaves()[1:]
    with np.errstate(all="ignore"):
        finite = np.isfinite(np.broadcast_to(func(times), times.shape))
    return float(times[-1] if finite.all() else times[max(int(finite.argmin()) - 1, 0)])


def _features(features: ArrayLike) -> tuple[tuple[float, float], ...]:
    """Return checked pairs (time, width)."""
    if isinstance(features, Sequence | np.ndarray) and len(features) == 0:
        return ()
    pairs = checks.finite_array("features", features, ndim=2)
    if pairs.shape[1] != 2 or pairs.min() < 0:
        raise ValueError("features must be pairs (time, width) of numbers that are not negative")
    return tuple((float(where), float(width)) for where, width in pairs)


def from_callable(
    func: Callable[[np.ndarray], ArrayLike],
    name: str = "callable",
    decay: Decay = _UNKNOWN,
    features: Sequence[tuple[float, float]] | ArrayLike = (),
) -> Target:
    """ρ = func, any callable that takes an array of times and returns values of the same shape.

    Tails and norms are estimates from samples; tails are inf where `decay` says that they diverge. Samples
    see what is at least t/1000 wide at 1e-6 <= t <= 1e6; what is narrower, or elsewhere, may be missed unless
    it is among `features`. A formula (:func:`from_formula`) has no such limits.

    Parameters
    ----------
    func : callable
        ρ.
    name : str
        What legends call it.
    decay : Decay
        How ρ decays, where that is known.
    features : array_like, shape (k, 2)
        Pairs (time, width) of bumps and wiggles that are narrow or far; jumps and kinks have width 0.

    Raises
    ------
    TypeError, ValueError
        If `func` is not callable, or the features are not such pairs.

    Examples
    --------
    >>> rho = from_callable(lambda t: t * np.exp(-t), name="late")
    >>> round(rho.norm(1), 9)
    1.0
    >>> spike = from_callable(lambda t: np.exp(-(((t - 1e4) / 1e-2) ** 2)), features=[(1e4, 1e-2)])
    >>> round(spike.norm(1) / 1e-2, 6)  # √π
    1.772454
    """
    checks.function("func", func)
    return _Opaque(name, None, decay, func, _features(features))


@dataclass(frozen=True)
class _Formula(Target):
    where: tuple[tuple[float, float], ...] = ()

    @property
    def last(self):
        return _evaluable(numpy_function(self.formula, t))

    def _values(self, times):
        return values_like(times, numpy_function(self.formula, t)(times), f"rho of {self.name}")

    def _magnitude(self, low, high, height):
        bound = magnitude_of(self.formula)
        return super()._magnitude(low, high, height) if bound is None else bound(low, high, height)

    @property
    def certified(self):
        return magnitude_of(self.formula) is not None

    @property
    def features(self):
        return self.where


def from_formula(
    expr: sympy.Expr | str, name: str | None = None, decay: Decay = _UNKNOWN, features: ArrayLike = ()
) -> Target:
    """ρ = a formula in the one symbol ``t``, a sympy expression or its text.

    Tails and norms are numerical; tails are inf where `decay` says that they diverge. For sums, products,
    powers, exp, log, sin, cos, sinh, cosh, erf, erfc and airyai they are certified by complex interval
    arithmetic (``certified``); other formulas are sampled, as in :func:`from_callable`.

    Parameters
    ----------
    expr : sympy.Expr or str
        The formula.
    name : str, optional
        What legends call it; the formula unless given.
    decay : Decay
        How ρ decays, where that is known.
    features : array_like, shape (k, 2)
        As of :func:`from_callable`; a certified formula does not need them.

    Raises
    ------
    ValueError
        If `expr` has another symbol or is no formula, or the features are not such pairs.

    Examples
    --------
    >>> from_formula("exp(-2*t)", decay=Decay("exponential", 2.0)).norm(1)
    0.5
    """
    formula = in_symbol(expr, t)
    return _Formula(name or str(formula), formula, decay, _features(features))
