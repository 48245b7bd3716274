"""Gradient over weight through training, max |∂L/∂w|/|w|: means over a training, and curves with ranges."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from curse_of_memory.papers.stable_ssm._maps import label_of
from curse_of_memory.report import plotting
from curse_of_memory.report.long_table import rows as rows_of

__all__ = ["draw_ratios", "typical_ratio", "typical_ratios"]

DASHES = ("-", "--", "-.", ":", "-")


def typical_ratios(table: pd.DataFrame) -> pd.DataFrame:
    """Return the geometric mean over each training of max |∂L/∂w|/|w|, ``(seed, parameterization)``.

    Parameters
    ----------
    table : pandas.DataFrame
        Rows of the panel *training* have ``parameterization, seed, step, ratio``; at one learning rate. A
        ratio of zero has no logarithm, and is left out.
    """
    seen = _seen(table)
    logs = np.log(seen.ratio).groupby([seen.seed, seen.parameterization], sort=False)
    return np.exp(logs.mean()).unstack()


def typical_ratio(by_seed: pd.Series) -> float:
    """Return the geometric mean over the seeds of one column of :func:`typical_ratios`."""
    return float(np.exp(np.log(by_seed).mean()))


def draw_ratios(axis: Axes, table: pd.DataFrame, looks: Mapping[str, plotting.Look]) -> dict[str, str]:
    """Draw geometric mean and range over the seeds of max |∂L/∂w|/|w| at each step, a curve a map.

    Parameters
    ----------
    axis : Axes
        Where.
    table : pandas.DataFrame
        As for :func:`typical_ratios`.
    looks : mapping of str to Look
        Of the curves, by map, in order.

    Returns
    -------
    dict of str to str
        The line style of each map.
    """
    styles: dict[str, str] = dict(zip(looks, DASHES, strict=False))
    for name, (color, mark) in looks.items():
        rows = _seen(rows_of(table, parameterization=name))
        logs = np.log(rows.ratio).groupby(rows.step)
        mean, low, high = (np.exp(log) for log in (logs.mean(), logs.min(), logs.max()))
        line = {"ls": styles.setdefault(name, "-"), "color": color, "mfc": "none", "ms": 4, "lw": 1.4}
        axis.plot(mean.index, mean, mark, **line, label=label_of(name))
        axis.fill_between(mean.index, low, high, color=color, alpha=0.15, lw=0)
    axis.set(
        yscale="log",
        xlabel="training step",
        ylabel=r"$\max_j\,|\partial L/\partial w_j|\,/\,|w_j|$",
    )
    return styles


def _seen(table: pd.DataFrame) -> pd.DataFrame:
    return table.loc[(table.panel == "training") & (table.ratio > 0)]
