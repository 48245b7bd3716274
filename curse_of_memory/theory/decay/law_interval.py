"""The interval of the rate or exponent of a fitted law, from the slow part of what it leaves over."""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

from curse_of_memory.theory.decay.fitted import DecayFit
from curse_of_memory.theory.decay.laws import Window

__all__ = ["Interval", "LawAtAnEnd", "LawInterval", "law_residual", "slow_scatter"]

Interval = tuple[float, float]
_BENDS = (1e-3, 7.0)  # of a power, as log(ℓ(start)/ℓ(stop))
_WIDEST = 20.0  # half an interval of log ω, beyond which nothing is known
_LARGEST = 700.0  # exponent whose e^ is finite
_MOST = 20  # slow directions, whatever the number of points


def law_residual(window: Window, fit: DecayFit) -> tuple[np.ndarray, float]:
    """Return log M less the law of its class, and the bend of this law: 0 for an exponential or none."""
    bend = 0.0
    if fit.kind == "faster":
        bend = window.bend()[0]
    elif fit.exponent is not None and fit.shift is not None:
        bend = math.log1p(float(window.lags[-1] - window.lags[0]) / (window.lags[0] + fit.shift))
    return window.fit(bend)[2], bend


def slow_scatter(residual: np.ndarray, tangent: np.ndarray) -> tuple[float, int]:
    """Return the standard deviation of slow deviations, and how many of them it is the mean of.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n,)
        Of a least-squares fit.
    tangent : numpy.ndarray, shape (n, k)
        Derivatives of what was fitted by its k parameters, k < n.

    Notes
    -----
    Of white residuals of variance σ² the square is σ² χ²_B/B with B = round(√n/2), 1 to 20.
    """
    size, parameters = tangent.shape
    count = int(np.clip(round(math.sqrt(size) / 2), 1, min(_MOST, size - parameters)))
    own, _ = np.linalg.qr(tangent)
    smooth = np.polynomial.legendre.legvander(np.linspace(-1, 1, size), min(size, count + parameters) - 1)
    smooth, _ = np.linalg.qr(smooth)
    directions, _, _ = np.linalg.svd(smooth - own @ (own.T @ smooth), full_matrices=False)
    along = directions[:, :count].T @ residual
    return math.sqrt(float(along @ along) / count), count


class LawInterval:
    """The interval of the rate or exponent of a law, and what it may leave at the least and at the most.

    Parameters
    ----------
    window : Window
        The values that the law was fitted to.
    fit : DecayFit
        The law.
    level : float
        Of the interval.

    Attributes
    ----------
    ends : (low, high)
        Of the rate, per unit time, or of the exponent; (0, inf) where the law has neither.
    slow : float
        Standard deviation of slow deviations of log M from the law.
    """

    def __init__(self, window: Window, fit: DecayFit, level: float):
        self.window, self.fit = window, fit
        x, self.span = window.x, float(window.lags[-1] - window.lags[0])
        residual, bend = law_residual(window, fit)
        tangent = np.stack([np.ones_like(x), x], 1)
        if bend:
            e = math.expm1(bend)
            tangent = np.stack([np.ones_like(x), np.log1p(e * x), x / (1 + e * x)], 1)
        slow, count = slow_scatter(residual, tangent)
        self.slow = slow = math.hypot(slow, np.finfo(float).eps * (1 + np.abs(window.logs).max()))
        quantile = float(stats.t.ppf((1 + level) / 2, count))
        others = np.delete(tangent, 1, 1)
        own = tangent[:, 1] - others @ np.linalg.lstsq(others, tangent[:, 1], rcond=None)[0]
        self.half = quantile * slow / float(np.linalg.norm(own))
        self.lift = quantile * slow / math.sqrt(x.size)  # by which the level may be off
        self.ends: Interval = (0.0, math.inf)
        if fit.exponent is not None:
            factor = math.exp(min(self.half / fit.exponent, _WIDEST))
            self.ends = (fit.exponent / factor, fit.exponent * factor)
        elif fit.rate is not None:
            self.ends = (max(0.0, fit.rate - self.half / self.span), fit.rate + self.half / self.span)

    def least(self) -> "LawAtAnEnd":
        """Return the law at the end of the interval that leaves the least."""
        return self._at(self.ends[1], -self.lift)

    def most(self) -> "LawAtAnEnd":
        """Return the law at the end of the interval that leaves the most."""
        return self._at(self.ends[0], self.lift)

    def _at(self, end: float, lift: float) -> "LawAtAnEnd":
        """Return the best law with this rate or exponent, times e^lift."""
        x, logs, lags = self.window.x, self.window.logs, self.window.lags
        if self.fit.rate is not None:
            # all lines of the interval meet in the middle of the window
            return LawAtAnEnd(float(logs.mean() + lift + end * lags.mean()), rate=end)

        def misfit(bend: float) -> float:
            return float(np.var(logs + end * np.log1p(math.expm1(bend) * x)))

        e = math.expm1(float(np.asarray(optimize.fminbound(misfit, *_BENDS))))
        level = float(np.mean(logs + end * np.log1p(e * x)))
        shift = self.span / e - float(lags[0])
        return LawAtAnEnd(level + lift + end * math.log(self.span / e), exponent=end, shift=shift)


@dataclass(frozen=True)
class LawAtAnEnd:
    """The law e^{log_level − rate t} (t + shift)^{−exponent}, of which one, rate or exponent, is zero."""

    log_level: float
    rate: float = 0.0
    exponent: float = 0.0
    shift: float = 1.0

    def __call__(self, lags: np.ndarray) -> np.ndarray:
        """Return the law at some lags."""
        logs = self.log_level - self.rate * lags - self.exponent * np.log(lags + self.shift)
        return np.exp(np.minimum(logs, _LARGEST))

    def after(self, last: float, dt: float) -> float:
        """Return the sum over the lags last + dt, last + 2 dt, ..., of a power by its integral."""
        if self.rate > 0:
            return float(self(np.array(last + dt))) / -math.expm1(-self.rate * dt)
        if self.exponent > 1:
            return float(self(np.array(last))) * (last + self.shift) / ((self.exponent - 1) * dt)
        return math.inf
