"""Measuring leaves no trace: the model is as it was afterwards."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from curse_of_memory.devices import resolve_device

__all__ = ["first_float", "probing"]


@contextlib.contextmanager
def probing(
    model: nn.Module,
    device: torch.device | str,
    *,
    dtype: torch.dtype | None = None,
    gradients: bool = False,
) -> Iterator[torch.device]:
    """Hold `model` on `device`, in evaluation mode and without gradients, inside this context.

    Dropout and running statistics would make a measurement random, or change the model. With a
    `dtype` its weights are in that precision; with `gradients` they can be taken, of recurrent layers on
    CUDA, too. Afterwards the model has its own tensors again, and each of its parts its own mode.
    """
    device = resolve_device(device)
    if dtype is not None and any(
        t.is_complex() for t in itertools.chain(model.parameters(), model.buffers())
    ):
        raise TypeError("dtype must be None for a model with complex weights: convert the model yourself")
    modes = {part: part.training for part in model.modules()}
    tensors = [(p, p.data, p.grad) for p in model.parameters()]
    buffers = [(part, dict(part._buffers)) for part in model.modules()]
    # cuDNN differentiates recurrent layers in training mode only, where dropout is on
    plain = torch.backends.cudnn.flags(enabled=False) if gradients else contextlib.nullcontext()
    try:
        model.to(device=device, dtype=dtype).eval()
        with plain, torch.set_grad_enabled(gradients):
            yield device
    finally:
        for p, data, grad in tensors:
            p.data = data
            p.grad = grad
        for part, values in buffers:
            part._buffers.update(values)
        for part, training in modes.items():
            part.training = training


def first_float(model: nn.Module) -> torch.Tensor | None:
    """Return the first floating-point weight or buffer of `model`, if it has one."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    return next((t for t in tensors if t.is_floating_point()), None)
