"""How layers draw initial weights: in float64 on the CPU, with a seed of their own, then moved."""

import contextlib
from collections.abc import Iterator
from typing import TypedDict

import torch
from torch import nn

from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device, torch_draws

__all__ = ["DRAWN", "Place", "place", "seeded"]


class Place(TypedDict):
    """Keyword arguments of torch's factories and modules that say where numbers are, and how precise."""

    device: str
    dtype: torch.dtype


DRAWN: Place = {"device": "cpu", "dtype": torch.float64}
"""Where layers draw their weights: always here, so that neither device nor dtype changes what is drawn."""


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Seed torch's generator of the CPU inside this context; after it the generator goes on as before.

    With a `seed` of None nothing is changed: weights then depend on ``torch.manual_seed`` as in any module.

    Raises
    ------
    ValueError, TypeError
        If the seed is not a whole number from 0 to 2⁶³ − 1.

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
    """Move a module whose weights were drawn in float64 on the CPU to the requested device and dtype.

    Parameters
    ----------
    module : torch.nn.Module
        Its weights are as :data:`DRAWN`.
    device : torch.device, str or None
        A device, or ``"auto"`` for CUDA where there is one; torch's default device if None.
    dtype : torch.dtype or None
        A real floating-point one; torch's default dtype if None.

    Raises
    ------
    ValueError, TypeError
        If there is no such device, or the dtype is another one.
    """
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype, got {dtype!r}")
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype must be a real floating-point one, got {dtype}")
    where = torch.get_default_device() if device is None else resolve_device(device)
    module.to(device=where, dtype=dtype or torch.get_default_dtype())
