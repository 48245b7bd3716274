"""What this package uses of torch that is no part of torch's public interface: here, and nowhere else.

Tried with torch 2.13, and held below 2.14 by ``pyproject.toml``. Raise that bound when the tests of ``nn``
have passed with a later torch; what has moved there is mended here.
"""

import ctypes
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["TorchDispatchMode", "has_numbers", "in_each_thread", "is_traced", "is_transformed", "own_weights"]

try:
    _is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor  # pyright: ignore[reportAttributeAccessIssue]  # a module in C++ without stubs
except AttributeError:
    raise ImportError(
        f"curse_of_memory was tried with torch up to 2.13, and torch {torch.__version__} has no "
        "torch._C._functorch.is_functorch_wrapped_tensor"
    ) from None


def is_transformed(t: Tensor) -> bool:
    """Whether a transformation of ``torch.func``, such as vmap or grad, is at work on a tensor."""
    return _is_wrapped(t)


def has_numbers(t: Tensor) -> bool:
    """Whether one can decide by what is in a tensor: not in exports, under torch.func, and on ``meta``."""
    return not (is_transformed(t) or t.is_meta or torch.compiler.is_exporting())


def is_traced() -> bool:
    """Whether ``torch.jit.trace`` is at work."""
    return torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]  # documented, but not in __all__


def own_weights(layer: nn.Module) -> Iterable[Tensor | None]:
    """Return the weights that are the layer's own, and not of one of its parts; None for those it lacks."""
    # named_parameters(recurse=False) takes longer than all else that is done to look at an input
    return layer._parameters.values()


def in_each_thread(function: int, argument: int) -> bool:
    """Call a function of C in this thread and in all that share its work in torch's operations.

    Parameters
    ----------
    function : int
        Address of a ``void function(void *)``.
    argument : int
        What it is given, of the size of a pointer.

    Returns
    -------
    bool
        Whether that could be done: torch's threads are those of an OpenMP library, which has to be GNU's.
    """
    try:
        parallel = ctypes.CDLL(None).GOMP_parallel
    except (AttributeError, OSError, TypeError):
        return False
    parallel.restype = None
    pointers = ctypes.c_void_p(function), ctypes.c_void_p(argument)
    parallel(*pointers, ctypes.c_uint(torch.get_num_threads()), ctypes.c_uint(0))
    return True
