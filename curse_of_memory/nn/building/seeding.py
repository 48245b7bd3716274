"""Initial weights from a seed of their own."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device, torch_draws

__all__ = ["DRAWN", "place", "seeded"]

DRAWN = {"device": "cpu", "dtype": torch.float64}
"""Where parts of a module draw their weights, so that neither device nor dtype changes the draw."""


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Let torch's generator of the CPU draw from `seed` inside this context, and go on as before after it.

    Without a seed it goes on as it is.

    Raises
    ------
    ValueError, TypeError
        If the seed is no whole number from 0 to 2⁶³ − 1.

    Examples
    --------
    >>> with seeded(3):
    ...     first = torch.rand(1)
    >>> with seeded(3):
    ...     torch.rand(1).equal(first)
    True
    """
    if seed is None:
        yield
        return
    seed = checks.seed("seed", seed)
    with torch_draws(seed):
        yield


def place(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Move a module whose weights are :data:`DRAWN` to where and to what they are asked for.

    A device of None is torch's default device, a dtype of None its default dtype.

    Raises
    ------
    ValueError, TypeError
        If the device is none, or the dtype no real floating-point one.
    """
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype, got {dtype!r}")
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype must be a real floating-point one, got {dtype}")
    where = torch.get_default_device() if device is None else resolve_device(device)
    module.to(device=where, dtype=dtype or torch.get_default_dtype())
