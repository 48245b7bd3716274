"""INTEREST (Wang & Yan, 2307.11462): encoder-decoders under the weights tᵖ, on a task they do learn."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn.encoder_decoder import EncoderDecoder, t5
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks import MarkedSymbols
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.training import fit

__all__ = ["data", "plot"]

EARLY, LATE = "first third", "last third"
TRIED = 1  # entry of the seed of what is tried, beside that of training


@figure_data(
    title="Marked symbols under the weights tᵖ",
    source="INTEREST (2307.11462), encoder-decoders under weighted errors; the task is ours",
)
def data(
    *,
    length: int = 20,
    marked: int = 6,
    symbols: int = 12,
    powers: Sequence[float] = (0, 1, 2, 10),
    width: int = 64,
    layers: int = 1,
    heads: int = 4,
    updates: int = 300,
    batch_size: int = 32,
    learning_rate: float = 0.003,
    looks: int = 6,
    tried: int = 512,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train encoder-decoders to say the marked symbols of a sequence, with errors weighed by tᵖ.

    The sequences have `length` symbols of so many different `symbols`, of which `marked` are to be said. What
    is measured at each of some `looks` are the plain errors of `tried` sequences, whatever the weight was.

    Columns: ``p, seed, update, step, cross_entropy, right``: nats and the share of right answers at each step
    of the target.
    """
    looks = checks.positive_int("looks", looks)
    if checks.positive_int("updates", updates) < looks:
        raise ValueError(f"updates must be as many as looks = {looks} at least, got {updates}")
    task = MarkedSymbols(length, marked=marked, symbols=symbols)
    if task.marked < 3:
        raise ValueError(f"marked must be at least 3, the steps of which there is a late part, got {marked}")
    common = {
        "task": task,
        "width": width,
        "layers": layers,
        "heads": heads,
        "updates": updates,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "every": updates // looks,
        "tried": checks.positive_int("tried", tried),
        "device": device,
    }
    count = checks.positive_int("seeds", seeds)
    table = run_grid(_run, product_of(p=powers, seed=range(seed, seed + count)), common)
    return _findings(table.astype({"p": float}), task)


def _run(
    p: float,
    seed: int,
    task: MarkedSymbols,
    width: int,
    layers: int,
    heads: int,
    updates: int,
    batch_size: int,
    learning_rate: float,
    every: int,
    tried: int,
    device: str,
) -> pd.DataFrame:
    """Train one encoder-decoder; return what it says of each step, at each look."""
    model = EncoderDecoder(
        t5(task.vocabulary, width=width, layers=layers, heads=heads, marks=task.marks, seed=seed), task.source
    )
    sources, labels = task.sample(tried, seed=(seed, TRIED), device=resolve_device(device))
    plain = TemporallyWeightedCrossEntropy(reduction="none")

    def profile(model: nn.Module) -> dict[str, float]:
        with torch.no_grad():
            answers: Tensor = model(sources)
        errors, right = plain(answers, labels).mean(0), task.accuracy(answers, labels)
        return {f"error_{t}": v for t, v in enumerate(errors.tolist(), 1)} | {
            f"right_{t}": v for t, v in enumerate(right.tolist(), 1)
        }

    history = fit(
        model,
        task,
        loss=TemporallyWeightedCrossEntropy(p),
        steps=updates,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        validate_every=every,
        validation_size=batch_size,
        watch=profile,
        seed=seed,
        device=device,
    ).history
    seen = history.dropna(subset=["error_1"])  # the start has no look
    steps = np.arange(1, task.marked + 1)
    return pd.DataFrame(
        {
            "update": np.repeat(seen["step"].to_numpy(int), len(steps)),
            "step": np.tile(steps, len(seen)),
            "cross_entropy": seen[[f"error_{t}" for t in steps]].to_numpy().ravel(),
            "right": seen[[f"right_{t}" for t in steps]].to_numpy().ravel(),
        }
    )


def _thirds(table: pd.DataFrame) -> pd.DataFrame:
    """Return the mean cross-entropy of the first and the last third of the steps, by p, seed and update."""
    third = int(table.step.max()) // 3
    some = table[(table.step <= third) | (table.step > table.step.max() - third)]
    part = np.where(some.step <= third, EARLY, LATE)
    return some.cross_entropy.groupby([some.p, some.seed, some["update"], part]).mean().unstack()


def _findings(table: pd.DataFrame, task: MarkedSymbols) -> Findings:
    thirds = _thirds(table)
    end = int(table["update"].to_numpy().max())
    last = thirds.xs(end, level="update")
    right = rows(table, update=end).groupby(["p", "seed"]).right.mean()
    by_run: dict[str, np.ndarray] = {}
    headline: dict[str, float | str] = {}
    for p, own in last.groupby("p"):
        numbers = {
            "late minus early (nats)": own[LATE] - own[EARLY],
            "last third (nats)": own[LATE],
            "first third (nats)": own[EARLY],
            "right (%)": 100 * right.xs(p),
        }
        for label, values in numbers.items():
            by_run[f"p = {p:g}: {label}"] = values.to_numpy()
            headline[f"p = {p:g}: {label}"] = float(values.median())
    for p in sorted(table.p.unique()):
        headline[f"p = {p:g}: effective steps of {task.marked}"] = bias.effective_steps(
            bias.power(p), task.marked
        )
    powers = list(last.index.unique("p"))
    late, early, tilts = (
        ", ".join(f"{headline[f'p = {p:g}: {label} (nats)']:.2f}" for p in powers)
        for label in ("last third", "first third", "late minus early")
    )
    message = (
        f"Plain errors in nats after {end} updates, medians, with p = "
        f"{', '.join(f'{p:g}' for p in powers)}: of the last third of the steps {late}, of the first third "
        f"{early}, late minus early {tilts}. Guessing has {task.guessing:.2f}, and knowing which symbols are "
        f"marked, but not their order, {task.unordered:.2f}."
    )
    return Findings(table, message, headline, spread=spreads(by_run))


def plot(data: FigureData) -> Figure:
    """Draw errors by output step, late against early ones while training, and the late ones themselves."""
    table = data.table
    looks = plotting.looks(sorted(table.p.unique()))
    sizes = {name: data.parameters[name] for name in ("length", "marked", "symbols")}
    task = MarkedSymbols(**sizes)
    thirds = _thirds(table)
    with plotting.style():
        figure, axes = plotting.canvas(3, width=12.5, height=4.4)
        _draw_profile(axes[0], rows(table, update=table["update"].max()), task, looks)
        _draw_path(axes[1], pd.Series(thirds[LATE] - thirds[EARLY]), looks)
        _draw_path(axes[2], pd.Series(thirds[LATE]), looks)
        axes[1].axhline(0, color=plotting.INK, lw=1, ls=":")
        axes[2].axhline(task.guessing, color=plotting.INK, lw=1.2)
        axes[2].axhline(task.unordered, color=plotting.INK, lw=1.2, ls="--")
        axes[1].set(ylabel="last third − first third (nats)", title="(b) Tilt")
        axes[2].set(ylabel="cross-entropy, last third (nats)", title="(c) The late steps themselves")
        plotting.joined_legend(figure, axes, ncols=6)
    return figure


def _draw_profile(
    axis: Axes, table: pd.DataFrame, task: MarkedSymbols, looks: dict[float, plotting.Look]
) -> None:
    axis.axhline(task.guessing, color=plotting.INK, lw=1.2, label="guessing")
    axis.axhline(
        task.unordered, color=plotting.INK, lw=1.2, ls="--", label="marked symbols known, not their order"
    )
    for p, look in looks.items():
        own = rows(table, p=p).pivot(index="seed", columns="step", values="cross_entropy")
        plotting.over_seeds(axis, own.columns, own, look, ms=6, label=plotting.power_label(p))
    axis.set(xlabel="output step $t$", ylabel="cross-entropy (nats)", title="(a) At the end")


def _draw_path(axis: Axes, values: pd.Series, looks: dict[float, plotting.Look]) -> None:
    for p, look in looks.items():
        own = pd.Series(values.xs(p)).unstack("update")
        plotting.over_seeds(axis, own.columns, own, look, ms=6)
    axis.set(xlabel="updates")
