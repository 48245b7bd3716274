"""Positions of steps for transformers: sinusoidal waves to add to inputs, rotations of queries and keys.

Equation.   With frequencies ω_i = 10000^{−2i/w}, i = 0 … w/2 − 1, the waves of step t are

                p_{t,2i} = sin(ω_i t),      p_{t,2i+1} = cos(ω_i t)                 (Vaswani et al. 2017),

            and a rotation takes z_i = q_{2i} + √−1 q_{2i+1} to e^{√−1 ω_i t} z_i  (Su et al. 2021, RoFormer),
            so that products of a query at t and a key at s depend on t − s only.
"""

import torch
from torch import Tensor

__all__ = ["POSITIONS", "rotated", "waves"]

POSITIONS = ("none", "sinusoidal", "learnt", "rotary")
"""What a transformer can be told of positions; with "none" it has the causal mask only."""


def _angles(start: int, steps: int, width: int, like: Tensor) -> Tensor:
    """Return ω_i t for `steps` steps from `start` on, ``(steps, width / 2)``."""
    t = torch.arange(start, start + steps, dtype=like.dtype, device=like.device)
    i = torch.arange(width // 2, dtype=like.dtype, device=like.device)
    return t[:, None] * 10000.0 ** (-2 * i / width)


def waves(start: int, steps: int, width: int, like: Tensor) -> Tensor:
    """Return the waves p_t of `steps` steps from `start` on, ``(steps, width)``, in the dtype of `like`."""
    angles = _angles(start, steps, width, like)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def rotated(x: Tensor, start: int) -> Tensor:
    """Return queries or keys `x`, ``(..., time, width)``, rotated by ω_i t; their first step is `start`."""
    steps, width = x.shape[-2:]
    angles = _angles(start, steps, width, x)
    sin, cos = angles.sin(), angles.cos()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([cos * even - sin * odd, sin * even + cos * odd], -1).flatten(-2)
