"""A part of the run: a command with a limit of time, whose output is kept, and what came of it."""

import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

GRACE = 10.0  # seconds that a part has to end by itself, once it was told to

TEST = re.compile(r"^\[gw\d+\] \[ *\d+%\] ([A-Z]+) (.+)$", re.M)
COLLECTED = re.compile(r"^\d+ workers? \[(\d+) items?\]", re.M)
UNCOLLECTED = re.compile(r"^ERROR (\S+)", re.M)
ROW = re.compile(r"^(done|failed|left) ([\d.]+) s (.+)$", re.M)
NOTEBOOK = re.compile(r"^(\S+/\S+): (done|failed|[a-z ]+), .* \(\d+ of (\d+)\)$", re.M)


@dataclass
class Tally:
    """What passed, what failed and what was not reached: numbers, and the names that are worth reading."""

    passed: int = 0
    failed: list[str] = field(default_factory=list)
    left: int = 0


@dataclass(frozen=True)
class Part:
    """One part.

    Parameters
    ----------
    name : str
        For the summary, and for the file of its output.
    command : sequence of str
        What runs.
    limit : float
        Seconds that it may take.
    tally : callable
        From its output to what came of it.
    environment : mapping
        Variables that are set for it.
    """

    name: str
    command: Sequence[str]
    limit: float
    tally: Callable[[str], Tally]
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Ended:
    """How a part ended: `status` is passed, failed, out of time, no time left or not ended."""

    part: Part
    status: str
    seconds: float = 0.0
    tally: Tally = field(default_factory=Tally)

    def line(self) -> str:
        """Return the line of the summary."""
        counts = f"{self.tally.passed} passed, {len(self.tally.failed)} failed, {self.tally.left} not reached"
        return f"{self.part.name:<12} {self.status:<12} {self.seconds:6.0f} s   {counts}"


def run(part: Part, folder: Path, where: Path | None = None) -> Ended:
    """Run a part in a folder `where`, and its output into ``folder/NAME.log``.

    It is told to end when its time is over, and then made to.

    Raises
    ------
    KeyboardInterrupt
        If the run is stopped; the part has then ended, too.
    """
    log, start = folder / f"{part.name}.log", time.monotonic()
    with log.open("w") as out:
        # a group of its own: its processes end with it
        running = subprocess.Popen(
            part.command,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=where,
            env={**os.environ, **part.environment},
        )
        try:
            running.wait(part.limit)
            status = "failed" if running.returncode else "passed"
        except subprocess.TimeoutExpired:
            status = "out of time"
        finally:
            end(running)
    tally = part.tally(log.read_text(errors="replace"))
    if status == "passed" and tally.failed:
        status = "failed"
    return Ended(part, status, time.monotonic() - start, tally)


def end(running: subprocess.Popen) -> None:
    """End a process and those that it started: first as Ctrl-C does, so that it can tidy up."""
    for number, patience in ((signal.SIGINT, GRACE), (signal.SIGKILL, GRACE)):
        try:
            os.killpg(running.pid, number)
        except ProcessLookupError:
            break
        try:
            running.wait(patience)
        except subprocess.TimeoutExpired:
            continue


def of_tests(said: str) -> Tally:
    """Read the output of ``pytest -v -n``, whole or as far as it came.

    Examples
    --------
    >>> said = "8 workers [4 items]\\n[gw0] [ 25%] PASSED a.py::b\\n[gw1] [ 50%] FAILED a.py::c"
    >>> of_tests(said)
    Tally(passed=1, failed=['a.py::c'], left=2)
    """
    ended = dict((name, how) for how, name in TEST.findall(said))
    failed = [name for name, how in ended.items() if how in ("FAILED", "ERROR")]
    total = sum(map(int, COLLECTED.findall(said)[:1]))
    # files that could not be read have no test that ended
    unread = [name for name in UNCOLLECTED.findall(said) if not any(test.startswith(name) for test in ended)]
    passed = sum(how == "PASSED" for how in ended.values())
    return Tally(passed, failed + sorted(set(unread)), max(0, total - len(ended)))


def of_rows(said: str) -> Tally:
    """Read the lines on rows of the benchmarks.

    Examples
    --------
    >>> of_rows("done 3.1 s a\\nfailed 0.2 s b: OutOfMemoryError: so\\nleft 9.0 s c\\n")
    Tally(passed=1, failed=['b: OutOfMemoryError: so'], left=1)
    """
    rows = ROW.findall(said)
    return Tally(
        sum(how == "done" for how, _, _ in rows),
        [name for how, _, name in rows if how == "failed"],
        sum(how == "left" for how, _, _ in rows),
    )


def of_notebooks(said: str) -> Tally:
    """Read the lines of a batch of notebooks.

    Examples
    --------
    >>> of_notebooks("a/b: done, 3 s (1 of 4)\\na/c: failed, 1 s (2 of 4)\\na/d: run 1 of 5\\n")
    Tally(passed=1, failed=['a/c'], left=2)
    """
    ended = NOTEBOOK.findall(said)
    failed = [name for name, how, _ in ended if how == "failed"]
    total = int(ended[-1][2]) if ended else 0
    return Tally(len(ended) - len(failed), failed, max(0, total - len(ended)))
