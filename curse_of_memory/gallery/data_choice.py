"""Whether a figure is made of real data or of their stand-in: decided before its notebook runs.

The notebook asks for ``data = "auto"``. What becomes of it is a part of the figure's origin, and is handed to
the kernel, which so reads the same. A figure of real data is never replaced by one of their stand-in.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.figure_files import find_record
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.origin import DataError, Machine
from curse_of_memory.gallery.publication import Job
from curse_of_memory.gallery.state import read_state
from curse_of_memory.tools.checks import one_of
from curse_of_memory.tools.data_sources import AUTO, REAL, SOURCES, STAND_IN

__all__ = ["decided", "kept_figures", "made_of_real_data"]

PARAMETER = "data"
NOT_HERE, NOT_ASKED_FOR = "kept (no data here)", "kept (of real data)"


def decided(
    notebook: Notebook, values: Mapping[str, Any], machine: Machine, *, download: bool
) -> dict[str, Any]:
    """Return the values of parameters, with the word for real data or for their stand-in in place of "auto".

    Parameters
    ----------
    notebook : Notebook
        If it has no parameter `data`, the values are as they were.
    values : mapping
        The parameters that are set; the others have their defaults.
    machine : Machine
        Where the notebook would run.
    download : bool
        Whether files that are not there may be downloaded now.

    Raises
    ------
    ValueError
        If it is another word; a `DataError` if a data set is unknown, has no folder, or has a damaged file.
    """
    if PARAMETER not in notebook.parameters:
        return dict(values)
    asked = values.get(PARAMETER, notebook.parameters[PARAMETER].default)
    one_of(f"{PARAMETER} of {notebook.name}", asked, SOURCES)
    if asked == AUTO:
        try:
            real = all([machine.has(name, download) for name in notebook.needs_data])
        except (ValueError, OSError) as error:
            raise DataError(f"{notebook.name} needs data: {error}") from None
        asked = REAL if real else STAND_IN
    return {**values, PARAMETER: asked}


def made_of_real_data(out: Path, notebook: Notebook) -> bool:
    """Return whether the figure in `out` is of real data, as one with a damaged record may be.

    So is one for which other real data stand in, but none that was made without, of files of its maker's.
    """
    if PARAMETER not in notebook.parameters:
        return False
    try:
        record = find_record(out, notebook)
    except ValueError:
        return True
    if record is None or (record.stand_in and not record.stand_in_is_real):
        return False
    state = read_state(out, notebook)
    without = state is not None and state.origin.parameters.get(PARAMETER) == STAND_IN
    return not (without and any(record.parameters.get(name) for name in notebook.paths))


def kept_figures(jobs: Mapping[Path, Iterable[Job]]) -> dict[str, str]:
    """Return what to say of the figures that no stand-in may replace, by notebook; `jobs` are by folder."""
    return {
        job.notebook.name: NOT_ASKED_FOR if job.overrides.get(PARAMETER) == STAND_IN else NOT_HERE
        for folder, some in jobs.items()
        for job in some
        if job.values.get(PARAMETER) == STAND_IN and made_of_real_data(folder, job.notebook)
    }
