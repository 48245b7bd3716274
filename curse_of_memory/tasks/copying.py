"""The copying task: digits to be recalled after a long blank."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from curse_of_memory.tasks.sampling import Batch, drawn_by, moved, placed
from curse_of_memory.tools import checks

__all__ = ["Accuracy", "Copying"]


class Accuracy(NamedTuple):
    """The share of right answers: at the positions of the `recall`, and at all positions, `everywhere`."""

    recall: float
    everywhere: float


class Copying:
    """Read `memory_length` digits, wait for `blank` steps, and say the digits again.

    The digits are 1 to `symbols`; a blank is 0, and the marker, `symbols` + 1, stands from one step before
    the recall to the end. For 3 digits and 4 blanks::

        inputs   2 7 1 0 0 0 9 9 9 9
        targets  0 0 0 0 0 0 0 2 7 1

    Parameters
    ----------
    memory_length : int
        Digits to remember, m.
    blank : int
        Steps between the last digit and its recall, L: sequences have L + 2 m steps.
    symbols : int
        How many digits there are, K.
    encoding : {'one_hot', 'raw'}
        Inputs are unit vectors with K + 2 channels, or the digits as numbers in one channel.
    targets : {'classes', 'digits'}, optional
        Classes 0 to K of each step for a cross-entropy (models answer with K + 2 logits), or the digits as
        numbers for a squared error. Unless given, classes for one-hot inputs and digits for raw ones.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or an unknown encoding or kind of targets.

    Notes
    -----
    As in the public code of "INTEREST" (2307.11462): raw digits as numbers for regression (m = 10, L = 100),
    and raw inputs with classes for the TCN of its copying logs (L = 1000, m = 10, 20, 100, 150).

    Examples
    --------
    >>> task = Copying(memory_length=10, blank=100)
    >>> x, y = task.sample(4, seed=0)
    >>> x.shape, y.shape, y.dtype
    (torch.Size([4, 120, 10]), torch.Size([4, 120]), torch.int64)
    >>> task.accuracy(torch.zeros(4, 120, 10), y) == task.always_blank  # the first class is the blank
    True
    """

    def __init__(
        self,
        memory_length: int,
        blank: int,
        *,
        symbols: int = 8,
        encoding: str = "one_hot",
        targets: str | None = None,
    ):
        self.memory_length = checks.positive_int("memory_length", memory_length)
        self.blank = checks.positive_int("blank", blank)
        self.symbols = checks.positive_int("symbols", symbols)
        self.encoding = checks.one_of("encoding", encoding, ("one_hot", "raw"))
        usual = "classes" if encoding == "one_hot" else "digits"
        self.targets = checks.one_of("targets", usual if targets is None else targets, ("classes", "digits"))
        self.horizon = self.blank + 2 * self.memory_length
        self.input_size = self.symbols + 2 if encoding == "one_hot" else 1
        self.output_size = self.symbols + 2 if self.targets == "classes" else 1

    def __repr__(self) -> str:
        return (
            f"Copying(memory_length={self.memory_length}, blank={self.blank}, symbols={self.symbols}, "
            f"encoding={self.encoding!r}, targets={self.targets!r})"
        )

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` sequences of independent, uniform digits; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of sequences.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given. Classes are int64.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, input_size)``; targets ``(size, horizon)`` if they are classes, and
            ``(size, horizon, 1)`` if they are digits.
        """
        checks.positive_int("size", size)
        m = self.memory_length
        generator = drawn_by(seed)
        digits = torch.from_numpy(generator.integers(1, self.symbols + 1, (size, m)))
        shown = torch.zeros(size, self.horizon, dtype=torch.int64)
        shown[:, :m], shown[:, -m - 1 :] = digits, self.symbols + 1
        asked = torch.zeros_like(shown)
        asked[:, -m:] = digits
        one_hot = self.encoding == "one_hot"
        x = functional.one_hot(shown, self.symbols + 2) if one_hot else shown[..., None]
        if self.targets == "classes":
            return Batch(placed(x, device, dtype), moved(asked, device))
        return Batch(placed(x, device, dtype), placed(asked[..., None], device, dtype))

    def accuracy(self, answers: Tensor, targets: Tensor) -> Accuracy:
        """Return the share of right `answers` to `targets`, as :meth:`sample` draws them.

        Answers are logits ``(batch, time, class)``, of which the largest counts, or digits
        ``(batch, time, 1)``, which are rounded. A ValueError is raised for other shapes.
        """
        said = answers.argmax(-1) if self.targets == "classes" else answers.round()
        if answers.ndim != 3 or answers.shape[1:] != (self.horizon, self.output_size):
            shape = f"(batch, {self.horizon}, {self.output_size})"
            raise ValueError(f"answers must have shape {shape}, got {tuple(answers.shape)}")
        if said.shape != targets.shape:
            raise ValueError(
                f"targets must have shape {tuple(said.shape)}, as the answers, got {tuple(targets.shape)}"
            )
        right = (said == targets).double()
        return Accuracy(right[:, -self.memory_length :].mean().item(), right.mean().item())

    @property
    def always_blank(self) -> Accuracy:
        """The accuracy of answering blanks everywhere: (L + m) / (L + 2 m) over all positions."""
        return Accuracy(0.0, (self.blank + self.memory_length) / self.horizon)

    @property
    def guessing(self) -> Accuracy:
        """The expected accuracy when recalled digits are guessed uniformly and blanks are right."""
        share = 1 / self.symbols
        return Accuracy(share, (self.blank + self.memory_length * (1 + share)) / self.horizon)

    @property
    def guessing_loss(self) -> float:
        """The least expected loss, mean over positions, when blanks are right and digits are not known.

        For classes the cross-entropy m ln K / (L + 2 m); for digits the squared error
        m (K² − 1) / (12 (L + 2 m)), m times the variance of a digit.
        """
        K = self.symbols
        one = math.log(K) if self.targets == "classes" else (K**2 - 1) / 12
        return self.memory_length * one / self.horizon
