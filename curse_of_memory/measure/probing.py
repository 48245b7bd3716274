"""A context in which a model is measured, and after which it is as it was before."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from curse_of_memory.tools.devices import full_precision, resolve_device

__all__ = ["probing"]


@contextlib.contextmanager
def probing(
    model: nn.Module,
    device: torch.device | str | None,
    *,
    dtype: torch.dtype | None = None,
    gradients: bool = False,
) -> Iterator[torch.device]:
    """Put `model` on `device`, in evaluation mode and full precision, without gradients, inside this context.

    Dropout and running statistics would make a measurement random, or change the model. With a
    `dtype` its weights are in that precision; with `gradients` they can be taken, of recurrent layers on
    CUDA, too; with the device None it stays where it is. The device is yielded. Afterwards the model has its
    own tensors again, with their values, and each of its parts its own mode; torch's own random numbers are
    those that they were. Parts that delete dead memories (``deletes``, as our attention has it) keep them
    inside, where they count for nothing: else sequences would be padded to the fullest of a batch, and round
    with it.
    """
    tensors = [*model.parameters(), *model.buffers()]
    target = None if device is None else resolve_device(device)
    place = next((t.device for t in tensors), torch.device("cpu")) if target is None else target
    if dtype is not None and not (isinstance(dtype, torch.dtype) and dtype.is_floating_point):
        raise TypeError(f"dtype must be a torch.dtype of real numbers, such as torch.float64, got {dtype!r}")
    if dtype is not None and any(t.is_complex() for t in tensors):
        raise TypeError("dtype must be None for a model with complex weights: convert the model yourself")
    modes = {part: part.training for part in model.modules() if hasattr(part, "training")}
    deleting = [vars(part) for part in model.modules() if vars(part).get("deletes") is True]
    weights = [(p, p.data, p.grad) for p in model.parameters()]
    buffers = [
        (part, name, b, b.detach().clone())
        for part in model.modules()
        for name, b in part._buffers.items()
        if b is not None
    ]
    # cuDNN differentiates recurrent layers in training mode only, where dropout is on
    cudnn = torch.backends.cudnn.enabled
    try:
        for p, _, _ in weights:
            p.grad = None  # set aside: a conversion of the weights would convert them where they are
        if target is not None or dtype is not None:
            model.to(device=target, dtype=dtype)
        model.eval()
        for part in deleting:
            part["deletes"] = False
        torch.backends.cudnn.enabled = cudnn and not gradients
        seen = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(seen), full_precision(), torch.set_grad_enabled(gradients):
            yield place
    finally:
        torch.backends.cudnn.enabled = cudnn
        for p, data, grad in weights:
            p.data = data
            p.grad = grad
        with torch.no_grad():
            for part, name, buffer, values in buffers:
                part._buffers[name] = buffer
                if not torch.equal(buffer, values):  # a model counts its calls, say
                    buffer.copy_(values)
        for part, training in modes.items():
            part.training = training
        for part in deleting:
            part["deletes"] = True
