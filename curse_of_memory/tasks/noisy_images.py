"""Rows of CIFAR-10 with noise behind them, as in the public code of LEM: one sample for all, or for each."""

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from curse_of_memory.tasks.image_choice import place_among
from curse_of_memory.tasks.public_images import public_images
from curse_of_memory.tasks.public_stream import SEED, PublicStream
from curse_of_memory.tasks.sampling import drawn_by
from curse_of_memory.tools import checks

__all__ = ["NOISES", "NoisyImages"]

NOISES = ("fixed", "fresh")
"""What follows the images: one sample of noise behind all of them, or one behind each."""

ROWS, CHANNELS = 32, 96
PUBLISHED, HORIZON = 50_000, 1000  # images and steps of the public code
HELD_OUT = 25  # one of so many training images is for validation: 2000 of 50 000


class NoisyImages(Dataset):
    """Images of CIFAR-10 in 32 rows, and noise N(0, 1) until the end: the image has to be kept in mind.

    Parameters
    ----------
    split : {'train', 'validation', 'test'}
        48 000, 2000 and 10 000 images. The first two are those of the public code, which are drawn behind the
        weights of its model, see :class:`curse_of_memory.tasks.public_stream.PublicStream`.
    noise : {'fixed', 'fresh'}
        One sample of 968 × 96 numbers behind every image, in every epoch and split, which is what the public
        code has: nothing random is left, and a model can learn this sample. Or for each image one of its own,
        the same whenever that image is read.
    horizon : int
        Steps, 33 at least; the first 32 are the image. Shorter noise is the beginning of longer noise, up to
        1000 steps.
    size : int, optional
        Keep so many images: from each class as many as from every other, as far as there are. Smaller choices
        are parts of larger ones. Of a stand-in all are kept where there are not so many.
    seed : int
        Of division and noise.
    data : {'real', 'stand-in', 'auto'}
        As for :class:`curse_of_memory.tasks.SequentialImages`.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, a horizon without noise, more images than there are, or a file with a wrong checksum.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    A torch Dataset of pairs: ``(horizon, 96)`` in float32 and a class. Row r is 32 reds, 32 greens, 32 blues,
    from 0 to 1. Only images are kept, a byte a number; noise is put behind them when they are read.

    Where only some of the five training files are, these are divided in the same shares, as far as possible,
    but not as the public code does it: `published` says how many images were found. The fixed noise is the
    same. The attribute `stand_in` says what stands in for what.

    The public code repeats its noise to the size of a batch, which has to divide 48 000; here any size does.

    Examples
    --------
    >>> images = NoisyImages("test", horizon=100, size=20, data="stand-in")
    >>> (first, _), (second, _) = images[0], images[1]
    >>> first.shape, bool((first[32:] == second[32:]).all())
    (torch.Size([100, 96]), True)
    """

    input_size, output_size = CHANNELS, 10

    def __init__(
        self,
        split: str = "train",
        *,
        noise: str = "fixed",
        horizon: int = HORIZON,
        size: int | None = None,
        seed: int = SEED,
        data: str = "real",
    ):
        self.split = split
        self.noise = checks.one_of("noise", noise, NOISES)
        self.horizon, self.seed = checks.positive_int("horizon", horizon), checks.seed("seed", seed)
        if horizon <= ROWS:
            raise ValueError(
                f"horizon must be at least {ROWS + 1} steps, {ROWS} rows and noise, got {horizon}"
            )
        stream = PublicStream(self.seed)
        stream.weights(CHANNELS)  # of the public model
        images = public_images("cifar10", split, stream=stream, share=HELD_OUT, size=size, data=data)
        self.published, self.stand_in = images.published, images.stand_in
        by_row = images.pixels.reshape(-1, ROWS, ROWS, 3).transpose(0, 1, 3, 2).reshape(-1, ROWS, CHANNELS)
        self._images, self.labels = torch.from_numpy(by_row), torch.from_numpy(images.labels)
        self._rows = images.rows
        self._noise = _fixed(self.seed, horizon - ROWS) if noise == "fixed" else None

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = place_among(index, len(self))
        image = self._images[index].float().div(255)
        noise = self._own(int(self._rows[index])) if self._noise is None else self._noise
        return torch.cat([image, noise]), self.labels[index]

    def __repr__(self) -> str:
        return (
            f"NoisyImages({self.split!r}, images={len(self)} of {self.published}, noise={self.noise!r}, "
            f"horizon={self.horizon}, seed={self.seed}{', stand-in' if self.stand_in else ''})"
        )

    def _own(self, row: int) -> Tensor:
        """Return the noise of a published image alone."""
        draws = drawn_by((self.seed, int(self.split == "test"), row))
        return torch.from_numpy(draws.standard_normal((self.horizon - ROWS, CHANNELS), dtype=np.float32))


def _fixed(seed: int, steps: int) -> Tensor:
    """Return the first steps of the public noise, ``(steps, 96)``; of another one if it is longer."""
    stream = PublicStream(seed)
    stream.weights(CHANNELS)
    stream.order(PUBLISHED)
    return stream.normal(max(steps, HORIZON - ROWS), CHANNELS)[:steps]
