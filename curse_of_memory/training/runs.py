"""Independent runs through one seam: the same call on this machine's processes or on a cluster."""

from collections.abc import Callable, Iterable, Mapping

import joblib
from tqdm.auto import tqdm

from curse_of_memory import checks

__all__ = ["run_all"]


def run_all(
    function: Callable, arguments: Iterable[Mapping], *, jobs: int | None = None, progress: bool = False
) -> list:
    """Return ``function(**a)`` for each a of `arguments`, in their order.

    Where the runs take place is for the caller's surroundings to say: one after the other as it stands, in
    processes with ``joblib.parallel_config(n_jobs=4)``, and on a Dask cluster with
    ``joblib.parallel_config(backend="dask")`` while a ``distributed.Client`` is open. The runs must not
    depend on one another, nor on a global random state: then the results are the same everywhere.

    Parameters
    ----------
    function : callable
        Of keyword arguments. In other processes it works on copies: a model that it trains comes back as
        a part of what it returns, the caller's own stays as it was.
    arguments : iterable of mapping
        Keyword arguments of one run each.
    jobs : int, optional
        Runs at a time, −1 for one per core; what ``joblib.parallel_config`` says unless given, which is one.
    progress : bool
        Show a progress bar over the runs that have ended.

    Returns
    -------
    list
        One result per run.

    Raises
    ------
    TypeError, ValueError
        For a bad number of jobs, or arguments that are no mappings. What `function` raises comes through.

    Examples
    --------
    >>> run_all(pow, [{"base": 2, "exp": 3}, {"base": 3, "exp": 2}])
    [8, 9]
    """
    if jobs is not None and jobs != -1:
        checks.positive_int("jobs", jobs)
    runs = list(arguments)
    for run in runs:
        if not isinstance(run, Mapping):
            raise TypeError(f"arguments must be mappings from names to values, got {run!r}")
    results = joblib.Parallel(n_jobs=jobs, return_as="generator")(
        joblib.delayed(function)(**run) for run in runs
    )
    return list(tqdm(results, total=len(runs), disable=not progress, desc="runs"))
