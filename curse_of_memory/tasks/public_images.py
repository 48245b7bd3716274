"""A split of published images as the public code of LEM divides them, or of what stands in for them."""

from dataclasses import dataclass

import numpy as np

from curse_of_memory.tasks.image_choice import SPLITS, balanced
from curse_of_memory.tasks.images import IMAGES
from curse_of_memory.tasks.public_stream import PublicStream
from curse_of_memory.tools import checks

__all__ = ["PublicImages", "public_images"]


@dataclass(frozen=True)
class PublicImages:
    """The images of one split.

    Attributes
    ----------
    pixels, labels : ndarray
        ``(image, pixel, channel)`` in uint8, row by row, and ``(image,)`` in int64.
    rows : ndarray
        Which of the published images they are.
    published : int
        How many images there are of training and validation together, or for testing.
    stand_in : str
        What stands in for what; empty for the real images.
    """

    pixels: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    published: int
    stand_in: str


def public_images(
    name: str, split: str, *, stream: PublicStream, share: int, size: int | None, data: str
) -> PublicImages:
    """Return a split of published images.

    Parameters
    ----------
    name : {'mnist', 'cifar10'}
    split : {'train', 'validation', 'test'}
    stream : PublicStream
        Stands where the public code makes its model, whose weights are drawn before the division.
    share : int
        One of so many is held out: the last ones of a random order, as ``torch.utils.data.random_split`` has
        it.
    size : int, optional
        Keep so many, as :func:`curse_of_memory.tasks.image_choice.balanced` chooses them. Of a stand-in all
        are kept where there are not so many.
    data : {'real', 'stand-in', 'auto'}

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        For unknown words, more images than there are, and as `IMAGES` do.
    """
    checks.one_of("split", split, SPLITS)
    if size is not None:
        checks.positive_int("size", size)
    source = IMAGES[name].source(data)
    stand_in = IMAGES[name].note(source)
    pixels, labels = IMAGES[name].content("test" if split == "test" else "train", source)
    count = len(labels)
    rows = np.arange(count)
    if split != "test":
        order, kept = stream.order(count).numpy(), count - count // share
        rows = order[:kept] if split == "train" else order[kept:]
    rows = balanced(labels, rows, size, fewer=bool(stand_in))
    return PublicImages(pixels[rows], labels[rows], rows, count, stand_in)
