"""The stand-in for EigenWorms: crawling worms, made by a seeded generator.

A worm crawls by a wave that travels along its body. Of its posture one number is kept at every step, as in
the set Worms of the UCR archive: the amplitude of its first eigenworm, here

    a_k = cos φ_k + b_k + noise,     φ_{k+1} = φ_k ± 2π f (1 + jitter),

where the sign changes when the worm reverses, and the slow bend b is what turns it. Strains differ in the
frequency f of the wave, in how often they reverse, and in how much they bend. The numbers are chosen, not
measured: nothing here says anything about real worms.
"""

import numpy as np
from scipy.signal import lfilter

__all__ = ["STRAINS", "crawling_worms"]

STEPS = 900
COUNTS = {"train": (76, 31, 25, 32, 17), "test": (33, 13, 10, 13, 8)}
"""Worms of each strain, in the shares of the UCR archive: 181 and 77."""

STRAINS = {
    "1": (0.05, 0.010, 0.3),
    "2": (0.08, 0.040, 0.2),
    "3": (0.02, 0.015, 0.6),
    "4": (0.03, 0.005, 0.9),
    "5": (0.03, 0.060, 0.4),
}
"""Of each strain the frequency of the wave and the rate of reversals, a step, and the size of the bend."""

JITTER, NOISE, BEND_STEPS = 0.3, 0.3, 60.0


def crawling_worms(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return worms of five strains, each series with mean 0 and deviation 1 as those of the UCR archive.

    Parameters
    ----------
    part : {'train', 'test'}
        181 or 77 worms.

    Returns
    -------
    series, labels : ndarray
        ``(worm, 900, 1)`` in float32, and the names ``(worm,)`` of the strains.
    """
    draws = np.random.default_rng(0 if part == "train" else 1)
    labels = np.repeat(list(STRAINS), COUNTS[part])
    frequency, reversals, bend = np.array([STRAINS[label] for label in labels]).T[..., None]
    shape = len(labels), STEPS
    direction = np.where(np.cumsum(draws.random(shape) < reversals, axis=1) % 2, -1, 1)
    speed = frequency * (1 + JITTER * draws.standard_normal(shape))
    phase = 2 * np.pi * (draws.random((len(labels), 1)) + np.cumsum(direction * speed, axis=1))
    keeps = np.exp(-1 / BEND_STEPS)  # of the bend from step to step
    drift = np.asarray(lfilter([np.sqrt(1 - keeps**2)], [1, -keeps], draws.standard_normal(shape), axis=1))
    series = np.cos(phase) + bend * drift + NOISE * draws.standard_normal(shape)
    series -= series.mean(1, keepdims=True)
    series /= series.std(1, keepdims=True)
    return series[..., None].astype(np.float32), labels
