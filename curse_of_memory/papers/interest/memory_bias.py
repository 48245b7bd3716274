"""INTEREST (Wang & Yan, 2307.11462): the memory bias b(s) of the weights tᵖ."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias

__all__ = ["data", "plot"]


@figure_data(
    title="Memory bias of the weight tᵖ",
    source="INTEREST (2307.11462), memory-bias figure",
)
def data(
    *,
    horizon: int = 64,
    powers: Sequence[float] = (-1, 0, 1, 2, 10, math.inf),
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Evaluate b(s) = ∫_s^T rᵖ dr at lags s = 0 … T − 1, scaled to sum one.

    For p ≤ −1 the integral diverges at s = 0; as in the paper's figure it is taken from s + 1.
    Columns of the table: ``p, s, bias``. (Nothing here is random, nor needs a device.)
    """
    curves = []
    for p in map(float, powers):  # a preset or a command line may say "inf" in words
        values = bias.power(p).sampled(horizon, normalize="sum", offset=1 if p <= -1 else 0)
        curves.append(pd.DataFrame({"p": p, "s": np.arange(horizon), "bias": values}))
    table = pd.concat(curves, ignore_index=True)

    heads = rows(table, s=0).set_index("p").bias
    headline = {f"b(0), p = {p:g}": float(b) for p, b in heads.items()}
    paper = {}
    if horizon == 64:
        printed = reference("interest/memory_bias")
        known = {f"b(0), p = {p:g}": b for p, b in rows(printed, s=0).set_index("p").bias.items()}
        paper = {label: known[label] for label in headline if label in known}
    low, high = heads.index.min(), heads.index.max()
    message = (
        f"The error at lag 0 weighs {heads[low] / heads[high]:.3g} times more under p = {low:g} than under "
        f"p = {high:g}: a larger power moves the attention of training towards long lags."
    )
    return Findings(table, message, headline, paper)


def plot(data: FigureData) -> Figure:
    """Draw the bias against the lag, with the curves of the paper's figure as marks where T = 64."""
    with plotting.style():
        figure, (axis,) = plotting.canvas()
        printed = reference("interest/memory_bias") if data.parameters["horizon"] == 64 else None
        curves = groups(data.table, "p")
        for (p, curve), color in zip(curves.items(), plotting.order(len(curves)), strict=True):
            plotting.theory(axis, curve.s, curve.bias, color, label=plotting.power_label(p))
            if printed is not None:
                theirs = rows(printed, p=p)
                theirs = theirs.loc[theirs.s % 8 == 0]
                look = plotting.Look(color, "o")
                plotting.measured(axis, theirs.s, theirs.bias, look, hollow=True)
        if printed is not None:
            axis.add_line(plotting.entry("paper's figure", marker="o", ls="", mfc="none"))
        axis.set(
            xlabel="lag $s$ (steps)",
            ylabel="memory bias $b(s)$, scaled to sum 1",
            title=f"Weight $t^p$, horizon $T={data.parameters['horizon']}$",
        )
        axis.set_ylim(bottom=0)
        axis.legend(ncols=2)
    return figure
