"""BIDMC32HR: the heart rate, to be read from half a minute of pulse wave and electrocardiogram."""

import copy
from collections.abc import Sequence
from typing import Self

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.heart_pulses import made_recordings
from curse_of_memory.tasks.heart_recordings import CHANNELS, RATE, Recordings, read_recordings
from curse_of_memory.tasks.heart_windows import DIVISIONS, EVERY, LENGTH, PARTS, windows_of
from curse_of_memory.tasks.sampling import Batch, Splits, drawn_by, placed
from curse_of_memory.tools import checks

__all__ = ["BIDMC", "HeartRate"]

BIDMC = DataSet(
    "bidmc",
    "the BIDMC recordings",
    "pulse waves of made patients",
    lambda part: read_recordings(),
    lambda part: made_recordings(),
)
"""The recordings of all patients, with their stand-in."""

CHUNK = 256  # windows that are cut out at once
STILL = 1e-6  # the least deviation by which a channel is divided


class HeartRate:
    """Read the heart rate, in beats a minute, from 32 seconds of pulse wave and electrocardiogram.

    The 7949 windows of the archive BIDMC32HR are made anew from the 53 recordings of PhysioNet: 150 of 4000
    samples of each, one every three seconds, as :mod:`curse_of_memory.tasks.heart_windows` says.

    Parameters
    ----------
    division : {'official', 'patients'}
        Windows divided by chance as in the public code of LEM, 5565 / 1192 / 1192 for training, validation
        and testing, so that nearly all patients are in all parts; or whole patients, 38 / 7 / 8 of them.
    samples : int
        The last so many of the 4000 samples of a window are read.
    averaged : int
        Samples whose mean is one step; it divides `samples`.
    normalised : bool
        Whether each channel of each window has mean 0 and deviation 1, over the steps that are read.
    patients_seed : int
        Names the division of patients.
    data : {'real', 'stand-in', 'auto'}
        The published recordings; made ones in their form; or the first where they can be had and else the
        second.

    Raises
    ------
    ValueError, TypeError
        For an unknown division, bad numbers, or files that are not what they should be.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    Inputs are ``(batch, samples / averaged, 2)``, in the units of the files, pulse wave (PLETH) and
    electrocardiogram (II); targets ``(batch, 1)`` in beats a minute. The public code normalises neither. The
    attribute `windows` says whose each window is, `stand_in` what stands in for what, and is empty for the
    real data.

    Examples
    --------
    >>> task = HeartRate("patients", data="stand-in", averaged=16)
    >>> len(task), task.sample(3, seed=0).inputs.shape
    (7949, torch.Size([3, 250, 2]))
    """

    input_size, output_size = len(CHANNELS), 1

    def __init__(
        self,
        division: str = "official",
        *,
        samples: int = LENGTH,
        averaged: int = 1,
        normalised: bool = False,
        patients_seed: int = 0,
        data: str = "real",
    ):
        checks.one_of("division", division, DIVISIONS)
        if checks.positive_int("samples", samples) > LENGTH:
            raise ValueError(f"samples must be at most {LENGTH}, got {samples}")
        if samples % checks.positive_int("averaged", averaged):
            raise ValueError(f"averaged must divide samples, {samples}, got {averaged}")
        self.normalised = checks.flag("normalised", normalised)
        checks.seed("patients_seed", patients_seed)
        self.samples, self.averaged, self.horizon = samples, averaged, samples // averaged
        source = BIDMC.source(data)
        self.stand_in = BIDMC.note(source)
        self._recordings: Recordings = BIDMC.content("all", source)
        self.division, self.patients_seed = division, patients_seed
        self.windows = windows_of(self._recordings, division, patients_seed)

    def __len__(self) -> int:
        return len(self.windows)

    def __repr__(self) -> str:
        return (
            f"HeartRate({self.division!r}, windows={len(self)}, samples={self.samples}, "
            f"averaged={self.averaged}, normalised={self.normalised}, patients_seed={self.patients_seed}"
            f"{', stand-in' if self.stand_in else ''})"
        )

    def divided(self, division: str, *, patients_seed: int = 0) -> Self:
        """Return the task with the same recordings, and windows that are divided otherwise.

        Parameters
        ----------
        division, patients_seed
            As for the class.
        """
        other = copy.copy(self)
        other.division, other.patients_seed = division, checks.seed("patients_seed", patients_seed)
        other.windows = windows_of(self._recordings, division, patients_seed)
        return other

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` different windows for training; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of windows, at most as many as there are for training.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, 2)`` and heart rates ``(size, 1)``.
        """
        rows = self.windows.rows("train")
        if checks.positive_int("size", size) > len(rows):
            raise ValueError(f"size must be at most the {len(rows)} windows for training, got {size}")
        return self._batch(drawn_by(seed).choice(rows, size, replace=False), device, dtype)

    def splits(
        self,
        train: int | None = None,
        validation: int | None = None,
        test: int | None = None,
        *,
        seed: int = 0,
        dtype: torch.dtype | None = None,
    ) -> Splits:
        """Return the windows of the three parts.

        Parameters
        ----------
        train, validation, test : int, optional
            Keep so many windows of a part, drawn from all of it; smaller choices are parts of larger ones.
            Unless given, and where there are not so many, all of them.
        seed : int
            Names the draw.
        dtype : torch.dtype, optional
            Torch's default dtype if none is given.
        """
        draws, parts = drawn_by(seed), []
        for part, size in zip(PARTS, (train, validation, test), strict=True):
            rows = draws.permutation(self.windows.rows(part))
            if size is not None:
                rows = rows[: checks.positive_int(part, size)]
            parts.append(self._batch(np.sort(rows), "cpu", dtype))
        return Splits(*parts)

    def _batch(self, rows: NDArray[np.int64], device: torch.device | str, dtype: torch.dtype | None) -> Batch:
        labels = torch.from_numpy(self.windows.label[rows, None])
        return Batch(
            placed(torch.from_numpy(self._waves(rows)), device, dtype), placed(labels, device, dtype)
        )

    def _waves(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return the inputs of windows, cut out of the recordings."""
        every = sliding_window_view(self._recordings.signals, self.samples, axis=1)
        begin = EVERY * RATE * self.windows.place[rows] + LENGTH - self.samples
        made = np.empty((len(rows), self.horizon, len(CHANNELS)), np.float32)
        for start in range(0, len(rows), CHUNK):
            some = slice(start, start + CHUNK)
            waves = every[self.windows.patient[rows[some]], begin[some]]
            made[some] = waves.reshape(*waves.shape[:2], -1, self.averaged).mean(-1).transpose(0, 2, 1)
        if self.normalised:
            made -= made.mean(1, keepdims=True)
            made /= np.maximum(made.std(1, keepdims=True), STILL)
        return made
