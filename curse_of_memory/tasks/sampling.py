"""Shared by the tasks: batches, splits, seeded white inputs, and a short fingerprint of a task's numbers."""

import math
import zlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tools import checks, devices

__all__ = ["Batch", "Splits", "WhiteInputTask", "drawn_by", "fingerprint", "moved", "placed", "white_noise"]


class Batch(NamedTuple):
    """Random `inputs`, and the `targets` a model should answer.

    Both are ``(batch, time, channel)``, save that tokens and a class for each step are ``(batch, time)``, and
    of a whole sequence one class is ``(batch,)`` and one answer in numbers ``(batch, channel)``.
    """

    inputs: Tensor
    targets: Tensor


class Splits(NamedTuple):
    """Sequences for training, for validation and for testing, none of them in two of these."""

    train: Batch
    validation: Batch
    test: Batch


class WhiteInputTask:
    """A task whose inputs are white noise x_k ~ N(0, variance), and whose targets are :meth:`answer` of them.

    Parameters
    ----------
    horizon : int
        Length of the sequences, in steps.
    input_size : int
        Channels of the input.
    variance : float
        Variance of every input.
    """

    def __init__(self, horizon: int, *, input_size: int = 1, variance: float = 1.0):
        self.horizon = checks.positive_int("horizon", horizon)
        self.input_size = checks.positive_int("input_size", input_size)
        self.variance = checks.positive("variance", variance)

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` sequences; equal seeds give equal inputs on every device.

        Parameters
        ----------
        size : int
            Number of sequences.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned; torch's default dtype if none is given.

        Returns
        -------
        Batch
            Inputs ``(size, horizon, input_size)`` and targets ``(size, horizon, output_size)``.
        """
        x = white_noise(size, self.horizon, self.input_size, variance=self.variance, seed=seed)
        x = placed(x, device, dtype)
        return Batch(x, self.answer(x))

    def answer(self, x: Tensor) -> Tensor:
        """Return the targets of inputs `x` of shape ``(batch, horizon, input_size)``."""
        raise NotImplementedError

    def _check_inputs(self, x: Tensor) -> None:
        expected = (self.horizon, self.input_size)
        if x.ndim != 3 or x.shape[1:] != expected:
            raise ValueError(f"x must have shape (batch, {expected[0]}, {expected[1]}), got {tuple(x.shape)}")


def drawn_by(seed: int | Sequence[int]) -> np.random.Generator:
    """Return the generator of a public `seed`, such as 3 or ``(3, 1)``: numpy's own."""
    return np.random.default_rng(checks.seeds("seed", seed))


def white_noise(size: int, horizon: int, channels: int, *, variance: float, seed) -> Tensor:
    """Return independent normal numbers ``(size, horizon, channels)``, in float64 on the CPU."""
    checks.positive_int("size", size)
    draws = drawn_by(seed).standard_normal((size, horizon, channels))
    return torch.from_numpy(math.sqrt(variance) * draws)


def placed(x: Tensor, device: torch.device | str, dtype: torch.dtype | None) -> Tensor:
    """Return `x` on the device and in the dtype asked for; torch's default dtype if none is."""
    if dtype is not None and not isinstance(dtype, torch.dtype):
        raise TypeError(f"dtype must be a torch.dtype, got {checks.shown(dtype)}")
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise ValueError(f"dtype must be a floating-point or complex one, got {dtype}")
    return moved(x, device).to(dtype or torch.get_default_dtype())


def moved(x: Tensor, device: torch.device | str) -> Tensor:
    """Return `x` as it is, on the device asked for."""
    if device == "auto":
        raise ValueError("device must be 'cpu' or 'cuda[:n]', got 'auto'")
    return x.to(devices.resolve_device(device))


def fingerprint(arrays: Iterable[np.ndarray]) -> str:
    """Return a checksum of numbers, such as ``"#1a2b3c4d"``, for a task's repr."""
    code = 0
    for array in arrays:
        code = zlib.crc32(np.ascontiguousarray(array).tobytes(), code)
    return f"#{code:08x}"
