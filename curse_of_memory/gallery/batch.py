"""Plan a batch of notebooks, and tell which figures are stale; `execution` runs it.

A notebook writes into a staging folder, from which its files move to the figures when it has ended well. A
batch that was killed can be started again: a figure that was being published is published to the end, figures
that are up to date are skipped, all others are made.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.data_choice import decided, made_of_real_data
from curse_of_memory.gallery.locks import batch_lock, publishing_lock
from curse_of_memory.gallery.notebooks import Notebook, code_of
from curse_of_memory.gallery.origin import DataError, Machine, origin
from curse_of_memory.gallery.own_paths import from_anywhere
from curse_of_memory.gallery.parameters import declared_as, preset_of, read_value, resolve
from curse_of_memory.gallery.publication import Job, is_current, recover
from curse_of_memory.gallery.scales import PLACES
from curse_of_memory.gallery.state import read_state
from curse_of_memory.gallery.used_code import PackageCode
from curse_of_memory.tools.data_sources import REAL
from curse_of_memory.tools.files import plain_folder

__all__ = ["Outcome", "only_batch", "outdated", "plan", "settled", "staleness"]


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
    said : tuple of str
        Where its kernel died, the last lines that it wrote on stderr.
    """

    name: str
    status: str
    seconds: float = 0.0
    error: str = ""
    executed: Path | None = None
    said: tuple[str, ...] = ()


def plan(
    selected: Iterable[Notebook],
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
    selected
        The notebooks to run.
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
        If the preset or a parameter is unknown, a value has the wrong type, or there is no such
        device.
    """
    chosen = preset_of(presets, preset)
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
        overrides = from_anywhere(notebook, overrides)
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
            chosen = preset_of(presets, state.preset)
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
def only_batch(
    folders: Iterable[Path], notebooks: Mapping[str, Notebook]
) -> Iterator[Callable[[Path], None]]:
    """Lock folders of figures for this batch; first finish the figures that a killed one was publishing.

    Yields a function that releases one of the folders before the others.

    Raises
    ------
    BlockingIOError
        If another batch is writing to one of them; with its name.
    OSError, ValueError
        If a folder cannot be written, or has links where the batch keeps its own files.
    """
    with contextlib.ExitStack() as stack:
        locks = {folder: stack.enter_context(contextlib.ExitStack()) for folder in folders}
        for folder, lock in locks.items():
            lock.enter_context(_locked(folder, notebooks))
        yield lambda folder: locks[folder].close()


@contextlib.contextmanager
def _locked(out: Path, notebooks: Mapping[str, Notebook]) -> Iterator[None]:
    staging = plain_folder(out, out / ".batch" / "staging")
    with batch_lock(out):
        shutil.rmtree(staging)
        recover(out, notebooks)
        try:
            yield
        finally:
            shutil.rmtree(staging, ignore_errors=True)


@contextlib.contextmanager
def settled(out: Path, notebooks: Mapping[str, Notebook]) -> Iterator[None]:
    """Hold the figures of all scales in `out` as they are, whole: what its pages show.

    A batch that runs at another scale publishes its next figure afterwards. What a killed one was publishing
    is finished first.

    Raises
    ------
    OSError, ValueError
        As for :func:`only_batch`.
    """
    with contextlib.ExitStack() as held:
        for scale in PLACES.values():  # always in this order: nobody waits for who waits for them
            folder = out / scale
            if folder == out or (folder / ".batch").is_dir():
                held.enter_context(publishing_lock(folder))
                with contextlib.suppress(BlockingIOError), batch_lock(folder):
                    recover(folder, notebooks)
        yield
