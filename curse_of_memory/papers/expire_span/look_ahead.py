"""Look-ahead: gradients see the ramp of a span and nothing beyond, so that some uses are never learnt."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.papers.expire_span._descent import descended
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory.expiry import blind_span, learnt_span, safe_step, span_loss
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

NEAR = 20  # first uses are at lags 1 to this
START = 5.0  # of spans, in steps
BATCH, STEP = 32, 2.0  # of stochastic descent
RATE, BUMP, HEIGHT = 0.05, range(120, 125), 0.3  # ρ = e^{−λs}, and a bump of this height
COLUMNS = ["panel", "curve", "kind", "seed", "x", "y"]


@figure_data(
    title="Look-ahead: what gradients never find",
    source="Theory of Expire-Span (2105.06548); closed forms and proofs are ours",
)
def data(
    *,
    ramp: int = 16,
    shown_gaps: Sequence[int] = (8, 15, 16, 30),
    largest_gap: int = 24,
    delay: int = 60,
    updates: int = 3000,
    stochastic_updates: int = 1500,
    draws: int = 20_000,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compute what moves a span and where training ends, in closed form and by gradient descent.

    The memory is used at lags 1 to 20, and once more after a gap g, at lag 20 + g, all with ρ = 1.

    - *pull*: −dE/de by the span, g in `shown_gaps`: exact, and the mean gradient over `draws` of inputs;
    - *gap*: the span that is learnt from a start at 5, by g up to `largest_gap`: closed form; `updates` of
      gradient descent on the exact loss; `stochastic_updates` on batches of 32 random inputs, for each of
      `seeds`;
    - *start*: a memory used at lag `delay` alone, by the span that training starts from;
    - *price*: the best span for ρ = e^{−s/20} with a bump at lags 120 to 124, by the price, the end of the
      gradient flow from the start, and spans of descent.

    Columns: ``panel, curve, kind, seed, x, y``; `kind` is ``theory``, ``descent`` or ``stochastic``; x is
    span, gap, start or price, and y is the pull or a span. (The device does not matter.)
    """
    R, most = checks.positive_int("ramp", ramp), checks.positive_int("largest_gap", largest_gap)
    gaps = np.arange(1, most + 1)
    curves = [
        *_pulls(R, shown_gaps, draws, seed),
        *_gaps(R, gaps, updates),
        *(
            _stochastic(R, gaps, stochastic_updates, seed + k)
            for k in range(checks.positive_int("seeds", seeds))
        ),
        *_starts(R, delay, updates),
        *_prices(R),
    ]
    table = pd.concat(curves, ignore_index=True).reindex(columns=COLUMNS)

    by_gap = rows(table, panel="gap")
    learnt = {
        kind: max([0.0, *marks.x[marks.y > NEAR + marks.x - 1]])
        for kind, marks in groups(by_gap, "kind").items()
    }
    price = rows(table, panel="price")
    far = {
        name: float(line.x[line.y > min(BUMP) - R].max())
        for name, line in groups(rows(price, kind="theory"), "curve").items()
    }
    headline = {
        "largest gap learnt, closed form": learnt["theory"],
        "largest gap learnt, descent": learnt["descent"],
        "largest gap learnt, stochastic descent": learnt["stochastic"],
        "start from which the delay is learnt": float(delay - R),
        "price at which the bump is worth it": far["best"],
        "price at which it is learnt": far["learnt"],
    }
    message = (
        f"Lines are closed forms, marks are training. With a ramp of {R} a use is learnt up to {R - 1} steps "
        f"after the last useful lag; descent learns gaps up to {learnt['descent']:.0f}, with the noise of "
        f"batches {learnt['stochastic']:.0f}. A memory used at lag {delay} alone is learnt from starts above "
        f"{delay - R}. The bump is worth its price up to {far['best']:.0e}, and gradients find it up to "
        f"{far['learnt']:.0e}."
    )
    return Findings(table, message, headline)


def _used(lags: Sequence[int]) -> np.ndarray:
    rho = np.zeros(max(lags) + 1)
    rho[list(lags)] = 1.0
    return rho


def _pulls(ramp: int, gaps: Sequence[int], draws: int, seed: int) -> list[pd.DataFrame]:
    curves, spans = [], np.linspace(0, NEAR + max(gaps) + 2, 1001)
    for g in gaps:
        rho = _used([*range(1, NEAR + 1), NEAR + checks.positive_int("shown_gaps", g)])
        loss, label = span_loss(rho, ramp), f"{g}"
        curves.append(
            curve(spans, -loss.slope(spans), panel="pull", curve=label, kind="theory", seed=math.nan)
        )
        # at fractions, which are no kinks
        some = np.arange(1.5, NEAR + g + 2, 3.0)
        x = np.random.default_rng((seed, 1)).standard_normal((checks.positive_int("draws", draws), rho.size))
        part = np.clip((np.arange(rho.size) - some[:, None]) / ramp, 0, 1)
        lost, seen = x @ (part * rho).T, x @ (np.where((part > 0) & (part < 1), rho, 0.0)).T
        mean = (2 / ramp * lost * seen).mean(0)
        curves.append(curve(some, mean, panel="pull", curve=label, kind="stochastic", seed=float(seed)))
    return curves


def _gaps(ramp: int, gaps: np.ndarray, updates: int) -> list[pd.DataFrame]:
    near = range(1, NEAR + 1)
    exact = [blind_span([*near, NEAR + g], START, ramp) for g in gaps.tolist()]
    found = []
    for g in gaps.tolist():
        loss = span_loss(_used([*near, NEAR + g]), ramp)
        found.append(float(descended(loss, START, step=safe_step(loss), steps=updates)))
    return [
        curve(gaps, exact, panel="gap", curve="", kind="theory", seed=math.nan),
        curve(gaps, found, panel="gap", curve="", kind="descent", seed=math.nan),
    ]


def _stochastic(ramp: int, gaps: np.ndarray, updates: int, seed: int) -> pd.DataFrame:
    """Train a span for each gap by descent on batches of random inputs."""
    random, e = np.random.default_rng((seed, 2)), np.full(gaps.size, START)
    lags = np.concatenate([np.tile(np.arange(1, NEAR + 1), (gaps.size, 1)), NEAR + gaps[:, None]], axis=1)
    for _ in range(checks.positive_int("stochastic_updates", updates)):
        x = random.standard_normal((BATCH, *lags.shape))
        part = np.clip((lags - e[:, None]) / ramp, 0, 1)
        lost, seen = (x * part).sum(-1), (x * ((part > 0) & (part < 1))).sum(-1)
        e = np.maximum(e + STEP * 2 / ramp * (lost * seen).mean(0), 0.0)
    return curve(gaps, e, panel="gap", curve="", kind="stochastic", seed=float(seed))


def _starts(ramp: int, delay: int, updates: int) -> list[pd.DataFrame]:
    delay = checks.positive_int("delay", delay)
    loss = span_loss(_used([delay]), ramp)
    fine = np.linspace(0, 1.3 * delay, 521)
    some = np.linspace(0.5, 1.3 * delay, 25)
    exact = np.array([blind_span([delay], e, ramp) for e in fine.tolist()])
    jump = int(np.argmax(exact > fine))
    if exact[jump] > fine[jump]:  # no line between the two sides of a jump
        fine, exact = np.insert(fine, jump, fine[jump]), np.insert(exact, jump, np.nan)
    found = descended(loss, some, step=safe_step(loss) / 4, steps=updates)
    return [
        curve(fine, exact, panel="start", curve="", kind="theory", seed=math.nan),
        curve(some, found, panel="start", curve="", kind="descent", seed=math.nan),
    ]


def _prices(ramp: int) -> list[pd.DataFrame]:
    rho = np.exp(-RATE * np.arange(600.0))
    rho[list(BUMP)] += HEIGHT
    loss = span_loss(rho, ramp)
    fine, some = np.geomspace(1e-7, 0.3, 300), np.geomspace(1e-7, 0.3, 20)
    lines = {
        "best": [loss.best(alpha).span for alpha in fine],
        "learnt": [learnt_span(loss, START, alpha) for alpha in fine],
    }
    curves = [
        curve(fine, spans, panel="price", curve=name, kind="theory", seed=math.nan)
        for name, spans in lines.items()
    ]
    found = descended(loss, START, some)
    return [*curves, curve(some, found, panel="price", curve="learnt", kind="descent", seed=math.nan)]


def plot(data: FigureData) -> Figure:
    """Draw four panels: the pull on a span, what is learnt by gap, by start and by price."""
    panels, ramp = groups(data.table, "panel"), data.parameters["ramp"]
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=9.6, height=8.0)
        _draw_pulls(axes[0, 0], panels["pull"])
        _draw_gaps(axes[0, 1], panels["gap"], ramp)
        _draw_starts(axes[1, 0], panels["start"], data.parameters["delay"], ramp)
        _draw_prices(axes[1, 1], panels["price"])
    return figure


def _draw_pulls(axis: Axes, curves: pd.DataFrame) -> None:
    for name, look in plotting.looks(curves.curve.unique()).items():
        one = rows(curves, curve=name)
        line, marks = rows(one, kind="theory"), rows(one, kind="stochastic")
        plotting.theory_and_measured(
            axis, (line.x, line.y), (marks.x, marks.y), look, size=4, label=f"$g={name}$"
        )
    axis.set(
        ylim=(-0.02, 0.45),
        xlabel="span $e$ (steps)",
        ylabel=r"pull $-dE/de$",
        title=f"(a) Pull on a span; uses at 1 to {NEAR} and {NEAR}$+g$",
    )
    axis.legend(loc="upper right")


def _draw_gaps(axis: Axes, curves: pd.DataFrame, ramp: int) -> None:
    exact, once = rows(curves, kind="theory"), rows(curves, kind="descent")
    noisy = rows(curves, kind="stochastic").pivot(index="seed", columns="x", values="y")
    plotting.theory(axis, exact.x, exact.y, drawstyle="steps-mid", label="gradient flow")
    dark, light = plotting.distinct(3)[:2]
    plotting.measured(axis, once.x, once.y, dark, label="descent, exact loss")
    plotting.over_seeds(
        axis, noisy.columns, noisy, light, joined="", hollow=True, ms=9, label=f"descent, batches of {BATCH}"
    )
    plotting.theory(axis, exact.x, NEAR + exact.x, "0.6", ls=":", lw=1, label="last use")
    axis.axvline(ramp - 0.5, color="0.6", lw=0.8)
    axis.set(
        xlabel="gap $g$ (steps)",
        ylabel="learnt span (steps)",
        title=f"(b) Gaps from $R={ramp}$ on: never by the flow",
    )
    axis.legend(loc="upper left")


def _draw_starts(axis: Axes, curves: pd.DataFrame, delay: int, ramp: int) -> None:
    exact, once = rows(curves, kind="theory"), rows(curves, kind="descent")
    plotting.theory(axis, exact.x, exact.y, label="gradient flow")
    plotting.measured(axis, once.x, once.y, plotting.distinct(3)[0], label="descent, exact loss")
    axis.axvline(delay - ramp, color="0.6", lw=0.8)
    axis.set(
        xlabel="span at the start (steps)",
        ylabel="learnt span (steps)",
        title=f"(c) One delay, {delay}: learnt from starts above {delay - ramp}",
    )
    axis.legend(loc="upper left")


def _draw_prices(axis: Axes, curves: pd.DataFrame) -> None:
    best, learnt = (rows(curves, curve=name, kind="theory") for name in ("best", "learnt"))
    once = rows(curves, kind="descent")
    plotting.theory(axis, best.x, best.y, "crimson", ls="--", label="best span")
    plotting.theory(axis, learnt.x, learnt.y, label="gradient flow")
    plotting.measured(axis, once.x, once.y, plotting.distinct(3)[0], label="descent, exact loss")
    axis.set(
        xscale="log",
        xlabel=r"price $\alpha$ of a step",
        ylabel="span (steps)",
        title=r"(d) $e^{-s/20}$ and a bump at 120: worth it, unseen",
    )
    axis.legend(loc="upper right")
