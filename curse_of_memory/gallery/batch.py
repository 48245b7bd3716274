"""Plan and run a batch of notebooks, and tell which figures are stale.

A notebook writes into a staging folder, from which its files move to the figures when it has ended well. A
batch that was killed can be started again: a figure that was being published is published to the end, figures
that are up to date are skipped, all others are made.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from curse_of_memory.gallery.data_choice import decided, made_of_real_data
from curse_of_memory.gallery.notebooks import Notebook, code_of
from curse_of_memory.gallery.origin import DataError, Machine, origin
from curse_of_memory.gallery.parameters import declared_as, preset_of, read_value, resolve
from curse_of_memory.gallery.publication import Job, is_current, publish, recover
from curse_of_memory.gallery.state import read_state
from curse_of_memory.gallery.used_code import PackageCode
from curse_of_memory.tools.data_sources import REAL
from curse_of_memory.tools.files import plain_folder

__all__ = ["Outcome", "only_batch", "outdated", "plan", "run", "staleness"]

CELL_SECONDS = 24 * 3600  # the longest full-scale cell is hours; this only ends what hangs for good
START_SECONDS = 120
IOPUB_SECONDS = 60  # nbclient gives up after 4, which a busy machine exceeds


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes
    ----------
    name : str
        The notebook.
    status : str
        ``done``, ``up to date``, ``kept (…)`` where a stand-in would have replaced a figure of real data,
        ``failed``, or ``not run`` where the batch ended before.
    seconds : float
        Wall time, kernel start included.
    error : str
        One line saying what went wrong; empty unless failed.
    executed : Path or None
        The notebook as executed.
    """

    name: str
    status: str
    seconds: float = 0.0
    error: str = ""
    executed: Path | None = None


def plan(
    selected: Iterable[Notebook],
    notebooks: Mapping[str, Notebook],
    presets: Mapping[str, Mapping],
    preset: str,
    texts: Mapping[str, str],
    machine: Machine,
    *,
    download: bool = True,
) -> tuple[list[Job], dict[str, str]]:
    """Return a job for every selected notebook that can be run, and for the others the reason why not.

    Parameters
    ----------
    selected, notebooks
        Those to run, and all there are.
    presets, preset
        All presets of the catalogue, and the name of the one to use.
    texts
        Parameters as typed on the command line; they win over the preset.
    machine
        What the figures are made on.
    download
        Whether data that are not there may be downloaded now.

    Returns
    -------
    jobs : list of Job
        What can be run.
    reasons : dict
        By name of a notebook: it is broken, or the data that it needs are not there.

    Raises
    ------
    ValueError, TypeError
        If a preset, a notebook or a parameter is unknown, a value has the wrong type, or there is no such
        device.
    """
    for known in presets:  # the ledger reads them all when the notebooks have run
        for name, values in preset_of(presets, known, notebooks).items():
            if not notebooks[name].trouble:
                resolve(name, notebooks[name].parameters, values)
    package = PackageCode()
    jobs, reasons = [], {}
    for notebook in selected:
        if notebook.trouble:
            reasons[notebook.name] = notebook.trouble
            continue
        overrides = {}
        for key, text in texts.items():
            try:
                overrides[key] = read_value(declared_as(notebook.name, notebook.parameters, key), text)
            except TypeError as error:
                raise TypeError(f"{notebook.name}: {error}") from None
        chosen = preset_of(presets, preset, notebooks)
        try:
            jobs.append(_job(notebook, chosen, preset, overrides, package, machine, download=download))
        except DataError as error:
            reasons[notebook.name] = str(error)
    return jobs, reasons


def _job(
    notebook: Notebook,
    chosen: Mapping[str, Mapping],
    preset: str,
    overrides: Mapping[str, Any],
    package: PackageCode,
    machine: Machine,
    *,
    download: bool,
) -> Job:
    values = resolve(notebook.name, notebook.parameters, {**chosen.get(notebook.name, {}), **overrides})
    values = decided(notebook, values, machine, download=download)
    made_from = origin(notebook, values, package.used_by(code_of(notebook)), machine)
    return Job(notebook, values, preset, dict(overrides), made_from)


def outdated(jobs: Iterable[Job], out: Path) -> list[Job]:
    """Return the jobs whose figures are missing or not up to date."""
    return [job for job in jobs if not is_current(out, job)]


def staleness(
    notebooks: Mapping[str, Notebook], presets: Mapping[str, Mapping], out: Path, machine: Machine
) -> dict[str, list[str]]:
    """Return why figures are stale, by notebook: a batch with their own presets would make these anew.

    Figures that were not made by a batch here, such as those of a fresh clone, are not judged.
    """
    package = PackageCode()
    stale = {}
    for name, notebook in notebooks.items():
        state = read_state(out, notebook)
        if notebook.trouble or state is None or not state.published:
            continue
        try:
            chosen = preset_of(presets, state.preset, notebooks)
            overrides = state.overrides
            if made_of_real_data(out, notebook):  # where there are none here, it stays as it is
                overrides = {"data": REAL, **overrides}
            job = _job(notebook, chosen, state.preset, overrides, package, machine, download=False)
        except (TypeError, ValueError, OSError) as error:  # its preset, parameter or data are gone
            stale[name] = [str(error)]
            continue
        reasons = state.origin.differences(job.origin)
        if not reasons and not is_current(out, job):
            reasons = ["its files were changed or removed"]
        if reasons:
            stale[name] = reasons
    return stale


@contextlib.contextmanager
def only_batch(folders: Iterable[Path], notebooks: Mapping[str, Notebook]) -> Iterator[None]:
    """Lock folders of figures for this batch; first finish the figures that a killed one was publishing.

    Raises
    ------
    BlockingIOError
        If another batch is writing to one of them; with its name.
    OSError, ValueError
        If a folder cannot be written, or has links where the batch keeps its own files.
    """
    with contextlib.ExitStack() as held:
        for folder in folders:
            held.enter_context(_locked(folder, notebooks))
        yield


@contextlib.contextmanager
def _locked(out: Path, notebooks: Mapping[str, Notebook]) -> Iterator[None]:
    staging = plain_folder(out, out / ".batch" / "staging")
    with (out / ".batch" / "lock").open("a") as lock:
        # the system drops the lock when the process ends, however it ends
        with contextlib.suppress(ImportError):  # Windows has no such lock
            import fcntl

            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise BlockingIOError(error.errno, error.strerror, str(out)) from None
        shutil.rmtree(staging)
        recover(out, notebooks)
        try:
            yield
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def run(jobs: list[Job], out: Path, workers: int) -> Generator[Outcome]:
    """Run jobs, `workers` at a time, and yield how each one ended, in the order they end.

    Every notebook has a process of its own, its kernel; the workers here only wait for them, so
    threads are enough, and they share one record of the network ports in use, without which
    kernels that start together can take each other's. ``joblib.parallel_config`` around the call
    chooses another backend.
    """
    import joblib

    from curse_of_memory.gallery.kernel import no_kernel_left_behind

    logging.getLogger("papermill").setLevel(logging.ERROR)
    parallel = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")
    tasks = (joblib.delayed(_run_one)(job, out, workers > 1) for job in jobs)
    with no_kernel_left_behind():
        # joblib's types leave None open, of backends that keep no results
        yield from cast("Generator[Outcome]", parallel(tasks))


def _run_one(job: Job, out: Path, side_by_side: bool) -> Outcome:
    """Run one notebook and publish its figure; return how it ended, also if it failed."""
    from curse_of_memory.gallery.kernel import run_apart

    name = job.notebook.name
    staging = out / ".batch" / "staging" / job.notebook.flat_name
    draft = out / ".batch" / "staging" / f"{job.notebook.flat_name}.ipynb"
    kept = out / ".batch" / "executed" / f"{name}.ipynb"
    failed = kept.with_name(f"{kept.stem}.failed.ipynb")
    start = time.perf_counter()
    executed = None
    try:
        plain_folder(out, staging)
        plain_folder(out, kept.parent)
        values = {**job.values, "output_dir": str(staging)}
        run_apart(_execute, job.notebook, values, draft, side_by_side)
        publish(job, staging, out)
        os.replace(draft, kept)
        failed.unlink(missing_ok=True)
    except Exception as error:
        with contextlib.suppress(OSError):  # there may be none, or no room for it
            os.replace(draft, failed)
            executed = failed
        return Outcome(name, "failed", time.perf_counter() - start, one_line(error), executed)
    return Outcome(name, "done", time.perf_counter() - start, executed=kept)


def _execute(notebook: Notebook, values: Mapping[str, Any], draft: Path, side_by_side: bool) -> None:
    """Execute a notebook with papermill; the executed copy is written to `draft`, also if it fails."""
    import papermill

    from curse_of_memory.gallery.kernel import OneThreadKernel, ThisPythonKernel

    def literal(path: Path) -> str:
        # papermill fills {placeholders} in paths, and a folder may well be called {that}
        return str(path).replace("{", "{{").replace("}", "}}")

    papermill.execute_notebook(
        literal(notebook.path),
        literal(draft),
        parameters=dict(values),
        kernel_name="python3",
        language="python",
        progress_bar=False,
        start_timeout=START_SECONDS,
        execution_timeout=CELL_SECONDS,
        iopub_timeout=IOPUB_SECONDS,
        kernel_manager_class=OneThreadKernel if side_by_side else ThisPythonKernel,
        # the notebook's own folder, as under Jupyter and nbval; papermill's cwd= would change
        # the folder of the whole process, which threads share
        resources={"metadata": {"path": str(notebook.path.parent)}},
    )


def one_line(error: Exception) -> str:
    """Return the class of an error and the last line of its message."""
    name = getattr(error, "ename", type(error).__name__)
    lines = str(getattr(error, "evalue", error)).strip().splitlines()
    return f"{name}: {lines[-1].strip()}" if lines else name
