"""The format ``.arff`` of the archives of time series (UEA, UCR), read as arrays by scipy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.io import arff

from curse_of_memory.tasks.ts_files import SeriesFile
from curse_of_memory.tools import checks

__all__ = ["read_arff"]


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
        If header and data do not fit.
    OSError
        If there is no such file.
    """
    try:
        rows, meta = arff.loadarff(path)
    except OSError:
        raise
    except Exception as error:  # of what does not fit, scipy raises whatever comes
        reason = checks.first_line(error)
        raise ValueError(f"{path}: expected a header and data that fit it, got {reason}") from None
    *names, last = meta.names()
    nested = meta.types()[:-1] == ["relational"]
    if not len(rows) or not names or (not nested and set(meta.types()[:-1]) != {"numeric"}):
        raise ValueError(f"{path}: expected series in one relational or in numeric attributes, then a class")
    steps = len(rows[0][0].dtype.names) if nested else len(names)
    for number, pieces in _pieces(Path(path), nested):
        if set(pieces) != {steps}:
            raise ValueError(
                f"{path}, line {number}: expected {steps} values in each channel, got {sorted(set(pieces))}"
            )
    if nested:
        series = [np.array(row[names[0]].tolist(), dtype=float).T for row in rows]
    else:
        series = [np.array([row[name] for name in names], dtype=float)[:, None] for row in rows]
    if len(channels := {one.shape[1] for one in series}) > 1:
        raise ValueError(f"{path}: expected as many channels in every series, got {sorted(channels)}")
    labels = rows[last]
    if meta[last][0] == "nominal":
        return SeriesFile(series, np.char.decode(labels), tuple(meta[last][1]))
    return SeriesFile(series, labels.astype(float), ())


def _pieces(path: Path, nested: bool) -> Iterator[tuple[int, list[int]]]:
    """Yield the number of each line of data, and how many values its channels have: scipy takes too many."""
    with path.open() as lines:
        in_data = False
        for number, line in enumerate(lines, 1):
            line = line.strip()
            if in_data and line and line[0] != "%":
                channels = (
                    line[1 : line.rindex(line[0])].split("\\n") if nested else [line.rpartition(",")[0]]
                )
                yield number, [channel.count(",") + 1 for channel in channels]
            in_data = in_data or line.lower() == "@data"
