"""The stand-in for spoken words: sweeps of three formants, twelve sorts of them, by voices that differ."""

import numpy as np

from curse_of_memory.tasks.keyword_files import CLASSES, SILENCE, UNKNOWN, Clips
from curse_of_memory.tasks.mel_features import RATE

__all__ = ["synthetic_words"]

SPEAKERS, TIMES = 20, 2  # of each word by each speaker
RANGES = np.array([(250, 900), (900, 2400), (2400, 3800)])  # Hz, of the three formants
LOUDNESS = np.array([1.0, 0.6, 0.3])


def synthetic_words(part: str = "all") -> Clips:
    """Return clips of one second in the form of Speech Commands: 20 voices say each of twelve classes twice.

    A word is a path of its three formants through three frequencies each, the same for all who say it; a
    voice has a pitch, scales all formants, and takes its time. What is unknown has a path of its own in each
    clip, and silence is noise alone. All is drawn by one seeded generator.

    Parameters
    ----------
    part : {'all'}
        There is but one.
    """
    draws = np.random.default_rng(0)
    paths = {label: _path(draws) for label in range(len(CLASSES)) if label not in (UNKNOWN, SILENCE)}
    sounds, labels, speakers = [], [], []
    for speaker in range(SPEAKERS):
        pitch, tract = draws.uniform(90, 240), draws.uniform(0.9, 1.1)
        for label in list(range(len(CLASSES))) * TIMES:
            sound = 10 ** draws.uniform(-2.5, -1.5) * draws.standard_normal(RATE)
            if label != SILENCE:
                path = _path(draws) if label == UNKNOWN else paths[label]
                _say(sound, tract * path, pitch, draws)
            sounds.append(np.round(3000 * sound).clip(-(2**15), 2**15 - 1).astype(np.int16))
            labels.append(label)
            speakers.append(f"voice {speaker}")
    return Clips(sounds, np.array(labels), speakers)


def _path(draws: np.random.Generator) -> np.ndarray:
    """Return three frequencies of each formant, ``(formant, time)``."""
    return draws.uniform(RANGES[:, :1], RANGES[:, 1:], (len(RANGES), 3))


def _say(sound: np.ndarray, path: np.ndarray, pitch: float, draws: np.random.Generator) -> None:
    """Add a word to a sound, somewhere in it."""
    length = int(RATE * draws.uniform(0.4, 0.7))
    start = draws.integers(0, RATE - length)
    share = np.arange(length) / length
    word = np.zeros(length)
    for loudness, nodes in zip(LOUDNESS, path, strict=True):
        frequency = np.interp(share, [0, 0.5, 1], nodes)
        word += loudness * np.sin(2 * np.pi * np.cumsum(frequency) / RATE)
    voice = np.cos(np.pi * pitch * np.arange(length) / RATE) ** 2
    sound[start : start + length] += word * voice * np.sin(np.pi * share)
