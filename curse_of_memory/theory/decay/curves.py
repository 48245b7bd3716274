"""Memory curves as they are read: magnitudes over their maximum, what is above the noise, and crossings."""

import math
import sys
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.decay.classes import ABOVE_NOISE
from curse_of_memory.theory.decay.noise import own_floor
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks

__all__ = ["Curve", "curve_of", "last_above"]


@dataclass(frozen=True, eq=False)
class Curve:
    """A memory curve in units of its maximum, so that nothing overflows.

    Attributes
    ----------
    values, lags : numpy.ndarray, shape (n,)
        |M| over its maximum, and the lags 0, dt, ... in time units.
    unit, floor : float
        The maximum (1 for a curve of zeros) and the noise floor, both as they were given.
    peak, stop : int
        The first value at half the maximum, and the last one above ten noise floors; −1 without any.
    """

    values: np.ndarray
    lags: np.ndarray
    unit: float
    floor: float
    peak: int
    stop: int

    @property
    def heard(self) -> np.ndarray:
        """The values above the noise, and zeros."""
        return np.where(self.values > ABOVE_NOISE * self.floor / self.unit, self.values, 0.0)

    def until(self, size: int) -> "Curve":
        """Return the first `size` lags, read with the same noise floor."""
        return _read(self.values[:size] * self.unit, self.lags[:size], self.floor)


def curve_of(memory: ArrayLike | xr.DataArray, dt: float | None, noise_floor: float | None) -> Curve:
    """Return a memory as a curve; arguments and errors are those of ``decay``."""
    values, dt = lagged("memory", memory, dt)
    values, lags = np.abs(values), dt * np.arange(values.size)
    if noise_floor is None and isinstance(memory, xr.DataArray):
        noise_floor = memory.attrs.get("noise_floor")
    if noise_floor is None:
        noise_floor = max(np.finfo(float).eps * float(values.max()), own_floor(values))
    return _read(values, lags, checks.non_negative("noise_floor", noise_floor))


def _read(values: np.ndarray, lags: np.ndarray, floor: float) -> Curve:
    unit = float(values.max()) or 1.0
    values = values / unit
    (alive,) = np.nonzero(values > ABOVE_NOISE * floor / unit)
    stop = int(alive[-1]) if alive.size else -1
    return Curve(values, lags, unit, floor, int(np.argmax(values >= 0.5)), stop)


def last_above(values: np.ndarray, lags: np.ndarray, level: float) -> float:
    """Return the first lag from which on the values are at or below a level; inf if the last one is not.

    Parameters
    ----------
    values, lags : numpy.ndarray, shape (n,)
        Values >= 0 at increasing lags.
    level : float
        Above zero.

    Examples
    --------
    >>> last_above(np.array([1.0, 0.25, 0.0]), np.arange(3.0), 0.5)
    0.5
    """
    above_level = np.flatnonzero(values > level)
    if not above_level.size:
        return float(lags[0])
    last = int(above_level[-1])
    if last == values.size - 1:
        return math.inf
    above, below = values[last], values[last + 1]
    # along the exponential through both, so that an exponential has its exact half-life
    if below <= 0:
        share = (above - level) / above
    elif below < sys.float_info.min:  # their ratio may overflow
        share = math.log(above / level) / (math.log(above) - math.log(below))
    else:
        share = math.log(above / level) / math.log(above / below)
    return float(lags[last] + share * (lags[last + 1] - lags[last]))
