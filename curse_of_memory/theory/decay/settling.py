"""Whether a memory curve that had ended earlier would have been given the same law."""

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.decay.curves import Curve, curve_of
from curse_of_memory.theory.decay.fitted import DecayFit, fitted

__all__ = ["Settling", "settled_law", "settling"]

_PARTS = (0.5, math.sqrt(0.5))  # of what was measured, at which it might have ended
_ALIKE = 0.1  # rates and exponents that differ by less, relatively, are taken for one


@dataclass(frozen=True)
class Settling:
    """The result of :func:`settling`: the laws of a curve that ends earlier, and whether they are one.

    Attributes
    ----------
    settled : bool
        Whether they are of one class, with rates or exponents within a tenth of that of the whole curve.
    fits : mapping from float to DecayFit
        By the last lag that was read, in time units: half of what was measured, 0.71 of it, and all.
    in_noise : bool
        Whether the curve ends in its noise: then a longer one says no more, a more precise one may.
    """

    settled: bool
    fits: Mapping[float, DecayFit]
    in_noise: bool

    @property
    def remark(self) -> str:
        """What changes with the horizon and what to do, or up to which lag nothing does; in words."""
        lags, fits = list(self.fits), list(self.fits.values())
        if self.settled:
            return f"settled: the same law up to lag {lags[0]:g} and up to lag {lags[-1]:g}"
        remedy = "measure in a higher precision" if self.in_noise else "measure longer"
        # of neighbours of one class the last
        ends = [list(run)[-1] for _, run in itertools.groupby(lags, key=lambda lag: self.fits[lag].kind)]
        if len(ends) > 1:
            told = " to ".join(f"{self.fits[lag].kind} (up to lag {lag:g})" for lag in ends)
            return f"the law changes from {told}: {remedy}"
        numbers = {lag: _parameter(fit) for lag, fit in self.fits.items()}
        last = numbers[lags[-1]]
        if math.isnan(last):
            return f"no law is decided: {remedy}"
        name = "rate" if fits[-1].rate is not None else "exponent"
        far = max(lags, key=lambda lag: abs(math.log(numbers[lag] / last)))
        told = " to ".join(f"{numbers[lag]:.3g} (up to lag {lag:g})" for lag in (far, lags[-1]))
        return f"the {name} changes from {told}: {remedy}"


def settling(
    memory: ArrayLike | xr.DataArray, dt: float | None = None, *, noise_floor: float | None = None
) -> Settling:
    """Return whether a memory curve would have the same law, had it ended at 0.5 or 0.71 of its length.

    The length is up to the last lag above the noise (of a "compact" curve, which drops to nothing, the whole:
    it has to stay at nothing for as long as it was above). A law that was found twice, on ranges that differ
    by a factor of two, need not be that of larger lags: no finite curve shows that. One that changes shows
    that the measured range does not decide.

    Parameters
    ----------
    memory, dt, noise_floor
        As for :func:`curse_of_memory.theory.decay.decay`; the noise floor is that of the whole curve.

    Returns
    -------
    Settling

    Raises
    ------
    ValueError, TypeError
        As :func:`curse_of_memory.theory.decay.decay`.

    Notes
    -----
    Counted on 24 untrained LSTMs whose forget gates hold for up to 50 or 100 steps: what was settled at 100
    or 200 lags, 8 cases, was the law of 2400 lags in none, and what was settled at 400, 800 or 1200, 24
    cases, in all (classes the same, rates within a fifth). It takes a few times the longest time scale.

    Examples
    --------
    >>> import numpy as np
    >>> t = np.arange(100)
    >>> settling(0.9**t).remark
    'settled: the same law up to lag 49 and up to lag 99'
    >>> settling(0.8**t + 1e-4 * 0.98**t).remark
    'the law changes from exponential (up to lag 49) to polynomial (up to lag 99): measure longer'
    """
    return settled_law(curve_of(memory, dt, noise_floor))


def settled_law(curve: Curve) -> Settling:
    """Return the same of a curve that has been read."""
    whole, _ = fitted(curve, 0.99)
    size = curve.values.size if whole.kind == "compact" else curve.stop + 1
    sizes = dict.fromkeys(max(1, round(part * size)) for part in _PARTS)
    fits = {float(curve.lags[n - 1]): fitted(curve.until(n), 0.99)[0] for n in sizes if n < size}
    fits[float(curve.lags[size - 1])] = whole
    settled = whole.kind != "unknown" and len(fits) > 1 and all(_alike(fit, whole) for fit in fits.values())
    in_noise = whole.kind != "compact" and 0 <= curve.stop < curve.values.size - 1
    return Settling(settled, MappingProxyType(fits), in_noise)


def _alike(fit: DecayFit, whole: DecayFit) -> bool:
    one, other = _parameter(fit), _parameter(whole)
    return fit.kind == whole.kind and (math.isnan(other) or abs(one - other) <= _ALIKE * other)


def _parameter(fit: DecayFit) -> float:
    """Return the rate or exponent; NaN of a class that has neither."""
    if fit.rate is not None:
        return fit.rate
    return math.nan if fit.exponent is None else fit.exponent
