"""How a memory forgets: exponentially, like a power of time, faster, not at all; and how sure that is.

Over the last part of a curve M(t) its local rate ℓ(t) = −d log M/dt says which: ℓ is constant for an
exponential, ℓ ~ ω/t for a power t^{−ω}, ℓ ~ t for a Gaussian. So the *index*

    κ = log(ℓ(start)/ℓ(stop)) / log(stop/start)

is 0, 1, −1 for these three. It is read off the law log M = a − ω log(1 + u (t − start)), which holds
exponentials (u → 0) and shifted powers (1 + t/τ)^{−ω} exactly, and whose u < 0 bends the other way.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory import checks
from curse_of_memory.theory.decay_law import ENOUGH, FEWEST, Window, evidence, fit_law, is_still, window
from curse_of_memory.theory.functions.lagged import lagged

__all__ = ["DecayFit", "decay"]

ABOVE_NOISE = 10.0  # a value counts where it is this many noise floors high: its logarithm is good to 10 %
HALVINGS, SURE = 4, 0.05  # windows begin at 1/2, 1/4, ... of the last lag, until the index is this sure


@dataclass(frozen=True)
class DecayFit:
    """How a memory curve decays, as :func:`decay` read it off the curve.

    Attributes
    ----------
    kind : str
        ``"exponential"``, ``"polynomial"``, ``"faster"`` than an exponential, ``"compact"`` (drops to
        nothing), ``"none"`` (no decay to be seen), or ``"unknown"`` (too little above the noise, or too
        irregular).
    rate : float or None
        λ of e^{−λt}, per unit time; exponential only.
    exponent : float or None
        ω of (t + τ)^{−ω}; polynomial only.
    shift : float or None
        τ, in time units; polynomial only.
    confidence : float
        In [0, 1], never NaN; not a probability. The definition is in :func:`decay`.
    half_life : float
        First lag from which M stays at or below half of its maximum; inf if the curve ends before.
    effective_horizon : float
        Lag within which the asked share of ΣM lies; inf if the curve ends before.
    index, index_error : float
        κ of this module and its standard error; NaN where no law was fitted.
    misfit_exponential, misfit_polynomial : float
        Root mean square residual of log M under either law; NaN where none was fitted.
    level : float
        The law's value at `start`.
    start, stop : float
        First and last lag the law was fitted on, in time units.
    points : int
        How many values of the curve, or of its upper envelope, it was fitted to.
    noise_floor : float
        Level below which the curve was taken for rounding.
    """

    kind: str
    confidence: float
    half_life: float
    effective_horizon: float
    rate: float | None = None
    exponent: float | None = None
    shift: float | None = None
    index: float = math.nan
    index_error: float = math.nan
    misfit_exponential: float = math.nan
    misfit_polynomial: float = math.nan
    level: float = math.nan
    start: float = math.nan
    stop: float = math.nan
    points: int = 0
    noise_floor: float = 0.0

    @property
    def censored(self) -> bool:
        """Whether the half-life or the effective horizon lies beyond the end of the curve."""
        return math.isinf(self.half_life) or math.isinf(self.effective_horizon)

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return the fitted law at times t >= `start`; ValueError elsewhere, or if there is no law."""
        if self.rate is None and self.exponent is None:
            raise ValueError(f"a memory of kind {self.kind!r} has no fitted law")
        since = checks.finite_array("t", t) - self.start
        if (since < 0).any():
            raise ValueError(f"t must not be before start = {self.start:g}, where the law begins")
        if self.rate is not None:
            return (self.level * np.exp(-self.rate * since))[()]
        return (self.level * (1 + since / (self.start + self.shift)) ** -self.exponent)[()]


def decay(
    memory: ArrayLike | xr.DataArray,
    dt: float | None = None,
    *,
    noise_floor: float | None = None,
    share: float = 0.99,
) -> DecayFit:
    """Say whether a memory decays exponentially or like a power of time, how fast, and how sure that is.

    The law is fitted by least squares of log M, after the maximum of M and up to the lag `stop` where M
    sinks for good below ten times the noise floor: from stop/2 on, or where this gives less than 15
    points or the index κ of this module only to a standard error above 0.05, from stop/4, /8 or /16 on,
    the surest if none will do. What oscillates is fitted through the peaks of its upper envelope
    max_{r ≥ t} M(r). The index decides: κ < −1/2 faster, |κ| ≤ 1/2 exponential, κ ≤ 3/2 polynomial,
    beyond none (M settles at a level). None, too, is where M, or if it oscillates its peaks, does not
    fall by more than twice its scatter; unknown is where κ is too uncertain to decide anything.

    Parameters
    ----------
    memory : xarray.DataArray over ``lag``, or array_like of shape (n,)
        M at the lags 0, dt, …; signed values count by their magnitude. As :func:`memory_function` and
        ``Target.on_grid`` return it.
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    noise_floor : float, optional
        Level below which values are rounding noise; the attribute ``noise_floor`` of `memory` unless
        given, else the rounding of float64, 2.2e-16 times the maximum.
    share : float
        Of ΣM, for the effective horizon; between 0 and 1.

    Returns
    -------
    DecayFit

    Raises
    ------
    ValueError, TypeError
        For an empty curve, NaN, lags that are not even or contradict `dt`, a bad `dt`, `noise_floor` or
        `share`.

    Notes
    -----
    **Confidence** is the product of four numbers in [0, 1]:
    *margin*, 1 − 2(|κ − κ₀| + 2 s) with κ₀ = −1, 0, 1, 2 for the four classes and s the standard error of
    κ (outside of [−1, 2] the distance helps: −|κ − κ₀|);
    *fit*, 1 − (residual of log M)/(fall of log M over the window);
    *coverage*, 1 − M(stop)/max M, but for "none";
    *evidence*, (points − 3)/12.
    It is the last alone where nothing falls, 1 − (ten noise floors)/(last value) for "compact", and 0 for
    "unknown".
    It is no probability: windows and thresholds were chosen on the families of
    :mod:`curse_of_memory.targets` and on a few measured models, so that on other noisy curves it orders, and
    does not calibrate.

    **Bias.** Exponentials and powers (1 + t/τ)^{−ω} are recovered to rounding. A sum of exponentials
    gives the rate of the slowest one up to the weight the others still have in the window;
    t^{l−1} e^{−λt}, the memory of l layers, gives λ − (l − 1)/t for some t in the window. No finite
    curve tells a power from exponentials that are slow enough: the class is that of the window, and a
    power that has not yet bent, T < τ, reads as an exponential with little confidence.

    **Beyond the end.** The effective horizon counts what the fitted law still has after the last lag.
    The decay notions are those of "Inverse approximation theory" (2305.19190), section 2.

    Examples
    --------
    >>> fit = decay(0.9 ** np.arange(100))
    >>> fit.kind, round(fit.rate, 6), round(fit.half_life, 3)
    ('exponential', 0.105361, 6.579)
    >>> fit = decay((1 + 0.1 * np.arange(500)) ** -1.1)
    >>> fit.kind, round(fit.exponent, 6), fit.effective_horizon
    ('polynomial', 1.1, inf)
    """
    values, lags, floor = _curve(memory, dt, noise_floor)
    if not 0 < checks.real("share", share) < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share!r}")
    peak = int(values.argmax())
    (alive,) = np.nonzero(values > ABOVE_NOISE * floor)
    if alive.size == 0:
        silent = values[peak] == 0
        kind, horizon = ("compact", 0.0) if silent else ("unknown", math.inf)
        return DecayFit(kind, float(silent), horizon, horizon, noise_floor=floor)
    stop = int(alive[-1])
    fit = DecayFit(
        **_classified(values, lags, peak, stop, floor),
        half_life=_half_life(values, lags),
        effective_horizon=math.inf,
        noise_floor=floor,
    )
    beyond = _left_over(fit, values[-1], lags) if stop == values.size - 1 else 0.0
    heard = np.where(values > ABOVE_NOISE * floor, values, 0.0)
    return replace(fit, effective_horizon=_effective_horizon(heard, lags, share, beyond))


def _curve(memory, dt: float | None, noise_floor: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return checked magnitudes, their lags, and the noise floor."""
    values, dt = lagged("memory", memory, dt)
    values, lags = np.abs(values), dt * np.arange(values.size)
    if noise_floor is None:
        known = memory.attrs.get("noise_floor") if isinstance(memory, xr.DataArray) else None
        noise_floor = np.finfo(float).eps * values.max() if known is None else known
    return values, lags, checks.non_negative("noise_floor", noise_floor)


def _classified(values: np.ndarray, lags: np.ndarray, peak: int, stop: int, floor: float) -> dict:
    """Return kind, confidence and law of the curve between its peak and `stop`."""
    if stop < values.size - 1 and (cliff := _cliff(values, stop, floor)):
        return {"kind": "compact", "confidence": cliff, "stop": float(lags[stop])}
    first = max(peak, min(int(np.searchsorted(lags, lags[stop] / 2)), stop - FEWEST + 1))
    section = values[first : stop + 1]
    where = {"start": float(lags[first]), "stop": float(lags[stop]), "points": section.size}
    if section.size < 3:
        return {"kind": "unknown", "confidence": 0.0} | where
    if is_still(section, 2 * floor / section[-1]):
        level = float(section.max())
        return {"kind": "none", "confidence": evidence(section.size), "level": level} | where
    tried = []
    for halvings in range(HALVINGS):
        earlier = max(peak, min(first, int(np.searchsorted(lags, lags[first] / 2**halvings))))
        tried.append(_judged(window(values, lags, peak, earlier, stop), values[stop] / values[peak], lags[1]))
        if tried[-1]["points"] >= ENOUGH and tried[-1]["index_error"] <= SURE:
            return where | tried[-1]
    return where | max(tried, key=lambda law: law["confidence"])


def _judged(seen: Window, kept: float, dt: float) -> dict:
    """Return the law of the window with its confidence."""
    law = fit_law(seen, dt)
    confidence = law.pop("margin") * law.pop("fit") * evidence(seen.lags.size)
    if law["kind"] != "none":
        confidence *= 1 - kept
    return law | {"confidence": float(confidence), "start": float(seen.lags[0]), "points": seen.lags.size}


def _cliff(values: np.ndarray, stop: int, floor: float) -> float:
    """Return the confidence that the curve drops to nothing after `stop`; 0 if it fades into the noise."""
    steps = -np.diff(np.log(np.maximum(values[max(0, stop - 3) : stop + 1], floor)))
    drop = math.log(values[stop] / (ABOVE_NOISE * floor)) if floor else math.inf
    sudden = drop > 1 + 2 * max(steps, default=0.0)
    return float(1 - ABOVE_NOISE * floor / values[stop]) if sudden else 0.0


def _half_life(values: np.ndarray, lags: np.ndarray) -> float:
    half = values.max() / 2
    last = int(np.flatnonzero(values > half)[-1])
    if last == values.size - 1:
        return math.inf
    above, below = values[last], values[last + 1]
    # along the exponential through both, so that an exponential has its exact half-life
    part = math.log(above / half) / math.log(above / below) if below > 0 else (above - half) / above
    return float(lags[last] + part * (lags[last + 1] - lags[last]))


def _left_over(fit: DecayFit, last: float, lags: np.ndarray) -> float:
    """Return what ΣM would gain beyond the last lag, by the fitted law."""
    rate = fit.rate
    if fit.kind == "faster":  # than the mean rate so far: an upper bound
        rate = math.log(fit.level / last) / (fit.stop - fit.start)
    if rate is not None and rate > 0:
        end = last if fit.rate is None else float(fit(lags[-1]))
        return end * math.exp(-rate * lags[1]) / -math.expm1(-rate * lags[1])
    if fit.kind == "polynomial" and fit.exponent > 1:
        return float(fit(lags[-1])) * (lags[-1] + fit.shift) / ((fit.exponent - 1) * lags[1])
    return math.inf


def _effective_horizon(values: np.ndarray, lags: np.ndarray, share: float, beyond: float) -> float:
    reached = np.cumsum(values)
    wanted = share * (reached[-1] + beyond)
    # the last sum counts as all of it where nothing is left, whatever its rounding
    return float(lags[np.searchsorted(reached, wanted)]) if reached[-1] >= wanted else math.inf
