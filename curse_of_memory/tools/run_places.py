"""Independent runs in this process, in others or on a cluster; each ends with a value or a :class:`Failure`.

Everything that goes to another process is pickled here first, and what comes back is pickled there by the run
itself: what cannot be pickled is the error of one run, not a backend that waits for ever.
Other processes import this module; it needs no torch, so that they load it only if their runs do.
"""

import contextlib
import functools
import os
import pickle
import random
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import CodeType, FunctionType, MethodType
from typing import Any, TypeVar

import cloudpickle
import joblib
from joblib.parallel import get_active_backend

from curse_of_memory.tools.checks import first_line

__all__ = ["Call", "Ended", "Failure", "TimedCall", "outcomes"]

Outcomes = Generator[tuple[int, object], None, None]  # of runs, by number

NO_WORKER_FOR = 60.0  # seconds after which a cluster without workers is given up
LOOK_EVERY = 2.0  # seconds between two looks at the workers, while nothing ends
LONGEST = 60  # characters of an argument in a message
LOST = object()
DIED = "its worker process died: by os._exit, a signal, or for want of memory"


class Failure:
    """The error of a run that ended without a result.

    Parameters
    ----------
    error : Exception
        What the function raised; or, if it is not `the_functions`, what became of the run, which then still
        has to be named.
    the_functions : bool
        Whose error it is.
    """

    def __init__(self, error: Exception, the_functions: bool = False):
        self.error, self.the_functions = error, the_functions

    def named(self, call: "Call") -> Exception:
        """Return the error with a note, or a message, that says which `call` it was."""
        if not self.the_functions:
            return type(self.error)(f"{call}: {self.error}")
        self.error.add_note(f"in {call}")
        return self.error


class Call:
    """One run: a function and its arguments.

    Parameters
    ----------
    function : callable
        What is called.
    arguments : mapping
        Its keyword arguments.
    number : int
        Which of the runs this is, from 0.
    """

    def __init__(self, function: Callable, arguments: Mapping, number: int):
        self.function, self.arguments, self.number = function, dict(arguments), number

    @property
    def name(self) -> str:
        """The name of the function."""
        return getattr(self.function, "__qualname__", type(self.function).__qualname__)

    def __str__(self) -> str:
        given = ", ".join(f"{key}={_short(value)}" for key, value in self.arguments.items())
        return f"run {self.number}, {self.name}({given})"

    def __call__(self):
        """Return the result, or a :class:`Failure`."""
        try:
            return self.function(**self.arguments)
        except SystemExit as error:
            return Failure(RuntimeError(f"it asked Python to exit ({error.code})"))
        except Exception as error:  # of any kind: it is the caller's
            return Failure(error, the_functions=True)

    def packed(self) -> bytes:
        """Return this call pickled for another process.

        Raises
        ------
        TypeError
            If the function or an argument cannot be pickled; says which.
        """
        try:
            return cloudpickle.dumps(self)
        except Exception as error:  # objects refuse in many ways
            reason = error
        sent = {"the function": self.function}
        sent |= {f"argument {name!r}": value for name, value in self.arguments.items()}
        culprit = next((name for name, value in sent.items() if not _can_be_pickled(value)), "it")
        raise TypeError(f"{culprit} cannot be pickled for another process: {first_line(reason)}") from None


class Ended:
    """The result of a run, and what is to be known of the run itself.

    Parameters
    ----------
    value : object
        The result.
    seconds : float
        How long the run took.
    drew : bool
        Whether a global random generator is in another state than before, or might be by the run alone.
    process : int
        Where it ran.
    """

    def __init__(self, value: object, seconds: float, drew: bool = False, process: int = 0):
        self.value, self.seconds, self.drew, self.process = value, seconds, drew, process


class TimedCall(Call):
    """A run whose result comes as :class:`Ended`.

    Parameters
    ----------
    call : Call
        What is run.
    """

    def __init__(self, call: Call):
        super().__init__(call.function, call.arguments, call.number)
        self.call = call

    def __call__(self):
        """Return the result, as `Ended`, or a :class:`Failure`."""
        before, began = _generators(), time.perf_counter()
        outcome = super().__call__()
        if isinstance(outcome, Failure):
            return outcome
        seconds = time.perf_counter() - began
        drew = _generators(like=before) != before or ("python" not in before and _knows_random(self.function))
        return Ended(outcome, seconds, drew, os.getpid())

    def __reduce__(self):
        return TimedCall, (Call(self.function, self.arguments, self.number),)


def _generators(like: Mapping[str, object] | None = None) -> dict[str, object]:
    """Return the states of the global random generators; of the libraries in `like` alone, if it is given.

    Python's own is left out beside other threads: that of a Dask worker which looks after its memory draws
    from it all the time.
    """
    states: dict[str, object] = {}
    if threading.current_thread() is threading.main_thread():
        states["python"] = random.getstate()
    if (numpy := sys.modules.get("numpy")) is not None and (like is None or "numpy" in like):
        kind, words, *rest = numpy.random.get_state()
        states["numpy"] = (kind, words.tobytes(), *rest)
    if (torch := sys.modules.get("torch")) is not None and (like is None or "torch" in like):
        devices = sys.modules.get(
            "curse_of_memory.tools.devices"
        )  # whose users set the generator for a while
        with getattr(devices, "GENERATORS", contextlib.nullcontext()):
            states["torch"] = torch.get_rng_state().numpy().tobytes()
            if torch.cuda.is_initialized():
                states["cuda"] = torch.cuda.get_rng_state().numpy().tobytes()
    return states


def _knows_random(function: object) -> bool:
    """Return whether a function, or one of its module that it names, knows Python's generator."""
    waiting, seen = [function], set()
    shared = getattr(random.seed, "__self__", None)
    while waiting:
        one = waiting.pop()
        while isinstance(one, MethodType | functools.partial):
            one = one.__func__ if isinstance(one, MethodType) else one.func
        one = one if isinstance(one, FunctionType) else type(one).__call__
        if not isinstance(one, FunctionType) or one in seen:
            continue
        seen.add(one)
        known = [one.__globals__.get(name) for name in _names(one.__code__)]
        for cell in one.__closure__ or ():
            with contextlib.suppress(ValueError):  # of one that is empty
                known.append(cell.cell_contents)
        if any(it is random or getattr(it, "__self__", None) is shared for it in known):
            return True
        waiting += [it for it in known if getattr(it, "__module__", None) == one.__module__ and callable(it)]
    return False


def _names(code: CodeType) -> set[str]:
    """Return the names of what is not local in some code, and in the functions that it makes."""
    inner = [_names(constant) for constant in code.co_consts if isinstance(constant, CodeType)]
    return set(code.co_names).union(*inner)


def _short(value: object) -> str:
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _can_be_pickled(value: object) -> bool:
    try:
        cloudpickle.dumps(value)
    except Exception:
        return False
    return True


def _executed(packed: bytes) -> bytes:
    """Return what a packed call ended with, packed; this is what other processes run."""
    try:
        outcome = pickle.loads(packed)()
    except Exception as error:
        outcome = Failure(TypeError(f"it cannot be unpickled where it should run: {first_line(error)}"))
    try:
        answer = cloudpickle.dumps(outcome)
        if isinstance(outcome, Failure):
            pickle.loads(answer)  # not every exception comes back from a pickle
        return answer
    except Exception as error:
        if isinstance(outcome, Failure):
            said = f"{type(outcome.error).__name__}: {first_line(outcome.error)}"
            return pickle.dumps(Failure(RuntimeError(said)))
        what = type(outcome.value if isinstance(outcome, Ended) else outcome).__name__
        return pickle.dumps(Failure(TypeError(f"its result, {what}, cannot be pickled: {first_line(error)}")))


AnyCall = TypeVar("AnyCall", bound=Call)


def _unpacked(answer: bytes):
    try:
        return pickle.loads(answer)
    except Exception as error:
        return Failure(TypeError(f"its result cannot be unpickled here: {first_line(error)}"))


def outcomes(calls: Sequence[AnyCall], jobs: int | None) -> Generator[tuple[AnyCall, object], None, None]:
    """Yield each of the `calls` when it has ended, with its result or a :class:`Failure`.

    Parameters
    ----------
    calls : sequence of Call
        What is to be run.
    jobs : int or None
        How many at a time; as joblib's surroundings say unless given.

    Raises
    ------
    ValueError
        If the surroundings are of ``multiprocessing``, whose pool never says that a worker has died.
    """
    backend, surroundings = get_active_backend()
    limit: Any = surroundings if jobs is None else jobs
    client = getattr(backend, "client", None) if type(backend).__name__.startswith("Dask") else None
    at_once = 0
    if client is None:
        # joblib has no stubs: None is its own word for what its surroundings say
        at_once = joblib.effective_n_jobs(jobs)  # pyright: ignore[reportArgumentType]
        if at_once == 1 or getattr(backend, "supports_sharedmem", False):
            yield from _here(calls, at_once)
            return
    if type(backend).__name__ == "MultiprocessingBackend":
        raise ValueError(
            "joblib's backend must be 'loky' or 'dask': 'multiprocessing' hangs if a worker dies"
        )
    packed = {}
    by_number = {call.number: call for call in calls}  # some of a list, perhaps
    for call in calls:
        try:
            packed[call.number] = call.packed()
        except TypeError as error:
            yield call, Failure(error)
    run = _in_processes(packed, at_once) if client is None else _on_cluster(client, packed, limit)
    with contextlib.closing(run):
        for number, outcome in run:
            yield by_number[number], outcome


def _here(calls: Sequence[AnyCall], jobs: int) -> Generator[tuple[AnyCall, object], None, None]:
    """Run in this process, in threads if there are several `jobs`."""
    if jobs == 1:
        yield from ((call, call()) for call in calls)
        return
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    runs = [joblib.delayed(lambda call: (call, call()))(call) for call in calls]
    with _left_at_will(parallel(runs)) as ended:
        for result in ended:  # noqa: UP028 -- "yield from" would close it itself, with a warning
            yield result


@contextlib.contextmanager
def _left_at_will(ended: object) -> Iterator[Generator]:
    """Close joblib's generator where it is left; that runs remain undone then is meant, and no warning."""
    assert isinstance(ended, Generator)  # joblib was asked for one by `return_as`
    try:
        yield ended
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            ended.close()


def _noted(folder: str, number: int, packed: bytes) -> tuple[int, bytes]:
    """Execute a packed call; while it runs there is a file of its number in the folder."""
    note = Path(folder) / str(number)
    note.touch()
    answer = _executed(packed)
    note.unlink(missing_ok=True)
    return number, answer


def _in_processes(packed: Mapping[int, bytes], jobs: int) -> Outcomes:
    """Run in processes of this machine; a worker that dies takes the pool with it, and a new one goes on."""
    waiting, barren = dict(packed), 0
    while waiting:
        with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
            # a worker that has grown by 300 MB is replaced, and joblib warns of it in a thread that must not
            # die: where warnings are errors, the pool would wait for ever
            warnings.filterwarnings("ignore", "A worker stopped while some jobs", UserWarning)
            # joblib has no stubs, and the default of the batch size is a text
            parallel = joblib.Parallel(
                n_jobs=jobs,
                return_as="generator_unordered",
                batch_size=1,  # pyright: ignore[reportArgumentType]
            )
            try:
                runs = [joblib.delayed(_noted)(folder, n, call) for n, call in waiting.items()]
                with _left_at_will(parallel(runs)) as ended:
                    for number, answer in ended:
                        del waiting[number]
                        barren = 0
                        yield number, _unpacked(answer)
            except BrokenProcessPool:
                begun = [number for number in waiting if (Path(folder) / str(number)).exists()]
            else:
                return
        barren += not begun
        if barren > 1:  # they die of something else
            begun = list(waiting)
        for number in begun:
            alone = {number: waiting.pop(number)}
            if len(begun) == 1 or barren > 1:
                yield number, Failure(RuntimeError(DIED))
            else:  # whose fault it was shows when each runs by itself
                yield from _in_processes(alone, jobs)


def _on_cluster(client, packed: Mapping[int, bytes], jobs: int | None) -> Outcomes:
    """Run on a Dask cluster, by its client; a run is lost when as many workers died of it as Dask allows."""
    lost: list[int] = []
    for number, outcome in _submitted(client, packed, jobs):
        if outcome is LOST:
            lost.append(number)
        else:
            yield number, outcome
    for number in lost:
        # what was queued on a worker that died counts as lost to Dask, too: only alone it is proven
        alone = {number: packed[number]} if len(lost) > 1 else {}
        answers = [outcome for _, outcome in _submitted(client, alone, 1)] or [LOST]
        yield number, Failure(RuntimeError(DIED)) if answers[0] is LOST else answers[0]


def _submitted(client, packed: Mapping[int, bytes], jobs: int | None) -> Outcomes:
    """Yield the outcome of each packed call, or LOST where too many workers died."""
    from distributed import KilledWorker, wait

    left = list(packed.items())
    running: dict = {}
    alone_since: float | None = None
    try:
        while left or running:
            room = len(left) if jobs in (None, -1) else jobs - len(running)
            for number, call in left[:room]:
                running[client.submit(_executed, call, pure=False)] = number
            left = left[max(0, room) :]
            try:
                ended = wait(list(running), timeout=LOOK_EVERY, return_when="FIRST_COMPLETED")
                done = ended.done  # pyright: ignore[reportAttributeAccessIssue] -- no coroutine: the client waits
            except TimeoutError:
                alone_since = None if client.nthreads() else alone_since or time.monotonic()
                if alone_since is not None and time.monotonic() - alone_since >= NO_WORKER_FOR:
                    error = RuntimeError(f"the cluster has had no worker for {NO_WORKER_FOR:g} seconds")
                    for number in [*running.values(), *(number for number, _ in left)]:
                        yield number, Failure(error)
                    return
                continue
            for future in done:
                number = running.pop(future)
                if future.status == "finished":
                    yield number, _unpacked(future.result())
                    continue
                error = future.exception() if future.status == "error" else None
                if isinstance(error, KilledWorker):
                    yield number, LOST
                else:
                    said = first_line(error) if error is not None else f"its future was {future.status}"
                    yield number, Failure(RuntimeError(f"the cluster could not run it: {said}"))
    finally:
        client.cancel(list(running))
