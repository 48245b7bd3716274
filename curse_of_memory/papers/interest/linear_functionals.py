"""INTEREST (Wang & Yan, 2307.11462), section 4: what five kinds of models learn of a memory, by weight."""

from collections.abc import Callable, Mapping, Sequence
from itertools import chain

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure import memory_used
from curse_of_memory.nn import RNN
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks
from curse_of_memory.training import fit, fit_expected, run_all, sweep

__all__ = ["data", "plot", "range_errors"]

TARGETS: Mapping[str, Target] = {
    "polynomial": targets.named("iat-code-polynomial"),
    "exponential": targets.exponential(0.04),
}
LINEAR = "linear RNN"
# as small as it takes for the memory not to be learnt in full: else there is nothing to choose
RECURRENT: Mapping[str, Callable[[int], RNN]] = {
    LINEAR: lambda seed: RNN(2, diagonal=True, seed=seed),
    "tanh RNN": lambda seed: RNN(4, activation="tanh", seed=seed),
}
OTHERS: Mapping[str, Callable[[int], nn.Module]] = {
    "TCN": lambda seed: TCN([4] * 3, 5, dilations=[1, 5, 25], convolutions=1, activation="tanh", seed=seed),
    "SSM": lambda seed: SSM(4, activation="tanh", seed=seed),
    "transformer": lambda seed: CausalTransformer(8, heads=2, positions="sinusoidal", seed=seed),
}
RANGES = {"short": (0.0, 0.25), "long": (0.5, 1.0)}  # lags, as shares of the horizon
ROUNDING = 1e-9  # relative errors below are printed as zero
SHOWN = 25  # lags of a curve in the table


@figure_data(
    title="Linear functionals: what the weight tᵖ makes five kinds of models remember",
    source="INTEREST (2307.11462), section 4",
)
def data(
    *,
    horizon: int = 100,
    powers: Sequence[float] = (0, 1, 2, 10),
    runs: int = 3,
    recurrent_steps: int = 600,
    steps: int = 120,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    samples: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train on ρ(t) = (1 + t/10)^{−1.1} and e^{−t/25} under the weights tᵖ, and measure what is remembered.

    Each model is trained from `runs` initial weights on sampled batches: the recurrent ones, all at once, for
    `recurrent_steps` updates, the others for `steps`. The linear RNN is trained on the exact expected loss,
    too; the lowest of its losses counts. The memory is that of the last step, over `samples` sequences; the
    errors are √(Σ (ρ̂_s − ρ_s)² / Σ ρ_s²) over the lags s < T/4 and s ≥ T/2.

    Columns: ``panel, target, model, training, p, seed, lag, rho, memory, range, error``; the panel *memory*
    has a few lags of each run, and *error* a number per run and range of lags.
    """
    for name, count in {"runs": runs, "samples": samples}.items():
        checks.positive_int(name, count)
    settings = {"batch_size": batch_size, "learning_rate": learning_rate, "device": device}
    settings |= {"validate_every": 30, "validation_size": 8 * batch_size, "decay_patience": 2}
    seeds = range(seed, seed + runs)
    kinds = [{"p": float(p), "seed": s} for p in powers for s in seeds]
    parts = []
    for name, rho in TARGETS.items():
        task = LinearFunctional(rho, horizon)
        trained = [({"model": LINEAR, "training": "exact"} | kind, m) for kind, m in _exact(task, kinds)]
        trained += _sampled(task, kinds, settings, recurrent_steps, steps)
        for kind, model in trained:
            memory = memory_used(model, horizon, samples=samples, seed=seed, device=device)
            parts.append(_rows({"target": name} | kind, task.rho, memory.values))
    table = pd.concat(parts, ignore_index=True)
    return _findings(table)


def _exact(task: LinearFunctional, kinds: list[dict]) -> list[tuple[dict, nn.Module]]:
    """Return the linear RNN of the lowest expected loss for every power."""
    best: dict[float, tuple] = {}
    for kind in kinds:
        model = RECURRENT[LINEAR](kind["seed"]).double()
        loss = fit_expected(model, task, loss=TemporallyWeightedMSE(kind["p"])).loss
        if kind["p"] not in best or loss < best[kind["p"]][0]:
            best[kind["p"]] = loss, kind, model
    return [(kind, model) for _, kind, model in best.values()]


def _sampled(task, kinds: list[dict], settings: dict, recurrent_steps: int, steps: int) -> list[tuple]:
    losses = [TemporallyWeightedMSE(kind["p"]) for kind in kinds]
    seeds = [kind["seed"] for kind in kinds]
    found = []
    for name, make in RECURRENT.items():
        models = [make(s) for s in seeds]
        sweep(models, task, loss=losses, steps=recurrent_steps, seed=seeds, **settings)
        found += [({"model": name} | kind, model) for kind, model in zip(kinds, models, strict=True)]
    calls = [
        {"name": name, "task": task, "seed": s, "loss": loss, "steps": steps} | settings
        for name in OTHERS
        for s, loss in zip(seeds, losses, strict=True)
    ]
    names = [{"model": name} | kind for name in OTHERS for kind in kinds]
    found += list(zip(names, run_all(_fitted, calls), strict=True))
    return [({"training": "sampled"} | kind, model) for kind, model in found]


def _fitted(name: str, task: LinearFunctional, seed: int, **settings) -> nn.Module:
    model = OTHERS[name](seed)
    fit(model, task, seed=seed, **settings)
    return model


def _rows(kind: dict, rho: np.ndarray, memory: np.ndarray) -> pd.DataFrame:
    lags = np.arange(0, len(rho), max(1, len(rho) // SHOWN))
    curve = pd.DataFrame({"panel": "memory", "lag": lags, "rho": rho[lags], "memory": memory[lags]})
    errors = []
    for name, (first, last) in RANGES.items():
        some = slice(int(first * len(rho)), int(last * len(rho)))
        errors.append((name, np.linalg.norm(memory[some] - rho[some]) / np.linalg.norm(rho[some])))
    ranges = pd.DataFrame(errors, columns=["range", "error"]).assign(panel="error")
    return pd.concat([curve, ranges], ignore_index=True).assign(**kind)


def range_errors(table: pd.DataFrame, target: str, model: str, training: str) -> pd.DataFrame:
    """Return the errors of a `model` in `table`, by p and seed, at short and at long lags of a `target`.

    The `training` is "sampled" or, for the linear RNN, "exact".
    """
    rows = table[(table.target == target) & (table.model == model) & (table.training == training)]
    return rows[rows.panel == "error"].pivot(index=["p", "seed"], columns="range", values="error")


def _findings(table: pd.DataFrame) -> Findings:
    low, high = min(table.p), max(table.p)
    headline, by_run = {}, {}
    for model, training in ((LINEAR, "exact"), *((name, "sampled") for name in (*RECURRENT, *OTHERS))):
        errors = range_errors(table, "polynomial", model, training)
        typical = np.exp(np.log(errors).groupby(level="p").mean())
        for name in RANGES:
            label = f"{model}, {training}: error at {name} lags, p = {high:g} over p = {low:g}"
            headline[label] = float(typical[name][high] / typical[name][low])
            if training == "sampled":  # of the exact trainings only the best is there
                by_run[label] = errors[name][high] / errors[name][low]
    exact = [headline[f"{LINEAR}, exact: error at {r} lags, p = {high:g} over p = {low:g}"] for r in RANGES]
    always = []
    for name in (*RECURRENT, *OTHERS):
        by_power = range_errors(table, "polynomial", name, "sampled").long.unstack("p")
        if (by_power[high] < by_power[low]).all():
            always.append(name)
    message = (
        f"Polynomial memory, p = {high:g} in place of {low:g}: the linear RNN trained on the exact loss has "
        f"{exact[0]:.2f} times the error at short lags and {exact[1]:.2f} times that at long ones. Of "
        f"sampled trainings, the error at long lags is smaller in every run for {len(always)} of the "
        f"{len(RECURRENT) + len(OTHERS)} models ({', '.join(always) or 'none'})."
    )
    return Findings(table, message, headline, printed=_printed(table), spread=spreads(by_run))


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return errors in per cent, short / long lags, with the range of the runs where there are several."""

    def cell(of_range: pd.Series) -> str:
        ends = (of_range.min(), of_range.max())
        low, high = ("0" if v < ROUNDING else f"{100 * v:.2g}" for v in ends)
        return low if low == high else f"{low}–{high}"

    cells: dict[str, dict[str, str]] = {}
    rows = table[table.panel == "error"]
    for (target, model, training, p), group in rows.groupby(["target", "model", "training", "p"], sort=False):
        row = f"{target}: {model}{', exact loss' if training == 'exact' else ''}"
        both = (cell(group.error[group.range == name]) for name in RANGES)
        cells.setdefault(f"$p={p:g}$", {})[row] = " / ".join(both)
    printed = pd.DataFrame(cells)
    printed.index.name = "relative error in %, short / long lags"
    return printed


def plot(data: FigureData) -> Figure:
    """Draw, of polynomial memory, what is learnt and what is missed by lag, and how p moves the error."""
    models = [*RECURRENT, *OTHERS]
    curves = data.table[(data.table.panel == "memory") & (data.table.target == "polynomial")]
    powers = curves.p.unique()
    with plotting.style():
        size = {"figsize": (2.75 * len(models), 8.2), "layout": "constrained"}
        figure, axes = plt.subplots(3, len(models), sharey="row", sharex="row", **size)
        for column, model in zip(axes.T, models, strict=True):
            of_model = curves[curves.model == model]
            _draw_memories(column[0], column[1], of_model, powers)
            for training in of_model.training.unique():
                errors = range_errors(data.table, "polynomial", model, training)
                _draw_ratios(column[2], errors, powers, training)
            column[0].set(title=model, xlabel="lag $s$ (steps)", xlim=(0, None))
            column[1].set(xlabel="lag $s$ (steps)")
            column[2].set(xlabel="power $p$ of the weight $t^p$")
        axes[0, 0].set(ylabel=r"memory $\hat\rho_s$", ylim=(-0.1, 1.2))
        axes[1, 0].set(ylabel=r"error $|\hat\rho_s-\rho_s|$", yscale="log", ylim=(5e-4, 0.5))
        axes[2, 0].set(ylabel=f"error / error at $p={powers[0]:g}$", yscale="log", ylim=(0.2, 5))
        axes[2, 0].set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
        axes[2, 0].minorticks_off()
        entries = [axes[row, 0].get_legend_handles_labels() for row in (0, 2)]
        handles, labels = (list(chain(*parts)) for parts in zip(*entries, strict=True))
        figure.legend(handles, labels, loc="outside lower center", ncols=4)
    return figure


def _draw_memories(memory, error, curves: pd.DataFrame, powers: Sequence[float]) -> None:
    target = curves.groupby("lag").rho.first()
    memory.plot(target, color=plotting.INK, ls="--", lw=1.2, label=r"target $\rho_s=(1+s/10)^{-1.1}$")
    for p, (color, mark) in zip(powers, plotting.distinct(len(powers)), strict=True):
        of_power = curves[curves.p == p]
        sampled = of_power[of_power.training == "sampled"]
        exact = of_power[of_power.training == "exact"]
        mean = sampled.groupby("lag").memory.mean()
        gap = (sampled.memory - sampled.rho).abs().groupby(sampled.lag).mean()
        memory.plot(mean, mark, color=color, ms=3, label=f"{plotting.power_label(p)}, mean of runs")
        error.plot(gap, mark, color=color, ms=3, ls="" if len(exact) else ":", lw=0.8)
        if len(exact):
            label = "exact expected loss" if p == powers[0] else None
            memory.plot(exact.lag, exact.memory, color=color, lw=1.2, label=label)
            error.plot(exact.lag, (exact.memory - exact.rho).abs(), color=color, lw=1.2)


def _draw_ratios(axis, errors: pd.DataFrame, powers: Sequence[float], training: str) -> None:
    """Draw the errors of each run over those of the same run at the first power: means and ranges."""
    at, marks = np.arange(len(powers)), {"short": ("o", -0.06, "white"), "long": ("^", 0.06, None)}
    for name, color in zip(RANGES, plotting.order(3), strict=False):
        by_run = errors[name].unstack("p")[list(powers)]
        if training == "exact":
            exact = by_run.mean()  # one run per power, which need not be of one seed
            axis.plot(at, exact / exact.iloc[0], color=color, lw=1.4)
            continue
        ratios = by_run.div(by_run[powers[0]], axis=0)
        mean = np.exp(np.log(ratios).mean())
        mark, shift, fill = marks[name]
        axis.errorbar(
            at + shift,
            mean,
            [mean - ratios.min(), ratios.max() - mean],
            fmt=mark,
            mfc=fill,
            color=color,
            capsize=2,
            lw=1,
            label=f"{name} lags: mean and range",
        )
    axis.axhline(1.0, color=plotting.INK, ls=":", lw=0.8)
    axis.set_xticks(at, [f"{p:g}" for p in powers])
