"""The memory of random stacks, measured and drawn, for IAT (2305.19190) and SSM universality (2309.13414)."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pandas.api.typing import DataFrameGroupBy
from torch import nn

from curse_of_memory.experiments.random_stacks import STACKS, fitted_slope, spread
from curse_of_memory.measure import linearised_rate
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import Findings, spreads
from curse_of_memory.tools import checks

__all__ = ["COLUMNS", "agreement", "draw_memories", "findings_of", "measured_memories"]

SHOWN = 400  # lags of a curve that the table keeps
COLUMNS = ["panel", "model", "layers", "probe", "lag", "low", "median", "high"]
COLUMNS += ["seed", "rate", "early", "predicted", "r2"]
# of one type in every part, empty or not
NUMBERS = dict.fromkeys(COLUMNS[4:], float)


def measured_memories(
    layers: Sequence[int],
    measure: Callable[[nn.Module], xr.DataArray],
    inputs: Sequence[float],
    probe: str,
    *,
    kind: str,
    width: int,
    repeats: int,
    seed: int,
    early: int,
) -> list[pd.DataFrame]:
    """Return the rows of both panels for one kind and one probe; it settles under constant `inputs`."""
    build = STACKS[checks.one_of("models", kind, STACKS)]
    checks.positive_int("repeats", repeats)
    checks.positive_int("early", early)
    parts = []
    for depth in layers:
        checks.positive_int("layers", depth)
        curves, rates = [], []
        for number in range(seed, seed + repeats):
            model = build(width, depth, number)
            predicted = linearised_rate(model, inputs)
            curves.append(measure(model))
            slope = fitted_slope(curves[-1])
            at_first = fitted_slope(curves[-1].isel(lag=slice(early)))
            row = {"seed": number, "rate": slope.rate, "early": at_first.rate, "r2": slope.r2}
            rates.append(row | {"predicted": predicted})
        known = {"model": kind, "layers": depth, "probe": probe}
        lags = curves[0].lag.values
        some = np.unique(np.linspace(0, lags.size - 1, SHOWN).astype(int))
        quantiles = {"lag": lags} | spread(curves)
        parts.append(pd.DataFrame(quantiles).iloc[some].assign(panel="memory", **known))
        parts.append(pd.DataFrame(rates).assign(panel="rate", **known))
    return [part.reindex(columns=COLUMNS).astype(NUMBERS) for part in parts]


def _by_stack(table: pd.DataFrame) -> DataFrameGroupBy:
    """Return one row a model, in groups of one probe, kind and depth: columns as :func:`agreement` says."""
    rates = table[table.panel == "rate"]
    rates = rates.assign(ratio=rates.rate / rates.predicted, early=rates.early / rates.predicted)
    return rates.groupby(["probe", "model", "layers"], sort=False)


def agreement(table: pd.DataFrame) -> pd.DataFrame:
    """Return medians over the models of each probe, kind and depth.

    Columns: the fitted and the predicted rate, `ratio` of the two and its quantiles `low` and `high` (10 and
    90 %), `early`, the ratio within the first steps, and `r2` of the line.
    """
    groups = _by_stack(table)
    found = groups[["rate", "predicted", "ratio", "early", "r2"]].median()
    return found.assign(low=groups.ratio.quantile(0.1), high=groups.ratio.quantile(0.9))


def findings_of(table: pd.DataFrame, message: str, stacks: Iterable[tuple], labels: Mapping) -> Findings:
    """Return findings with medians over the models that have a rate; `labels` are by column."""
    models = _by_stack(table)
    found = product(stacks, labels.items())
    rates = {label.format(*at): models.get_group(at)[column].dropna() for at, (column, label) in found}
    headline = {label: float(each.median()) for label, each in rates.items()}
    return Findings(table, message, headline, spread=spreads(rates))


def draw_memories(table: pd.DataFrame, quantity: str, fitted: str, theory: str, early: int | None) -> Figure:
    """Draw a panel of memories for each kind, and one of fitted rates against those of the theory."""
    kinds = list(table.model.unique())
    columns = min(3, len(kinds) + 1)
    rows = math.ceil((len(kinds) + 1) / columns)
    layers = sorted(table.layers.unique())
    with plotting.style():
        size = {"figsize": (4.2 * columns, 3.3 * rows + 0.5), "layout": "constrained"}
        figure, axes = plt.subplots(rows, columns, squeeze=False, **size)
        looks = dict(zip(layers, plotting.distinct(len(layers)), strict=True))
        for axis, kind in zip(axes.flat, kinds, strict=False):
            _draw_curves(axis, table[table.model == kind], looks)
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


def _draw_curves(axis: Axes, table: pd.DataFrame, looks: Mapping) -> None:
    """Draw one kind: bands of the first probe, marks of the second, and e^{−βt} with the median β."""
    probes = list(table.probe.unique())
    rates = agreement(table)
    for (depth, probe), curve in table[table.panel == "memory"].groupby(["layers", "probe"]):
        color, mark = looks[depth]
        if probe != probes[0]:
            some = curve.dropna(subset=["median"]).iloc[5 :: max(1, len(curve) // 12)]
            axis.plot(some.lag, some["median"], mark, color=color, ms=4, mfc="none")
            continue
        heard = curve[curve["median"] > 0]
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


def _draw_rates(axis: Axes, table: pd.DataFrame, looks: Mapping) -> None:
    rates = table[(table.panel == "rate") & (table.probe == table.probe.iloc[0])].dropna(subset=["rate"])
    for depth, some in rates.groupby("layers"):
        color, mark = looks[depth]
        axis.plot(some.predicted, some.rate, mark, color=color, ms=4, alpha=0.6)
    ends = np.array([rates.predicted.min() / 1.3, rates.predicted.max() * 1.3])
    axis.plot(ends, ends, "--", color=plotting.INK, lw=1.2)
    axis.set(xscale="log", yscale="log")


def _entries(table: pd.DataFrame, looks: Mapping, theory: str, early: int | None) -> list[plt.Line2D]:
    entries = [
        plt.Line2D([], [], color=color, marker=mark, ms=5, label=f"{depth} layer{'s' if depth > 1 else ''}")
        for depth, (color, mark) in looks.items()
    ]
    name = theory.split()[-1]
    entries.append(plt.Line2D([], [], color=plotting.INK, ls="--", lw=1.2, label=f"theory, rate {name}"))
    if table.probe.nunique() > 1:
        hollow = {"color": plotting.INK, "marker": "o", "ls": "", "mfc": "none", "ms": 4}
        entries.append(plt.Line2D([], [], label="impulse (line: step)", **hollow))
    if early is not None:
        entries.append(
            plt.Line2D([], [], color=plotting.INK, ls=":", lw=1, label=f"the paper's {early} steps")
        )
    return entries
