"""EigenWorms: of which of five strains a worm is, from 17 984 steps of its posture; and what stands in.

The files are known by their names and, since we know no published checksum, by what is in them: 259 series of
six channels and 17 984 steps in five classes. Where there are none, the set Worms of the UCR archive is read
in their place: 258 worms of five strains, of which it keeps the first eigenworm, averaged to 900 steps.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks.arff_files import read_arff
from curse_of_memory.tasks.crawling import crawling_worms
from curse_of_memory.tasks.data_files import fetch_form
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.sampling import Batch, Splits, drawn_by, moved, placed
from curse_of_memory.tasks.ts_files import read_ts
from curse_of_memory.tools import checks
from curse_of_memory.tools.data_sources import STAND_IN

__all__ = ["DIVISIONS", "EIGENWORMS", "EigenWorms"]

SERIES = {"train": 128, "test": 131}
STEPS, CHANNELS, CLASSES = 17_984, 6, 5
DIVISIONS = ("official", "archive")
"""How the series are divided: as the public code of LEM does it, or as the archive does."""

HELD_OUT = 5  # of so many training series of the archive one is for validation
DRAWN = 1234  # names the draws where no list says which series are which

Worms = tuple[np.ndarray, np.ndarray]


def _read(part: str) -> Worms:
    """Return the series ``(worm, time, channel)`` and the class names of a part, 'train' or 'test'."""
    paths = fetch_form("eigenworms")
    (path,) = (path for key, path in paths.items() if f"_{part.upper()}." in key)
    if path.suffix == ".tsv":  # whose checksum was compared
        table = np.loadtxt(path)
        return table[:, 1:, None].astype(np.float32), table[:, 0].astype(int).astype(str)
    file = read_ts(path) if path.suffix == ".ts" else read_arff(path)
    shapes = sorted({one.shape for one in file.series})
    if shapes != [(STEPS, CHANNELS)] or len(file.classes) != CLASSES or file.labels is None:
        raise ValueError(
            f"{path} is not of EigenWorms: expected series of {STEPS} steps and {CHANNELS} channels in "
            f"{CLASSES} classes, got {checks.shown(shapes)} in {len(file.classes)}"
        )
    if len(file.series) != SERIES[part]:  # such as the other part under this name
        raise ValueError(
            f"{path} is not of EigenWorms: expected {SERIES[part]} series to {part}, got {len(file.series)}"
        )
    with np.errstate(over="ignore"):  # refused below
        series = np.stack([one.astype(np.float32) for one in file.series])
    if not np.isfinite(series).all():
        raise ValueError(
            f"{path} is not of EigenWorms: expected no missing value, got NaN, or more than float32 can say"
        )
    return series, file.labels


EIGENWORMS: DataSet[Worms] = DataSet(
    "eigenworms", "EigenWorms", "crawling worms of a generator", _read, crawling_worms
)
"""The set with its stand-in; `read` takes the UCR Worms where there is no EigenWorms."""

UCR = "UCR Worms, the first eigenworm in 900 steps, in place of EigenWorms"


class EigenWorms:
    """Say of which of five strains a worm is, from how its posture changes.

    Its posture is given by the amplitudes of six eigenworms; the series are as they come, not normalised.

    Parameters
    ----------
    division : {'official', 'archive'}
        The public code of LEM puts the training and the test series of the archive together and divides them
        anew, 181 / 39 / 39 for training, validation and test. Or the test set of the archive as it is, and of
        its training set a fifth for validation. Of the UCR Worms and of the stand-in, for which there is no
        official division, the first is: the training set as it is, the test set halved, 181 / 39 / 38.
    horizon : int, optional
        Steps that are read at most: the first of every so many as brings the series below. All, if not given.
    data : {'real', 'stand-in', 'auto'}
        EigenWorms, and where it is not here the UCR Worms; worms that a generator makes in the form of the
        latter; or the first where it is here and else the second.

    Attributes
    ----------
    splits : Splits
        Training, validation and test series ``(worm, time, channel)`` in float32, and their classes
        ``(worm,)``.
    classes : tuple of str
        The names of the strains, sorted; a class is a place in it.
    stand_in : str
        What stands in for EigenWorms, the UCR Worms, too; empty if nothing does.
    stand_in_is_real : bool
        Whether that are the UCR Worms.
    steps : int
        Length of the series before some of their steps are taken.
    horizon, input_size, output_size : int
        Length of the sequences, their channels, and how many classes there are.

    Raises
    ------
    ValueError, TypeError
        For unknown words, bad numbers, files with other content, or a file of the UCR Worms with a wrong
        checksum.
    FileNotFoundError
        If real data are asked for and neither set is here; says where they were looked for.

    Examples
    --------
    >>> task = EigenWorms(horizon=300, data="stand-in")
    >>> [tuple(part.inputs.shape) for part in task.splits]
    [(181, 300, 1), (39, 300, 1), (38, 300, 1)]
    """

    def __init__(self, division: str = "official", *, horizon: int | None = None, data: str = "real"):
        self.division = checks.one_of("division", division, DIVISIONS)
        if horizon is not None:
            checks.positive_int("horizon", horizon)
        source = EIGENWORMS.source(data)
        parts = [EIGENWORMS.content(part, source) for part in ("train", "test")]
        series, labels = (np.concatenate(both) for both in zip(*parts, strict=True))
        first = len(parts[0][1])  # of the test set
        self.steps = series.shape[1]
        whole = source != STAND_IN and self.steps == STEPS
        self.stand_in_is_real = source != STAND_IN and not whole
        self.stand_in = UCR if self.stand_in_is_real else EIGENWORMS.note(source)
        self.classes = tuple(sorted(set(labels.tolist())))
        if len(self.classes) != CLASSES:
            raise ValueError(
                f"the files of EigenWorms must name the same {CLASSES} classes, got "
                f"{checks.shown(' '.join(self.classes))}"
            )
        stride = 1 if horizon is None else -(-self.steps // horizon)
        inputs = torch.from_numpy(np.ascontiguousarray(series[:, ::stride]))
        targets = torch.from_numpy(np.searchsorted(self.classes, labels))
        rows = _archive(first, len(series)) if division == "archive" else _official(first, len(series), whole)
        self.splits = Splits(*(Batch(inputs[some], targets[some]) for some in rows))
        _, self.horizon, self.input_size = inputs.shape
        self.output_size = len(self.classes)

    def __repr__(self) -> str:
        sizes = "/".join(str(len(part.targets)) for part in self.splits)
        also = f", {self.stand_in}" if self.stand_in else ""
        return f"EigenWorms({self.division!r}, series={sizes}, horizon={self.horizon} of {self.steps}{also})"

    def largest_class(self) -> float:
        """Return the share of test series that are of the class with the most training series."""
        most = torch.bincount(self.splits.train.targets).argmax()
        return float((self.splits.test.targets == most).double().mean())

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` different training series; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of series, at most as many as there are.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given. Classes are int64.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, input_size)`` and classes ``(size,)``.
        """
        inputs, targets = self.splits.train
        if checks.positive_int("size", size) > len(inputs):
            raise ValueError(f"size must be at most the {len(inputs)} training series, got {size}")
        rows = torch.from_numpy(drawn_by(seed).choice(len(inputs), size, replace=False))
        return Batch(placed(inputs[rows], device, dtype), moved(targets[rows], device))


Rows = tuple[Tensor, Tensor, Tensor]


def _official(first: int, count: int, whole: bool) -> Rows:
    """Return the rows of the three parts as the public code divides them, by its list for EigenWorms."""
    if not whole:
        rows = np.random.default_rng(DRAWN).permutation(np.arange(first, count))
        half = -(-len(rows) // 2)
        return _rows(np.arange(first), rows[:half], rows[half:])
    with Path(__file__).with_name("eigenworms_split.csv").open(newline="", encoding="utf-8") as table:
        part = np.array([row["split"] for row in csv.DictReader(table)])
    return _rows(*(np.flatnonzero(part == name) for name in ("train", "valid", "test")))


def _archive(first: int, count: int) -> Rows:
    """Return the rows of the three parts as the archive divides them."""
    rows = np.random.default_rng(DRAWN).permutation(first)
    held_out = first // HELD_OUT
    return _rows(rows[held_out:], rows[:held_out], np.arange(first, count))


def _rows(*parts: np.ndarray) -> Rows:
    train, validation, test = (torch.from_numpy(np.sort(part)) for part in parts)
    return train, validation, test
