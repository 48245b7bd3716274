"""Windows of heart recordings: their labels, how they are divided, and what is known without reading a wave.

Algorithm
---------
Window w of a patient begins at second 3 w and has 4000 samples, 32 seconds; its label is the heart rate of
the monitor at second 3 w + 31, and it counts where there is one. Of 53 patients with 150 windows each, and a
monitor that fails for four seconds, these are 7949, as many as the archive BIDMC32HR has (Zenodo 3902651).

The public code of Long Expressive Memory (2110.04744) divides the windows by chance into 5565 for training
and 2384 others, and these into 1192 for testing and 1192 for validation, each time with torch's generator
from the seed 123456. Windows follow each other every three seconds, so that most for testing have a neighbour
for training, of the same heart, on nearly the same samples. Whole patients are divided instead to see what is
known of others' hearts. In which order the archive has its windows is not known: here they are patient by
patient and in the order of time. So the official division is the same draw, of other windows perhaps.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from curse_of_memory.tasks.heart_recordings import RATE, Recordings
from curse_of_memory.tasks.sampling import drawn_by
from curse_of_memory.tools import checks

__all__ = [
    "DIVISIONS",
    "EVERY",
    "LENGTH",
    "PARTS",
    "Windows",
    "constant_error",
    "nearest_error",
    "patient_mean_error",
    "share_beside_training",
    "windows_of",
]

PARTS = ("train", "validation", "test")
DIVISIONS = ("official", "patients")
LENGTH, EVERY, LABELLED = 4000, 3, 31  # samples; seconds from one window to the next, and to its label
OFFICIAL_SEED = 123456


@dataclass(frozen=True)
class Windows:
    """Windows of recordings, one entry of each array a window.

    Attributes
    ----------
    patient, place : ndarray of int
        Whose it is, and the number w of the window in that recording.
    label : ndarray
        The heart rate in beats a minute.
    part : ndarray of str
        Which of :data:`PARTS` it is for.
    """

    patient: NDArray[np.int64]
    place: NDArray[np.int64]
    label: NDArray[np.float64]
    part: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.label)

    def rows(self, part: str) -> NDArray[np.int64]:
        """Return which windows are for a part, ``'train'``, ``'validation'`` or ``'test'``."""
        return np.flatnonzero(self.part == checks.one_of("part", part, PARTS))


def windows_of(recordings: Recordings, division: str, seed: int) -> Windows:
    """Return the windows of recordings that have a label, divided into those for training and the others.

    Parameters
    ----------
    recordings : Recordings
    division : {'official', 'patients'}
        By chance, as the public code divides them; or whole patients, so that nobody is in two parts.
    seed : int
        Names the division of patients: of 53, 38 for training, 7 for validation and 8 for testing.

    Raises
    ------
    ValueError, TypeError
        For another division or an ill seed, or recordings of which a part has no windows.
    """
    draws = drawn_by(seed)
    by_chance = checks.one_of("division", division, DIVISIONS) == "official"
    count = max(0, (recordings.signals.shape[1] - LENGTH) // (EVERY * RATE) + 1)
    labels = recordings.rates[:, LABELLED::EVERY][:, :count]
    patient, place = np.nonzero(np.isfinite(labels))
    part = (
        _divided(len(patient), _official_order)
        if by_chance
        else _divided(len(labels), draws.permutation)[patient]
    )
    for one in PARTS:
        if not (part == one).any():
            raise ValueError(f"recordings must have windows for {one}, got none of {len(part)}")
    return Windows(patient, place, labels[patient, place], part)


def _official_order(count: int) -> NDArray[np.int64]:
    """Return the order in which torch's generator puts `count` things from the seed of the public code."""
    return torch.randperm(count, generator=torch.Generator().manual_seed(OFFICIAL_SEED)).numpy()


def _divided(count: int, order: Callable[[int], NDArray[np.int64]]) -> NDArray[np.str_]:
    """Return the part of each of `count` things: three of ten are put aside, half of them for testing."""
    aside = 3 * count // 10
    others = order(count)[count - aside :]
    part = np.full(count, "train", dtype="<U10")
    part[others] = "validation"
    part[others[order(aside)[: -(-aside // 2)]]] = "test"
    return part


def constant_error(windows: Windows) -> float:
    """Return the root mean squared error of one answer to all test windows: the mean label for training."""
    return _error(windows, np.full(len(windows), _constant(windows)))


def patient_mean_error(windows: Windows) -> float:
    """Return the root mean squared error of the mean training label of a test window's patient.

    Of a patient without a window for training nothing is known but the mean of all.
    """
    answers = np.full(len(windows), _constant(windows))
    training = windows.rows("train")
    for patient in np.unique(windows.patient[training]):
        own = training[windows.patient[training] == patient]
        answers[windows.patient == patient] = windows.label[own].mean()
    return _error(windows, answers)


def nearest_error(windows: Windows) -> float:
    """Return the root mean squared error of the label of the training window that is nearest in time.

    It is of the same patient, the earlier one of two that are as near. Of a patient without a window for
    training nothing is known but the mean of all.
    """
    answers = np.full(len(windows), _constant(windows))
    nearest, _ = _nearest_training(windows)
    answers[nearest >= 0] = windows.label[nearest[nearest >= 0]]
    return _error(windows, answers)


def share_beside_training(windows: Windows) -> float:
    """Return the share of test windows with a training window of the same patient at most 3 seconds away."""
    _, distance = _nearest_training(windows)
    return float((distance[windows.rows("test")] <= 1).mean())


def _constant(windows: Windows) -> float:
    return float(windows.label[windows.rows("train")].mean())


def _nearest_training(windows: Windows) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return for each window the nearest of training, −1 if its patient has none, and how far away it is."""
    nearest, distance = np.full(len(windows), -1), np.full(len(windows), np.inf)
    training = windows.rows("train")
    for patient in np.unique(windows.patient[training]):
        own, all_of_them = training[windows.patient[training] == patient], windows.patient == patient
        away = np.abs(windows.place[all_of_them, None] - windows.place[own])
        nearest[all_of_them], distance[all_of_them] = own[away.argmin(1)], away.min(1)
    return nearest, distance


def _error(windows: Windows, answers: NDArray[np.float64]) -> float:
    """Return the root mean squared error of answers to all windows over those for testing."""
    test = windows.rows("test")
    return float(np.sqrt(np.mean((answers[test] - windows.label[test]) ** 2)))
