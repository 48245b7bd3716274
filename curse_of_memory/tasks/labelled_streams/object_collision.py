"""Object Collision: two coloured particles wander, and meet now and then; where did these colours last meet?

Motion.     Each particle starts anywhere in [0, G − 1]² and goes on by its velocity, N(0, v²) on each axis,
            until its next position would leave the open box; then the velocity is drawn again until it fits.
            At every step its colour is drawn anew with a small chance. Its cell is its rounded position; a
            half goes to the even number.

Question.   A collision is a step with both in one cell, and is remembered by the ordered pair of their
            colours, the latest only. Asked is the quadrant of the last collision of a pair: in a share of the
            steps of that which collided last of all, else of any. A collision of the same step counts.

Floor.      P(s > D) times the error of guessing is that of who knows all that is in sight, and guesses the
            rest. It is close to the least error, and no bound: where the particles are at the oldest step in
            sight tells a little of where they met just before it.

Source.     Section "object collision" of "Not All Memories are Created Equal" (2105.06548) with the sizes of
            its public code.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks.labelled_streams.stream import (
    NOT_ASKED,
    AgeLaw,
    LabelledStream,
    checked_count,
    cut,
    law_of_ages,
)
from curse_of_memory.tasks.sampling import drawn_by, placed
from curse_of_memory.tools import checks

__all__ = ["CollisionSteps", "ObjectCollision"]

PARTICLES = 2
DRAWN = 1024  # velocities at a time
LONG = 2**31  # steps, more than anybody asks for
TOKENS = 3 * PARTICLES + 2  # of a step: row, column and colour of each, and the pair that is asked


class CollisionSteps(NamedTuple):
    """What happens in Object Collision, one row a step.

    Attributes
    ----------
    cells : numpy.ndarray of int, shape ``(steps, 2 particles, 2)``
        Row and column.
    colours : numpy.ndarray of int, shape ``(steps, 2 particles)``
    asked : numpy.ndarray of int, shape ``(steps, 2)``
        The pair of colours of the question; −1, −1 for the latest collision where there was none.
    quadrants : numpy.ndarray of int, shape ``(steps,)``
        The answer, 2 [row >= G/2] + [column >= G/2]; −1 for a pair that has not collided.
    ages : numpy.ndarray of int, shape ``(steps,)``
        Steps since that collision; −1 for none.
    easy : numpy.ndarray of bool, shape ``(steps,)``
        Whether the latest collision of all is asked.
    """

    cells: np.ndarray
    colours: np.ndarray
    asked: np.ndarray
    quadrants: np.ndarray
    ages: np.ndarray
    easy: np.ndarray


class ObjectCollision:
    """Stream of two moving particles with questions about their last collision, as tokens or as vectors.

    Parameters
    ----------
    grid : int
        G >= 2, cells on a side.
    colours : int
        How many there are.
    speed : float
        0 < v <= G, standard deviation of a velocity on each axis, in cells a step.
    new_colour : float
        Chance of a new colour, in [0, 1], for each particle and step.
    easy : float
        Share of questions about the latest collision of all, in [0, 1].
    form : {'tokens', 'vectors'}
        Eight tokens a step, as published: row, column and colour of the first particle, of the second, and
        both colours of the question, which is answered at the last of them. Or one vector a step with the
        same eight as unit vectors, side by side.

    Raises
    ------
    ValueError, TypeError
        For numbers out of their range, or another form.

    Examples
    --------
    >>> task = ObjectCollision()
    >>> task.vocabulary, task.stream(80, seed=0).inputs.shape
    (42, torch.Size([80]))
    >>> ObjectCollision(grid=4, colours=2, form="vectors").stream(10, seed=0).inputs.shape
    torch.Size([10, 26])
    """

    def __init__(
        self,
        grid: int = 16,
        *,
        colours: int = 5,
        speed: float = 0.5,
        new_colour: float = 0.05,
        easy: float = 0.4,
        form: str = "tokens",
    ):
        self.grid = checked_count("grid", grid, least=2)
        self.colours = checked_count("colours", colours)
        self.speed = checks.positive("speed", speed)
        if self.speed > self.grid:  # hardly any velocity would leave a particle in the box
            raise ValueError(f"speed must be at most grid = {self.grid} cells a step, got {speed!r}")
        for name, share in {"new_colour": new_colour, "easy": easy}.items():
            if not 0 <= checks.real(name, share) <= 1:
                raise ValueError(f"{name} must be from 0 to 1, got {share!r}")
        self.new_colour, self.easy = float(new_colour), float(easy)
        self.form = checks.one_of("form", form, ("tokens", "vectors"))
        # a question about the latest collision, before there is one, has the token before the first colour
        self.vocabulary = 2 * self.grid + 2 * self.colours
        self.input_size = 2 * (2 * self.grid + self.colours) + 2 * (self.colours + 1)
        self.classes = 4

    def __repr__(self) -> str:
        return (
            f"ObjectCollision(grid={self.grid}, colours={self.colours}, speed={self.speed:g}, "
            f"new_colour={self.new_colour:g}, easy={self.easy:g}, form={self.form!r})"
        )

    @property
    def guessing(self) -> float:
        """Error of any guess where all quadrants are as likely, as by symmetry on an even grid: 3/4."""
        return 1 - 1 / self.classes

    def happen(self, steps: int, *, seed: int | Sequence[int]) -> CollisionSteps:
        """Return what happens in so many steps of time; equal seeds give equal steps.

        Parameters
        ----------
        steps : int
            Of motion, not of tokens.
        seed : int or sequence of int
            Names the draw.
        """
        T = checks.positive_int("steps", steps)
        generator = drawn_by(seed)
        positions = np.stack([self._walk(T, generator) for _ in range(PARTICLES)], 1)
        cells = np.rint(positions).astype(np.int64)
        colours = np.stack([self._coloured(T, generator) for _ in range(PARTICLES)], 1)
        met = (cells[:, 0] == cells[:, 1]).all(1)
        latest = _last(met)
        easy = generator.random(T) < self.easy
        drawn = generator.integers(0, self.colours, (T, 2))
        of_latest = np.where((latest >= 0)[:, None], colours[latest], -1)
        asked = np.where(easy[:, None], of_latest, drawn)
        collisions = np.flatnonzero(met)
        of_pair = colours[collisions] @ [self.colours, 1]
        wanted = np.where(asked[:, 0] < 0, -1, asked @ [self.colours, 1])
        when = np.full(T, -1)
        for pair in np.unique(of_pair):
            here = np.flatnonzero(wanted == pair)
            times = np.append(-1, collisions[of_pair == pair])
            when[here] = times[np.searchsorted(times, here, side="right") - 1]
        known = when >= 0
        quadrant = (2 * cells[when, 0] >= self.grid) @ [2, 1]
        ages = np.where(known, np.arange(T) - when, -1)
        return CollisionSteps(cells[:, :, :], colours, asked, np.where(known, quadrant, -1), ages, easy)

    def stream(self, steps: int, *, seed: int | Sequence[int]) -> LabelledStream:
        """Return a stream of `steps` tokens, or vectors; equal seeds give equal ones.

        Parameters
        ----------
        steps : int
            Length of the stream: of tokens, eight for each step of motion; the last may be cut.
        seed : int or sequence of int
            Names the draw.

        Returns
        -------
        LabelledStream
            Ages are in steps of the stream: of a collision of the same step of motion they are 0.
        """
        T = checks.positive_int("steps", steps)
        if self.form == "vectors":
            motion = self.happen(T, seed=seed)
            labels = np.where(motion.ages < 0, NOT_ASKED, motion.quadrants)
            parts = self._vectors(motion), torch.from_numpy(labels), torch.from_numpy(motion.ages)
            return LabelledStream(*parts)
        motion = self.happen(-(-T // TOKENS), seed=seed)
        G = self.grid
        shift = np.array([0, G, 2 * G] * PARTICLES + [2 * G + self.colours] * 2)
        first, second = (
            np.concatenate([motion.cells[:, p], motion.colours[:, p : p + 1]], 1) for p in range(PARTICLES)
        )
        tokens = np.concatenate([first, second, motion.asked], 1)
        labels, ages = np.full(tokens.shape, NOT_ASKED), np.full(tokens.shape, -1)
        labels[:, -1] = np.where(motion.ages < 0, NOT_ASKED, motion.quadrants)
        ages[:, -1] = np.where(motion.ages < 0, -1, TOKENS * motion.ages)
        return cut(T, *(part.reshape(-1) for part in (tokens + shift, labels, ages)))

    def age_law(self, steps: int = 2_000_000, *, seed: int | Sequence[int] = 0) -> AgeLaw:
        """Return the law of the ages of what is asked, in steps of motion, as drawn in so many of them.

        Parameters
        ----------
        steps : int
            Of motion.
        seed : int or sequence of int
            Names the draw.

        Notes
        -----
        Questions that are asked early have had no time for old collisions: take many times the largest age.

        An odd grid has quadrants of different sizes, and guessing has the error of the one that is most often
        right among those drawn; on an even grid it is 3/4. A floor of this law is no bound for who reads the
        motion, too: on a grid of 4 with 2 colours, of the collisions that lie more than 16 steps back, 28 %
        are in the quadrant where the first particle was 16 steps ago, and for 64 steps 27 %.
        """
        motion = self.happen(steps, seed=seed)
        guessing = self.guessing
        if self.grid % 2 and len(known := motion.quadrants[motion.ages >= 0]):
            guessing = 1 - np.bincount(known).max() / len(known)
        return law_of_ages(motion.ages, guessing)

    def _vectors(self, motion: CollisionSteps) -> Tensor:
        """Return the eight numbers of each step as unit vectors side by side, ``(steps, input_size)``."""
        parts = []
        for p in range(PARTICLES):
            parts += [(motion.cells[:, p, 0], self.grid), (motion.cells[:, p, 1], self.grid)]
            parts += [(motion.colours[:, p], self.colours)]
        parts += [(motion.asked[:, i] + 1, self.colours + 1) for i in range(2)]
        hot = [np.equal.outer(numbers, np.arange(size)) for numbers, size in parts]
        return placed(torch.from_numpy(np.concatenate(hot, 1)), "cpu", None)

    def _walk(self, steps: int, generator: np.random.Generator) -> np.ndarray:
        """Return the positions of a particle, ``(steps, 2)``, in pieces of constant velocity."""
        end = self.grid - 1.0
        x, y = generator.uniform(0.0, end, 2).tolist()
        starts, velocities, lengths = [(x, y)], [(0.0, 0.0)], [1]
        done = 1
        while done < steps:
            for u, v in (self.speed * generator.standard_normal((DRAWN, 2))).tolist():
                # the largest n with x + n u inside of the open box, and y + n v
                n = min(_steps_inside(x, u, end), _steps_inside(y, v, end), steps - done)
                if n < 1:
                    continue
                starts.append((x, y))
                velocities.append((u, v))
                lengths.append(n)
                x, y, done = x + n * u, y + n * v, done + n
        counts = np.array(lengths)
        k = np.arange(done) - np.repeat(counts.cumsum() - counts, counts) + 1
        return np.repeat(starts, counts, 0) + k[:, None] * np.repeat(velocities, counts, 0)

    def _coloured(self, steps: int, generator: np.random.Generator) -> np.ndarray:
        """Return the colours of a particle, ``(steps,)``."""
        new = generator.random(steps) < self.new_colour
        new[0] = True
        return generator.integers(0, self.colours, steps)[_last(new)]


def _steps_inside(position: float, velocity: float, end: float) -> int:
    """Return how many steps it takes at most to stay strictly between zero and an `end`."""
    if velocity == 0:
        return LONG
    room = end - position if velocity > 0 else position
    return min(math.ceil(room / abs(velocity)) - 1, LONG)


def _last(happens: np.ndarray) -> np.ndarray:
    """Return at each step the last one until then, it included, at which it happens; −1 for none."""
    return np.maximum.accumulate(np.where(happens, np.arange(len(happens)), -1))
