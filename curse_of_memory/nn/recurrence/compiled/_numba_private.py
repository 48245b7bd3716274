"""What this package uses of numba that is no part of numba's public interface: here, and nowhere else.

Tried with numba 0.68 and llvmlite 0.50, and held below the next of each by ``pyproject.toml``. Raise the
bounds when the tests of ``nn`` have passed with later ones; what has moved there is mended here.
"""

import pickle
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import extending, types

try:
    from numba.core import caching, cgutils, compiler, config, dispatcher, serialize

    Cache = caching._Cache
    """What numba asks for compiled code before it compiles a function, and tells of it afterwards."""
except (ImportError, AttributeError) as error:
    version = numba.__version__
    raise ImportError(f"curse_of_memory was tried with numba up to 0.68, and in {version}: {error}") from None

__all__ = [
    "WITHOUT_COUNTS",
    "Cache",
    "address",
    "by_precision",
    "cgutils",
    "chosen_folder",
    "compiles",
    "description",
    "from_description",
    "intrinsic",
    "keep",
]

WITHOUT_COUNTS = {"_nrt": False}
"""The option of a compiled function by which it does not count who refers to its caller's arrays."""


def chosen_folder() -> str:
    """Return the folder that numba's variable ``NUMBA_CACHE_DIR`` names, or an empty text."""
    return config.CACHE_DIR  # pyright: ignore[reportAttributeAccessIssue]  # set when numba is imported


def compiles() -> bool:
    """Return whether numba compiles, which its variable ``NUMBA_DISABLE_JIT`` forbids."""
    return not config.DISABLE_JIT  # pyright: ignore[reportAttributeAccessIssue]  # set when numba is imported


_kept = []  # functions that C calls


def address(function: Callable, signature) -> int:
    """Return the address of a function compiled for C; what is there stays as long as the process lives."""
    compiled = numba.cfunc(signature)(function)
    _kept.append(compiled)
    found = compiled.address
    assert found is not None  # it has been compiled
    return found


def by_precision(of_single: Callable, of_double: Callable, options: dict) -> Callable:
    """Return a function of one number for compiled code: `of_single` of a float32, `of_double` of all others.

    Both are compiled functions; `options` are what they were compiled with.
    """

    def chosen(x):
        return of_double(x)

    @extending.overload(chosen, jit_options=options)  # pyright: ignore[reportArgumentType]  # stubs lack _nrt
    def _(x):
        if x == types.float32:
            return lambda x: of_single(x)
        return lambda x: of_double(np.float64(x))

    return chosen


def keep(loop: Callable, cache: Cache) -> None:
    """Let a compiled function look for its code in `cache`; where numba compiles nothing, do nothing."""
    if isinstance(loop, dispatcher.Dispatcher):
        loop._cache = cache  # pyright: ignore[reportAttributeAccessIssue]  # as numba's own enable_caching


def description(result) -> bytes | None:
    """Return machine code as bytes, or None if it refers to what another process does not have."""
    if result.lifted or result.library.has_dynamic_globals:
        return None
    return serialize.dumps(result._reduce())


def from_description(data: bytes, target_context):
    """Return the machine code that :func:`description` wrote."""
    return compiler.CompileResult._rebuild(target_context, *pickle.loads(data))


def intrinsic(function: Callable) -> Callable[..., Any]:
    """Return ``numba.extending.intrinsic(function)``, with literals where they are given.

    To a type checker it does not have the first argument, which numba fills in.
    """
    from numba.extending import intrinsic as numbas_own

    return numbas_own(prefer_literal=True)(function)
