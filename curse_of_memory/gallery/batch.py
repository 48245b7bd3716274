"""Run notebooks and keep what they write: whole figures or the ones that were there before.

A notebook writes into a staging folder; its files move to their place one by one, each in a
single step, after it has ended well. Then a state file records what they were made from.
A batch that is killed at any moment can be started again: what is recorded and still stands is
skipped, everything else is done anew.
"""

import contextlib
import logging
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery import state
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import declared_as, preset_of, read_value, resolve
from curse_of_memory.gallery.results import FILES, read_result

__all__ = ["Job", "Outcome", "only_batch", "outdated", "plan", "publish", "run"]

CELL_SECONDS = 24 * 3600  # the longest full-scale cell is hours; this only ends what hangs for good
START_SECONDS = 120
IOPUB_SECONDS = 60  # nbclient gives up after 4, which a busy machine exceeds


@dataclass(frozen=True)
class Job:
    """A notebook with the parameters to set and the fingerprint of what it is made from."""

    notebook: Notebook
    values: dict[str, Any]
    fingerprint: str


@dataclass(frozen=True)
class Outcome:
    """How one notebook ended.

    Attributes
    ----------
    name : str
        The notebook.
    status : str
        ``done``, ``up to date`` or ``failed``.
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
) -> list[Job]:
    """Decide what every selected notebook is run with; nothing runs before all of it holds.

    Parameters
    ----------
    selected, notebooks
        Those to run, and all there are.
    presets, preset
        From `read_presets`, and the name of the one to use.
    texts
        Parameters as typed on the command line; they win over the preset.

    Raises
    ------
    ValueError, TypeError
        If a preset, a notebook or a parameter is unknown, or a value has the wrong type.
    """
    for known in presets:  # the ledger reads them all when the notebooks have run
        for name, values in preset_of(presets, known, notebooks).items():
            resolve(name, notebooks[name].parameters, values)
    chosen = preset_of(presets, preset, notebooks)
    package = state.package_checksum()
    jobs = []
    for notebook in selected:
        declared = notebook.parameters
        values = resolve(notebook.name, declared, chosen.get(notebook.name, {}))
        for key, text in texts.items():
            try:
                values[key] = read_value(declared_as(notebook.name, declared, key), text)
            except TypeError as error:
                raise TypeError(f"{notebook.name}: {error}") from None
        jobs.append(Job(notebook, values, state.fingerprint(notebook, values, package)))
    return jobs


def outdated(jobs: Iterable[Job], out: Path) -> list[Job]:
    """Return the jobs whose figures are not there as recorded."""
    return [job for job in jobs if not state.is_current(out, job.notebook, job.fingerprint)]


@contextlib.contextmanager
def only_batch(out: Path) -> Iterator[None]:
    """Hold the output folder against a second batch; leave no staging folder behind.

    Raises
    ------
    BlockingIOError
        If another batch is writing there.
    """
    staging = out / ".batch" / "staging"
    staging.mkdir(parents=True, exist_ok=True)
    with (out / ".batch" / "lock").open("w") as lock:
        # the system drops the lock when the process ends, however it ends
        with contextlib.suppress(ImportError):  # Windows has no such lock
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(staging)
        try:
            yield
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def run(jobs: list[Job], out: Path, workers: int) -> Iterator[Outcome]:
    """Run jobs, `workers` at a time, and yield how each one ended, in the order they end.

    Every notebook has a process of its own, its kernel; the workers here only wait for them, so
    threads are enough, and they share one record of the network ports in use, without which
    kernels that start together can take each other's. ``joblib.parallel_config`` around the call
    chooses another backend.
    """
    import joblib

    from curse_of_memory.gallery.kernel import kill_kernels

    logging.getLogger("papermill").setLevel(logging.ERROR)
    parallel = joblib.Parallel(n_jobs=workers, prefer="threads", return_as="generator_unordered")
    tasks = (joblib.delayed(_run_one)(job, out, workers > 1) for job in jobs)
    try:
        yield from parallel(tasks)
    except KeyboardInterrupt:
        kill_kernels()
        raise


def publish(job: Job, staging: Path, out: Path) -> None:
    """Move a figure's files from `staging` to their place and record them.

    Raises
    ------
    ValueError
        If files are missing, unexpected or say something else than they should.
    """
    name, stem = job.notebook.name, job.notebook.stem
    written = {path.name: path for path in sorted(staging.iterdir())}
    expected = {f"{stem}.{suffix}" for suffix in FILES}
    if unexpected := [file for file in written if file not in expected]:
        raise ValueError(f"wrote {unexpected[0]}, which is none of {stem}.{{{','.join(FILES)}}}")
    picture = ("png", "pdf") if f"{stem}.png" in written or f"{stem}.pdf" in written else ()
    table = ("md", "tex") if f"{stem}.md" in written or f"{stem}.tex" in written else ()
    for suffix in ("json", "csv", *(picture + table or ("png", "pdf"))):
        if f"{stem}.{suffix}" not in written:
            raise ValueError(f"wrote no .{suffix}")
    read_result(written[f"{stem}.json"], name)

    folder = out / job.notebook.folder
    folder.mkdir(parents=True, exist_ok=True)
    former = state.recorded_files(out, name)
    for file, path in written.items():
        os.replace(path, folder / file)
    for file in former.keys() - written.keys():
        (folder / file).unlink(missing_ok=True)
    state.write_state(out, job.notebook, job.fingerprint, list(written))


def _run_one(job: Job, out: Path, side_by_side: bool) -> Outcome:
    """Run one notebook and publish its figure; a failure is an outcome, not an exception."""
    from curse_of_memory.gallery.kernel import run_apart

    name = job.notebook.name
    staging = out / ".batch" / "staging" / name
    staging.mkdir(parents=True)
    draft = staging.with_name(f"{staging.name}.ipynb")
    kept = out / ".batch" / "executed" / f"{name}.ipynb"
    failed = kept.with_name(f"{kept.stem}.failed.ipynb")
    kept.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        values = {**job.values, "output_dir": str(staging)}
        run_apart(_execute, job.notebook, values, draft, side_by_side)
        publish(job, staging, out)
    except Exception as error:
        executed = failed if draft.is_file() else None
        if executed:
            os.replace(draft, executed)
        return Outcome(name, "failed", time.perf_counter() - start, one_line(error), executed)
    os.replace(draft, kept)
    failed.unlink(missing_ok=True)
    return Outcome(name, "done", time.perf_counter() - start, executed=kept)


def _execute(notebook: Notebook, values: Mapping[str, Any], draft: Path, side_by_side: bool) -> None:
    """Execute a notebook with papermill; the executed copy stands at `draft` also if it fails."""
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
    """Return the kind of an error and the last line it says."""
    kind = getattr(error, "ename", type(error).__name__)
    lines = str(getattr(error, "evalue", error)).strip().splitlines()
    return f"{kind}: {lines[-1].strip()}" if lines else kind
