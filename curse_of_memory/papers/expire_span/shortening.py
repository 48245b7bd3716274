"""Training with and without spans that are shortened at random, on a small text that is seen many times."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import special
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import CausalSelfAttention
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.nn.forgetting.store import KeptStates
from curse_of_memory.papers.expire_span._stream_trainings import Sizes, network
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import Characters
from curse_of_memory.tasks.characters import PG19
from curse_of_memory.theory.expiry import mask, shortened_mask
from curse_of_memory.tools import checks, devices
from curse_of_memory.training import fit_stream

__all__ = ["data", "mean_masks", "plot"]

RULES = {False: "spans as learnt", True: "shortened at random"}
TEXTS = {"validation": "validation text", "training": "learnt text"}
PIECES = 8  # in which texts are evaluated
MARKS = 18  # ages at which masks are measured


@figure_data(
    title="Random shortening of spans",
    source="Expire-Span (2105.06548), appendix A.2; the text and its size are ours",
)
def data(
    *,
    characters: int = 5000,
    tried_characters: int = 2500,
    price: float = 1e-6,
    layers: int = 3,
    width: int = 32,
    heads: int = 2,
    block: int = 32,
    max_span: int = 128,
    ramp: int = 16,
    initial_share: float = 0.5,
    batch_size: int = 16,
    updates: int = 150,
    learning_rate: float = 0.01,
    looks: int = 5,
    shares: Sequence[float] = (0.2, 0.5, 0.9),
    draws: int = 1000,
    data: str = "auto",
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train transformers on the first characters of a book; measure mean masks beside their closed form.

    Bits per character of the first `tried_characters` of what is learnt and of the validation part, both as
    the model answers in evaluation: spans are shortened in training alone. Spans and live memories are those
    of the validation text after the last update. Masks are of memories with spans `shares` · L.

    Columns: ``panel, shortened, seed, step, text, bits`` in *training*, ``panel, shortened, seed, layer,
    span, live`` in *memories*, and ``panel, span, age, unshortened, exact, measured`` in *masks*, where
    `measured` is a mean over `draws` passes of a layer at some ages.
    """
    several = checks.several("shares", shares, _share)
    source = PG19.source(data)
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
        checks.whole_number("tried_characters", tried_characters, least=2),
    )
    learnt = Characters("pg19", "train", size=characters, data=source)
    unseen = Characters("pg19", "validation", size=tried_characters, data=source)
    common = {"learnt": learnt.tokens, "unseen": unseen.tokens, "vocabulary": learnt.vocabulary}
    common |= {"sizes": sizes, "price": price, "looks": checks.positive_int("looks", looks), "device": device}
    count = checks.positive_int("seeds", seeds)
    wanted = product_of(shortened=list(RULES), seed=range(seed, seed + count))
    trained = run_grid(_run, wanted, common)
    masks = _masks(several, sizes, draws, seed, device)
    passes = updates * batch_size * block / len(learnt)
    table = pd.concat([trained, masks], ignore_index=True)
    found = _findings(table, passes)
    scale = f"the first {len(learnt)} characters of the training part"
    return Findings(
        table, found.message, found.headline, spread=found.spread, stand_in=learnt.stand_in, data_part=scale
    )


def _run(
    shortened: bool,
    seed: int,
    learnt: Tensor,
    unseen: Tensor,
    vocabulary: int,
    sizes: Sizes,
    price: float,
    looks: int,
    device: str,
) -> pd.DataFrame:
    """Train one transformer; return the bits at every look, and what it remembers at the end."""
    law = ExpireSpan(
        sizes.max_span, sizes.ramp, initial_share=sizes.initial_share, price=price, shorten=shortened
    )
    model = network(law, sizes, vocabulary, seed, vocabulary=vocabulary)
    history = fit_stream(
        model,
        learnt,
        unseen,
        steps=sizes.steps,
        rows=sizes.rows,
        chunk=sizes.block,
        learning_rate=sizes.learning_rate,
        validate_every=max(1, sizes.steps // looks),
        validation_rows=min(PIECES, len(unseen) - 1),
        text_steps=min(sizes.tried, len(learnt)) - 1,
        seed=seed,
        device=device,
    ).history
    texts = {"training": history.text_loss, "validation": history.validation_loss}
    bits = [
        pd.DataFrame({"step": history.step, "text": text, "bits": loss / math.log(2)})
        for text, loss in texts.items()
    ]
    last = history.iloc[-1]
    layers = range(sizes.layers)
    memories = {name: [last[f"{name}_{layer}"] for layer in layers] for name in ("span", "live")}
    tables = [part.assign(panel="training") for part in bits]
    tables.append(pd.DataFrame({"panel": "memories", "layer": layers, **memories}))
    return pd.concat(tables, ignore_index=True)


def mean_masks(
    spans: np.ndarray, ages: np.ndarray, *, max_span: int, ramp: int, draws: int, seed: int, device: str
) -> np.ndarray:
    """Return the masks of memories by a layer in training that shortens spans, the mean over its passes.

    One memory and the query itself are all that a query sees, with equal scores: what the answer has of
    both stands in the ratio m(s) to m(0) = 1.

    Parameters
    ----------
    spans, ages : ndarray of shape ``(memories,)``
        e, between 0 and `max_span`, and s of each memory.
    max_span, ramp : int
        L and R, in steps.
    draws : int
        Passes.
    seed : int
        Names the draws.
    device : str
        Where.
    """
    place = devices.resolve_device(device)
    law = ExpireSpan(max_span, ramp, shorten=True)
    layer = CausalSelfAttention(3, bias=False, forgetting=law, dtype=torch.float64, device=place)
    told = layer.forgetting
    assert isinstance(told, ExpireSpan)
    with torch.no_grad():
        # channels: what a memory holds, what the query holds, and the logit of a span
        layer.project.weight.zero_()
        layer.project.weight[6:].copy_(torch.eye(3))
        layer.out.weight.copy_(torch.eye(3))
        told.predictor.weight.copy_(torch.tensor([[0.0, 0.0, 1.0]]))
        told.predictor.bias.zero_()
    count = len(spans)
    memory = np.stack([np.ones(count), np.zeros(count), special.logit(spans / max_span)], 1)
    query = torch.tensor([0.0, 1.0, 0.0], dtype=torch.float64, device=place).expand(count, 1, 3)
    state = KeptStates(
        torch.from_numpy(memory[:, None]).to(place),
        torch.from_numpy(ages[:, None]).to(place),
        torch.from_numpy(ages).to(place),
    )
    total = torch.zeros(count, dtype=torch.float64, device=place)
    with torch.no_grad(), devices.torch_draws(seed, place):
        for _ in range(draws):
            of_memory, of_query, _ = layer.train().remember(query, state).y[:, 0].unbind(-1)
            total += of_memory / of_query
    return total.cpu().numpy() / draws


def _share(name: str, share: float) -> float:
    if (number := checks.positive(name, share)) >= 1:
        raise ValueError(f"{name} must be below 1, as no span is L, got {share!r}")
    return number


def _masks(shares: Sequence[float], sizes: Sizes, draws: int, seed: int, device: str) -> pd.DataFrame:
    L, R = sizes.max_span, sizes.ramp
    ages = np.arange(L + R + 1)
    marked = np.unique(np.linspace(1, L + R, MARKS).astype(np.int64))
    spans = np.array(shares) * L
    checks.positive_int("draws", draws)
    seen = mean_masks(
        np.repeat(spans, len(marked)),
        np.tile(marked, len(spans)),
        max_span=L,
        ramp=R,
        draws=draws,
        seed=seed,
        device=device,
    )
    tables = []
    for span, own in zip(spans, seen.reshape(len(spans), -1), strict=True):
        measured = np.full(len(ages), np.nan)
        measured[marked] = own
        tables.append(
            pd.DataFrame(
                {
                    "panel": "masks",
                    "span": span,
                    "age": ages,
                    "unshortened": mask(ages, span, R),
                    "exact": shortened_mask(ages, span, R, L),
                    "measured": measured,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _findings(table: pd.DataFrame, passes: float) -> Findings:
    runs = {}
    for shortened, rule in RULES.items():
        own = rows(table, panel="training", shortened=shortened)
        bits = {
            text: rows(own, text=text).pivot(index="seed", columns="step", values="bits") for text in TEXTS
        }
        runs[f"least validation bits, {rule}"] = bits["validation"].min(axis=1).to_numpy()
        runs[f"last validation bits, {rule}"] = bits["validation"].iloc[:, -1].to_numpy()
        runs[f"last bits of the learnt text, {rule}"] = bits["training"].iloc[:, -1].to_numpy()
    headline = {label: float(np.median(numbers)) for label, numbers in runs.items()}
    plain, cut = RULES.values()
    rises = {
        rule: runs[f"last validation bits, {rule}"] - runs[f"least validation bits, {rule}"]
        for rule in (plain, cut)
    }
    gains = {
        what: runs[f"{what}, {plain}"] - runs[f"{what}, {cut}"]
        for what in ("last bits of the learnt text", "least validation bits")
    }
    less = int((rises[cut] < rises[plain]).sum())
    message = (
        f"After {passes:.0f} passes over the text, validation bits are above their least value by "
        f"{_range(rises[plain])} with spans as learnt, and by {_range(rises[cut])} where training shortens "
        f"them, less in {less} of {len(rises[cut])} seeds. From the same first weights, "
        f"shortened ones come {_range(gains['last bits of the learnt text'])} bits lower on the learnt text, "
        f"and their least validation bits are {_range(gains['least validation bits'])} lower."
    )
    return Findings(table, message, headline, spread=spreads(runs))


def _range(numbers: np.ndarray) -> str:
    return f"{numbers.min():.2f} to {numbers.max():.2f}"


def plot(data: FigureData) -> Figure:
    """Draw bits by updates, spans and live memories by layers, and mean masks with their closed form."""
    looks = plotting.looks(RULES)
    with plotting.style():
        figure, axes = plotting.canvas(3, width=12.6, height=5)
        _draw_bits(axes[0], rows(data.table, panel="training"), looks)
        _draw_memories(axes[1], rows(data.table, panel="memories"), looks)
        _draw_masks(axes[2], rows(data.table, panel="masks"))
        for axis in axes:
            plotting.legend_below(axis, size=9)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_bits(axis: Axes, table: pd.DataFrame, looks: dict[bool, plotting.Look]) -> None:
    for text, said in TEXTS.items():
        for shortened, look in looks.items():
            label = f"{said}, {RULES[shortened]}"
            for own in groups(rows(table, text=text, shortened=shortened), "seed").values():
                plotting.measured(
                    axis,
                    own.step,
                    own.bits,
                    look,
                    joined="-" if text == "validation" else ":",
                    hollow=text == "training",
                    lw=1.1,
                    ms=5,
                    label=label,
                )
                label = None
    later = table.bits[table.step > 0]
    axis.set(xlabel="updates", ylabel="bits per character", title="(a) Bits, each seed")
    axis.set_ylim(0.9 * later.min(), 1.1 * later.max())  # the start, where nothing is known, is above


def _draw_memories(axis: Axes, table: pd.DataFrame, looks: dict[bool, plotting.Look]) -> None:
    for shortened, look in looks.items():
        own = rows(table, shortened=shortened)
        at = own.layer + 1 + (0.12 if shortened else -0.12)
        plotting.measured(axis, at, own.span, look, ms=6, label=f"span, {RULES[shortened]}")
        plotting.measured(axis, at, own.live, look, ms=6, hollow=True, label=f"alive, {RULES[shortened]}")
    axis.set_xticks(sorted(table.layer + 1))
    axis.set(xlabel="layer", ylabel="steps, or memories", ylim=(0, None))
    axis.set_title("(b) What is remembered, each seed")


def _draw_masks(axis: Axes, table: pd.DataFrame) -> None:
    spans = groups(table, "span")
    for (span, own), look in zip(spans.items(), plotting.distinct(len(spans)), strict=True):
        plotting.theory(axis, own.age, own.unshortened, look.color, ls="--", lw=1)
        plotting.theory_and_measured(
            axis, (own.age, own.exact), (own.age, own.measured), look, label=f"span $e={span:g}$"
        )
    axis.add_line(plotting.entry("closed form of the mean"))
    axis.add_line(plotting.entry("mask, not shortened", ls="--", lw=1))
    axis.set(xlabel="age $s$ (steps)", ylabel="mean mask", title="(c) Mean masks in training")
