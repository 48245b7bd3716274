"""The stand-in for sets of images: handwritten digits of scikit-learn, enlarged, in grey or in colours."""

import numpy as np

from curse_of_memory.tools.extras import require

__all__ = ["coloured_digits", "grey_digits"]

TEST_IMAGES = 360  # of the 1797
DARK, BRIGHT = (0, 96), (160, 256)  # the colours of paper and of ink are drawn from these ranges


def grey_digits(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return digits in the form of MNIST: 28 × 28 pixels, three for each of the 8 × 8, and a margin of two.

    Parameters
    ----------
    part : {'train', 'test'}
        1437 of the 1797 images, or the other 360; which, is drawn once and for all.

    Returns
    -------
    pixels, labels : ndarray
        ``(image, 784, 1)`` in uint8, row by row, and ``(image,)`` in int64.
    """
    ink, labels, chosen = _digits(part)
    large = np.pad(_enlarged(ink, 3), ((0, 0), (2, 2), (2, 2)))[chosen, ..., None]
    return _pixels(large, np.zeros(1, int), np.full(1, 255)), labels[chosen]


def coloured_digits(part: str) -> tuple[np.ndarray, np.ndarray]:
    """Return digits in the form of CIFAR-10: 32 × 32 pixels, each image in a bright colour on a dark one.

    Parameters
    ----------
    part : {'train', 'test'}
        As for :func:`grey_digits`.

    Returns
    -------
    pixels, labels : ndarray
        ``(image, 1024, 3)`` in uint8, row by row, and ``(image,)`` in int64.
    """
    ink, labels, chosen = _digits(part)
    draws = np.random.default_rng(1)
    paper, colour = (draws.integers(*span, (len(ink), 1, 1, 3)) for span in (DARK, BRIGHT))
    large = _enlarged(ink, 4)[chosen, ..., None]
    return _pixels(large, paper[chosen], colour[chosen]), labels[chosen]


def _digits(part: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return ink ``(image, 8, 8)`` from 0 to 16 and labels of all images, and which are those of a part."""
    require("figures", "sklearn")
    from sklearn.datasets import load_digits

    images, labels = (np.asarray(one, np.int64) for one in load_digits(return_X_y=True))
    order = np.random.default_rng(0).permutation(len(labels))
    chosen = order[:TEST_IMAGES] if part == "test" else order[TEST_IMAGES:]
    return images.reshape(-1, 8, 8), labels, chosen


def _enlarged(images: np.ndarray, times: int) -> np.ndarray:
    return images.repeat(times, axis=1).repeat(times, axis=2)


def _pixels(ink: np.ndarray, paper: np.ndarray, colour: np.ndarray) -> np.ndarray:
    """Return the mixture of two colours, ``(image, pixel, channel)``, for ink from 0 to 16."""
    mixed = (paper * (16 - ink) + colour * ink + 8) // 16
    return mixed.astype(np.uint8).reshape(len(ink), -1, mixed.shape[-1])
