"""Positions of steps for transformers: sinusoidal waves to add to inputs, rotations of queries and keys.

Equation.   With frequencies ω_i = 10000^{−2i/w}, i = 0 … w/2 − 1, the waves of step t are

                p_{t,2i} = sin(ω_i t),      p_{t,2i+1} = cos(ω_i t)                 (Vaswani et al. 2017),

            and a rotation takes z_i = q_{2i} + √−1 q_{2i+1} to e^{√−1 ω_i t} z_i  (Su et al. 2021, RoFormer),
            so that products of a query at t and a key at s depend on t − s only.
"""

import torch
from torch import Tensor

__all__ = ["ALL_POSITIONS", "POSITIONS", "rotated", "rotated_to", "waves", "waves_at"]

POSITIONS = ("none", "sinusoidal", "learnt", "rotary")
"""What a transformer can be told of positions; with "none" it has the causal mask only."""

ALL_POSITIONS = *POSITIONS, "block"
"""These, and what one with a law of forgetting can be told."""


def _angles(t: Tensor, width: int, like: Tensor) -> Tensor:
    """Return ω_i t of steps `t`, ``(..., width / 2)``."""
    i = torch.arange(width // 2, dtype=like.dtype, device=like.device)
    return t.to(like.dtype)[..., None] * 10000.0 ** (-2 * i / width)


def _from(start: int, steps: int, like: Tensor) -> Tensor:
    return torch.arange(start, start + steps, dtype=like.dtype, device=like.device)


def waves(start: int, steps: int, width: int, like: Tensor) -> Tensor:
    """Return the waves p_t of `steps` steps from `start` on, ``(steps, width)``, in the dtype of `like`."""
    return waves_at(_from(start, steps, like), width, like)


def waves_at(t: Tensor, width: int, like: Tensor) -> Tensor:
    """Return the waves p_t of any steps `t`, ``(..., width)``, in the dtype of `like`."""
    angles = _angles(t, width, like)
    return torch.stack([angles.sin(), angles.cos()], -1).flatten(-2)


def rotated(x: Tensor, start: int) -> Tensor:
    """Return queries or keys `x`, ``(..., time, width)``, rotated by ω_i t; their first step is `start`."""
    return _rotated(x, _angles(_from(start, x.shape[-2], x), x.shape[-1], x))


def rotated_to(x: Tensor, t: Tensor) -> Tensor:
    """Return queries or keys `x`, ``(batch, heads, time, width)``, rotated by ω_i t, t ``(batch, time)``."""
    return _rotated(x, _angles(t[:, None], x.shape[-1], x))


def _rotated(x: Tensor, angles: Tensor) -> Tensor:
    """Return pairs of channels of `x`, turned by `angles`."""
    sin, cos = angles.sin(), angles.cos()
    even, odd = x[..., 0::2], x[..., 1::2]
    return torch.stack([cos * even - sin * odd, sin * even + cos * odd], -1).flatten(-2)
