"""Marked symbols: a sequence in which some symbols are marked is to be said again, but these alone."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from curse_of_memory.tasks.sampling import Batch, drawn_by, moved
from curse_of_memory.tools import checks

__all__ = ["MarkedSymbols"]


class MarkedSymbols:
    """Read a sequence of symbols, and say those of them that are marked, in their order.

    For encoder-decoders: inputs are rows of a source and of what was said before each step. With 6 symbols of
    which 3 are marked (here by a point; in the row these are other numbers)::

        source    b a· c c· d a·
        before    start a c
        labels    a c a

    Parameters
    ----------
    length : int
        n, symbols of a source.
    marked : int
        K, how many of them are marked: the steps of a target. Their places are uniform.
    symbols : int
        S, how many symbols there are; each place has one of its own, uniform.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or more marks than symbols in a sequence.

    Attributes
    ----------
    source : int
        n, the steps of a row that are its source.
    vocabulary : int
        Numbers there may be: 0 for padding and start, 1 for the end, S symbols, and S marked ones.
    marks : tuple of int
        Padding, end and start, as :class:`curse_of_memory.nn.encoder_decoder.Marks`.
    guessing : float
        ln S, the cross-entropy in nats of knowing nothing.
    unordered : float
        That of knowing which symbols are marked, but not their order.

    Notes
    -----
    In a target of K steps no end mark is said: they are all of one length.

    Examples
    --------
    >>> task = MarkedSymbols(48, marked=10, symbols=36)
    >>> rows, labels = task.sample(4, seed=0)
    >>> rows.shape, labels.shape, round(task.guessing, 2), round(task.unordered, 2)
    (torch.Size([4, 58]), torch.Size([4, 10]), 3.58, 2.14)
    """

    def __init__(self, length: int = 48, *, marked: int = 10, symbols: int = 36):
        self.source = checks.positive_int("length", length)
        self.marked = checks.positive_int("marked", marked)
        self.symbols = checks.positive_int("symbols", symbols)
        if self.marked > self.source:
            raise ValueError(f"marked must be at most length = {length}, got {marked}")
        self.marks = (0, 1, 0)
        self.vocabulary = 2 + 2 * self.symbols
        self.guessing = math.log(self.symbols)
        self.unordered = _unordered(self.marked, self.symbols)

    def __repr__(self) -> str:
        return f"MarkedSymbols({self.source}, marked={self.marked}, symbols={self.symbols})"

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` rows ``(size, n + K)`` and labels ``(size, K)``; equal seeds give equal ones.

        All are whole numbers, whatever the `dtype` is.
        """
        generator = drawn_by(seed)
        shape = (checks.positive_int("size", size), self.source)
        read = 2 + generator.integers(0, self.symbols, shape)
        at = np.sort(np.argsort(generator.random(shape), axis=1)[:, : self.marked], axis=1)
        said = np.take_along_axis(read, at, 1)
        np.put_along_axis(read, at, said + self.symbols, 1)
        before = np.concatenate([np.zeros((size, 1), said.dtype), said[:, :-1]], 1)
        rows, labels = (torch.from_numpy(whole) for whole in (np.concatenate([read, before], 1), said))
        return Batch(moved(rows, device), moved(labels, device))

    def accuracy(self, answers: Tensor, labels: Tensor) -> Tensor:
        """Return the share of right `answers` ``(batch, K, class)`` at each step, ``(K,)``."""
        return (answers.argmax(-1) == labels).double().mean(0)


def _unordered(marked: int, symbols: int) -> float:
    """Return −E ln(c/K) in nats: of a symbol that is one of c alike among the K marked ones.

    The other K − 1 are this symbol with probability 1/S each, so that c − 1 is binomial.

    Examples
    --------
    >>> round(_unordered(2, 2) / math.log(2), 12)  # alike, and known, in half of all cases
    0.5
    """
    alike = np.arange(marked)
    chance = stats.binom.pmf(alike, marked - 1, 1 / symbols)
    return math.log(marked) - float(chance @ np.log1p(alike))
