"""Locks of a folder of figures: one a batch holds while it runs, one while a figure comes to its place."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from curse_of_memory.tools.files import plain_folder

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None

__all__ = ["batch_lock", "publishing_lock"]


def batch_lock(out: Path) -> contextlib.AbstractContextManager[None]:
    """Hold a folder of figures for one batch alone.

    Raises
    ------
    BlockingIOError
        If another batch holds it; with the name of the folder.
    OSError, ValueError
        If the folder cannot be written, or has links where the batch keeps its own files.
    """
    return _held(out, "lock", wait=False)


def publishing_lock(out: Path) -> contextlib.AbstractContextManager[None]:
    """Hold a folder of figures, for moments, while files come to their place; wait for others to have done.

    Raises
    ------
    OSError, ValueError
        As for :func:`batch_lock`.
    """
    return _held(out, "publishing.lock", wait=True)


@contextlib.contextmanager
def _held(out: Path, name: str, *, wait: bool) -> Iterator[None]:
    with (plain_folder(out, out / ".batch") / name).open("a") as lock:
        # the system drops the lock when the process ends, however it ends
        if fcntl is not None:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, error.strerror, str(out)) from None
        yield
