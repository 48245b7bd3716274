"""Compressive memory: what leaves the window is not forgotten at once, but kept as means of a few steps each.

Equation.   The steps g c, …, g c + c − 1 are the group g, with the newest step j_g. For the query at t,

                log m_ti = 0 for all steps i of groups with t − j_g <= W, else −∞,
                and the mean of group g, written at j_g, counts for W < t − j_g <= W + n c:

            between W and W + c − 1 memories in full, and n means in the place of the n c steps before.

Source.     Compressive Transformer (1911.05507), with mean pooling and no loss of its own. There, means are
            made of what leaves the memory when a segment has been read, so that they depend on how a sequence
            is cut into segments; here on the steps alone, and answers are the same for all chunks of time.
"""

import torch
from torch import Tensor

from curse_of_memory.nn.forgetting.law import Means, PoolingLaw, ages_at_queries
from curse_of_memory.nn.forgetting.store import PADDING
from curse_of_memory.tools import checks

__all__ = ["Compressive"]

OLDEST = 2**24  # age: up to it, float32 has every whole number


class Compressive(PoolingLaw):
    """Law by which the latest memories count, and before them means of a few in a row.

    Parameters
    ----------
    window : int
        W >= 1: memories count in full up to the age W, and until all of their group are older.
    rate : int
        c >= 1: how many steps have one mean.
    compressed : int
        n >= 1: how many means there are.

    Raises
    ------
    ValueError, TypeError
        If a number is below one or no whole number, or the oldest age, W + n c, is above 2²⁴, beyond which
        float32 has not all whole numbers.

    Notes
    -----
    What is averaged are the states that keys and values are made of, after the norm of a pre-norm block, so
    that keys and values of means are means of keys and values. A mean has no rotary position. Blocks are no
    longer than W. Zero vectors before the first step are memories in full, and no part of a mean.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> attention = CausalSelfAttention(16, forgetting=Compressive(window=8, rate=4, compressed=3))
    >>> last = attention.remember(torch.ones(1, 60, 16))
    >>> last.live[0, [10, 20, 59]].tolist()  # all; 9 and 3 means; 12 and 3
    [11, 12, 15]
    """

    limit_of_blocks = "window"

    def __init__(self, window: int, rate: int = 4, compressed: int = 128):
        super().__init__()
        self.window = checks.positive_int("window", window)
        self.rate = checks.positive_int("rate", rate)
        self.compressed = checks.positive_int("compressed", compressed)
        if (oldest := self.window + self.rate * self.compressed) > OLDEST:
            raise ValueError(f"window + rate * compressed must be at most 2^24 steps, got {oldest}")

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return the first and the last age at which each memory counts, ``(batch, memory, 2)``."""
        last = self.window + (self.rate - 1 - steps % self.rate)
        # ages beyond 256 are no numbers of bfloat16
        dtype = torch.promote_types(states.dtype, torch.float32)
        return torch.stack([torch.zeros_like(last), last], -1).to(dtype)

    def means_at(self, ages: Tensor, steps: Tensor) -> Tensor:
        """Return which stored memories are means: older than W, at the last step of their group."""
        return (ages > self.window) & (steps >= 0) & (steps % self.rate == self.rate - 1)

    def notes_of_means(self, notes: Tensor) -> Tensor:
        """Return the first and the last age of means, ``(2,)``."""
        last = self.window + self.rate * self.compressed
        return torch.tensor([self.window + 1, last], dtype=notes.dtype, device=notes.device)

    def means(self, ages: Tensor, notes: Tensor, read: Tensor, queries: int) -> Means:
        """Return the means of all groups whose newest step will be older than W after the block."""
        c, W = self.rate, self.window
        if queries > W:
            raise ValueError(f"block must be at most window = {W} steps, got {queries}")
        # the last steps of groups, from read − W on: as many as one row may have
        first = -(-(read - W + 1) // c) * c - 1
        newest = first[:, None] + c * torch.arange(-(-queries // c), device=ages.device)
        own = read[:, None] - newest
        real = (own > W - queries) & (newest >= c - 1)
        group = (read[:, None] - ages) // c
        in_full = (ages > 0) & (notes[..., 0] == 0)
        members = (group[:, None] == (newest // c)[..., None]) & in_full[:, None] & real[..., None]
        return Means(members, own.masked_fill(~real, PADDING))

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return zero from the first to the last age of each memory, and −inf elsewhere."""
        age = ages_at_queries(ages, queries)
        first, last = notes[:, None, None].unbind(-1)
        return notes.new_zeros(age.shape).masked_fill_((age > last) | (age < first), -torch.inf)

    def last_ages(self, notes: Tensor) -> Tensor:
        """Return the last age of each memory."""
        return notes[..., 1].long()

    def full_ages(self, notes: Tensor) -> Tensor:
        """Return the last age of memories in full; means do not count at first."""
        first, last = notes.long().unbind(-1)
        return torch.where(first == 0, last, -1)

    def extra_repr(self) -> str:
        """Return W, c and n for printing."""
        return f"window={self.window}, rate={self.rate}, compressed={self.compressed}"
