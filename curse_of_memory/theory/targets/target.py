"""A memory function ρ(t) and its decay: values, tails ∫_t^∞|ρ|, norms, sampling grid, label.

H_t(x) = ∫_0^∞ ρ(s) x_{t−s} ds with ρ in L¹ and ‖H‖ = ‖ρ‖_{L¹} (Riesz; Curse of memory
(2009.07799), IAT (2305.19190)). ρ is a density per unit time on t >= 0.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import partial

import numpy as np
import sympy
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.formulas import mathtext
from curse_of_memory.theory.quadrature import integrals_to, largest_magnitude
from curse_of_memory.theory.targets.analytic import (
    GAUSS,
    LARGEST_TIME,
    absolute_integrals,
    gauss_bound,
    largest_value,
    octaves,
)
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.lagged import causal_times, lag_grid
from curse_of_memory.theory.targets.panels import resolved
from curse_of_memory.tools import checks

__all__ = ["Target", "t"]

t = sympy.Symbol("t", nonnegative=True)
"""The time in `Target.formula`."""


@dataclass(frozen=True)
class Target(ABC):
    """A memory function ρ(t), t >= 0: values, tails, norms.

    Families live in `curse_of_memory.targets`. A subclass gives `_values`; where it has a closed
    form of the tail or a norm it replaces the numerical one of this class.

    Attributes
    ----------
    name : str
        What legends call it.
    formula : sympy.Expr or None
        ρ in the nonnegative symbol ``t``; None for an opaque callable.
    decay : Decay
        How fast it forgets.
    """

    name: str
    formula: sympy.Expr | None
    decay: Decay

    @abstractmethod
    def _values(self, t: np.ndarray) -> np.ndarray:
        """Return ρ(t) for checked t."""

    def _tail(self, t: np.ndarray) -> np.ndarray:
        """Return ∫_t^∞ |ρ| for checked t."""
        return np.full(t.shape, math.inf) if self._diverges(1.0) else self._integrals(t, 1)

    def _energy(self, t: np.ndarray) -> np.ndarray:
        """Return ∫_t^∞ ρ² for checked t."""
        return np.full(t.shape, math.inf) if self._diverges(0.5) else self._integrals(t, 2)

    def _integrals(self, t: np.ndarray, power: int) -> np.ndarray:
        what = f"{'|rho|' if power == 1 else 'rho^2'} of {self.name}"
        if self.certified:
            return absolute_integrals(
                lambda u: self._values(u) ** power,
                lambda *rectangle: self._magnitude(*rectangle) ** power,
                t,
                self.edges,
                what,
                signed=power == 1,
            )

        def size(u):
            return np.abs(self._values(u)) ** power

        return integrals_to(size, t, math.inf, what, self.features, self.last)

    def _l2(self) -> float:
        return math.sqrt(float(self._energy(np.zeros(()))))

    def _peak(self) -> float:
        if self.certified:
            return largest_value(self._values, self._magnitude, self.edges, self.name)
        return largest_magnitude(self._values, self.features, self.last)

    def _label(self, symbol: str) -> str:
        if self.formula is None:
            return self.name
        try:
            return f"${mathtext(self.formula.subs(t, sympy.Symbol(symbol)))}$"
        except ValueError:
            return self.name

    def _magnitude(self, low: np.ndarray, high: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Return a bound of |ρ(z)| for low <= Re z <= high, |Im z| <= height; inf where ρ has none.

        Where ρ is pieced together at :attr:`breaks`, it holds for the continuation of every piece.
        """
        return np.full(low.shape, math.inf)

    @property
    def certified(self) -> bool:
        """Whether tails and norms are certified, by closed forms or by bounds of |ρ| in the complex plane.

        If not, they are estimates from samples, which may miss a narrow feature.
        """
        return type(self)._magnitude is not Target._magnitude

    @property
    def closed(self) -> bool:
        """Whether tails are closed forms, exact to rounding; if not, they are good to 1e-8."""
        return type(self)._tail is not Target._tail

    @property
    def breaks(self) -> tuple[float, ...]:
        """The times at which ρ or a derivative jumps."""
        return ()

    @property
    def features(self) -> tuple[tuple[float, float], ...]:
        """Pairs (time, width) of narrow features of ρ, around which samples are placed closely."""
        return ()

    @property
    def last(self) -> float:
        """The largest power of two up to which ρ can be evaluated, at most 2^1000."""
        return LARGEST_TIME

    @property
    def edges(self) -> np.ndarray:
        """Edges of the panels of quadratures: powers of two up to `last`, and `breaks`."""
        powers = octaves()
        return np.unique(np.concatenate([powers[powers <= self.last], self.breaks]))

    def _diverges(self, exponent: float) -> bool:
        if self.decay.kind == "polynomial" and self.decay.rate is not None:
            return self.decay.rate <= exponent
        return self.decay.kind == "none"

    def panels(self, edges: np.ndarray) -> np.ndarray:
        """Return a refinement of `edges` on whose panels 16 Gauss points integrate ρ and ρ².

        The error of a panel is at most 1e-13 of the integral of ρ² where the target is `certified`; of others
        it is estimated, to 1e-10, by comparison with a scan that sees what :func:`from_callable` says.

        Parameters
        ----------
        edges : numpy.ndarray
            Ascending times.

        Raises
        ------
        ArithmeticError
            If that takes more than 4000 panels.
        """
        stop = edges[-1]
        kinks = [at for at, width in self.features if not width]
        breaks = np.array([at for at in (*self.breaks, *kinks) if edges[0] < at < stop])
        start = np.unique(np.concatenate([edges, breaks]))
        off = self._certified_off if self.certified else partial(self._sampled_off, stop)
        return resolved(start, self._values, off, 1e-13 if self.certified else 1e-10, self.name)

    def _certified_off(self, low: np.ndarray, high: np.ndarray, _: np.ndarray) -> np.ndarray:
        """Return how far Gauss sums of ρ, and of ρ², are at most from their integrals, panel by panel."""
        nodes = GAUSS[0].size
        squares = gauss_bound(lambda *at: self._magnitude(*at) ** 2, low, high, nodes)
        return np.maximum(gauss_bound(self._magnitude, low, high, nodes), squares)

    def _sampled_off(self, stop: float, low: np.ndarray, high: np.ndarray, sums: np.ndarray) -> np.ndarray:
        """Return how far the Gauss `sums` of ρ² are from the integrals of a finer scan, panel by panel."""
        ends, name = np.unique(np.concatenate([low, high])), f"rho^2 of {self.name}"
        tails = integrals_to(lambda u: self._values(u) ** 2, ends, stop, name, self.features)
        return np.abs(tails[np.searchsorted(ends, low)] - tails[np.searchsorted(ends, high)] - sums)

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return ρ(t).

        Parameters
        ----------
        t : array_like
            Times >= 0, any shape.

        Returns
        -------
        numpy.ndarray
            ρ(t), float64, shaped like `t`, per unit time.

        Raises
        ------
        ValueError
            If a time is negative (ρ is the kernel of a causal map), NaN or infinite.
        """
        return self._values(causal_times(t))[()]

    def label(self, symbol: str = "t") -> str:
        """Return the formula as LaTeX that matplotlib draws, such as ``$(1+t/10)^{-1.1}$``; else the name.

        The name stands for what has no formula, or one with functions that `formulas.mathtext` cannot write.

        Parameters
        ----------
        symbol : str
            What the time is called, in LaTeX.

        Raises
        ------
        TypeError
            If `symbol` is no text.

        Examples
        --------
        >>> from curse_of_memory.theory.targets import exponential
        >>> exponential(0.4).label(), exponential(0.05).label("s")
        ('$e^{-0.4t}$', '$e^{-s/20}$')
        """
        if not isinstance(symbol, str):
            raise TypeError(f"symbol must be text, got {checks.shown(symbol)}")
        return self._label(symbol)

    def tail(self, t: ArrayLike) -> np.ndarray:
        """Return ∫_t^∞ |ρ(s)| ds: what a memory cut at t forgets, in the L¹ norm.

        Parameters
        ----------
        t : array_like
            Times >= 0, any shape.

        Returns
        -------
        numpy.ndarray
            Tails, shaped like `t`; inf where the integral is known to diverge.

        Raises
        ------
        ValueError
            If a time is negative, NaN or infinite.
        ArithmeticError
            If there is no closed form and the integral does not settle to 1e-8.
        """
        return self._tail(causal_times(t))[()]

    def norm(self, order: float) -> float:
        """Return the L^order norm of ρ on [0, ∞).

        Parameters
        ----------
        order : {1, 2, math.inf}
            ∫|ρ|, (∫ρ²)^{1/2}, or sup|ρ|. Good to 1e-8 where the target is `certified`. Otherwise they
            are estimates from samples, which miss features narrower than t/1000 that are not among
            `features`; the supremum is then the largest sampled value, a lower bound.

        Raises
        ------
        ValueError
            If `order` is another number.
        ArithmeticError
            If there is no closed form and the integral does not settle to 1e-8.
        """
        if np.ndim(order):
            raise TypeError(f"order must be 1, 2 or math.inf, got {checks.shown(order)}")
        if order == 1:
            return float(self._tail(np.zeros(())))
        if order == 2:
            return float(self._l2())
        if order == math.inf:
            return float(self._peak())
        raise ValueError(f"order must be 1, 2 or math.inf, got {order!r}")

    def on_grid(self, horizon: int, dt: float = 1.0) -> xr.DataArray:
        """Return ρ at the lags 0, dt, ..., (horizon − 1) dt.

        Parameters
        ----------
        horizon : int
            How many lags.
        dt : float
            Time step.

        Returns
        -------
        xarray.DataArray
            Values over ``lag`` (in time units); still a density: sums over it want a factor `dt`.
        """
        dt = checks.positive("dt", dt)
        lags = dt * np.arange(checks.positive_int("horizon", horizon))
        return lag_grid(self._values(lags), dt, "rho")
