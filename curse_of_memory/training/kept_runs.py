"""Runs that a batch keeps until the figure is published: found again by all that decides their results.

A batch names a folder to its kernels by the variable :data:`~curse_of_memory.tools.run_notes.KEEP_IN`;
elsewhere nothing is kept. In it are

- ``made_from.json``, in which the batch says of what code and data its runs are: the package's files that the
  notebook uses with their checksums, but for the modules of figures, whose functions count one by one; the
  data files, the versions and the device; runs of others are in other folders;
- ``joblib``, a :class:`joblib.Memory`: results of runs, by the fingerprint of function and arguments;
- ``checkpoints`` of the trainings that are under way, or have just ended.

What cannot be found again for certain is not kept: runs whose arguments or function have no fingerprint, runs
that change their arguments or draw from global random generators, and, from then on, all runs of a notebook
under whose eyes a file of the package is changed.
"""

import contextlib
import functools
import hashlib
import json
import os
import pickle
import sys
import time
import warnings
from collections.abc import Generator, Sequence
from pathlib import Path
from typing import Any, Protocol, TypedDict, cast

import cloudpickle
import joblib

from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.tools.checks import first_line
from curse_of_memory.tools.files import checksum
from curse_of_memory.tools.run_notes import KEEP_IN, MADE_FROM, run_notes
from curse_of_memory.tools.run_places import Call, Ended, TimedCall, outcomes
from curse_of_memory.training.fingerprints import Fingerprints, NoFingerprintError, Noted

__all__ = ["KeptRuns", "kept_outcomes", "kept_runs"]

FORMAT = 1  # of what is stored
SHORTEST = 0.05  # seconds; what takes less is faster made again than found
WORTH = 10  # a run must take so many times as long as its fingerprint
PACKAGE = Path(__file__).parents[1]
KNOWN = (
    *("numpy", "scipy", "sympy", "mpmath", "numba", "torch", "pandas", "xarray", "matplotlib", "joblib"),
    "transformers",
)


class Stored(TypedDict):
    """What is stored of a run."""

    format: int
    packed: bytes
    checksum: str
    seconds: float


def _kept(key: str, stored: Stored | None) -> Stored | None:
    """Return what is stored under a `key`; joblib remembers it."""
    return stored


class _Shelved(Protocol):
    """Where joblib keeps one result."""

    def get(self) -> Stored: ...

    def clear(self) -> None: ...


class _Store(Protocol):
    """What joblib makes of `_kept`, of whose types it says little."""

    def check_call_in_cache(self, key: str, stored: Stored | None) -> bool: ...

    def call_and_shelve(self, key: str, stored: Stored | None) -> _Shelved: ...

    def call(self, key: str, stored: Stored | None) -> object: ...


class KeptRuns:
    """The folder in which this process keeps runs.

    Parameters
    ----------
    folder : Path
        Made by the batch, with ``made_from.json`` in it.

    Raises
    ------
    OSError, ValueError
        If it cannot be used.
    """

    def __init__(self, folder: Path):
        text = (folder / MADE_FROM).read_text(encoding="utf-8")
        package: dict[str, str] = json.loads(text)["package"]
        self._made_from = hashlib.sha256(text.encode()).hexdigest()
        self._modules = {_module(path) for path in package}
        self._changed = ""
        self._stats: dict[Path, tuple] = {}
        for path, digest in package.items():
            self._stats[PACKAGE / path] = _stat(PACKAGE / path)
            if not _has(PACKAGE / path, digest):
                self._note_change(PACKAGE / path)
        self._written: list[Path] = []
        self._large: dict[int, Noted] = {}
        self.checkpoints = folder / "checkpoints"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of files of its own that joblib cannot write: nor can we, then
            memory = joblib.Memory(folder / "joblib", verbose=0)
            self._store = cast(_Store, memory.cache(_kept, ignore=["stored"]))
            # when joblib first looks for a result it writes down its function's code, and finds nothing
            with contextlib.suppress(Exception):  # what `keep` meets again, and says
                self._store.check_call_in_cache("", None)

    def say(self, remark: str) -> None:
        """Let the batch print a remark, or the terminal where there is none."""
        if (notes := run_notes()) is not None:
            notes.say(remark)
        else:
            print(remark, file=sys.stderr)

    # --- fingerprints ---------------------------------------------------------------------------

    def covers(self, module: str) -> bool:
        """Return whether what this folder was made from says what code of a `module` does."""
        top = module.partition(".")[0]
        if top == PACKAGE.name:
            return module in self._modules
        return top in KNOWN or (top in sys.stdlib_module_names and top != "__main__")

    def fingerprints(self, **settings: Any) -> Fingerprints:
        """Return fingerprints that are held together with what this folder was made from."""
        return Fingerprints(self.covers, large=self._large, **settings)

    def key(self, *fingerprints: str) -> str:
        """Return the key of something that these fingerprints, and this folder's surroundings, decide."""
        about = [self._made_from, _threads(), *fingerprints]
        if added := REPARAMETERIZATIONS.added:  # which models name, and no module's text
            about.append(self.fingerprints().of(added))
        return hashlib.sha256(" ".join(about).encode()).hexdigest()

    def key_of(self, call: Call, taken: Fingerprints) -> str | None:
        """Return the key of a run; None if it has none, which is said once for each function."""
        try:
            function = taken.of(call.function)
            arguments = []
            for name, value in sorted(call.arguments.items()):
                try:
                    arguments.append(f"{name}={taken.of(value)}")
                except NoFingerprintError as error:
                    raise NoFingerprintError(f"argument {name!r} is or has {error}") from None
            key = self.key(function, *arguments)
        except NoFingerprintError as error:
            self.say(f"runs of {call.name} are not kept: {error}")
            return None
        return key

    def still_the_same(self) -> bool:
        """Return whether the package's files are those that this process has, or may yet, import."""
        if not self._changed:
            for path, known in self._stats.items():
                if _stat(path) != known:
                    self._note_change(path)
                    break
        return not self._changed

    def _note_change(self, path: Path) -> None:
        if not self._changed:
            self._changed = path.relative_to(PACKAGE).as_posix()
            self.say(
                f"{self._changed} of the package has changed since the batch began: "
                "runs that end from now on are not kept"
            )

    # --- the store ------------------------------------------------------------------------------

    def is_empty(self) -> bool:
        """Return whether no run is kept here, so that many short ones need not be looked up."""
        return not any(self.checkpoints.parent.glob("joblib/**/output.pkl"))

    def look_up(self, key: str) -> Ended | None:
        """Return what is kept under a `key`; None if nothing is, or what is there is damaged."""
        try:
            if self._changed or not self._store.check_call_in_cache(key, None):
                return None
            shelved = self._store.call_and_shelve(key, None)
        except Exception as error:  # of the file system
            self.say(f"kept runs cannot be read: {first_line(error)}")
            return None
        try:
            stored = shelved.get()
            if stored["format"] != FORMAT:
                raise ValueError("it is of another version")
            if hashlib.sha256(stored["packed"]).hexdigest() != stored["checksum"]:
                raise ValueError("it is not what was written")
            return Ended(pickle.loads(stored["packed"]), stored["seconds"])
        except Exception as error:  # of whatever kind a damaged file brings about
            self.say(f"a kept run is damaged, and is made again ({first_line(error)})")
            with contextlib.suppress(Exception):
                shelved.clear()
            return None

    def keep(self, key: str, ended: Ended, name: str) -> bool:
        """Keep the result of a run of the function called `name`; return whether it is kept."""
        try:
            packed = cloudpickle.dumps(ended.value)
        except Exception as error:
            self.say(f"runs of {name} are not kept: the result cannot be pickled ({first_line(error)})")
            return False
        digest = hashlib.sha256(packed).hexdigest()
        stored: Stored = {"format": FORMAT, "packed": packed, "checksum": digest, "seconds": ended.seconds}
        reason = "joblib does not say why"
        try:
            with warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                self._store.call(key, stored)
            for warning in said:
                reason = str(warning.message).rpartition("Exception: ")[2].rstrip(".")
            kept = self._store.check_call_in_cache(key, None)
        except Exception as error:
            kept, reason = False, first_line(error)
        if not kept:
            self.say(f"no room for runs, they are not kept: {reason}")
            self._remove_drafts()
        return kept

    def _remove_drafts(self) -> None:
        """Remove what joblib has left of files that it could not write."""
        with contextlib.suppress(OSError):
            for draft in self.checkpoints.parent.glob(f"joblib/**/output.pkl.*-{os.getpid()}-*"):
                draft.unlink(missing_ok=True)

    # --- checkpoints of trainings inside of runs ------------------------------------------------

    def note_checkpoint(self, path: Path) -> None:
        """Note that a training of this process has a checkpoint there."""
        if path not in self._written:
            self._written.append(path)

    @property
    def checkpoint_count(self) -> int:
        """How many checkpoints this process has written."""
        return len(self._written)

    def drop_checkpoints(self, after: int) -> None:
        """Remove the checkpoints that were written after the first so many: the run they are in is kept."""
        for path in self._written[after:]:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)
        del self._written[after:]


@functools.lru_cache
def kept_runs() -> KeptRuns | None:
    """Return where this process keeps runs; None outside of a batch, or where that is impossible."""
    folder = os.environ.get(KEEP_IN)
    if not folder:
        return None
    try:
        return KeptRuns(Path(folder))
    except (OSError, ValueError, KeyError, TypeError) as error:
        if (notes := run_notes()) is not None:
            notes.say(f"runs are not kept: {first_line(error)}")
        return None


def kept_outcomes(calls: Sequence[Call], jobs: int | None) -> Generator[tuple[Call, object], None, None]:
    """Yield each of the `calls` with its result or :class:`Failure`: the kept ones first, without a run.

    Parameters
    ----------
    calls, jobs
        As for :func:`curse_of_memory.tools.run_places.outcomes`, which makes the other runs.
    """
    notes, kept = run_notes(), kept_runs()
    series = notes.series(len(calls)) if notes is not None else contextlib.nullcontext()
    with series:
        ends = outcomes(calls, jobs) if kept is None else _kept_or_made(kept, calls, jobs)
        with contextlib.closing(ends):
            for call, outcome in ends:
                found = outcome if isinstance(outcome, _Found) else None
                if notes is not None:
                    notes.ended(before=found is not None, seconds=found.seconds if found else 0.0)
                yield call, found.value if found else outcome


class _Found(Ended):
    """What was kept."""


def _kept_or_made(
    kept: KeptRuns, calls: Sequence[Call], jobs: int | None
) -> Generator[tuple[Call, object], None, None]:
    taken = kept.fingerprints()  # once for what many runs have in common
    keys: dict[int, str] = {}
    clock: dict[int, float] = {}
    missing, empty = [], kept.is_empty()
    found: list[tuple[Call, Ended]] = []
    for call in calls:
        began = time.perf_counter()
        key = kept.key_of(call, taken)
        clock[call.number] = time.perf_counter() - began
        if key is not None:
            keys[call.number] = key
        if key is not None and not empty and (ended := kept.look_up(key)) is not None:
            found.append((call, ended))
        else:
            missing.append(TimedCall(call))
    for call, ended in found:
        yield call, _Found(ended.value, ended.seconds)
    del found, taken
    written = kept.checkpoint_count
    ends = outcomes(missing, jobs)
    with contextlib.closing(ends):
        for timed, outcome in ends:
            call = timed.call
            if not isinstance(outcome, Ended):
                yield call, outcome
                continue
            key, here = keys.get(call.number), outcome.process == os.getpid()
            if (
                key is not None
                and _is_worth_keeping(kept, call, key, outcome, clock[call.number], here)
                and kept.keep(key, outcome, call.name)
            ):
                kept.drop_checkpoints(written)
            written = kept.checkpoint_count
            yield call, outcome.value


def _is_worth_keeping(kept: KeptRuns, call: Call, key: str, ended: Ended, clock: float, here: bool) -> bool:
    """Return whether a run is long enough to be kept, and whether its key says all that decides it."""
    if ended.seconds < SHORTEST or ended.seconds < WORTH * clock or not kept.still_the_same():
        return False
    if ended.drew:
        kept.say(f"runs of {call.name} are not kept: they draw from, or set, a global random generator")
        return False
    if here and kept.key_of(call, kept.fingerprints()) != key:
        kept.say(f"runs of {call.name} are not kept: they change their arguments, or the function itself")
        return False
    return True


def _threads() -> str:
    """Return how many threads compute here: sums are in another order with others."""
    torch = sys.modules.get("torch")
    numbers = [
        os.environ.get(f"{library}_NUM_THREADS", "") for library in ("OMP", "MKL", "OPENBLAS", "NUMBA")
    ]
    return ",".join([*numbers, str(torch.get_num_threads()) if torch is not None else ""])


def _module(path: str) -> str:
    """Return the full name of the module in a file of the package; that of other files is of no module."""
    return ".".join((PACKAGE.name, *path.removesuffix(".py").split("/"))).removesuffix(".__init__")


def _stat(path: Path) -> tuple:
    try:
        seen = path.stat()
    except OSError:
        return ()
    return seen.st_mtime_ns, seen.st_size, seen.st_ino


def _has(path: Path, digest: str) -> bool:
    """Return whether a file is there and has this checksum."""
    try:
        return checksum(path) == digest
    except OSError:
        return False
