"""Refusals that layers share."""

from torch import Tensor

from curse_of_memory import checks

__all__ = ["dropout_probability", "sequence"]


def sequence(x: Tensor, channels: int) -> Tensor:
    """Return `x`, refused unless it has shape ``(batch, time, channels)``."""
    if x.ndim != 3 or x.shape[-1] != channels:
        raise ValueError(f"x must have shape (batch, time, {channels}), got {tuple(x.shape)}")
    return x


def dropout_probability(p: float) -> float:
    """Return `p` as a float, refused unless 0 <= p < 1."""
    if not 0 <= checks.real("dropout", p) < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {p!r}")
    return float(p)
