"""INTEREST (Wang & Yan, 2307.11462), theorem 3.3: which part of a memory a small model learns, by weight."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, exponential_sums, targets
from curse_of_memory.training import fit, fit_expected

__all__ = ["data", "plot"]


@figure_data(
    title="What training sees: one mode between a fast and a slow memory",
    source="ours: INTEREST (2307.11462), Theorem 3.3, at work",
)
def data(
    *,
    horizon: int = 100,
    powers: Sequence[float] = (-1, 0, 1, 2, 10),
    width: int = 1,
    steps: int = 500,
    batch_size: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Fit ρ(t) = e^{−t/2} + 0.3 e^{−t/100} with too small a linear RNN, under the weights tᵖ.

    It is fitted in three ways, which agree: as the best exponential sum under the bias, by training on the
    exact expected loss, and by training on sampled batches. Columns: ``p, lag, target, best, exact, sampled,
    bias``, with b(0) = 1.
    """
    rho = targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01])
    task = LinearFunctional(rho, horizon)
    curves, half, headline = [], {}, {}
    for p in map(float, powers):  # a preset or a command line may say "inf" in words
        loss, b = TemporallyWeightedMSE(p), bias.power(p)
        best = exponential_sums.fit_exponential_sum(task.rho, terms=width, weight=b)
        memories = {"best": best.on_grid(horizon).values}
        for name in ("exact", "sampled"):
            model = RNN(width, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
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


def plot(data: FigureData) -> Figure:
    """Draw memories (lines: exact, marks: sampled), their errors, and the bias, against the lag."""
    with plotting.style():
        figure, (memory, error, weight) = plotting.canvas(3)
        curves = groups(data.table, "p")
        target = next(iter(curves.values()))
        plotting.theory(memory, target.lag, target.target, ls="--", label=r"target $\rho$")
        for p, look in plotting.looks(curves).items():
            curve = curves[p]
            lags, missed = (
                curve.lag,
                {way: (curve[way] - curve.target).abs() for way in ("exact", "sampled")},
            )
            some = curve.lag % max(1, len(curve) // 12) == 0
            plotting.theory(memory, lags, curve.exact, look.color, label=plotting.power_label(p))
            plotting.measured(memory, lags[some], curve.sampled[some], look)
            seen = (lags[some], missed["sampled"][some])
            plotting.theory_and_measured(error, (lags, missed["exact"]), seen, look)
            plotting.theory(weight, lags, curve.bias, look.color)
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
        memory.add_line(plotting.entry("sampled training", marker="o", ls=""))
        plotting.joined_legend(figure, [memory], ncols=len(curves) + 2)
    return figure
