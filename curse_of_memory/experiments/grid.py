"""Grids of settings: every combination is one run, all runs become one long table.

Where the runs take place is said around the call, as for :func:`curse_of_memory.training.run_all`: one after
the other as it stands, in processes with ``joblib.parallel_config(n_jobs=4)``, on a Dask cluster with
``joblib.parallel_config(backend="dask")``. The table is the same everywhere, its rows in the order of the
settings whichever run ends first.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from curse_of_memory.tools import checks
from curse_of_memory.training import run_all

__all__ = ["product_of", "run_grid"]

Result = Mapping[str, object] | pd.DataFrame


def product_of(**axes: Iterable) -> list[dict[str, Any]]:
    """Return every combination of the values of named settings, the last name varying fastest.

    Parameters
    ----------
    **axes : iterable
        The values of each setting, at least one; seeds are one of them.

    Raises
    ------
    TypeError, ValueError
        For a setting whose values are a text, no list, or none at all.

    Examples
    --------
    >>> product_of(learning_rate=[0.1], seed=range(2))
    [{'learning_rate': 0.1, 'seed': 0}, {'learning_rate': 0.1, 'seed': 1}]
    """
    values = {}
    for name, axis in axes.items():
        if isinstance(axis, str) or not isinstance(axis, Iterable) or getattr(axis, "ndim", 1) != 1:
            raise TypeError(f"{name} must be a list of values, got {checks.shown(axis)}")
        values[name] = list(axis)
        if not values[name]:
            raise ValueError(f"{name} must have at least one value, got none")
    return [
        dict(zip(values, combination, strict=True)) for combination in itertools.product(*values.values())
    ]


def run_grid(
    function: Callable[..., Result],
    settings: Sequence[Mapping[str, Any]],
    common: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    """Return the table of all runs ``function(**setting, **common)``: settings first, then their results.

    Parameters
    ----------
    function : callable
        One run. It returns one row, as a mapping from columns to values, or several, as a table. It must
        depend on its arguments alone: seeds are among the settings.
    settings : sequence of mapping
        What tells the runs apart, by name, as :func:`product_of` lists it. All have the same names, which
        become columns.
    common : mapping, optional
        Further arguments, the same for every run; no columns. Other processes get a copy of them with each
        run: what is large is better loaded by the run itself.

    Returns
    -------
    pandas.DataFrame
        Rows in the order of the settings.

    Raises
    ------
    TypeError, ValueError
        For settings or arguments that are no mappings, an iterator in `common`, which one run would empty for
        the others, settings that have other names than the first, names that are also in `common` or in the
        results, or a run that returns neither a mapping nor a table; names the run.
    Exception
        What a run raises comes through; a note at its end says with which settings.

    Examples
    --------
    >>> def power(base, exponent):
    ...     return {"power": base**exponent}
    >>> run_grid(power, product_of(base=[2, 3]), common={"exponent": 2})
       base  power
    0     2      4
    1     3      9
    """
    if isinstance(settings, str | Mapping) or not isinstance(settings, Iterable):
        raise TypeError(f"settings must be a list of mappings, got {checks.shown(settings)}")
    settings = [_named("settings", setting) for setting in settings]
    common = _named("common", {} if common is None else common)
    for name, value in common.items():
        if isinstance(value, Iterator):  # the first run would leave nothing to the others
            raise TypeError(f"common must hold what every run can read, got an iterator as {name!r}")
    if not settings:
        raise ValueError("settings must have at least one run, got none")
    for setting in settings:
        if list(setting) != list(settings[0]):
            raise ValueError(f"settings must all be of {list(settings[0])}, got {list(setting)}")
    if both := sorted(settings[0].keys() & common.keys()):
        raise ValueError(f"common must not name what the settings name, got {both}")
    results = run_all(function, [setting | common for setting in settings])
    for setting, result in zip(settings, results, strict=True):
        if not isinstance(result, Mapping | pd.DataFrame):
            what = type(result).__name__
            raise TypeError(f"function must return a mapping or a table, got {what} from {setting}")
        if both := [name for name in result if name in setting]:
            raise ValueError(f"results must not be named as settings are, got {both} from {setting}")
    if all(isinstance(result, Mapping) for result in results):
        return pd.DataFrame(
            [setting | dict(result) for setting, result in zip(settings, results, strict=True)]
        )
    tables = [
        pd.DataFrame({name: [value] * len(rows) for name, value in setting.items()}, rows.index).join(rows)
        for setting, rows in zip(settings, map(_table, results), strict=True)
    ]
    return pd.concat(tables, ignore_index=True)


def _named(what: str, arguments: object) -> dict[str, Any]:
    """Return arguments by name as a dict of their own, refused if they are none."""
    if not isinstance(arguments, Mapping) or not all(isinstance(name, str) for name in arguments):
        raise TypeError(f"{what} must be mappings from names to values, got {checks.shown(arguments)}")
    return dict(arguments)


def _table(result: Result) -> pd.DataFrame:
    return result.reset_index(drop=True) if isinstance(result, pd.DataFrame) else pd.DataFrame([dict(result)])
