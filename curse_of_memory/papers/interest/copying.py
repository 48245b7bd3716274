"""INTEREST (Wang & Yan, 2307.11462): copying under the weights tᵖ, on the error and on the logits."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.interest._copying_runs import (
    HALF,
    MODELS,
    ON_LOGITS,
    authors_runs,
    copying_runs,
    last_rows,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.tools import checks

__all__ = ["authors_runs", "data", "last_rows", "plot"]

LEARNT = 0.999  # accuracy over all positions from which on the task counts as learnt
NEVER = "never"
COMPARED = 10  # digits of the authors' runs that ours stand beside


@figure_data(
    title="Copying under the weights tᵖ",
    source="INTEREST (2307.11462), copying; training logs of its public code",
)
def data(
    *,
    memory_length: int = 3,
    blank: int = 10,
    powers: Sequence[float] = (0, 1, 2, 10),
    seeds: int = 3,
    width: int = 16,
    levels: int = 3,
    kernel_size: int = 4,
    steps: int = 200,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    validate_every: int = 20,
    samples: int = 128,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train a TCN, a tanh RNN, an SSM and a transformer to copy digits, under the weights tᵖ of mean one.

    The weights multiply the cross-entropy of each step; for the TCN, in a second training, they multiply the
    logits, as in the public code. Columns: ``model, p, seed, step, loss, cross_entropy, recall, everywhere``,
    one row per validation; `loss` is the one that is trained, `recall` and `everywhere` are accuracies.
    """
    task = Copying(memory_length, blank)
    table = copying_runs(
        list(MODELS),
        task,
        powers,
        range(seed, seed + checks.positive_int("seeds", seeds)),
        width=width,
        levels=levels,
        kernel_size=kernel_size,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=validate_every,
        validation_size=samples,
        device=device,
    )
    return _findings(table)


def _when(table: pd.DataFrame, reached: pd.Series, clock: str, by: Sequence[str]) -> pd.Series:
    """Return the first time at which each run has `reached` something; infinity for a run that never has."""
    times = table[clock].where(reached, math.inf)
    return pd.Series(times.groupby([table[name] for name in by], sort=False).min())


def _findings(table: pd.DataFrame) -> Findings:
    low, high = float(table.p.min()), float(table.p.max())
    half = _by_seed(table, table.recall >= HALF)
    learnt = _by_seed(table, table.everywhere >= LEARNT)
    ends = last_rows(table).everywhere.unstack("seed")
    final = ends.median(axis=1)
    logs = rows(authors_runs(), memory_length=COMPARED)
    theirs = _when(logs, logs.everywhere >= LEARNT, "epoch", ["p"])
    headline: dict[str, float | str] = {}
    paper: dict[str, float | str] = {}
    runs: dict[str, np.ndarray] = {}
    sooner = []

    def compare(label: str, times: pd.DataFrame, name: str, p: float) -> float | str:
        ours, base = (times.xs((name, power)).to_numpy() for power in (p, low))
        headline[label] = ratio = _ratio(float(np.median(ours)), float(np.median(base)))
        if ratio != NEVER and np.isfinite(base).all():  # else there is a run without a ratio
            runs[label] = ours / base
        return ratio

    for name in MODELS:
        label = f"{name}: time to recall half the digits, p = {high:g} over p = {low:g}"
        ratio = compare(label, half, name, high)
        if name != ON_LOGITS and not isinstance(ratio, str) and ratio < 1:
            sooner.append(name)
    worse = [name for name in MODELS if name != ON_LOGITS and final[name, high] < final[name, low]]
    for name in ("TCN", ON_LOGITS):
        for p in table.p.unique():
            label = f"{name}: accuracy over all positions at the end, %, p = {p:g}"
            headline[label] = 100 * float(final[name, p])
            runs[label] = 100 * ends.xs((name, p)).to_numpy()
            if p in theirs.index and name == ON_LOGITS:
                paper[label] = float(rows(logs, p=p).accuracy.iloc[-1])
            if p == low:
                continue
            label = f"{name}: time to an accuracy of 99.9 %, p = {p:g} over p = {low:g}"
            compare(label, learnt, name, p)
            if name == ON_LOGITS and {p, low} <= set(theirs.index):
                paper[label] = _ratio(float(theirs.loc[p]), float(theirs.loc[low]))
    message = (
        f"With the weight on the error, p = {high:g} recalls half of the digits sooner than p = {low:g} for "
        f"{len(sooner)} of {len(MODELS) - 1} models ({', '.join(sooner) or 'none'}): what is recalled stands "
        f"at the end, where that weight is. Over all positions {len(worse)} end lower "
        f"({', '.join(worse) or 'none'}): early blanks weigh next to nothing. The authors' logs, with the "
        "weight on the logits, show no advantage of a larger p."
    )
    return Findings(table, message, headline, paper, _printed(table), spreads(runs))


def _by_seed(table: pd.DataFrame, reached: pd.Series) -> pd.DataFrame:
    """Return the first step at which each run has `reached` something: by model and p, a column a seed."""
    return _when(table, reached, "step", ["model", "p", "seed"]).unstack("seed")


def _ratio(time: float, base: float) -> float | str:
    return NEVER if math.isinf(time) or math.isinf(base) else float(time / base)


def _printed(table: pd.DataFrame) -> pd.DataFrame:
    """Return accuracies over all positions and times to 99.9 %: ours by model, the authors' by length."""

    def cell(accuracy: float, learnt: float) -> str:
        return f"{100 * accuracy:.4g} % ({NEVER if math.isinf(learnt) else f'{learnt:.0f}'})"

    logs = authors_runs()
    ours = table.assign(row=table.model + " (steps)", clock=table.step)
    names = logs.memory_length.map("authors' TCN, {} digits (epochs)".format)
    theirs = logs.assign(row=names, clock=logs.epoch, seed=0)
    cells: dict[str, dict[str, str]] = {}
    for p in table.p.unique():
        column = cells.setdefault(f"$p={p:g}$", {})
        for runs in (ours, theirs):
            for row, some in groups(rows(runs, p=p), "row").items():
                learnt = _when(some, some.everywhere >= LEARNT, "clock", ["seed"])
                final = some.groupby("seed").everywhere.last()
                column[row] = cell(final.median(), learnt.median())
    printed = pd.DataFrame(cells).fillna("—")
    printed.index.name = "accuracy at the end (time to 99.9 %)"
    return printed


def plot(data: FigureData) -> Figure:
    """Draw the share of recalled digits against the step, one panel a model: medians and ranges."""
    looks = plotting.looks(data.table.p.unique())
    with plotting.style():
        figure, axes = plotting.canvas(len(MODELS), width=2.9 * len(MODELS), sharey=True, height=3.6)
        for axis, name in zip(axes, MODELS, strict=True):
            for p, look in looks.items():
                runs = rows(data.table, model=name, p=p).pivot(index="seed", columns="step", values="recall")
                label = plotting.power_label(p)
                plotting.over_seeds(axis, runs.columns, runs, look, alpha=0.15, ms=3.5, label=label)
            axis.axhline(1 / Copying(1, 1).symbols, color=plotting.INK, ls=":", lw=1, label="guessing")
            axis.set(xlabel="training step", title=name.replace(", ", ",\n"))
        axes[0].set(ylabel="share of digits recalled")
        plotting.joined_legend(figure, axes[:1], ncols=len(looks) + 1)
    return figure
