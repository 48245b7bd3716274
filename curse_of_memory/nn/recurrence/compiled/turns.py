"""Turns of processes that compile the same loop: one does, the others wait and find what it compiled."""

import contextlib
import os
import time
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no such locks: there each compiles for itself
    fcntl = None

__all__ = ["end_turn", "wait_for_turn"]

LONGEST = 300.0  # seconds to wait for one that compiles, which takes half a minute where it takes long
LOOK_EVERY = 0.05


def wait_for_turn(lock: Path) -> int | None:
    """Wait until no other process has the turn of this file, and take it; return what ends it.

    The system ends the turn of a process that dies, however it dies. One that hangs is not waited for any
    longer than `LONGEST`; and where files cannot be locked nobody waits. Then None is returned.

    Raises
    ------
    OSError
        If the file cannot be made.
    """
    if fcntl is None:
        return None
    handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    until = time.monotonic() + LONGEST
    while time.monotonic() < until:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOOK_EVERY)
        except OSError:  # some file systems of networks have no locks
            break
        else:
            return handle
    os.close(handle)
    return None


def end_turn(lock: Path, handle: int | None, *, finished: bool) -> None:
    """End a turn; when the work is finished nobody needs the file any more."""
    if handle is None or fcntl is None:
        return
    with contextlib.suppress(OSError):
        if finished:
            lock.unlink()
    with contextlib.suppress(OSError):
        # said aloud: a process that was forked meanwhile has the file open, too, and would keep the lock
        fcntl.flock(handle, fcntl.LOCK_UN)
    os.close(handle)
