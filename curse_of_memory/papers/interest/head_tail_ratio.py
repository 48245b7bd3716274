"""INTEREST (Wang & Yan, 2307.11462): what an error costs at the first lag, over the same at the last."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.tools.random_streams import stream

__all__ = ["data", "plot"]


@figure_data(
    title="An error at the first lag against the same error at the last",
    source="INTEREST (2307.11462), head/tail demonstration of its public code",
)
def data(
    *,
    powers: Sequence[float] = (0, 1, 2, 10),
    horizons: Sequence[int] = (4, 16, 64, 256, 1024),
    samples: int = 512,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compare b_0 / b_{T−1} with the same ratio of losses on random sequences, for memories off by one there.

    A memory that is wrong by 1 at lag s makes the error x_{t−s}. Measured is the mean loss for s = 0 over
    that for s = T − 1, on `samples` white sequences; its standard error is that of the delta method.
    Columns of the table: ``p, horizon, exact, estimate, standard_error``.
    """
    powers = [float(p) for p in powers]  # a preset or a command line may say "inf" in words
    checks.positive_int("samples", samples)
    where = resolve_device(device)
    rows = []
    for horizon in horizons:
        draws = stream("heads and tails", seed, checks.positive_int("horizons", horizon))
        x = torch.from_numpy(draws.standard_normal((samples, horizon, 1))).to(where)
        late = torch.zeros_like(x)
        late[:, -1] = x[:, 0]
        for p in powers:
            loss = TemporallyWeightedMSE(p, reduction="none")
            head, tail = (loss(e, torch.zeros_like(e)).mean((1, 2)).cpu().numpy() for e in (x, late))
            estimate = head.mean() / tail.mean()
            error = np.std(head / head.mean() - tail / tail.mean(), ddof=1) / math.sqrt(samples)
            exact = bias.power(p).head_tail_ratio(horizon)
            rows.append((p, horizon, exact, estimate, estimate * error))
    table = pd.DataFrame(rows, columns=["p", "horizon", "exact", "estimate", "standard_error"])

    # the public code has the weight inside the square: for t^p that is the paper's weight at 2p
    printed = reference("interest/head_tail")
    headline, paper = {}, {}
    for p, horizon, ratio in printed.itertuples(index=False):
        if horizon in list(horizons) and p in powers:
            headline[f"T = {horizon:g}, p = {p:g}, weight on the error"] = bias.power(p).head_tail_ratio(
                horizon
            )
            label = f"T = {horizon:g}, p = {p:g}, weight inside the square"
            headline[label] = bias.power(2 * p).head_tail_ratio(horizon)
            paper[label] = ratio
    largest = int(max(horizons))
    first, last = (bias.power(p).head_tail_ratio(largest) for p in (min(powers), max(powers)))
    message = (
        f"At T = {largest} an error at lag 0 costs {first:.4g} times as much as the same error at the last "
        f"lag under p = {min(powers):g}, and {last:.4g} times under p = {max(powers):g}."
    )
    return Findings(table, message, headline, paper)


def plot(data: FigureData) -> Figure:
    """Draw exact ratios as lines, estimates with error bars as marks, printed numbers as crosses."""
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=7.4)
        curves = groups(data.table, "p")
        printed = reference("interest/head_tail").set_index("p")
        cross = {"ls": "", "marker": "x", "ms": 7, "mew": 2}
        for p, look in plotting.looks(curves).items():
            curve, label = curves[p], plotting.power_label(p)
            error = 2 * curve.standard_error
            plotting.theory(axis, curve.horizon, curve.exact, look.color)
            plotting.error_bars(axis, curve.horizon, curve.estimate, error, look, capsize=3, label=label)
            if p in printed.index:
                axis.plot(printed.horizon[p], printed.ratio[p], color=look.color, **cross)
        axis.add_line(plotting.entry(r"exact, $b_0/b_{T-1}$"))
        samples = data.parameters["samples"]
        label = f"{samples} white sequences,\n$\\pm2$ standard errors"
        axis.add_line(plotting.entry(label, marker="o", ls=""))
        label = "printed by the authors,\nwho weigh with $t^{2p}$"
        axis.add_line(plotting.entry(label, **cross))
        axis.set(
            xscale="log",
            yscale="log",
            xlabel="horizon $T$ (steps)",
            ylabel="loss of an error at lag $0$\n/ loss at lag $T-1$",
            title="The first lag against the last",
        )
        figure.legend(loc="outside right upper")
    return figure
