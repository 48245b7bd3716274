"""Spans of a trained corridor: colours live long, steps of the corridor do not (figure 1 of Expire-Span)."""

import itertools
from typing import cast

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.papers.expire_span._stream_trainings import LAWS, Sizes, network, trained
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.labelled_streams import Corridor
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

KINDS: tuple[str, ...] = ("colour", "corridor", "door")
READ = 4000  # steps over which spans are averaged
FADES = 24  # pieces in which a fading bar is drawn


@figure_data(
    title="Spans of memories in a corridor",
    source="Expire-Span (2105.06548), figure 1, drawn from trained models; the task is ours",
)
def data(
    *,
    longest: int = 60,
    price: float = 3e-4,
    layers: int = 2,
    width: int = 32,
    heads: int = 2,
    block: int = 16,
    max_span: int = 80,
    ramp: int = 8,
    initial_share: float = 0.2,
    batch_size: int = 32,
    updates: int = 400,
    learning_rate: float = 0.003,
    tried_steps: int = 16_000,
    shown_steps: int = 100,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train transformers on corridors, and read the span of every step of a new stream.

    The error is counted on a stream of `tried_steps`. Columns: ``panel, seed, layer, step, kind, span,
    error``. In *snippet* are the spans of the first `shown_steps` of another stream, for the first seed and
    the layer that remembers colours longest; in *means* the mean span of each kind of step, for every seed
    and layer, with the error of that model.
    """
    checks.positive_int("shown_steps", shown_steps)
    far = checks.positive_int("longest", longest) + 1
    if layers * (max_span + ramp - 1) < far:
        least = -(-far // layers) - ramp + 1
        raise ValueError(
            f"max_span must be at least {least}, for {layers} layers to see longest + 1 = {far} steps back, "
            f"got {max_span}"
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
        updates,
        learning_rate,
        tried_steps,
    )
    common = {"longest": longest, "price": price, "sizes": sizes, "steps": shown_steps, "device": device}
    count = checks.positive_int("seeds", seeds)
    table = run_grid(_run, product_of(seed=range(seed, seed + count)), common)
    first = rows(table, panel="snippet", seed=seed)
    colours = first[first.kind == "colour"].groupby("layer").span.mean()
    shown = pd.concat([rows(first, layer=colours.idxmax()), rows(table, panel="means")], ignore_index=True)
    return _findings(shown, ramp)


def _run(seed: int, longest: int, price: float, sizes: Sizes, steps: int, device: str) -> pd.DataFrame:
    """Train one transformer; return the spans of a new stream, step by step and in the mean."""
    task = Corridor(longest, shortest=min(3, longest))
    model = network(LAWS["Expire-Span"](price, sizes), sizes, task.colours, seed, vocabulary=task.vocabulary)
    error = 1 - trained(model, task, sizes, seed, device).accuracy
    tokens = task.stream(max(READ, steps), seed=(seed, 3)).inputs
    with torch.no_grad():
        spans = model.eval().remember(tokens[None].to(model.readout.weight.device)).spans
    kinds = np.where(tokens < task.colours, KINDS[0], np.where(tokens == task.door, KINDS[2], KINDS[1]))
    tables = []
    for layer, own in enumerate(cast(tuple[Tensor, ...], spans)):
        step = {"layer": layer, "step": np.arange(len(tokens)), "kind": kinds, "span": own[0].cpu().numpy()}
        every = pd.DataFrame(step)
        means = every.groupby("kind", as_index=False).span.mean().assign(layer=layer, error=error)
        tables += [every[:steps].assign(panel="snippet"), means.assign(panel="means")]
    columns = ["panel", "layer", "step", "kind", "span", "error"]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def _findings(table: pd.DataFrame, ramp: int) -> Findings:
    means = rows(table, panel="means")
    longest = means.groupby(["seed", "kind"]).span.max().unstack()
    error = means.groupby("seed").error.first()
    runs = {f"longest mean span of a layer: {kind}": longest[kind].to_numpy() for kind in KINDS}
    runs["error"] = error.to_numpy()
    headline = {label: float(np.median(numbers)) for label, numbers in runs.items()}
    colour, corridor = (f"{longest[kind].min():.0f} to {longest[kind].max():.0f}" for kind in KINDS[:2])
    message = (
        f"Over {len(longest)} seeds {100 * error.min():.1f} to {100 * error.max():.1f} % of the answers are "
        f"wrong. In the layer where they are longest, mean spans of colours are {colour} steps, and of steps "
        f"of the corridor {corridor}; a memory serves {ramp - 1} queries more. Of two colours one may be "
        "known by the other's absence, and need not be kept."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def plot(data: FigureData) -> Figure:
    """Draw memories as bars that fade over their ramp, and the mean span of each kind of step."""
    looks = plotting.looks(KINDS)
    snippet = rows(data.table, panel="snippet")
    with plotting.style():
        figure, axes = plotting.canvas(2, width=9.6, height=4.4)
        _draw_bars(axes[0], snippet, cast(int, data.parameters["ramp"]), looks)
        layer = int(snippet.layer.iloc[0]) + 1
        axes[0].set(
            title=f"(a) How long each step is remembered, layer {layer}",
            xlabel="step of the query $t$",
            ylabel="step of the memory $i$",
        )
        _draw_means(axes[1], rows(data.table, panel="means"), looks)
        axes[1].set_title("(b) Mean spans, each seed")
        plotting.joined_legend(figure, axes, ncols=3)
    return figure


def _draw_bars(axis: Axes, snippet: pd.DataFrame, ramp: int, looks: dict[str, plotting.Look]) -> None:
    """Draw a bar for each step, from it to the end of its span, which fades over the ramp after it."""
    last = snippet.step.max()
    for kind, some in groups(snippet, "kind").items():
        color = to_rgb(looks[kind].color)
        solid = [[(t, t), (t + e, t)] for t, e in zip(some.step, some.span, strict=True)]
        axis.add_collection(LineCollection(solid, colors=[color], linewidths=1.6))
        edges = np.linspace(0, ramp, FADES + 1)
        for a, b in itertools.pairwise(edges):
            pieces = [[(t + e + a, t), (t + e + b, t)] for t, e in zip(some.step, some.span, strict=True)]
            fade = (*color, 1 - (a + b) / (2 * ramp))
            axis.add_collection(LineCollection(pieces, colors=[fade], linewidths=1.6))
    axis.plot([0, last], [0, last], color=plotting.INK, lw=0.8)
    axis.set(xlim=(0, last), ylim=(last + 1, -1))


def _draw_means(axis: Axes, means: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    for kind, look in looks.items():
        own = rows(means, kind=kind)
        shift = 0.12 * (KINDS.index(kind) - 1)
        plotting.measured(axis, own.layer + 1 + shift, own.span, look, ms=6, label=kind)
    layers = sorted(means.layer.unique())
    axis.set(xlabel="layer", ylabel="mean span $e$ (steps)", yscale="log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
    axis.set_xticks([k + 1 for k in layers], [str(k + 1) for k in layers])
