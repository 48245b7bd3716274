"""The adding problem: how many updates LEM and others need until they add, at growing lengths."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.lem._comparison import last_answers
from curse_of_memory.papers.lem._comparison_report import SAID, looks_of, reduced
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Adding
from curse_of_memory.tools import checks
from curse_of_memory.training import fit

__all__ = ["data", "logs", "plot", "solved_from"]

SOLVED = 0.01  # a mean squared error below it counts as adding
NEVER = "never"
OFFICIAL = {"width": 128, "batch_size": 50}
LEM_COLOR = "crimson"  # filled for our trainings, dashed and hollow for the logs
EVALUATED = 50  # sequences at a time: the four gates of 128 units over 2000 steps of 1000 would take 4 GB


@figure_data(
    title="The adding problem",
    source="Long Expressive Memory (2110.04744), adding problem; result logs of its public code",
)
def data(
    *,
    lengths: Sequence[int] = (30, 60),
    beside_shortest: Sequence[str] = ("LSTM", "chrono LSTM"),
    beside_longest: Sequence[str] = ("LSTM",),
    width: int = 24,
    dt: float = 0.5,
    learning_rate: float = 0.01,
    batch_size: int = 32,
    steps: int = 400,
    steps_beside_longest: int = 300,
    stop_below: float = 0.003,
    validate_every: int = 20,
    samples: int = 250,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM to add at several `lengths`, and other models of as many weights at two of them.

    Adam without clipping, a fresh batch at every update, and errors after the last step. A training ends when
    its error on `samples` sequences, which are never trained on, is below `stop_below`, or after `steps`
    updates, `steps_beside_longest` of other models at the largest length. Beside the `seeds` trainings stand
    the logs of the public code. Columns: ``model, horizon, seed, step, error``; the mean squared error of the
    answer 1 is 1/6.
    """
    lengths = sorted(set(lengths))
    for name, models in {"beside_shortest": beside_shortest, "beside_longest": beside_longest}.items():
        for model in models:
            checks.one_of(name, model, MODELS[1:])
    common = {
        "width": width,
        "dt": dt,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "stop_below": stop_below,
        "validate_every": validate_every,
        "samples": samples,
        "device": device,
    }

    def trained(models: Sequence[str], horizon: int, steps: int) -> pd.DataFrame:
        runs = [
            {"model": model, "horizon": horizon, "seed": k}
            for model in models
            for k in range(seed, seed + checks.positive_int("seeds", seeds))
        ]
        return run_grid(_errors, runs, common | {"steps": steps}) if runs else pd.DataFrame()

    tables = [trained(["LEM"], horizon, steps) for horizon in reversed(lengths)]
    tables.append(trained(beside_shortest, lengths[0], steps))
    if len(lengths) > 1:
        tables.append(trained(beside_longest, lengths[-1], steps_beside_longest))
    return _findings(pd.concat(tables, ignore_index=True))


def _errors(
    model: str,
    horizon: int,
    seed: int,
    width: int,
    dt: float,
    learning_rate: float,
    batch_size: int,
    steps: int,
    stop_below: float,
    validate_every: int,
    samples: int,
    device: str,
) -> pd.DataFrame:
    """Train one model; return its error at every validation."""
    result = fit(
        made(model, width, dt=dt, memory=horizon, seed=seed, input_size=2),
        Adding(horizon),
        loss=nn.MSELoss(),
        output=last_answers,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        clip=math.inf,
        validate_every=validate_every,
        validation_size=samples,
        evaluation_size=EVALUATED,
        stop_below=stop_below,
        seed=seed,
        device=device,
    )
    return pd.DataFrame({"step": result.history.step, "error": result.history.validation_loss})


def logs() -> pd.DataFrame:
    """Return the logs of the public code: ``horizon, step, error``, one row per 100 updates."""
    return reference("lem/adding_logs")


def solved_from(curve: pd.DataFrame) -> float:
    """Return the first step from which the errors of one run stay below 0.01; infinity if they do not.

    Examples
    --------
    >>> solved_from(pd.DataFrame({"step": [0, 10, 20, 30], "error": [0.2, 0.009, 0.02, 0.008]}))
    30.0
    """
    above = curve.step[curve.error >= SOLVED]
    below = curve.step[curve.step > above.max()] if len(above) else curve.step
    return float(below.min()) if len(below) else math.inf


def _findings(table: pd.DataFrame) -> Findings:
    headline: dict[str, float | str] = {}
    paper: dict[str, float | str] = {}
    runs: dict[str, np.ndarray] = {}
    theirs = {horizon: solved_from(log) for horizon, log in groups(logs(), "horizon").items()}
    sentences = []
    for (horizon, name), some in groups(
        table.sort_values("horizon", kind="stable"), ["horizon", "model"]
    ).items():
        solved = np.array([solved_from(run) for run in groups(some, "seed").values()])
        ends = some.groupby("seed").error.last().to_numpy()
        label = f"{name}, T = {horizon}: updates until the error stays below {SOLVED:g}"
        middle = float(np.median(solved))
        headline[label] = NEVER if math.isinf(middle) else middle
        if np.isfinite(solved).all():
            runs[label] = solved
        if name == "LEM" and horizon in theirs:
            paper[label] = theirs[horizon]
        label = f"{name}, T = {horizon}: error after the last update"
        headline[label], runs[label] = float(np.median(ends)), ends
        last = some.groupby("seed").step.last().max()
        if math.isinf(middle):
            sentences.append(f"{name} at T = {horizon} has {np.median(ends):.2g} after {last}")
        else:
            sentences.append(f"{name} at T = {horizon} from {middle:.0f}")
    told = ", ".join(f"{steps:.0f} (T = {horizon})" for horizon, steps in theirs.items())
    message = (
        f"Updates from which the error stays below {SOLVED:g} (1/6 is had without memory): "
        f"{'; '.join(sentences)}. Those of the public logs of LEM: {told}: they hardly depend on the length."
    )
    return Findings(table, message, headline, paper, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw errors against updates at the least and the largest length, and from when on they are small."""
    lengths = sorted(data.table.horizon.unique())
    looks = looks_of(data.table.model)
    ends = lengths[:1] if len(lengths) == 1 else [lengths[0], lengths[-1]]
    with plotting.style():
        figure, axes = plotting.canvas(len(ends) + 1, width=4.1 * (len(ends) + 1), height=4.2)
        for axis, horizon, letter in zip(axes, ends, "ab", strict=False):
            _draw_errors(axis, rows(data.table, horizon=horizon), looks)
            log = rows(logs(), horizon=horizon)
            if len(log):
                seen = log[(log.step > 0) & (log.step <= rows(data.table, horizon=horizon).step.max())]
                plotting.theory(
                    axis, seen.step, seen.error, LEM_COLOR, ls="--", lw=1.4, label="LEM, public log"
                )
            axis.set(title=f"({letter}) $T={horizon}$")
        axes[0].set_ylabel("mean squared error")
        _draw_times(axes[-1], data.table, looks)
        axes[-1].set_title(f"({'abc'[len(ends)]}) Updates until below {SOLVED:g} for good")
        plotting.joined_legend(figure, axes, ncols=4)
        figure.suptitle(reduced(data.parameters, OFFICIAL, SAID), fontsize=11)
    return figure


def _draw_errors(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    for name, look in looks.items():
        if len(runs := rows(table, model=name)):
            # of the runs that ended early there is no number any more: the last one holds
            errors = runs.pivot(index="seed", columns="step", values="error").ffill(axis=1)
            plotting.over_seeds(axis, errors.columns, errors, look, ms=3.5, lw=1.2, label=name)
    axis.axhline(Adding(2).guessing_loss, color=plotting.INK, lw=1, label="without memory, 1/6")
    axis.axhline(SOLVED, color=plotting.INK, lw=1, ls=":")
    axis.set(yscale="log", ylim=(1e-3, 0.5), xlabel="updates")


def _draw_times(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    for name, look in looks.items():
        points = [
            (horizon, solved_from(run))
            for (horizon, _), run in groups(rows(table, model=name), ["horizon", "seed"]).items()
        ]
        reached = np.array([point for point in points if math.isfinite(point[1])]).reshape(-1, 2)
        plotting.measured(axis, reached[:, 0], reached[:, 1], look, ms=6)
    theirs = {horizon: solved_from(log) for horizon, log in groups(logs(), "horizon").items()}
    look = plotting.Look(LEM_COLOR, "*")
    plotting.measured(axis, [*theirs], [*theirs.values()], look, hollow=True, ms=10, label="LEM, public logs")
    axis.set(xscale="log", ylim=(0, None), xlabel="length $T$ (steps)", ylabel="updates")
