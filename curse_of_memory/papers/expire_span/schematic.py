"""The idea of Expire-Span as a picture: memories of a trained transformer, and when each of them ends."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.papers.expire_span._corridor import ASKED, COLOURS, TOKENS, trained
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory.expiry import life, mask
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

BEGINS, STEPS, RAMP, START, MAX_SPAN = 4, 36, 4, 6.0, 64  # of the episode that is drawn, and of the spans
COLUMNS = ["panel", "curve", "kind", "seed", "x", "y"]
NAMES = ("colour A", "colour B", "asked", *(f"noise {k}" for k in range(1, TOKENS - ASKED)))


@figure_data(
    title="Memories that know when they expire",
    source="Expire-Span (2105.06548), the idea of figure 1",
)
def data(
    *,
    delay: int = 24,
    longest_delay: int = 30,
    updates: int = 150,
    price: float = 1e-3,
    trainings: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train a transformer to remember a colour among noise, and read off the spans of what it remembers.

    Episodes have a colour, noise, and a question for it after 2 to `longest_delay` steps; α is `price`. Shown
    is one of them, with the question after `delay` steps, of the training with the seed `seed`.

    - *memories*: for each memory the step x at which it is written, and its span y, for both colours;
    - *live*: how many memories each step sees, counted by the layer, with the number that spans say;
    - *spans*: mean span of each token, x, in each of the trainings.

    Columns: ``panel, curve, kind, seed, x, y``; `curve` is the colour, `kind` is the token of a memory,
    ``theory``, ``counted`` or ``trained``.
    """
    if not 2 <= checks.positive_int("delay", delay) < STEPS - BEGINS:
        raise ValueError(f"delay must be from 2 to {STEPS - BEGINS - 1}, got {delay}")
    curves, shown = [], []
    for k in range(seed, seed + checks.positive_int("trainings", trainings)):
        model, _ = trained(
            2,
            checks.positive_int("longest_delay", longest_delay),
            seed=k,
            layers=1,
            width=16,
            ramp=RAMP,
            start=START,
            max_span=MAX_SPAN,
            updates=checks.positive_int("updates", updates),
            learning_rate=0.01,
            device=device,
            price=checks.non_negative("price", price),
        )
        tokens = torch.arange(TOKENS, device=model.readout.weight.device)[None]
        with torch.no_grad():
            spans = model.remember(tokens).spans[0]
        assert spans is not None
        values = spans[0].double().cpu().numpy()
        curves.append(curve(range(TOKENS), values, panel="spans", curve="", kind="trained", seed=float(k)))
        shown.append(model)
    model = shown[0]
    for colour in range(COLOURS):
        curves += _episode(model, colour, delay, seed)
    table = pd.concat(curves, ignore_index=True).reindex(columns=COLUMNS)

    by_token = rows(table, panel="spans").pivot(index="seed", columns="x", values="y")
    longest = np.asarray(by_token.iloc[:, :COLOURS].max(axis=1))
    noise = np.asarray(by_token.iloc[:, ASKED + 1 :].mean(axis=1))
    over_seeds = {"span of the remembered colour": longest, "mean span of noise": noise}
    counted = rows(table, panel="live", kind="counted")
    headline = {name: float(np.median(values)) for name, values in over_seeds.items()}
    headline["live memories, mean"] = float(counted.y.mean())
    message = (
        f"Asked for a colour after up to {longest_delay} steps, a transformer gives one of two colours a "
        f"span of {headline['span of the remembered colour']:.0f} steps, and noise "
        f"{headline['mean span of noise']:.1f}; the other colour may be known by the first one's absence. Of "
        f"{STEPS} memories {headline['live memories, mean']:.1f} are alive on average."
    )
    return Findings(table, message, headline, spread=spreads(over_seeds))


def _episode(model: CausalTransformer, colour: int, delay: int, seed: int) -> list[pd.DataFrame]:
    """Return the memories of one episode, and how many of them are alive at each step."""
    drawn = np.random.default_rng((seed, 5)).integers(ASKED + 1, TOKENS, STEPS)
    drawn[BEGINS], drawn[BEGINS + delay] = colour, ASKED
    tokens = torch.from_numpy(drawn).to(next(model.parameters()).device)[None]
    with torch.no_grad():
        answer = model.remember(tokens)
    assert answer.spans[0] is not None
    spans, steps = answer.spans[0][0].double().cpu().numpy(), np.arange(STEPS)
    name, age = NAMES[colour], steps - steps[:, None]
    alive = (age > 0) & (age <= life(spans, RAMP)[:, None])
    kinds, counted = [NAMES[token] for token in drawn], answer.live[0, 0].cpu().numpy()
    return [
        curve(steps, spans, panel="memories", curve=name, seed=float(seed)).assign(kind=kinds),
        curve(steps, alive.sum(0), panel="live", curve=name, kind="theory", seed=float(seed)),
        curve(steps, counted, panel="live", curve=name, kind="counted", seed=float(seed)),
    ]


def plot(data: FigureData) -> Figure:
    """Draw the memories of two episodes as bars that fade, how many are alive, and spans of tokens."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=9.6, height=9.0, height_ratios=(1.7, 1))
        for axis, letter, (name, one) in zip(
            axes[0], "ab", groups(panels["memories"], "curve").items(), strict=True
        ):
            _draw_memories(axis, one)
            axis.set_title(f"({letter}) An episode with {name}")
        _draw_live(axes[1, 0], panels["live"])
        _draw_spans(axes[1, 1], panels["spans"])
    return figure


def _draw_memories(axis: Axes, memories: pd.DataFrame) -> None:
    """Draw a bar for each memory, from the step after it was written to its last, as dark as its mask."""
    look = plotting.looks(("colour", "noise", "asked"))
    ages = np.arange(1, STEPS + 1)
    for step, span, token in zip(memories.x, memories.y, memories.kind, strict=True):
        color = to_rgb(look[token.split()[0]].color)
        shade = mask(ages, span, RAMP)
        cells = [(step + age - 0.5, 1.0) for age in ages[shade > 0]]
        axis.broken_barh(cells, (step - 0.4, 0.8), facecolors=[(*color, m) for m in shade[shade > 0]], lw=0)
        mark = look[token.split()[0]]
        plotting.measured(axis, [step], [step], mark, ms=6 if token[0] == "c" else 4)
    (asked,) = memories.x[memories.kind == "asked"]
    axis.axvline(asked, color="0.4", lw=1, ls="--")
    axis.text(asked - 0.6, 1.0, "asked", ha="right", va="center")
    for name, one in look.items():
        axis.add_line(plotting.entry(name, one.color, marker=one.mark, ls=""))
    axis.set(
        xlim=(-1, STEPS),
        ylim=(STEPS, -1),
        xlabel="step of the query $t$",
        ylabel="step of the memory $i$",
    )
    axis.grid(visible=False)
    axis.legend(loc="lower left", title="bars: $m_{ti}$ of the memory")


def _draw_live(axis: Axes, curves: pd.DataFrame) -> None:
    for name, look in plotting.looks(curves.curve.unique()).items():
        line, marks = (rows(curves, curve=name, kind=kind) for kind in ("theory", "counted"))
        plotting.theory(axis, line.x, line.y, look.color, drawstyle="steps-mid")
        plotting.measured(axis, marks.x, marks.y, look, ms=4, label=f"counted, {name}")
    steps = np.arange(STEPS)
    plotting.theory(axis, steps, steps, "0.6", ls=":", lw=1, label="without forgetting")
    axis.set(
        ylim=(0, None), xlabel="step of the query $t$", ylabel="live memories", title="(c) Memories alive"
    )
    axis.legend(loc="upper left")


def _draw_spans(axis: Axes, spans: pd.DataFrame) -> None:
    for (_, one), look in zip(
        groups(spans, "seed").items(), plotting.distinct(spans.seed.nunique()), strict=True
    ):
        plotting.measured(axis, one.x, one.y, look, ms=6, hollow=True, label=f"seed {one.seed.iloc[0]:.0f}")
    axis.axhline(START, color="0.6", ls=":", lw=1)
    axis.text(TOKENS - 0.6, START + 0.5, "at first", ha="right", va="bottom")
    axis.set_xticks(range(TOKENS), NAMES, rotation=30, ha="right")
    axis.set(ylim=(0, None), ylabel="span $e$ (steps)", title="(d) Spans of tokens, every training")
    axis.legend(loc="upper right")
