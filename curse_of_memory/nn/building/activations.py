"""Activations σ by name, and the names that recurrent layers, stacks and transformers take."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "FEEDFORWARD", "RECURRENT", "STACKED"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda z: z,
    "tanh": torch.tanh,
    "hardtanh": nn.functional.hardtanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "gelu": nn.functional.gelu,
}
"""Every activation that a layer of this package can have."""

RECURRENT = ("linear", "tanh", "hardtanh", "relu")
"""Those of recurrent, state space and convolutional networks."""

STACKED = ("gelu", "hardtanh", "linear", "relu", "tanh")
"""Those between the mixing layers and the maps of channels of a stack."""

FEEDFORWARD = ("gelu", "relu")
"""Those of the feed-forward parts of a transformer."""
