"""INTEREST (Wang & Yan, 2307.11462): loss against accuracy while a TCN learns to copy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.interest._copying_runs import (
    HALF,
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

__all__ = ["data", "plot"]

AUTHORS = "authors' logs"
LOGGED_LENGTH = 20  # digits, of the logs that their notebook shows
SMALLEST_LOSS = 1e-4  # drawn


@figure_data(
    title="Copying: loss against accuracy on the path of training",
    source="INTEREST (2307.11462), notebook of its public code",
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
    steps: int = 160,
    batch_size: int = 32,
    learning_rate: float = 0.01,
    validate_every: int = 10,
    samples: int = 128,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Follow loss and accuracy of TCNs that learn to copy, with the weights on the error and on the logits.

    Columns: ``model, p, seed, step, loss, cross_entropy, recall, everywhere``, one row per validation; `loss`
    is the one that is trained, `recall` and `everywhere` are accuracies. The model *authors' logs* stands for
    every third epoch of the authors' runs with 20 digits: `step` is the epoch, `loss` the loss of their code.
    """
    task = Copying(memory_length, blank)
    ours = copying_runs(
        ["TCN", ON_LOGITS],
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
    logs = rows(authors_runs(), memory_length=LOGGED_LENGTH)
    logs = logs.loc[(logs.epoch % 3 == 1) & logs.p.isin(list(powers))]
    theirs = logs.rename(columns={"epoch": "step"}).assign(model=AUTHORS, seed=0)
    table = pd.concat([ours, theirs], ignore_index=True).reindex(columns=ours.columns)
    return _findings(table, task)


def _findings(table: pd.DataFrame, task: Copying) -> Findings:
    headline: dict[str, float] = {}
    runs: dict[str, pd.Series] = {}
    for name in ("TCN", ON_LOGITS):
        half = rows(table, model=name)
        half = half.loc[half.recall >= HALF]
        for p, some in groups(half, "p").items():
            label = f"{name}: its loss once half the digits are recalled, p = {p:g}"
            runs[label] = some.groupby("seed", sort=False).loss.first()
            headline[label] = float(runs[label].median())
    low, high = float(table.p.min()), float(table.p.max())
    final = last_rows(rows(table, model=ON_LOGITS)).groupby(level="p", sort=False).median()
    right, loss = 100 * final.everywhere, final.loss
    message = (
        "The loss that is trained is another number for every p and every place of the weight; accuracies "
        f"can be compared. With the weight on the logits, p = {high:g} ends with {right[high]:.3g} % of all "
        f"positions right at a loss of {loss[high]:.2g}, and p = {low:g} with {right[low]:.3g} % at "
        f"{loss[low]:.2g}; guessing the digits costs {task.guessing_loss:.2g} without weights."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw accuracy against loss, a panel a place of the weight, and the authors' logs."""
    task = Copying(data.parameters["memory_length"], data.parameters["blank"])
    looks = plotting.looks(data.table.p.unique())
    panels = {
        "TCN": ("cross_entropy", "cross-entropy without weight", "weight on the error"),
        ON_LOGITS: ("loss", r"trained loss $\mathrm{CE}(w_t z_t)$", "weight on the logits"),
        AUTHORS: ("loss", r"trained loss $\mathrm{CE}(w_t z_t)$", f"authors' logs, {LOGGED_LENGTH} digits"),
    }
    with plotting.style():
        figure, axes = plotting.canvas(3, height=4.1)
        for axis, (name, (loss, title_of_loss, title)) in zip(axes, panels.items(), strict=True):
            for (p, _), path in groups(rows(data.table, model=name), ["p", "seed"]).items():
                accuracy, label = 100 * path.everywhere, plotting.power_label(p)
                plotting.measured(
                    axis, path[loss], accuracy, looks[p], joined="-", ms=3.5, lw=0.8, label=label
                )
            axis.set(xscale="log", xlabel=title_of_loss, title=title)
        known = np.linspace(0, 0.9999, 200)
        sure = (task.guessing.everywhere, 1 - task.guessing.everywhere)
        loss = task.guessing_loss * (1 - known)
        accuracy = 100 * (sure[0] + sure[1] * known)
        label = "knows some digits, guesses the others"
        plotting.theory(axes[0], loss, accuracy, ls="--", lw=1.2, label=label)
        for axis in axes[:2]:  # the untrained network, far below, is left out
            axis.set(xlim=(SMALLEST_LOSS, 3), ylim=(100 * task.always_blank.everywhere - 8, 101))
        axes[0].set(ylabel="accuracy over all positions (%)")
        plotting.joined_legend(figure, axes[:1], ncols=len(looks) + 1)
    return figure
