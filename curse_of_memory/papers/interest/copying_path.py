"""INTEREST (Wang & Yan, 2307.11462): loss against accuracy while a TCN learns to copy."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.interest.copying import ON_LOGITS, authors_runs, copying_runs, last_rows
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

AUTHORS = "authors' logs"
LOGGED_LENGTH = 20  # digits, of the logs that their notebook shows
HALF = 0.5  # of the digits
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
    runs: int = 3,
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
    """Follow loss and accuracy of TCNs that learn to copy, the weights on the error and on the logits.

    Columns are those of :func:`copying_runs`. Rows of the model *authors' logs* are every third epoch of
    their runs with 20 digits, with `step` the epoch and `loss` the one that their code trains.
    """
    task = Copying(memory_length, blank)
    ours = copying_runs(
        ["TCN", ON_LOGITS],
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
    logs = authors_runs()
    shown = (logs.memory_length == LOGGED_LENGTH) & (logs.epoch % 3 == 1) & logs.p.isin(list(powers))
    theirs = logs[shown].rename(columns={"epoch": "step"}).assign(model=AUTHORS, seed=0)
    table = pd.concat([ours, theirs], ignore_index=True)[list(ours.columns)]
    return _findings(table, task)


def _findings(table: pd.DataFrame, task: Copying) -> Findings:
    headline, runs = {}, {}
    for name in ("TCN", ON_LOGITS):
        half = table[(table.model == name) & (table.recall >= HALF)]
        first = half.groupby(["p", "seed"], sort=False).loss.first()
        for p, losses in first.groupby(level="p", sort=False):
            label = f"{name}: its loss once half the digits are recalled, p = {p:g}"
            headline[label] = float(losses.median())
            runs[label] = losses
    low, high = table.p.min(), table.p.max()
    final = last_rows(table[table.model == ON_LOGITS]).groupby(level="p", sort=False).median()
    right = 100 * final.everywhere
    message = (
        "The loss that is trained is another number for every p and every place of the weight; accuracies "
        f"can be compared. With the weight on the logits, p = {high:g} ends with {right[high]:.3g} % of all "
        f"positions right at a loss of {final.loss[high]:.2g}, and p = {low:g} with {right[low]:.3g} % at "
        f"{final.loss[low]:.2g}; guessing the digits costs {task.guessing_loss:.2g} without weights."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw accuracy against loss: plain, of the weight on the error; trained, on logits; and as logged."""
    given = data.parameters
    task = Copying(given["memory_length"], given["blank"])
    powers = data.table.p.unique()
    panels = {
        "TCN": ("cross_entropy", "cross-entropy without weight", "weight on the error"),
        ON_LOGITS: ("loss", r"trained loss $\mathrm{CE}(w_t z_t)$", "weight on the logits"),
        AUTHORS: ("loss", r"trained loss $\mathrm{CE}(w_t z_t)$", f"authors' logs, {LOGGED_LENGTH} digits"),
    }
    with plotting.style():
        figure, axes = plotting.canvas(3, height=4.1)
        for axis, (name, (loss, label, title)) in zip(axes, panels.items(), strict=True):
            of_model = data.table[data.table.model == name]
            for p, (color, mark) in zip(powers, plotting.distinct(len(powers)), strict=True):
                for run, (_, path) in enumerate(of_model[of_model.p == p].groupby("seed")):
                    axis.plot(
                        path[loss],
                        100 * path.everywhere,
                        f"{mark}-",
                        color=color,
                        ms=3.5,
                        lw=0.8,
                        label=None if run else plotting.power_label(p),
                    )
            axis.set(xscale="log", xlabel=label, title=title)
        known = np.linspace(0, 0.9999, 200)
        sure = (task.guessing.everywhere, 1 - task.guessing.everywhere)
        axes[0].plot(
            task.guessing_loss * (1 - known),
            100 * (sure[0] + sure[1] * known),
            color=plotting.INK,
            ls="--",
            lw=1.2,
            label="knows some digits, guesses the others",
        )
        for axis in axes[:2]:  # the untrained network, far below, is left out
            axis.set(xlim=(SMALLEST_LOSS, 3), ylim=(100 * task.always_blank.everywhere - 8, 101))
        axes[0].set(ylabel="accuracy over all positions (%)")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(powers) + 1)
    return figure
