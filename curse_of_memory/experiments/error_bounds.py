"""Measured perturbation errors and their certified bounds: whether they agree, and both in one picture."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from curse_of_memory.report import plotting
from curse_of_memory.report.long_table import rows

__all__ = ["panels_by_map", "within_bounds"]

Panel = Callable[[Axes, str, pd.DataFrame, Mapping[int, plotting.Look]], None]

ROUNDING = 1e-9  # far above the rounding of a sum over 4000 lags


def within_bounds(trained: pd.DataFrame) -> pd.Series:
    """Return for each row whether lower <= worst <= upper and random <= upper, up to rounding.

    Parameters
    ----------
    trained : pandas.DataFrame
        Columns ``lower, upper, random, worst``.
    """
    slack = 1 + ROUNDING
    return (
        (trained.lower <= trained.worst * slack)
        & (trained.worst <= trained.upper * slack)
        & (trained.random <= trained.upper * slack)
    )


def panels_by_map(table: pd.DataFrame, panel: Panel, entries: Sequence[Line2D], *, height: float) -> Figure:
    """Return a picture of errors against the radius, a panel for each parameterisation, widths by colour.

    Parameters
    ----------
    table : pandas.DataFrame
        Columns ``parameterization, m`` and those that `panel` draws.
    panel : callable
        Draws one panel: its axes, the name of the map, the rows of it, and the looks of the widths.
    entries : sequence of Line2D
        What the legend says beside the widths, made in the style of the figures.
    height : float
        Of the figure, in inches.
    """
    names = list(dict.fromkeys(table.parameterization))
    looks = plotting.looks(sorted(set(table.m)))
    with plotting.style():
        figure, axes = plotting.canvas(len(names), width=3.3 * len(names), height=height, sharey=True)
        for axis, name in zip(axes, names, strict=True):
            panel(axis, name, rows(table, parameterization=name), looks)
        axes[0].set_ylabel(r"$E_m(\beta)$ over diagonal $\Delta W$ (root mean square)")
        for m, (color, mark) in looks.items():
            axes[0].add_line(plotting.entry(f"$m={m}$", color, marker=mark))
        for entry in entries:
            axes[0].add_line(entry)
        plotting.joined_legend(figure, [axes[0]], ncols=5)
    return figure
