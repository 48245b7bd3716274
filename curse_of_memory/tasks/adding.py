"""The adding problem: two marked numbers of a long sequence are to be added at its end."""

from collections.abc import Sequence

import torch

from curse_of_memory.tasks.sampling import Batch, drawn_by, placed
from curse_of_memory.tools import checks

__all__ = ["Adding"]

VARIANCE = 1 / 12  # of a number that is uniform in [0, 1]


class Adding:
    """Read a value and a marker at each step, and after the last one say the sum of the two marked values.

    Values are independent and uniform in [0, 1]. Markers are 0, save for two ones: one at a uniform step of
    the first ⌊T/2⌋, the other at a uniform one of the rest. For T = 6::

        values   0.3  0.9  0.1  0.5  0.7  0.2
        markers  0    1    0    0    1    0       target 1.6

    Parameters
    ----------
    horizon : int
        Steps T of a sequence, at least 2.

    Raises
    ------
    ValueError, TypeError
        For a horizon that is no whole number from 2 on.

    Notes
    -----
    As in the public code of Long Expressive Memory (2110.04744), with T = 2000, 5000 and 10 000, after
    Hochreiter and Schmidhuber (1997). Errors are mean squares. What an answer can reach is known:
    :attr:`guessing_loss` without any input, :attr:`linear_loss` if it is linear in the inputs, and
    :meth:`loss_within` with the inputs of the last steps alone.

    Examples
    --------
    >>> task = Adding(200)
    >>> x, y = task.sample(4, seed=0)
    >>> x.shape, y.shape
    (torch.Size([4, 200, 2]), torch.Size([4, 1]))
    >>> torch.allclose((x[..., 0] * x[..., 1]).sum(1, keepdim=True), y)
    True
    """

    input_size, output_size = 2, 1

    def __init__(self, horizon: int):
        self.horizon = checks.whole_number("horizon", horizon, least=2)
        self._halves = self.horizon // 2, self.horizon - self.horizon // 2

    def __repr__(self) -> str:
        return f"Adding(horizon={self.horizon})"

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` sequences; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of sequences.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, 2)``, values and markers; targets ``(size, 1)``.
        """
        checks.positive_int("size", size)
        generator = drawn_by(seed)
        first, second = self._halves
        x = torch.zeros(size, self.horizon, 2, dtype=torch.float64)
        x[..., 0] = torch.from_numpy(generator.random((size, self.horizon)))
        marked = torch.from_numpy(generator.integers((0, first), (first, first + second), (size, 2)))
        x[..., 1].scatter_(1, marked, 1.0)
        y = x[..., 0].gather(1, marked).sum(1, keepdim=True)
        return Batch(placed(x, device, dtype), placed(y, device, dtype))

    @property
    def guessing_loss(self) -> float:
        """The least expected squared error without any input, 1/6: that of the answer 1, the mean sum."""
        return 2 * VARIANCE

    @property
    def linear_loss(self) -> float:
        """The least expected squared error of answers that are affine in the inputs, 1/6 − (1/m + 1/n)/12.

        m and n are the numbers of steps of the two halves: 1/6 − 1/(3T) for an even T. A value tells of the
        sum only as far as it may be the marked one, with probability 1/m or 1/n, and which one it is cannot
        be known without a product of the two channels, however long the memory.
        """
        first, second = self._halves
        return VARIANCE * (2 - 1 / first - 1 / second)

    def loss_within(self, steps: int) -> float:
        """Return the least expected squared error of an answer to the last `steps` inputs alone.

        It is 1/12 for each marked value that is further back, times the probability that it is: 1/6 with no
        step at all, 1/12 with the second half, and 0 with all.

        Parameters
        ----------
        steps : int
            How many inputs are remembered, from 0 on.

        Examples
        --------
        >>> task = Adding(100)
        >>> [round(12 * task.loss_within(steps), 3) for steps in (0, 25, 50, 75, 100)]
        [2.0, 1.5, 1.0, 0.5, 0.0]
        """
        steps = checks.whole_number("steps", steps, least=0)
        first, second = self._halves
        later = min(steps, second) / second
        earlier = min(max(steps - second, 0), first) / first
        return VARIANCE * (2 - later - earlier)
