"""Arrays, data sets and loaders in place of a task: sequences from which batches are drawn.

Whatever it is, everything is copied: neither code that works in place nor a task that fills one buffer again
and again changes what somebody else has been given.
"""

from collections.abc import Iterator, Sequence, Sized

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset, default_collate

from curse_of_memory.protocols import Task
from curse_of_memory.tasks import Batch
from curse_of_memory.tasks.sampling import drawn_by, fingerprint
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import torch_draws
from curse_of_memory.tools.random_streams import stream

__all__ = ["Data", "Loader", "Sequences", "copied", "data_set", "placed_pair"]

Data = Sequence[ArrayLike] | Dataset | DataLoader
"""Sequences in place of a task: a pair of arrays or tensors, a data set of pairs, or a loader of such."""

HELD_OUT = 10  # one of so many sequences of a data set is for validation, where nothing else is
TAKES = "a task with sample(size, seed=...), a pair (inputs, targets), a torch Dataset or a DataLoader"


class Sequences:
    """A data set of pairs, from which batches are drawn as from a task.

    Parameters
    ----------
    data : pair of tensors, or torch.utils.data.Dataset
        Inputs and targets whose first dimension is the sequence, or a data set with a length whose entries
        are such pairs.
    rows : array of int, optional
        Which of the sequences are meant; all unless given.
    name : str
        What errors call the data.

    Examples
    --------
    >>> x = torch.arange(12.0).view(4, 3, 1)
    >>> Sequences((x, 2 * x)).sample(9, seed=0).targets.shape  # there are four
    torch.Size([4, 3, 1])
    """

    def __init__(self, data: Sequence[Tensor] | Dataset, rows: np.ndarray | None = None, name: str = "task"):
        self._data, self.name = data, name
        one = data if isinstance(data, Dataset) else data[0]
        self._count = len(one) if isinstance(one, Sized) else 0
        self._rows = np.arange(self._count) if rows is None else rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        if isinstance(self._data, Dataset):
            return f"{type(self._data).__qualname__} of {self._count} sequences"
        shapes = " and ".join(str(tuple(part.shape)) for part in self._data)
        return f"arrays {shapes} {fingerprint(part.numpy(force=True) for part in self._data)}"

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Return `size` different sequences, or all if there are fewer; `seed` names the draw.

        Numbers are of the precision of `dtype`, and on `device`; whole numbers stay what they are.
        """
        return self.in_order(self.drawn(size, seed), device=device, dtype=dtype)

    def drawn(self, size: int, seed: int | Sequence[int]) -> np.ndarray:
        """Return the places of the sequences of :meth:`sample`, for :meth:`in_order`."""
        return drawn_by(seed).choice(len(self), min(size, len(self)), replace=False)

    @property
    def is_read(self) -> bool:
        """Whether these are of a data set that is read one by one, not arrays in memory."""
        return isinstance(self._data, Dataset)

    def in_order(
        self,
        order: np.ndarray,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Return the sequences whose places among these are `order`."""
        return self._taken(self._rows[order], device, dtype)

    def _taken(self, rows: np.ndarray, device: torch.device | str, dtype: torch.dtype | None) -> Batch:
        if isinstance(self._data, Dataset):
            pair = _pair(self.name, default_collate([self._data[int(row)] for row in rows]))
        else:
            pair = [part[torch.from_numpy(rows).to(part.device)] for part in self._data]
        return placed_pair(pair, device, dtype)

    def divided(self, most: int, seed: int) -> tuple["Sequences", "Sequences"]:
        """Return the sequences for training, and one of ten, at most `most`, that are held out."""
        if len(self) < 2:
            raise ValueError("task must have two sequences at least, or validation must be given")
        rows = stream("held out sequences", seed).permutation(self._rows)
        count = min(most, -(-len(self) // HELD_OUT))
        return Sequences(self._data, np.sort(rows[count:])), Sequences(self._data, np.sort(rows[:count]))


class Loader:
    """The batches of a torch DataLoader as they are, one after the other and epoch after epoch.

    What the loader draws at the beginning of an epoch, its order, is named by the seed and the number of the
    epoch: a run that is resumed finds its place again.

    Parameters
    ----------
    loader : torch.utils.data.DataLoader
        Of pairs of inputs and targets.
    seed : int
        Names the orders; a generator that the loader has of its own is seeded anew for each epoch.
    name : str
        What errors call it.
    """

    def __init__(self, loader: DataLoader, seed: int = 0, name: str = "task"):
        self._loader, self._seed, self.name = loader, seed, name
        self._epoch, self._place = 0, 0
        self._batches = self._begun()

    def __repr__(self) -> str:
        return f"DataLoader({type(self._loader.dataset).__qualname__}, batch_size={self._loader.batch_size})"

    @property
    def batches(self) -> int | None:
        """How many batches an epoch has; None where the loader does not know."""
        try:
            return len(self._loader)
        except TypeError:
            return None

    @property
    def at(self) -> list[int]:
        """The epoch, and how many of its batches have been taken."""
        return [self._epoch, self._place]

    def go_to(self, epoch: int, place: int) -> None:
        """Go on after `place` batches of an `epoch`."""
        self._epoch, self._place, self._batches = epoch, 0, self._begun(epoch)
        for _ in range(place):
            self.next()

    def next(self) -> Sequence[Tensor]:
        """Return the next batch, the first of another epoch where one has ended."""
        batch = next(self._batches, None)
        if batch is None:
            self._epoch, self._place = self._epoch + 1, 0
            self._batches = self._begun(self._epoch)
            batch = next(self._batches, None)
        if batch is None:
            raise ValueError(f"{self.name} must be a DataLoader with at least one batch")
        self._place += 1
        return _pair(self.name, batch)

    def _begun(self, epoch: int = 0) -> Iterator:
        number = int(stream("order of a loader", self._seed, epoch).integers(checks.BELOW))
        sampler = getattr(self._loader, "sampler", None)
        set_epoch = getattr(sampler, "set_epoch", None)
        if callable(set_epoch):
            set_epoch(epoch)
        with torch_draws(number):
            for generator in (self._loader.generator, getattr(sampler, "generator", None)):
                if generator is not None:
                    generator.manual_seed(number)
            batches = iter(self._loader)
            first = next(batches, None)  # a sampler draws its order when it is asked for the first batch
        if first is not None:
            yield first
            yield from batches


def data_set(name: str, given: Task | Data, seed: int = 0) -> "Task | Loader":
    """Return `given`, the argument called `name`, as a task or as a :class:`Loader`.

    Parameters
    ----------
    name : str
        What errors call it.
    given
        A task with ``sample(size, seed=, device=, dtype=)``, which is returned as it is; a pair of arrays or
        tensors, a Dataset, or a DataLoader.
    seed : int
        Names the orders of a loader.
    """
    if checks.fulfils(given, Task):
        return given
    if isinstance(given, DataLoader):
        return Loader(given, seed, name)
    if isinstance(given, TensorDataset):
        given = given.tensors
    if isinstance(given, Dataset):
        if isinstance(given, IterableDataset) or not isinstance(given, Sized):
            raise TypeError(
                f"{name} must be {TAKES}; a {type(given).__name__} without a length is for a loader"
            )
        if not len(given):
            raise ValueError(f"{name} must not be empty")
        return Sequences(given, name=name)
    if isinstance(given, tuple | list) and len(given) == 2:
        pair = _pair(name, [_tensor(name, part) for part in given])
        return Sequences([_array(name, part) for part in pair], name=name)
    raise TypeError(f"{name} must be {TAKES}, got {type(given).__name__}")


def copied(name: str, batch) -> Batch:
    """Return a copy of a `batch`, a pair of tensors that the task called `name` has drawn."""
    return Batch(*(part.detach().clone() for part in _pair(name, batch)))


def _pair(name: str, pair) -> Sequence[Tensor]:
    """Return `pair` if it is inputs and as many targets, as tensors."""
    if not isinstance(pair, tuple | list) or len(pair) != 2:
        raise TypeError(f"{name} must give pairs of inputs and targets, got {type(pair).__name__}")
    for part in pair:
        if not isinstance(part, Tensor):
            raise TypeError(f"{name} must give pairs of tensors, got {type(part).__name__} in one")
    if not pair[0].ndim or not pair[1].ndim or len(pair[0]) != len(pair[1]) or not len(pair[0]):
        shapes = " and ".join(str(tuple(part.shape)) for part in pair)
        raise ValueError(f"{name} must give as many inputs as targets, one at least, got {shapes}")
    return pair


def _tensor(name: str, values) -> Tensor:
    try:
        return values.detach() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a pair of arrays of numbers, got {type(values).__name__}") from None


def _array(name: str, values: Tensor) -> Tensor:
    """Return `values` if they are finite, or whole numbers."""
    if (values.is_floating_point() or values.is_complex()) and not values.isfinite().all():
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return values


def placed_pair(pair: Sequence[Tensor], device: torch.device | str, dtype: torch.dtype | None) -> Batch:
    """Return a copy on `device`, numbers in the precision of `dtype`; whole numbers are classes or tokens."""
    real = torch.get_default_dtype() if dtype is None else dtype

    def one(part: Tensor) -> Tensor:
        wanted = real if part.is_floating_point() else real.to_complex() if part.is_complex() else part.dtype
        return part.detach().to(device=device, dtype=wanted, copy=True)

    return Batch(*map(one, pair))
