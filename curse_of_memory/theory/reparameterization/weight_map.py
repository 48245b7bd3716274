"""The map λ = f(w) from a free weight to a recurrent weight, its inverse, derivative and stability.

In continuous time f(w) is the eigenvalue of dh/dt = f(w) h, per unit time; in discrete time it is the
multiplier of a step, h ← f(w) h. A reparameterisation is stable (StableSSM (2311.14495), definition 3.4)
if a weight that is off by β changes the memory little, however long that is: with a continuous g, g(0) = 0,

    sup_w |f(w)| sup_{|w̃ − w| <= β} ∫_0^∞ |e^{f(w̃) t} − e^{f(w) t}| dt <= g(β) .

The maps of the papers are in `curse_of_memory.reparameterizations`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any, TypedDict

import numpy as np
import sympy

from curse_of_memory.theory.reparameterization.intervals import Interval
from curse_of_memory.theory.reparameterization.namespaces import evaluated, functions_for, is_symbolic
from curse_of_memory.theory.reparameterization.rate_modulus import rate_modulus
from curse_of_memory.tools import checks

__all__ = ["Formula", "MapOptions", "Reparameterization", "w"]

w = sympy.Symbol("w", real=True)
"""The free weight in `Reparameterization.formula`."""
_W = w  # where an argument is called w

TIMES = ("continuous", "discrete")
REALS = (-math.inf, math.inf)
_FARTHEST = 1e6
_LOOKED_AT = np.concatenate([-np.geomspace(_FARTHEST, 1e-6, 721), [0.0], np.geomspace(1e-6, _FARTHEST, 721)])
# numpy, torch, sympy and intervals go through the same formula, each with its own functions
Formula = Callable[[Any, Any], Any]


class MapOptions(TypedDict, total=False):
    """The optional arguments of :class:`Reparameterization`."""

    time: str
    slope: Formula | None
    free: Formula | None
    domain: tuple[float, float]
    image: tuple[float, float]
    modulus: Callable[[float], float] | None
    ratio: Formula | None
    turns: tuple[float, ...] | None


@dataclass(frozen=True)
class Reparameterization:
    """The map f from a free weight w to a recurrent weight, element by element.

    A formula is a function of (x, w), `x` being the elementary functions of numpy, torch or sympy, whichever
    `w` belongs to, under their array-API names: ``lambda x, w: -x.exp(w)``. It is evaluated on intervals of
    weights, too: so certificates (`worst_case_error`, `stability_radius`) learn where f rises and falls. Of a
    formula that cannot be, since it calls other functions than those of `x`, they need `turns`.

    Parameters
    ----------
    name : str
        What tables and arguments call it.
    definition : callable
        ``(x, w) -> f(w)`` in continuous time; in discrete time ``(x, w) -> 1 − f(w)``, since a memory lasts
        1/(1 − f) steps and a multiplier near one would round that away.
    time : {'continuous', 'discrete'}
        Whether f(w) is an eigenvalue, per unit time, or the multiplier of a step.
    slope : callable, optional
        ``(x, w) -> f'(w)``; derived by sympy unless given.
    free : callable, optional
        ``(x, v) -> w``, the inverse of `definition`; w >= 0 if f is even.
    domain : tuple of float
        The open interval of w in which f is defined.
    image : tuple of float
        (low, high): f takes values from low to below high.
    modulus : callable, optional
        β -> g(β) in closed form; numerical unless given.
    ratio : callable, optional
        ``(x, w) -> |f'(w)|/f(w)²``, or |f'(w)|/(1 − f(w))² if discrete, where the quotient would overflow.
    turns : tuple of float, optional
        All weights at which f turns from rising to falling or back: a promise that f is continuous, and
        monotone between neighbours. Certificates rest on it; samples that contradict it are refused.

    Raises
    ------
    ValueError
        For an unknown `time`, an empty domain, or `turns` that are not increasing, not in the domain, or
        contradicted by values of f.

    Examples
    --------
    >>> cubic = Reparameterization("cubic", lambda x, w: -(w**3), domain=(0.0, math.inf))
    >>> float(cubic.derivative(2.0)), cubic.is_stable
    (-12.0, False)
    """

    name: str
    definition: Formula
    time: str = "continuous"
    slope: Formula | None = None
    free: Formula | None = None
    domain: tuple[float, float] = REALS
    image: tuple[float, float] = (-math.inf, 0.0)
    modulus: Callable[[float], float] | None = None
    ratio: Formula | None = None
    turns: tuple[float, ...] | None = None

    def __post_init__(self):
        checks.one_of("time", self.time, TIMES)
        if not self.domain[0] < self.domain[1]:
            raise ValueError(f"domain must be an open interval (low, high), got {self.domain!r}")
        if self.turns is not None:
            object.__setattr__(self, "turns", self._checked_turns(self.turns))

    def _checked_turns(self, given: tuple[float, ...]) -> tuple[float, ...]:
        """Return `turns` as floats, if the values of f do not contradict them."""
        low, high = self.domain
        turns = [checks.real("turns", turn) for turn in given]
        edges = [low, *turns, high]
        if any(a >= b for a, b in pairwise(edges)):
            raise ValueError(f"turns must increase within the domain {self.domain}, got {self.turns!r}")
        for a, b in pairwise(edges):
            piece = np.unique(np.clip(_LOOKED_AT, max(a, -_FARTHEST), min(b, _FARTHEST)))
            if math.isfinite(a) and math.isfinite(b):
                piece = np.union1d(piece, np.linspace(a, b, 401))
            piece = piece[(piece > low) & (piece < high)]
            with np.errstate(all="ignore"):
                values = self.value(piece)
                values = values[np.isfinite(values)]
            steps, noise = np.diff(values), 1e-12 * np.abs(values).max(initial=0.0)
            if (steps > noise).any() and (steps < -noise).any():
                raise ValueError(
                    f"turns {self.turns!r} of {self.name!r} are not all: f turns between {a} and {b}"
                )
        return tuple(turns)

    @property
    def formula(self) -> sympy.Expr:
        """The sympy expression f(w) in the symbol ``w``."""
        return self.f(w)

    def f(self, w: Any) -> Any:
        """Return f(w) as a numpy array, torch tensor or sympy expression, whichever `w` is."""
        value = self.value(w)
        return value if self.time == "continuous" else 1 - value

    def value(self, w: Any) -> Any:
        """Return the value of `definition`, f(w) or in discrete time 1 − f(w), in the type of `w`."""
        w = _argument(w)
        value = self.definition(functions_for(w), w)
        return sympy.nsimplify(value, rational=True) if is_symbolic(w) else value

    @property
    def stable_values(self) -> tuple[float, float]:
        """The open interval of values of `definition` whose modes decay."""
        return (-math.inf, 0.0) if self.time == "continuous" else (0.0, 2.0)

    def gap(self, w: Any) -> Any:
        """Return 1 − f(w) without cancellation, for a discrete-time f."""
        if self.time != "discrete":
            raise ValueError(f"gap is one minus the multiplier of a step, but {self.name!r} is continuous")
        return self.value(w)

    def derivative(self, w: Any) -> Any:
        """Return f'(w), in the type of `w` as for :meth:`f`."""
        w = _argument(w)
        if self.slope is not None:
            # parts may overflow whose product does not, as in exp(w − exp(w))
            with np.errstate(over="ignore", divide="ignore"):
                return self.slope(functions_for(w), w)
        if is_symbolic(w):
            return self._derived.subs(_W, w)
        return evaluated(self._derived, _W, w)

    @cached_property
    def _derived(self) -> sympy.Expr:
        return sympy.diff(self.formula, _W)

    def inverse(self, lam: Any) -> Any:
        """Return the w with f(w) = `lam`, in the type of `lam`.

        Raises
        ------
        ValueError
            If `lam` is not in the image of f; says what that is.
        NotImplementedError
            If no inverse was given.
        """
        lam = _argument(lam)
        return self._inverse(lam, lam if self.time == "continuous" else 1 - lam)

    def recurrent_weight(self, w: Any, dt: float) -> Any:
        """Return W of the step h ← h + `dt` W h, per unit time: f(`w`), or (f(`w`) − 1)/dt if discrete."""
        value = self.value(w)
        return value if self.time == "continuous" else -value / dt

    def free_weight(self, recurrent: Any, dt: float) -> Any:
        """Return the w whose :meth:`recurrent_weight` at `dt` is `recurrent`; errors as :meth:`inverse`."""
        recurrent = _argument(recurrent)
        if self.time == "continuous":
            return self._inverse(recurrent, recurrent)
        return self._inverse(1 + dt * recurrent, -dt * recurrent)

    def fastest(self, dt: float) -> float:
        """Return the largest decay rate −W over the recurrent weights W of steps `dt`, per unit time."""
        low = self.image[0]
        return -low if self.time == "continuous" else (1 - low) / dt

    def gradient_over_weight(self, w: Any) -> Any:
        """Return |f'(w)|/f(w)², or |f'(w)|/(1 − f(w))² if discrete.

        The gradient of the loss with respect to w is at most a constant times this (StableSSM
        (2311.14495), Theorem 3.6); in discrete time only where f(w) >= 0. For a negative multiplier the bound
        has 1 − |f(w)| in place of 1 − f(w), and is larger: :func:`curse_of_memory.nn.gradient_bounds.reach`.
        Where it underflows it is 0, and where f(w) = 0 or a discrete-time f(w) = 1, a memory that never ends,
        it is infinite.
        """
        w = _argument(w)
        x = functions_for(w)
        with np.errstate(all="ignore"):
            if self.ratio is not None and not is_symbolic(w):
                return self.ratio(x, w)
            value = self.value(w)
            ratio = x.abs(self.derivative(w) / value / value)
        if is_symbolic(w):
            return ratio
        # inf/inf is of what grew beyond all numbers, 0/0 of what fell below them
        ratio = x.where(x.isinf(value), x.zeros_like(ratio), ratio)
        return x.where(value == 0, math.inf * x.ones_like(ratio), ratio)

    def g(self, beta: float) -> float:
        """Return the modulus g(β), inf if a weight off by `beta` may be unstable, or if it overflows.

        For real f < 0 g is sup |f(w)/f(w̃) − 1| over all w and |w̃ − w| <= β. In discrete time |f(w)| and
        the integral become 1 − |f(w)| and a sum over steps.

        Raises
        ------
        ValueError
            If `beta` is negative, NaN or infinite.
        """
        beta = checks.non_negative("beta", beta)
        if beta == 0:
            return 0.0
        if self.modulus is None:
            return rate_modulus(self, beta)
        try:
            return float(self.modulus(beta))
        except OverflowError:
            return math.inf

    @property
    def is_stable(self) -> bool:
        """Whether g is finite for all β, checked up to β = 2, and tends to 0 with β."""
        return math.isfinite(self.g(2.0)) and self.g(1e-6) < 1e-3

    def _inverse(self, lam, value):
        if self.free is None:
            raise NotImplementedError(
                f"reparameterisation {self.name!r} was made without `free`, its inverse"
            )
        x = functions_for(value)
        if is_symbolic(value):
            return self.free(x, value)
        with np.errstate(all="ignore"):
            weight = self.free(x, value)
        low, high = self.image
        if not bool(x.all((lam >= low) & (lam < high) & x.isfinite(weight))):
            raise ValueError(
                f"{self.name!r} takes values from {low:g} to below {high:g}, got {_extremes(lam)}"
            )
        return weight


def _argument(w: Any) -> Any:
    """Return the argument of a formula: numbers as an array, everything else as it is."""
    if is_symbolic(w) or isinstance(w, Interval) or hasattr(w, "dtype"):
        return w
    return np.asarray(w, dtype=float)


def _extremes(values) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
