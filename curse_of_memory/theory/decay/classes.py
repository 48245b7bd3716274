"""The class of a memory curve: which windows are looked at, which of them answers, and how surely.

The parts of :func:`curse_of_memory.theory.decay.decay`, whose docstring states the rules.
"""

import math
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.decay.laws import ENOUGH, FEWEST, Window, evidence, fit_law, oscillates, windows

__all__ = ["ABOVE_NOISE", "classified"]

ABOVE_NOISE = 10.0  # a value counts where it is this many noise floors high: its logarithm is good to 10 %
_HALVINGS, _SURE = 4, 0.05  # windows begin at 1/2, 1/4, ... of the last lag, until the index is this sure
_TELLING = 32  # points that tell an oscillation from noise
_STEPS_SEEN, _LARGEST_FALL = 15, 5.0  # before a cliff; of log M in a step, where none was seen


@dataclass(frozen=True)
class _Answer:
    """What one window says: the class, how sure, the error it is chosen by, and its law."""

    kind: str
    confidence: float
    error: float
    seen: Window
    law: dict

    def told(self) -> dict:
        """Return the fields of a `DecayFit`."""
        where = {"start": float(self.seen.lags[0]), "points": self.seen.lags.size}
        return {"kind": self.kind, "confidence": float(self.confidence)} | where | self.law


def classified(values: np.ndarray, lags: np.ndarray, peak: int, stop: int, floor: float) -> dict:
    """Return the fields kind, confidence, law and window of a `DecayFit`.

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
        return {"kind": "compact", "confidence": cliff, "stop": float(lags[stop])}
    first = max(peak, min(int(np.searchsorted(lags, lags[stop] / 2)), stop - FEWEST + 1))
    where = {"start": float(lags[first]), "stop": float(lags[stop]), "points": stop + 1 - first}
    late = first if stop + 1 - first >= _TELLING else peak
    cycle = oscillates(values[late : stop + 1], lags[late : stop + 1])
    # means over whole lags in place of whole periods are off by up to half a lag's share
    tolerance = 2 * floor / values[stop] + (1 / cycle if cycle else 0.0)
    tried = []
    for halvings in range(_HALVINGS):
        earlier = max(peak, min(first, int(np.searchsorted(lags, lags[first] / 2**halvings))))
        answers = [
            _still(seen, tolerance, bool(cycle)) or _judged(seen, values[stop] / values[peak], lags[1])
            for seen in windows(values, lags, peak, earlier, stop, cycle)
            if seen.lags.size >= FEWEST
        ]
        tried += answers
        sure = [a for a in answers if a.seen.lags.size >= ENOUGH and a.error <= _SURE]
        if sure:
            return where | min(sure, key=lambda answer: answer.error).told()
    decided = [answer for answer in tried if answer.kind != "unknown"]
    if not decided:
        return where | {"kind": "unknown", "confidence": 0.0}
    most = max(min(answer.seen.lags.size, ENOUGH) for answer in decided)
    decided = [answer for answer in decided if answer.seen.lags.size >= most]
    return where | min(decided, key=lambda answer: answer.error).told()


def _still(seen: Window, tolerance: float, oscillating: bool) -> _Answer | None:
    """Return the answer where log M does not fall by more than twice its error; None where it does.

    The error is the standard error of the fall, or of what oscillates the scatter itself, of which a part is
    no chance.
    """
    level, fall, residual = seen.fit(0.0)
    freedom = max(seen.independent(residual) - 2, 1)
    spread = float(np.linalg.norm(residual)) / math.sqrt(freedom)
    error = spread / float(np.std(seen.x) * math.sqrt(seen.lags.size))
    if oscillating:
        error = max(error, float(np.std(residual)))
    rounding = 64 * np.finfo(float).eps * (1 + np.abs(seen.logs).max())
    if fall > 2 * error + tolerance + rounding:
        return None
    unseen = max(fall, 0.0) + 2 * error + tolerance
    if unseen >= 1 or fall < -3 * error - tolerance - rounding:
        return _Answer("unknown", 0.0, math.inf, seen, {})
    law = {"level": math.exp(level - fall / 2)}
    return _Answer("none", evidence(seen.lags.size) * (1 - unseen), unseen, seen, law)


def _judged(seen: Window, kept: float, dt: float) -> _Answer:
    """Return the answer that the law of the window gives."""
    law = fit_law(seen, dt)
    kind, decided = law.pop("kind"), law.pop("margin") * law.pop("share") * law.pop("fit")
    coverage = 1.0 if kind == "none" else 1 - kept
    confidence = 0.0 if kind == "unknown" else decided * coverage * evidence(seen.lags.size)
    return _Answer(kind, confidence, law["index_error"], seen, law)


def _cliff(values: np.ndarray, stop: int, floor: float) -> float:
    """Return the confidence that the curve drops to nothing after `stop`; 0 if it fades into the noise."""
    before = values[max(0, stop - _STEPS_SEEN) : stop + 1]
    falls = -np.diff(np.log(np.maximum(before, floor or values[stop] * np.finfo(float).tiny)))
    largest = max(falls.max(initial=0.0), _LARGEST_FALL * (1 - falls.size / 3))
    after = max(float(values[stop + 1 :].max()), floor)
    drop = math.log(values[stop] / after) if after else math.inf
    sure = -math.expm1(-max(drop - 1 - 2 * largest, 0.0))
    return sure if sure >= 0.5 else 0.0
