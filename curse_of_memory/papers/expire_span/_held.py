"""How many bytes of tensors some work holds at once."""

import weakref
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from curse_of_memory.nn._torch_private import TorchDispatchMode


class _Held(TorchDispatchMode):
    """Counts the bytes of tensors that operations make inside of it, from their birth to their end."""

    def __init__(self):
        super().__init__()
        self.now = self.most = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = {t.untyped_storage().data_ptr() for t in _tensors((args, list((kwargs or {}).values())))}
        made = func(*args, **(kwargs or {}))
        for tensor in _tensors(made):
            storage = tensor.untyped_storage()
            if storage.nbytes() and storage.data_ptr() not in given | self._known:  # no view
                self._born(storage)
        return made

    def _born(self, storage: torch.UntypedStorage) -> None:
        address, size = storage.data_ptr(), storage.nbytes()
        self._known.add(address)
        self.now += size
        self.most = max(self.most, self.now)
        weakref.finalize(storage, self._gone, address, size)

    def _gone(self, address: int, size: int) -> None:
        self._known.discard(address)
        self.now -= size


def _tensors(nested: object) -> Iterator[Tensor]:
    if isinstance(nested, Tensor):
        yield nested
    elif isinstance(nested, tuple | list):
        for part in nested:
            yield from _tensors(part)


def most_held(work: Callable[[], object]) -> int:
    """Return the largest number of bytes of tensors that some work holds at once, of those that it makes.

    It is the same each time, unlike what the system says of a process. What an operation needs inside of it
    is not seen.
    """
    with _Held() as held:
        work()
    return held.most
