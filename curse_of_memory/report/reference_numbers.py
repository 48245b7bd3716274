"""Tables of the numbers that the papers printed or logged."""

from importlib.resources import files

import pandas as pd

from curse_of_memory.tools import checks

__all__ = ["reference"]


def reference(name: str) -> pd.DataFrame:
    """Return a table of numbers that a paper printed, ``<paper>/<table>``.

    Its file is ``papers/<paper>/reference/<table>.csv``; the README beside it says where it is from.

    Raises
    ------
    TypeError, ValueError
        If there is no such table; names them all, and the nearest.

    Examples
    --------
    >>> reference("interest/head_tail").ratio.tolist()
    [749.59, 254.68, 153.52, 36.27]
    """
    tables = {
        f"{paper.name}/{table.name.removesuffix('.csv')}": table
        for paper in sorted(files("curse_of_memory.papers").iterdir(), key=lambda folder: folder.name)
        if (folder := paper / "reference").is_dir()
        for table in sorted(folder.iterdir(), key=lambda file: file.name)
        if table.name.endswith(".csv")
    }
    with tables[checks.one_of("name", name, tables)].open() as stream:
        return pd.read_csv(stream)
