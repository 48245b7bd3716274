"""The decay class of a memory curve M(t), read off the index κ of its last part, and a confidence.

The local rate ℓ(t) = −d log M/dt is constant for an exponential, ω/t for a power t^{−ω}, and grows like t for
a Gaussian. The *index*

    κ = log(ℓ(start)/ℓ(stop)) / log(stop/start)

is 0, 1, −1 for these three. It is that of the fitted law log M = a − ω log(1 + u (t − start)), which contains
exponentials (u → 0) and shifted powers (1 + t/τ)^{−ω}, and bends downward for u < 0.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.decay.classes import Answer, classified
from curse_of_memory.theory.decay.curves import Curve, curve_of, last_above
from curse_of_memory.tools import checks

__all__ = ["DecayFit", "decay", "fitted"]


@dataclass(frozen=True)
class DecayFit:
    """The result of :func:`decay`: class, rate, confidence, half-life, effective horizon of a memory curve.

    Attributes
    ----------
    kind : str
        The class: ``"exponential"``, ``"polynomial"``, ``"faster"`` than an exponential, ``"compact"`` (drops
        to nothing), ``"none"`` (no decay seen), or ``"unknown"`` (too little above the noise, or irregular).
    rate : float or None
        λ of e^{−λt}, per unit time; exponential only.
    exponent : float or None
        ω of (t + τ)^{−ω}; polynomial only.
    shift : float or None
        τ, in time units; polynomial only.
    confidence : float
        In [0, 1], never NaN; not a probability. It is defined in :func:`decay`.
    half_life : float
        First lag from which M stays at or below half of its maximum; inf if the curve ends before.
    effective_horizon : float
        Lag within which the given share of ΣM lies; inf if the curve ends before.
    index, index_error : float
        κ of this module and its standard error; NaN where no law was fitted.
    misfit_exponential, misfit_polynomial : float
        Root mean square residuals of log M under these laws; NaN where none was fitted.
    level : float
        The law's value at `start`.
    start, stop : float
        First and last lag the law was fitted on, in time units.
    points : int
        Number of values of the curve, or of its peaks or periods, that the law was fitted to.
    noise_floor : float
        Level below which values were taken for noise.
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
    """Return the decay class of a memory curve, its rate or exponent, and a confidence.

    **The window.** The curve is read from the first lag at half its maximum to `stop`, the last lag where it
    exceeds ten times the noise floor. The floor, unless given, is that of the curve's own tail if this is
    pure scatter (:mod:`curse_of_memory.theory.decay.noise`), and at least the rounding of float64. The curve
    counts as an oscillation if its deviations from a smooth law repeat.

    **The law.** A least-squares fit of log M gives the index κ of this module with a likelihood, S(κ)^{−ν/2},
    flat in κ, where S is the sum of squares and ν the number of independent residuals (twice their runs of
    one sign, at most all) less three. It is fitted to the values; of an oscillation to the peaks of the upper
    envelope and, separately, to root mean squares over whole periods. The window begins at stop/2. If this
    gives fewer than 15 points or a standard deviation of κ above 0.05, it begins at stop/4, stop/8 or
    stop/16: at the first that gives enough of both; if none does, of the windows with the most points
    (counted up to 15) the one of the smallest deviation answers.

    **The class** is set by thresholds on κ.

    =============  ==============================================================================
    faster         κ < −1/2
    exponential    −1/2 <= κ <= 1/2
    polynomial     1/2 < κ <= 3/2
    none           κ > 3/2, where M settles at a level; also if the whole fall of log M is under
                   twice its standard error (of an oscillation: under twice its scatter)
    compact        whatever κ: after `stop` the curve drops by a factor above 2 e f², where f is
                   its largest factor in a step before (at least e⁵(1 − n/3) of n < 3 such steps)
    unknown        the error of κ leaves no class three quarters of the likelihood; or a flat
                   curve may fall by a factor e within two standard errors; or the curve rises,
                   has less than four points, or nothing above the noise
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
        Share of ΣM within the effective horizon; between 0 and 1.

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
    *share*, the share of the likelihood in the class;
    *margin*, 1 − 2|κ − κ₀| with κ₀ = −1, 0, 1, 2 for the four classes with an index (1 beyond −1 and 2), and
    for "none" times 1 − (fall of the law's log M over the later half of the window);
    *fit*, 1 − (residual of log M)/(fall of log M over the window);
    *coverage*, 1 − M(stop)/max M, or 1 for "none";
    *evidence*, (points − 3)/12, at most 1.
    Of a curve that does not fall it is evidence times 1 − (fall + twice its error); of "compact" 1 − e^{−x},
    where x is by how much the drop of log M exceeds 1 + 2 log f; for "unknown" 0.

    It is not a probability: how often a class is right depends on the families that occur. The figure
    ``theory/decay_classes`` counts it for eleven of them, under noise of up to 30 % and on floors of up to
    1 %: there, fewer than one in a thousand of the answers with a confidence of 0.9 or more is wrong. Other
    families may do worse.

    **Bias.** Exponentials and powers (1 + t/τ)^{−ω} are recovered to rounding. For a sum of exponentials
    the rate is that of the slowest one, off by the weight of the others in the window; for t^{l−1} e^{−λt},
    the memory of l layers, it is λ − (l − 1)/t for some t in the window. No finite curve tells a power from
    sufficiently slow exponentials: the class is that of the window, and a power that has not yet bent, T < τ,
    reads as an exponential of little confidence.

    **Beyond the end.** The effective horizon includes what the fitted law predicts after the last lag.
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
    if not 0 < checks.real("share", share) < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share!r}")
    return fitted(curve_of(memory, dt, noise_floor), share)[0]


def fitted(curve: Curve, share: float) -> tuple[DecayFit, Answer]:
    """Return the decay of a curve, and the answer of the window that decided its class.

    Parameters
    ----------
    curve : Curve
        As :func:`curve_of` reads it.
    share : float
        As for :func:`decay`.
    """
    values, lags, floor, unit = curve.values, curve.lags, curve.floor, curve.unit
    if not values.any():
        return DecayFit("compact", 1.0, 0.0, 0.0, noise_floor=floor), Answer("compact", 1.0)
    if curve.stop < 0:
        return DecayFit("unknown", 0.0, math.inf, math.inf, noise_floor=floor), Answer("unknown", 0.0)
    answer = classified(values, lags, curve.peak, curve.stop, floor / unit)
    law = answer.law
    fit = DecayFit(
        kind=answer.kind,
        confidence=answer.confidence,
        half_life=last_above(values, lags, 0.5),
        effective_horizon=math.inf,
        rate=law.rate,
        exponent=law.exponent,
        shift=law.shift,
        index=law.index,
        index_error=law.index_error,
        misfit_exponential=law.misfit_exponential,
        misfit_polynomial=law.misfit_polynomial,
        level=law.level,
        start=answer.start,
        stop=float(lags[curve.stop]),
        points=answer.points,
    )
    beyond = _left_over(fit, values[-1], lags) if curve.stop == values.size - 1 else 0.0
    horizon = _effective_horizon(curve.heard, lags, share, beyond)
    return replace(fit, effective_horizon=horizon, level=fit.level * unit, noise_floor=floor), answer


def _left_over(fit: DecayFit, last: float, lags: np.ndarray) -> float:
    """Return the sum of the fitted law over all lags beyond the last one."""
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
    # whatever its rounding, the last sum is all of it if nothing is left beyond
    return float(lags[np.searchsorted(reached, wanted)]) if reached[-1] >= wanted else math.inf
