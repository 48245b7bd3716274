"""Characters of enwik8: bits against live memories, and what a limit of spans costs afterwards."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.expire_span._least_bits import least_bits
from curse_of_memory.papers.expire_span._stream_trainings import AMOUNTS, LAWS, other_laws
from curse_of_memory.papers.expire_span._text_trainings import (
    EXPIRE_SPAN,
    Texts,
    TextSizes,
    bits_of,
    cut_at,
    law_of,
    said_of_part,
    spaced,
    texts_of,
    trained_on,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Characters
from curse_of_memory.tools import checks
from curse_of_memory.training import evaluate_stream

__all__ = ["data", "plot"]

FLOOR = "least bits"
ORDERS = (0, 1, 2)  # characters seen, of the floors
OF_PAPER = {"Expire-Span": EXPIRE_SPAN, "Transformer-XL": "window", "Adaptive-Span": "adaptive span"}
COLUMNS = ["panel", "law", "value", "seed", "limit", "live", "bits", "weights"]
EVALUATED_ROWS = 16
PAPER_LAYERS = 12
PRICES = ("o", "D", "v", "P")  # marks


@figure_data(
    title="Characters: bits against memory",
    source="Expire-Span (2105.06548), table 2, figure 9 and its figure of bits by memory size",
)
def data(
    *,
    text: str = "enwik8",
    prices: Sequence[float] = (1e-4, 3e-3),
    windows: Sequence[int] = (8, 64),
    others: bool = False,
    limits: Sequence[int] = (1, 8, 64),
    layers: int = 2,
    width: int = 48,
    heads: int = 2,
    feedforward: int = 2,
    norm: str = "pre",
    dropout: float = 0.001,
    block: int = 32,
    max_span: int = 256,
    ramp: int = 8,
    initial_share: float = 0.1,
    pre_divide: float = 1.0,
    shorten: bool = False,
    batch_size: int = 24,
    updates: int = 80,
    learning_rate: float = 0.01,
    warmup: int = 10,
    falls_after: int = 65,
    clip: float = 0.5,
    validation_characters: int = 4000,
    test_characters: int = 10_000,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train transformers with several laws of forgetting to say the next character of a text.

    - *published*: validation bits of the paper's models of twelve layers by their memories, digitised;
    - *trained*: the bits of each training on the first characters of the test part, and the mean number of
      memories that a character sees, a mean over layers; and the least bits of any answer that only depends
      on the last 0, 1 or 2 characters, from the frequencies of the same test characters;
    - *cut*: the same for trained Expire-Span, whose spans are then cut to at most each of the `limits`.

    Memories are made fewer by the `prices` of Expire-Span, and by the `windows` themselves; `others` are
    further laws, adaptive spans among them at ten times the first price. The learning rate rises over
    `warmup` updates, and falls tenfold after `falls_after`. Columns: ``panel, law, value, seed, limit, live,
    bits, weights``; the value is a price, a window, or of the least bits the number of characters.
    """
    train = Characters(text, data=data)
    texts = texts_of(train, validation_characters, test_characters)
    sizes = TextSizes(
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
        test_characters,
        feedforward,
        norm,
        dropout,
        warmup,
        clip,
        (falls_after,),
        shorten,
        pre_divide,
    )
    asked = {EXPIRE_SPAN: prices, "window": windows} | (other_laws(prices[0], windows) if others else {})
    runs = [
        {"law": law, "value": float(value), "seed": k}
        for law, values in asked.items()
        for value in values
        for k in range(seed, seed + checks.positive_int("seeds", seeds))
    ]
    common = {"texts": texts, "sizes": sizes, "limits": limits, "device": device}
    trainings = run_grid(_run, runs, common)
    floors = pd.DataFrame(
        {
            "panel": "trained",
            "law": FLOOR,
            "value": [float(k) for k in ORDERS],
            "bits": [least_bits(texts.test.tokens, k) for k in ORDERS],
        }
    )
    table = pd.concat([_published(), floors, trainings], ignore_index=True).reindex(columns=COLUMNS)
    return _findings(table, texts, sizes)


def _run(
    law: str, value: float, seed: int, texts: Texts, sizes: TextSizes, limits: Sequence[int], device: str
) -> pd.DataFrame:
    """Train one transformer; return its bits and live memories, and those with spans cut at limits."""
    model = trained_on(texts, law_of(law, value, sizes), sizes, seed, device)
    tokens, chunk = texts.test.tokens, sizes.block
    read = min(EVALUATED_ROWS, len(tokens) - 1)
    whole = evaluate_stream(model, tokens, rows=read, chunk=chunk, device=device)
    cuts = []
    for limit in limits if law == EXPIRE_SPAN else ():
        with cut_at(model, limit):
            cuts.append(evaluate_stream(model, tokens, rows=read, chunk=chunk, device=device))
    said = [whole, *cuts]
    return pd.DataFrame(
        {
            "panel": ["trained", *["cut"] * len(cuts)],
            "limit": [np.nan, *map(float, limits[: len(cuts)])],
            "live": [float(np.mean(one.live)) for one in said],
            "bits": [bits_of(one.loss) for one in said],
            "weights": sum(parameter.numel() for parameter in model.parameters()),
        }
    )


def _published() -> pd.DataFrame:
    curves = reference("expire_span/enwik8_memory")
    return pd.DataFrame(
        {
            "panel": "published",
            "law": [OF_PAPER[model] for model in curves.model],
            "live": curves.memories.astype(float),
            "bits": curves.bits,
        }
    )


def _cost_of_cut(table: pd.DataFrame) -> tuple[float, float, float]:
    """Return the least limit, and the least and the largest bits more that it costs at the lowest price."""
    cut = rows(table, panel="cut")
    own = rows(cut, value=cut.value.min(), limit=cut.limit.min())
    whole = rows(table, panel="trained", law=EXPIRE_SPAN, value=cut.value.min()).set_index("seed").bits
    more = own.bits - own.seed.map(whole)
    return float(cut.limit.min()), float(more.min()), float(more.max())


def _gain_of_windows(trained: pd.DataFrame) -> str:
    """Return by how much the bits change from the shortest window to the longest, in words."""
    own = rows(trained, law="window")
    first, last = own.value.min(), own.value.max()
    if not first < last:
        return ""
    bits = own.pivot(index="seed", columns="value", values="bits")
    change = bits[last] - bits[first]
    return (
        f"From a window of {first:g} to one of {last:g} bits change by {change.min():+.2f} to "
        f"{change.max():+.2f}. "
    )


def _how(law: str, value: float) -> str:
    """Return the name of a setting."""
    return f"{law}, {AMOUNTS[law]} {value:g}"


def _findings(table: pd.DataFrame, texts: Texts, sizes: TextSizes) -> Findings:
    trained = rows(table, panel="trained").query("law != @FLOOR")
    headline: dict[str, float | str] = {}
    runs: dict[str, np.ndarray] = {}
    sentences, printed = [], []
    for (law, value), some in groups(trained, ["law", "value"]).items():
        setting = _how(law, value)
        for label, numbers in (("bits", some.bits), ("live memories", some.live)):
            runs[f"{setting}: {label}"] = numbers.to_numpy()
            headline[f"{setting}: {label}"] = float(numbers.median())
        reach = f"{some.bits.min():.3f} to {some.bits.max():.3f}"
        sentences.append(f"{setting}, {reach} bits with {some.live.mean():.0f} memories")
        weights = f"{some.weights.iloc[0] / 1e6:.3g}M"
        printed.append({"model": setting, "weights": weights, "test bits": reach, "from": "here"})
    floors = rows(table, law=FLOOR)
    for order, bits in zip(floors.value, floors.bits, strict=True):
        headline[f"least bits from the last {order:.0f} characters"] = bits
    theirs = reference("expire_span/table2").fillna("")
    printed += [
        {"model": model, "weights": weights, "test bits": f"{bits:.2f}", "from": "table 2 of the paper"}
        for model, weights, bits in zip(theirs.model, theirs.weights, theirs.bits, strict=True)
    ]
    costs = _cost_of_cut(table)
    read = sizes.steps * sizes.rows * sizes.block
    message = (
        f"Each training reads {spaced(read)} characters. {_gain_of_windows(trained)}"
        f"Bits of each seed: {'; '.join(sentences)}. "
        f"Spans of the lowest price, cut at {costs[0]:.0f}, cost {costs[1]:.2f} to {costs[2]:.2f} bits more."
    )
    return Findings(
        table,
        message,
        headline,
        printed=pd.DataFrame(printed).set_index("model"),
        spread=spreads(runs),
        stand_in=texts.train.stand_in,
        data_part=said_of_part(texts.train, sizes),
    )


def plot(data: FigureData) -> Figure:
    """Draw bits against memories, of the paper and ours, and ours by the limit of spans afterwards."""
    drawn = set(data.table.law)
    looks = plotting.looks(law for law in LAWS if law in drawn)
    color = looks[EXPIRE_SPAN].color
    values = sorted(rows(data.table, panel="trained", law=EXPIRE_SPAN).value.unique(), reverse=True)
    prices = {value: plotting.Look(color, mark) for value, mark in zip(values, PRICES, strict=False)}
    with plotting.style():
        figure, axes = plotting.canvas(3, width=12.6, height=4.4)
        _draw_published(axes[0], rows(data.table, panel="published"), looks)
        _draw_trained(axes[1], rows(data.table, panel="trained"), looks, prices)
        _draw_cut(axes[2], data.table, prices)
        layers, width = data.parameters["layers"], data.parameters["width"]
        reduced = "Reduced scale, " if layers < PAPER_LAYERS else ""
        axes[1].set_title(f"(b) {reduced}{layers} layers of {width} channels")
        plotting.joined_legend(figure, axes, ncols=4)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _log_axis(axis: Axes) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(LogLocator(base=2))
    axis.xaxis.set_major_formatter("{x:g}")
    axis.xaxis.set_minor_formatter(NullFormatter())


def _draw_published(axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look]) -> None:
    for model, law in OF_PAPER.items():
        own, look = rows(table, law=law), looks[law]
        label = f"{model}, from the paper"
        plotting.measured(axis, own.live, own.bits, look, joined=":", ms=7, mfc="white", label=label)
    axis.set(
        title=f"(a) The paper, {PAPER_LAYERS} layers",
        xlabel="mean memory size",
        ylabel="bits per byte, validation",
    )
    _log_axis(axis)


def _draw_trained(
    axis: Axes, table: pd.DataFrame, looks: dict[str, plotting.Look], prices: dict[float, plotting.Look]
) -> None:
    trained = table.loc[table.law != FLOOR]
    for price, look in prices.items():
        own = rows(trained, law=EXPIRE_SPAN, value=price)
        plotting.measured(axis, own.live, own.bits, look, ms=6, label=f"Expire-Span, price {price:g}")
    for law, look in looks.items():
        own = rows(trained, law=law)
        if len(own) and law != EXPIRE_SPAN:
            plotting.measured(axis, own.live, own.bits, look, ms=6, label=law)
    top, bottom = trained.bits.max(), trained.bits.min()
    floors = rows(table, law=FLOOR)
    near = floors.loc[(floors.bits < top + 0.2) & (floors.bits > bottom - 0.4)]
    for style, order, bits in zip(("-", "--"), near.value, near.bits, strict=False):
        label = f"least bits, {order:.0f} character{'s' * (order != 1)} seen"
        axis.axhline(bits, color=plotting.INK, lw=1.2, ls=style, label=label)
    axis.set(xlabel="memories alive, mean over layers")
    axis.set_ylabel("bits per character, test")
    _log_axis(axis)


def _draw_cut(axis: Axes, table: pd.DataFrame, prices: dict[float, plotting.Look]) -> None:
    cut = rows(table, panel="cut")
    whole = rows(table, panel="trained", law=EXPIRE_SPAN)
    for price, look in prices.items():
        own = rows(cut, value=price)
        uncut = rows(whole, value=price).set_index("seed").bits
        plotting.measured(axis, own.limit, own.bits - own.seed.map(uncut), look, ms=6)
    axis.axhline(0, color=plotting.INK, lw=1)
    axis.set(title="(c) The same, cut afterwards", xlabel="limit of spans at inference (characters)")
    axis.set_ylabel("bits more than without a cut")
    _log_axis(axis)
