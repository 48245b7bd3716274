"""Run the notebooks of a batch, each in a kernel of its own, and publish their figures."""

import contextlib
import logging
import os
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from curse_of_memory.gallery.batch import Outcome
from curse_of_memory.gallery.estimates import in_words
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.publication import Job, publish
from curse_of_memory.gallery.run_folders import RunFolder
from curse_of_memory.gallery.watching import Watch
from curse_of_memory.tools.files import plain_folder
from curse_of_memory.tools.run_notes import make_notes

if TYPE_CHECKING:  # what drives kernels is slow to import
    from curse_of_memory.gallery.fork_server import ForkServer
    from curse_of_memory.gallery.kernel import KernelLife, ThisPythonKernel

__all__ = ["Conditions", "run"]

CELL_SECONDS = 24 * 3600  # of notebooks that are run without a limit; it only ends what hangs for good
START_SECONDS = 120
IOPUB_SECONDS = 60  # nbclient gives up after 4, which a busy machine exceeds


@dataclass(frozen=True)
class Conditions:
    """Under what conditions the notebooks of a batch are run.

    Attributes
    ----------
    workers : int
        How many at a time.
    timeout : float
        Seconds after which a notebook is ended.
    anew : bool
        Whether finished runs that were kept are made again.
    keep_runs : bool
        Whether finished runs stay when the figure is published.
    """

    workers: int
    timeout: float
    anew: bool = False
    keep_runs: bool = False


def run(jobs: list[Job], out: Path, conditions: Conditions, watch: Watch) -> Generator[Outcome]:
    """Run jobs, and yield how each one ended, in the order they end.

    Every notebook has a process of its own, its kernel; several are forked from one process that has
    loaded what they all import. The workers here only wait for them, so threads are enough, and they share
    one record of the network ports in use, without which kernels that start together can take each other's.
    ``joblib.parallel_config`` around the call chooses another backend.

    Parameters
    ----------
    jobs : list of Job
        What is run.
    out : Path
        The folder of the figures.
    conditions : Conditions
        How many at a time, for how long, and what becomes of their runs.
    watch : Watch
        Shows how far they are.
    """
    import joblib

    from curse_of_memory.gallery.forked_kernels import fork_server
    from curse_of_memory.gallery.kernel import no_kernel_left_behind

    logging.getLogger("papermill").setLevel(logging.ERROR)
    parallel = joblib.Parallel(n_jobs=conditions.workers, prefer="threads", return_as="generator_unordered")
    with no_kernel_left_behind(), fork_server(len(jobs), conditions.workers) as server:
        tasks = (joblib.delayed(_run_one)(job, out, conditions, watch, server) for job in jobs)
        # joblib's types leave None open, of backends that keep no results
        yield from cast("Generator[Outcome]", parallel(tasks))


def _run_one(
    job: Job, out: Path, conditions: Conditions, watch: Watch, server: "ForkServer | None"
) -> Outcome:
    """Run one notebook and publish its figure; return how it ended, also if it failed."""
    from curse_of_memory.gallery.kernel import KernelLife, kernel_class, run_apart

    name = job.notebook.name
    staging = out / ".batch" / "staging" / job.notebook.flat_name
    draft, notes, said = (
        staging.with_name(f"{staging.name}{end}") for end in (".ipynb", ".notes", ".stderr")
    )
    kept = out / ".batch" / "executed" / f"{name}.ipynb"
    failed = kept.with_name(f"{kept.stem}.failed.ipynb")
    runs, life = RunFolder(out, job.notebook), KernelLife(said)
    start = time.perf_counter()
    executed = None
    try:
        plain_folder(out, staging)
        plain_folder(out, kept.parent)
        environment = make_notes(notes)
        one_thread = conditions.workers > 1
        watch.begin(name, notes)
        if conditions.anew:
            runs.forget()
        try:
            variables, one_thread, remark = runs.open(job.origin, one_thread)
            environment |= variables
        except (OSError, ValueError) as error:
            remark = f"runs are not kept: {error}"
        if remark:
            watch.say(name, remark)
        values = {**job.values, "output_dir": str(staging)}
        with life.limited(conditions.timeout):
            kernel = kernel_class(one_thread, environment, life, server)
            run_apart(_execute, job.notebook, values, draft, kernel)
        publish(job, staging, out)
        if conditions.keep_runs:
            runs.forget_others()
        else:
            runs.forget()
        os.replace(draft, kept)
        failed.unlink(missing_ok=True)
    except Exception as error:
        with contextlib.suppress(OSError):  # there may be none, or no room for it
            os.replace(draft, failed)
            executed = failed
        reason, lines = _reason(error, life, conditions.timeout)
        return Outcome(name, "failed", time.perf_counter() - start, reason, executed, lines)
    finally:
        watch.left(name)
    return Outcome(name, "done", time.perf_counter() - start, executed=kept)


def _execute(
    notebook: Notebook,
    values: Mapping[str, Any],
    draft: Path,
    kernel: "type[ThisPythonKernel]",
) -> None:
    """Execute a notebook with papermill; the executed copy is written to `draft`, also if it fails."""
    import papermill

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
        execution_timeout=None,  # the whole notebook has a limit
        iopub_timeout=IOPUB_SECONDS,
        kernel_manager_class=kernel,
        # the notebook's own folder, as under Jupyter and nbval; papermill's cwd= would change
        # the folder of the whole process, which threads share
        resources={"metadata": {"path": str(notebook.path.parent)}},
    )


def _reason(error: Exception, life: "KernelLife", timeout: float) -> tuple[str, tuple[str, ...]]:
    """Return why a notebook failed, in one line, and of a kernel that died what it said last."""
    from curse_of_memory.gallery.kernel import LAST_LINES

    if life.out_of_time:
        limit = in_words(timeout)
        return f"it took longer than {limit} (--timeout); its finished runs are kept", ()
    if type(error).__name__ in ("DeadKernelError", "RuntimeError") and (death := life.death()):
        return f"{type(error).__name__}: {death}", tuple(life.last_lines()[-LAST_LINES:])
    return one_line(error), ()


def one_line(error: Exception) -> str:
    """Return the class of an error and the last line of its message."""
    name = getattr(error, "ename", type(error).__name__)
    lines = str(getattr(error, "evalue", error)).strip().splitlines()
    if name == "MemoryError" and not lines:
        lines = ["it ran out of memory"]
    return f"{name}: {lines[-1].strip()}" if lines else name
