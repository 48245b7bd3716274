"""INTEREST (Wang & Yan, 2307.11462), section 4: what five kinds of models learn of a memory, by weight."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure import memory_used
from curse_of_memory.nn import RNN
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks
from curse_of_memory.training import fit_expected, sweep

__all__ = ["data", "plot", "range_errors"]

TARGETS: Mapping[str, Target] = {
    "polynomial": targets.named("iat-code-polynomial"),
    "exponential": targets.exponential(0.04),
}
LINEAR = "linear RNN"
# as small as it takes for the memory not to be learnt in full: else there is nothing to choose
RECURRENT: dict[str, Callable[[int], RNN]] = {
    LINEAR: lambda seed: RNN(2, diagonal=True, seed=seed),
    "tanh RNN": lambda seed: RNN(4, activation="tanh", seed=seed),
}
OTHERS: dict[str, Callable[[int], TCN | SSM | CausalTransformer]] = {
    "TCN": lambda seed: TCN([4] * 3, 5, dilations=[1, 5, 25], convolutions=1, activation="tanh", seed=seed),
    "SSM": lambda seed: SSM(4, activation="tanh", seed=seed),
    "transformer": lambda seed: CausalTransformer(8, heads=2, positions="sinusoidal", seed=seed),
}
RANGES = {"short": (0.0, 0.25), "long": (0.5, 1.0)}  # lags, as shares of the horizon
ROUNDING = 1e-9  # relative errors below are printed as zero
SHOWN = 25  # lags of a curve in the table
COLUMNS = ["panel", "lag", "rho", "memory", "range", "error", "target", "model", "training", "p", "seed"]


@figure_data(
    title="Linear functionals: what the weight tᵖ makes five kinds of models remember",
    source="INTEREST (2307.11462), section 4",
)
def data(
    *,
    horizon: int = 100,
    powers: Sequence[float] = (0, 1, 2, 10),
    seeds: int = 3,
    recurrent_steps: int = 600,
    steps: int = 80,
    batch_size: int = 16,
    learning_rate: float = 0.02,
    samples: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train on ρ(t) = (1 + t/10)^{−1.1} and e^{−t/25} under the weights tᵖ, and measure what is remembered.

    Each model is trained from `seeds` initial weights on sampled batches, under all weights at once: the
    recurrent ones for `recurrent_steps` updates, the others for `steps`. The linear RNN is also trained on
    the exact expected loss, of which the run with the lowest loss is kept. The memory is that of the last
    step, over `samples` sequences; the errors are √(Σ (ρ̂_s − ρ_s)² / Σ ρ_s²) over the lags s < T/4 and
    s ≥ T/2.

    Columns: ``panel, lag, rho, memory, range, error, target, model, training, p, seed``; the panel *memory*
    has a few lags of each run, and *error* a number per run and range of lags.
    """
    for name, count in {"seeds": seeds, "samples": samples}.items():
        checks.positive_int(name, count)
    powers, starts = [float(p) for p in powers], range(seed, seed + seeds)
    training = {"batch_size": batch_size, "learning_rate": learning_rate, "device": device}
    training |= {"validate_every": 30, "validation_size": 8 * batch_size, "decay_patience": 2}
    measured = {"samples": samples, "seed": seed, "device": device}
    tables = []
    for name, rho in TARGETS.items():
        common = {"task": LinearFunctional(rho, horizon), "measured": measured}
        sampled = common | {"settings": training, "powers": powers, "starts": starts}
        exact = run_grid(_exact, product_of(p=powers), common | {"starts": starts})
        tables.append(exact.assign(target=name, model=LINEAR, training="exact"))
        for models, updates in ((RECURRENT, recurrent_steps), (OTHERS, steps)):
            trained = run_grid(_sampled, product_of(model=models), sampled | {"steps": updates})
            tables.append(trained.assign(target=name, training="sampled"))
    table = pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS)
    return _findings(table)


def _exact(
    p: float, task: LinearFunctional, starts: Sequence[int], measured: Mapping[str, Any]
) -> pd.DataFrame:
    """Return memory and errors of the linear RNN of the lowest expected loss over all starts."""
    trained = []
    for start in starts:
        model = RECURRENT[LINEAR](start).double()
        loss = fit_expected(model, task, loss=TemporallyWeightedMSE(p)).loss
        trained.append((loss, start, model))
    _, start, model = min(trained, key=lambda run: run[0])
    return _rows(task, model, measured).assign(seed=start)


def _sampled(
    model: str,
    task: LinearFunctional,
    powers: Sequence[float],
    starts: Sequence[int],
    steps: int,
    settings: Mapping[str, Any],
    measured: Mapping[str, Any],
) -> pd.DataFrame:
    """Train a model under every weight from every start, all at once; return its memories and errors."""
    runs = [(p, start) for p in powers for start in starts]
    models = [(RECURRENT | OTHERS)[model](start) for _, start in runs]
    losses = [TemporallyWeightedMSE(p) for p, _ in runs]
    sweep(models, task, loss=losses, steps=steps, seed=[start for _, start in runs], **settings)
    trained = zip(runs, models, strict=True)
    return pd.concat([_rows(task, m, measured).assign(p=p, seed=start) for (p, start), m in trained])


def _rows(task: LinearFunctional, model: nn.Module, measured: Mapping[str, Any]) -> pd.DataFrame:
    """Return the memory of a model at a few lags, and its errors over the ranges of lags."""
    rho = task.rho
    memory = memory_used(model, len(rho), **measured).values
    lags = np.arange(0, len(rho), max(1, len(rho) // SHOWN))
    curve = pd.DataFrame({"panel": "memory", "lag": lags, "rho": rho[lags], "memory": memory[lags]})
    errors = []
    for name, (first, last) in RANGES.items():
        some = slice(int(first * len(rho)), int(last * len(rho)))
        errors.append((name, np.linalg.norm(memory[some] - rho[some]) / np.linalg.norm(rho[some])))
    ranges = pd.DataFrame(errors, columns=["range", "error"]).assign(panel="error")
    return pd.concat([curve, ranges], ignore_index=True)


def range_errors(table: pd.DataFrame, target: str, model: str, training: str) -> pd.DataFrame:
    """Return the errors of a `model` in `table`, by p and seed, at short and at long lags of a `target`.

    The `training` is "sampled" or, for the linear RNN, "exact".
    """
    errors = rows(table, panel="error", target=target, model=model, training=training)
    return errors.pivot(index=["p", "seed"], columns="range", values="error")


def _by_power(errors: pd.DataFrame, lags: str) -> pd.DataFrame:
    """Return the errors over one range of lags, one column a power and one row a seed."""
    return errors.reset_index().pivot(index="seed", columns="p", values=lags)


def _findings(table: pd.DataFrame) -> Findings:
    low, high = float(table.p.min()), float(table.p.max())
    headline: dict[str, float] = {}
    by_run: dict[str, np.ndarray] = {}
    for model, training in ((LINEAR, "exact"), *((name, "sampled") for name in (*RECURRENT, *OTHERS))):
        errors = range_errors(table, "polynomial", model, training)
        logs = pd.DataFrame(pd.DataFrame(np.log(errors)).groupby(level="p").mean())
        typical = pd.DataFrame(np.exp(logs))
        for name in RANGES:
            by_power = _by_power(errors, name)
            label = f"{model}, {training}: error at {name} lags, p = {high:g} over p = {low:g}"
            headline[label] = float(typical.at[high, name] / typical.at[low, name])
            if training == "sampled":  # of the exact trainings only the best is there
                by_run[label] = by_power[high].to_numpy() / by_power[low].to_numpy()
    exact = [headline[f"{LINEAR}, exact: error at {r} lags, p = {high:g} over p = {low:g}"] for r in RANGES]
    always = []
    for name in (*RECURRENT, *OTHERS):
        by_power = _by_power(range_errors(table, "polynomial", name, "sampled"), "long")
        if (by_power[high].to_numpy() < by_power[low].to_numpy()).all():
            always.append(name)
    message = (
        f"Polynomial memory, p = {high:g} in place of {low:g}: the linear RNN trained on the exact loss has "
        f"{exact[0]:.2f} times the error at short lags and {exact[1]:.2f} times that at long ones. Of "
        f"sampled trainings, the error at long lags is smaller in every run for {len(always)} of the "
        f"{len(RECURRENT) + len(OTHERS)} models ({', '.join(always) or 'none'})."
    )
    return Findings(table, message, headline, printed=_printed(table), spread=spreads(by_run))


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return errors in per cent, short / long lags, with the range over the seeds where there are several."""

    def cell(of_range: pd.Series) -> str:
        ends = (of_range.min(), of_range.max())
        low, high = ("0" if v < ROUNDING else f"{100 * v:.2g}" for v in ends)
        return low if low == high else f"{low}–{high}"

    cells: dict[str, dict[str, str]] = {}
    runs = groups(rows(table, panel="error"), ["target", "model", "training", "p"])
    for (target, model, training, p), group in runs.items():
        row = f"{target}: {model}{', exact loss' if training == 'exact' else ''}"
        both = (cell(rows(group, range=name).error) for name in RANGES)
        cells.setdefault(f"$p={p:g}$", {})[row] = " / ".join(both)
    printed = pd.DataFrame(cells)
    printed.index.name = "relative error in %, short / long lags"
    return printed


def plot(data: FigureData) -> Figure:
    """Draw for polynomial memory the learnt memory and its error by lag, and the error by p."""
    models = [*RECURRENT, *OTHERS]
    table = rows(data.table, target="polynomial")
    looks = plotting.looks(table.p.unique())
    first, *_ = looks
    with plotting.style():
        figure, axes = plotting.canvas(
            len(models), 3, width=2.75 * len(models), height=8.2, sharey="row", sharex="row"
        )
        for column, model in zip(axes.T, models, strict=True):
            memories = rows(table, panel="memory", model=model)
            _draw_memories(column[0], column[1], memories, looks)
            for training in memories.training.unique():
                errors = range_errors(table, "polynomial", model, training)
                _draw_ratios(column[2], errors, list(looks), training)
            column[0].set(title=model, xlabel="lag $s$ (steps)", xlim=(0, None))
            column[1].set(xlabel="lag $s$ (steps)")
            column[2].set(xlabel="power $p$ of the weight $t^p$")
        axes[0, 0].set(ylabel=r"memory $\hat\rho_s$", ylim=(-0.1, 1.2))
        axes[1, 0].set(ylabel=r"error $|\hat\rho_s-\rho_s|$", yscale="log", ylim=(5e-4, 0.5))
        axes[2, 0].set(ylabel=f"error / error at $p={first:g}$", yscale="log", ylim=(0.2, 5))
        axes[2, 0].set_yticks([0.2, 0.5, 1, 2, 5], ["0.2", "0.5", "1", "2", "5"])
        axes[2, 0].minorticks_off()
        plotting.joined_legend(figure, [axes[0, 0], axes[2, 0]], ncols=4)
    return figure


def _draw_memories(
    memory: Axes, error: Axes, curves: pd.DataFrame, looks: Mapping[float, plotting.Look]
) -> None:
    target = curves.groupby("lag").rho.first()
    formula = TARGETS["polynomial"].label("s").strip("$")
    plotting.theory(memory, target.index, target, ls="--", lw=1.2, label=rf"target $\rho_s={formula}$")
    first, *_ = looks
    for p, look in looks.items():
        sampled, exact = (rows(curves, p=p, training=training) for training in ("sampled", "exact"))
        mean = sampled.groupby("lag").memory.mean()
        gap = (sampled.memory - sampled.rho).abs().groupby(sampled.lag).mean()
        label = f"{plotting.power_label(p)}, mean of runs"
        plotting.measured(memory, mean.index, mean, look, ms=3, label=label)
        plotting.measured(error, gap.index, gap, look, joined="" if len(exact) else ":", ms=3, lw=0.8)
        if len(exact):
            label, miss = "exact expected loss" if p == first else None, exact.memory - exact.rho
            plotting.theory(memory, exact.lag, exact.memory, look.color, lw=1.2, label=label)
            plotting.theory(error, exact.lag, miss.abs(), look.color, lw=1.2)


def _draw_ratios(axis: Axes, errors: pd.DataFrame, powers: Sequence[float], training: str) -> None:
    """Draw the errors of each run over those of the same run at the first power: means and ranges."""
    at, colors = np.arange(len(powers)), plotting.order(3)
    marks = {"short": ("o", -0.06, True), "long": ("^", 0.06, False)}
    for name, color in zip(RANGES, colors, strict=False):
        by_run = _by_power(errors, name).reindex(columns=powers)
        if training == "exact":
            exact = by_run.mean()  # one run per power, which need not be of one seed
            plotting.theory(axis, at, exact / exact.iloc[0], color, lw=1.4)
            continue
        ratios = by_run.div(by_run[powers[0]], axis=0)
        mean = np.exp(np.log(ratios).mean())
        mark, shift, hollow = marks[name]
        plotting.error_bars(
            axis,
            at + shift,
            mean,
            np.stack([mean - ratios.min(), ratios.max() - mean]),
            plotting.Look(color, mark),
            mfc="white" if hollow else color,
            lw=1,
            label=f"{name} lags: mean and range",
        )
    axis.axhline(1.0, color=plotting.INK, ls=":", lw=0.8)
    axis.set_xticks(at, [f"{p:g}" for p in powers])
