"""Sequences that are evaluated: a batch in memory, or those of a data set, read a slice at a time."""

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from curse_of_memory.tasks import Batch

__all__ = ["Unread", "piece"]


class Unread:
    """Sequences of a data set, which are read whenever they are asked for: no more than these are in memory.

    Parameters
    ----------
    read : callable
        Returns the sequences of rows.
    rows : ndarray of int
        Which are meant.

    Examples
    --------
    >>> import torch
    >>> x = torch.arange(12.0).view(6, 2)
    >>> late = Unread(lambda rows: Batch(x[rows], x[rows]), np.array([5, 0, 3]))
    >>> len(late), late[1:].inputs.tolist()
    (3, [[0.0, 1.0], [6.0, 7.0]])
    """

    def __init__(self, read: Callable[[np.ndarray], Batch], rows: np.ndarray):
        self._read, self._rows = read, rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, some: slice) -> Batch:
        return self._read(self._rows[some])

    def part(self, some: slice) -> "Unread":
        """Return a part of them, unread."""
        return Unread(self._read, self._rows[some])


def piece(pair: Sequence[Tensor] | Unread, some: slice) -> Batch:
    """Return some of the sequences of inputs and targets."""
    return pair[some] if isinstance(pair, Unread) else Batch(*(tensor[some] for tensor in pair))
