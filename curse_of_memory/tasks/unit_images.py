"""MNIST pixel by pixel as in the public code of LEM: values from 0 to 1, its permutation, its division."""

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from curse_of_memory.tasks.image_choice import place_among
from curse_of_memory.tasks.public_images import public_images
from curse_of_memory.tasks.public_stream import SEED, PublicStream
from curse_of_memory.tasks.sampling import Batch
from curse_of_memory.tools import checks

__all__ = ["UnitImages"]

WIDTH = 28  # pixels in a row
HELD_OUT = 20  # one of so many training images is for validation: 3000 of 60 000


class UnitImages(Dataset):
    """Digits of MNIST, one pixel a step, with values from 0 to 1: sMNIST and psMNIST of LEM.

    Parameters
    ----------
    split : {'train', 'validation', 'test'}
        57 000, 3000 and 10 000 images. The first two are those of the public code, which are drawn behind the
        weights of its model, see :class:`curse_of_memory.tasks.public_stream.PublicStream`.
    permuted : bool
        Whether the pixels are read in one random order, the same for all images: step k shows pixel
        ``torch.randperm(784)[k]``, the first draw after ``torch.manual_seed(seed)``.
    averaged : int
        Side of the squares of pixels of which the mean is read in place of each: 2 leaves 14 × 14 of them.
    size : int, optional
        Keep so many images: from each class as many as from every other, as far as there are. Smaller choices
        are parts of larger ones. Of a stand-in all are kept where there are not so many.
    seed : int
        Of permutation and division.
    data : {'real', 'stand-in', 'auto'}
        As for :class:`curse_of_memory.tasks.SequentialImages`.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, squares that do not fill an image, more images than there are, or a file with a wrong
        checksum.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    A torch Dataset of pairs: ``(784, 1)`` in float32 and a class. Nothing is normalised. The attribute
    `published` says how many images the division is of, and `stand_in` what stands in for what.

    Examples
    --------
    >>> digits = UnitImages("test", averaged=2, size=100, data="stand-in")
    >>> digits.all().inputs.shape
    torch.Size([100, 196, 1])
    """

    input_size, output_size = 1, 10

    def __init__(
        self,
        split: str = "train",
        *,
        permuted: bool = False,
        averaged: int = 1,
        size: int | None = None,
        seed: int = SEED,
        data: str = "real",
    ):
        self.split = split
        self.permuted = checks.flag("permuted", permuted)
        self.averaged = checks.positive_int("averaged", averaged)
        if WIDTH % averaged:
            raise ValueError(f"averaged must divide the {WIDTH} pixels of a row, got {averaged}")
        self.horizon = (WIDTH // averaged) ** 2
        self.seed = seed
        stream = PublicStream(seed)
        self.order = stream.order(self.horizon) if permuted else torch.arange(self.horizon)
        stream.weights(self.input_size)  # of the public model
        images = public_images("mnist", split, stream=stream, share=HELD_OUT, size=size, data=data)
        self.published, self.stand_in = images.published, images.stand_in
        self._pixels, self.labels = torch.from_numpy(images.pixels), torch.from_numpy(images.labels)

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        index = place_among(index, len(self))
        return self._read(self._pixels[index][None])[0], self.labels[index]

    def __repr__(self) -> str:
        return (
            f"UnitImages({self.split!r}, images={len(self)} of {self.published}, permuted={self.permuted}, "
            f"averaged={self.averaged}, seed={self.seed}{', stand-in' if self.stand_in else ''})"
        )

    def all(self) -> Batch:
        """Return all images and their classes, inputs ``(image, step, 1)`` in float32."""
        return Batch(self._read(self._pixels), self.labels)

    def _read(self, pixels: Tensor) -> Tensor:
        """Return what is read of pixels ``(image, 784, 1)`` in uint8."""
        values = pixels.float().div(255)
        if self.averaged > 1:
            square = values.view(len(values), 1, WIDTH, WIDTH)
            values = functional.avg_pool2d(square, self.averaged).view(len(values), -1, 1)
        return values[:, self.order]
