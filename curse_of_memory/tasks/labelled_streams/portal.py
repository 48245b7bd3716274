"""Rooms in a row, each with two exits, one of which leads on and the other back to the first: which is it?

Ages.       An episode with K rooms discovers them in order. At its first visit a room is left by either exit
            with the chance 1/2. If it was the wrong one, and room m the farthest, then all rooms 0 to m are
            passed again, and each is asked: r = m + 1 passages after it was last left. So

                P(r) = 2 r / (K (K + 1)),  r = 1 … K,      age = 2 r − 1 + n_1 + … + n_r

            with the lengths n_i of the passages.

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

__all__ = ["Portal"]


class Portal:
    """Episodes of a walk through rooms whose right exits are new in every episode, and have to be remembered.

    At each room the stream has its token, that of the exit that is taken, and a passage of n steps of noise.
    Right exits lead to the next room, from the last one to the goal; wrong ones to the first room. Who walks
    takes the right exit wherever it is known, else any. Where a room is seen again, its right exit is asked.

    Tokens 0 to K − 1 are the rooms, K is the goal, K + 1 and K + 2 are the exits, and then come kinds of
    noise. With two rooms, passages of two steps and one kind of noise::

        inputs   0 4 5 5 1 3 5 5 0 4 5 5 1 4 5 5 2
        labels   - - - - - - - - 1 - - - 1 - - - -

    Parameters
    ----------
    rooms : int
        K >= 1.
    longest, shortest : int
        n is uniform from `shortest` to `longest`, in steps.
    noise : int
        How many kinds of noise there are.

    Raises
    ------
    ValueError, TypeError
        For numbers that are none of these, or a shortest passage that is longer than the longest.

    Examples
    --------
    >>> task = Portal(rooms=3, longest=10, shortest=10)
    >>> task.age_law.quantile(0.1), task.age_law.quantile(1.0)  # after one passage, and after three
    (11, 35)
    >>> round(task.age_law.floor(23), 10)  # half of P(r = 3)
    0.25
    """

    def __init__(self, rooms: int = 3, *, longest: int = 10, shortest: int = 5, noise: int = 4):
        self.rooms = checked_count("rooms", rooms)
        self.shortest, self.longest = checked_lengths(shortest, longest)
        self.noise = checked_count("noise", noise)
        self.goal = self.rooms
        self.exits = self.rooms + 1, self.rooms + 2
        self.vocabulary = self.rooms + 3 + self.noise

    def __repr__(self) -> str:
        return (
            f"Portal(rooms={self.rooms}, longest={self.longest}, shortest={self.shortest}, "
            f"noise={self.noise})"
        )

    @property
    def age_law(self) -> AgeLaw:
        """Law of the age of the exit that was last taken from a room; guessing has the error 1/2."""
        K = self.rooms
        passage = uniform(self.shortest, self.longest)
        chances, walked = np.zeros(K * (self.longest + 2)), np.ones(1)
        for r in range(1, K + 1):
            walked = np.convolve(walked, passage)
            chances[2 * r - 1 : 2 * r - 1 + len(walked)] += 2 * r / (K * (K + 1)) * walked
        return AgeLaw(chances, 0.5)

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
        inputs: list[int] = []
        labels, ages = np.full(T, NOT_ASKED), np.full(T, -1)
        while len(inputs) < T:
            right = generator.integers(0, 2, self.rooms)
            left_at = [-1] * self.rooms  # step of the exit that was last taken from each room
            room = 0
            while room < self.rooms and (now := len(inputs)) < T:
                known = left_at[room] >= 0
                if known:
                    labels[now], ages[now] = right[room], now - left_at[room]
                way = int(right[room]) if known else int(generator.integers(0, 2))
                passage = int(generator.integers(self.shortest, self.longest + 1))
                first = self.exits[1] + 1
                inputs += [room, self.exits[way]]
                inputs += generator.integers(first, first + self.noise, passage).tolist()
                left_at[room] = now + 1
                room = room + 1 if way == right[room] else 0
            inputs.append(self.goal)
        return cut(T, np.array(inputs), labels, ages)
