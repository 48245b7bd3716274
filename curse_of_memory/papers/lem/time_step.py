"""Results by the largest step Δt: how well LEM recalls the first of N numbers, by Δt and by NΔt."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import LEM
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit

__all__ = ["PUBLIC_SETTINGS", "data", "plot"]

PUBLIC_SETTINGS = {
    "EigenWorms": (17984, 0.00017),
    "adding, T = 2000": (2000, 0.0242),
    "adding, T = 5000": (5000, 0.0242),
    "adding, T = 10 000": (10000, 0.0242),
    "Google12": (126, 1.0),
    "sMNIST": (784, 0.21),
    "psMNIST": (784, 0.31),
    "noisy CIFAR-10": (1000, 0.44),
    "heart rate": (4000, 0.2371),
    "FitzHugh-Nagumo": (1000, 1.0),
}
"""Steps of a sequence and Δt, by task, in the public code."""


@figure_data(
    title="Results by the time step of LEM",
    source="Long Expressive Memory (2110.04744), settings of its public code; the experiment is ours",
)
def data(
    *,
    lengths: Sequence[int] = (20, 60),
    dts: Sequence[float] = (1.0, 0.3, 0.1, 0.03),
    width: int = 16,
    learning_rate: float = 0.02,
    batch_size: int = 32,
    steps: int = 120,
    samples: int = 256,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM to say the first of N numbers after the last one, for every N in `lengths` and Δt in `dts`.

    The numbers are independent and normal of variance one, and so the error of no memory is one. Adam without
    clipping, `steps` updates with fresh batches; the error is the least on `samples` sequences, over five
    validations. Columns: ``horizon, dt, seed, error``.
    """
    common = {
        "width": width,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "steps": steps,
        "samples": samples,
        "device": device,
    }
    runs = product_of(horizon=sorted(lengths), dt=sorted(dts), seed=range(seed, seed + seeds))
    return _findings(run_grid(_recall, runs, common))


def _recall(
    horizon: int,
    dt: float,
    seed: int,
    width: int,
    learning_rate: float,
    batch_size: int,
    steps: int,
    samples: int,
    device: str,
) -> dict[str, float]:
    """Train one LEM; return its least mean squared error after the last step."""
    result = fit(
        LEM(width, dt=dt, seed=seed),
        LinearFunctional(np.eye(horizon)[-1], horizon),  # x_0, at the last step
        loss=TemporallyWeightedMSE(power=math.inf),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        clip=math.inf,
        validate_every=max(1, steps // 5),
        validation_size=samples,
        seed=seed,
        device=device,
    )
    return {"error": result.loss}


def _medians(table: pd.DataFrame) -> pd.DataFrame:
    """Return the medians over the seeds: a row a length, a column a step."""
    return table.pivot_table(index="horizon", columns="dt", values="error", aggfunc="median")


def _findings(table: pd.DataFrame) -> Findings:
    medians = _medians(table)
    best = {int(horizon): float(medians.loc[horizon].idxmin()) for horizon in medians.index}
    headline: dict[str, float] = {}
    runs: dict[str, np.ndarray] = {}
    for horizon, dt in best.items():
        headline[f"N = {horizon}: the best dt"] = dt
        headline[f"N = {horizon}: the best N dt"] = horizon * dt
        for name, step in (("the best dt", dt), ("dt = 1", 1.0)):
            if step in medians.columns:
                label = f"N = {horizon}: error with {name}"
                headline[label] = float(medians.loc[horizon, step])
                runs[label] = rows(table, horizon=horizon, dt=step).error.to_numpy()
    told = "; ".join(
        f"N = {horizon}: dt = {dt:g}, N dt = {horizon * dt:g}, error {medians.loc[horizon, dt]:.2g}"
        for horizon, dt in best.items()
    )
    public = [steps * dt for steps, dt in PUBLIC_SETTINGS.values()]
    falling = all(np.diff(list(best.values())) < 0)
    message = (
        f"The step that recalls the first of N numbers best (an error of 1 is had without memory): {told}. "
        f"{'Longer sequences want smaller steps. ' if falling else ''}The settings of the public code have "
        f"N dt from {min(public):.0f} to {max(public):.0f}."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw errors against Δt, and against NΔt with the settings of the public code below."""
    looks = plotting.looks(data.table.horizon.unique())
    with plotting.style():
        figure, axes = plotting.canvas(2, width=9.4, height=4.2, sharey=True)
        for axis, scaled in zip(axes, (False, True), strict=True):
            _draw(axis, data.table, looks, scaled)
        axes[0].set(
            xlabel=r"largest step $\Delta t$",
            ylabel="mean squared error",
            title=r"(a) By $\Delta t$",
        )
        axes[1].set(xlabel=r"$N\,\Delta t$", title=r"(b) By $N\Delta t$")
        public = np.array([steps * dt for steps, dt in PUBLIC_SETTINGS.values()])
        low = axes[1].get_ylim()[0]
        plotting.measured(
            axes[1],
            public,
            np.full(len(public), 1.25 * low),
            plotting.Look("crimson", "|"),
            ms=11,
            mew=1.6,
            label="tasks of the public code",
        )
        plotting.joined_legend(figure, axes, ncols=4)
    return figure


def _draw(axis: Axes, table: pd.DataFrame, looks: dict[int, plotting.Look], scaled: bool) -> None:
    for horizon, some in groups(table, "horizon").items():
        errors = some.pivot(index="seed", columns="dt", values="error")
        x = errors.columns.to_numpy() * (horizon if scaled else 1)
        plotting.over_seeds(axis, x, errors, looks[horizon], label=f"$N={horizon}$")
    axis.axhline(1, color=plotting.INK, lw=1, label="without memory")
    axis.set(xscale="log", yscale="log")
