"""Measuring leaves no trace: the model is as it was afterwards."""

import contextlib
import itertools
from collections.abc import Iterator

import torch
from torch import nn

from curse_of_memory.devices import full_precision, resolve_device

__all__ = ["first_float", "probing"]


@contextlib.contextmanager
def probing(
    model: nn.Module,
    device: torch.device | str,
    *,
    dtype: torch.dtype | None = None,
    gradients: bool = False,
) -> Iterator[torch.device]:
    """Hold `model` on `device`, in evaluation mode, without gradients and in full precision, in this context.

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
    cudnn = torch.backends.cudnn.enabled
    try:
        model.to(device=device, dtype=dtype).eval()
        torch.backends.cudnn.enabled = cudnn and not gradients
        with full_precision(), torch.set_grad_enabled(gradients):
            yield device
    finally:
        torch.backends.cudnn.enabled = cudnn
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
