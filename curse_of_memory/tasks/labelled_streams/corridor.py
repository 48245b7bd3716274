"""The corridor: a colour, many steps in which nothing happens, and a door that asks for it.

Source.     Ours, after the tasks of agents in "Not All Memories are Created Equal" (2105.06548), of which no
            settings are public: what an agent would see, as a supervised stream.
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

__all__ = ["Corridor"]


class Corridor:
    """Episodes of a colour, n steps of noise, and a door at which the colour is asked, one after the other.

    Tokens 0 to C − 1 are the colours, the next ones are kinds of noise, and the last is the door. With two
    colours and two kinds of noise::

        inputs   1 2 3 3 2 2 4 0 3 2 2 3 4
        labels   - - - - - - 1 - - - - - 0

    Parameters
    ----------
    longest, shortest : int
        n is uniform from `shortest` to `longest`, in steps.
    colours : int
        C >= 2.
    noise : int
        How many kinds of noise there are.

    Raises
    ------
    ValueError, TypeError
        For numbers that are none of these, or a shortest corridor that is longer than the longest.

    Examples
    --------
    >>> task = Corridor(longest=200)
    >>> stream = task.stream(1000, seed=0)
    >>> stream.inputs.shape, int(stream.asked.sum()), int(stream.ages.max())
    (torch.Size([1000]), 11, 172)
    >>> round(task.age_law.floor(128), 10)  # half of the corridors of 128 to 200 steps, 73 of 198
    0.1843434343
    """

    def __init__(self, longest: int = 200, *, shortest: int = 3, colours: int = 2, noise: int = 4):
        self.shortest, self.longest = checked_lengths(shortest, longest)
        self.colours = checked_count("colours", colours, least=2)
        self.noise = checked_count("noise", noise)
        self.door = self.colours + self.noise
        self.vocabulary = self.door + 1

    def __repr__(self) -> str:
        return (
            f"Corridor(longest={self.longest}, shortest={self.shortest}, colours={self.colours}, "
            f"noise={self.noise})"
        )

    @property
    def age_law(self) -> AgeLaw:
        """Law of the age n + 1 of the colour at the door; guessing has the error 1 − 1/C."""
        return AgeLaw(uniform(self.shortest + 1, self.longest + 1), 1 - 1 / self.colours)

    @property
    def asked_share(self) -> float:
        """Mean share of steps at which something is asked: one in every n + 2."""
        return 1 / ((self.shortest + self.longest) / 2 + 2)

    def stream(self, steps: int, *, seed: int | Sequence[int]) -> LabelledStream:
        """Return the first `steps` of an endless stream of episodes; equal seeds give equal ones.

        Parameters
        ----------
        steps : int
            Length of the stream.
        seed : int or sequence of int
            Names the draw.
        """
        T = checks.positive_int("steps", steps)
        generator = drawn_by(seed)
        episodes = T // (self.shortest + 2) + 1
        lengths = generator.integers(self.shortest, self.longest + 1, episodes)
        doors = (lengths + 2).cumsum() - 1
        episodes = int(np.searchsorted(doors, T)) + 1  # the last one may be cut
        lengths, doors = lengths[:episodes], doors[:episodes]
        colours = generator.integers(0, self.colours, episodes)
        inputs = generator.integers(self.colours, self.door, max(T, doors[-1] + 1))
        labels, ages = np.full_like(inputs, NOT_ASKED), np.full_like(inputs, -1)
        inputs[doors - lengths - 1], inputs[doors] = colours, self.door
        labels[doors], ages[doors] = colours, lengths + 1
        return cut(T, inputs, labels, ages)
