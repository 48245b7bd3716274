"""Losses by learning rate and reparameterisation: the table and the picture that StableSSM's sweeps share."""

import math

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.stable_ssm._maps import GROWING, label_of
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData

__all__ = ["KINDS", "by_rate_plot", "loss_cells", "rate_text", "sound"]

KINDS = (GROWING, "direct", "softplus", "exp", "best")
SPREAD = 0.06  # decades between the marks of two kinds at one learning rate


def loss_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard deviation over the seeds as a paper prints them.

    Parameters
    ----------
    table : DataFrame
        One run per row: ``kind, learning_rate, seed, loss``, the loss NaN where the run diverged.

    Returns
    -------
    DataFrame
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
    """Return the largest learning rate at which every run of a kind ends below `level`, NaN for none.

    Parameters
    ----------
    table : DataFrame
        As for :func:`loss_cells`.
    level : float
        A loss.
    """
    worst = table.groupby(["kind", "learning_rate"], sort=False).loss.apply(lambda v: v.max(skipna=False))
    rates = worst.index.get_level_values("learning_rate")
    return pd.Series(np.where(worst < level, rates, np.nan), worst.index).groupby(level=0, sort=False).max()


def rate_text(rate: float) -> str:
    """Return a learning rate in words: ``none`` for NaN."""
    return "none" if math.isnan(rate) else f"{rate:g}"


def by_rate_plot(
    data: FigureData, *, label: str, level: float, level_label: str, quoted: pd.DataFrame | None = None
) -> Figure:
    """Draw the loss of every run against its learning rate, with lines through the means.

    Parameters
    ----------
    data : FigureData
        With a table as for :func:`loss_cells`.
    label : str
        Of the axis of the loss.
    level, level_label : float, str
        A loss to hold against, such as that of guessing, and what it is called.
    quoted : DataFrame, optional
        The paper's losses, ``learning_rate, parameterization, loss``, drawn in grey.
    """
    table = data.table
    kinds = list(dict.fromkeys(table.kind))
    seen = [level, *table.loss[np.isfinite(table.loss)]]
    top = max(seen) * max(1.1, (max(seen) / min(seen)) ** 0.15)  # above every run
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=8.2, height=4.2)
        if quoted is not None:
            for _, curve in quoted.groupby("parameterization", sort=False):
                axis.plot(curve.learning_rate, curve.loss, "-", color="0.75", lw=1, zorder=1)
            axis.plot([], [], "-", color="0.75", lw=1, label="paper")
        axis.axhline(level, color=plotting.INK, lw=0.8, ls=":", label=level_label)
        for place, (kind, (color, mark)) in enumerate(zip(kinds, plotting.distinct(len(kinds)), strict=True)):
            shift = 10 ** (SPREAD * (place - (len(kinds) - 1) / 2))
            runs = table[table.kind == kind]
            mean = runs.groupby("learning_rate").loss.apply(lambda v: v.mean(skipna=False))
            axis.plot(mean.index * shift, mean, color=color, lw=1.4)
            axis.plot(runs.learning_rate * shift, runs.loss, mark, color=color, mfc="none", ms=6)
            gone = runs[runs.loss.isna()]
            axis.plot(gone.learning_rate * shift, [top] * len(gone), "x", color=color, ms=7, mew=2)
            axis.plot([], [], mark + "-", color=color, mfc="none", label=label_of(kind))
        axis.plot([], [], "x", color=plotting.INK, mew=2, ls="", label="diverged")
        axis.set(xscale="log", yscale="log", xlabel="learning rate", ylabel=label)
        figure.legend(*axis.get_legend_handles_labels(), loc="outside right center", fontsize=9)
    return figure
