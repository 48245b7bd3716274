"""Pulse waves and electrocardiograms of made patients: the stand-in for the recordings of BIDMC.

Algorithm
---------
The rate of a patient, in beats a minute, goes back to a mean of its own while noise drives it,

    dr = (m − r)/τ dt + s √(2/τ) dW,      τ = 60 seconds,

and its integral is the phase φ of the heart. Both waves are sums of bumps e^{κ (cos 2π(φ − p) − 1)}: a beat,
high and narrow, in the electrocardiogram, a pulse with a second and lower crest in the other wave; size,
level, delay and crest are each patient's own. Breathing moves the level, and there is white noise. The
monitor shows the mean rate of the last eight seconds, rounded, and fails one patient for four seconds, as the
real one does.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter

from curse_of_memory.tasks.heart_recordings import PATIENTS, RATE, ROWS, SECONDS, Recordings

__all__ = ["made_recordings"]

SEED = 0
MEAN, BETWEEN, WITHIN = 89.0, 13.0, 2.7  # of the rate: its mean, and deviations between and within patients
LEAST, LARGEST = 45.0, 139.0
RETURN = 60.0  # τ, seconds
SHOWN = 8  # seconds over which the monitor averages
FAILED, FROM, UNTIL = 26, 207, 211  # the patient, and the seconds, without a rate


def made_recordings() -> Recordings:
    """Return recordings of made patients in the form of the published ones; they are always the same."""
    draws = np.random.default_rng(SEED)
    rate = _rates(draws)
    phase = np.cumsum(rate, axis=1) / (60 * RATE) + draws.uniform(size=(PATIENTS, 1))

    def own(low: float, high: float) -> NDArray[np.float64]:
        return draws.uniform(low, high, (PATIENTS, 1))

    breath = np.sin(2 * np.pi * (own(0.2, 0.35) * np.arange(ROWS) / RATE + own(0, 1)))
    crest = _bumps(phase - own(0.2, 0.3), 4) + own(0.1, 0.5) * _bumps(phase - own(0.55, 0.65), 6)
    pulse = own(0.4, 1.0) + own(0.2, 0.8) * crest + own(0.01, 0.05) * breath
    beat = _bumps(phase, 150) + own(0.1, 0.3) * _bumps(phase - own(0.3, 0.4), 15)
    heart = own(0.1, 0.5) + own(0.3, 0.9) * beat + own(0.01, 0.05) * breath
    signals = np.stack([pulse, heart], axis=-1).astype(np.float32)
    signals += 0.01 * draws.standard_normal(signals.shape, dtype=np.float32)
    return Recordings(signals, _shown(rate))


def _rates(draws: np.random.Generator) -> NDArray[np.float64]:
    """Return the rates ``(patient, time)`` at every sample."""
    mean = np.clip(MEAN + BETWEEN * draws.standard_normal((PATIENTS, 1)), LEAST + 15, LARGEST - 15)
    kept = np.exp(-1 / (RETURN * RATE))
    noise = draws.standard_normal((PATIENTS, ROWS))
    noise[:, 1:] *= np.sqrt(1 - kept**2)  # so that the deviation is the same at all times
    walks = np.asarray(lfilter([1.0], [1.0, -kept], noise))
    return np.clip(mean + WITHIN * walks, LEAST, LARGEST)


def _bumps(phase: NDArray[np.float64], sharpness: float) -> NDArray[np.float64]:
    """Return a wave of the period 1 with crests of height 1 at the whole numbers."""
    return np.exp(sharpness * (np.cos(2 * np.pi * phase) - 1))


def _shown(rate: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return what the monitor shows once a second, ``(patient, second)``."""
    total = np.pad(np.cumsum(rate, axis=1), ((0, 0), (1, 0)))  # before each sample
    now = np.arange(SECONDS) * RATE + 1
    before = np.maximum(now - SHOWN * RATE, 0)
    shown = np.round((total[:, now] - total[:, before]) / (now - before))
    shown[FAILED, FROM:UNTIL] = np.nan
    return shown
