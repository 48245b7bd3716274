"""A long stream of inputs, answers that are asked at some of its steps, and the least error of a window.

Floor.      Where the answer to a question depends on one earlier input, of the age s = t − i, and on nothing
            else, whoever sees the last D steps only has at best the error

                E[error] = P(s > D) · (error of guessing) .

            A model of N layers, each of which sees W steps back, has D = N W: what a layer has read, the next
            one may read from a memory of that layer, which relays it.
"""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.tools import checks

__all__ = [
    "NOT_ASKED",
    "AgeLaw",
    "LabelledStream",
    "checked_count",
    "checked_lengths",
    "cut",
    "law_of_ages",
    "uniform",
]

NOT_ASKED = IGNORED
"""Label of a step at which nothing is asked: what torch's cross-entropy ignores."""
MOST = 2**24  # steps of an episode, or kinds of tokens: laws of ages and vocabularies are held in full


class LabelledStream(NamedTuple):
    """A stream of inputs, with the answers to some of its steps.

    Attributes
    ----------
    inputs : Tensor of shape ``(steps,)`` or ``(steps, channel)``
        Tokens, or numbers.
    labels : Tensor of shape ``(steps,)``
        Whole numbers: the class that is the answer at each step; −100 where nothing is asked.
    ages : Tensor of shape ``(steps,)``
        Whole numbers: how many steps before each question its answer was last to be seen; −1 where nothing is
        asked.
    """

    inputs: Tensor
    labels: Tensor
    ages: Tensor

    @property
    def asked(self) -> Tensor:
        """Whether each step has a label, ``(steps,)``."""
        return self.labels != NOT_ASKED


class AgeLaw:
    """Law of the ages of what is asked, and the least error of whoever sees only so far back.

    Parameters
    ----------
    chances : array_like, shape (ages,)
        P(s) of the ages s = 0, 1, …, of the sum one.
    guessing : float
        Least error for an answer that is out of sight, in (0, 1].

    Raises
    ------
    ValueError, TypeError
        If chances are negative or have another sum, or an error is out of its range.

    Notes
    -----
    N layers with windows of W steps see D = N W steps back: the least window with which they could have an
    error is ⌈least_reach(error)/N⌉.

    Examples
    --------
    >>> law = AgeLaw([0.0, 0.5, 0.25, 0.25], guessing=0.5)
    >>> law.floor(1), law.floor(3), law.least_reach(0.2)
    (0.25, 0.0, 2)
    """

    def __init__(self, chances: ArrayLike, guessing: float):
        p = checks.finite_array("chances", chances, ndim=1)
        if p.size == 0 or p.min() < 0 or abs(p.sum() - 1) > 1e-9:
            raise ValueError(f"chances must be at least zero, of the sum one, got the sum {p.sum():g}")
        self.guessing = checks.positive("guessing", guessing)
        if self.guessing > 1:
            raise ValueError(f"guessing must be an error of at most 1, got {guessing!r}")
        self.chances = p
        # summed from the far end, so that small chances of high ages keep their digits
        beyond = p[::-1].cumsum()[::-1]
        self._beyond = np.append(beyond / beyond[0], 0.0)

    def beyond(self, reach: int) -> float:
        """Return P(s > D), the share of questions whose answer is out of sight for a `reach` of D steps."""
        D = checks.whole_number("reach", reach, least=0)
        return float(self._beyond[min(D + 1, len(self._beyond) - 1)])

    def floor(self, reach: int) -> float:
        """Return the least error for a `reach` of D steps: P(s > D) times that of guessing."""
        return self.beyond(reach) * self.guessing

    def least_reach(self, error: float) -> int:
        """Return the smallest D with a floor of at most `error`."""
        allowed = checks.non_negative("error", error) / self.guessing
        return int(np.argmax(self._beyond[1:] <= allowed * (1 + 1e-12)))

    def quantile(self, share: float) -> int:
        """Return the smallest age that at least this `share` of questions does not exceed."""
        if not 0 < checks.real("share", share) <= 1:
            raise ValueError(f"share must be above 0 and at most 1, got {share!r}")
        return self.least_reach((1 - share) * self.guessing)

    @property
    def mean(self) -> float:
        """Mean age, in steps."""
        return float(np.arange(len(self.chances)) @ self.chances)


def law_of_ages(ages: ArrayLike | Tensor, guessing: float) -> AgeLaw:
    """Return the law of the `ages` that were drawn, those of a stream; ages below zero were not asked.

    Parameters
    ----------
    ages : array_like or Tensor
        Whole numbers.
    guessing : float
        Least error for an answer that is out of sight, in (0, 1].

    Raises
    ------
    ValueError, TypeError
        If nothing was asked, or ages are no whole numbers.
    """
    s = np.asarray(ages)
    if s.size and s.dtype.kind not in "iu":
        raise TypeError(f"ages must be whole numbers, got {type(ages).__name__} of {s.dtype}")
    s = s[s >= 0]
    if not s.size:
        raise ValueError("ages must be asked at one step at least, got none")
    return AgeLaw(np.bincount(s) / s.size, guessing)


def checked_count(name: str, value: int, least: int = 1) -> int:
    """Return a number of steps in an episode, or of kinds of tokens: from `least` to 2²⁴."""
    count = checks.whole_number(name, value, least=least)
    if count > MOST:
        raise ValueError(f"{name} must be at most 2^24, got {checks.shown(value)}")
    return count


def checked_lengths(shortest: int, longest: int) -> tuple[int, int]:
    """Return the lengths between which those of a task are drawn, refused unless they are in this order."""
    last, first = checked_count("longest", longest), checked_count("shortest", shortest)
    if first > last:
        raise ValueError(f"shortest must be at most longest = {longest}, got {shortest}")
    return first, last


def uniform(first: int, last: int) -> np.ndarray:
    """Return the chances of 0, 1, … of a number that is drawn from `first` to `last`, all alike."""
    chances = np.zeros(last + 1)
    chances[first:] = 1 / (last - first + 1)
    return chances


def cut(steps: int, *parts: np.ndarray) -> LabelledStream:
    """Return the first `steps` of inputs, labels and ages."""
    return LabelledStream(*(torch.from_numpy(part[:steps]) for part in parts))
