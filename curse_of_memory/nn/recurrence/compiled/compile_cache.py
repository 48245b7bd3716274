"""Keeps compiled loops on disk, under names made of everything that they were compiled from.

numba's own cache looks at the date of the file that a function is in. It does not see a change in a function
that is called from another file, nor in a file with an older date than what was compiled, as files out of an
archive have; and then it goes on running what it has. Here what was compiled is found by content alone: by a
hash of the text of all modules of ``recurrence`` and of the versions that compile, and of the function, its
options, the types of its arguments and the processor. What has changed has another name, and is compiled.

Where.      The folder of numba's variable ``NUMBA_CACHE_DIR``, if it is set; else ``__pycache__`` beside this
            file, or, where that may not be written to, ``curse_of_memory`` in the user's folder of caches.
            With none of them loops are compiled anew by every process. For each hash there is a folder; of
            earlier ones the latest few stay.

Files.      A checksum, and numba's description of the machine code; written whole or not at all. One that is
            damaged counts as not there, and is written again.

Turns.      Of processes that need the same loop at once, one compiles it and the others wait. The first time
            on a machine, which takes half a minute, is announced.
"""

import contextlib
import functools
import hashlib
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import llvmlite
import numba

from curse_of_memory.nn.recurrence.compiled._numba_private import (
    Cache,
    chosen_folder,
    description,
    from_description,
    keep,
)
from curse_of_memory.nn.recurrence.compiled.turns import end_turn, wait_for_turn
from curse_of_memory.tools.files import whole_file

__all__ = ["FIRST_TIME", "compiled", "nothing_compiled"]

FIRST_TIME = "curse_of_memory compiles its loops, once on this machine: half a minute."

HERE = Path(__file__).parent
ROOM = HERE.parent  # all of recurrence: whatever is compiled, and whatever it calls
CHECKSUM = hashlib.sha256().digest_size
EARLIER = 3  # folders of other versions that stay


def _hash_of_sources(folder: Path) -> str | None:
    """Return a hash of all modules in a folder and of what compiles them; None where there is no source."""
    sources = sorted(folder.rglob("*.py"))
    if not sources:
        return None
    digest = hashlib.sha256(repr((numba.__version__, llvmlite.__version__, sys.version_info[:2])).encode())
    for path in sources:
        text = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()} {len(text)} ".encode() + text)
    return digest.hexdigest()[:16]


# when this is imported, not later: what is compiled is what was imported, whatever has become of the files
SOURCES = _hash_of_sources(ROOM)


def _folders() -> Iterator[Path]:
    """Yield the folders where compiled loops of these sources may be, best first."""
    if chosen := chosen_folder():
        yield Path(chosen) / "curse_of_memory" / f"compiled-{SOURCES}"
        return
    yield HERE / "__pycache__" / f"compiled-{SOURCES}"
    with contextlib.suppress(RuntimeError):  # there is no home
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        yield caches / "curse_of_memory" / f"compiled-{SOURCES}"


def nothing_compiled() -> bool:
    """Return whether no loop of these sources has been compiled on this machine yet."""
    return not any(next(folder.glob("*.compiled"), None) for folder in _folders())


class _Kept(Cache):
    """Code of one function on disk: numba asks for it before it compiles, and hands in what it compiled."""

    def __init__(self, function: Callable, options: dict):
        # without the folder, so that a copy of the package finds the same
        self._name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}"
        ordered = {key: sorted(value) if isinstance(value, set) else value for key, value in options.items()}
        self._options = repr(sorted(ordered.items()))
        self._turns: dict[str, tuple[Path, int | None]] = {}  # by file, those that this process has

    @property
    def cache_path(self) -> str:
        return str(next(_folders()))

    def _file(self, signature, codegen) -> str:
        what = repr((self._options, str(signature), codegen.magic_tuple()))
        return f"{self._name}-{hashlib.sha256(what.encode()).hexdigest()[:16]}.compiled"

    def load_overload(self, signature, target_context):
        target_context.refresh()
        name = self._file(signature, target_context.codegen())
        found = self._read(name, target_context)
        if found is not None or name in self._turns:
            return found
        _announce()
        for folder in _folders():
            with contextlib.suppress(OSError):
                lock = _made(folder) / f"{name}.lock"
                self._turns[name] = lock, wait_for_turn(lock)
                break
        found = self._read(name, target_context)  # it may have been another's turn before
        if found is not None:
            self._end_turn(name, finished=False)
        return found

    def _end_turn(self, name: str, *, finished: bool) -> None:
        if name in self._turns:
            end_turn(*self._turns.pop(name), finished=finished)

    def _read(self, name: str, target_context):
        for folder in _folders():
            with contextlib.suppress(Exception):  # whatever the damage is: then it is compiled
                data = (folder / name).read_bytes()
                if hashlib.sha256(data[CHECKSUM:]).digest() == data[:CHECKSUM]:
                    return from_description(data[CHECKSUM:], target_context)
        return None

    def save_overload(self, signature, result) -> None:
        name = self._file(signature, result.codegen)
        if (data := description(result)) is not None:
            for folder in _folders():
                with contextlib.suppress(OSError):
                    with whole_file(_made(folder) / name) as draft:
                        draft.write_bytes(hashlib.sha256(data).digest() + data)
                    break
        self._end_turn(name, finished=True)

    def enable(self) -> None:
        pass

    def disable(self) -> None:
        pass

    def flush(self) -> None:
        pass


@functools.cache  # once in a process
def _announce() -> None:
    if nothing_compiled():
        print(FIRST_TIME, file=sys.stderr, flush=True)


def _made(folder: Path) -> Path:
    """Return a folder, made if need be; room is made for it then."""
    if not folder.exists():
        _drop_earlier(folder)
        folder.mkdir(parents=True, exist_ok=True)
    return folder


def _drop_earlier(folder: Path) -> None:
    """Remove the folders of other sources, except the latest few."""
    others = sorted(folder.parent.glob("compiled-*"), key=lambda other: other.stat().st_mtime, reverse=True)
    for other in others[EARLIER:]:
        shutil.rmtree(other, ignore_errors=True)


def compiled(**options) -> Callable[[Callable], Callable]:
    """Return a decorator that compiles a function as ``numba.njit`` does, and keeps those of ``recurrence``.

    Parameters
    ----------
    **options
        Those of ``numba.njit``, but for ``cache``.

    Examples
    --------
    >>> @compiled(nogil=True)
    ... def double(x):
    ...     return 2 * x
    >>> double(3)
    6
    """

    def decorate(function: Callable) -> Callable:
        loop = numba.njit(**options)(function)
        # of functions elsewhere the hash knows nothing
        if SOURCES is not None and ROOM in Path(function.__code__.co_filename).parents:
            keep(loop, _Kept(function, options))
        return loop

    return decorate
