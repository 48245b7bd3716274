"""The names of a figure's files, and its record, read from a folder of figures."""

import os
from pathlib import Path

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.report.record import Record, read_record
from curse_of_memory.tools.files import is_plain_file

__all__ = ["SUFFIXES", "find_record", "own_files"]

# a figure is json + csv + (png, pdf), a table json + csv + (md, tex), drawn or not
SUFFIXES = ("png", "pdf", "md", "tex", "csv", "json")


def own_files(notebook: Notebook) -> tuple[str, ...]:
    """Return all names that the files of a notebook's figure can have, without the folder."""
    return tuple(f"{notebook.stem}.{suffix}" for suffix in SUFFIXES)


def find_record(out: Path, notebook: Notebook) -> Record | None:
    """Return the record of a notebook's figure in `out`; None if there is none.

    Raises
    ------
    ValueError
        As `read_record` does, and if the record is no plain file.
    """
    path = out / notebook.folder / f"{notebook.stem}.json"
    if not os.path.lexists(path):
        return None
    if not is_plain_file(path):
        raise ValueError(f"{path.name} of {notebook.name} is no file, but a link or a folder")
    return read_record(path, notebook.name)
