"""Causal softmax attention of white inputs as a target."""

import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curse_of_memory.tasks.sampling import WhiteInputTask, drawn_by, fingerprint
from curse_of_memory.tools import checks

__all__ = ["AttentionApproximation"]


class AttentionApproximation(WhiteInputTask):
    """Learn causal softmax attention y_k = Σ_{j≤k} softmax_j(q_k·k_j / √d) v_j of white inputs.

    Parameters
    ----------
    channels : int
        Channels of inputs and targets.
    horizon : int
        Length of the sequences, in steps.
    heads : int
        Heads, each with d = channels / heads of the channels.
    projected : bool
        Whether queries, keys and values are random affine maps of the inputs; else all three are the inputs.
    seed : int
        Names these maps: weights and biases are uniform in ±1/√channels, as those of a new
        `torch.nn.Linear`.
    variance : float
        Variance of the inputs.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or channels that the heads do not divide.

    Notes
    -----
    The attention task of the public code of "StableSSM" (2311.14495), where channels are 1 or 64. The first
    target without projection is the first input itself.

    Examples
    --------
    >>> task = AttentionApproximation(channels=4, horizon=10, heads=2)
    >>> x, y = task.sample(3, seed=0)
    >>> y.shape, bool((y[:, 0] == x[:, 0]).all())
    (torch.Size([3, 10, 4]), True)
    """

    def __init__(
        self,
        channels: int,
        horizon: int,
        *,
        heads: int = 1,
        projected: bool = False,
        seed: int = 0,
        variance: float = 1.0,
    ):
        channels = checks.positive_int("channels", channels)
        super().__init__(horizon, input_size=channels, variance=variance)
        self.output_size = channels
        self.heads = checks.positive_int("heads", heads)
        if channels % heads:
            raise ValueError(f"heads must divide the {channels} channels, got {heads}")
        seed = checks.seed("seed", seed)
        self.projection: np.ndarray | None = None
        if checks.flag("projected", projected):
            bound = 1 / math.sqrt(channels)
            generator = drawn_by(seed)
            self.projection = generator.uniform(-bound, bound, (3, channels + 1, channels))

    def __repr__(self) -> str:
        projection = "none" if self.projection is None else fingerprint([self.projection])
        return (
            f"AttentionApproximation(channels={self.input_size}, horizon={self.horizon}, heads={self.heads}, "
            f"projection={projection}, variance={self.variance:g})"
        )

    def queries_keys_values(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the three of inputs `x` ``(batch, time, channel)``, in the same shape."""
        if self.projection is None:
            return x, x, x
        maps = torch.as_tensor(self.projection, dtype=x.dtype, device=x.device)
        q, k, v = (x @ m[:-1] + m[-1] for m in maps)  # the last row is the bias
        return q, k, v

    def answer(self, x: Tensor) -> Tensor:
        """Return y for inputs `x`, both ``(batch, horizon, channels)``."""
        self._check_inputs(x)
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in self.queries_keys_values(x)
        )
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return y.transpose(1, 2).flatten(-2)
