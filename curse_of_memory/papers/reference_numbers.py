"""The authors' own numbers, as tables."""

from importlib.resources import files

import pandas as pd

from curse_of_memory import checks

__all__ = ["reference"]


def reference(name: str) -> pd.DataFrame:
    """Return the table ``reference/<name>.csv`` of this package; its README says where it is from.

    Examples
    --------
    >>> reference("interest_head_tail").ratio.tolist()
    [749.59, 254.68, 153.52, 36.27]
    """
    folder = files("curse_of_memory.papers") / "reference"
    known = sorted(f.name.removesuffix(".csv") for f in folder.iterdir() if f.name.endswith(".csv"))
    checks.one_of("name", name, known)
    with (folder / f"{name}.csv").open() as stream:
        return pd.read_csv(stream)
