"""The price of memory: how many memories are alive, how long they are worth it, and who gains from that."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.papers.expire_span._descent import descended
from curse_of_memory.papers.expire_span._layer import live_counts, trained_span
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory import targets
from curse_of_memory.theory.expiry import (
    LiveMemories,
    LogitNormalSpans,
    exponential_kinds,
    exponential_span,
    kind_spans,
    largest_saving,
    life,
    live_memories,
    sharp_span,
    span_loss,
    window_error,
)
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

MEAN, STD, MAX_SPAN = -1.2, 1.5, 200.0  # of logit-normal spans
RATE, POWER = 0.05, 1.5  # of ρ = e^{−λs} and (1 + s)^{−p}
LAGS = 3000
TRAINED_FROM = 30.0  # the span of attention before it is trained, in steps
SLOW, FAST = 400.0, 8.0  # time constants of two kinds, in steps: 100 and 2 in units of four
COLUMNS = ["panel", "curve", "kind", "seed", "x", "y"]
QUEUE = ("one query", "fullest row")
_FORMULAS = {"exponential": r"$\rho=e^{-s/20}$", "polynomial": r"$\rho=(1+s)^{-1.5}$"}


@figure_data(
    title="The price of memory",
    source="Theory of Expire-Span (2105.06548); closed forms and proofs are ours",
)
def data(
    *,
    queries: int = 4000,
    batch: int = 32,
    ramp: int = 16,
    prices: Sequence[float] = (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6),
    slow_shares: Sequence[float] = (0.02, 0.05, 0.2),
    draws: int = 2000,
    trained_prices: Sequence[float] = (1e-3, 1e-5),
    updates: int = 120,
    steps: int = 3000,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compute what memory costs and is worth in closed form, and simulate it.

    - *queue*: law of the number of live memories at one query and in the fullest row of a `batch`, spans
      200 σ̂(h) with h ~ N(−1.2, 1.5²); simulated in `queries` batches for each of `seeds`, and counted by an
      attention with such spans at `steps` steps in a row;
    - *span*: best span by the price α of a step, for ρ = e^{−s/20} and (1 + s)^{−1.5}: of a sharp mask in
      continuous time, and of a ramp in whole steps; spans of gradient descent at `prices`, and of attention
      that is trained on random inputs at `trained_prices` by `updates`, for each of `seeds`;
    - *error*: σ² ∫_C^∞ ρ² against memory C, what a ramp makes of it, and errors of the spans of descent over
      `draws` of random inputs;
    - *saving*: how many times the memory one window needs if few memories, `slow_shares`, are used with
      e^{−s/400} and all others with e^{−s/8}, by the price: in continuous time, and exactly in whole steps.

    Columns: ``panel, curve, kind, seed, x, y``; `kind` is ``theory``, ``simulated``, ``counted``,
    ``descent``, ``trained`` or ``whole steps``, x and y are number and chance, price and span, memory and
    error, price and ratio.
    """
    alive = live_memories(LogitNormalSpans(MEAN, STD, MAX_SPAN).exceeds, MAX_SPAN, ramp)
    counts = [_counted(queries, batch, ramp, seed + k) for k in range(checks.positive_int("seeds", seeds))]
    price = [checks.positive("prices", alpha) for alpha in prices]
    layers = [
        live_counts(
            MEAN,
            STD,
            max_span=int(MAX_SPAN),
            ramp=ramp,
            batch=batch,
            queries=checks.positive_int("steps", steps),
            seed=seed + k,
            device=device,
        )
        for k in range(seeds)
    ]
    trained = _trained(trained_prices, ramp, updates, range(seed, seed + seeds), device)
    curves = [
        *_queue(alive, counts, batch, seed),
        *_counted_by_layers(layers, seed),
        *_spans(price, ramp),
        trained,
        *_errors(price, ramp, draws, seed),
        *_savings(price, slow_shares),
    ]
    table = pd.concat(curves, ignore_index=True).reindex(columns=COLUMNS)

    exact = {"mean": alive.mean, "variance": alive.variance, f"largest of {batch}": alive.largest(batch)}
    seen = {
        "mean": [float(one.mean()) for one, _ in counts],
        "variance": [float(one.var()) for one, _ in counts],
        f"largest of {batch}": [float(fullest.mean()) for _, fullest in counts],
    }
    by_layer = {
        "mean": [float(live.mean()) for live in layers],
        "variance": [float(live.var()) for live in layers],
        f"largest of {batch}": [float(live.max(0).mean()) for live in layers],
    }
    headline = {f"live memories, {name}": value for name, value in exact.items()}
    over_seeds = {f"live memories, {name}, simulated": np.array(values) for name, values in seen.items()}
    over_seeds |= {f"live memories, {name}, counted": np.array(values) for name, values in by_layer.items()}
    over_seeds |= {
        f"best span at {alpha:g}, trained": np.asarray(one.y) for alpha, one in groups(trained, "x").items()
    }
    headline |= {label: float(np.median(values)) for label, values in over_seeds.items()}
    loss = span_loss(np.exp(-RATE * np.arange(LAGS)), ramp)
    for alpha in (1e-3, 1e-5):
        headline[f"best span at {alpha:g}"] = loss.best(alpha).span
        headline[f"best span at {alpha:g}, continuous time"] = exponential_span(RATE, alpha, ramp=ramp)
        headline[f"best span at {alpha:g}, sharp"] = exponential_span(RATE, alpha)
    saved = rows(table, panel="saving", kind="whole steps")
    message = (
        f"Lines are closed forms. Where {alive.mean:.1f} memories are alive on average, the fullest of "
        f"{batch} rows has {alive.largest(batch):.1f}. At a price of 1e-3 of the input's variance a memory "
        f"of e^(-s/20) is worth {loss.best(1e-3).span:.1f} steps, at 1e-5 {loss.best(1e-5).span:.1f}. "
        f"One window for all needs up to {saved.y.max():.0f} times the memory."
    )
    return Findings(table, message, headline, spread=spreads(over_seeds))


def _counted(queries: int, batch: int, ramp: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return how many memories are alive at random queries, and in the fullest of random batches of rows."""
    random, ages = np.random.default_rng((seed, 1)), np.arange(1, int(MAX_SPAN) + ramp)
    counts = np.empty((checks.positive_int("queries", queries), checks.positive_int("batch", batch)), int)
    for query in counts:
        h = random.normal(MEAN, STD, size=(batch, ages.size))
        query[:] = (life(MAX_SPAN / (1 + np.exp(-h)), ramp) >= ages).sum(1)
    return counts[:, 0], counts.max(1)


def _queue(
    alive: LiveMemories, counts: list[tuple[np.ndarray, np.ndarray]], batch: int, seed: int
) -> list[pd.DataFrame]:
    number = np.arange(alive.law.size)
    below = np.minimum(np.cumsum(alive.law), 1.0)
    laws = (alive.law, np.diff(below**batch, prepend=0.0))
    curves = [
        curve(number[law > 1e-7], law[law > 1e-7], panel="queue", curve=name, kind="theory", seed=math.nan)
        for name, law in zip(QUEUE, laws, strict=True)
    ]
    bins = np.arange(alive.law.size + 3) // 3 * 3  # numbers by threes, as their mean
    for k, both in enumerate(counts):
        for name, seen in zip(QUEUE, both, strict=True):
            share = np.bincount(seen // 3) / 3 / seen.size
            some = share > 0
            middle = np.unique(bins)[: share.size][some] + 1.0
            curves.append(
                curve(middle, share[some], panel="queue", curve=name, kind="simulated", seed=float(seed + k))
            )
    return curves


def _counted_by_layers(layers: list[np.ndarray], seed: int) -> list[pd.DataFrame]:
    """Return the shares of numbers of live memories, one query and fullest row, as attentions count them."""
    curves = []
    for k, live in enumerate(layers):
        for name, seen in zip(QUEUE, (live.ravel(), live.max(0)), strict=True):
            share = np.bincount(seen // 3) / 3 / seen.size
            (some,) = np.nonzero(share)
            middle = 3.0 * some + 1
            curves.append(
                curve(middle, share[some], panel="queue", curve=name, kind="counted", seed=float(seed + k))
            )
    return curves


def _trained(
    prices: Sequence[float], ramp: int, updates: int, seeds: Sequence[int], device: str
) -> pd.DataFrame:
    runs = run_grid(
        _span_of_training,
        product_of(alpha=[checks.positive("trained_prices", alpha) for alpha in prices], seed=seeds),
        {"ramp": ramp, "updates": checks.positive_int("updates", updates), "device": device},
    )
    table = runs.rename(columns={"alpha": "x", "span": "y"})
    return table.assign(panel="span", curve="exponential", kind="trained").reindex(columns=COLUMNS)


def _span_of_training(alpha: float, seed: int, ramp: int, updates: int, device: str) -> dict[str, float]:
    span = trained_span(
        alpha, rate=RATE, ramp=ramp, start=TRAINED_FROM, updates=updates, seed=seed, device=device
    )
    return {"span": span}


def _kernels() -> dict[str, tuple[targets.Target, np.ndarray]]:
    lags = np.arange(float(LAGS))
    both = {"exponential": targets.exponential(RATE), "polynomial": targets.polynomial(POWER)}
    return {name: (rho, np.asarray(rho(lags))) for name, rho in both.items()}


def _spans(prices: list[float], ramp: int) -> list[pd.DataFrame]:
    fine = np.geomspace(min(prices) / 2, min(max(prices) * 2, 1.0), 60)
    curves = []
    for name, (rho, values) in _kernels().items():
        loss = span_loss(values, ramp)
        lines = {
            "sharp": [sharp_span(rho, alpha) for alpha in fine],
            "ramp": [loss.best(alpha).span for alpha in fine],
        }
        for mask, spans in lines.items():
            label = f"{name}, {mask}"
            curves.append(curve(fine, spans, panel="span", curve=label, kind="theory", seed=math.nan))
        found = descended(loss, 1.0, prices)
        curves.append(curve(prices, found, panel="span", curve=name, kind="descent", seed=math.nan))
    return curves


def _errors(prices: list[float], ramp: int, draws: int, seed: int) -> list[pd.DataFrame]:
    curves, lags = [], np.arange(LAGS)
    x = np.random.default_rng((seed, 2)).standard_normal((checks.positive_int("draws", draws), LAGS))
    for name, (rho, values) in _kernels().items():
        loss = span_loss(values, ramp)
        spans = descended(loss, 1.0, prices)
        memory = np.geomspace(min(4.0, ramp - 0.5), 1.6 * float(life(spans, ramp).max()), 60)
        least = max(ramp - 1, 1)  # which a span of zero has
        whole = np.unique(np.round(np.append(memory[memory >= least], least)))
        lines = {
            "sharp": (memory, [window_error(rho, C) for C in memory]),
            "ramp": (whole, loss.error(whole - ramp + 1)),
        }
        for mask, (C, error) in lines.items():
            label = f"{name}, {mask}"
            curves.append(curve(C, error, panel="error", curve=label, kind="theory", seed=math.nan))
        forgotten = np.clip((lags - spans[:, None]) / ramp, 0, 1) * values
        seen, lives = ((x @ forgotten.T) ** 2).mean(0), life(spans, ramp)
        curves.append(curve(lives, seen, panel="error", curve=name, kind="simulated", seed=float(seed)))
    return curves


def _savings(prices: list[float], slow_shares: Sequence[float]) -> list[pd.DataFrame]:
    curves, fine = [], np.geomspace(min(prices) / 2, 0.5, 60)
    lags = np.arange(int(SLOW * math.log(1 / min(prices))))
    losses = [span_loss(np.exp(-lags / tau), ramp=1) for tau in (SLOW, FAST)]
    for share in slow_shares:
        if checks.positive("slow_shares", share) >= 1:
            raise ValueError(f"slow_shares must be below 1, got {share!r}")
        times, q, label = [SLOW, FAST], [share, 1 - share], f"{share:g}"
        line = [exponential_kinds(times, q, alpha).saving for alpha in fine]
        limit = np.full(fine.size, largest_saving(times, q))
        found = [kind_spans(losses, q, alpha).saving for alpha in prices]
        curves += [
            curve(fine, line, panel="saving", curve=label, kind="theory", seed=math.nan),
            curve(fine, limit, panel="saving", curve=f"{label}, limit", kind="theory", seed=math.nan),
            curve(prices, found, panel="saving", curve=label, kind="whole steps", seed=math.nan),
        ]
    return curves


def plot(data: FigureData) -> Figure:
    """Draw four panels: the queue, best spans by price, error against memory, and what spans save."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=9.6, height=8.0)
        _draw_queue(axes[0, 0], panels["queue"], data.parameters["batch"])
        _draw_spans(axes[0, 1], panels["span"])
        _draw_errors(axes[1, 0], panels["error"])
        _draw_savings(axes[1, 1], panels["saving"])
    return figure


def _draw_queue(axis: Axes, curves: pd.DataFrame, batch: int) -> None:
    labels = dict(zip(QUEUE, ("one query", f"fullest of {batch} rows"), strict=True))
    for name, look in plotting.looks(QUEUE).items():
        one = rows(curves, curve=name)
        line, marks = rows(one, kind="theory"), rows(one, kind="simulated")
        plotting.theory(axis, line.x, line.y, look.color)
        runs = marks.pivot(index="seed", columns="x", values="y").fillna(0.0)
        plotting.over_seeds(axis, runs.columns, runs, look, joined="", ms=4, label=labels[name])
        counted = rows(one, kind="counted").pivot(index="seed", columns="x", values="y").fillna(0.0)
        ring = plotting.Look(look.color, "D")
        label = f"{labels[name]}, by attention"
        plotting.over_seeds(
            axis, counted.columns, counted, ring, joined="", alpha=0.1, hollow=True, ms=7, label=label
        )
    axis.set(
        ylim=(0, 0.23),
        xlabel="live memories $n$",
        ylabel="probability",
        title="(a) Memory is a queue",
    )
    axis.legend(loc="upper left", fontsize=9)


def _draw_spans(axis: Axes, curves: pd.DataFrame) -> None:
    _draw_kernels(axis, curves)
    axis.set(
        xscale="log",
        xlabel=r"price $\alpha$ of a step",
        ylabel=r"best span $e$ (steps)",
        title=r"(b) Worth it: $\sigma^2 b(e)\,\rho(e)^2=\alpha$",
    )
    axis.legend(loc="upper right")


def _draw_errors(axis: Axes, curves: pd.DataFrame) -> None:
    _draw_kernels(axis, curves)
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-6, 20),
        xlabel="live memories $C$",
        ylabel=r"error / $\sigma^2$",
        title=r"(c) Error: $e^{-2\lambda C}/2\lambda$ and $C^{1-2p}/(2p-1)$",
    )
    axis.legend(loc="lower left")


def _draw_kernels(axis: Axes, curves: pd.DataFrame) -> None:
    """Draw the curves of both kernels, of a sharp mask and of a ramp, and the marks of the ramp."""
    for name, look in plotting.looks(_FORMULAS).items():
        sharp, ramp = (rows(curves, curve=f"{name}, {mask}") for mask in ("sharp", "ramp"))
        plotting.theory(axis, sharp.x, sharp.y, look.color, ls="--", lw=1.2)
        plotting.theory(axis, ramp.x, ramp.y, look.color)
        marks, trained = rows(curves, curve=name), rows(curves, curve=name, kind="trained")
        marks = marks[marks.kind != "trained"]
        plotting.measured(axis, marks.x, marks.y, look, label=_FORMULAS[name])
        if len(trained):
            ring = plotting.Look(look.color, "D")
            label = "attention, every training"
            plotting.measured(axis, trained.x, trained.y, ring, hollow=True, ms=9, label=label)
    axis.add_line(plotting.entry("ramp"))
    axis.add_line(plotting.entry("sharp", ls="--", lw=1.2))


def _draw_savings(axis: Axes, curves: pd.DataFrame) -> None:
    names = [name for name in curves.curve.unique() if "limit" not in name]
    for name, look in plotting.looks(names).items():
        one, limit = rows(curves, curve=name), rows(curves, curve=f"{name}, limit")
        plotting.theory(axis, limit.x, limit.y, look.color, ls=":", lw=1)
        line, marks = rows(one, kind="theory"), rows(one, kind="whole steps")
        label = f"{float(name):.0%} slow"
        plotting.theory_and_measured(axis, (line.x, line.y), (marks.x, marks.y), look, label=label)
    axis.add_line(plotting.entry("continuous time"))
    axis.add_line(plotting.entry("whole steps", marker="o", ls=""))
    axis.add_line(plotting.entry(r"limit, $\max\tau/\Sigma q\tau$", ls=":", lw=1))
    axis.set(
        xscale="log",
        ylim=(0, None),
        xlabel=r"price $\alpha$ of a step",
        ylabel="memory of one window / of spans",
        title=r"(d) Who gains: few slow among fast, $\tau$ 50 to 1",
    )
    axis.legend(loc="center left", bbox_to_anchor=(0.0, 0.38), ncols=2)
