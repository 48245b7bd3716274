"""Devices by name, full float32 precision, torch's generator held still, and how much fits into memory.

One rule each for every function that takes ``device="auto"``, for every run of our own, and for whatever
works on many copies of a model at once.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = [
    "GENERATORS",
    "bytes_on_tape",
    "copies_that_fit",
    "device_name",
    "full_precision",
    "memory_budget",
    "resolve_device",
    "torch_draws",
]

CPU_BUDGET = 2**30  # bytes
CUDA_SHARE = 0.5  # of what is free
# The way back through a recurrence holds, beside what the way forwards kept, adjoints and copies laid out for
# the products. Measured for nn.recurrence.nonlinear_ops: 3.3 times as much in all; compiled loops need less.
BYTES_PER_BYTE_ON_TAPE = 4


def resolve_device(device: str | torch.device = "auto") -> torch.device:
    """Return the torch device that `device` names; ``"auto"`` is CUDA where there is one, else the CPU.

    Raises
    ------
    ValueError
        If the name is not a device, or names a CUDA device on a machine that has none.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be 'auto', 'cpu' or 'cuda[:n]', got {device!r}") from None
    if resolved.type == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            f"device {device!r} was asked for, but torch sees no CUDA device; use 'auto' or 'cpu'"
        )
    return resolved


def device_name(device: str | torch.device = "auto") -> str:
    """Return the name of the device for a record: that of the GPU, or ``"cpu"``.

    Raises
    ------
    ValueError
        As :func:`resolve_device`.
    """
    resolved = resolve_device(device)
    return torch.cuda.get_device_name(resolved) if resolved.type == "cuda" else resolved.type


# --- precision ----------------------------------------------------------------------------------


@contextlib.contextmanager
def full_precision(on: bool = True) -> Iterator[None]:
    """Take products of float32 in float32 inside this context, whatever torch's settings are.

    By default torch lets cuDNN round the factors to TF32, 10 bits in place of 23, in recurrent layers and
    convolutions: a relative error of 2⁻¹¹ = 5e-4 in each factor, which a measured memory would show. Others
    of its settings allow TF32 or bf16 in matrix products, too. Here all of them are off; afterwards, when no
    other thread is in such a context any more, they are as they were. ``torch.autocast`` is no such setting:
    whoever enters it asks for it.

    Parameters
    ----------
    on : bool
        False leaves torch's settings in force.

    Notes
    -----
    torch names these settings twice, by ``fp32_precision`` and by ``allow_tf32`` or
    ``set_float32_matmul_precision``, and refuses to read the older names where the two disagree. Both are
    set, so that a model may read either; where the older ones cannot be read at the start they are left as
    they are.

    Examples
    --------
    >>> torch.backends.cudnn.allow_tf32
    True
    >>> with full_precision():
    ...     torch.backends.cudnn.allow_tf32
    False
    """
    if not on:
        yield
        return
    _SETTINGS.enter()
    try:
        yield
    finally:
        _SETTINGS.leave()


class _Settings:
    """torch's settings of precision, which all threads share: the first turns them off, the last back."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0
        self._undo = contextlib.ExitStack()

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._undo = _turned_off()

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._undo.close()


_SETTINGS = _Settings()


def _turned_off() -> contextlib.ExitStack:
    """Turn everything off that is not full precision; closing what is returned undoes it."""
    backends, undo = torch.backends, contextlib.ExitStack()
    cudnn, mkldnn = backends.cudnn, backends.mkldnn
    with contextlib.suppress(RuntimeError):
        if cudnn.allow_tf32:
            undo.callback(setattr, cudnn, "allow_tf32", True)
            cudnn.allow_tf32 = False
    with contextlib.suppress(RuntimeError):
        if (before := torch.get_float32_matmul_precision()) != "highest":
            # which sets that of mkldnn, too, where it may not have been set
            undo.callback(setattr, mkldnn.matmul, "fp32_precision", mkldnn.matmul.fp32_precision)
            undo.callback(torch.set_float32_matmul_precision, before)
            torch.set_float32_matmul_precision("highest")
    # from the top down: a part that was given no precision of its own takes that of the whole
    wholes = backends, cudnn, mkldnn
    layers = backends.cuda.matmul, cudnn.conv, cudnn.rnn, mkldnn.matmul, mkldnn.conv, mkldnn.rnn
    for owner in (*wholes, *layers):
        if (own := owner.fp32_precision) != "ieee":
            undo.callback(setattr, owner, "fp32_precision", own)
            owner.fp32_precision = "ieee"  # pyright: ignore[reportAttributeAccessIssue] -- not in the stubs
    return undo


# --- torch's generator --------------------------------------------------------------------------

GENERATORS = threading.RLock()
"""Held by whoever reads or sets the global generators as a whole, so that threads do so one at a time."""


@contextlib.contextmanager
def torch_draws(seed: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's generator of the CPU inside this context, and restore its state afterwards.

    One thread at a time is in such a context. If a `device` is given, so is its own generator.

    Examples
    --------
    >>> with torch_draws(3):
    ...     first = torch.rand(1)
    >>> with torch_draws(3):
    ...     torch.rand(1).equal(first)
    True
    """
    on_cuda = device is not None and device.type == "cuda"
    with GENERATORS, torch.random.fork_rng(devices=[device] if on_cuda else []):
        torch.default_generator.manual_seed(seed)
        if on_cuda:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


# --- memory -------------------------------------------------------------------------------------


def memory_budget(device: torch.device, memory: int | None = None) -> int:
    """Return how many bytes a batch of copies may take on a device.

    Parameters
    ----------
    device : torch.device
        Where they will be.
    memory : int, optional
        The answer, if somebody has given one. Otherwise half of what is free on a CUDA device, and 2³⁰ on the
        CPU.

    Raises
    ------
    ValueError, TypeError
        If `memory` is not a whole number of at least one.

    Examples
    --------
    >>> memory_budget(torch.device("cpu"))
    1073741824
    """
    if memory is not None:
        return checks.positive_int("memory", memory)
    if device.type != "cuda":
        return CPU_BUDGET
    free, _ = torch.cuda.mem_get_info(device)
    # what torch holds, but no tensor lives in
    free += torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(CUDA_SHARE * free)


def bytes_on_tape(compute: Callable[[], Tensor]) -> int:
    """Return how many bytes torch saves for the backward pass of ``compute()``, its result included.

    Examples
    --------
    >>> x = torch.ones(100, requires_grad=True)  # 400 bytes each: x, which the square keeps, and the result
    >>> bytes_on_tape(lambda: x**2)
    800
    """
    storages = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        note(compute().detach())
    return sum(storages.values())


def copies_that_fit(on_tape: int, budget: int) -> int:
    """Return how many copies fit into `budget` bytes, of which one puts `on_tape` bytes on the tape.

    At least 1: if one copy exceeds the budget, its allocation may fail.

    Examples
    --------
    >>> copies_that_fit(100, 1000), copies_that_fit(10**6, 1000)
    (2, 1)
    """
    return max(1, budget // max(1, BYTES_PER_BYTE_ON_TAPE * on_tape))
