"""Audit of INTEREST (2307.11462): the weight of the loss in the paper, its README and its public code."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from curse_of_memory.losses import TemporallyWeightedMAE, TemporallyWeightedMSE
from curse_of_memory.papers.audit._copying import (
    FOR_INFINITY,
    copying_rows,
    copying_weights,
    margin_curves,
)
from curse_of_memory.papers.audit._table import Row, both_ways, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sum
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device

__all__ = ["data", "plot"]

PRINTED = "place of the weight, printed ratios", "b(0)/b(T−1) at p = 10 over p = 0, T = 1024"


@figure_data(
    title="Audit: the weight of the loss",
    source="INTEREST (2307.11462): paper, README, public code and logs",
)
def data(
    *,
    horizon: int = 100,
    power: float = 2,
    samples: int = 4096,
    memory_length: int = 10,
    blank: int = 1000,
    sequences: int = 64,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compute what the weight tᵖ does as paper, README and code define it.

    *bias*: b(s)/b(0) over `horizon` steps, exact, and measured as the weighted loss of an error of one at lag
    s on `samples` white sequences. *memory*: the best single mode for ρ(t) = e^{−t/2} + 0.3 e^{−t/100} under
    each weight. *margin*: the cross-entropy of right answers that are ahead by a margin, with the weight on
    the error and on the logits, exact and measured on `sequences` copying sequences. Columns: ``panel, curve,
    kind, x, y``.
    """
    place = resolve_device(device)
    power = checks.positive("power", power)
    copying = Copying(memory_length, blank)
    rho = targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01])
    ways = {
        "paper": TemporallyWeightedMSE(power),
        "README": TemporallyWeightedMSE(-power),
        "code": TemporallyWeightedMSE(power, form="inside_square"),
        "paper, infinity": TemporallyWeightedMSE(np.inf),
        "code, infinity": TemporallyWeightedMSE(weight=copying_weights(FOR_INFINITY)),
    }
    task = LinearFunctional(rho, horizon)
    x = task.sample(samples, seed=seed, device=place, dtype=torch.float64).inputs
    lags = np.unique(np.linspace(0, 0.95 * horizon, 8).astype(int))
    every = np.arange(horizon)
    curves = [curve(every, task.rho, panel="memory", curve="target", kind="exact")]
    head_tail, kept = {}, {}
    for name, loss in ways.items():
        b = np.cumsum(loss.effective_weights(horizon, dtype=torch.float64).numpy()[::-1])[::-1]
        seen = np.array([float(loss(_late(x, s), torch.zeros_like(x))) for s in lags])
        mode = fit_exponential_sum(task.rho, terms=1, weight=b).on_grid(horizon).values
        curves.append(curve(every, b / b[0], panel="bias", curve=name, kind="exact"))
        curves.append(curve(lags, seen / seen[0], panel="bias", curve=name, kind="measured"))
        curves.append(curve(every, mode, panel="memory", curve=name, kind="exact"))
        head_tail[name], kept[name] = b[0] / b[-1], mode[horizon // 2] / task.rho[horizon // 2]
    curves.append(margin_curves(copying, sequences, seed, place))
    disagreements = _weight_rows(horizon, power, head_tail, kept) + copying_rows(
        copying, power, sequences, seed, place
    )
    message = (
        f"Under p = {power:g} an error at lag 0 of {horizon} costs {head_tail['paper']:.3g} times one "
        f"at the last in the paper, {head_tail['README']:.3g} in the README and {head_tail['code']:.3g} in "
        f"the code; under p = ∞ {head_tail['paper, infinity']:.3g} and {head_tail['code, infinity']:.3g}."
    )
    authors = reference("interest/head_tail").set_index("p").ratio
    paper = {f"{PRINTED[0]}: {PRINTED[1]}, as in the code": float(authors[10] / authors[0])}
    table = pd.concat(curves, ignore_index=True)
    return Findings(table, message, both_ways(disagreements), paper, printed(disagreements))


def _late(x: Tensor, lag: int) -> Tensor:
    """Return x_{k − lag}: the error of a memory that is wrong by one at that lag."""
    late = torch.zeros_like(x)
    late[:, lag:] = x[:, : x.shape[1] - lag]
    return late


def _weight_rows(
    horizon: int, power: float, head_tail: Mapping[str, float], kept: Mapping[str, float]
) -> list[Row]:
    """Return the rows on sign, place and infinity of the power, and on the square of the error."""
    at = f"p = {power:g}, T = {horizon}"
    facts = {
        "README": ("sign of the power", "$t^p$", "README: $1/t^p$"),
        "code": ("place of the weight", r"$w(\hat y-y)^2$", r"code: $(w\hat y-wy)^2$"),
        "code, infinity": ("p = ∞", "last step only", "code: p = 100 is all ones"),
    }
    table = []
    for name, fact in facts.items():
        way = "paper, infinity" if "infinity" in name else "paper"
        here = f"p = ∞, T = {horizon}" if "infinity" in name else at
        table.append(Row(*fact, f"b(0)/b(T−1), {here}", head_tail[way], head_tail[name]))
        table.append(Row(*fact, f"share of ρ(T/2) in the best single mode, {here}", kept[way], kept[name]))
    ratio = {p: bias.power(p).head_tail_ratio(1024) for p in (0, 10, 20)}
    table.append(
        Row(PRINTED[0], "$t^p$", "code: $t^{2p}$", PRINTED[1], *(ratio[p] / ratio[0] for p in (10, 20)))
    )
    fact = "square of the error", r"$w(\hat y-y)^2$", r"README: $w\lvert\hat y-y\rvert$"
    losses = (TemporallyWeightedMSE(power), TemporallyWeightedMAE(power))
    error = torch.ones(1, horizon, 1, dtype=torch.float64)
    twice = [float(loss(2 * error, 0 * error) / loss(error, 0 * error)) for loss in losses]
    return [*table, Row(*fact, "loss of an error twice as large", *twice)]


def plot(data: FigureData) -> Figure:
    """Draw biases (lines exact, marks measured), the modes that they prefer, and losses by the margin."""
    panels = groups(data.table, "panel")
    power = data.parameters["power"]
    names = {
        "paper": f"paper, $t^{{{power:g}}}$",
        "README": f"README, $t^{{-{power:g}}}$",
        "code": f"code, $t^{{{2 * power:g}}}$",
        "paper, infinity": r"$p=\infty$, paper",
        "code, infinity": r"$p=\infty$, code: ones",
    }
    looks = plotting.looks(names)
    with plotting.style():
        figure, (biases, memory, margin) = plotting.canvas(3, width=13.5, height=4.6)
        for name, label in names.items():
            _pair(biases, panels["bias"], name, looks[name], label)
        biases.set(xlabel="lag $s$ (steps)", ylabel="$b(s)/b(0)$", title="What an error at a lag costs")
        _draw_memory(memory, panels["memory"], looks)
        for name, like in (("on the error", "paper"), ("on the logits", "code")):
            _pair(margin, panels["margin"], f"weight {name}", looks[like], name)
        margin.axhline(np.log(10), color=plotting.INK, ls=":", lw=1.2, label="chance, ln 10")
        margin.set(
            xscale="log",
            yscale="log",
            ylim=(1e-4, 5),
            xlabel="margin of the right class in the logits",
            ylabel="reported cross-entropy, $p=0$",
            title="The same answers, two losses",
        )
        margin.set_xlim(left=1e-3)
        margin.legend(loc="lower left", title="weight")
        biases.add_line(plotting.entry("measured", marker="o", ls=""))
        memory.add_line(plotting.entry(r"target $\rho$", ls="--"))
        plotting.joined_legend(figure, [biases, memory], ncols=7)
    return figure


def _pair(axis: Axes, curves: pd.DataFrame, name: str, look: plotting.Look, label: str) -> None:
    kinds = groups(rows(curves, curve=name), "kind")
    exact, measured = kinds["exact"], kinds["measured"]
    plotting.theory_and_measured(axis, (exact.x, exact.y), (measured.x, measured.y), look)
    axis.add_line(plotting.entry(label, look.color, marker=look.mark))


def _draw_memory(axis: Axes, curves: pd.DataFrame, looks: Mapping[str, plotting.Look]) -> None:
    for name, memory in groups(curves, "curve").items():
        color, line = (plotting.INK, "--") if name == "target" else (looks[name].color, "-")
        plotting.theory(axis, memory.x, memory.y, color, ls=line)
    axis.set(
        yscale="log",
        ylim=(1e-2, 2),
        xlabel="lag $s$ (steps)",
        ylabel=r"memory $\hat\rho(s)$",
        title="What one mode keeps",
    )
