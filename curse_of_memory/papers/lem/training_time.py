"""Time of an update: LEM against LSTM, GRU and the plain time loop, at the sizes of the public code."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator
from torch import Tensor, nn

from curse_of_memory.nn import GRU, LEM, LSTM
from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED
from curse_of_memory.nn.recurrence.nonlinear.recurrence import naive_recurrence
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tools import checks

__all__ = ["MODELS", "SIZES", "NaiveLEM", "Size", "data", "plot"]


TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64)


class Size(NamedTuple):
    """A task of the public code: its batch, steps, inputs, units and Δt, and the channels of its answer.

    Attributes
    ----------
    batch, horizon, inputs, width, outputs : int
        Sequences in a batch, steps N, channels of the input, units h, channels of the answer.
    dt : float
        Δt.
    every_step : bool
        Whether the loss is on every step, and not on the last alone.
    """

    batch: int
    horizon: int
    inputs: int
    width: int
    outputs: int
    dt: float
    every_step: bool = False


SIZES = {
    "adding": Size(50, 2000, 2, 128, 1, 0.0242),
    "EigenWorms": Size(8, 17984, 6, 32, 5, 0.00017),
    "FitzHugh-Nagumo": Size(32, 1000, 1, 16, 1, 1.0, True),
    "Google12": Size(100, 126, 80, 128, 12, 1.0),
    "heart rate": Size(32, 4000, 2, 128, 1, 0.2371),
    "noisy CIFAR-10": Size(100, 1000, 96, 128, 10, 0.44),
    "sMNIST": Size(128, 784, 1, 128, 10, 0.21),
}
"""The tasks of the public code, by name."""


class NaiveLEM(nn.Module):
    """The weights of a :class:`LEM` of one layer, run step by step by torch's operations and its gradients.

    Parameters
    ----------
    layer : LEM
    """

    def __init__(self, layer: LEM):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return what the layer answers to `x` ``(batch, time, input)``, but for rounding."""
        cell, readout = self.layer.network.direction(0), self.layer.readout
        assert readout is not None
        bias = cell.input_bias + cell.recurrent_bias
        y = naive_recurrence(GATED, x, cell.recurrent_weight, cell.input_weight, bias, dt=cell.dt).y
        return readout(y)


def _lem(size: Size) -> LEM:
    return LEM(size.width, dt=size.dt, input_size=size.inputs, output_size=size.outputs, seed=0)


MODELS: dict[str, Callable[[Size], nn.Module]] = {
    "LEM": _lem,
    "LSTM": lambda size: LSTM(size.width, input_size=size.inputs, output_size=size.outputs, seed=0),
    "GRU": lambda size: GRU(size.width, input_size=size.inputs, output_size=size.outputs, seed=0),
    "plain loop": lambda size: NaiveLEM(_lem(size)),
}
"""Models of the same width, by name; a GRU then has three quarters of the weights."""


@figure_data(
    title="Time of an update against LSTM, GRU and the plain loop",
    source="Long Expressive Memory (2110.04744), sizes of its public code; the times are ours",
)
def data(
    *,
    tasks: Sequence[str] = tuple(SIZES),
    longest: int = 48,
    pairs: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Measure the processor time of an update of Adam, in turns: LEM, then another model, and so on.

    Sequences are cut to the `longest` number of steps; time grows in proportion to it. Each of `pairs` turns
    gives one ratio, of the other's time to that of LEM next to it, so that what else the machine does meets
    both. It is the time of all threads of the process; subnormal numbers are flushed for all; inputs are
    normal, drawn by `seed`. Columns: ``task, model, pair, steps, batch, seconds, ratio``. (Measured on the
    CPU, whatever the device.)
    """
    checks.positive_int("longest", longest)
    checks.positive_int("pairs", pairs)
    chosen = {name: SIZES[checks.one_of("tasks", name, SIZES)] for name in tasks}
    points = []
    with subnormals_flushed():
        for name, size in chosen.items():
            steps = min(size.horizon, longest)
            updates = {model: _update(make(size), size, steps, seed) for model, make in MODELS.items()}
            for update in updates.values():
                update()  # compilation and fresh memory are not what is measured
            for pair in range(pairs):
                for other in list(MODELS)[1:]:
                    lem, its = _seconds(updates["LEM"]), _seconds(updates[other])
                    point = {"task": name, "pair": pair, "steps": steps, "batch": size.batch}
                    points.append(point | {"model": "LEM", "seconds": lem, "ratio": 1.0})
                    points.append(point | {"model": other, "seconds": its, "ratio": its / lem})
    columns = ["task", "model", "pair", "steps", "batch", "seconds", "ratio"]
    return _findings(pd.DataFrame(points, columns=columns))


def _update(model: nn.Module, size: Size, steps: int, seed: int) -> Callable[[], None]:
    """Return one update of a model: forwards, backwards, and a step of Adam."""
    random = np.random.default_rng(seed)
    x = torch.from_numpy(random.standard_normal((size.batch, steps, size.inputs))).float()
    optimizer = torch.optim.Adam(model.parameters())

    def update() -> None:
        optimizer.zero_grad()
        y = model(x)
        (y if size.every_step else y[:, -1]).square().mean().backward()
        optimizer.step()

    return update


def _seconds(work: Callable[[], None]) -> float:
    """Return the processor time of some work, in all threads."""
    start = time.process_time()
    work()
    return time.process_time() - start


def _findings(table: pd.DataFrame) -> Findings:
    others = table.loc[table.model != "LEM"]
    headline: dict[str, float] = {}
    told, widest = [], 0.0
    for (task, model), some in groups(others, ["task", "model"]).items():
        headline[f"{task}: time of {model} over that of LEM"] = middle = float(some.ratio.median())
        widest = max(widest, float(some.ratio.max() - some.ratio.min()) / middle)
    for model, some in groups(others, "model").items():
        medians = some.groupby("task").ratio.median()
        told.append(f"{model} from {medians.min():.2g} to {medians.max():.2g}")
    message = (
        "Processor time of an update over that of LEM of the same width, at the sizes of "
        f"{table.task.nunique()} tasks: {', '.join(told)}. Ratios of one task are within {widest:.0%} "
        "of each other."
    )
    return Findings(table, message, headline)


def plot(data: FigureData) -> Figure:
    """Draw ratios to the time of LEM, by task: medians and ranges."""
    tasks = list(dict.fromkeys(data.table.task))
    looks = plotting.looks(list(MODELS)[1:])
    with plotting.style():
        figure, (axis,) = plotting.canvas(width=1.6 + 1.25 * len(tasks), height=4.4)
        for k, (model, look) in enumerate(looks.items()):
            at = np.arange(len(tasks)) + 0.22 * (k - (len(looks) - 1) / 2)
            ratios = [rows(data.table, task=task, model=model).ratio for task in tasks]
            middle = np.array([r.median() for r in ratios])
            span = np.array([[m - r.min(), r.max() - m] for m, r in zip(middle, ratios, strict=True)]).T
            plotting.error_bars(axis, at, middle, span, look, ms=7, label=f"{model} / LEM")
        axis.axhline(1, color="crimson", lw=1.6, label="LEM")
        sizes = [SIZES[task] for task in tasks]
        axis.set(
            yscale="log",
            yticks=[t for t in TICKS if data.table.ratio.min() / 2 < t < 2 * data.table.ratio.max()],
            ylabel="processor time of an update,\nover that of LEM",
            xlabel="task, sequences × steps of an update, units $h$",
            xticks=range(len(tasks)),
            xticklabels=[
                f"{task}\n{s.batch} × {n}\n$h={s.width}$"
                for task, s, n in zip(tasks, sizes, _steps(data.table, tasks), strict=True)
            ],
        )
        axis.yaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_minor_locator(NullLocator())
        axis.tick_params(axis="x", labelsize=9)
        axis.grid(visible=False, axis="x")
        plotting.joined_legend(figure, [axis], ncols=4)
    return figure


def _steps(table: pd.DataFrame, tasks: Sequence[str]) -> list[int]:
    return [int(rows(table, task=task).steps.iloc[0]) for task in tasks]
