"""Element-wise targets y_k = f(x_k): nothing to remember, only a function to learn."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks.sampling import Batch, drawn_by, fingerprint, placed
from curse_of_memory.tools import checks

__all__ = ["Pointwise"]

PROBES = 101  # numbers of the range that the function is tried on


class Pointwise:
    """Learn y_k = f(x_k) from independent inputs, uniform in a range.

    Parameters
    ----------
    function : callable
        f, from a tensor to a tensor of the same shape, each entry from its own alone, such as `torch.sin`.
    horizon : int
        Length of the sequences, in steps.
    low, high : float
        The range of the inputs.
    channels : int
        Channels of inputs and targets.

    Raises
    ------
    ValueError, TypeError
        For an empty range or bad numbers, and for a function that changes the shape, or is not finite or not
        element-wise on 101 numbers of the range.

    Notes
    -----
    Two layers of a state space model do this with W = 0: "State-space models with layer-wise nonlinearity are
    universal approximators" (2309.13414), element-wise functions.

    Examples
    --------
    >>> task = Pointwise(torch.sin, horizon=5, low=-3.0, high=3.0)
    >>> x, y = task.sample(2, seed=0)
    >>> bool((y == torch.sin(x)).all())
    True
    """

    def __init__(
        self,
        function: Callable[[Tensor], Tensor],
        horizon: int,
        *,
        low: float = -1.0,
        high: float = 1.0,
        channels: int = 1,
    ):
        self.horizon = checks.positive_int("horizon", horizon)
        self.low, self.high = checks.real("low", low), checks.real("high", high)
        if not self.low < self.high:
            raise ValueError(f"low must be below high, got {low!r} and {high!r}")
        self.input_size = self.output_size = checks.positive_int("channels", channels)
        self.function = checks.function("function", function)
        self._name = fingerprint([self._tried()])

    def __repr__(self) -> str:
        return (
            f"Pointwise(function={self._name}, horizon={self.horizon}, low={self.low:g}, high={self.high:g}, "
            f"channels={self.input_size})"
        )

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` sequences; equal seeds give equal inputs on every device.

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
            Inputs and targets, both of shape ``(size, horizon, channels)``.
        """
        shape = (checks.positive_int("size", size), self.horizon, self.input_size)
        draws = drawn_by(seed).uniform(self.low, self.high, shape)
        x = placed(torch.from_numpy(draws), device, dtype)
        return Batch(x, self.function(x.clone()))  # a function that works in place leaves x as it is

    def _tried(self) -> np.ndarray:
        """Return f on a grid of the range; refuse an f that does not answer each number by itself."""
        grid = torch.linspace(self.low, self.high, PROBES, dtype=torch.float64)
        values = self.function(grid.clone())
        if not isinstance(values, Tensor) or values.shape != grid.shape:
            shape = getattr(values, "shape", None)
            what = type(values).__name__ if shape is None else f"shape {tuple(shape)}"
            raise ValueError(f"function must keep the shape of a tensor ({PROBES},), got {what}")
        if not torch.isfinite(values).all():
            raise ValueError(f"function must be finite from {self.low:g} to {self.high:g}")
        half = self.function(grid[: PROBES // 2].clone())
        rounding = 1e-12 * values.abs().max().item()
        if not torch.allclose(half, values[: PROBES // 2], rtol=0, atol=rounding):
            raise ValueError("function must be element-wise: it answers a number otherwise beside others")
        return values.numpy()
