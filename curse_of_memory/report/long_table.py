"""Tables in long form, one row a point: curves written into them, and read back from them."""

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

__all__ = ["curve", "groups", "rows"]


def curve(x: ArrayLike, y: ArrayLike, **columns: float | str) -> pd.DataFrame:
    """Return a curve as a table: the same `columns` in every row, then ``x`` and ``y``.

    Parameters
    ----------
    x, y : array, shape (n,)
        The points.
    columns
        What the curve is, by column.

    Examples
    --------
    >>> curve([0, 1], [1.0, 0.5], panel="memory", kind="exact")
        panel   kind  x    y
    0  memory  exact  0  1.0
    1  memory  exact  1  0.5
    """
    return pd.DataFrame(columns | {"x": np.asarray(x), "y": np.asarray(y)})


def rows(table: pd.DataFrame, **values: object) -> pd.DataFrame:
    """Return those rows of a table that have the given values in the columns of these names.

    Parameters
    ----------
    table : pandas.DataFrame
    values
        By column.

    Examples
    --------
    >>> table = pd.concat([curve([0], [1.0], kind="exact"), curve([0], [1.1], kind="measured")])
    >>> rows(table, kind="measured").y.tolist()
    [1.1]
    """
    chosen = np.full(len(table), True)
    for column, value in values.items():
        chosen &= (table[column] == value).to_numpy()
    return table.loc[chosen]


def groups(table: pd.DataFrame, by: str | Sequence[str]) -> dict[Any, pd.DataFrame]:
    """Return the rows of each value of a column, in the order in which the values first stand.

    Parameters
    ----------
    table : pandas.DataFrame
    by : str or sequence of str
        The column; of several columns the keys are tuples.

    Examples
    --------
    >>> table = pd.DataFrame({"model": ["SSM", "RNN", "SSM"], "loss": [1.0, 2.0, 3.0]})
    >>> {name: rows.loss.tolist() for name, rows in groups(table, "model").items()}
    {'SSM': [1.0, 3.0], 'RNN': [2.0]}
    """
    keys = by if isinstance(by, str) else list(by)
    return cast(dict[Any, pd.DataFrame], dict(iter(table.groupby(keys, sort=False))))
