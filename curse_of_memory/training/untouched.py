"""A context that undoes what is done to a model, and the states of the global random generators."""

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from curse_of_memory.tools.devices import GENERATORS

__all__ = ["generator_states", "same_states", "set_generators", "untouched"]


def generator_states(device: torch.device) -> dict:
    """Return the states of the global random generators of torch, numpy and Python.

    Parameters
    ----------
    device : torch.device
        Where the model is: on CUDA, the generator of that device is among them.

    Returns
    -------
    dict
        Of numbers, texts and tensors alone, as a checkpoint holds it.
    """
    with GENERATORS:
        state = np.random.get_state()  # noqa: NPY002 - what a model draws from numpy is this one's
        assert isinstance(state, tuple)  # as long as nobody asks for a dict
        kind, words, *rest = state
        states = {
            "torch": torch.get_rng_state(),
            "numpy": [kind, torch.from_numpy(words.astype(np.int64)), *rest],
            "python": _listed(random.getstate()),
        }
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def set_generators(states: dict, device: torch.device) -> None:
    """Set the generators to `states`, as :func:`generator_states` returned them for `device`."""
    with GENERATORS:
        torch.set_rng_state(states["torch"].cpu())
        kind, words, *rest = states["numpy"]
        np.random.set_state((kind, words.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
        version, numbers, gauss = states["python"]
        random.setstate((version, tuple(numbers), gauss))
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"].cpu(), device)


def same_states(first: dict, second: dict) -> bool:
    """Return whether two results of :func:`generator_states` are equal: nothing was drawn between them."""
    known, now = first["numpy"], second["numpy"]
    return (
        torch.equal(first["torch"].cpu(), second["torch"].cpu())
        and torch.equal(known[1].cpu(), now[1].cpu())
        and known[2:] == now[2:]
        and first["python"] == second["python"]
        and ("cuda" not in second or torch.equal(first["cuda"].cpu(), second["cuda"].cpu()))
    )


def _listed(state: tuple) -> list:
    version, numbers, gauss = state
    return [version, list(numbers), gauss]


@contextlib.contextmanager
def untouched(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Restore weights, buffers, gradients and modes of `model`, and random generators, after this context.

    What runs inside sees the model itself, so that it may look at everything; it may also change it,
    zero its gradients, switch it to evaluation, or draw random numbers, on `device` too: training goes on as
    if it had not.

    Examples
    --------
    >>> model = nn.Linear(1, 1)
    >>> before = model.weight.item()
    >>> with untouched(model, torch.device("cpu")):
    ...     _ = model.eval().weight.data.zero_()
    >>> model.weight.item() == before, model.training
    (True, True)
    """
    generators = generator_states(device)
    modes = {part: part.training for part in model.modules()}
    buffers = [(part, dict(part._buffers)) for part in model.modules()]  # a module may put others in place
    tensors = [*model.parameters(), *model.buffers()]
    values = [tensor.detach().clone() for tensor in tensors]
    slopes = [(p, p.grad, None if p.grad is None else p.grad.clone()) for p in model.parameters()]
    try:
        yield
    finally:
        for part, known in buffers:
            part._buffers.clear()
            part._buffers.update(known)
        with torch.no_grad():
            for tensor, value in zip(tensors, values, strict=True):
                tensor.data.copy_(value)
            for parameter, slope, value in slopes:
                parameter.grad = slope
                if slope is not None and value is not None:
                    slope.copy_(value)
        for part, mode in modes.items():
            part.training = mode
        set_generators(generators, device)
