"""From the free weights of a diagonal linear RNN to its poles, and how far they are from instability.

A mode e^{f(w) t} is seen at the steps of a recurrence as powers of its multiplier z, or in continuous
time through its exponent κ; either is called the pole here.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import brentq

from curse_of_memory import checks
from curse_of_memory.theory.maps.weight_map import Reparameterization

__all__ = ["STEPS", "PoleMap"]

STEPS = ("exponential", "euler")
# where the sign of f' is looked at: turning points closer together than 8 % of their size are not told apart
_LOOKED_AT = np.geomspace(1e-6, 1e6, 361)
_FAR = 1e9


@dataclass(frozen=True)
class PoleMap:
    """The poles of the modes e^{f(w) t}, as a function of their free weights.

    Parameters
    ----------
    f : Reparameterization
        The map from free weight to recurrent weight.
    dt : float
        Time step.
    step : {'exponential', 'euler'}
        The multiplier of a step is z = e^{f(w) dt}, or z = 1 + dt f(w) as in ``nn.RNN``. A discrete-time f
        is the multiplier itself.
    continuous : bool
        Poles are exponents κ = f(w) instead of multipliers.

    Examples
    --------
    >>> from curse_of_memory.theory.reparameterization import get
    >>> poles = PoleMap(get("direct"), dt=1.0, step="euler")
    >>> w = poles.weights(np.array([0.1]))
    >>> float(-np.log(poles.pole(w))[0].round(12)), float(poles.radius(w)[0].round(6))
    (0.1, 0.095163)
    """

    f: Reparameterization
    dt: float
    step: str = "exponential"
    continuous: bool = False

    def __post_init__(self):
        checks.one_of("step", self.step, STEPS)
        if self.continuous and self.multiplies:
            raise ValueError(
                "horizon=None is continuous time: it takes step='exponential' and a continuous "
                f"parameterization, got step={self.step!r} and {self.f.name!r}"
            )

    @property
    def multiplies(self) -> bool:
        """Whether the multiplier of a step is affine in f, not its exponential."""
        return self.step == "euler" or self.f.time == "discrete"

    def weights(self, rates: np.ndarray) -> np.ndarray:
        """Return the free weights whose modes are e^{−λt} on the grid."""
        if self.multiplies:
            return self.f.free_weight(np.expm1(-rates * self.dt) / self.dt, self.dt)
        return self.f.inverse(-rates)

    def _change(self, w: np.ndarray) -> np.ndarray:
        """Return dt f(w), or z − 1 where that is the same or the definition."""
        return self.dt * self.f.recurrent_weight(w, self.dt)

    def pole(self, w: np.ndarray) -> np.ndarray:
        """Return κ, or z, of each free weight."""
        with np.errstate(over="ignore", under="ignore"):
            change = self._change(w)
            if self.continuous:
                return change / self.dt
            return 1 + change if self.multiplies else np.exp(change)

    def slope(self, w: np.ndarray) -> np.ndarray:
        """Return the derivative of the pole with respect to the weight."""
        with np.errstate(over="ignore", under="ignore"):
            slope = np.broadcast_to(self.f.derivative(w), np.shape(w))
            if self.continuous or self.f.time == "discrete":
                return slope
            return self.dt * slope * (1.0 if self.multiplies else self.pole(w))

    def ends(self, w: np.ndarray, beta: float) -> tuple[np.ndarray, np.ndarray]:
        """Return the weights within `beta` of `w` that have the lowest and the highest pole."""
        turns = turning_points(self.f)
        tried = [w - beta, w + beta, *(np.clip(turn, w - beta, w + beta) for turn in turns)]
        tried = np.array(tried)
        poles = self.pole(tried)
        return tuple(np.take_along_axis(tried, at(poles, 0)[None], 0)[0] for at in (np.argmin, np.argmax))

    def inside(self, w: np.ndarray, beta: float) -> bool:
        """Whether f is defined at every weight within `beta` of `w`."""
        low, high = self.f.domain
        return bool((w - beta > low).all() and (w + beta < high).all())

    def is_stable(self, w: np.ndarray) -> np.ndarray:
        """Whether the mode of each weight decays."""
        with np.errstate(all="ignore"):
            change = self._change(w)
        decays = (change < 0) & (change > -2) if self.multiplies else change < 0
        # a stable f that is rounded to its limit has not become unstable
        limit = (change == 0) | ((change == -2) & (self.f.time == "discrete"))
        return decays | (limit & self.f.is_stable)

    def radius(self, w: np.ndarray) -> np.ndarray:
        """Return how far each weight is from the nearest one that is not stable, or not in the domain."""
        return np.array([min(self._reach(x, -1), self._reach(x, 1)) for x in np.atleast_1d(w)])

    def _reach(self, w: float, side: int) -> float:
        """Return how far `w` can move to one side; f is monotone between the stops."""
        edge = self.f.domain[0 if side < 0 else 1]
        stops = sorted(side * (turn - w) for turn in turning_points(self.f))
        end = side * (edge - w) if math.isfinite(edge) else _FAR * max(1.0, abs(w))
        good = 0.0
        for stop in [*(x for x in stops if 0 < x < end), end]:
            unknown = stop == end and math.isfinite(edge)
            if not unknown and self.is_stable(np.float64(w + side * stop)):
                good = stop
                continue
            if stop < end and self._touches(w + side * stop):
                return stop
            return self._first_unstable(w, side, good, stop)
        return math.inf

    def _touches(self, w: float) -> bool:
        """Whether a multiplier turns back at −1: near there, all weights round to it."""
        return self.multiplies and abs(float(self._change(np.float64(w))) + 2) <= 8 * np.finfo(float).eps

    def _first_unstable(self, w: float, side: int, good: float, bad: float) -> float:
        while good < (middle := (good + bad) / 2) < bad:
            if self.is_stable(np.float64(w + side * middle)):
                good = middle
            else:
                bad = middle
        return bad


@lru_cache
def turning_points(f: Reparameterization) -> tuple[float, ...]:
    """Return the weights at which f turns from falling to rising or back.

    Examples
    --------
    >>> from curse_of_memory.theory.reparameterization import get
    >>> turning_points(get("softplus")), turning_points(get("best"))
    ((), (0.0,))
    """
    grid = np.unique(np.concatenate([-_LOOKED_AT, [0.0], _LOOKED_AT]))
    grid = grid[(grid > f.domain[0]) & (grid < f.domain[1])]
    with np.errstate(all="ignore"):
        slope = np.nan_to_num(np.broadcast_to(f.derivative(grid), grid.shape))
    seen = np.flatnonzero(slope)
    grid, sign = grid[seen], np.sign(slope[seen])
    turns = []
    for i in np.flatnonzero(sign[1:] != sign[:-1]):
        turns.append(brentq(lambda x: float(f.derivative(np.float64(x))), grid[i], grid[i + 1], xtol=1e-15))
    return tuple(turns)
