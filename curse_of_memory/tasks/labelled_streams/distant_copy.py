"""A copy over a long text: symbols that have to be said again after many steps of noise.

Source.     Ours, after the copying task that is named in "Not All Memories are Created Equal" (2105.06548),
            of which no settings are public.
"""

from collections.abc import Sequence

import numpy as np

from curse_of_memory.tasks.labelled_streams.stream import (
    NOT_ASKED,
    AgeLaw,
    LabelledStream,
    checked_count,
    checked_lengths,
    cut,
    uniform,
)
from curse_of_memory.tasks.sampling import drawn_by
from curse_of_memory.tools import checks

__all__ = ["DistantCopy"]


class DistantCopy:
    """Episodes of m symbols, n steps of noise, and m steps at which the symbols are asked again.

    Tokens 0 to K − 1 are the symbols, the next ones are kinds of noise, and the last one asks. For two
    symbols to copy out of three, and two kinds of noise::

        inputs   2 0 3 4 4 3 5 5 1 1 4 3 3 5 5
        labels   - - - - - - 2 0 - - - - - 1 1

    Parameters
    ----------
    longest, shortest : int
        n is uniform from `shortest` to `longest`, in steps.
    length : int
        m, the symbols to copy.
    symbols : int
        K >= 2.
    noise : int
        How many kinds of noise there are.

    Raises
    ------
    ValueError, TypeError
        For numbers that are none of these, or a shortest text that is longer than the longest.

    Examples
    --------
    >>> task = DistantCopy(longest=100, length=5)
    >>> stream = task.stream(500, seed=0)
    >>> task.age_law.floor(200), task.age_law.mean  # n + m
    (0.0, 57.5)
    """

    def __init__(
        self, longest: int = 200, *, shortest: int = 5, length: int = 5, symbols: int = 4, noise: int = 4
    ):
        self.shortest, self.longest = checked_lengths(shortest, longest)
        self.length = checked_count("length", length)
        self.symbols = checked_count("symbols", symbols, least=2)
        self.noise = checked_count("noise", noise)
        self.question = self.symbols + self.noise
        self.vocabulary = self.question + 1

    def __repr__(self) -> str:
        return (
            f"DistantCopy(longest={self.longest}, shortest={self.shortest}, length={self.length}, "
            f"symbols={self.symbols}, noise={self.noise})"
        )

    @property
    def age_law(self) -> AgeLaw:
        """Law of the age n + m of each symbol when it is asked; guessing has the error 1 − 1/K."""
        return AgeLaw(uniform(self.shortest + self.length, self.longest + self.length), 1 - 1 / self.symbols)

    def stream(self, steps: int, *, seed: int | Sequence[int]) -> LabelledStream:
        """Return the first `steps` of an endless stream of episodes; equal seeds give equal ones.

        Parameters
        ----------
        steps : int
            Length of the stream.
        seed : int or sequence of int
            Names the draw.
        """
        T, m = checks.positive_int("steps", steps), self.length
        generator = drawn_by(seed)
        episodes = T // (self.shortest + 2 * m) + 1
        gaps = generator.integers(self.shortest, self.longest + 1, episodes)
        ends = (gaps + 2 * m).cumsum()
        episodes = int(np.searchsorted(ends, T)) + 1  # the last one may be cut
        gaps, ends = gaps[:episodes], ends[:episodes]
        copied = generator.integers(0, self.symbols, (episodes, m))
        inputs = generator.integers(self.symbols, self.question, ends[-1])
        labels, ages = np.full_like(inputs, NOT_ASKED), np.full_like(inputs, -1)
        asked = ends[:, None] - m + np.arange(m)
        inputs[asked - gaps[:, None] - m], inputs[asked] = copied, self.question
        labels[asked], ages[asked] = copied, (gaps + m)[:, None]
        return cut(T, inputs, labels, ages)
