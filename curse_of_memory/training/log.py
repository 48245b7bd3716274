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
    checkpoint : path, optional
        Of the run; another file.

    Raises
    ------
    TypeError
        If it is no path.
    ValueError
        If something else is there, which is not a log, or it is to be the checkpoint, too.

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

    def __init__(self, path: str | Path | None, checkpoint: str | Path | None = None):
        if path is not None and not isinstance(path, str | os.PathLike):
            raise TypeError(f"log must be a path, got {type(path).__name__}")
        self._path = None if path is None else Path(path).expanduser()
        self._columns: list[str] = []
        self._written = 0
        if self._path is None:
            return
        if isinstance(checkpoint, str | os.PathLike):
            other = Path(checkpoint).expanduser()
            if os.path.realpath(other) == os.path.realpath(self._path):
                raise ValueError(f"log must be another file than checkpoint, got {self._path} for both")
        if self._path.exists():
            self._demand_log(self._path)

    @staticmethod
    def _demand_log(path: Path) -> None:
        """Refuse what is there already, unless it is a log, or the start of one that a kill cut short."""
        if not path.is_file():
            raise ValueError(f"log {path} is a folder or a device, not a file")
        with path.open("rb") as file:
            start = file.read(len(FIRST) + 1)
        if not f"{FIRST},".encode().startswith(start):
            raise ValueError(f"log {path} is another file, which would be lost")

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
