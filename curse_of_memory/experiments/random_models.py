"""The memories of random stacks: measured, compared with the rate of the linearised stack, and drawn."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from pandas.api.typing import DataFrameGroupBy
from torch import nn

from curse_of_memory.experiments.random_stacks import STACKS, fitted_slope, spread
from curse_of_memory.measure import linearised_rate
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import Findings, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tools import checks

__all__ = ["COLUMNS", "agreement", "draw_memories", "findings_of", "stack_memories"]

SHOWN = 400  # lags of a curve that the table keeps
NUMBERS = ["lag", "low", "median", "high", "seed", "rate", "early", "predicted", "r2"]
COLUMNS = ["panel", "model", "layers", "probe", *NUMBERS]


def stack_memories(
    model: str,
    layers: int,
    measure: Callable[[nn.Module], xr.DataArray],
    inputs: Sequence[float],
    *,
    width: int,
    seeds: int,
    seed: int,
    early: int,
) -> pd.DataFrame:
    """Return the memories and the rates of untrained stacks of one kind and depth, one stack a seed.

    Parameters
    ----------
    model : str
        Kind of the layers, of :data:`~curse_of_memory.experiments.random_stacks.STACKS`.
    layers : int
        Depth.
    measure : callable
        Returns the memory of a stack over ``lag``, with its ``noise_floor``.
    inputs : sequence of float
        Constant inputs under which the stacks settle; the predicted rate is the smallest over these.
    width : int
        States or channels of a layer.
    seeds, seed : int
        How many stacks, and the seed of the first.
    early : int
        Steps that the rate ``early`` is fitted to.

    Returns
    -------
    pandas.DataFrame
        Columns ``panel, lag, low, median, high, seed, rate, early, predicted, r2``: quantiles over the stacks
        in the panel *memory*, one row a stack in the panel *rate*.
    """
    build = STACKS[checks.one_of("models", model, STACKS)]
    checks.positive_int("layers", layers)
    checks.positive_int("seeds", seeds)
    checks.positive_int("early", early)
    curves, rates = [], []
    for number in range(seed, seed + seeds):
        stack = build(width, layers, number)
        predicted = linearised_rate(stack, inputs)
        curve = measure(stack)
        slope, at_first = fitted_slope(curve), fitted_slope(curve.isel(lag=slice(early)))
        curves.append(curve)
        rates.append(
            {
                "seed": number,
                "rate": slope.rate,
                "early": at_first.rate,
                "predicted": predicted,
                "r2": slope.r2,
            }
        )
    lags = curves[0].lag.values
    shown = np.unique(np.linspace(0, lags.size - 1, SHOWN).astype(int))
    memory = pd.DataFrame({"lag": lags} | spread(curves)).iloc[shown].assign(panel="memory")
    panels = [memory, pd.DataFrame(rates).assign(panel="rate")]
    numbers = dict.fromkeys(NUMBERS, float)  # of one type in every panel, empty or not
    return pd.concat(
        [panel.reindex(columns=["panel", *NUMBERS]).astype(numbers) for panel in panels], ignore_index=True
    )


def _by_stack(table: pd.DataFrame) -> DataFrameGroupBy:
    """Return the rows of the panel *rate*, grouped by probe, kind and depth, with ``ratio`` and ``early``."""
    rates = rows(table, panel="rate")
    rates = rates.assign(ratio=rates.rate / rates.predicted, early=rates.early / rates.predicted)
    return rates.groupby(["probe", "model", "layers"], sort=False)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the models of each probe, kind and depth: how well fit and theory agree.

    Parameters
    ----------
    table : pandas.DataFrame
        Tables of :func:`stack_memories`, with ``model, layers, probe``.

    Returns
    -------
    pandas.DataFrame
        Columns ``rate`` (fitted), ``predicted``, ``ratio`` of the two and its quantiles ``low`` and ``high``
        (10 and 90 %), ``early``, the ratio within the first steps, and ``r2`` of the line.
    """
    models = _by_stack(table)
    medians = models[["rate", "predicted", "ratio", "early", "r2"]].median()
    return medians.assign(low=models.ratio.quantile(0.1), high=models.ratio.quantile(0.9))


def findings_of(
    table: pd.DataFrame, message: str, stacks: Iterable[tuple], labels: Mapping[str, str]
) -> Findings:
    """Return findings whose headline is of medians over the models that have a rate, with their spread.

    Parameters
    ----------
    table : pandas.DataFrame
        As for :func:`agreement`.
    message : str
        What the picture shows.
    stacks : iterable of tuple
        Probe, kind and depth of the stacks in the headline.
    labels : mapping of str to str
        By column of :func:`agreement`, labels with ``{0}, {1}, {2}`` for probe, kind and depth.
    """
    models = _by_stack(table)
    numbers = {
        label.format(*stack): models.get_group(stack).loc[:, column].dropna()
        for stack, (column, label) in product(stacks, labels.items())
    }
    headline = {label: float(each.median()) for label, each in numbers.items()}
    return Findings(table, message, headline, spread=spreads(numbers))


def draw_memories(table: pd.DataFrame, quantity: str, fitted: str, theory: str, early: int | None) -> Figure:
    """Draw a panel of memories for each kind, and one of fitted rates against those of the theory.

    Parameters
    ----------
    table : pandas.DataFrame
        As for :func:`agreement`.
    quantity, fitted, theory : str
        What axes say: the memory, the fitted rate, and the predicted one, whose symbol is its last word.
    early : int or None
        A number of steps to mark.
    """
    kinds = list(table.model.unique())
    columns = min(3, len(kinds) + 1)
    lines = math.ceil((len(kinds) + 1) / columns)
    layers = sorted(table.layers.unique())
    with plotting.style():
        figure, axes = plt.subplots(
            lines, columns, squeeze=False, figsize=(4.2 * columns, 3.3 * lines + 0.5), layout="constrained"
        )
        looks = plotting.looks(layers)
        for axis, kind in zip(axes.flat, kinds, strict=False):
            _draw_curves(axis, rows(table, model=kind), looks)
            axis.set(yscale="log", xlabel="lag $t$ (steps)", ylabel=quantity, title=kind)
            if early is not None and early < table.lag[table.model == kind].max():
                axis.axvline(early, color=plotting.INK, ls=":", lw=1)
        _draw_rates(axes.flat[len(kinds)], table, looks)
        axes.flat[len(kinds)].set(xlabel=f"{theory} of the linearised model (1/step)", ylabel=fitted)
        axes.flat[len(kinds)].set_title("Theory (line) and measurement")
        entries = _entries(table, looks, theory, early)
        free = list(axes.flat[len(kinds) + 1 :])
        for axis in free:
            axis.axis("off")
        if free:
            free[0].legend(handles=entries, loc="center")
        else:
            figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _draw_curves(axis: Axes, table: pd.DataFrame, looks: Mapping[int, plotting.Look]) -> None:
    """Draw one kind: bands of the first probe, marks of the second, and e^{−βt} with the median β."""
    probes = list(table.probe.unique())
    rates = agreement(table)
    memories = rows(table, panel="memory").sort_values(["layers", "probe"], kind="stable")
    for (depth, probe), curve in groups(memories, ["layers", "probe"]).items():
        color, mark = looks[depth]
        if probe != probes[0]:
            some = curve.dropna(subset=["median"]).iloc[5 :: max(1, len(curve) // 12)]
            axis.plot(some.lag, some["median"], mark, color=color, ms=4, mfc="none")
            continue
        heard = curve.loc[curve["median"] > 0]
        axis.plot(heard.lag, heard["median"], color=color)
        axis.fill_between(
            heard.lag, heard.low.fillna(heard["median"].min()), heard.high, color=color, alpha=0.15, lw=0
        )
        # from three fifths of the way on, a little above the curve
        tail = heard.iloc[int(0.6 * len(heard)) :]
        beta = rates.predicted[(probe, table.model.iloc[0], depth)]
        if not tail.empty:
            line = 3 * tail["median"].iloc[0] * np.exp(-beta * (tail.lag - tail.lag.iloc[0]))
            axis.plot(tail.lag, line, "--", color=color, lw=1.2)


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: Mapping[int, plotting.Look]) -> None:
    rates = rows(table, panel="rate", probe=table.probe.iloc[0]).dropna(subset=["rate"])
    for depth, some in groups(rates.sort_values("layers", kind="stable"), "layers").items():
        color, mark = looks[depth]
        axis.plot(some.predicted, some.rate, mark, color=color, ms=4, alpha=0.6)
    ends = np.array([rates.predicted.min() / 1.3, rates.predicted.max() * 1.3])
    axis.plot(ends, ends, "--", color=plotting.INK, lw=1.2)
    axis.set(xscale="log", yscale="log")


def _entries(
    table: pd.DataFrame, looks: Mapping[int, plotting.Look], theory: str, early: int | None
) -> list[Line2D]:
    entries = [
        plotting.entry(f"{depth} layer{'s' if depth > 1 else ''}", color, marker=mark, ms=5)
        for depth, (color, mark) in looks.items()
    ]
    symbol = theory.split()[-1]
    entries.append(plotting.entry(f"theory, rate {symbol}", ls="--", lw=1.2))
    if table.probe.nunique() > 1:
        entries.append(plotting.entry("impulse (line: step)", marker="o", ls="", mfc="none", ms=4))
    if early is not None:
        entries.append(plotting.entry(f"the paper's {early} steps", ls=":", lw=1))
    return entries
