"""What training and measurements ask of a task and of a loss that somebody hands in, as protocols.

They say how a thing is used, not where it comes from: a class fulfils one by having its methods.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol, TypedDict

import torch
from torch import Tensor

from curse_of_memory.protocols.layers import LinearMemory

__all__ = ["LinearError", "LinearLoss", "LinearTask", "Task"]


class Task(Protocol):
    """Anything that draws seeded batches: what is trained on, and what errors are measured on."""

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Return `size` inputs and as many targets; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of sequences.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of real numbers; torch's default dtype if none is given. Whole numbers stay int64.
        """
        ...


class LinearError(TypedDict):
    """How far a linear model is from a linear target: the arguments of a loss's ``expected``.

    Attributes
    ----------
    kernel_error : Tensor of shape ``(time, output, input)``
        Δρ_s = ρ̂_s − ρ_s, densities per unit time.
    offset_error : Tensor of shape ``(time, output)``
        Δμ_k, the part of the error that does not depend on the input.
    dt, variance : float
        Time step, and variance of the independent steps of the inputs.
    inputs : str
        ``'white'`` or ``'random_walk'``.
    """

    kernel_error: Tensor
    offset_error: Tensor
    dt: float
    variance: float
    inputs: str


class LinearTask(Protocol):
    """A task on which the expected loss of a linear model has a closed form, without data."""

    @property
    def horizon(self) -> int:
        """Length of its sequences, in steps."""
        ...

    def linear_error(
        self, model: LinearMemory, parameters: Mapping[str, Tensor] | None = None
    ) -> LinearError:
        """Return how far a linear `model`, with other `parameters` if given, is from the target."""
        ...


class LinearLoss(Protocol):
    """A loss whose expectation is known for a linear model on a :class:`LinearTask`.

    See :class:`curse_of_memory.losses.TemporallyWeightedMSE` for the arguments.
    """

    def residuals(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the numbers ``(..., residual)`` whose squares add up to :meth:`expected`."""
        ...

    def expected(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the expected loss ``(...)`` of errors of kernels and offsets."""
        ...
