"""MNIST, Fashion-MNIST and CIFAR-10 as sequences of pixels or rows, to be classified at the end."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.digits import coloured_digits, grey_digits
from curse_of_memory.tasks.image_choice import SPLITS, balanced
from curse_of_memory.tasks.image_files import read_images
from curse_of_memory.tasks.sampling import Batch, drawn_by, moved, placed
from curse_of_memory.tools import checks
from curse_of_memory.tools.data_sources import STAND_IN

__all__ = ["IMAGES", "SequentialImages"]

DIGITS = "1797 digits of scikit-learn"

Images = tuple[np.ndarray, np.ndarray]

IMAGES: dict[str, DataSet[Images]] = {
    "mnist": DataSet("mnist", "MNIST", DIGITS, partial(read_images, "mnist"), grey_digits),
    "fashion_mnist": DataSet(
        "fashion_mnist", "Fashion-MNIST", DIGITS, partial(read_images, "fashion_mnist"), grey_digits
    ),
    "cifar10": DataSet(
        "cifar10", "CIFAR-10", f"{DIGITS} in colours", partial(read_images, "cifar10"), coloured_digits
    ),
}
"""The sets of images, each with its stand-in, by name."""


class _Published(NamedTuple):
    """Size of the images, mean and standard deviation of the channels, and what is kept for validation."""

    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    validation_share: int  # one of so many training images


# Mean and deviation over all pixels of the whole training set, for values from 0 to 1. The public code of
# StableSSM divides CIFAR-10 by (0.2023, 0.1994, 0.2010): the mean of the deviations within single images.
DATA_SETS = {
    "mnist": _Published(28, (0.1307,), (0.3081,), 12),
    "fashion_mnist": _Published(28, (0.2860,), (0.3530,), 12),
    "cifar10": _Published(32, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), 10),
}


class SequentialImages:
    """Classify an image that is read one pixel, or one row, at a time.

    Parameters
    ----------
    name : {'mnist', 'fashion_mnist', 'cifar10'}
        The data set.
    split : {'train', 'validation', 'test'}
        The published test set, and the published training set without and with its part for validation:
        55 000 / 5 000 / 10 000 images, for CIFAR-10 45 000 / 5 000 / 10 000.
    permuted : int, optional
        Seed of one permutation of the pixels, the same for all images, before they are read.
    row_by_row : bool
        Whether a step is a row of pixels, not one pixel.
    size : int, optional
        Keep so many images: from each class as many as from every other, as far as there are. Smaller choices
        are parts of larger ones. Of a stand-in, which has fewer images, all are kept where there are not so
        many.
    split_seed : int
        Names the division into training and validation images.
    data : {'real', 'stand-in', 'auto'}
        The published images; the digits of scikit-learn in their form, 1437 to train and to validate and 360
        to test, normalised by their own mean and deviation; or the first where they can be had and else the
        second.

    Raises
    ------
    ValueError, TypeError
        For unknown names, bad numbers, more images than there are, or a file with a wrong checksum.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    Inputs are ``(batch, 784, 1)``, for CIFAR-10 ``(batch, 1024, 3)``; by rows ``(batch, 28, 28)`` and
    ``(batch, 32, 96)``, the three colours of a pixel beside each other. They are normalised by mean and
    standard deviation of the training set. Targets are classes ``(batch,)``.

    Where the folder of the variable CURSE_OF_MEMORY_DATA has only some of the five training files of
    CIFAR-10, these are the training set, a tenth of it for validation: `published` says how many images
    were found. The attribute `stand_in` says what stands in for what, and is empty for the real images.

    Examples
    --------
    >>> task = SequentialImages("mnist", size=1000)  # doctest: +SKIP
    >>> task.sample(32, seed=0).inputs.shape  # doctest: +SKIP
    torch.Size([32, 784, 1])
    """

    output_size = 10

    def __init__(
        self,
        name: str,
        split: str = "train",
        *,
        permuted: int | None = None,
        row_by_row: bool = False,
        size: int | None = None,
        split_seed: int = 0,
        data: str = "real",
    ):
        self.name = checks.one_of("name", name, DATA_SETS)
        self.split = checks.one_of("split", split, SPLITS)
        if permuted is not None:
            permuted = checks.seed("permuted", permuted)
        split_seed = checks.seed("split_seed", split_seed)
        if size is not None:
            checks.positive_int("size", size)
        self.permuted, self.split_seed = permuted, split_seed
        self.row_by_row = checks.flag("row_by_row", row_by_row)
        self.size = size
        data_set, images = DATA_SETS[name], IMAGES[name]
        source = images.source(data)
        self.stand_in = images.note(source)
        pixels, labels = images.content("test" if split == "test" else "train", source)
        mean, std = _moments(images.make("train")[0]) if source == STAND_IN else (data_set.mean, data_set.std)
        self.published = len(labels)
        chosen = self._chosen(labels, data_set, size)
        pixels, labels = pixels[chosen], labels[chosen]
        if permuted is not None:
            pixels = pixels[:, drawn_by(permuted).permutation(pixels.shape[1])]
        steps = data_set.width if row_by_row else data_set.width**2
        self.images = torch.from_numpy(np.ascontiguousarray(pixels).reshape(len(pixels), steps, -1))
        self.labels = torch.from_numpy(labels)
        _, self.horizon, self.input_size = self.images.shape
        repeats = self.input_size // len(mean)
        self._mean = torch.tensor(mean, dtype=torch.float64).repeat(repeats)
        self._std = torch.tensor(std, dtype=torch.float64).repeat(repeats)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return (
            f"SequentialImages({self.name!r}, {self.split!r}, images={len(self)} of {self.published}, "
            f"permuted={self.permuted}, row_by_row={self.row_by_row}, size={self.size}, "
            f"split_seed={self.split_seed}{', stand-in' if self.stand_in else ''})"
        )

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` different images; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of images, at most as many as there are.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given. Classes are int64.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, input_size)`` and classes ``(size,)``.
        """
        if checks.positive_int("size", size) > len(self):
            raise ValueError(f"size must be at most the {len(self)} images of the task, got {size}")
        rows = drawn_by(seed).choice(len(self), size, replace=False)
        return self._batch(torch.from_numpy(rows), device, dtype)

    def batches(
        self,
        size: int,
        *,
        seed: int | Sequence[int] | None = None,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Iterator[Batch]:
        """Yield every image once, `size` at a time and the rest at the end.

        Parameters
        ----------
        size : int
            Images in a batch.
        seed : int or sequence of int, optional
            Names the order; as they are kept, if none is given.
        device, dtype
            As for :meth:`sample`.

        Yields
        ------
        Batch
            As :meth:`sample` returns them.
        """
        checks.positive_int("size", size)
        count = len(self)
        order = np.arange(count) if seed is None else drawn_by(seed).permutation(count)
        for rows in torch.from_numpy(order).split(size):
            yield self._batch(rows, device, dtype)

    def _batch(self, rows: Tensor, device: torch.device | str, dtype: torch.dtype | None) -> Batch:
        values = self.images[rows].double().div_(255).sub_(self._mean).div_(self._std)
        return Batch(placed(values, device, dtype), moved(self.labels[rows], device))

    def _chosen(self, labels: np.ndarray, data_set: _Published, size: int | None) -> np.ndarray:
        """Return which of the published images these are, in order."""
        rows = np.arange(len(labels))
        if self.split != "test":
            rows = drawn_by(self.split_seed).permutation(rows)
            held_out = len(rows) // data_set.validation_share
            rows = rows[:held_out] if self.split == "validation" else rows[held_out:]
        return balanced(labels, rows, size, fewer=bool(self.stand_in))


def _moments(pixels: np.ndarray) -> tuple[Sequence[float], Sequence[float]]:
    """Return mean and deviation of every channel ``(image, pixel, channel)``, for values from 0 to 1."""
    values = pixels.reshape(-1, pixels.shape[-1]) / 255
    return values.mean(0).tolist(), values.std(0).tolist()
