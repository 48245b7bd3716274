"""INTEREST (Wang & Yan, 2307.11462): copying under the weights tᵖ, on the error and on the logits."""

import math
from collections.abc import Callable, Mapping, Sequence

import pandas as pd
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn import RNN
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.tools import checks
from curse_of_memory.training import fit, run_all

__all__ = ["ON_LOGITS", "authors_runs", "copying_runs", "data", "last_rows", "plot"]

LEARNT = 0.999  # accuracy over all positions from which on the task counts as learnt
HALF = 0.5  # of the digits
NEVER = "never"
ON_LOGITS = "TCN, weight on the logits"
COMPARED = 10  # digits of the authors' runs that ours stand beside


def _tcn(task: Copying, seed: int, width: int, levels: int, kernel_size: int) -> TCN:
    return TCN([width] * levels, kernel_size, seed=seed, **_sizes(task))


def _sizes(task: Copying) -> dict[str, int]:
    return {"input_size": task.input_size, "output_size": task.output_size}


def _ssm(task: Copying, seed: int, width: int) -> SequenceStack:
    def mixing(inside: int) -> SSM:
        lru = {"initial": "lru", "parameterization": "lru", "ring": (0.8, 1.0, 2 * math.pi)}
        return SSM(4 * inside, input_size=inside, output_size=inside, **lru)

    return SequenceStack(mixing, width, layers=1, seed=seed, **_sizes(task))


MODELS: Mapping[str, Callable[..., nn.Module]] = {
    "TCN": _tcn,
    ON_LOGITS: _tcn,
    "tanh RNN": lambda task, seed, width, **_: RNN(2 * width, activation="tanh", seed=seed, **_sizes(task)),
    "SSM": lambda task, seed, width, **_: _ssm(task, seed, width),
    "transformer": lambda task, seed, width, **_: CausalTransformer(
        width, heads=2, positions="sinusoidal", seed=seed, **_sizes(task)
    ),
}


class _Watched(nn.Module):
    """A loss that notes, wherever no gradient is asked for, the plain cross-entropy and the accuracy, too."""

    def __init__(self, loss: nn.Module, task: Copying):
        super().__init__()
        self.loss, self.task, self.plain = loss, task, TemporallyWeightedCrossEntropy()
        self.seen: list[dict[str, float]] = []

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        if not torch.is_grad_enabled():  # a validation of fit
            right = self.task.accuracy(logits, classes)
            self.seen.append({"cross_entropy": self.plain(logits, classes).item()} | right._asdict())
        return self.loss(logits, classes)


def _trained(name: str, task: Copying, p: float, seed: int, sizes: Mapping, settings: Mapping):
    """Return one row per validation of one run."""
    model = MODELS[name](task, seed, **sizes)
    form = "on_logits" if name == ON_LOGITS else "error"
    watched = _Watched(TemporallyWeightedCrossEntropy(p, form=form), task)
    history = fit(model, task, loss=watched, seed=seed, **settings).history
    told = {"model": name, "p": p, "seed": seed, "step": history.step, "loss": history.validation_loss}
    return pd.DataFrame(told).join(pd.DataFrame(watched.seen))


def copying_runs(
    names: Sequence[str],
    task: Copying,
    powers: Sequence[float],
    seeds: Sequence[int],
    *,
    width: int,
    levels: int,
    kernel_size: int,
    **settings,
) -> pd.DataFrame:
    """Train models to copy, under the weights tᵖ of mean one, and return what the validations saw.

    Parameters
    ----------
    names : sequence of str
        "TCN", "TCN, weight on the logits", "tanh RNN", "SSM", "transformer".
    task : Copying
        With classes.
    powers, seeds : sequence
        Every combination is trained; a seed names the initial weights and the batches.
    width, levels, kernel_size : int
        Of the TCN; SSM and transformer have the same width, the RNN twice that.
    settings
        Of :func:`curse_of_memory.training.fit`.

    Returns
    -------
    pandas.DataFrame
        Columns ``model, p, seed, step, loss, cross_entropy, recall, everywhere``, one row per validation: the
        loss that is trained, the one without weights, and the accuracy on recalled positions and on all.
    """
    sizes = {"width": width, "levels": levels, "kernel_size": kernel_size}
    calls = [
        {"name": name, "task": task, "p": float(p), "seed": seed, "sizes": sizes, "settings": settings}
        for name in names
        for p in powers
        for seed in seeds
    ]
    return pd.concat(run_all(_trained, calls), ignore_index=True)


def authors_runs() -> pd.DataFrame:
    """Return the authors' 24 runs: ``memory_length, p, epoch, loss, accuracy, grad_norm, everywhere``.

    Their loss has the weight on the logits; `everywhere` is the accuracy as a share.
    """
    logs = reference("interest/copying_logs")
    return logs.assign(everywhere=logs.accuracy / 100)


def last_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last validation of each run, by model, p and seed."""
    return table.groupby(["model", "p", "seed"], sort=False).last()


@figure_data(
    title="Copying under the weights tᵖ",
    source="INTEREST (2307.11462), copying; training logs of its public code",
)
def data(
    *,
    memory_length: int = 3,
    blank: int = 10,
    powers: Sequence[float] = (0, 1, 2, 10),
    runs: int = 3,
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
    """Train a TCN, a tanh RNN, an SSM and a transformer to copy digits, with the weights tᵖ of mean one.

    The weights multiply the cross-entropy of each step, and for the TCN, in another training, the logits, as
    in the public code. Columns are those of :func:`copying_runs`.
    """
    task = Copying(memory_length, blank)
    table = copying_runs(
        list(MODELS),
        task,
        powers,
        range(seed, seed + checks.positive_int("runs", runs)),
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
    """Return the first time of each run at which it has `reached` something, infinite if there is none."""
    times = table[clock].where(reached, math.inf)
    return times.groupby([table[name] for name in by], sort=False).min()


def _findings(table: pd.DataFrame) -> Findings:
    low, high = table.p.min(), table.p.max()
    run = ["model", "p", "seed"]
    half, learnt = (
        _when(table, reached, "step", run).unstack("seed")
        for reached in (table.recall >= HALF, table.everywhere >= LEARNT)
    )
    ends = last_rows(table).everywhere.unstack("seed")
    final = ends.median(axis=1)
    logs = authors_runs()
    logs = logs[logs.memory_length == COMPARED]
    theirs = _when(logs, logs.everywhere >= LEARNT, "epoch", ["p"])
    headline, paper, runs, sooner = {}, {}, {}, []

    def compare(label: str, times: pd.DataFrame, name: str, p: float) -> float | str:
        ours, base = times.loc[name, p], times.loc[name, low]
        headline[label] = ratio = _ratio(ours.median(), base.median())
        if ratio != NEVER and base.max() < math.inf:  # else there is a run without a ratio
            runs[label] = ours / base
        return ratio

    for name in MODELS:
        label = f"{name}: time to recall half the digits, p = {high:g} over p = {low:g}"
        ratio = compare(label, half, name, high)
        if name != ON_LOGITS and ratio != NEVER and ratio < 1:
            sooner.append(name)
    worse = [name for name in MODELS if name != ON_LOGITS and final[name, high] < final[name, low]]
    for name in ("TCN", ON_LOGITS):
        for p in table.p.unique():
            label = f"{name}: accuracy over all positions at the end, %, p = {p:g}"
            headline[label] = 100 * float(final[name, p])
            runs[label] = 100 * ends.loc[name, p]
            if p in theirs.index and name == ON_LOGITS:
                paper[label] = float(logs[logs.p == p].accuracy.iloc[-1])
            if p == low:
                continue
            label = f"{name}: time to an accuracy of 99.9 %, p = {p:g} over p = {low:g}"
            compare(label, learnt, name, p)
            if name == ON_LOGITS and {p, low} <= set(theirs.index):
                paper[label] = _ratio(theirs[p], theirs[low])
    message = (
        f"With the weight on the error, p = {high:g} recalls half of the digits sooner than p = {low:g} for "
        f"{len(sooner)} of {len(MODELS) - 1} models ({', '.join(sooner) or 'none'}): what is recalled stands "
        f"at the end, where that weight is. Over all positions {len(worse)} end lower "
        f"({', '.join(worse) or 'none'}): early blanks weigh next to nothing. The authors' logs, with the "
        "weight on the logits, show no advantage of a larger p."
    )
    return Findings(table, message, headline, paper, _printed(table), spreads(runs))


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
            for row, some in runs[runs.p == p].groupby("row", sort=False):
                learnt = _when(some, some.everywhere >= LEARNT, "clock", ["seed"])
                final = some.groupby("seed").everywhere.last()
                column[row] = cell(final.median(), learnt.median())
    printed = pd.DataFrame(cells).fillna("—")
    printed.index.name = "accuracy at the end (time to 99.9 %)"
    return printed


def plot(data: FigureData) -> Figure:
    """Draw the share of recalled digits against the step, one panel a model: medians and ranges."""
    powers = data.table.p.unique()
    with plotting.style():
        figure, axes = plotting.canvas(len(MODELS), width=2.9 * len(MODELS), sharey=True, height=3.6)
        for axis, name in zip(axes, MODELS, strict=True):
            of_model = data.table[data.table.model == name]
            for p, (color, mark) in zip(powers, plotting.distinct(len(powers)), strict=True):
                by_step = of_model[of_model.p == p].groupby("step").recall
                axis.plot(by_step.median(), f"{mark}-", color=color, ms=3.5, label=plotting.power_label(p))
                axis.fill_between(
                    by_step.min().index, by_step.min(), by_step.max(), color=color, alpha=0.15, lw=0
                )
            axis.axhline(1 / Copying(1, 1).symbols, color=plotting.INK, ls=":", lw=1, label="guessing")
            axis.set(xlabel="training step", title=name.replace(", ", ",\n"))
        axes[0].set(ylabel="share of digits recalled")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(powers) + 1)
    return figure
