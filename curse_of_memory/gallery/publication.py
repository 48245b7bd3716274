"""Publish a figure: move its files from staging to the figures, all of them or, to any reader, none.

The files of one figure lie beside those of others, so that they cannot move in one step. A state file says
that they are about to move, they move one by one, and the state file says that they have. In between, and if
the batch is killed then, the figure counts as incomplete.
"""

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.figure_files import SUFFIXES, own_files
from curse_of_memory.gallery.locks import publishing_lock
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.origin import Origin
from curse_of_memory.gallery.state import State, read_state, write_state
from curse_of_memory.report.record import read_record, record_text
from curse_of_memory.tools.files import checksum, is_plain_file, plain_folder

__all__ = ["Job", "is_current", "publish", "recover"]


@dataclass(frozen=True)
class Job:
    """A notebook to run, the parameters to set, and the origin of the figure that it will make.

    Attributes
    ----------
    notebook : Notebook
        What is run.
    values : dict
        The parameters that are set.
    preset : str
        The name of the preset that some of these are from.
    overrides : dict
        Those that were set over the preset.
    origin : Origin
        What decides the figure.
    """

    notebook: Notebook
    values: dict[str, Any]
    preset: str
    overrides: dict[str, Any]
    origin: Origin


def is_current(out: Path, job: Job) -> bool:
    """Return whether the figure has the origin that the job would give it, and its files are unchanged."""
    state = read_state(out, job.notebook)
    return (
        state is not None
        and state.published
        and state.origin.same_as(job.origin)
        and _stand(out / job.notebook.folder, state)
    )


def publish(job: Job, staging: Path, out: Path) -> None:
    """Move a figure's files from `staging` to their place and record them.

    A figure that is as it was keeps its date and its seconds, so that its files do not change; what this run
    took is in the state.

    Raises
    ------
    ValueError
        If files are missing, unexpected, no files, or say something else than they should; or if they would
        be written through a link.
    OSError
        If they cannot be moved.
    """
    notebook = job.notebook
    written = _whole_figure(notebook, staging)
    folder = plain_folder(out, out / notebook.folder)
    seconds = _keep_date(notebook, staging, folder, written)
    for file in own_files(notebook):
        if (folder / file).is_dir() and not (folder / file).is_symlink():
            raise ValueError(f"{folder / file} is a folder; remove it to make room for the figure")
    former = read_state(out, notebook)
    gone = {*former.files, *former.leaving} - set(written) if former else set()
    state = State(
        origin=job.origin,
        preset=job.preset,
        overrides=job.overrides,
        files={file: checksum(staging / file) for file in written},
        leaving=tuple(sorted(gone)),
        published=False,
        seconds=seconds,
    )
    moving = _moving(out, notebook)
    plain_folder(out, moving.parent)
    shutil.rmtree(moving, ignore_errors=True)  # left there before the state said so
    with publishing_lock(out):
        os.replace(staging, moving)
        write_state(out, notebook, state)
        _finish(out, notebook, state)


def recover(out: Path, notebooks: Mapping[str, Notebook]) -> None:
    """Publish to the end the figures that a killed batch had begun to; what cannot be stays incomplete."""
    left = False
    for notebook in notebooks.values():
        if (state := read_state(out, notebook)) and not state.published:
            try:
                _finish(out, notebook, state)
            except (OSError, ValueError):
                left = True
    if not left:
        with contextlib.suppress(OSError):
            shutil.rmtree(out / ".batch" / "publishing")


def _finish(out: Path, notebook: Notebook, state: State) -> None:
    folder, moving = plain_folder(out, out / notebook.folder), plain_folder(out, _moving(out, notebook))
    for file in state.files:
        if is_plain_file(moving / file):  # else it has come to its place already
            os.replace(moving / file, folder / file)
    for file in state.leaving:
        (folder / file).unlink(missing_ok=True)
    if not _stand(folder, state):
        raise ValueError(f"the files of {notebook.name} are not those that were made")
    write_state(out, notebook, replace(state, leaving=(), published=True))
    shutil.rmtree(moving, ignore_errors=True)


def _keep_date(notebook: Notebook, staging: Path, folder: Path, written: list[str]) -> float:
    """Put the record that was there in the place of the new one if they differ in date and seconds only.

    All other files must be as they were. Return the seconds of the new record.
    """
    record = f"{notebook.stem}.json"
    new = read_record(staging / record, notebook.name)
    with contextlib.suppress(OSError, ValueError):  # there is none before, or none that can be read
        former = read_record(folder / record, notebook.name)
        kept = replace(new, seconds=former.seconds, created=former.created)
        others = [file for file in written if file != record]
        if (
            is_plain_file(folder / record)
            and record_text(kept) == record_text(former)
            and all(
                is_plain_file(folder / file) and checksum(folder / file) == checksum(staging / file)
                for file in others
            )
        ):
            shutil.copyfile(folder / record, staging / record)
    return float(new.seconds)


def _moving(out: Path, notebook: Notebook) -> Path:
    return out / ".batch" / "publishing" / notebook.flat_name


def _stand(folder: Path, state: State) -> bool:
    try:
        return all(
            is_plain_file(folder / file) and checksum(folder / file) == digest
            for file, digest in state.files.items()
        )
    except OSError:
        return False


def _whole_figure(notebook: Notebook, staging: Path) -> list[str]:
    """Return the names of the files in `staging`, which must be a whole figure or table.

    Raises
    ------
    ValueError
        If they are not.
    """
    written = sorted(path.name for path in staging.iterdir())
    stem = notebook.stem
    if unexpected := [file for file in written if file not in own_files(notebook)]:
        raise ValueError(f"wrote {unexpected[0]}, which is none of {stem}.{{{','.join(SUFFIXES)}}}")
    if no_file := [file for file in written if not is_plain_file(staging / file)]:
        raise ValueError(f"wrote {no_file[0]}, which is no file, but a link or a folder")
    picture = ("png", "pdf") if f"{stem}.png" in written or f"{stem}.pdf" in written else ()
    table = ("md", "tex") if f"{stem}.md" in written or f"{stem}.tex" in written else ()
    for suffix in ("json", "csv", *(picture + table or ("png", "pdf"))):
        if f"{stem}.{suffix}" not in written:
            raise ValueError(f"wrote no .{suffix}")
    read_record(staging / f"{stem}.json", notebook.name)
    return written
