"""Inverse approximation theory (2305.19190), figure 10: the memory of random models."""

import itertools
from collections.abc import Sequence

import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.random_models import (
    COLUMNS,
    agreement,
    draw_memories,
    findings_of,
    stack_memories,
)
from curse_of_memory.measure import SequenceMap, memory_function
from curse_of_memory.report.figure import FigureData, Findings, figure_data

__all__ = ["data", "plot"]

INPUTS = {"heaviside": (1.0, -1.0), "impulse": (0.0,)}  # under which the models settle, by probe


@figure_data(
    title="The memory of random models decays exponentially",
    source="Inverse approximation theory (2305.19190), figure 10",
)
def data(
    *,
    models: Sequence[str] = ("RNN", "GRU", "LSTM", "S4D"),
    layers: Sequence[int] = (1, 2, 3, 4),
    s4d_layers: Sequence[int] = (1, 2, 3),
    width: int = 16,
    horizon: int = 120,
    s4d_horizon: int = 10000,
    early: int = 2000,
    seeds: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure the memory of untrained stacks by step and by impulse, and the slope of its logarithm.

    `seeds` models of each kind and depth, in float64, of `width` states or channels a layer; S4D with
    `s4d_layers` and over `s4d_horizon` steps, of which the paper shows the first `early`. In the panel
    *memory* the table has quantiles over the models at some lags; in *rate* one row a model: minus the fitted
    slope of log M, that within the first `early` steps, and β of the linearised model. Columns: ``panel,
    model, layers, probe, lag, low, median, high, seed, rate, early, predicted, r2``.
    """
    depths = {kind: s4d_layers if kind == "S4D" else layers for kind in models}
    table = run_grid(
        _measured,
        [
            setting
            for probe in INPUTS
            for kind in models
            for setting in product_of(probe=[probe], model=[kind], layers=depths[kind])
        ],
        common={
            "horizon": horizon,
            "s4d_horizon": s4d_horizon,
            "width": width,
            "seeds": seeds,
            "seed": seed,
            "early": early,
            "device": device,
        },
    )
    return _memory_findings(table.loc[:, COLUMNS], early)


def _measured(
    probe: str,
    model: str,
    layers: int,
    horizon: int,
    s4d_horizon: int,
    width: int,
    seeds: int,
    seed: int,
    early: int,
    device: str,
) -> pd.DataFrame:
    """Return the memories and the rates of the stacks of one kind and depth under one probe."""
    steps = s4d_horizon if model == "S4D" else horizon
    # the stacks differ in their weights alone: the first is tried for all
    tried = itertools.chain([False], itertools.repeat(True))

    def measure(stack: nn.Module) -> xr.DataArray:
        return memory_function(SequenceMap(stack, tried=next(tried)), steps, probe=probe, device=device)

    return stack_memories(
        model, layers, measure, INPUTS[probe], width=width, seeds=seeds, seed=seed, early=early
    )


def _memory_findings(table: pd.DataFrame, early: int) -> Findings:
    agreed = agreement(table)
    first = agreed.index.get_level_values("layers").min()
    ends = [(*run, m) for *run, m in agreed.index if m in (first, agreed.loc[tuple(run)].index.max())]
    words = (
        f"With their usual initial weights the models forget exponentially: the slope of log M is "
        f"{agreed.ratio.min():.2f} to {agreed.ratio.max():.2f} times the rate of the linearised model "
        f"(medians over {table.seed.nunique()} models, dashed), for step and impulse."
    )
    if "S4D" in table.model.values:
        slow = agreed.xs("S4D", level="model")
        words += (
            f" Within the paper's {early} steps the slope of S4D is {slow.early.min():.1f} to "
            f"{slow.early.max():.1f} times that rate: faster channels are still heard."
        )
    name = "{1}, layers {2}, {0}"
    labels = {"rate": f"rate per step, {name}", "ratio": f"over that of the theory, {name}"}
    return findings_of(table, words, ends, labels)


def plot(data: FigureData) -> Figure:
    """Draw memories, step as bands and impulse as marks, and fitted rates against those of the theory."""
    early = data.parameters["early"]
    assert isinstance(early, int)
    return draw_memories(data.table, r"memory $M(t)$", "fitted rate of $M$ (1/step)", r"rate $\beta$", early)
