"""The law log M = a − b log(1 + e x)/e fitted to a window of a memory curve, and the windows it is fitted to.

Here x runs from 0 to 1 over the window and log(1 + e) is the *bend*, the logarithm of the ratio of the local
rates at its two ends: 0 for an exponential, positive for a power of time, negative for faster decay.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.decay.noise import period

__all__ = [
    "CLASSES",
    "ENOUGH",
    "FEWEST",
    "Law",
    "Window",
    "evidence",
    "fit_law",
    "oscillation_period",
    "upper_envelope",
    "windows",
]

CLASSES = {-1: "faster", 0: "exponential", 1: "polynomial", 2: "none"}  # by the nearest index
FEWEST, ENOUGH = 4, 15  # points: fewer than the first are no evidence, more than the second add none
DECIDED = 0.75  # share of the likelihood that a class must have
_BENDS = np.linspace(-7.0, 7.0, 141)  # of log(ℓ(start)/ℓ(stop)), where it is searched
_AROUND = np.linspace(-8.0, 8.0, 65)  # standard errors around the best bend, where the likelihood is summed
_NUMBERS = 2**20  # of all bends that are tried together
_MEANS = 40  # over periods, at most about so many
_STEPS = 40  # of Gauss and Newton; a dozen suffice


def _shape(bend: ArrayLike, x: np.ndarray) -> np.ndarray:
    """Return log(1 + e x)/e with e = exp(bend) − 1 and its limit x, for bends (...) as (..., n)."""
    e = np.expm1(np.asarray(bend, dtype=float))[..., None]
    small = np.abs(e) < 1e-12
    e = np.where(small, 1.0, e)
    return np.where(small, x, np.log1p(e * x) / e)


def _shape_slope(bend: float, x: np.ndarray) -> np.ndarray:
    """Return the derivative of :func:`_shape` by the bend."""
    e = math.expm1(bend)
    if abs(e) < 1e-4:
        return (1 + e) * (-(x**2) / 2 + 2 * e * x**3 / 3)
    return (1 + e) * (x / (1 + e * x) - np.log1p(e * x) / e) / e


@dataclass(frozen=True)
class Window:
    """The points a law is fitted to: at least three times, and log M at each."""

    lags: np.ndarray
    logs: np.ndarray

    @cached_property
    def x(self) -> np.ndarray:
        """The times, scaled to [0, 1]."""
        return (self.lags - self.lags[0]) / (self.lags[-1] - self.lags[0])

    def fit(self, bend: float) -> tuple[float, float, np.ndarray]:
        """Return a and b of the law log M = a − b log(1 + e x)/e with e = exp(bend) − 1, and its residual."""
        shape = _shape(bend, self.x)
        centred = shape - shape.mean()
        logs = self.logs - self.logs.mean()
        b = -float(centred @ logs / (centred @ centred))
        return float(self.logs.mean() + b * shape.mean()), b, logs + b * centred

    def squares(self, bends: np.ndarray) -> np.ndarray:
        """Return the sum of squared residuals at each bend."""
        logs = self.logs - self.logs.mean()
        at_once = max(1, _NUMBERS // self.x.size)
        sums = []
        for first in range(0, bends.size, at_once):
            shapes = _shape(bends[first : first + at_once], self.x)
            centred = shapes - shapes.mean(1, keepdims=True)
            b = (centred @ logs) / (centred**2).sum(1)
            sums.append(((logs - b[:, None] * centred) ** 2).sum(1))
        return np.concatenate(sums)

    def bend(self) -> tuple[float, float]:
        """Return the bend log(ℓ(start)/ℓ(stop)) of the smallest sum of squares, and its standard error.

        Neighbouring residuals of a smooth misfit are alike: as independent count no more than twice the runs
        of one sign, their number if residuals are white.
        """
        best = float(_BENDS[np.argmin(self.squares(_BENDS))])
        residual, steepness, step = self._linearised(best)
        for _ in range(_STEPS):
            # a ten-thousandth of the standard error is enough; for exact laws that is rounding
            if abs(step) * steepness <= 1e-4 * np.linalg.norm(residual) / math.sqrt(residual.size):
                break
            trial = min(max(best + step, _BENDS[0]), _BENDS[-1])
            new = self._linearised(trial)
            if new[0] @ new[0] < residual @ residual:
                best, (residual, steepness, step) = trial, new
            else:
                step /= 4
        variance = float(residual @ residual) / max(self.lags.size - 3, 1)
        variance *= self.lags.size / self.independent(residual)
        return best, math.sqrt(variance) / steepness if steepness else math.inf

    def _linearised(self, bend: float) -> tuple[np.ndarray, float, float]:
        """Return the residual, its steepness in the bend, and the step of Gauss and Newton."""
        _, b, residual = self.fit(bend)
        shape, slope = _shape(bend, self.x), -b * _shape_slope(bend, self.x)
        shape, slope = shape - shape.sum() / shape.size, slope - slope.sum() / slope.size
        slope = slope - shape * ((shape @ slope) / (shape @ shape))
        square = float(slope @ slope)
        return residual, math.sqrt(square), float(slope @ residual) / square if square else 0.0

    @staticmethod
    def independent(residual: np.ndarray) -> int:
        """Return the number of independent residuals: twice the runs of one sign, at most all."""
        runs = 1 + int(np.count_nonzero(np.diff(np.signbit(residual))))
        return min(2 * runs, residual.size)

    def likelihood(self, bend: float, error: float) -> tuple[np.ndarray, np.ndarray]:
        """Return a grid of bends and their likelihoods, given the best bend and its standard error.

        For unknown scatter and a flat prior on [−7, 7] it is S(bend)^{−ν/2}, S the sum of squares and ν the
        independent residuals less three parameters.
        """
        around = bend + (error if math.isfinite(error) else 1.0) * _AROUND
        nodes = np.unique(np.clip(np.concatenate([_BENDS, around]), _BENDS[0], _BENDS[-1]))
        residual = self.fit(bend)[2]
        # the rounding of log M adds to the scatter
        rounding = residual.size * (np.finfo(float).eps * (1 + np.abs(self.logs).max())) ** 2
        squares = self.squares(nodes) + rounding
        power = max(self.independent(residual) - 3, 1) / 2
        return nodes, (squares / squares.min()) ** -power


def _share(nodes: np.ndarray, density: np.ndarray, low: float, high: float) -> float:
    """Return the share of a density, linear between nodes, that lies between two ends."""
    ends = np.clip([low, high], nodes[0], nodes[-1])
    finer = np.unique(np.concatenate([nodes, ends]))
    heights = np.interp(finer, nodes, density)
    inside = (finer >= ends[0]) & (finer <= ends[1])
    return float(np.trapezoid(heights[inside], finer[inside]) / np.trapezoid(heights, finer))


def _spread(nodes: np.ndarray, density: np.ndarray) -> float:
    """Return the standard deviation of a density given at nodes."""
    whole = np.trapezoid(density, nodes)
    mean = np.trapezoid(density * nodes, nodes) / whole
    return math.sqrt(np.trapezoid(density * (nodes - mean) ** 2, nodes) / whole)


def oscillation_period(values: np.ndarray, lags: np.ndarray) -> int:
    """Return the period, in steps, of a curve's deviations from a smooth law; 0 if they do not repeat."""
    if np.count_nonzero(values) < 2 * FEWEST or (np.diff(values) <= 0).all():
        return 0
    logs = np.log(np.maximum(values, values.max() * np.finfo(float).tiny))
    window = Window(lags, logs)
    bend = float(_BENDS[np.argmin(window.squares(_BENDS))])
    return period(window.fit(bend)[2])


def windows(
    values: np.ndarray, lags: np.ndarray, peak: int, first: int, stop: int, cycle: int
) -> list[Window]:
    """Return the windows a law may be fitted to: the values; of an oscillation its peaks, and its periods.

    Parameters
    ----------
    values, lags : numpy.ndarray, shape (n,)
        M >= 0 at even lags.
    peak, first, stop : int
        Where the decay begins, where the window begins, and the last value above the noise.
    cycle : int
        The period of the oscillation in steps; 0 for none.
    """
    if not cycle:
        heard = first + np.flatnonzero(values[first : stop + 1])
        return [Window(lags[heard], np.log(values[heard]))]
    return [
        upper_envelope(values[: stop + 1], lags, peak, first),
        _means(values[: stop + 1], lags, first, cycle),
    ]


def _means(values: np.ndarray, lags: np.ndarray, first: int, cycle: int) -> Window:
    """Return root mean squares over whole periods, at the middle of each."""
    length = cycle * max(1, (values.size - first) // (cycle * _MEANS))
    count = (values.size - first) // length
    start = values.size - count * length
    squares = (values[start:] ** 2).reshape(count, length).mean(1)
    middles = lags[start] + lags[1] * (np.arange(count) * length + (length - 1) / 2)
    heard = squares > 0
    return Window(middles[heard], np.log(squares[heard]) / 2)


def upper_envelope(
    section: np.ndarray, lags: np.ndarray, peak: int, first: int, *, noise: float = 0.0
) -> Window:
    """Return the peaks of max_{r ≥ t} M(r) from `first` on; if these are too few, its values there.

    Of a curve that oscillates at its end, but has few peaks from `first` on, the last eight are taken. A rise
    of at most `noise` from one lag to the next makes no peak.
    """
    envelope = np.maximum.accumulate(section[::-1])[::-1]
    records = np.flatnonzero(section > np.append(envelope[1:], -np.inf))
    records = records[records >= peak]
    interior = records[(records > 0) & (records < section.size - 1)]
    peaks = interior[section[interior] - section[interior - 1] > noise]
    late, late_peaks = records[records >= first], peaks[peaks >= first]
    if late_peaks.size < FEWEST <= peaks.size and late.size < 0.9 * (section.size - first):
        late_peaks = peaks[-2 * FEWEST :]
    if late_peaks.size >= FEWEST:
        return _summits(section, lags, late_peaks)
    chosen = late if late.size >= FEWEST else np.arange(first, section.size)
    return Window(lags[chosen], np.log(envelope[chosen]))


def _summits(values: np.ndarray, lags: np.ndarray, peaks: np.ndarray) -> Window:
    """Return where the parabolas through log M at each peak and its neighbours have their maxima."""
    before, at, behind = (np.log(np.maximum(values[peaks + i], values[peaks] / 1e3)) for i in (-1, 0, 1))
    # a parabola through points far down the flanks is no longer the curve
    broad = np.minimum(before, behind) > at - math.log(2)
    curvature, slope = before - 2 * at + behind, broad * (behind - before) / 2
    return Window(lags[peaks] - lags[1] * slope / curvature, at - slope**2 / (2 * curvature))


@dataclass(frozen=True)
class Law:
    """The law fitted to a window, its class, and three factors of the confidence in that; NaN without a fit.

    Attributes
    ----------
    kind : str
        The class of the nearest index; ``"unknown"`` if it has too little of the likelihood.
    index, index_error, misfit_exponential, misfit_polynomial, level, rate, exponent, shift
        As of :class:`curse_of_memory.theory.decay.DecayFit`.
    margin, share, fit : float
        As explained in :func:`curse_of_memory.theory.decay.decay`.
    """

    kind: str = "unknown"
    index: float = math.nan
    index_error: float = math.nan
    misfit_exponential: float = math.nan
    misfit_polynomial: float = math.nan
    level: float = math.nan
    rate: float | None = None
    exponent: float | None = None
    shift: float | None = None
    margin: float = math.nan
    share: float = math.nan
    fit: float = math.nan


def fit_law(window: Window, dt: float) -> Law:
    """Return the law that is fitted to a window, an exponential or a power if its index says so."""
    start, stop = map(float, window.lags[[0, -1]])
    scale = math.log(stop / max(start, dt))
    bend, error = window.bend()
    index = bend / scale
    nearest = float(np.clip(np.round(index), -1, 2))
    margin = 1 - 2 * abs(index - nearest) if -1 <= index <= 2 else 1.0
    low = -math.inf if nearest == -1 else (nearest - 0.5) * scale
    high = math.inf if nearest == 2 else (nearest + 0.5) * scale
    likelihood = window.likelihood(bend, error)
    share = _share(*likelihood, low, high)
    _, fall, straight = window.fit(0.0)
    level, slope, bent = window.fit(bend if nearest else 0.0)
    if nearest == 2:
        # a curve that settles at a level no longer falls in the later half of the window
        e = math.expm1(bend)
        margin *= max(0.0, 1 - slope / e * math.log((1 + e) / (1 + e / 2)))
    law = Law(
        kind=CLASSES[int(nearest)] if share >= DECIDED else "unknown",
        index=index,
        index_error=_spread(*likelihood) / scale,
        misfit_exponential=_rms(straight),
        misfit_polynomial=_rms(bent if nearest else window.fit(bend)[2]),
        level=math.exp(level),
        margin=margin,
        share=share,
        fit=max(0.0, 1 - _rms(bent) / max(fall, np.finfo(float).tiny)),
    )
    if law.kind == "exponential":
        return replace(law, rate=slope / (stop - start))
    if law.kind == "polynomial":
        e = math.expm1(bend)
        return replace(law, exponent=slope / e, shift=(stop - start) / e - start)
    return law


def _rms(residual: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residual**2)))


def evidence(points: int) -> float:
    """Return clip((points − 3)/12, 0, 1), the factor of the confidence that is 1 from 15 points on."""
    return float(np.clip((points - FEWEST + 1) / (ENOUGH - FEWEST + 1), 0.0, 1.0))
