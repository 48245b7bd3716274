"""The training, validation and test batches of one run, from a task or from data."""

from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.protocols import Task
from curse_of_memory.tasks import Batch
from curse_of_memory.tools.random_streams import sample_seed, stream
from curse_of_memory.training.data_sets import Data, Loader, Sequences, copied, data_set, placed_pair
from curse_of_memory.training.unread import Unread

__all__ = ["BatchSource", "Batches"]


class BatchSource(Protocol):
    """Where the batches of a run come from, as its loop and its checkpoint ask for them."""

    @property
    def epoch(self) -> int | None:
        """How many batches an epoch has; None where there is no such thing."""
        ...

    @property
    def names(self) -> Mapping[str, object]:
        """What they are drawn from: ``task``, and ``validation`` and ``test`` where these were given."""
        ...

    @property
    def at(self) -> list:
        """What a checkpoint holds beside the number of the step; all processes ask for it at once."""
        ...

    def training(self, step: int) -> Batch:
        """Return the batch of a `step`."""
        ...

    def go_to(self, at: list) -> None:
        """Go on from what :attr:`at` was."""
        ...


class Batches:
    """The training, validation and test batches of one run.

    Parameters
    ----------
    task, validation, test
        What :func:`curse_of_memory.training.fit` was given.
    seed : int
        Names all batches.
    batch_size, validation_size : int
        Sequences in a training batch, and in the validation set.
    device : torch.device
        Where they are wanted.
    dtype : torch.dtype
        Of real inputs. They are drawn in float32 at least, in which targets stay: half precisions have no
        FFT, by which tasks answer, and no digits to spare for errors.
    in_epochs : bool
        Whether every sequence of a data set is visited once before any is again.
    read_late : bool
        Whether the validation and test sequences of a torch Dataset are read when they are evaluated, and
        again each time, so that they need not all be in memory.

    Attributes
    ----------
    epoch : int or None
        How many batches an epoch has; None for tasks, which have no end, and where `in_epochs` is False.
    """

    def __init__(
        self,
        task: Task | Data,
        validation: Task | Data | None,
        test: Task | Data | None = None,
        *,
        seed: int,
        batch_size: int,
        validation_size: int,
        device: torch.device,
        dtype: torch.dtype,
        in_epochs: bool = False,
        read_late: bool = False,
    ):
        self._task = data_set("task", task, seed)
        self._unseen = self._task if validation is None else data_set("validation", validation)
        self._seed, self._dtype = seed, dtype
        self._place = {"device": device, "dtype": torch.promote_types(dtype, torch.float32)}
        self._batch_size, self._validation_size = batch_size, validation_size
        self._read_late = read_late
        if validation is None and isinstance(self._task, Loader):
            raise ValueError(
                "validation must be given with a DataLoader: a pair, a Dataset or another loader"
            )
        self.names = {"task": self._task} | ({} if validation is None else {"validation": self._unseen})
        self._test = None if test is None else data_set("test", test)
        self.names |= {} if test is None else {"test": self._test}
        if validation is None and isinstance(self._task, Sequences):
            self._task, self._unseen = self._task.divided(validation_size, seed)
        self.epoch: int | None = self._in_an_epoch() if in_epochs else None
        self._order: tuple[int, np.ndarray] | None = None

    def _in_an_epoch(self) -> int:
        if isinstance(self._task, Sequences):
            return -(-len(self._task) // self._batch_size)
        count = self._task.batches if isinstance(self._task, Loader) else None
        if count == 0:
            raise ValueError("task must be a DataLoader with at least one batch")
        if count is None:
            raise ValueError("epochs must not be given with a task or loader that has no end: give steps")
        return count

    @property
    def shortest(self) -> int:
        """How many sequences the shortest batch of an epoch of a data set has, as far as is known."""
        last = len(self._task) % self._batch_size if isinstance(self._task, Sequences) else 0
        return last or self._batch_size

    def validation(self) -> Batch | Unread:
        """Return the sequences for validation."""
        size = self._validation_size
        if isinstance(self._unseen, Loader):
            return self._rounded(placed_pair(_first_of(self._unseen, size), **self._place))
        seed = sample_seed("validation", self._seed)
        if isinstance(self._unseen, Sequences):
            return self._all_of(self._unseen, self._unseen.drawn(size, seed))
        return self._rounded(copied("validation", self._unseen.sample(size, seed=seed, **self._place)))

    def test(self) -> Batch | Unread | None:
        """Return all sequences of the test data; of a task as many as for validation; None where none are."""
        if self._test is None:
            return None
        if isinstance(self._test, Loader):
            return self._rounded(placed_pair(_first_of(self._test, None), **self._place))
        if isinstance(self._test, Sequences):
            return self._all_of(self._test, np.arange(len(self._test)))
        seed = sample_seed("test", self._seed)
        return self._rounded(
            copied("test", self._test.sample(self._validation_size, seed=seed, **self._place))
        )

    def _all_of(self, data: Sequences, order: np.ndarray) -> Batch | Unread:
        """Return the sequences in an `order`, or what reads them when they are evaluated."""

        def read(some: np.ndarray) -> Batch:
            return self._rounded(data.in_order(some, **self._place))

        return Unread(read, order) if self._read_late and data.is_read else read(order)

    def training(self, step: int) -> Batch:
        """Return the batch of a `step`; a loader gives its next one, whatever the step."""
        if isinstance(self._task, Loader):
            return self._rounded(placed_pair(self._task.next(), **self._place))
        if self.epoch is not None and isinstance(self._task, Sequences):
            epoch, place = divmod(step, self.epoch)
            rows = self._order_of(epoch)[place * self._batch_size :][: self._batch_size]
            return self._rounded(self._task.in_order(rows, **self._place))
        seed = sample_seed("training", self._seed, step)
        return self._rounded(copied("task", self._task.sample(self._batch_size, seed=seed, **self._place)))

    def _order_of(self, epoch: int) -> np.ndarray:
        """Return the order of an `epoch`, which the seed and the number of the epoch name."""
        if self._order is None or self._order[0] != epoch:
            assert isinstance(self._task, Sequences)  # a loader has an order of its own
            draws = stream("order of an epoch", self._seed, epoch)
            self._order = epoch, draws.permutation(len(self._task))
        return self._order[1]

    def _rounded(self, batch: Batch) -> Batch:
        """Return `batch` with inputs in the model's precision if that is a half precision."""
        if self._dtype == self._place["dtype"] or not batch.inputs.is_floating_point():
            return batch
        return batch._replace(inputs=batch.inputs.to(self._dtype))

    @property
    def at(self) -> list[int]:
        """Epoch and place of a loader, for :meth:`go_to`; an empty list for tasks and data sets."""
        return self._task.at if isinstance(self._task, Loader) else []

    def go_to(self, at: Sequence[int]) -> None:
        """Go on from a place that :attr:`at` returned."""
        if at and isinstance(self._task, Loader):
            self._task.go_to(*at)


def _first_of(loader: Loader, size: int | None) -> list[Tensor]:
    """Return the first `size` sequences of one epoch, or all of it."""
    taken: list[Sequence[Tensor]] = []
    while size is None or sum(len(x) for x, _ in taken) < size:
        batch = loader.next()
        if loader.at[0]:
            break
        taken.append(batch)
    return [torch.cat(tensors)[:size] for tensors in zip(*taken, strict=True)]
