"""Efficiency: what a batch takes of time and room by each law of forgetting, at the same limit of spans."""

import math
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import AdaptiveSpan, Compressive, ExpireSpan, Law, Window
from curse_of_memory.papers.expire_span._held import most_held
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.theory.expiry import LogitNormalSpans, live_memories
from curse_of_memory.tools import checks

__all__ = ["LAWS", "Sizes", "data", "layer_of", "memories_of", "operations", "plot", "room"]

RAMP = 16
RATE = 4  # steps in a mean of the Compressive Transformer
SHARES = (0.05, 0.15)  # of the limit: spans of either half of the heads of an adaptive span
MEAN, STD = -2.95, 1.5  # of the logits of spans of Expire-Span, whose mean is a tenth of the limit, too
LAWS = ("Transformer-XL", "Compressive Transformer", "Adaptive-Span", "Expire-Span")
"""Names of what is compared, as the paper prints them."""


class Sizes(NamedTuple):
    """Sizes of an attention and its batch.

    Attributes
    ----------
    width, heads : int
        Channels d, and heads.
    block, batch : int
        Steps M of a batch, and its sequences.
    """

    width: int = 64
    heads: int = 4
    block: int = 64
    batch: int = 4


COLUMNS = ["panel", "law", "kind", "turn", "x", "y"]
FLOAT = 4  # bytes


@figure_data(
    title="Time and memory of a batch by laws of forgetting",
    source='Table 4 of "Not All Memories are Created Equal" (2105.06548), its columns at a small size',
)
def data(
    *,
    limits: Sequence[int] = (256, 512, 1024, 2048),
    width: int = 64,
    heads: int = 4,
    block: int = 64,
    batch: int = 4,
    turns: int = 5,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Count the memories of a batch, and measure its time and the bytes that it holds, by law and limit.

    A batch is a `block` of steps of `batch` sequences in the midst of a stream, forwards and backwards
    through one attention of `width` channels and an even number of `heads`, float32, with the states that are
    alive.
    The limit L is the window of Transformer-XL; the Compressive Transformer has half of it in full and means
    of four steps of the other half; adaptive spans are L/20 and 3L/20, for half of the heads each;
    Expire-Span's are logit-normal with a mean of L/10. Ramps have R = 16.

    - *memories*: how many states a batch reads in its fullest row, by the limit; closed form and counted;
    - *time*: processor seconds, in `turns` that alternate; the line is the number of operations in products
      at the best rate of all;
    - *room*: the most bytes of tensors that are held at once; the line is what must be: keys, values and
      states, and the weights of attention where log m learns.

    Columns: ``panel, law, kind, turn, x, y``; `kind` is ``theory`` or ``measured``, x is L. Inputs are drawn
    by `seed`. (Measured on the CPU, whatever the device.)
    """
    sizes = Sizes(
        checks.positive_int("width", width),
        checks.positive_int("heads", heads),
        checks.positive_int("block", block),
        checks.positive_int("batch", batch),
    )
    if heads % 2:
        raise ValueError(f"heads must be even, got {heads}")
    limits = [checks.positive_int("limits", limit) for limit in limits]
    if not limits or min(limits) < 2 * block or any(limit % (2 * RATE) for limit in limits):
        raise ValueError(
            f"limits must be multiples of {2 * RATE} steps, at least two blocks = {2 * block}, got {limits!r}"
        )
    works = {(law, limit): _batch(law, limit, sizes, seed) for law in LAWS for limit in limits}
    points: list[dict] = []

    def note(panel: str, law: str, limit: int, y: float, kind: str = "measured", turn: float = math.nan):
        points.append({"panel": panel, "law": law, "kind": kind, "turn": turn, "x": limit, "y": y})

    for (law, limit), (read, work) in works.items():
        note("memories", law, limit, memories_of(law, limit, batch), "theory")
        note("memories", law, limit, read)
        note("room", law, limit, room(law, memories_of(law, limit, batch), sizes), "theory")
        note("room", law, limit, most_held(work))
    for turn in range(checks.positive_int("turns", turns)):
        for (law, limit), (_, work) in works.items():
            start = time.process_time()
            work()
            note("time", law, limit, time.process_time() - start, turn=turn)
    table = pd.DataFrame(points, columns=COLUMNS)
    times = rows(table, panel="time")
    needed = {work: operations(memories_of(*work, batch), sizes) for work in works}
    counts = [needed[law, limit] for law, limit in zip(times.law, times.x, strict=True)]
    rate = float((np.array(counts) / times.y).max())
    lines = [
        {"panel": "time", "law": law, "kind": "theory", "x": limit, "y": needed[law, limit] / rate}
        for law, limit in works
    ]
    return _findings(
        pd.concat([table, pd.DataFrame(lines)], ignore_index=True).reindex(columns=COLUMNS), batch
    )


def memories_of(law: str, limit: int, batch: int) -> float:
    """Return how many memories the fullest row of a batch holds between two blocks, on average.

    Parameters
    ----------
    law : str
        One of :data:`LAWS`.
    limit : int
        L, the limit of spans, in steps.
    batch : int
        Rows, of which the fullest counts.
    """
    if checks.one_of("law", law, LAWS) == "Transformer-XL":
        return float(limit)
    if law == "Compressive Transformer":
        return limit / 2 + limit / 2 / RATE
    if law == "Adaptive-Span":
        return float(RAMP - 1 + math.ceil(max(SHARES) * limit))
    return live_memories(LogitNormalSpans(MEAN, STD, limit).exceeds, limit, RAMP).largest(batch)


def operations(memories: float, sizes: Sizes) -> float:
    """Return the operations in products of a batch that reads so many `memories`, forwards and backwards.

    A product forwards has two backwards, but for the projection of old states, which have no gradient.

    Parameters
    ----------
    memories : float
        How many are stored.
    sizes : Sizes
    """
    width, _, block, batch = sizes
    own = 3 * 4 * block * width
    stored = 2 * 2 * memories * width
    attended = 3 * 2 * block * (memories + block)
    return 2.0 * batch * width * (own + stored + attended)


def room(law: str, memories: float, sizes: Sizes) -> float:
    """Return the bytes that a batch must hold for its gradients at least, if it reads so many `memories`.

    Parameters
    ----------
    law : str
        One of :data:`LAWS`.
    memories : float
        How many are stored.
    sizes : Sizes
    """
    width, heads, block, batch = sizes
    learns = checks.one_of("law", law, LAWS) in ("Adaptive-Span", "Expire-Span")
    read = memories + block
    return FLOAT * batch * (3.0 * width * read + heads * block * read * learns)


def layer_of(law: str, limit: int, sizes: Sizes, seed: int = 0) -> CausalSelfAttention:
    """Return the attention of a `law` with its spans at the sizes that are compared.

    Parameters
    ----------
    law : str
        One of :data:`LAWS`.
    limit : int
        L, the limit of spans, in steps.
    sizes : Sizes
    seed : int
        Of its weights.
    """
    laws: dict[str, Callable[[], Law]] = {
        "Transformer-XL": lambda: Window(limit),
        "Compressive Transformer": lambda: Compressive(limit // 2, RATE, limit // 2 // RATE),
        "Adaptive-Span": lambda: AdaptiveSpan(limit, RAMP),
        "Expire-Span": lambda: ExpireSpan(limit, RAMP),
    }
    layer = CausalSelfAttention(
        sizes.width,
        sizes.heads,
        bias=False,
        forgetting=laws[checks.one_of("law", law, LAWS)](),
        sees_itself=False,
        block=sizes.block,
        seed=seed,
        dtype=torch.float32,
    )
    with torch.no_grad():
        if isinstance(layer.forgetting, AdaptiveSpan):
            shares = torch.tensor(SHARES).repeat_interleave(sizes.heads // 2)
            layer.forgetting.logits.copy_(shares.logit())
        elif isinstance(layer.forgetting, ExpireSpan):
            direction = torch.randn(1, sizes.width, generator=torch.Generator().manual_seed(seed))
            layer.forgetting.predictor.weight.copy_(STD * direction / direction.norm())
            layer.forgetting.predictor.bias.fill_(MEAN)
    return layer


def _batch(law: str, limit: int, sizes: Sizes, seed: int) -> tuple[int, Callable[[], object]]:
    """Return how many memories are held before a batch, and the work of it."""
    layer = layer_of(law, limit, sizes, seed)
    draw = torch.Generator().manual_seed(seed + 1)
    stream = torch.randn(sizes.batch, limit + RAMP, sizes.width, generator=draw)
    x = torch.randn(sizes.batch, sizes.block, sizes.width, generator=draw).requires_grad_()
    with torch.no_grad():
        state = layer.remember(stream).last
    assert state is not None
    wanted = [x, *layer.parameters()]

    def work() -> object:
        return torch.autograd.grad(layer.remember(x, state).y.square().mean(), wanted)

    work()  # fresh memory is not what is measured
    return state.ages.shape[1], work


def _findings(table: pd.DataFrame, batch: int) -> Findings:
    last = table.x.max()
    measured = rows(table, kind="measured", x=last)
    seen = {
        law: {panel: float(some.y.median()) for panel, some in groups(one, "panel").items()}
        for law, one in groups(measured, "law").items()
    }
    window, spans = seen["Transformer-XL"], seen["Expire-Span"]
    headline = {f"memories, {law}": memories_of(law, int(last), batch) for law in LAWS}
    headline |= {f"memories, {law}, counted": one["memories"] for law, one in seen.items()}
    printed = reference("expire_span/table4")
    enwik8 = rows(printed, task="enwik8")
    paper = {}
    for panel, column in (("time", "milliseconds"), ("room", "gigabytes")):
        theirs = dict(zip(enwik8.model, enwik8[column].astype(float), strict=True))
        for law in LAWS[1:]:
            label = f"{panel} over that of Transformer-XL, {law}"
            headline[label] = seen[law][panel] / window[panel]
            paper[label] = theirs[law] / theirs["Transformer-XL"]
    cells = {
        law: {"ours, ms": f"{1e3 * one['time']:.3g}", "ours, MB": f"{one['room'] / 1e6:.3g}"}
        | {
            f"{task}, {unit}": f"{some[column].get(law, math.nan):.3g}".replace("nan", "-")
            for task, all_models in groups(printed, "task").items()
            for some in [all_models.set_index("model")]
            for column, unit in (("milliseconds", "ms"), ("gigabytes", "GB"))
        }
        for law, one in seen.items()
    }
    message = (
        f"Of spans up to {last:.0f} steps, on average a tenth of that, {spans['memories']:.0f} memories are "
        f"alive in the fullest of {batch} rows, by closed form {headline['memories, Expire-Span']:.1f} on "
        "average. "
        f"A batch takes {spans['time'] / window['time']:.0%} of the time of the whole window, and "
        f"{spans['room'] / window['room']:.0%} of its room."
    )
    return Findings(
        table, message, headline, paper=paper, printed=pd.DataFrame(cells).T.rename_axis("law of forgetting")
    )


def plot(data: FigureData) -> Figure:
    """Draw memories, time and room by the limit: lines are closed forms, marks are measured."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, axes = plotting.canvas(3, 1, width=12.5, height=4.4)
        titles = {
            "memories": ("(a) Memories of the fullest row", "memories"),
            "time": ("(b) Time of a batch; lines: products alone", "processor time (ms)"),
            "room": ("(c) Tensors held at once; lines: at least", "megabytes"),
        }
        for axis, (panel, (title, label)) in zip(axes.flat, titles.items(), strict=True):
            _draw(axis, panels[panel], {"memories": 1.0, "time": 1e3, "room": 1e-6}[panel])
            axis.set(title=title, ylabel=label)
        plotting.joined_legend(figure, axes.flat, ncols=5)
    return figure


def _draw(axis: Axes, table: pd.DataFrame, unit: float) -> None:
    for law, look in plotting.looks(LAWS).items():
        line, marks = rows(table, law=law, kind="theory"), rows(table, law=law, kind="measured")
        plotting.theory(axis, line.x, unit * line.y, look.color)
        turns = marks.fillna({"turn": 0}).pivot(index="turn", columns="x", values="y")
        plotting.over_seeds(axis, turns.columns, unit * turns, look, joined="", label=law)
    axis.add_line(plotting.entry("closed form"))
    axis.set(xscale="log", yscale="log", xlabel="limit $L$ (steps)", xticks=sorted(table.x.unique()))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.yaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_minor_formatter(NullFormatter())
