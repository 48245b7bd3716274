"""Training in this process, or in all processes of a Lightning Fabric, each on its share of a batch.

Equation.   With n processes, process r takes every batch B_r, a part of |B|/n sequences of the batch B. For
            a loss L that is a mean over sequences

                L(B) = (1/n) Σ_r L(B_r),      ∇L(B) = (1/n) Σ_r ∇L(B_r),

            so that averaged losses and gradients are those of one process, up to the order of the sums.
"""

from collections.abc import Callable, Sequence
from typing import overload

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.training.unread import Unread

__all__ = ["ManyProcesses", "OneProcess", "processes"]


class OneProcess:
    """Training in this process, alone.

    Parameters
    ----------
    device : torch.device
        Where it works.
    """

    is_first = True
    rank = 0
    size = 1

    def __init__(self, device: torch.device):
        self.device = device

    def set_up(self, model: nn.Module, optimizer: Optimizer) -> tuple[nn.Module, Optimizer]:
        """Return the `model` to call in training, and the `optimizer` to step."""
        return model, optimizer

    @overload
    def share(self, batch: Unread) -> Unread: ...

    @overload
    def share(self, batch: Sequence[Tensor]) -> Sequence[Tensor]: ...

    def share(self, batch: Sequence[Tensor] | Unread) -> Sequence[Tensor] | Unread:
        """Return this process's part of a `batch`, which all processes have drawn."""
        return batch

    def check_even(self, name: str, size: int) -> None:
        """Refuse a number of sequences, called `name`, that the processes cannot share evenly."""

    def backward(self, error: Tensor) -> None:
        """Add the gradient of the mean `error` of all processes to the weights."""
        error.backward()

    def by_share(self, error: Tensor, count: Callable[[], float]) -> Tensor:
        """Return an `error`, the mean over `count`, so that its mean over processes is that of all."""
        return error

    def clip(self, model: nn.Module, optimizer: Optimizer, largest: float) -> Tensor:
        """Scale the gradients of `model` down to the norm `largest`; return the norm they had."""
        return nn.utils.clip_grad_norm_(model.parameters(), largest)

    def mean(self, value: Tensor) -> float:
        """Return the mean of a `value` over all processes."""
        return value.item()

    def mean_number(self, value: float) -> float:
        """Return the mean of a number over all processes, in double precision."""
        return self.mean(torch.tensor(value, dtype=torch.float64))

    def gathered(self, value) -> list:
        """Return the `value`, any plain object, of every process."""
        return [value]


class ManyProcesses(OneProcess):
    """Training in the processes of a Fabric that has been launched.

    Parameters
    ----------
    fabric : lightning.fabric.Fabric
        Its strategy keeps all weights in every process, as ``"ddp"`` does.
    **sizes : int
        Numbers of sequences that are shared out, by name.
    """

    def __init__(self, fabric, **sizes: int):
        super().__init__(fabric.device)
        self._fabric = fabric
        for name, size in sizes.items():
            self.check_even(name, size)
        self.is_first = fabric.is_global_zero
        self.rank, self.size = fabric.global_rank, fabric.world_size

    def set_up(self, model, optimizer):
        """Return the `model` in the precision of the Fabric, with averaged gradients, and the `optimizer`."""
        return self._fabric.setup(model, optimizer)

    def share(self, batch):
        """Return this process's part of a `batch`, which all have drawn."""
        count, rank = self._fabric.world_size, self._fabric.global_rank
        length = len(batch) if isinstance(batch, Unread) else len(batch[0])
        own = slice(rank * length // count, rank * length // count + length // count)
        return batch.part(own) if isinstance(batch, Unread) else [tensor[own] for tensor in batch]

    def check_even(self, name, size):
        """Refuse a number of sequences, called `name`, that the processes cannot share evenly."""
        if size % self._fabric.world_size:
            raise ValueError(f"{name} must be a multiple of {self._fabric.world_size} processes, got {size}")

    def backward(self, error):
        """Add the gradient of the mean `error` of all processes to the weights."""
        self._fabric.backward(error)

    def clip(self, model, optimizer, largest):
        """Scale the gradients of `model` down to the norm `largest`; return the norm they had."""
        return self._fabric.clip_gradients(model, optimizer, max_norm=largest, error_if_nonfinite=False)

    def mean(self, value):
        """Return the mean of a `value` over all processes."""
        return self._fabric.all_reduce(value.detach().clone().to(self.device), reduce_op="mean").item()

    def by_share(self, error, count):
        """Return an `error`, the mean over `count`, so that its mean over processes is that of all."""
        own = count()
        shared = self.mean_number(own)
        return error * (own / shared) if shared else error

    def gathered(self, value):
        """Return the `value`, any plain object, of every process."""
        if self._fabric.world_size == 1:
            return [value]
        everyone = [None] * self._fabric.world_size
        torch.distributed.all_gather_object(everyone, value)
        return everyone


def processes(fabric, device: torch.device | str, **sizes: int) -> OneProcess:
    """Return the place to train in: the processes of `fabric`, or this one on `device` without a fabric.

    Raises
    ------
    ValueError
        If both are given, or one of the `sizes` cannot be shared out evenly.
    """
    if fabric is None:
        return OneProcess(resolve_device(device))
    if not hasattr(fabric, "world_size"):
        raise TypeError(f"fabric must be a Lightning Fabric that was launched, got {type(fabric).__name__}")
    if device != "auto":
        raise ValueError(f"device must be left to the fabric, got {device!r}")
    return ManyProcesses(fabric, **sizes)
