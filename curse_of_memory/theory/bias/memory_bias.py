"""A weight w(t) on errors and its memory bias b(s) = ∫_s^T w(r) dr: formulas, values, discrete sums.

A weight w > 0 on the error at time t in (0, T] weighs the memory at lag s by b(s) = ∫_s^T w(r) dr
(INTEREST (2307.11462), Theorem 3.3).
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy
from numpy.typing import ArrayLike

from curse_of_memory.theory.quadrature import integrals_to
from curse_of_memory.tools import checks

__all__ = ["Bias", "T", "s", "steps", "t"]

s, t, T = sympy.symbols("s t T", positive=True)
"""Lag, time and horizon in `Bias.formula` and `Bias.weight_formula`."""


@dataclass(frozen=True)
class Bias(ABC):
    """A weight w > 0 on (0, T] and the bias b(s) = ∫_s^T w(r) dr it puts on memory.

    Attributes
    ----------
    name : str
        What legends call it.
    weight_formula : sympy.Expr or None
        w in the symbol ``t``; None for an opaque callable and for p = ∞.
    """

    name: str
    weight_formula: sympy.Expr | None

    @abstractmethod
    def _weight(self, t: np.ndarray) -> np.ndarray:
        """Return w(t) for checked t > 0."""

    def _relative_weight(self, t: np.ndarray) -> np.ndarray:
        """Return c w(t) for ascending t, with a c > 0 that keeps w and its sum from overflowing."""
        weights = self._weight(t)
        return weights / weights.max()

    def _integral(self, s: np.ndarray, T: float) -> np.ndarray:
        return integrals_to(self._weight, s, T, f"w = {self.name}")

    def _relative_integral(self, s: np.ndarray, T: float) -> np.ndarray:
        """Return c b(s) with some c > 0."""
        return self._integral(s, T)

    @property
    def formula(self) -> sympy.Expr | None:
        """b(s) = ∫_s^T w(r) dr in the symbols ``s`` and ``T``; None where sympy finds no closed form."""
        return None if self.weight_formula is None else _integrated(self.weight_formula)

    def weight(self, t: ArrayLike) -> np.ndarray:
        """Return w(t).

        Parameters
        ----------
        t : array_like
            Times > 0, any shape.

        Raises
        ------
        ValueError
            If a time, or the weight at one, is not positive and finite.
        """
        t = checks.finite_array("t", t)
        if t.min() <= 0:
            raise ValueError(f"t must be positive, got {t.min():g}")
        return _finite(self._weight(t), self.name)[()]

    def __call__(self, s: ArrayLike, T: float) -> np.ndarray:
        """Return b(s) = ∫_s^T w(r) dr.

        Parameters
        ----------
        s : array_like
            Lags, 0 <= s <= T, any shape.
        T : float
            Horizon, in time units.

        Returns
        -------
        numpy.ndarray
            b(s), shaped like `s`.

        Raises
        ------
        ValueError
            If a lag is outside [0, T], or the integral diverges (a power p <= −1 at s = 0).
        OverflowError
            If a value exceeds double precision.
        """
        T = checks.positive("T", T)
        s = _lags(s, T)
        return _finite(self._integral(s, T), self.name)[()]

    def weights(self, horizon: int, dt: float = 1.0, unit_mean: bool = False) -> np.ndarray:
        """Return w at the times dt, 2 dt, ..., horizon dt.

        Parameters
        ----------
        horizon : int
            Number of steps T.
        dt : float
            Time step.
        unit_mean : bool
            Rescale to mean 1, as the weighted losses do; never overflows.

        Raises
        ------
        OverflowError
            If a weight that is not rescaled exceeds double precision, or all of them are below it.
        """
        times = steps(horizon, dt)
        if not unit_mean:
            return _not_all_zero(_finite(self._weight(times), self.name), self.name)
        relative = self._relative_weight(times)
        return relative / relative.mean()

    def discrete(self, horizon: int = 64, dt: float = 1.0, normalize: str | None = None) -> np.ndarray:
        """Return b_s = dt Σ_{k=s+1}^{T} w(k dt), s = 0..T−1: the bias of a sum over steps.

        Parameters
        ----------
        horizon : int
            Number of steps T.
        dt : float
            Time step.
        normalize : {None, "sum", "head"}
            Divide by Σ_s b_s, or by b_0; never overflows.

        Returns
        -------
        numpy.ndarray, shape (horizon,)

        Raises
        ------
        OverflowError
            As :meth:`weights`, for values that are not normalised.

        Examples
        --------
        >>> from curse_of_memory.theory.bias import power
        >>> power(1).discrete(4)
        array([10.,  9.,  7.,  4.])
        """
        times = steps(horizon, dt)
        _check_normalize(normalize)
        if normalize is None:
            with np.errstate(over="ignore"):
                sums = dt * np.cumsum(self.weights(horizon, dt)[::-1])[::-1]
            return _finite(sums, self.name)
        return _normalized(np.cumsum(self._relative_weight(times)[::-1])[::-1], normalize)

    def sampled(
        self, horizon: int, dt: float = 1.0, normalize: str | None = None, offset: int = 0
    ) -> np.ndarray:
        """Return the continuous b at the lags (s + offset) dt, s = 0..horizon−1, with T = horizon dt.

        The memory-bias figure of INTEREST (2307.11462) draws this with ``normalize="sum"``, and
        with ``offset=1`` for p = −1, whose bias diverges at lag 0.

        Parameters
        ----------
        horizon : int
            Number of lags.
        dt : float
            Time step.
        normalize : {None, "sum", "head"}
            Divide by the sum, or by the first value.
        offset : {0, 1}
            Steps by which lags are moved.

        Returns
        -------
        numpy.ndarray, shape (horizon,)

        Raises
        ------
        ValueError
            If the integral diverges (a power p <= −1 and offset 0).

        Examples
        --------
        >>> from curse_of_memory.theory.bias import power
        >>> power(0).sampled(4, normalize="sum")
        array([0.4, 0.3, 0.2, 0.1])
        """
        if offset not in (0, 1):
            raise ValueError(f"offset must be 0 or 1, got {offset!r}")
        _check_normalize(normalize)
        times = steps(horizon, dt)
        lags = dt * (np.arange(horizon) + offset)
        if normalize is None:
            return self(lags, times[-1])
        return _normalized(self._relative_integral(lags, times[-1]), normalize)

    def head_tail_ratio(self, horizon: int, dt: float = 1.0) -> float:
        """Return b_0 / b_{T−1} of the discrete bias: how much more an error at lag 0 costs than at the last.

        About T/(p+1) for w = t^p; inf where that exceeds double precision.
        """
        with np.errstate(divide="ignore", over="ignore"):
            return float(1 / self.discrete(horizon, dt, normalize="head")[-1])

    def mean_lag(self, horizon: int, dt: float = 1.0) -> float:
        """Return Σ s b_s / Σ b_s of the discrete bias, in steps; about T(p+2)/(2(p+3)) for w = t^p."""
        return float(np.arange(horizon) @ self.discrete(horizon, dt, normalize="sum"))


def steps(horizon: int, dt: float) -> np.ndarray:
    """Return the times dt, 2 dt, ..., horizon dt.

    Examples
    --------
    >>> steps(3, 0.5)
    array([0.5, 1. , 1.5])
    """
    return checks.positive("dt", dt) * np.arange(1, checks.positive_int("horizon", horizon) + 1)


@lru_cache
def _integrated(weight: sympy.Expr) -> sympy.Expr | None:
    integral = sympy.integrate(weight, (t, s, T))
    return None if integral.has(sympy.Integral) else integral


def _finite(values: np.ndarray, name: str) -> np.ndarray:
    if not np.isfinite(values).all():
        raise OverflowError(f"w = {name} exceeds double precision here; normalised values do not")
    return values


def _not_all_zero(values: np.ndarray, name: str) -> np.ndarray:
    if not values.any():
        raise OverflowError(f"w = {name} is below double precision at every step; normalised values are not")
    return values


def _lags(s: ArrayLike, T: float) -> np.ndarray:
    s = checks.finite_array("s", s)
    if s.min() < 0 or s.max() > T:
        raise ValueError(f"s must be in [0, T = {T:g}], got {s.min():g} to {s.max():g}")
    return s


def _check_normalize(normalize: str | None) -> None:
    if normalize is not None:
        checks.one_of("normalize", normalize, ("sum", "head"))


def _normalized(b: np.ndarray, normalize: str | None) -> np.ndarray:
    if normalize == "sum":
        return b / b.sum()
    return b / b[0] if normalize == "head" else b
