"""Independent runs of one function: in this process, in others of this machine, or on a cluster."""

import contextlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypeVar, overload

from tqdm.auto import tqdm

from curse_of_memory.tools import checks
from curse_of_memory.tools.named_cluster import named_cluster
from curse_of_memory.tools.run_places import Call, Failure
from curse_of_memory.training.kept_runs import kept_outcomes

__all__ = ["run_all"]

ERRORS = ("raise", "keep")

Result = TypeVar("Result")  # of the function


@overload
def run_all(
    function: Callable[..., Result],
    arguments: Iterable[Mapping[str, Any]],
    *,
    jobs: int | None = None,
    errors: Literal["raise"] = "raise",
    progress: bool = False,
) -> list[Result]: ...


@overload
def run_all(
    function: Callable[..., Result],
    arguments: Iterable[Mapping[str, Any]],
    *,
    jobs: int | None = None,
    errors: str,
    progress: bool = False,
) -> list[Result | Exception]: ...


def run_all(
    function: Callable[..., Result],
    arguments: Iterable[Mapping[str, Any]],
    *,
    jobs: int | None = None,
    errors: str = "raise",
    progress: bool = False,
) -> list[Result] | list[Result | Exception]:
    """Return ``function(**a)`` for each a of `arguments`, in their order.

    Where the runs take place is for the caller's surroundings to say: one after the other as it stands, in
    processes with ``joblib.parallel_config(n_jobs=4)``, and on a Dask cluster with
    ``joblib.parallel_config(backend="dask")`` while a ``distributed.Client`` is open. Where nobody
    says anything, the variable ``CURSE_OF_MEMORY_DASK`` may name the scheduler of such a cluster. The runs
    must not depend on one another, nor on a global random state: then results are the same everywhere.

    Parameters
    ----------
    function : callable
        Of keyword arguments. In other processes it works on copies: a model that it trains comes back as
        a part of what it returns, the caller's own stays as it was.
    arguments : iterable of mapping
        Keyword arguments of one run each.
    jobs : int, optional
        Runs at a time, −1 for one per core; what ``joblib.parallel_config`` says unless given, which is one.
    errors : {'raise', 'keep'}
        What becomes of a run that fails: its error ends the call as soon as it is known, or stands in the
        list in place of a result, so that the other results are not lost.
    progress : bool
        Show a progress bar over the runs that have ended.

    Returns
    -------
    list
        One result per run, or error where errors are kept.

    Raises
    ------
    TypeError, ValueError
        For a bad number of jobs, a function that is none, arguments that are no mappings, an unknown way with
        errors, or joblib's backend ``"multiprocessing"``, which does not say that a worker has died.
    Exception
        What `function` raises comes through; a note at its end says in which run. It is a TypeError that
        names the run if an argument or a result cannot be pickled for another process, and a RuntimeError
        that names it if the run asks Python to exit, or kills its worker.

    Notes
    -----
    A worker that dies is known at once on this machine. On a cluster Dask tries a run again until
    ``distributed.scheduler.allowed-failures`` more workers, 3 unless you say so, have died of it, which takes
    a few seconds each; if no worker is left, the runs are given up after 60 seconds. Runs that
    were under way beside one that killed its worker are made again.

    In a notebook that a batch runs (``curse-of-memory figures``), results are kept until its figure is
    published, so that a batch that was killed makes no run again that had ended; see
    :mod:`curse_of_memory.training.kept_runs`.

    Examples
    --------
    >>> run_all(pow, [{"base": 2, "exp": 3}, {"base": 3, "exp": 2}])
    [8, 9]
    >>> run_all(divmod, [{"x": 1}], errors="keep")
    [TypeError('divmod() takes no keyword arguments')]
    """
    if jobs is not None and jobs != -1:
        checks.positive_int("jobs", jobs)
    checks.one_of("errors", errors, ERRORS)
    checks.flag("progress", progress)
    if not callable(function):
        raise TypeError(f"function must be callable, got {type(function).__name__}")
    calls = []
    if isinstance(arguments, type | str | Mapping) or not isinstance(arguments, Iterable):
        raise TypeError(f"arguments must be a list of mappings, one a run, got {checks.shown(arguments)}")
    for run in arguments:
        if not isinstance(run, Mapping) or not all(isinstance(name, str) for name in run):
            raise TypeError(f"arguments must be mappings from names to values, got {checks.shown(run)}")
        calls.append(Call(function, run, len(calls)))
    results: dict[int, Any] = {}  # what they are only the function knows, which may run elsewhere
    ends = kept_outcomes(calls, jobs)
    # an error ends the other runs here, and not when somebody forgets its traceback
    with (
        named_cluster(),
        contextlib.closing(ends),
        tqdm(total=len(calls), disable=not progress, desc="runs") as bar,
    ):
        for call, outcome in ends:
            if isinstance(outcome, Failure):
                outcome = outcome.named(call)
                if errors == "raise":
                    raise outcome
            results[call.number] = outcome
            bar.update()
    return [results[number] for number in range(len(calls))]
