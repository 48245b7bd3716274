"""The poles of a diagonal linear RNN as a function of its free weights, their ranges and stability radii.

A mode e^{f(w) t} has the multiplier z at each step of a recurrence, and the exponent κ = f(w) in continuous
time; either is called its pole here.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from curse_of_memory.theory.reparameterization.first_exit import first_exit
from curse_of_memory.theory.reparameterization.ranges import Range, bounded_by, value_range
from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
from curse_of_memory.tools import checks

__all__ = ["STEPS", "UNCERTIFIED", "PoleMap"]

STEPS = ("exponential", "euler")
UNCERTIFIED = (
    "no certificate: {name!r} does not go through interval arithmetic; write it with the functions of x, or "
    "give all its turns"
)
# where a map is sampled that neither declares its turns nor takes intervals
_LOOKED_AT = np.geomspace(1e-6, 1e6, 7201)
_INVERTED = 1e-6
_FASTEST = 1e300
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
        """Whether the multiplier of a step is affine in f instead of e^{f dt}."""
        return self.step == "euler" or self.f.time == "discrete"

    def weights(self, rates: np.ndarray) -> np.ndarray:
        """Return the free weights whose modes are e^{−λt} on the grid, checking that f takes them there."""
        recurrent = np.expm1(-rates * self.dt) / self.dt if self.multiplies else -rates
        w = np.asarray(self.f.free_weight(recurrent, self.dt), dtype=float)
        with np.errstate(all="ignore"):
            # w is rounded, and what comes before f within it
            near = w * (1 + 64 * np.finfo(float).eps * np.array([[-1.0], [0.0], [1.0]]))
            below, back, above = self.f.recurrent_weight(near, self.dt)
            lost = np.nan_to_num(np.abs(above - below), posinf=0.0)
        if not (np.abs(back - recurrent) <= _INVERTED * np.abs(recurrent) + lost).all():
            raise ValueError(
                f"free of {self.f.name!r} must be the inverse of its definition, but is not at {rates}"
            )
        return w

    def _change(self, w: np.ndarray | np.float64) -> np.ndarray:
        """Return dt f(w), which is z − 1 if :attr:`multiplies`."""
        return self.dt * self.f.recurrent_weight(w, self.dt)

    def pole(self, w: np.ndarray) -> np.ndarray:
        """Return the pole of each free weight: z, or κ in continuous time."""
        with np.errstate(all="ignore"):
            return self._of_value(self.f.value(w))

    def _of_value(self, value: np.ndarray) -> np.ndarray:
        """Return the pole that belongs to a value of the definition of f."""
        with np.errstate(all="ignore"):
            if self.f.time == "discrete":
                return 1 - value
            if self.continuous:
                # an exponent beyond double precision is that of a mode which is gone at once
                return np.clip(value, -_FASTEST, _FASTEST)
            return 1 + self.dt * value if self.multiplies else np.exp(self.dt * value)

    def slope(self, w: np.ndarray) -> np.ndarray:
        """Return the derivative of the pole with respect to the weight."""
        with np.errstate(all="ignore"):
            slope = np.broadcast_to(self._derivative(w), np.shape(w))
            if self.continuous or self.f.time == "discrete":
                return slope
            return self.dt * slope * (1.0 if self.multiplies else self.pole(w))

    def _derivative(self, w: np.ndarray) -> np.ndarray:
        """Return f'(w), by finite differences where the formula cannot be differentiated."""
        try:
            return self.f.derivative(w)
        # what a formula raises that is given a symbol is not known
        except Exception:
            step = 1e-6 * np.maximum(1.0, np.abs(w))
            return (self.f.f(w + step) - self.f.f(w - step)) / (2 * step)

    def range(self, w: np.ndarray, beta: float) -> Range:
        """Return bounds of the poles of the weights within `beta` of each `w`, and where they are reached."""
        values = value_range(self.f, w - beta, w + beta)
        low, high = self._of_value(values.low), self._of_value(values.high)
        if self.f.time == "discrete":  # there the value is 1 − f
            return Range(high, low, values.at_high, values.at_low, values.certified)
        return Range(low, high, values.at_low, values.at_high, values.certified)

    def inside(self, w: np.ndarray, beta: float) -> bool:
        """Whether f is defined at every weight within `beta` of `w`."""
        low, high = self.f.domain
        return bool((w - beta > low).all() and (w + beta < high).all())

    def _decays(self, w: np.ndarray | np.float64) -> np.ndarray:
        with np.errstate(all="ignore"):
            change = self._change(w)
        return (change < 0) & (change > -2) if self.multiplies else change < 0

    def is_stable(self, w: np.ndarray | np.float64) -> np.ndarray:
        """Return for each weight whether its mode decays."""
        with np.errstate(all="ignore"):
            change = self._change(w)
        decays = self._decays(w)
        # a stable f that is rounded to its limit has not become unstable
        limit = (change == 0) | ((change == -2) & (self.f.time == "discrete"))
        return decays | (limit & self.f.is_stable)

    def radius(self, w: np.ndarray) -> np.ndarray:
        """Return the distance of each weight to the nearest one that is unstable, or outside the domain.

        For a map known by samples alone it is the largest distance that they do not contradict.
        """
        return np.array([min(self._reach(x, -1), self._reach(x, 1)) for x in np.atleast_1d(w)])

    @property
    def certified(self) -> bool:
        """Whether ranges and radii are proved; else they rest on samples."""
        return bounded_by(self.f) != "samples"

    def _reach(self, w: float, side: int) -> float:
        """Return how far `w` can move to one side before it is unstable or leaves the domain."""
        if not self.is_stable(np.float64(w)):
            return 0.0  # slower than double precision tells from not decaying
        if bounded_by(self.f) == "intervals":
            low, high = self.f.stable_values
            if self.step == "euler" and self.f.time == "continuous":
                low = -2 / self.dt
            return first_exit(self.f, w, side, (low, high))
        turns = _sampled_turns(self.f) if self.f.turns is None else self.f.turns
        return self._reach_between(turns, w, side)

    def _reach_between(self, turns: tuple[float, ...], w: float, side: int) -> float:
        """Return how far `w` can move to one side, for an f that is monotone between `turns`."""
        edge = self.f.domain[0 if side < 0 else 1]
        stops = sorted(side * (turn - w) for turn in turns)
        end = side * (edge - w) if math.isfinite(edge) else _FAR * max(1.0, abs(w))
        good = 0.0
        for stop in [*(x for x in stops if 0 < x < end), end]:
            if stop < end:
                stable = self._decays(np.float64(w + side * stop)) and not self._touches(w + side * stop)
            else:
                stable = not math.isfinite(edge) and self.is_stable(np.float64(w + side * stop))
            if stable:
                good = stop
                continue
            if stop < end and self._touches(w + side * stop):
                return stop
            return self._first_unstable(w, side, good, stop)
        return math.inf

    def _touches(self, w: float) -> bool:
        """Whether the mode of `w` is on the edge of instability, up to rounding."""
        change = float(self._change(np.float64(w)))
        return change == 0 or (self.multiplies and abs(change + 2) <= 8 * np.finfo(float).eps)

    def _first_unstable(self, w: float, side: int, good: float, bad: float) -> float:
        while good < (middle := (good + bad) / 2) < bad:
            if self.is_stable(np.float64(w + side * middle)):
                good = middle
            else:
                bad = middle
        return bad


@lru_cache
def _sampled_turns(f: Reparameterization) -> tuple[float, ...]:
    """Return the weights at which samples of f turn; turns between neighbouring samples are missed."""
    grid = np.unique(np.concatenate([-_LOOKED_AT, [0.0], _LOOKED_AT]))
    grid = grid[(grid > f.domain[0]) & (grid < f.domain[1])]
    with np.errstate(all="ignore"):
        values = f.value(grid)
    known = np.isfinite(values)
    grid, steps = grid[known], np.sign(np.diff(values[known]))
    moving = np.flatnonzero(steps)
    turned = moving[1:][np.diff(steps[moving]) != 0]
    return tuple(float(x) for x in grid[turned])
