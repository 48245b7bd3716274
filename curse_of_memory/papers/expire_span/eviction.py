"""What eviction costs: windows, sinks, heavy hitters and learnt spans in the cache of one trained model."""

import copy
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.nn.seats import eviction
from curse_of_memory.nn.seats.expire_span import add_expire_span
from curse_of_memory.nn.seats.seat import Seat
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, rows
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.tools.extras import require

__all__ = ["data", "facts", "plot"]

NOISE, KINDS, VALUES = 6, 4, 4  # tokens: noise, then the values of each kind, then one question a kind
QUESTIONS = NOISE + KINDS * VALUES
TOKENS = QUESTIONS + KINDS
TOLD, ASKED = 12, 0.25  # facts are told in the first steps; then a question is asked this often
MAX_SPAN, RAMP, START = 48, 4, 0.5
BATCH, RATE, TUNED_RATE, SPAN_RATE = 16, 1e-2, 2e-3, 3e-2
RULES = ("window", "sinks", "heavy hitters")
SPANS = "learnt spans"
SINKS, CHUNK = 4, 4  # first steps that sinks keep; heavy hitters act after so many steps
KEPT_POINTS = 150  # certificates that are drawn of each rule
LEAST = 1e-6  # error from which on they are drawn
COLUMNS = ["panel", "curve", "seed", "setting", "x", "y"]


@figure_data(
    title="What eviction costs, and what spans learn to lose",
    source="Expire-Span (2105.06548), StreamingLLM (2309.17453), H2O (2306.14048); the comparison is ours",
)
def data(
    *,
    steps: int = 64,
    updates: int = 100,
    span_updates: int = 50,
    budgets: Sequence[int] = (6, 10, 16, 24, 40),
    prices: Sequence[float] = (3e-3, 1e-2, 3e-2, 1e-1),
    texts: int = 16,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train a small Llama to recall facts, then delete from its cache by rules, or give it spans and tune it.

    Four facts are told among noise in the first 12 of `steps`; later they are asked for, and said again. For
    each of `seeds` one layer is trained in `updates` steps. Rules keep `budgets` memories: a window; 4 sinks
    and a window; half heavy hitters, half a window, chosen after every 4 steps. Spans are added to a copy,
    which is tuned `span_updates` steps at each of `prices`, from one to the next. All is measured on `texts`
    new texts, where a fact is asked for.

    - *loss*: of the answers, in nats, by the mean number of memories that the question sees;
    - *mass*: the weight δ that was dropped, by the same;
    - *certificate*: |o − o'| of answers of heads, by the bound δ max |v − o'|, for the rules at the middle
      budget, and one seed;
    - *spans*: mean learnt span of noise, values and questions, by the price.

    Columns: ``panel, curve, seed, setting, x, y``; `setting` is a budget or a price.
    """
    require("models", "transformers")
    sizes = [checks.positive_int("budgets", budget) for budget in budgets]
    if min(sizes, default=0) < 6 or max(sizes) > checks.positive_int("steps", steps):
        raise ValueError(f"budgets must be from 6 to {steps} memories, got {list(budgets)!r}")
    charged = [checks.non_negative("prices", price) for price in prices]
    common = {
        "steps": steps,
        "updates": checks.positive_int("updates", updates),
        "span_updates": checks.positive_int("span_updates", span_updates),
        "budgets": sizes,
        "prices": charged,
        "texts": checks.positive_int("texts", texts),
        "device": device,
    }
    table = run_grid(
        _one_seed, product_of(seed=range(seed, seed + checks.positive_int("seeds", seeds))), common
    )
    table = table.reindex(columns=COLUMNS)

    def by_seed(panel: str, name: str, setting: float, column: str = "y") -> list[float]:
        return rows(table, panel=panel, curve=name, setting=setting)[column].tolist()

    middle = sizes[len(sizes) // 2]
    found = {f"loss, {name} of {middle}": by_seed("loss", name, middle) for name in RULES}
    found[f"loss, heavy hitters of {sizes[-1]}"] = by_seed("loss", "heavy hitters", sizes[-1])
    first, last = charged[0], charged[-1]
    for price in dict.fromkeys((first, last)):
        found[f"loss, spans at {price:g}"] = by_seed("loss", SPANS, price)
        found[f"memories, spans at {price:g}"] = by_seed("loss", SPANS, price, "x")
    headline = {label: float(np.median(values)) for label, values in found.items()}
    headline["mass that spans drop"] = float(rows(table, panel="mass", curve=SPANS).y.max())
    bounds = rows(table, panel="certificate")
    headline["largest error over its bound"] = float((bounds.y / bounds.x).max())
    message = (
        f"A question sees {headline[f'memories, spans at {last:g}']:.0f} memories with spans learnt at "
        f"{last:g}, and its answer costs {headline[f'loss, spans at {last:g}']:.2f} nats; a window of "
        f"{middle} costs {headline[f'loss, window of {middle}']:.2f}, with sinks "
        f"{headline[f'loss, sinks of {middle}']:.2f}, heavy hitters "
        f"{headline[f'loss, heavy hitters of {middle}']:.2f}. With more room, spans at {first:g} see "
        f"{headline[f'memories, spans at {first:g}']:.0f} and cost "
        f"{headline[f'loss, spans at {first:g}']:.2f}, heavy hitters of {sizes[-1]} cost "
        f"{headline[f'loss, heavy hitters of {sizes[-1]}']:.3f}. Rules drop "
        "weight, and the certificate says what this does to each answer; spans drop none."
    )
    return Findings(table, message, headline, spread=spreads(found))


def facts(batch: int, steps: int, seed: int | Sequence[int]) -> tuple[Tensor, Tensor]:
    """Return texts of facts, ``(batch, steps)`` of tokens, and where the next token answers a question.

    Parameters
    ----------
    batch, steps : int
        How many texts, and how long.
    seed : int or sequence of int
        Of the texts.
    """
    random = np.random.default_rng(seed)
    tokens, asks = random.integers(0, NOISE, (batch, steps)), np.zeros((batch, steps), bool)
    for text, asked in zip(tokens, asks, strict=True):
        values = NOISE + VALUES * np.arange(KINDS) + random.integers(0, VALUES, KINDS)
        text[random.choice(TOLD, KINDS, replace=False)] = values
        t = TOLD
        while t < steps - 1:
            if random.random() < ASKED:
                kind = random.integers(KINDS)
                text[t], text[t + 1], asked[t] = QUESTIONS + kind, values[kind], True
                t += 1
            t += 1
    return torch.as_tensor(tokens), torch.as_tensor(asks)


def _one_seed(
    seed: int,
    steps: int,
    updates: int,
    span_updates: int,
    budgets: Sequence[int],
    prices: Sequence[float],
    texts: int,
    device: str,
) -> pd.DataFrame:
    """Train a model, measure all rules on it, and spans on a copy that is tuned."""
    where = resolve_device(device)
    model = _model(steps, seed).to(where)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for step in range(updates):
        _update(model, optimizer, facts(BATCH, steps, (seed, 1, step)), 0.0)
    tokens, asks = (part.to(where) for part in facts(texts, steps, (seed, 0)))
    tuned, curves = copy.deepcopy(model), []
    for budget in budgets:
        for name in RULES:
            seat = eviction.apply(model, _rule(name, budget))
            chunk = CHUNK if name == "heavy hitters" else steps  # others do not depend on it
            report = _measured(seat, tokens, asks, chunk)
            seat.remove()
            curves += _points(report, name, budget)
            if budget == budgets[len(budgets) // 2]:
                curves.append(_certificates(report, name, budget))
    seat = add_expire_span(tuned, MAX_SPAN, RAMP, initial_share=START, price=1.0)
    own = [weight for law in seat.laws for weight in law.parameters()]
    others = [weight for weight in tuned.parameters() if not any(weight is w for w in own)]
    optimizer = torch.optim.Adam([{"params": others, "lr": TUNED_RATE}, {"params": own, "lr": SPAN_RATE}])
    for stage, price in enumerate(prices):
        for step in range(span_updates):
            _update(tuned, optimizer, facts(BATCH, steps, (seed, 2 + stage, step)), price, seat)
        curves += _points(_measured(seat, tokens, asks, steps), SPANS, price)
        spans = seat.spans()[0].detach()
        kinds = {"noise": tokens < NOISE, "questions": tokens >= QUESTIONS}
        kinds["values"] = ~(kinds["noise"] | kinds["questions"])
        for name, some in kinds.items():
            curves.append(
                curve([price], [spans[some].mean().item()], panel="spans", curve=name, setting=price)
            )
    return pd.concat(curves, ignore_index=True)


def _model(steps: int, seed: int) -> Any:
    from transformers.models.llama.configuration_llama import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=TOKENS,
        hidden_size=32,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=steps,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=None,
    )
    with seeded(seed):
        return LlamaForCausalLM(config)


def _rule(name: str, budget: int) -> Any:
    if name == "window":
        return eviction.Window(budget)
    if name == "sinks":
        return eviction.Sinks(SINKS, budget - SINKS)
    return eviction.HeavyHitters(budget // 2, budget - budget // 2)


def _update(
    model: Any,
    optimizer: torch.optim.Optimizer,
    texts: tuple[Tensor, Tensor],
    price: float,
    seat: Seat | None = None,
) -> None:
    """Train on the answers of some texts, and on the price of memory."""
    model.train()
    tokens, asks = (part.to(model.device) for part in texts)
    logits = model(tokens, use_cache=False).logits[:, :-1]
    loss = nn.functional.cross_entropy(logits[asks[:, :-1]], tokens[:, 1:][asks[:, :-1]])
    if seat is not None:
        loss = loss + price * seat.price()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    model.eval()


def _measured(seat: Seat, tokens: Tensor, asks: Tensor, chunk: int) -> dict[str, np.ndarray]:
    """Return certificates where facts are asked for, ``(head, question)``, live memories and losses there."""
    report, where = eviction.certify(seat, tokens, chunk=chunk), asks.cpu().numpy()
    found = {name: report[name].values[0].transpose(1, 0, 2)[:, where] for name in ("mass", "error", "bound")}
    return found | {"live": report.live.values[0][where], "loss": report.loss.values[where]}


def _points(report: dict[str, np.ndarray], name: str, setting: float) -> list[pd.DataFrame]:
    live = [report["live"].mean()]
    return [
        curve(live, [report[panel].mean()], panel=panel, curve=name, setting=setting)
        for panel in ("loss", "mass")
    ]


def _certificates(report: dict[str, np.ndarray], name: str, setting: float) -> pd.DataFrame:
    dropped = report["mass"].ravel() > 0
    bound, error = report["bound"].ravel()[dropped], report["error"].ravel()[dropped]
    some = slice(None, None, math.ceil(bound.size / KEPT_POINTS) or 1)
    return curve(bound[some], error[some], panel="certificate", curve=name, setting=setting)


def plot(data: FigureData) -> Figure:
    """Draw four panels: loss and dropped mass against memory, certificates against bounds, learnt spans."""
    looks = plotting.looks([*RULES, SPANS])
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=9.6, height=8.0)
        for axis, panel in zip(axes[0], ("loss", "mass"), strict=True):
            _draw_by_memory(axis, rows(data.table, panel=panel), looks)
        axes[0, 0].axhline(math.log(VALUES), color="0.6", lw=1, ls=":")
        axes[0, 0].text(0.98, math.log(VALUES) * 1.05, "guess", color="0.4", ha="right", transform=(
            axes[0, 0].get_yaxis_transform()
        ))  # fmt: skip
        axes[0, 0].set(yscale="log", ylabel="loss of an answer (nats)", title="(a) What it costs")
        axes[0, 1].set(ylabel=r"dropped weight $\delta$", title="(b) What is dropped: spans drop nothing")
        axes[0, 0].legend(loc="lower left")
        _draw_certificates(axes[1, 0], data, looks)
        _draw_spans(axes[1, 1], rows(data.table, panel="spans"))
    return figure


def _draw_by_memory(axis: Axes, points: pd.DataFrame, looks: dict) -> None:
    for name, look in looks.items():
        own = rows(points, curve=name)
        if name == SPANS:  # of each seed its own numbers of memories
            plotting.measured(axis, own.x, own.y, look, joined="", ms=8, label="learnt spans, all seeds")
            continue
        x = own.groupby("setting").x.median()
        plotting.over_seeds(axis, x, own.pivot(index="seed", columns="setting", values="y"), look, label=name)
    axis.set(xlabel="memories that a question sees")


def _draw_certificates(axis: Axes, data: FigureData, looks: dict) -> None:
    points = rows(data.table, panel="certificate", seed=data.parameters["seed"])
    for name in RULES:
        own = rows(points, curve=name)
        plotting.measured(axis, own.x, own.y, looks[name], joined="", ms=3, alpha=0.6, label=name)
    ends = np.array([LEAST, 2 * points.x.max()])
    plotting.theory(axis, ends, ends, label="bound")
    axis.set(
        xlim=ends,
        ylim=ends,
        xscale="log",
        yscale="log",
        xlabel=r"bound $\delta\,\max|v-o'|$",
        ylabel=r"error $|o-o'|=\delta\,|\bar v-o'|$",
        title="(c) Certificates, one for each answer of a head",
    )
    axis.legend(loc="upper left")


def _draw_spans(axis: Axes, points: pd.DataFrame) -> None:
    for name, look in plotting.looks(["values", "questions", "noise"]).items():
        own = rows(points, curve=name).pivot(index="seed", columns="setting", values="y")
        plotting.over_seeds(axis, own.columns, own, look, label=name)
    axis.set(
        xscale="log",
        ylim=(-1, 1.35 * points.y.max()),
        xlabel=r"price $\alpha$ of a step",
        ylabel="mean span (steps)",
        title="(d) What spans are learnt: facts stay, noise goes",
    )
    axis.legend(loc="upper right")
