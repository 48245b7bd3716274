"""The law of the last part of a memory curve: exponential, power of time, or faster than both.

What :func:`curse_of_memory.theory.decay.decay` fits, and to which points of the curve.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares

__all__ = ["ENOUGH", "FEWEST", "KINDS", "Window", "evidence", "fit_law", "is_still", "window"]

KINDS = {-1: "faster", 0: "exponential", 1: "polynomial", 2: "none"}  # by the index nearest to theirs
FEWEST, ENOUGH = 4, 15  # points: fewer than the first are no evidence, more than the second no further
_BENDS = np.linspace(-6.0, 6.0, 121)  # starts of the search for log(ℓ(start)/ℓ(stop))


@dataclass(frozen=True)
class Window:
    """The points a law is fitted to: times, at least three of them, and log M there."""

    lags: np.ndarray
    logs: np.ndarray

    @property
    def x(self) -> np.ndarray:
        """Times from 0 to 1."""
        return (self.lags - self.lags[0]) / (self.lags[-1] - self.lags[0])

    def fit(self, bend: float) -> tuple[np.ndarray, np.ndarray]:
        """Return (a, b) of the law log M = a − b log(1 + e x)/e with e = exp(bend) − 1, and its residual."""
        e = math.expm1(bend)
        basis = np.stack([np.ones(self.x.size), -(np.log1p(e * self.x) / e if e else self.x)], 1)
        ab = np.linalg.lstsq(basis, self.logs)[0]
        return ab, self.logs - basis @ ab

    def bend(self) -> tuple[float, float]:
        """Return the best bend = log(ℓ(start)/ℓ(stop)), and its standard error.

        Neighbouring residuals are alike, so there are as many independent ones as runs of one sign.
        """
        start = min(_BENDS, key=lambda b: np.linalg.norm(self.fit(b)[1]))
        steps = {"xtol": 1e-15, "ftol": 1e-15, "gtol": 1e-15, "bounds": (-7.0, 7.0)}
        best = least_squares(lambda b: self.fit(b[0])[1], [start], **steps)
        count = best.fun.size
        runs = 1 + np.count_nonzero(np.diff(np.signbit(best.fun)))
        variance = 2 * best.cost / max(count - 3, 1) * count / runs
        sensitivity = float(np.linalg.norm(best.jac))
        return float(best.x[0]), math.sqrt(variance) / sensitivity if sensitivity else math.inf


def is_still(section: np.ndarray, tolerance: float) -> bool:
    """Whether the curve, or where it oscillates its peaks, fall no more than they scatter."""
    logs = np.log(np.maximum(section, np.finfo(float).tiny))
    (peaks,) = np.nonzero((logs[1:-1] > logs[:-2]) & (logs[1:-1] >= logs[2:]))
    chosen = peaks + 1 if peaks.size >= FEWEST else np.arange(section.size)
    (_, fall), residual = Window(chosen.astype(float), logs[chosen]).fit(0.0)
    rounding = 64 * np.finfo(float).eps * (1 + np.abs(logs).max())
    return fall <= 2 * _rms(residual) * (peaks.size >= FEWEST) + tolerance + rounding


def window(values: np.ndarray, lags: np.ndarray, peak: int, first: int, stop: int) -> Window:
    """Return what the law is fitted to: peaks where the curve oscillates, else its upper envelope."""
    section = values[: stop + 1]
    envelope = np.maximum.accumulate(section[::-1])[::-1]
    after = np.append(envelope[1:], -np.inf)
    records = np.flatnonzero(section > after)
    records = records[records >= peak]
    interior = records[(records > 0) & (records < stop)]
    peaks = interior[section[interior - 1] < section[interior]]
    late, late_peaks = records[records >= first], peaks[peaks >= first]
    oscillates = late.size < 0.9 * (stop + 1 - first)
    if late_peaks.size < FEWEST and peaks.size >= FEWEST and oscillates:
        late_peaks = peaks[-2 * FEWEST :]
    if late_peaks.size >= FEWEST:
        return _summits(section, lags, late_peaks)
    chosen = late if late.size >= FEWEST else np.arange(first, stop + 1)
    return Window(lags[chosen], np.log(envelope[chosen]))


def _summits(values: np.ndarray, lags: np.ndarray, peaks: np.ndarray) -> Window:
    """Return where the parabolas through log M at each peak and its neighbours have their maxima."""
    before, at, behind = (np.log(np.maximum(values[peaks + i], values[peaks] / 1e3)) for i in (-1, 0, 1))
    # a parabola through points far down the flanks is no longer the curve
    broad = np.minimum(before, behind) > at - math.log(2)
    curvature, slope = before - 2 * at + behind, broad * (behind - before) / 2
    return Window(lags[peaks] - lags[1] * slope / curvature, at - slope**2 / (2 * curvature))


def fit_law(window: Window, dt: float) -> dict:
    """Return kind, margin, fit and parameters of the law of the window that its index names."""
    start, stop = map(float, window.lags[[0, -1]])
    scale = math.log(stop / max(start, dt))
    bend, error = window.bend()
    index = bend / scale
    nearest = float(np.clip(np.round(index), -1, 2))
    off = abs(index - nearest)
    if not -1 <= index <= 2:  # further from the other classes than the class is itself
        off = -off
    margin = float(np.clip(1 - 2 * (off + 2 * error / scale), 0, 1))
    (_, fall), straight = window.fit(0.0)
    (level, slope), bent = window.fit(bend if nearest else 0.0)
    law = {
        "kind": KINDS[nearest] if margin else "unknown",
        "index": index,
        "index_error": error / scale,
        "misfit_exponential": _rms(straight),
        "misfit_polynomial": _rms(bent if nearest else window.fit(bend)[1]),
        "margin": margin,
        "fit": max(0.0, 1 - _rms(bent) / max(fall, np.finfo(float).tiny)),
        "level": math.exp(level),
    }
    if law["kind"] == "exponential":
        law["rate"] = float(slope) / (stop - start)
    if law["kind"] == "polynomial":
        e = math.expm1(bend)
        law |= {"exponent": float(slope) / e, "shift": (stop - start) / e - start}
    return law


def _rms(residual: np.ndarray) -> float:
    return float(np.sqrt(np.mean(residual**2)))


def evidence(points: int) -> float:
    """Return the share of enough points that there is, from 0 to 1."""
    return float(np.clip((points - FEWEST + 1) / (ENOUGH - FEWEST + 1), 0.0, 1.0))
