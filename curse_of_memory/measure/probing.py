"""Measuring leaves no trace: the model is as it was afterwards."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from curse_of_memory.devices import resolve_device

__all__ = ["probing"]


@contextlib.contextmanager
def probing(model: nn.Module, device: torch.device | str) -> Iterator[torch.device]:
    """Hold `model` on `device`, in evaluation mode and without gradients, inside this context.

    Dropout and running statistics would make a measurement random, or change the model. Afterwards
    the model is on its own device again, and each of its parts in its own mode.
    """
    device = resolve_device(device)
    parameter = next(model.parameters(), None)
    home = device if parameter is None else parameter.device
    modes = {part: part.training for part in model.modules()}
    try:
        model.to(device).eval()
        with torch.no_grad():
            yield device
    finally:
        model.to(home)
        for part, training in modes.items():
            part.training = training
