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

from curse_of_memory.theory.decay.classes import ABOVE_NOISE, classified
from curse_of_memory.theory.decay.noise import own_floor
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks

__all__ = ["DecayFit", "decay"]


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
        Level below which the curve was taken for noise.
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
        since = checks.finite_array("t", t) - self.start
        if (since < 0).any():
            raise ValueError(f"t must not be before start = {self.start:g}, where the law begins")
        if self.rate is not None:
            return (self.level * np.exp(-self.rate * since))[()]
        if self.exponent is not None and self.shift is not None:
            return (self.level * (1 + since / (self.start + self.shift)) ** -self.exponent)[()]
        raise ValueError(f"a memory of kind {self.kind!r} has no fitted law")


def decay(
    memory: ArrayLike | xr.DataArray,
    dt: float | None = None,
    *,
    noise_floor: float | None = None,
    share: float = 0.99,
) -> DecayFit:
    """Say whether a memory decays exponentially or like a power of time, how fast, and how sure that is.

    **What is seen.** The curve is read from the first lag at half its maximum up to the lag `stop` where it
    sinks for good below ten times the noise floor. Where nobody says what the floor is, it is that of the
    curve's own tail, if the tail is nothing but scatter (:mod:`curse_of_memory.theory.decay.noise`), and
    never less than the rounding of float64. The curve oscillates if its deviations from a smooth law repeat.

    **The law.** Least squares of log M give κ of this module with its likelihood: S(κ)^{−ν/2}, flat in κ,
    with S the sum of squares and ν the number of independent residuals (twice their runs of one sign, at
    most all) less three. They are taken over the values, or of oscillations over the peaks of the upper
    envelope and, apart from these, over root mean squares of whole periods. The window begins at stop/2, or,
    where this gives less than 15 points or a standard deviation of κ above 0.05, at stop/4, /8 or /16: the
    first that gives both, else of those with most points, up to 15, the one of the smallest deviation.

    **The class.**

    =============  ==============================================================================
    compact        after `stop` the curve drops by a factor of more than 2 e f², where f is the
                   largest factor by which it fell in a step before (up to e⁵, where fewer than
                   three steps are seen)
    none           log M does not fall by more than twice its standard error (of oscillations: its
                   scatter), or κ > 3/2, where M settles at a level
    faster         κ < −1/2
    exponential    |κ| <= 1/2
    polynomial     1/2 < κ <= 3/2
    unknown        none of these holds three quarters of the likelihood; a flat curve that may
                   fall by a factor e within two standard errors; one that rises; less than
                   four points; nothing above the noise
    =============  ==============================================================================

    Parameters
    ----------
    memory : xarray.DataArray over ``lag``, or array_like of shape (n,)
        M at the lags 0, dt, …; signed values count by their magnitude. As :func:`memory_function` and
        ``Target.on_grid`` return it.
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    noise_floor : float, optional
        Level below which values are noise; the attribute ``noise_floor`` of `memory` unless given, else
        that of the curve's own tail, at least 2.2e-16 times the maximum.
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
    **Confidence** is the product of five numbers in [0, 1]:
    *share* of the likelihood that the class holds;
    *margin*, 1 − 2|κ − κ₀| with κ₀ = −1, 0, 1, 2 for the four classes with an index (1 beyond −1 and 2), and
    for "none" times 1 − (fall of the law's log M over the later half of the window);
    *fit*, 1 − (residual of log M)/(fall of log M over the window);
    *coverage*, 1 − M(stop)/max M, but for "none";
    *evidence*, (points − 3)/12, at most 1.
    Where nothing falls it is evidence times 1 − (fall + twice its error), for "compact" 1 − e^{−x} with x
    what the drop of log M has beyond the bound above, and 0 for "unknown".

    It is no probability: how often a class is right depends on the families that occur. For eleven of them,
    under noise of up to 30 % and on floors of up to 1 %, that is counted in
    the figure ``theory/decay_classes``: there, fewer than one in a thousand of the answers of a confidence of
    0.9 or more is wrong. Families that differ from these may do worse.

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
    if not values.any():
        return DecayFit("compact", 1.0, 0.0, 0.0, noise_floor=floor)
    # in units of the maximum nothing overflows
    unit = float(values.max())
    values = values / unit
    (alive,) = np.nonzero(values > ABOVE_NOISE * floor / unit)
    if alive.size == 0:
        return DecayFit("unknown", 0.0, math.inf, math.inf, noise_floor=floor)
    peak, stop = int(np.argmax(values >= 0.5)), int(alive[-1])
    fit = DecayFit(
        **classified(values, lags, peak, stop, floor / unit),
        half_life=_half_life(values, lags),
        effective_horizon=math.inf,
    )
    beyond = _left_over(fit, values[-1], lags) if stop == values.size - 1 else 0.0
    heard = np.where(values > ABOVE_NOISE * floor / unit, values, 0.0)
    horizon = _effective_horizon(heard, lags, share, beyond)
    return replace(fit, effective_horizon=horizon, level=fit.level * unit, noise_floor=floor)


def _curve(memory, dt: float | None, noise_floor: float | None) -> tuple[np.ndarray, np.ndarray, float]:
    """Return checked magnitudes, their lags, and the noise floor."""
    values, dt = lagged("memory", memory, dt)
    values, lags = np.abs(values), dt * np.arange(values.size)
    if noise_floor is None and isinstance(memory, xr.DataArray):
        noise_floor = memory.attrs.get("noise_floor")
    if noise_floor is None:
        noise_floor = max(np.finfo(float).eps * float(values.max()), own_floor(values))
    return values, lags, checks.non_negative("noise_floor", noise_floor)


def _half_life(values: np.ndarray, lags: np.ndarray) -> float:
    """Return the first lag from which on the values, whose maximum is one, are at or below 1/2."""
    half = 0.5
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
    if fit.exponent is not None and fit.shift is not None and fit.exponent > 1:
        return float(fit(lags[-1])) * (lags[-1] + fit.shift) / ((fit.exponent - 1) * lags[1])
    return math.inf


def _effective_horizon(values: np.ndarray, lags: np.ndarray, share: float, beyond: float) -> float:
    """Return the lag within which the share of the sum, and of what is beyond it, lies."""
    reached = np.cumsum(values)
    wanted = share * (reached[-1] + beyond)
    # the last sum counts as all of it where nothing is left, whatever its rounding
    return float(lags[np.searchsorted(reached, wanted)]) if reached[-1] >= wanted else math.inf
