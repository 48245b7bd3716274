"""The BIDMC recordings: pulse wave and electrocardiogram of 53 patients, and the heart rate of their monitor.

Of each patient there are eight minutes (Pimentel et al. 2017, PhysioNet): the photoplethysmogram PLETH and
lead II of the electrocardiogram 125 times a second, and once a second what the monitor shows, of which HR is
the heart rate in beats a minute. They are read from the published tables, or from one archive of them.
"""

import io
import tarfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from curse_of_memory.tasks.archives import member_of, opened_tar, text_of
from curse_of_memory.tasks.data_files import FILES, fetch, find
from curse_of_memory.tools import checks

__all__ = ["CHANNELS", "PATIENTS", "RATE", "ROWS", "SECONDS", "Recordings", "read_recordings", "read_table"]

PATIENTS = 53
CHANNELS = ("PLETH", "II")
RATE = 125  # samples a second
ROWS, SECONDS = 60_001, 481  # rows of the two tables of a patient: eight minutes, both ends included


@dataclass(frozen=True)
class Recordings:
    """What was recorded of some patients.

    Attributes
    ----------
    signals : ndarray of shape ``(patient, time, 2)``
        Float32, the channels as in :data:`CHANNELS`, in the units of the files, :data:`RATE` samples a
        second.
    rates : ndarray of shape ``(patient, second)``
        The heart rate in beats a minute; NaN where the monitor has none.
    """

    signals: NDArray[np.float32]
    rates: NDArray[np.float64]


def read_recordings() -> Recordings:
    """Return the published recordings of all patients, from the archive where it is here, else from tables.

    Raises
    ------
    ValueError
        If a file has another checksum, or a table lacks a column, rows, numbers or the heart rate; one line
        names the file and says what was expected.
    FileNotFoundError
        If the files are neither here nor can be downloaded; says where they were looked for.
    """
    files = FILES["bidmc"]
    archive = find(files["archive"])
    if archive is None:
        return _recordings("Signals", lambda name: fetch(files[name], files["archive"]).read_bytes())
    return _recordings("PLETH_II", _unpacked(archive).__getitem__, f" in {archive}")


def _recordings(signals: str, content: Callable[[str], bytes], where: str = "") -> Recordings:
    """Return the recordings in the tables of all patients, those of waves called by the word `signals`."""
    waves = np.empty((PATIENTS, ROWS, len(CHANNELS)), np.float32)
    rates = np.empty((PATIENTS, SECONDS))
    for patient in range(PATIENTS):
        name = f"bidmc_{patient + 1:02d}"
        table, seconds = f"{name}_{signals}.csv", f"{name}_Numerics.csv"
        waves[patient] = read_table(table + where, content(table), CHANNELS, ROWS)
        rates[patient] = read_table(seconds + where, content(seconds), ("HR",), SECONDS, gaps=True)[:, 0]
    return Recordings(waves, rates)


def read_table(
    name: str, raw: bytes, columns: tuple[str, ...], rows: int, *, gaps: bool = False
) -> NDArray[np.float64]:
    r"""Return some columns of a comma-separated table, ``(row, column)``.

    Parameters
    ----------
    name : str
        What errors call the table.
    raw : bytes
        Its content. The first line has the names of the columns, in any order, with blanks before them.
    columns : tuple of str
        Which are wanted, and in which order they are returned.
    rows : int
        How many rows there must be.
    gaps : bool
        Whether numbers may be missing, as long as there are some.

    Raises
    ------
    ValueError
        If a column, rows or numbers are missing, or there are more: a column of that name twice, or rows with
        more numbers than columns; if a number is infinite or none.

    Examples
    --------
    >>> read_table("table.csv", b"Time, II, PLETH\n0, 0.5, 1\n1, 0.25, 2\n", ("PLETH", "II"), 2)
    array([[1.  , 0.5 ],
           [2.  , 0.25]])
    """
    first = text_of(raw, name).removeprefix("\ufeff").partition("\n")[0]
    has = [column.strip() for column in first.split(",")]
    for column in columns:
        if (count := has.count(column)) != 1:
            once = " once" if count else ""
            raise ValueError(
                f"{name} must have the column {column!r}{once}, got {checks.shown(', '.join(has))}"
            )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # of rows with more numbers than columns
            table = pd.read_csv(
                io.BytesIO(raw),
                skipinitialspace=True,
                index_col=False,
                dtype=dict.fromkeys(columns, "float64"),
            )
    except (ValueError, pd.errors.ParserWarning) as error:  # of pandas' own kinds
        raise ValueError(f"{name} must be a table of numbers, but {checks.first_line(error)}") from None
    if len(table) != rows:
        raise ValueError(f"{name} must have {rows} rows below its first line, got {len(table)}")
    values = table[list(columns)].to_numpy(np.float64)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise ValueError(f"{name} must have finite numbers, got {values[row, column]} in row {row + 1}")
    there = np.isfinite(values)
    if gaps and not there.any(0).all():
        raise ValueError(f"{name} must have a number of {columns[0]} in some row, got none")
    if not gaps and not there.all():
        row, column = np.argwhere(~there)[0]
        raise ValueError(
            f"{name} must have finite numbers in every row, got {values[row, column]} as {columns[column]} "
            f"in row {row + 1}"
        )
    return values


def _unpacked(archive: Path) -> dict[str, bytes]:
    """Return the tables of all patients in an archive, by their names.

    Raises
    ------
    ValueError
        If it is no archive, or the table of a patient is missing or in it twice.
    """
    content: dict[str, bytes] = {}
    with opened_tar(archive) as members:
        for member in filter(tarfile.TarInfo.isfile, members):
            name = PurePosixPath(member.name).name
            if name in content:
                raise ValueError(f"{archive} must have {name} once, got it twice")
            content[name] = member_of(members, member)
    for patient in range(PATIENTS):
        for table in ("PLETH_II", "Numerics"):
            name = f"bidmc_{patient + 1:02d}_{table}.csv"
            if name not in content:
                raise ValueError(f"{archive} must have {name}, as of each of {PATIENTS} patients, got none")
    return content
