"""The map λ = f(w) from a free weight to a recurrent weight, and how stable it is.

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

import numpy as np
import sympy

from curse_of_memory import checks
from curse_of_memory.theory.maps.namespaces import functions_for, is_symbolic
from curse_of_memory.theory.maps.rate_modulus import rate_modulus

__all__ = ["Reparameterization", "w"]

w = sympy.Symbol("w", real=True)
"""The free weight in `Reparameterization.formula`."""
_W = w  # where an argument is called w

TIMES = ("continuous", "discrete")
REALS = (-math.inf, math.inf)
Formula = Callable[[object, object], object]


@dataclass(frozen=True)
class Reparameterization:
    """The map f from a free weight w to a recurrent weight, element by element.

    A formula is a function of (x, w), `x` being the elementary functions of numpy, torch or sympy, whichever
    `w` belongs to, under their array-API names: ``lambda x, w: -x.exp(w)``.

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

    Raises
    ------
    ValueError
        For an unknown `time` or an empty domain.

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

    def __post_init__(self):
        checks.one_of("time", self.time, TIMES)
        if not self.domain[0] < self.domain[1]:
            raise ValueError(f"domain must be an open interval (low, high), got {self.domain!r}")

    @property
    def formula(self) -> sympy.Expr:
        """The sympy expression f(w) in the symbol ``w``."""
        return self.f(w)

    def f(self, w):
        """Return f(w) as a numpy array, torch tensor or sympy expression, whichever `w` is."""
        value = self._value(w)
        return value if self.time == "continuous" else 1 - value

    def gap(self, w):
        """Return 1 − f(w) without cancellation, for a discrete-time f."""
        if self.time != "discrete":
            raise ValueError(f"gap is one minus the multiplier of a step, but {self.name!r} is continuous")
        return self._value(w)

    def derivative(self, w):
        """Return f'(w), in the type of `w` as for :meth:`f`."""
        w = _argument(w)
        if self.slope is not None:
            return self.slope(functions_for(w), w)
        if is_symbolic(w):
            return self._derived.subs(_W, w)
        x = functions_for(w)
        names = {name: getattr(x, name) for name in ("exp", "log", "tanh", "sqrt", "sign", "abs")}
        return sympy.lambdify(_W, self._derived, modules=[names])(w) + 0 * w

    @cached_property
    def _derived(self) -> sympy.Expr:
        return sympy.diff(self.formula, _W)

    def inverse(self, lam):
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

    def recurrent_weight(self, w, dt: float):
        """Return W of the step h ← h + `dt` W h, per unit time: f(`w`), or (f(`w`) − 1)/dt if discrete."""
        value = self._value(w)
        return value if self.time == "continuous" else -value / dt

    def free_weight(self, recurrent, dt: float):
        """Return the w whose :meth:`recurrent_weight` at `dt` is `recurrent`; errors as :meth:`inverse`."""
        recurrent = _argument(recurrent)
        if self.time == "continuous":
            return self._inverse(recurrent, recurrent)
        return self._inverse(1 + dt * recurrent, -dt * recurrent)

    def fastest(self, dt: float) -> float:
        """Return the largest decay rate that :meth:`recurrent_weight` at `dt` comes to, per unit time."""
        low = self.image[0]
        return -low if self.time == "continuous" else (1 - low) / dt

    def gradient_over_weight(self, w):
        """Return |f'(w)|/f(w)², or |f'(w)|/(1 − f(w))² if discrete.

        The gradient of the loss with respect to w is at most a constant times this (StableSSM
        (2311.14495), Theorem 3.6).
        """
        w = _argument(w)
        value = self._value(w)
        return functions_for(w).abs(self.derivative(w) / value / value)

    def g(self, beta: float) -> float:
        """Return g(β), inf where a weight that is off by `beta` may leave the stable ones.

        For real f < 0 it is sup |f(w)/f(w̃) − 1| over all w and |w̃ − w| <= β. In discrete time |f(w)| and
        the integral become 1 − |f(w)| and a sum over steps.

        Raises
        ------
        ValueError
            If `beta` is negative, NaN or infinite.
        """
        beta = checks.non_negative("beta", beta)
        if beta == 0:
            return 0.0
        return float(self.modulus(beta)) if self.modulus else rate_modulus(self, beta)

    @property
    def is_stable(self) -> bool:
        """Whether g is finite at every β (looked at up to β = 2) and tends to 0 with β."""
        return math.isfinite(self.g(2.0)) and self.g(1e-6) < 1e-3

    def _value(self, w):
        w = _argument(w)
        value = self.definition(functions_for(w), w)
        return sympy.nsimplify(value, rational=True) if is_symbolic(w) else value

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


def _argument(w):
    """Return what the formulas can work on: an array, tensor or expression as it is, numbers as an array."""
    if is_symbolic(w) or hasattr(w, "dtype"):
        return w
    return np.asarray(w, dtype=float)


def _extremes(values) -> str:
    low, high = float(values.min()), float(values.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
