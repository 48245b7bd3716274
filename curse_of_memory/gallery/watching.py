"""What a person sees of a batch: a bar in a terminal, elsewhere a line per notebook and per run."""

import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from curse_of_memory.gallery.batch import Outcome
from curse_of_memory.gallery.estimates import in_words
from curse_of_memory.tools.run_notes import Progress, read_progress

__all__ = ["Watch", "said_of"]

LOOK_EVERY = 1.0  # seconds between two looks at the notes of the kernels
LINE_EVERY = 10.0  # seconds, at least, between two lines on the runs of one notebook


class Watch:
    """Watches the notebooks of a batch, and tells how far they are and how they ended.

    Parameters
    ----------
    total : int
        How many notebooks there are.
    stream : file
        Where to; a terminal has a bar, any other lines.
    """

    def __init__(self, total: int, stream: IO[str]):
        self._total, self._stream, self._ended = total, stream, 0
        self._lock = threading.RLock()
        self._running: dict[str, Path] = {}
        self._said: dict[str, int] = {}
        self._shown: dict[str, tuple[Progress, float]] = {}
        self._over = threading.Event()
        self._bar = None

    def begin(self, name: str, notes: Path) -> None:
        """Note that a notebook begins, whose kernel writes such `notes`."""
        with self._lock:
            self._running[name] = notes

    def left(self, name: str) -> None:
        """Note that a notebook has ended, after a last look at its notes."""
        self._look(name)
        with self._lock:
            self._running.pop(name, None)

    def say(self, name: str, remark: str) -> None:
        """Print a remark on a notebook."""
        self._line(f"{name}: {remark}")

    def over(self, outcomes: Iterable[Outcome]) -> Iterator[Outcome]:
        """Yield the outcomes as they come, and show in the meantime how far the others are."""
        from tqdm import tqdm

        self._over.clear()
        about = {"total": self._total, "initial": self._ended, "unit": "notebook"}
        with tqdm(**about, file=self._stream, disable=None) as bar:
            self._bar = None if bar.disable else bar
            looks = threading.Thread(target=self._look_at_all, daemon=True)
            looks.start()
            try:
                for outcome in outcomes:
                    self._ended += 1
                    bar.update()
                    if self._bar is None:
                        took = in_words(outcome.seconds)
                        self._line(
                            f"{outcome.name}: {outcome.status}, {took} ({self._ended} of {self._total})"
                        )
                    yield outcome
            finally:
                self._over.set()
                looks.join(LOOK_EVERY)
                self._bar = None

    def _look_at_all(self) -> None:
        while not self._over.wait(LOOK_EVERY):
            with self._lock:
                names = list(self._running)
            progresses = {name: self._look(name) for name in names}
            if self._bar is not None:
                told = [f"{n} {said_of(p)}" if p is not None else n for n, p in progresses.items()]
                self._bar.set_postfix_str("; ".join(told))

    def _look(self, name: str) -> Progress | None:
        """Read the notes of a notebook, and print what is new and worth it."""
        with self._lock:
            notes = self._running.get(name)
            progress = None if notes is None else read_progress(notes)
            if progress is None:
                return None
            new = min(progress.said - self._said.get(name, 0), len(progress.remarks))
            self._said[name] = progress.said
            for remark in progress.remarks[len(progress.remarks) - new :]:
                self._line(f"{name}: {remark}")
            if self._bar is None and self._is_worth_a_line(name, progress):
                self._shown[name] = progress, time.monotonic()
                self._line(f"{name}: {said_of(progress)}")
            return progress

    def _is_worth_a_line(self, name: str, progress: Progress) -> bool:
        before, when = self._shown.get(name, (Progress(), 0.0))
        new = progress.runs and (progress.done, progress.runs) != (before.done, before.runs)
        return bool(new) and progress.done > 0 and time.monotonic() - when >= LINE_EVERY

    def _line(self, text: str) -> None:
        with self._lock:
            if self._bar is not None:
                self._bar.write(text, file=self._stream)
            else:
                print(text, file=self._stream, flush=True)


def said_of(progress: Progress) -> str:
    """Return how far a notebook is, in a few words.

    Examples
    --------
    >>> said_of(Progress(done=5, runs=24, before=3, seconds=20.0, step=100, steps=400))
    'run 6 of 24 (3 kept before), step 100 of 400, about 2.8 min left'
    >>> said_of(Progress(done=2, runs=2)), said_of(Progress())
    ('2 of 2 runs', '')
    """
    words = []
    if progress.runs:
        before = f" ({progress.before} kept before)" if progress.before else ""
        whole = progress.done >= progress.runs
        at = (
            f"{progress.done} of {progress.runs} runs"
            if whole
            else f"run {progress.done + 1} of {progress.runs}"
        )
        words.append(at + before)
    if progress.steps and (not progress.runs or progress.done < progress.runs):
        words.append(f"step {progress.step} of {progress.steps}")
    left = progress.seconds_left
    if left is not None and (progress.done < progress.runs or not progress.runs):
        words.append(f"about {in_words(left)} left")
    return ", ".join(words)
