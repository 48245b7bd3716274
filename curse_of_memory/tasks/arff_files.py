"""The format ``.arff`` of the archives of time series (UEA, UCR), read as arrays by scipy."""

import re
from pathlib import Path

import numpy as np
from scipy.io import arff

from curse_of_memory.tasks.ts_files import SeriesFile
from curse_of_memory.tools import checks

__all__ = ["read_arff"]

QUOTED = re.compile(r"'[^']*'|\"[^\"]*\"")  # a class with commas in it


def read_arff(path: str | Path) -> SeriesFile:
    """Return the time series of an ``.arff`` file, which :func:`scipy.io.arff.loadarff` reads.

    Its last attribute is the class, or a number to be predicted. Before it stands one relational attribute,
    with a line for each channel and a column for each step; or, of one channel, an attribute for each step.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        If header and data do not fit, a number is infinite, or a series has no class or target.
    OSError
        If there is no such file.
    """
    path = Path(path)
    try:
        with path.open(encoding="utf-8") as lines:
            rows, meta = arff.loadarff(lines)
    except Exception as error:  # of what does not fit, scipy raises whatever comes
        if isinstance(error, OSError) and not isinstance(error, arff.ArffError):
            raise
        reason = checks.first_line(error)
        raise ValueError(f"{path}: expected a header and data that fit it, got {reason}") from None
    *names, last = meta.names()
    nested = meta.types()[:-1] == ["relational"]
    if not len(rows) or not names or (not nested and set(meta.types()[:-1]) != {"numeric"}):
        raise ValueError(f"{path}: expected series in one relational or in numeric attributes, then a class")
    _check_lines(path, nested, len(rows[0][0].dtype.names) if nested else len(names))
    if nested:
        series = [np.array(row[names[0]].tolist(), dtype=float).T for row in rows]
    else:
        series = [np.array([row[name] for name in names], dtype=float)[:, None] for row in rows]
    if len(channels := {one.shape[1] for one in series}) > 1:
        raise ValueError(f"{path}: expected as many channels in every series, got {sorted(channels)}")
    if infinite := [number for number, one in enumerate(series, 1) if np.isinf(one).any()]:
        raise ValueError(f"{path}: expected finite numbers or ?, got an infinite one in series {infinite[0]}")
    if meta[last][0] == "nominal":
        labels, classes = np.char.decode(rows[last]), tuple(meta[last][1])
        if len(strange := np.setdiff1d(labels, classes)):  # scipy lets ? pass
            raise ValueError(f"{path}: expected a class of every series, got {str(strange[0])!r}")
        return SeriesFile(series, labels, classes)
    targets = rows[last].astype(float)
    if not np.isfinite(targets).all():
        raise ValueError(f"{path}: expected a number as target of every series, got ? or an infinite one")
    return SeriesFile(series, targets, ())


def _check_lines(path: Path, nested: bool, steps: int) -> None:
    """Refuse what scipy reads all the same: more values than there are steps, and numbers such as 1_0."""
    with path.open(encoding="utf-8") as lines:
        in_data = False
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if in_data and line and line[0] != "%":
                channels = _channels(line) if nested else [QUOTED.sub("", line).rpartition(",")[0]]
                counts = {channel.count(",") + 1 for channel in channels}
                if counts != {steps}:
                    raise ValueError(
                        f"{path}, line {number}: expected {steps} values in each channel, "
                        f"got {sorted(counts)}"
                    )
                if any("_" in channel for channel in channels):
                    raise ValueError(f"{path}, line {number}: expected numbers, got one with a _")
            in_data = in_data or line.lower() == "@data"


def _channels(line: str) -> list[str]:
    """Return the values of each channel of a series, which is quoted."""
    return line[1 : line.find(line[0], 1)].split("\\n")
