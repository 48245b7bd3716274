"""Object Collision: errors of who knows what a window holds, at the published sizes, and small trainings."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.expire_span._stream_trainings import (
    AMOUNTS,
    LAWS,
    Sizes,
    network,
    other_laws,
    trained_with_looks,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.labelled_streams import ObjectCollision
from curse_of_memory.tools import checks

__all__ = ["PRINTED", "SIGHT", "data", "plot"]

TOKENS = 8  # of a step, at the published sizes
LIMITS = (16_384, 32_768, 65_536)
PRINTED = dict(zip(LIMITS, (0.522, 0.367, 0.267), strict=True))
"""Errors of Expire-Span by its limit of spans, in tokens, as the README of the public code has them."""
OTHERS = {"compressive memory": 0.638, "adaptive span": 0.598}  # table 4 of the paper
SIGHT = "guesses what is out of sight"


@figure_data(
    title="Object Collision",
    source="Expire-Span (2105.06548), tables 3 and 4; errors by limit of the README of its public code",
)
def data(
    *,
    motion: int = 1_000_000,
    grid: int = 4,
    colours: int = 2,
    prices: Sequence[float] = (3e-4,),
    windows: Sequence[int] = (64,),
    others: bool = False,
    layers: int = 2,
    width: int = 48,
    heads: int = 2,
    block: int = 32,
    max_span: int = 256,
    ramp: int = 16,
    initial_share: float = 0.2,
    batch_size: int = 32,
    steps: int = 150,
    learning_rate: float = 0.003,
    tried_steps: int = 16_000,
    seeds: int = 2,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Draw the ages of what is asked, and train transformers on a small version with one vector a step.

    - *published*: the error by the window, in tokens, of who knows the collisions that it holds and guesses
      all others, from a simulation of `motion` steps with the published sizes; and the paper's errors;
    - *small*: the same for a `grid` with some `colours`, in steps, and trainings on it, whose errors are
      counted on a stream of `tried_steps`. `others` are adaptive spans at ten times the first of the
      `prices`; as many memories as the middle window has, with four sinks, or half of them means that reach
      as far as the longest span; and forget gates by which a memory is dead from the weight 1e-4 on.

    Columns: ``panel, law, value, seed, error, live, falling``; on a line, `live` is the window. The lines are
    those of one layer, and no bounds: more layers relay, and where particles were at the oldest step in sight
    tells a little of what was before. `falling` is whether the last look at the validation stream was the
    best one, out of twelve.
    """
    published = ObjectCollision()
    law = published.age_law(checks.positive_int("motion", motion), seed=seed)
    tokens = np.unique(np.geomspace(256, 262_144, 61).astype(int))
    small = ObjectCollision(grid, colours=colours, form="vectors")
    small_law = small.age_law(motion, seed=seed)
    reach = np.unique(np.geomspace(4, 4096, 61).astype(int))
    lines = [
        pd.DataFrame(
            {"panel": panel, "law": SIGHT, "live": at, "error": [law.floor(int(w) // size) for w in at]}
        )
        for panel, law, at, size in (("published", law, tokens, TOKENS), ("small", small_law, reach, 1))
    ]
    printed = pd.DataFrame(
        {"panel": "published", "law": "Expire-Span", "live": list(PRINTED), "error": list(PRINTED.values())}
    )
    sizes = Sizes(
        layers,
        width,
        heads,
        block,
        max_span,
        ramp,
        initial_share,
        batch_size,
        steps,
        learning_rate,
        tried_steps,
    )
    asked = {"Expire-Span": prices, "window": windows} | (other_laws(prices[0], windows) if others else {})
    runs = [
        {"law": name, "value": float(value), "seed": k}
        for name, values in asked.items()
        for value in values
        for k in range(seed, seed + checks.positive_int("seeds", seeds))
    ]
    trainings = run_grid(_run, runs, {"grid": grid, "colours": colours, "sizes": sizes, "device": device})
    trainings.insert(0, "panel", "small")
    table = pd.concat([*lines, printed, trainings], ignore_index=True)
    columns = ["panel", "law", "value", "seed", "live", "error", "falling"]
    return _findings(table.reindex(columns=columns), steps, law.quantile(0.5))


def _run(
    law: str, value: float, seed: int, grid: int, colours: int, sizes: Sizes, device: str
) -> dict[str, float]:
    task = ObjectCollision(grid, colours=colours, form="vectors")
    model = network(LAWS[law](value, sizes), sizes, task.classes, seed, input_size=task.input_size)
    found, falling = trained_with_looks(model, task, sizes, seed, device)
    return {"error": 1 - found.accuracy, "live": float(np.mean(found.live)), "falling": float(falling)}


def _findings(table: pd.DataFrame, steps: int, age: int) -> Findings:
    headline: dict[str, float | str] = {"published sizes, median age of a collision, in steps": float(age)}
    paper: dict[str, float | str] = {}
    line = rows(table, panel="published", law=SIGHT)
    for limit, error in PRINTED.items():
        label = f"published sizes, L = {limit // 1024}k tokens: error"
        nearest = float(np.interp(limit, line.live, line.error))
        headline[f"published sizes, {limit // 1024}k tokens in sight, else guessed: error"] = nearest
        paper[label] = error
    paper |= {f"published sizes, {law}: error": error for law, error in OTHERS.items()}
    runs: dict[str, np.ndarray] = {}
    small = rows(table, panel="small")
    sentences = []
    for (name, value), some in groups(small.query("law != @SIGHT"), ["law", "value"]).items():
        how = AMOUNTS[str(name)]
        setting = f"small, {name}, {how} {value:g}"
        for label, numbers in (("error", some.error), ("live memories", some.live)):
            runs[f"{setting}: {label}"] = numbers.to_numpy()
            headline[f"{setting}: {label}"] = float(numbers.median())
        wrong = f"{100 * some.error.min():.0f} to {100 * some.error.max():.0f} % wrong"
        sentences.append(f"{name} ({how} {value:g}) {wrong} with {some.live.mean():.0f} live memories")
    errors = ", ".join(f"{100 * np.interp(limit, line.live, line.error):.1f}" for limit in LIMITS)
    falling = small.falling.dropna()
    message = (
        f"Who knows the collisions of the last 16k, 32k and 64k tokens and guesses all others has {errors} % "
        f"wrong answers; the paper's Expire-Span has 52.2, 36.7 and 26.7. At the small size, after {steps} "
        f"updates: {'; '.join(sentences)} (75 % by guessing). "
        f"{falling.sum():.0f} of {len(falling)} trainings were best at their last look."
    )
    return Findings(table, message, headline, paper, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw errors of sight and guesses as lines, and those of the paper and of trainings as marks."""
    looks = plotting.looks(law for law in LAWS if law in set(data.table.law))
    with plotting.style():
        figure, axes = plotting.canvas(2, width=9.0, height=4.2)
        _draw_published(axes[0], rows(data.table, panel="published"), looks)
        _draw_small(axes[1], rows(data.table, panel="small"), looks)
        plotting.joined_legend(figure, axes, ncols=2)
    return figure


def _draw_line(axis: Axes, table: pd.DataFrame) -> None:
    line = rows(table, law=SIGHT)
    plotting.theory(
        axis, line.live, 100 * line.error, label="knows what is in sight, else guesses, by window"
    )
    axis.axhline(75, color=plotting.INK, lw=1, ls=":", label="guessing")
    axis.set(xscale="log", ylim=(0, 80))


def _draw_published(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    _draw_line(axis, table)
    printed = rows(table, law="Expire-Span")
    plotting.measured(
        axis, printed.live, 100 * printed.error, looks["Expire-Span"], hollow=True, ms=8,
        label="Expire-Span, public README, by its limit",
    )  # fmt: skip
    axis.set(xlabel="window or limit $L$ (tokens)", ylabel="wrong answers (%)", title="(a) Published sizes")


def _draw_small(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    _draw_line(axis, table)
    for law, look in looks.items():
        own = rows(table, law=law)
        if len(own):
            plotting.measured(axis, own.live, 100 * own.error, look, ms=6, label=f"{law}, each seed")
    axis.set(xlabel="window, or live memories (steps)", title="(b) Reduced scale, one vector a step")
