"""Weighted least-squares fits of a memory by sums of m exponentials, with lower bounds of their error.

With the weight b(s) of `curse_of_memory.bias` this is the least-squares problem that training on
white noise solves (INTEREST (2307.11462), Theorem 3.3). A diagonal linear RNN with multipliers in
(0, 1) is a sum with real rates, one with pairs of complex multipliers a sum with conjugate pairs, and
any multipliers below one in size, negative ones too, are ``modes="discrete"``.
"""

import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias.lag_weights import lag_weights, unit_peak
from curse_of_memory.theory.bias.memory_bias import Bias
from curse_of_memory.theory.exponential_sums.exponential_sum import ExponentialSum
from curse_of_memory.theory.exponential_sums.lower_bounds import weighted_lower_bound
from curse_of_memory.theory.exponential_sums.modes import FASTEST
from curse_of_memory.theory.exponential_sums.rate_search import MODES, LagFit, best_rates
from curse_of_memory.theory.targets.lagged import lag_step, lagged
from curse_of_memory.tools import checks

__all__ = ["ExponentialFit", "fit_exponential_sum", "fit_exponential_sums"]

_ABOVE = 1.001  # error over that of the limit from which on rounding is to blame


@dataclass(frozen=True, eq=False, kw_only=True)
class ExponentialFit(ExponentialSum):
    """An :class:`ExponentialSum` together with the values and weights that it was fitted to.

    Attributes
    ----------
    rates, coefficients, error, dt, conditioning
        As in :class:`ExponentialSum`.
    limit_error : float
        Error of the best limit found where rates may coincide, as in t^k e^{−λt}, and coefficients are not
        rounded: sums of as many terms come as close to it as one likes. Equal to `error` where rates stay
        apart.
    values, weight : numpy.ndarray, shape (n,)
        ρ_s and w_s, the weights up to a factor.
    """

    limit_error: float
    values: np.ndarray = field(repr=False)
    weight: np.ndarray = field(repr=False)

    @property
    def at_limit(self) -> bool:
        """Whether rounding limits the error: as for a sum, or `error` more than 0.1 % above `limit_error`.

        Directions of the exponentials weaker than 1e-10 of the strongest are not used, since their
        coefficients would bring rounding errors that show.
        """
        return super().at_limit or self.error > _ABOVE * self.limit_error

    @cached_property
    def lower_bound(self) -> float:
        """Lower bound of `error` over all linear systems of as many states; computed when first asked for."""
        # a hundredth below the error it is as good as met
        enough = 0.99 * self.error
        return weighted_lower_bound(self.values, self.rates.size, self.weight, enough=enough).bound


def fit_exponential_sum(
    values: ArrayLike,
    terms: int = 4,
    weight: ArrayLike | Bias | None = None,
    dt: float | None = None,
    *,
    modes: str = "real",
) -> ExponentialFit:
    """Return the weighted least-squares fit of Σ cᵢ e^{−λᵢ s dt} to `values`, over c and λ, Re λ > 0.

    The problem is not convex: the result is the best local minimum from deterministic starts, so its
    error is an upper bound of the smallest one; ``lower_bound`` is a bound of that from below. It never
    grows with `terms`, nor from real modes to complex and to discrete ones. Where no best sum exists (for
    an oscillating or late memory real rates want to coincide), rates are nearly equal, and coefficients
    large and of opposite signs, up to about 1e9 times the values: ``at_limit`` then says so, and
    ``limit_error`` what sums with larger ones reach.

    Parameters
    ----------
    values : array_like, shape (n,)
        ρ_s at the lags 0, dt, ..., (n − 1) dt, with or without labels
        (:func:`curse_of_memory.theory.targets.lagged.lagged`).
    terms : int
        m, at most half the number of lags with positive weight.
    weight : array_like, shape (n,), or Bias, optional
        w_s >= 0, or a bias, which then gives ``weight.discrete(n, dt)``; ones by default.
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    modes : {"real", "complex", "discrete"}
        Real rates, that is multipliers e^{−λ dt} between 0 and 1; or any mix of real rates and conjugate
        pairs, of which each counts two terms; or any multipliers of a stable linear recurrence: negative
        ones too, as rates of the imaginary part π/dt.

    Returns
    -------
    ExponentialFit
        Rates ascending by real part; terms that rounding leaves nothing to do have coefficient 0.

    Raises
    ------
    ValueError
        If there are NaNs, negative weights, too many terms, nothing but zeros to fit, or unknown
        `modes`; for lags that are not even, or contradict `dt`.

    Examples
    --------
    >>> fit = fit_exponential_sum(0.5 ** np.arange(20.0), terms=1)
    >>> float(fit.rates[0].round(6)), float(fit.coefficients[0].round(6))
    (0.693147, 1.0)
    >>> fit_exponential_sum(np.cos(np.arange(20.0)), terms=2, modes="complex").error < 1e-13
    True
    >>> fit_exponential_sum((-0.5) ** np.arange(20.0), terms=1, modes="discrete").error < 1e-13
    True

    Notes
    -----
    Real rates are searched on condensed lags: four terms take a tenth of a second for a hundred lags and a
    quarter for 20 000, eight terms two to three times as long. Pairs take a few times as long, and end on
    all lags: one to four seconds for 30 000. Modes that alternate double that.
    """
    return fit_exponential_sums(values, terms, weight, dt, modes=modes)[-1]


def fit_exponential_sums(
    values: ArrayLike,
    terms: int = 4,
    weight: ArrayLike | Bias | None = None,
    dt: float | None = None,
    *,
    modes: str = "real",
) -> list[ExponentialFit]:
    """Return the fits of 1, 2, ..., `terms` terms, in the time that the last takes by itself.

    Parameters
    ----------
    values, terms, weight, dt, modes
        As for :func:`fit_exponential_sum`.

    Returns
    -------
    list of ExponentialFit

    Raises
    ------
    ValueError
        As :func:`fit_exponential_sum`.

    Examples
    --------
    >>> fits = fit_exponential_sums(1 / (1 + np.arange(30.0)), terms=3)
    >>> [fit.error < bound for fit, bound in zip(fits, (0.3, 0.05, 0.01))]
    [True, True, True]
    """
    step = lag_step({"values": values, "weight": weight}, dt)
    rho, dt = lagged("values", values, step)
    terms = checks.positive_int("terms", terms)
    checks.one_of("modes", modes, MODES)
    w = lag_weights(weight, rho.size, dt)
    if terms > (w > 0).sum() / 2:
        raise ValueError(f"terms must be at most half the {(w > 0).sum()} weighted lags, got {terms}")
    unit, exponent = unit_peak(rho, w)
    search = enumerate(best_rates(unit, np.sqrt(w / w.max()), terms, modes), start=1)
    return [_in_units(fit, m, dt, rho, w, exponent) for m, fit in search]


def _in_units(
    fit: LagFit, terms: int, dt: float, values: np.ndarray, w: np.ndarray, exponent: int
) -> ExponentialFit:
    """Return a fit in units of time and of the values, with spare terms of coefficient 0."""
    rates, conditioning = fit.rates, fit.conditioning
    with np.errstate(over="ignore"):
        # in two steps: the power of two alone may overflow or underflow
        c = fit.coefficients * 2.0 ** (exponent // 2) * 2.0 ** (exponent - exponent // 2)
    if not np.isfinite(c).all():
        raise ValueError("values must be smaller: coefficients of their fit are beyond float64")
    if spare := terms - rates.size:
        rates = np.append(rates, FASTEST / 2.0 ** np.arange(1, spare + 1))
        c, conditioning = np.append(c, np.zeros(spare)), math.inf
    order = np.lexsort([np.imag(rates), np.real(rates)])
    return ExponentialFit(
        rates=rates[order] / dt,
        coefficients=c[order],
        error=fit.error,
        dt=dt,
        conditioning=conditioning,
        limit_error=fit.limit_error,
        values=values,
        weight=w,
    )
