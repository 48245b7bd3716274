"""The log of a run: a CSV file with a line for each validation, written as it happens."""

import csv
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

__all__ = ["Log"]

FIRST = "step"  # with what a log of ours begins


class Log:
    """A CSV file of the rows of a history, which one can read while it grows; or none.

    A run that goes on from a checkpoint begins with the rows that this holds: those that a killed run had
    written after it are made anew, the others stay.

    Parameters
    ----------
    path : path or None
        None keeps no log. A ``~`` is the home of the user.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If another file is there, which is not a log.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.csv"
    >>> log = Log(path)
    >>> log.write([{"step": 0, "loss": 1.5}])
    >>> log.write([{"step": 0, "loss": 1.5}, {"step": 50, "loss": 0.25}])
    >>> path.read_text().split()
    ['step,loss', '0,1.5', '50,0.25']
    """

    def __init__(self, path: str | Path | None):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(f"log must be a path, got {type(path).__name__}")
        self._path = None if path is None else Path(path).expanduser()
        self._columns: list[str] = []
        self._written = 0
        if self._path is not None and self._path.exists():
            with self._path.open("rb") as file:
                start = file.read(len(FIRST) + 1)
            if start not in (b"", f"{FIRST},".encode()):
                raise ValueError(f"log {self._path} is another file, which would be lost")

    def write(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Bring the file to these `rows`: the new ones are added, where the others are there already."""
        if self._path is None:
            return
        columns = list(dict.fromkeys(name for row in rows for name in row))
        anew = columns != self._columns or len(rows) < self._written
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # the same file, in place of another of its name, so that whoever follows it sees what comes
            with self._path.open("w" if anew else "a", newline="", encoding="utf-8") as file:
                lines = csv.DictWriter(file, columns, lineterminator="\n")
                if anew:
                    self._columns, self._written = columns, 0
                    lines.writeheader()
                lines.writerows(rows[self._written :])
        except OSError as error:
            if error.errno is None:
                raise
            said = f"log cannot be written: {error.strerror}"
            raise OSError(error.errno, said, str(self._path)) from error
        self._written = len(rows)
