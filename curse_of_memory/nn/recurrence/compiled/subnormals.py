"""The processor's mode for numbers below the smallest normal one: flushed to zero, or not, for one thread.

Many processors take up to a hundred times as long for sums and products of such numbers, below 10⁻³⁸ in
float32, as of others; and gradients that vanish, or that come through a gate that is shut, are full of them.
Flushed to zero, they cost nothing. The mode is a register of the thread that sets it: MXCSR on x86-64, FPCR
on ARM. Elsewhere nothing is set.
"""

import contextlib
import functools
import platform
from collections.abc import Callable, Iterator

import torch
from llvmlite import ir
from numba import types

from curse_of_memory.nn._torch_private import in_each_thread
from curse_of_memory.nn.recurrence.compiled._numba_private import address, cgutils, compiles, intrinsic
from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled

__all__ = ["subnormals_flushed", "with_subnormals_flushed"]

X86, ARM = ("x86_64", "amd64"), ("aarch64", "arm64")
MACHINE = platform.machine().lower()
# results to zero (bit 15) and arguments taken as zero (bit 6); on ARM one bit is for both
FLUSHED = 0x8040 if MACHINE in X86 else 1 << 24 if MACHINE in ARM else 0


@intrinsic
def _mode(typing):
    """Return the register."""

    def write(context, builder, signature, values):
        if MACHINE in X86:
            place = cgutils.alloca_once(builder, ir.IntType(32))
            _call_x86(builder, "stmxcsr", place)
            return builder.zext(builder.load(place), ir.IntType(64))
        if MACHINE in ARM:
            return builder.asm(ir.FunctionType(ir.IntType(64), []), "mrs $0, fpcr", "=r", [], True)
        return ir.Constant(ir.IntType(64), 0)

    return types.int64(), write


@intrinsic
def _set_mode(typing, mode):
    """Write the register."""

    def write(context, builder, signature, values):
        if MACHINE in X86:
            place = cgutils.alloca_once_value(builder, builder.trunc(values[0], ir.IntType(32)))
            _call_x86(builder, "ldmxcsr", place)
        elif MACHINE in ARM:
            one = ir.FunctionType(ir.VoidType(), [ir.IntType(64)])
            builder.asm(one, "msr fpcr, $0", "r", values, True)
        return context.get_dummy_value()

    return types.void(types.int64), write


def _call_x86(builder, instruction: str, place) -> None:
    pointer = builder.bitcast(place, ir.IntType(8).as_pointer())
    function = cgutils.get_or_insert_function(
        builder.module,
        ir.FunctionType(ir.VoidType(), [pointer.type]),
        f"llvm.x86.sse.{instruction}",
    )
    builder.call(function, [pointer])


# each a function that is called, so that no compiler moves arithmetic past it


@compiled(nogil=True)
def _flush() -> int:
    """Flush from now on, in this thread; return the mode before."""
    before = _mode()
    _set_mode(before | FLUSHED)
    return before


@compiled(nogil=True)
def _restore(before: int) -> None:
    """Set the mode that was before, in this thread."""
    _set_mode(before)


def with_subnormals_flushed(loop: Callable, *arguments) -> None:
    """Call ``loop(*arguments)`` with subnormal numbers flushed to zero, in this thread and no longer.

    Examples
    --------
    >>> import sys
    >>> with_subnormals_flushed(lambda smallest: print(smallest / 2), sys.float_info.min)
    0.0
    >>> sys.float_info.min / 2 > 0
    True
    """
    if not compiles():  # the loops are Python then
        loop(*arguments)
        return
    before = _flush()
    try:
        loop(*arguments)
    finally:
        _restore(before)


@contextlib.contextmanager
def subnormals_flushed() -> Iterator[None]:
    """Take subnormal numbers as zero inside this context, in this thread and those that share torch's work.

    Notes
    -----
    This is for what torch does: compiled loops flush by themselves. Afterwards all of these threads have the
    mode that this one had before. The others are reached where torch's OpenMP is GNU's; elsewhere this one
    alone flushes, which with ``OMP_NUM_THREADS=1`` is all there is.

    Examples
    --------
    >>> import sys
    >>> with subnormals_flushed():
    ...     sys.float_info.min / 2
    0.0
    >>> sys.float_info.min / 2 > 0
    True
    """
    if not compiles():
        yield
        return
    before = _flush()
    try:
        _set_mode_of_helpers(before | FLUSHED)
        yield
    finally:
        _set_mode_of_helpers(before)
        _restore(before)


def _set_mode_of_helpers(mode: int) -> None:
    if torch.get_num_threads() > 1:
        in_each_thread(_for_c(), mode)


@functools.cache  # once in a process, which needs the function as long as it lives
def _for_c() -> int:
    """Return the address of a function in C that sets the mode it is given."""
    return address(lambda mode: _set_mode(mode), types.void(types.int64))
