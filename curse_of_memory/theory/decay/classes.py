"""The choice of the window that decides the class of a memory curve, and the confidence in it.

The rules are stated in the docstring of :func:`curse_of_memory.theory.decay.decay`.
"""

import math
from dataclasses import dataclass, field

import numpy as np

from curse_of_memory.theory.decay.laws import (
    ENOUGH,
    FEWEST,
    Law,
    Window,
    evidence,
    fit_law,
    oscillation_period,
    windows,
)

__all__ = ["ABOVE_NOISE", "Answer", "classified"]

ABOVE_NOISE = 10.0  # values below this many noise floors do not count: above, log M is good to 10 %
_HALVINGS, _SURE = 4, 0.05  # windows begin at 1/2, 1/4, ... of the last lag, until the index is this sure
_TELLING = 32  # points that tell an oscillation from noise
_STEPS_SEEN, _LARGEST_FALL = 15, 5.0  # before a cliff; of log M in a step, where none was seen


@dataclass(frozen=True)
class Answer:
    """The class of a curve as one window shows it.

    Attributes
    ----------
    kind, confidence
        As of :class:`curse_of_memory.theory.decay.DecayFit`.
    start, points
        The first lag of the window, in time units, and how many points it has.
    error : float
        Of two windows the one with the smaller error answers: the standard error of the index, or of a flat
        curve what it may fall.
    law : Law
        The fitted law; all NaN where none was fitted.
    window : Window or None
        What it was fitted to, if anything.
    """

    kind: str
    confidence: float
    start: float = math.nan
    points: int = 0
    error: float = math.inf
    law: Law = field(default_factory=Law)
    window: Window | None = field(default=None, repr=False, compare=False)


def classified(values: np.ndarray, lags: np.ndarray, peak: int, stop: int, floor: float) -> Answer:
    """Return the answer of the window that decides the class of a curve.

    Parameters
    ----------
    values, lags : numpy.ndarray, shape (n,)
        M >= 0 at even lags.
    peak, stop : int
        Where the decay begins, and the last value above the noise.
    floor : float
        The noise floor.
    """
    if stop < values.size - 1 and (cliff := _cliff(values, stop, floor)):
        return Answer("compact", cliff)
    first = max(peak, min(int(np.searchsorted(lags, lags[stop] / 2)), stop - FEWEST + 1))
    late = first if stop + 1 - first >= _TELLING else peak
    cycle = oscillation_period(values[late : stop + 1], lags[late : stop + 1])
    # periods are rounded to whole lags, which moves their means by up to half a lag's share
    tolerance = 2 * floor / values[stop] + (1 / cycle if cycle else 0.0)
    tried = []
    for halvings in range(_HALVINGS):
        earlier = max(peak, min(first, int(np.searchsorted(lags, lags[first] / 2**halvings))))
        answers = [
            _flat(window, tolerance, bool(cycle)) or _judged(window, values[stop] / values[peak], lags[1])
            for window in windows(values, lags, peak, earlier, stop, cycle)
            if window.lags.size >= FEWEST
        ]
        tried += answers
        sure = [answer for answer in answers if answer.points >= ENOUGH and answer.error <= _SURE]
        if sure:
            return min(sure, key=lambda answer: answer.error)
    decided = [answer for answer in tried if answer.kind != "unknown"]
    if not decided:
        return Answer("unknown", 0.0, float(lags[first]), stop + 1 - first, window=_longest(tried))
    most = max(min(answer.points, ENOUGH) for answer in decided)
    decided = [answer for answer in decided if answer.points >= most]
    return min(decided, key=lambda answer: answer.error)


def _longest(tried: list[Answer]) -> Window | None:
    """Return the window with the most points, if there is any."""
    return max(tried, key=lambda answer: answer.points).window if tried else None


def _flat(window: Window, tolerance: float, oscillating: bool) -> Answer | None:
    """Return the answer if log M does not fall by more than twice its error; None if it does.

    The error is the standard error of the fall; of an oscillation its scatter, which is not all chance.
    """
    level, fall, residual = window.fit(0.0)
    freedom = max(window.independent(residual) - 2, 1)
    spread = float(np.linalg.norm(residual)) / math.sqrt(freedom)
    error = spread / float(np.std(window.x) * math.sqrt(window.lags.size))
    if oscillating:
        error = max(error, float(np.std(residual)))
    rounding = 64 * np.finfo(float).eps * (1 + np.abs(window.logs).max())
    if fall > 2 * error + tolerance + rounding:
        return None
    unseen = max(fall, 0.0) + 2 * error + tolerance
    start, points = float(window.lags[0]), window.lags.size
    if unseen >= 1 or fall < -3 * error - tolerance - rounding:
        return Answer("unknown", 0.0, start, points, window=window)
    law = Law(level=math.exp(level - fall / 2))
    return Answer("none", float(evidence(points) * (1 - unseen)), start, points, unseen, law, window)


def _judged(window: Window, kept: float, dt: float) -> Answer:
    """Return the answer of the law of the window; `kept` is the share of the maximum left at its end."""
    law, start, points = fit_law(window, dt), float(window.lags[0]), window.lags.size
    coverage = 1.0 if law.kind == "none" else 1 - kept
    confidence = law.margin * law.share * law.fit * coverage * evidence(points)
    sure = 0.0 if law.kind == "unknown" else float(confidence)
    return Answer(law.kind, sure, start, points, law.index_error, law, window)


def _cliff(values: np.ndarray, stop: int, floor: float) -> float:
    """Return the confidence that the curve drops to nothing after `stop`; 0 if it fades into the noise."""
    before = values[max(0, stop - _STEPS_SEEN) : stop + 1]
    falls = -np.diff(np.log(np.maximum(before, floor or values[stop] * np.finfo(float).tiny)))
    largest = max(falls.max(initial=0.0), _LARGEST_FALL * (1 - falls.size / 3))
    after = max(float(values[stop + 1 :].max()), floor)
    drop = math.log(values[stop] / after) if after else math.inf
    sure = -math.expm1(-max(drop - 1 - 2 * largest, 0.0))
    return sure if sure >= 0.5 else 0.0
