"""The training and validation batches of one run, from a task or from data."""

from collections.abc import Sequence

import torch
from torch import Tensor

from curse_of_memory.protocols import Task
from curse_of_memory.tasks import Batch
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training.data_sets import Data, Loader, Sequences, copied, data_set, placed_pair

__all__ = ["Batches"]


class Batches:
    """The training and validation batches of one run.

    Parameters
    ----------
    task, validation
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
    """

    def __init__(
        self,
        task: Task | Data,
        validation: Task | Data | None,
        *,
        seed: int,
        batch_size: int,
        validation_size: int,
        device: torch.device,
        dtype: torch.dtype,
    ):
        self._task = data_set("task", task, seed)
        self._unseen = self._task if validation is None else data_set("validation", validation)
        self._seed, self._dtype = seed, dtype
        self._place = {"device": device, "dtype": torch.promote_types(dtype, torch.float32)}
        self._batch_size, self._validation_size = batch_size, validation_size
        if validation is None and isinstance(self._task, Loader):
            raise ValueError(
                "validation must be given with a DataLoader: a pair, a Dataset or another loader"
            )
        self.names = {"task": self._task} | ({} if validation is None else {"validation": self._unseen})
        if validation is None and isinstance(self._task, Sequences):
            self._task, self._unseen = self._task.divided(validation_size, seed)

    def validation(self) -> Batch:
        """Return the sequences for validation."""
        size = self._validation_size
        if isinstance(self._unseen, Loader):
            return self._rounded(placed_pair(_first_of(self._unseen, size), **self._place))
        seed = sample_seed("validation", self._seed)
        return self._rounded(copied("validation", self._unseen.sample(size, seed=seed, **self._place)))

    def training(self, step: int) -> Batch:
        """Return the batch of a `step`; a loader gives its next one, whatever the step."""
        if isinstance(self._task, Loader):
            return self._rounded(placed_pair(self._task.next(), **self._place))
        seed = sample_seed("training", self._seed, step)
        return self._rounded(copied("task", self._task.sample(self._batch_size, seed=seed, **self._place)))

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


def _first_of(loader: Loader, size: int) -> list[Tensor]:
    """Return the first `size` sequences of one epoch, or all of it."""
    taken: list[Sequence[Tensor]] = []
    while sum(len(x) for x, _ in taken) < size:
        batch = loader.next()
        if loader.at[0]:
            break
        taken.append(batch)
    return [torch.cat(tensors)[:size] for tensors in zip(*taken, strict=True)]
