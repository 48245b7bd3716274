"""INTEREST (Wang & Yan, 2307.11462): what a weight over time does to what training remembers."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory import checks, plotting
from curse_of_memory.devices import resolve_device
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.papers.figure import FigureData, Findings, figure_data
from curse_of_memory.papers.reference_numbers import reference
from curse_of_memory.random_streams import stream
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, exponential_sums, targets
from curse_of_memory.training import fit, fit_expected

__all__ = [
    "head_tail_ratio_data",
    "head_tail_ratio_plot",
    "memory_bias_data",
    "memory_bias_plot",
    "what_training_sees_data",
    "what_training_sees_plot",
]


def _powers(powers: Sequence[float | str]) -> list[float]:
    """Return `powers` as floats; a preset file or a command line may say ``"inf"`` in words."""
    return [float(p) for p in powers]


@figure_data(
    "interest/memory_bias",
    title="Memory bias of the weight tᵖ",
    source="INTEREST (2307.11462), memory-bias figure",
)
def memory_bias_data(
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
    for p in _powers(powers):
        values = bias.power(p).sampled(horizon, normalize="sum", offset=1 if p <= -1 else 0)
        curves.append(pd.DataFrame({"p": p, "s": np.arange(horizon), "bias": values}))
    table = pd.concat(curves, ignore_index=True)

    heads = table[table.s == 0].set_index("p").bias
    headline = {f"b(0), p = {p:g}": float(b) for p, b in heads.items()}
    paper = {}
    if horizon == 64:
        printed = reference("interest_memory_bias")
        known = {f"b(0), p = {p:g}": b for p, b in printed[printed.s == 0].set_index("p").bias.items()}
        paper = {label: known[label] for label in headline if label in known}
    low, high = heads.index.min(), heads.index.max()
    message = (
        f"The error at lag 0 weighs {heads[low] / heads[high]:.3g} times more under p = {low:g} than under "
        f"p = {high:g}: a larger power moves the attention of training towards long lags."
    )
    return Findings(table, message, headline, paper)


def memory_bias_plot(data: FigureData) -> Figure:
    """Draw the bias against the lag, with the curves of the paper's figure as marks where T = 64."""
    with plotting.style():
        figure, (axis,) = plotting.canvas()
        printed = reference("interest_memory_bias") if data.parameters["horizon"] == 64 else None
        groups = list(data.table.groupby("p", sort=False))
        for (p, curve), color in zip(groups, plotting.order(len(groups)), strict=True):
            axis.plot(curve.s, curve.bias, color=color, label=plotting.power_label(p))
            if printed is not None:
                theirs = printed[(printed.p == p) & (printed.s % 8 == 0)]
                axis.plot(theirs.s, theirs.bias, "o", mfc="none", color=color)
        if printed is not None:
            axis.plot([], [], "o", mfc="none", color=plotting.INK, label="paper's figure")
        axis.set(
            xlabel="lag $s$ (steps)",
            ylabel="memory bias $b(s)$, scaled to sum 1",
            title=f"Weight $t^p$, horizon $T={data.parameters['horizon']}$",
        )
        axis.set_ylim(bottom=0)
        axis.legend(ncols=2)
    return figure


@figure_data(
    "interest/head_tail_ratio",
    title="An error at the first lag against the same error at the last",
    source="INTEREST (2307.11462), head/tail demonstration of its public code",
)
def head_tail_ratio_data(
    *,
    powers: Sequence[float] = (0, 1, 2, 10),
    horizons: Sequence[int] = (4, 16, 64, 256, 1024),
    samples: int = 512,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compare b_0 / b_{T−1} with the ratio of sampled losses of a memory that is off by one there.

    A memory that is wrong by 1 at lag s answers with the error x_{t−s}. The ratio of the mean losses
    for s = 0 and s = T − 1 over `samples` white sequences has a standard error by the delta method.
    Columns of the table: ``p, horizon, exact, estimate, standard_error``.
    """
    powers = _powers(powers)
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
    printed = reference("interest_head_tail")
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


def head_tail_ratio_plot(data: FigureData) -> Figure:
    """Draw exact ratios as lines, estimates with error bars as marks, printed numbers as crosses."""
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=7.4)
        groups = list(data.table.groupby("p", sort=False))
        printed = reference("interest_head_tail").set_index("p")
        for (p, curve), (color, mark) in zip(groups, plotting.distinct(len(groups)), strict=True):
            axis.plot(curve.horizon, curve.exact, color=color)
            axis.errorbar(
                curve.horizon,
                curve.estimate,
                2 * curve.standard_error,
                fmt=mark,
                color=color,
                capsize=3,
                label=plotting.power_label(p),
            )
            if p in printed.index:
                axis.plot(printed.horizon[p], printed.ratio[p], "x", color=color, ms=7, mew=2)
        axis.plot([], [], color=plotting.INK, label=r"exact, $b_0/b_{T-1}$")
        samples = data.parameters["samples"]
        axis.plot(
            [], [], "o", color=plotting.INK, label=f"{samples} white sequences,\n$\\pm2$ standard errors"
        )
        axis.plot(
            [],
            [],
            "x",
            color=plotting.INK,
            ms=7,
            mew=2,
            label="printed by the authors,\nwho weigh with $t^{2p}$",
        )
        axis.set(
            xscale="log",
            yscale="log",
            xlabel="horizon $T$ (steps)",
            ylabel="loss of an error at lag $0$\n/ loss at lag $T-1$",
            title="The first lag against the last",
        )
        figure.legend(loc="outside right upper")
    return figure


@figure_data(
    "interest/what_training_sees",
    title="What training sees: one mode between a fast and a slow memory",
    source="ours: INTEREST (2307.11462), Theorem 3.3, at work",
)
def what_training_sees_data(
    *,
    horizon: int = 100,
    powers: Sequence[float] = (-1, 0, 1, 2, 10),
    hidden: int = 1,
    steps: int = 500,
    batch_size: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Fit ρ(t) = e^{−t/2} + 0.3 e^{−t/100} with too small a linear RNN, under the weights tᵖ.

    Three ways to the same memory: the best exponential sum under the bias, training on the exact
    expected loss, and training on sampled batches. Columns: ``p, lag, target, best, exact, sampled,
    bias``, with b(0) = 1.
    """
    rho = targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01])
    task = LinearFunctional(rho, horizon)
    curves, half, headline = [], {}, {}
    for p in _powers(powers):
        loss, b = TemporallyWeightedMSE(p), bias.power(p)
        best = exponential_sums.fit_exponential_sum(task.rho, terms=hidden, weight=b)
        memories = {"best": best.on_grid(horizon).values}
        for name in ("exact", "sampled"):
            model = RNN(hidden, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
            if name == "exact":
                fit_expected(model, task, loss=loss)
            else:
                fit(
                    model,
                    task,
                    loss=loss,
                    steps=steps,
                    batch_size=batch_size,
                    learning_rate=0.05,
                    decay_patience=8,
                    validate_every=20,
                    seed=seed,
                    device=device,
                )
            memories[name] = model.kernel(horizon).detach().flatten().cpu().numpy()
        lags = {"p": p, "lag": np.arange(horizon), "target": task.rho}
        curves.append(pd.DataFrame(lags | memories | {"bias": b.discrete(horizon, normalize="head")}))
        half[p] = 1 - memories["exact"][horizon // 2] / task.rho[horizon // 2]
        error = bias.weighted_error(task.rho, memories["exact"], b, unit_mean=True)
        headline[f"expected loss of the exact training, p = {p:g}"] = float(error)
        headline[f"share of ρ(T/2) forgotten, p = {p:g}"] = float(half[p])
    low, high = min(half), max(half)
    message = (
        f"Half-way through the horizon the fitted memory has lost {100 * half[low]:.0f} % of the target "
        f"under p = {low:g}, and {100 * half[high]:.0f} % under p = {high:g}: training sees what it weighs."
    )
    return Findings(pd.concat(curves, ignore_index=True), message, headline)


def what_training_sees_plot(data: FigureData) -> Figure:
    """Draw memories (lines: exact, marks: sampled), their errors, and the bias, against the lag."""
    with plotting.style():
        figure, (memory, error, weight) = plotting.canvas(3)
        groups = list(data.table.groupby("p", sort=False))
        target = groups[0][1]
        memory.plot(target.lag, target.target, color=plotting.INK, ls="--", label=r"target $\rho$")
        for (p, curve), (color, mark) in zip(groups, plotting.distinct(len(groups)), strict=True):
            some = curve[curve.lag % max(1, len(curve) // 12) == 0]
            label = plotting.power_label(p)
            memory.plot(curve.lag, curve.exact, color=color, label=label)
            memory.plot(some.lag, some.sampled, mark, color=color)
            error.plot(curve.lag, (curve.exact - curve.target).abs(), color=color)
            error.plot(some.lag, (some.sampled - some.target).abs(), mark, color=color)
            weight.plot(curve.lag, curve.bias, color=color)
        lag = "lag $s$ (steps)"
        memory.set(xlabel=lag, ylabel=r"memory $\hat\rho(s)$", yscale="log", title="What is remembered")
        memory.set_ylim(bottom=target.target.min() / 100)
        error.set(
            yscale="log",
            ylim=(2e-3, 1),
            xlabel=lag,
            ylabel=r"$|\rho(s)-\hat\rho(s)|$",
            title="What is missed",
        )
        weight.set(xlabel=lag, ylabel=r"$b_s/b_0$", title="What training sees: the bias")
        memory.plot([], [], "o", color=plotting.INK, label="sampled training")
        figure.legend(*memory.get_legend_handles_labels(), loc="outside lower center", ncols=len(groups) + 2)
    return figure
