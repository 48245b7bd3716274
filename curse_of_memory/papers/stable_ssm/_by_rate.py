"""Losses by learning rate and reparameterisation, in a printed table and in a picture."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.stable_ssm._maps import GROWING, label_of
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData
from curse_of_memory.report.long_table import rows

__all__ = ["KINDS", "by_rate_plot", "loss_cells", "rate_text", "sound"]

KINDS = (GROWING, "direct", "softplus", "exp", "best")
SPREAD = 0.06  # decades between the marks of two kinds at one learning rate


def loss_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table of losses as a paper prints it: mean and standard deviation over the seeds.

    Parameters
    ----------
    table : pandas.DataFrame
        One run per row: ``kind, learning_rate, seed, loss``, the loss NaN where the run diverged.

    Returns
    -------
    pandas.DataFrame
        Texts, one row per learning rate and one column per kind; where runs diverged a cell says how many.
    """

    def cell(losses: pd.Series) -> str:
        gone = int(losses.isna().sum())
        if gone:
            return f"diverged ({gone} of {len(losses)})"
        return f"{losses.mean():.3g}" + (f" ({losses.std():.1g})" if len(losses) > 1 else "")

    cells = table.groupby(["learning_rate", "kind"], sort=False).loss.apply(cell).unstack(sort=False)
    cells.index = pd.Index([f"{rate:g}" for rate in cells.index], name="learning rate")
    cells.columns.name = None
    return cells


def sound(table: pd.DataFrame, level: float) -> pd.Series:
    """Return by kind the largest learning rate at which all its runs end below `level`, NaN if there is none.

    Parameters
    ----------
    table : pandas.DataFrame
        As for :func:`loss_cells`.
    level : float
        A loss.
    """
    worst = table.groupby(["kind", "learning_rate"], sort=False).loss.apply(lambda v: v.max(skipna=False))
    below = worst[worst < level].reset_index()
    largest = {kind: below.learning_rate[below.kind == kind].max() for kind in table.kind.unique()}
    return pd.Series(largest, dtype=float).rename_axis("kind")


def rate_text(rate: float) -> str:
    """Return a learning rate as text, "none" for NaN."""
    return "none" if math.isnan(rate) else f"{rate:g}"


def by_rate_plot(
    data: FigureData, *, label: str, level: float, level_label: str, quoted: pd.DataFrame | None = None
) -> Figure:
    """Draw the loss of every run against its learning rate, with lines through the means.

    Parameters
    ----------
    data : FigureData
        Of a figure with a table as for :func:`loss_cells`.
    label : str
        What the axis of the loss says.
    level, level_label : float, str
        A loss to compare with, such as that of guessing, and its name in the legend.
    quoted : pandas.DataFrame, optional
        The paper's losses, ``learning_rate, parameterization, loss``, drawn in grey.
    """
    table = data.table
    looks = plotting.looks(dict.fromkeys(table.kind))
    seen = [level, *table.loss[np.isfinite(table.loss)]]
    top = max(seen) * max(1.1, (max(seen) / min(seen)) ** 0.15)  # above every run
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=8.2, height=4.2)
        if quoted is not None:
            for _, curve in quoted.groupby("parameterization", sort=False):
                axis.plot(curve.learning_rate, curve.loss, "-", color="0.75", lw=1, zorder=1)
            axis.add_line(plotting.entry("paper", "0.75", lw=1))
        axis.axhline(level, color=plotting.INK, lw=0.8, ls=":", label=level_label)
        for place, (kind, (color, mark)) in enumerate(looks.items()):
            shift = 10 ** (SPREAD * (place - (len(looks) - 1) / 2))
            runs = rows(table, kind=kind)
            mean = runs.groupby("learning_rate").loss.apply(lambda v: v.mean(skipna=False))
            axis.plot(mean.index * shift, mean, color=color, lw=1.4)
            axis.plot(runs.learning_rate * shift, runs.loss, mark, color=color, mfc="none", ms=6)
            gone = runs.loc[runs.loss.isna()]
            axis.plot(gone.learning_rate * shift, [top] * len(gone), "x", color=color, ms=7, mew=2)
            axis.add_line(plotting.entry(label_of(kind), color, marker=mark, mfc="none"))
        axis.add_line(plotting.entry("diverged", marker="x", mew=2, ls=""))
        axis.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=label)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
