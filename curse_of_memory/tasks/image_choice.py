"""Choices among published images: the names of the splits, and as many of each class."""

import operator

import numpy as np

from curse_of_memory.tools import checks

__all__ = ["SPLITS", "balanced", "place_among"]

SPLITS = ("train", "validation", "test")


def balanced(labels: np.ndarray, rows: np.ndarray, size: int | None, *, fewer: bool = False) -> np.ndarray:
    """Return `size` of the `rows`, of each class as many as of every other, as far as there are.

    Parameters
    ----------
    labels : ndarray of int
        Of all published images.
    rows : ndarray of int
        Which of them a split has.
    size : int or None
        All for None. Smaller choices are parts of larger ones.
    fewer : bool
        Whether all are taken where there are not so many.

    Raises
    ------
    ValueError
        For more than there are, or a split without images.
    """
    if not len(rows):
        raise ValueError(f"the split must have images, got none of {len(labels)}")
    if size is None:
        return rows
    if fewer:
        size = min(size, len(rows))
    if size > len(rows):
        raise ValueError(f"size must be at most {len(rows)}, the images of the split, got {size}")
    # one of each class in turn: by how many of its class come before it, then by class
    classes = labels[rows]
    rank = np.empty(len(rows), dtype=np.int64)
    for one in np.unique(classes):
        members = np.flatnonzero(classes == one)
        rank[members] = np.arange(len(members))
    return rows[np.lexsort((classes, rank))[:size]]


def place_among(index: int, count: int) -> int:
    """Return the `index` of one of so many images as an int; from the end if it is negative.

    Raises
    ------
    TypeError
        If it is no whole number, such as a slice.
    IndexError
        If there are not so many.
    """
    try:
        place = operator.index(index)
    except TypeError:
        raise TypeError(f"index must be a whole number, got {checks.shown(index)}") from None
    if not -count <= place < count:
        raise IndexError(f"index must be from {-count} to {count - 1}, got {place}")
    return place
