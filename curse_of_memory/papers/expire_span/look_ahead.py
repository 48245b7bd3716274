"""Look-ahead: gradients see the ramp of a span and nothing beyond, so that some uses are never learnt."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.papers.expire_span._corridor import COLOURS, training
from curse_of_memory.papers.expire_span._descent import descended
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory.expiry import blind_span, learnt_span, reach, safe_step, span_loss
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
    delays: Sequence[int] = (5, 9, 15),
    longest_delay: int = 30,
    layers: Sequence[int] = (1,),
    width: int = 16,
    trained_ramp: int = 4,
    trained_start: float = 6.0,
    max_span: int = 64,
    trained_updates: int = 80,
    learning_rate: float = 0.01,
    trainings: int = 3,
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
      gradient flow from the start, and spans of descent;
    - *error*: transformers of some `layers` and of `width` channels learn a colour that is asked for after
      exactly so many steps, for each of `delays`, or after 2 to `longest_delay`: errors of all `trainings`
      by delay. Spans are `trained_start` at first, with a ramp of `trained_ramp`; Adam makes
      `trained_updates` at `learning_rate`. What no gradient reaches is answered by chance;
    - *growth*: the span of a colour in their first layers, by update.

    Columns: ``panel, curve, kind, seed, x, y``; `kind` is ``theory``, ``descent``, ``stochastic`` or
    ``trained``; x is span, gap, start, price, delay or update, and y is the pull, a span or an error.
    Curves of trainings are "task, layers".
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
    for n in layers:
        curves.append(_chances(checks.positive_int("layers", n), trained_start, trained_ramp, longest_delay))
    exact = [str(checks.positive_int("delays", delay)) for delay in delays]
    if not delays or max(delays) > checks.positive_int("longest_delay", longest_delay):
        raise ValueError(f"delays must be at most longest_delay = {longest_delay}, got {list(delays)!r}")
    number = checks.positive_int("trainings", trainings)
    runs = run_grid(
        training,
        product_of(
            task=[*exact, f"2 to {longest_delay}"], layers=list(layers), seed=range(seed, seed + number)
        ),
        {
            "delays": sorted({*delays, longest_delay}),
            "width": width,
            "ramp": trained_ramp,
            "start": checks.positive("trained_start", trained_start),
            "max_span": max_span,
            "updates": checks.positive_int("trained_updates", trained_updates),
            "learning_rate": learning_rate,
            "device": device,
        },
    )
    runs["curve"] = runs["task"] + ", " + runs["layers"].astype(str)
    runs["panel"] = np.where(runs["kind"] == "error", "error", "growth")
    curves.append(runs.assign(kind="trained").reindex(columns=COLUMNS))
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
    wrong = {
        _error_of(label): np.asarray(marks.groupby("seed").y.mean())
        for label, marks in groups(rows(table, panel="error", kind="trained"), "curve").items()
    }
    headline = {
        "largest gap learnt, closed form": learnt["theory"],
        "largest gap learnt, descent": learnt["descent"],
        "largest gap learnt, stochastic descent": learnt["stochastic"],
        "start from which the delay is learnt": float(delay - R),
        "price at which the bump is worth it": far["best"],
        "price at which it is learnt": far["learnt"],
    }
    headline |= {label: float(np.median(errors)) for label, errors in wrong.items()}
    seen = reach([trained_start], trained_ramp)
    message = (
        f"Lines are closed forms, marks are training. With a ramp of {R} a use is learnt up to {R - 1} steps "
        f"after the last useful lag; descent learns gaps up to {learnt['descent']:.0f}, with the noise of "
        f"batches {learnt['stochastic']:.0f}. A memory used at lag {delay} alone is learnt from starts above "
        f"{delay - R}. The bump is worth its price up to {far['best']:.0e}, and gradients find it up to "
        f"{far['learnt']:.0e}. Transformers of one layer whose spans are {trained_start:g} at first see "
        f"{seen} steps back: delays of 2 to {longest_delay} can be learnt, of exactly {seen + 1} or more not."
    )
    return Findings(table, message, headline, spread=spreads(wrong))


def _chances(layers: int, start: float, ramp: int, longest: int) -> pd.DataFrame:
    """Return the error by delay: none as far as gradients see at first, and that of guessing beyond."""
    delay = np.arange(1, longest + 1)
    seen = delay <= reach([start] * layers, ramp)
    guessed = np.where(seen, 0.0, 1 - 1 / COLOURS)
    return curve(delay, guessed, panel="error", curve=f"{layers}", kind="theory", seed=math.nan)


def _error_of(curve: str) -> str:
    """Return the words for the error of a training."""
    task, layers = curve.split(", ")
    exactly = "" if " to " in task else "exactly "
    return f"error after {exactly}{task} steps, {layers} layer{'s' * (layers != '1')}"


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
    """Draw six panels: the pull on a span, what is learnt by gap, start and price, and transformers."""
    panels, ramp = groups(data.table, "panel"), data.parameters["ramp"]
    with plotting.style():
        figure, axes = plotting.canvas(2, 3, width=9.6, height=11.6)
        _draw_pulls(axes[0, 0], panels["pull"])
        _draw_gaps(axes[0, 1], panels["gap"], ramp)
        _draw_starts(axes[1, 0], panels["start"], data.parameters["delay"], ramp)
        _draw_prices(axes[1, 1], panels["price"])
        _draw_errors(axes[2, 0], panels["error"])
        _draw_growth(axes[2, 1], panels["growth"], data.parameters["trained_ramp"])
    return figure


def _draw_errors(axis: Axes, curves: pd.DataFrame) -> None:
    lines, marks = rows(curves, kind="theory"), rows(curves, kind="trained")
    shift = dict(zip(lines.curve.unique(), (0.0, 0.02, 0.04), strict=False))  # lines of two numbers of layers
    for layers, line in groups(lines, "curve").items():
        style = "-" if layers == "1" else "--"
        name = f"seen at first, {layers} layer{'s' * (layers != '1')}"
        plotting.theory(axis, line.x, line.y + shift[layers], ls=style, drawstyle="steps-mid", label=name)
    names = dict.fromkeys((" to " in name, name.split(", ")[1]) for name in marks.curve.unique())
    for (many, layers), look in plotting.looks(names).items():
        mine = [(" to " in name, name.split(", ")[1]) == (many, layers) for name in marks.curve]
        one = marks[mine]
        what = one.curve.iloc[0].split(",")[0] if many else "exactly so many"
        label = f"asked after {what} steps" + (f", {layers} layers" if layers != "1" else "")
        plotting.measured(axis, one.x, one.y, look, hollow=not many, ms=9 if not many else 5, label=label)
    axis.set(
        ylim=(-0.04, 0.98 if len(names) <= 2 else 1.3),
        xlabel="delay (steps)",
        ylabel="error, every training",
        title="(e) Transformers guess what is never seen",
    )
    axis.legend(loc="upper left")


def _draw_growth(axis: Axes, curves: pd.DataFrame, ramp: int) -> None:
    names = curves.curve.unique().tolist()
    shown = [name for name in names if name.split(", ")[1] == names[0].split(", ")[1]]
    for name, look in plotting.looks(shown).items():
        label = name.split(",")[0]
        for k, (_, one) in enumerate(groups(rows(curves, curve=name), "seed").items()):
            plotting.theory(axis, one.x, one.y, look.color, lw=1.2)
            last = one.iloc[[-1]]
            plotting.measured(axis, last.x, last.y, look, label=None if k else f"after {label} steps")
    axis.set(
        ylim=(0, 1.45 * curves.y.max()),
        xlabel="update",
        ylabel="span of a colour (steps)",
        title=f"(f) Spans grow by what the ramp sees, $R={ramp}$",
    )
    axis.legend(loc="upper left")


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
        title=f"(b) Gaps from $R={ramp}$ on: never learnt by the flow",
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
        title=r"(d) $e^{-s/20}$ and a bump at 120: worth it, not found",
    )
    axis.legend(loc="lower left")
