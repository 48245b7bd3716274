"""What a batch and the notebook it runs tell each other: where runs are kept; how far it is, and remarks.

The batch makes a file of one block and names it to the kernel, which writes into it in place: that needs no
room, and works on a disk that is full. A reader who comes in between finds no valid text, and looks again.
"""

import contextlib
import functools
import json
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

__all__ = [
    "KEEP_IN",
    "MADE_FROM",
    "NOTES",
    "Progress",
    "RunNotes",
    "make_notes",
    "read_progress",
    "run_notes",
]

NOTES = "CURSE_OF_MEMORY_NOTES"
"""The variable by which a batch tells its kernels its own process, and the file for notes: ``pid:path``."""

KEEP_IN = "CURSE_OF_MEMORY_KEEP_IN"
"""The variable by which a batch tells its kernels in which folder to keep runs."""

MADE_FROM = "made_from.json"
"""The file in that folder in which the batch says of what code and data its runs are."""

SIZE = 4096  # bytes of the file, one block
WRITE_EVERY = 0.5  # seconds
REMARKS, LONGEST = 6, 400  # remarks in the file, and characters of each: fewer bytes than the file has


@dataclass(frozen=True)
class Progress:
    """How far a notebook is.

    Attributes
    ----------
    done, runs : int
        Runs that have ended, of all that the notebook has begun to make; of none both are 0.
    before : int
        How many of the runs that have ended were kept from an earlier batch.
    seconds : float
        How long the other runs have taken together.
    step, steps : int
        Training steps of the present fit that are done, and all.
    said : int
        The number of remarks so far.
    remarks : list of str
        The last of them.
    """

    done: int = 0
    runs: int = 0
    before: int = 0
    seconds: float = 0.0
    step: int = 0
    steps: int = 0
    said: int = 0
    remarks: list[str] = field(default_factory=list)

    @property
    def seconds_left(self) -> float | None:
        """An estimate of how long the other runs will take; None if there is nothing to tell it from.

        Runs are taken to be equally long, and the present fit for the whole of the present run.
        """
        part = self.step / self.steps if self.steps else 0.0
        if not self.runs:
            return self.seconds * (1 - part) / part if part else None
        made = self.done - self.before + min(part, max(0, self.runs - self.done))
        return self.seconds * (self.runs - self.before - made) / made if made > 0 else None


def make_notes(path: Path) -> dict[str, str]:
    """Make an empty file for notes; return the variable by which a kernel of this process finds it."""
    path.write_bytes(b" " * SIZE)
    return {NOTES: f"{os.getpid()}:{path}"}


def read_progress(path: Path) -> Progress | None:
    """Return what is written in a file for notes; None if there is nothing (whole) in it."""
    try:
        return Progress(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


class RunNotes:
    """The notes of this kernel.

    Parameters
    ----------
    path : Path
        The file that the batch has made.

    Attributes
    ----------
    kept_seconds : float
        How long all runs took that were kept from earlier batches and found by this process.
    """

    def __init__(self, path: Path):
        self.kept_seconds = 0.0
        self._path = path
        self._lock = threading.RLock()
        self._depth, self._began, self._written = 0, time.monotonic(), 0.0
        self._done = self._runs = self._before = self._step = self._steps = 0
        self._remarks: list[str] = []
        self._seen: set[str] = set()

    @contextlib.contextmanager
    def series(self, runs: int) -> Iterator[None]:
        """Count the runs that end inside this context as some of `runs`; a series inside a run does not."""
        with self._lock:
            self._depth += 1
            if self._depth == 1:
                self._done, self._runs, self._before = 0, runs, 0
                self._began, self._step, self._steps = time.monotonic(), 0, 0
        try:
            yield
        finally:
            with self._lock:
                self._depth -= 1
                if self._depth == 0:
                    self._write(now=True)
                    self._done = self._runs = self._before = 0

    def ended(self, *, before: bool = False, seconds: float = 0.0) -> None:
        """Note that a run of the series has ended, or was kept from `before` and had taken `seconds`."""
        with self._lock:
            self.kept_seconds += seconds if before else 0.0
            if self._depth == 1:
                self._done += 1
                self._before += before
                self._step = self._steps = 0
                self._write()

    def at(self, step: int, steps: int) -> None:
        """Note that a fit has made `step` of its `steps`."""
        if not self._runs and not step:
            self._began = time.monotonic()
        self._step, self._steps = step, steps
        if time.monotonic() - self._written >= WRITE_EVERY:
            self._write()

    def say(self, remark: str) -> None:
        """Let the batch print a `remark`, in one line, once."""
        with self._lock:
            line = " ".join(remark.split())[:LONGEST]
            if line not in self._seen:
                self._seen.add(line)
                self._remarks = [*self._remarks, line][-REMARKS:]
                self._write(now=True)

    def _write(self, now: bool = False) -> None:
        moment = time.monotonic()
        with self._lock:
            if not now and moment - self._written < WRITE_EVERY:
                return
            self._written = moment
            progress = Progress(
                done=self._done,
                runs=self._runs,
                before=self._before,
                seconds=moment - self._began,
                step=self._step,
                steps=self._steps,
                said=len(self._seen),
                remarks=self._remarks,
            )
            text = json.dumps(asdict(progress)).encode().ljust(SIZE)[:SIZE]
            # the batch may have ended, and taken the file with it
            with contextlib.suppress(OSError), self._path.open("r+b", buffering=0) as file:
                file.write(text)


@functools.lru_cache
def run_notes() -> RunNotes | None:
    """Return the notes of this process if it is a kernel of a batch; None elsewhere.

    A kernel hands its variables on to the processes that it starts; these are not the batch's own children,
    and have none.
    """
    pid, _, path = os.environ.get(NOTES, "").partition(":")
    return RunNotes(Path(path)) if path and pid == str(os.getppid()) else None
