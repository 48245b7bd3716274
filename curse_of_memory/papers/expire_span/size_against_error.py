"""Size against error: how many memories are alive, and what is got wrong, by each law of forgetting."""

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.expire_span._stream_trainings import (
    AMOUNTS,
    LAWS,
    SINKS,
    Sizes,
    StreamTask,
    network,
    other_laws,
    trained,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.labelled_streams import AgeLaw, Corridor, DistantCopy, Portal
from curse_of_memory.tools import checks

__all__ = ["FLOOR", "data", "needed_window", "plot"]

FLOOR = "least error of any window"
CLASSES = {"corridor": 2, "portal": 2, "copy": 4}
LAYERS = {"corridor": 2, "portal": 3, "copy": 2}


class _Task(StreamTask, Protocol):
    """A stream of tokens of which any window has an exact floor."""

    vocabulary: int

    @property
    def age_law(self) -> AgeLaw:
        """Law of the ages of what is asked."""
        ...


def _made(name: str) -> tuple[_Task, int]:
    """Return a task, and the number that it is called by: of a portal its largest age, else all between.

    >>> task, longest = _made("portal 44")
    >>> task.age_law.quantile(1.0), longest
    (44, 44)
    """
    kind, _, steps = name.partition(" ")
    if not (steps.isascii() and steps.isdecimal()) or int(steps) < 10:
        raise ValueError(f"tasks must be such as 'corridor 200', at least 10 steps, got {checks.shown(name)}")
    longest = int(steps)
    if checks.one_of("tasks", kind, CLASSES) == "corridor":
        return Corridor(longest), longest
    if kind == "copy":
        return DistantCopy(longest, length=3), longest
    passage, rest = divmod(longest - 5, 3)  # three of them, and five tokens of rooms and exits
    if rest:
        raise ValueError(f"tasks must be portals of 5 + 3 n steps, such as 'portal 44', got {name!r}")
    return Portal(3, longest=passage, shortest=max(1, passage // 2)), longest


@figure_data(
    title="Size of memory against error",
    source="Corridor, portal and copy after Expire-Span (2105.06548); tasks and exact floors are ours",
)
def data(
    *,
    tasks: Sequence[str] = ("corridor 60",),
    updates: int = 400,
    price: float = 3e-4,
    window_shares: Sequence[float] = (0.5, 1.0),
    others: bool = False,
    width: int = 32,
    heads: int = 2,
    block: int = 16,
    ramp: int = 8,
    initial_share: float = 0.2,
    batch_size: int = 32,
    learning_rate: float = 0.003,
    tried_steps: int = 16_000,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train transformers with each law of forgetting on streams that ask for what was seen long ago.

    Each of the `tasks` is a corridor, a portal or a copy, with the largest distance in steps: those between a
    colour or text and its question, and of a portal the largest age, 5 + 3 n. The limit of spans is a quarter
    more. Transformers have two layers, for portals three. Memories are made fewer by a
    `price` of Expire-Span, and by the window itself: `window_shares` of the one that sees everything.
    `others` are adaptive spans at ten times that price; as many memories as the middle window has, with four
    sinks, or half of them means that reach as far as the longest span; and forget gates by which a memory is
    dead from the weight 1e-4 on, so that no price says how many there are.

    Columns: ``task, law, value, seed, error, live, needed``; `error` is the share of wrong answers on a
    stream of `tried_steps` of its own, `live` the mean number of memories that a step sees, a mean over
    layers, and `needed` the least window with which so many layers could have that error. Rows of the law
    "least error of any window" are theory: the error by the window, as `live`.
    """
    floors, runs = [], []
    count = checks.positive_int("seeds", seeds)
    for name in tasks:
        task, longest = _made(name)
        layers = LAYERS[name.split()[0]]
        sizes = Sizes(
            layers=layers,
            width=width,
            heads=heads,
            block=block,
            max_span=max(block, math.ceil(1.25 * longest)),
            ramp=ramp,
            initial_share=initial_share,
            rows=batch_size,
            steps=updates,
            learning_rate=learning_rate,
            tried=tried_steps,
        )
        floors.append(_floor(name, task, layers))
        whole = needed_window(task.age_law, 0.0, layers)
        windows = [max(SINKS + 1, round(share * whole)) for share in window_shares]
        asked = {"Expire-Span": [price], "window": windows} | (other_laws(price, windows) if others else {})
        runs += [
            {"task": name, "law": law, "value": float(value), "seed": k, "sizes": sizes}
            for law, values in asked.items()
            for value in values
            for k in range(seed, seed + count)
        ]
    trainings = run_grid(_run, runs, {"device": device}).drop(columns="sizes")
    return _findings(pd.concat([trainings, *floors], ignore_index=True))


def _run(task: str, law: str, value: float, seed: int, sizes: Sizes, device: str) -> dict[str, float]:
    """Train one transformer; return its error on a stream of its own, and how many memories are alive."""
    own, _ = _made(task)
    model = network(LAWS[law](value, sizes), sizes, CLASSES[task.split()[0]], seed, vocabulary=own.vocabulary)
    found = trained(model, own, sizes, seed, device)
    error = 1 - found.accuracy
    return {
        "error": error,
        "live": float(np.mean(found.live)),
        "needed": needed_window(own.age_law, error, sizes.layers),
    }


def needed_window(law: AgeLaw, error: float, layers: int) -> int:
    """Return the least window W with which so many `layers`, which see layers · W back, could have an error.

    Examples
    --------
    >>> needed_window(Corridor(200).age_law, 0.05, 2)  # of 198 lengths the longest 19 may be out of sight
    91
    """
    return math.ceil(law.least_reach(error) / layers)


def _floor(name: str, task: _Task, layers: int) -> pd.DataFrame:
    """Return the exact least error by the window."""
    law = task.age_law
    windows = np.arange(1, needed_window(law, 0.0, layers) + 1)
    errors = [law.floor(layers * int(window)) for window in windows]
    return pd.DataFrame(
        {"task": name, "law": FLOOR, "value": windows * 1.0, "error": errors, "live": windows}
    )


def _findings(table: pd.DataFrame) -> Findings:
    headline: dict[str, float | str] = {}
    runs: dict[str, np.ndarray] = {}
    sentences = []
    for (name, law, value), some in groups(table.query("law != @FLOOR"), ["task", "law", "value"]).items():
        setting = f"{name}, {law}, {AMOUNTS[str(law)]} {value:g}"
        numbers = {
            "error": some.error,
            "live memories": some.live,
            "least window / live": some.needed / some.live,
        }
        for label, values in numbers.items():
            runs[f"{setting}: {label}"] = values.to_numpy()
            headline[f"{setting}: {label}"] = float(values.median())
        if law == "Expire-Span":
            error, live, ratio = (f"{v.min():.{d}f} to {v.max():.{d}f}" for v, d in _shown(some))
            sentences.append(
                f"{name}, {error} % wrong with {live} live memories, and a window needs {ratio} times as many"
            )
    message = f"Expire-Span, each of its seeds: {'; '.join(sentences)}."
    return Findings(table, message, headline, spread=spreads(runs))


def _shown(some: pd.DataFrame) -> list[tuple[pd.Series, int]]:
    """Return errors, live memories and ratios of windows, each with the digits to print."""
    return [(100 * some.error, 1), (some.live, 0), (some.needed / some.live, 1)]


def plot(data: FigureData) -> Figure:
    """Draw the error of every training against its live memories, and the floor of windows as a line."""
    names = list(dict.fromkeys(data.table.task))
    looks = plotting.looks(law for law in LAWS if law in set(data.table.law))
    with plotting.style():
        figure, axes = plotting.canvas(len(names), width=max(5.5, 4.1 * len(names)), height=4.2)
        for axis, name, letter in zip(axes, names, "abcdef", strict=False):
            _draw(axis, rows(data.table, task=name), looks)
            task, longest = name.split()
            place = f"({letter}) " if len(names) > 1 else ""
            axis.set_title(f"{place}{task.capitalize()}, up to {longest} steps")
        axes[0].set_ylabel("wrong answers (%)")
        plotting.joined_legend(figure, axes, ncols=2 if len(names) == 1 else 3)
    return figure


def _draw(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    floor = rows(table, law=FLOOR)
    plotting.theory(axis, floor.live, 100 * floor.error, label="least error of any window, by its size")
    for law, look in looks.items():
        own = rows(table, law=law)
        if len(own):
            plotting.measured(axis, own.live, 100 * own.error, look, ms=6, label=f"{law}, each seed")
    axis.set(xscale="log", ylim=(-2, None), xlabel="memories alive, mean over steps and layers")
    low, high = axis.get_xlim()
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 500 * low else (1, 3)))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())
