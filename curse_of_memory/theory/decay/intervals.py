"""Intervals around what a memory curve says: its rate or exponent, half-life and effective horizon."""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from curse_of_memory.theory.decay.curves import Curve, curve_of, last_above
from curse_of_memory.theory.decay.fitted import DecayFit, fitted
from curse_of_memory.theory.decay.law_interval import Interval, LawInterval, law_residual
from curse_of_memory.tools import checks

__all__ = ["DecayIntervals", "decay_intervals", "intervals"]

_FEWEST = 8  # points whose third differences tell the scatter


@dataclass(frozen=True)
class DecayIntervals:
    """The result of :func:`decay_intervals`: a fit of the decay, and an interval for each of its numbers.

    Attributes
    ----------
    fit : DecayFit
        What :func:`curse_of_memory.theory.decay.decay` returns.
    level : float
        How often the intervals hold, under the assumptions of :func:`decay_intervals`.
    rate, exponent : (low, high) or None
        Of λ, per unit time, of an exponential; of ω of a power.
    half_life, effective_horizon : (low, high)
        In time units; inf: beyond what the curve decides.
    scatter : float
        Standard deviation of log M from one lag to the next; NaN where no law was fitted.
    """

    fit: DecayFit
    level: float
    rate: Interval | None
    exponent: Interval | None
    half_life: Interval
    effective_horizon: Interval
    scatter: float


def decay_intervals(
    memory: ArrayLike | xr.DataArray,
    dt: float | None = None,
    *,
    noise_floor: float | None = None,
    share: float = 0.99,
    level: float = 0.9,
) -> DecayIntervals:
    """Return the decay of a memory curve with an interval for rate or exponent, half-life, effective horizon.

    **What is assumed.** log M is the fitted law plus stationary deviations, and the class is right. What
    another horizon would say is not in the intervals: :func:`curse_of_memory.theory.decay.settling` asks it.

    **Rate and exponent.** Least squares on the window that decided the class. Their standard error takes
    the size of slow deviations, which are what moves a slope: the mean square s² of the residual along the
    B smoothest directions (polynomials of the lag) that are orthogonal to the parameters, B = round(√n/2)
    of n points, 1 to 20. The interval is ± t_B s/|x̃|, with Student's t of B degrees of freedom and x̃ the
    part of the parameter's direction that the others do not have; the exponent's is on its logarithm. For
    white normal deviations of an exponential it is exact; a misfit of the law is a slow deviation, and
    widens it.

    **Half-life.** What was measured is taken to be within the noise floor and a factor that scatters from lag
    to lag as third differences of the residual do. The interval reaches from where M stays below ½e^{+δ} to
    where it stays below ½e^{−δ} of its maximum, δ allowing for the scatter of both, Bonferroni over lags.

    **Effective horizon.** The lags L at which (1 − share) Σ_{s<=L} M_s − share Σ_{s>L} M_s cannot be told
    from zero under this scatter, with what the law has beyond the end at either end of its interval. Where
    the curve ends in noise, what is below may be nothing at least, and the law's at most. Without a law
    (kinds "none", "unknown") the upper end is inf.

    Parameters
    ----------
    memory, dt, noise_floor, share
        As for :func:`curse_of_memory.theory.decay.decay`.
    level : float
        Between 0 and 1.

    Returns
    -------
    DecayIntervals

    Raises
    ------
    ValueError, TypeError
        As :func:`curse_of_memory.theory.decay.decay`, and for a level outside (0, 1).

    Notes
    -----
    Standard errors by projection on few smooth functions: Müller (2014), "HAC corrections for strongly
    autocorrelated time series", J. Bus. Econ. Stat. 32.

    Counted for exponentials and powers over 60 to 400 lags, with 2 to 30 % of scatter or a noise floor of up
    to 1 %, at the level 0.9: rate and exponent are covered in 87 to 95 % of draws where deviations are white
    or correlated by 0.5 from lag to lag, half-life and effective horizon in 90 % or more; where by 0.8, in
    80, 84 and 88 % at worst. Deviations that are alike over a good part of the window look like a law
    themselves; a single curve cannot tell.

    A curve that follows its law exactly has intervals as wide as rounding. A sum of several exponentials is
    not one: there the interval of the rate is that of the misfit.

    Examples
    --------
    >>> sure = decay_intervals(0.9 ** np.arange(100))
    >>> [round(end, 6) for end in (*sure.rate, *sure.half_life)]
    [0.105361, 0.105361, 6.578813, 6.578813]
    >>> noisy = 0.9 ** np.arange(60) * np.exp(0.1 * np.random.default_rng(0).standard_normal(60))
    >>> low, high = decay_intervals(noisy).rate
    >>> bool(low < 0.105361 < high), 0.001 < high - low < 0.02
    (True, True)
    """
    if not 0 < checks.real("share", share) < 1:
        raise ValueError(f"share must lie between 0 and 1, got {share!r}")
    if not 0 < checks.real("level", level) < 1:
        raise ValueError(f"level must lie between 0 and 1, got {level!r}")
    return intervals(curve_of(memory, dt, noise_floor), share, level)


def intervals(curve: Curve, share: float, level: float) -> DecayIntervals:
    """Return the intervals of a curve that has been read; arguments as for :func:`decay_intervals`."""
    fit, answer = fitted(curve, share)
    window = answer.window
    if window is None and fit.kind == "unknown":
        return DecayIntervals(fit, level, None, None, (0.0, math.inf), (0.0, math.inf), math.nan)
    if not curve.values.any():
        return DecayIntervals(fit, level, None, None, (0.0, 0.0), (0.0, 0.0), math.nan)
    law = None if window is None else LawInterval(window, fit, level)
    scatter = 0.0 if window is None else _scatter(law_residual(window, fit)[0])
    return DecayIntervals(
        fit=fit,
        level=level,
        rate=law.ends if law and fit.rate is not None else None,
        exponent=law.ends if law and fit.exponent is not None else None,
        half_life=_half_life(curve, fit, scatter, level),
        effective_horizon=_effective_horizon(curve, fit, law, scatter, share, level),
        scatter=scatter if window is not None else math.nan,
    )


def _scatter(residual: np.ndarray) -> float:
    """Return the standard deviation of what changes from one point to the next, beside the law."""
    if residual.size < _FEWEST:
        return float(np.sqrt(residual @ residual / max(residual.size - 2, 1)))
    # a third difference of white noise has 1 + 9 + 9 + 1 times its variance; smooth misfit has next to none
    return float(np.median(np.abs(np.diff(residual, 3))) / stats.norm.ppf(0.75) / math.sqrt(20))


def _half_life(curve: Curve, fit: DecayFit, scatter: float, level: float) -> Interval:
    """Return where M stays below half of its maximum, a little more of it, and a little less."""
    wrong = (1 - level) / 4  # of a value and of the maximum, both ways
    one, any_of = stats.norm.isf([wrong, wrong / (curve.stop + 1)])
    delta = float(one + any_of) * scatter
    floor = 1.5 * curve.floor / curve.unit
    early = last_above(curve.values, curve.lags, min(1.0, (0.5 + floor) * math.exp(delta)))
    low = (0.5 - floor) * math.exp(-delta)
    late = last_above(curve.values, curve.lags, low) if low > 0 else math.inf
    return min(early, fit.half_life), max(late, fit.half_life)


def _effective_horizon(
    curve: Curve, fit: DecayFit, law: LawInterval | None, scatter: float, share: float, level: float
) -> Interval:
    """Return the lags at which the share within cannot be told from the one asked for."""
    values, lags, last = curve.heard, curve.lags, float(curve.lags[-1])
    dt, ends = float(lags[min(1, lags.size - 1)]), curve.stop == values.size - 1
    least, most, unheard = 0.0, 0.0 if fit.kind == "compact" else math.inf, np.zeros(values.size)
    if law and (fit.rate is not None or fit.exponent is not None):
        most = law.most().after(last, dt)
        least = law.least().after(last, dt) if ends else 0.0
        unheard[curve.stop + 1 :] = law.most()(lags[curve.stop + 1 :])
    elif fit.kind == "faster":
        mean = math.log(fit.level / curve.unit / values[curve.stop]) / (fit.stop - fit.start)
        most = values[curve.stop] * math.exp(-mean * dt) / -math.expm1(-mean * dt)
    squares, count = np.cumsum(values**2), np.cumsum(values > 0)
    spread = np.sqrt((1 - share) ** 2 * squares + share**2 * (squares[-1] - squares))
    # of noise whose neighbours are alike a sum has that of its slow part
    slack = float(stats.norm.ppf((1 + level) / 2)) * max(scatter, law.slow if law else 0.0) * spread
    slack = slack + curve.floor / curve.unit * ((1 - share) * count + share * (count[-1] - count))
    early = _first(_excess(values, least, share) + slack, lags)
    late = _first(_excess(values + unheard, most, share) - slack, lags)
    return min(early, fit.effective_horizon), max(late, fit.effective_horizon)


def _excess(values: np.ndarray, beyond: float, share: float) -> np.ndarray:
    """Return (1 − share) times what lies within each lag, less share times what lies after it."""
    within = np.cumsum(values)
    return (1 - share) * within - share * (within[-1] - within + beyond)


def _first(excess: np.ndarray, lags: np.ndarray) -> float:
    """Return the first lag at which the excess is not negative; inf if it always is."""
    (reached,) = np.nonzero(excess >= 0)
    return float(lags[reached[0]]) if reached.size else math.inf
