"""Spans over a text (figures 8 and 9 of Expire-Span): what is remembered of it, and where that is missed."""

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.papers.expire_span._snippets import (
    KINDS,
    Snippet,
    kinds_of,
    letters_of,
    places_of_word,
    snippet_of,
    tokens_of,
)
from curse_of_memory.papers.expire_span._text_trainings import (
    EXPIRE_SPAN,
    Texts,
    TextSizes,
    cut_at,
    law_of,
    said_of_part,
    spaced,
    spans_and_bits,
    texts_of,
    trained_on,
)
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import Characters

__all__ = ["data", "plot"]

LINE = 65  # characters of a line of the picture
NEW_LINE = "↵"
LOOKS = plotting.looks(("spans cut", "all spans"))


@figure_data(
    title="Spans over a text",
    source="Expire-Span (2105.06548), figures 8 and 9, with small models and a snippet of our choice",
)
def data(
    *,
    text: str = "enwik8",
    name: str = "Portugal",
    others: Sequence[str] = ("province", "Qarabagh"),
    shown: int = 130,
    before: int = 512,
    short_limit: int = 4,
    price: float = 1e-4,
    layers: int = 2,
    width: int = 48,
    heads: int = 2,
    feedforward: int = 2,
    norm: str = "pre",
    block: int = 32,
    max_span: int = 256,
    ramp: int = 8,
    initial_share: float = 0.1,
    pre_divide: float = 1.0,
    batch_size: int = 32,
    updates: int = 120,
    learning_rate: float = 0.01,
    warmup: int = 10,
    falls_after: int = 100,
    clip: float = 0.5,
    validation_characters: int = 4000,
    test_characters: int = 200_000,
    means_characters: int = 10_000,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train Expire-Span to say the next character; read its spans off a piece of the test part.

    The piece has so many characters as are `shown`, and `before` of them are read before it. In it the `name`
    stands twice after small letters; `others` take its place. Where the text has no such piece, another name
    and other words do (:mod:`curse_of_memory.papers.expire_span._snippets`).

    - *spans*: of every character by the word that stands there, in every layer;
    - *bits*: of every character, with the limit L of training, and with spans cut at `short_limit`;
    - *means*: the mean span of each kind of character, over the first `means_characters` of the test part.

    Columns: ``panel, seed, layer, version, place, character, span, bits, cut_bits``; in *means* the version
    is the kind. The first seed is drawn, all of them are in the table.
    """
    train = Characters(text, data=data)
    texts = texts_of(train, validation_characters, test_characters)
    snippet = snippet_of(letters_of(texts.test), name, tuple(others), before, shown)
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
        means_characters,
        feedforward,
        norm,
        warmup=warmup,
        clip=clip,
        falls=(falls_after,),
        pre_divide=pre_divide,
    )
    common = {"price": price, "texts": texts, "snippet": snippet, "short": short_limit, "sizes": sizes}
    table = run_grid(_run, product_of(seed=range(seed, seed + seeds)), common | {"device": device})
    return _findings(table, texts, snippet, sizes, short_limit)


def _run(
    seed: int, price: float, texts: Texts, snippet: Snippet, short: int, sizes: TextSizes, device: str
) -> pd.DataFrame:
    """Train one transformer; return what it remembers of the snippet, and of each kind of character."""
    model = trained_on(texts, law_of(EXPIRE_SPAN, price, sizes), sizes, seed, device)
    tables = []
    for version, piece in snippet.versions.items():
        tokens = tokens_of(texts.test, snippet.before + piece)
        spans, bits = spans_and_bits(model, tokens)
        with cut_at(model, short):
            cut = spans_and_bits(model, tokens)[1]
        own = {
            "version": version,
            "place": np.arange(len(piece)),
            "character": list(piece.replace("\n", NEW_LINE)),
        }
        if version == snippet.name:
            foretold = {"bits": bits[-len(piece) :].numpy(), "cut_bits": cut[-len(piece) :].numpy()}
            tables.append(pd.DataFrame({"panel": "bits"} | own | foretold))
        for layer, of_layer in enumerate(spans[:, -len(piece) :].numpy()):
            tables.append(pd.DataFrame({"panel": "spans", "layer": layer} | own | {"span": of_layer}))
    tokens = texts.test.tokens[: sizes.tried]
    spans = spans_and_bits(model, tokens)[0].numpy()
    for kind, places in kinds_of(letters_of(texts.test)[: len(tokens)]).items():
        for layer, of_layer in enumerate(spans if len(places) else ()):
            mean = float(of_layer[places].mean())
            tables.append(pd.DataFrame({"panel": ["means"], "layer": layer, "version": kind, "span": mean}))
    columns = ["panel", "layer", "version", "place", "character", "span", "bits", "cut_bits"]
    return pd.concat(tables, ignore_index=True).reindex(columns=columns)


def _findings(table: pd.DataFrame, texts: Texts, snippet: Snippet, sizes: TextSizes, short: int) -> Findings:
    headline: dict[str, float | str] = {}
    runs: dict[str, np.ndarray] = {}
    spans = rows(table, panel="spans")
    inside = [k for k, letter in enumerate(_mask(snippet)) if letter]
    sentences = []
    for version, own in groups(spans.loc[spans.place.isin(inside)], "version").items():
        means = own.groupby("seed").span.mean()
        runs[f"mean span of {version!r} in the snippet"] = means.to_numpy()
        sentences.append(f"{version!r} {means.min():.1f} to {means.max():.1f}")
    for kind, own in groups(rows(table, panel="means"), "version").items():
        runs[f"mean span: {kind}"] = own.groupby("seed").span.mean().to_numpy()
    bits = rows(table, panel="bits")
    more = (bits.cut_bits - bits.bits).groupby(bits.seed).mean()
    runs["bits of the snippet"] = bits.groupby("seed").bits.mean().to_numpy()
    runs[f"bits more with spans cut at {short}"] = more.to_numpy()
    headline |= {label: float(np.median(numbers)) for label, numbers in runs.items()}
    read = spaced(sizes.steps * sizes.rows * sizes.block)
    message = (
        f"After {read} characters the spans of the letters of a word in its place, means of all layers, are "
        f"by seed {', '.join(sentences)}. With spans cut at {short} the snippet costs {more.min():.2f} to "
        f"{more.max():.2f} bits more per character."
    )
    return Findings(
        table,
        message,
        headline,
        spread=spreads(runs),
        stand_in=texts.train.stand_in,
        data_part=said_of_part(texts.train, sizes),
    )


def _mask(snippet: Snippet) -> np.ndarray:
    """Return which characters of the snippet belong to the name."""
    piece = snippet.versions[snippet.name]
    mask = np.full(len(piece), False)
    for first in places_of_word(snippet.name, piece):
        mask[first : first + len(snippet.name)] = True
    return mask


def plot(data: FigureData) -> Figure:
    """Draw the characters on their spans, the bits by which they are foretold, and mean spans of kinds."""
    table = data.table
    spans = rows(table, panel="spans", seed=table.seed.min())
    layer = int(spans.groupby("layer").span.std().idxmax())
    shown = rows(spans, layer=layer)
    bits = rows(table, panel="bits", seed=table.seed.min())
    lines = -(-len(bits) // LINE)
    heights = [0.26 * lines * (shown.version.nunique() + 1), *[1.0] * lines, 2.2]
    with plotting.style():
        figure, grid = plotting.canvas(
            1, 2 + lines, width=9.6, height=sum(heights) + 2.2, gridspec_kw={"height_ratios": heights}
        )
        axes = grid[:, 0]
        _draw_spans(figure, axes[0], shown)
        axes[0].set_title(f"(a) Spans over a text, reduced scale, layer {layer + 1}")
        short = data.parameters["short_limit"]
        for line, axis in enumerate(axes[1:-1]):
            _draw_bits(axis, bits.iloc[line * LINE : (line + 1) * LINE], bool(line), short)
        top = max(axis.get_ylim()[1] for axis in axes[1:-1])
        for axis in axes[1:-1]:
            axis.set_ylim(0, top)
        axes[1].set_title("(b) Bits of each character")
        axes[1].legend(loc="lower right", bbox_to_anchor=(1, 0.98), ncols=2, borderaxespad=0, columnspacing=1)
        _draw_means(axes[-1], rows(table, panel="means"))
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_spans(figure: Figure, axis: Axes, shown: pd.DataFrame) -> None:
    """Draw lines of characters in cells whose colours are spans, the versions of a line below each other."""
    shortest = max(1.0, shown.span.quantile(0.02))
    norm = LogNorm(shortest, max(2 * shortest, shown.span.max()))
    versions = list(dict.fromkeys(shown.version))
    labels = {}
    mesh = None
    for row, version in enumerate(versions):
        own = rows(shown, version=version)
        for line in range(-(-len(own) // LINE)):
            y = line * (len(versions) + 1) + row
            some = own.iloc[line * LINE : (line + 1) * LINE]
            cells = some.span.clip(lower=shortest).to_numpy()[None]
            mesh = axis.pcolormesh(
                np.arange(len(some) + 1), [y, y + 0.94], cells, norm=norm, cmap="viridis_r", shading="flat"
            )
            for k, (character, span) in enumerate(zip(some.character, some.span, strict=True)):
                dark = norm(max(span, shortest)) > 0.4
                axis.text(
                    k + 0.5, y + 0.5, character, ha="center", va="center", family="monospace", fontsize=9.5,
                    color="white" if dark else plotting.INK, parse_math=False,
                )  # fmt: skip
            labels[y + 0.5] = version
    axis.set(xlim=(0, LINE), ylim=(max(labels) + 0.6, -0.1), xticks=[])
    axis.set_yticks(list(labels), list(labels.values()))
    axis.grid(False)
    axis.tick_params(length=0)
    for spine in axis.spines.values():
        spine.set_visible(False)
    assert mesh is not None
    bar = figure.colorbar(mesh, ax=axis, pad=0.01, aspect=14)
    bar.set_label("span $e$ (characters)")
    _log_ticks(bar.ax.yaxis, (1, 2, 5))


def _draw_bits(axis: Axes, some: pd.DataFrame, again: bool, short: int) -> None:
    place = np.arange(len(some)) + 0.5
    whole, cut = (None, None) if again else ("all spans", f"spans cut at {short}")
    axis.bar(place, some.bits, width=0.8, color=LOOKS["all spans"].color, label=whole)
    dash = plotting.Look(LOOKS["spans cut"].color, "_")
    plotting.measured(axis, place, some.cut_bits, dash, ms=6, mew=2, label=cut)
    axis.set_xticks(place, [character if character != " " else "␣" for character in some.character])
    axis.tick_params(axis="x", length=0, labelsize=9.5, labelfontfamily="monospace", pad=2)
    for label_of in axis.get_xticklabels():
        label_of.set_parse_math(False)
    axis.grid(False, axis="x")
    axis.set(xlim=(0, LINE), ylabel="bits")


def _draw_means(axis: Axes, means: pd.DataFrame) -> None:
    layers = sorted(means.layer.unique())
    kinds = [kind for kind in KINDS if kind in set(means.version)]
    for k, (layer, look) in enumerate(plotting.looks(layers).items()):
        own = rows(means, layer=layer)
        shift = 0.14 * (k - (len(layers) - 1) / 2)
        at = [kinds.index(kind) + shift for kind in own.version]
        plotting.measured(axis, at, own.span, look, ms=6, label=f"layer {layer + 1:.0f}")
    axis.set_xticks(range(len(kinds)), [textwrap.fill(kind, 12) for kind in kinds])
    axis.set(title="(c) Mean spans by what a character is, each seed", yscale="log")
    axis.set_ylabel("mean span $e$ (characters)")
    _log_ticks(axis.yaxis, (1, 3))
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(layers), borderaxespad=0, columnspacing=1)


def _log_ticks(axis: Axis, steps: tuple[int, ...]) -> None:
    axis.set_major_locator(LogLocator(subs=steps))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
