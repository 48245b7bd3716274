"""The steps that a LEM (2110.04744) learns to take on neurons of many time scales, and on keywords."""

from collections.abc import Mapping, Sequence
from typing import Unpack

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem._comparison import ACCURACY
from curse_of_memory.papers.lem._comparison import Settings as Recipe
from curse_of_memory.papers.lem._comparison import trained as trained_by_recipe
from curse_of_memory.papers.lem._neuron import Settings, root_mean_square, trained
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, rows
from curse_of_memory.tasks import FitzHughNagumo, Keywords
from curse_of_memory.tasks.fitzhugh_nagumo import autoregression_error, persistence_error
from curse_of_memory.tasks.sampling import Splits

__all__ = ["data", "plot"]

SAMPLED = 0.4  # time between two steps, as in the public data
SHARES = np.geomspace(1e-4, 1, 41)  # bins of the steps, over dt
TAIL = 0.001  # of all steps on each side, outside of what is called their range
LOW = 0.1  # which is called a small step
LINES = ("persistence", "AR(10)", "noise floor")
STATES = {"z": r"$\Delta t_n$, of $z$", "y": r"$\overline{\Delta t}_n$, of $y$"}


@figure_data(
    title="The time steps that LEM learns",
    source="Long Expressive Memory (2110.04744): its two adaptive steps, on FitzHugh-Nagumo and Google12",
)
def data(
    *,
    scales: Sequence[float] = (5, 20),
    watched: float = 20,
    span: float = 8.0,
    width: int = 8,
    train: int = 24,
    validation: int = 12,
    test: int = 12,
    batch_size: int = 8,
    epochs: int = 30,
    learning_rate: float = 0.00904,
    dt: float = 1.0,
    keyword_width: int = 20,
    keyword_batch_size: int = 20,
    keyword_epochs: int = 5,
    keyword_falls: Sequence[int] = (4,),
    keyword_learning_rate: float = 0.015,
    clips_per_class: int = 40,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEMs of one width on neurons of several ratios 1/ε of the time scales, and look at their steps.

    - *error*: root mean squared error of all test series at the best of `epochs` validations, by 1/ε in
      `scales`; each has its own time span, `span`/ε, in steps of 0.4, so that all have about as many periods.
      Beside it, what needs no training, as in `lem/fitzhugh_nagumo`.
    - *steps*: shares of Δt_n and Δ̄t_n over all units, times and test series of 1/ε = `watched`, before and
      after training, a curve for each of `seeds`: by bins of Δt_n, ten a decade.
    - *quantiles*: the same by levels, a thousandth, a half, and all but a thousandth.
    - *keywords*, *keyword quantiles*: the same of the test clips of twelve spoken keywords, as in
      `lem/google12`, of LEMs of `keyword_width` units; `data` and `clips_per_class` as for
      :class:`curse_of_memory.tasks.Keywords`, divided by speakers.
    - *along*: v of one test series of `watched`, and over the units of a seed the median and the tenth and
      ninetieth percentile of the two steps, by time.

    Columns: ``panel, curve, seed, x, y``.
    """
    if watched not in scales:
        raise ValueError(f"watched must be one of scales, got {watched!r}")
    tasks = {r: FitzHughNagumo(round(span * r / SAMPLED), epsilon=1 / r, dt=SAMPLED) for r in scales}
    counts = train, validation, test
    sets = {ratio: task.published(*counts) for ratio, task in tasks.items()}
    settings: Settings = {
        "width": width,
        "dt": dt,
        "batch_size": batch_size,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "device": device,
    }
    wanted = product_of(scale=scales, seed=range(seed, seed + seeds))
    found = run_grid(_trained_on, wanted, {"sets": sets, "watched": watched, **settings})
    words = Keywords(clips_per_class=clips_per_class, data=data)
    learning: Recipe = {
        "width": keyword_width,
        "dt": dt,
        "memory": words.horizon,
        "batch_size": keyword_batch_size,
        "epochs": keyword_epochs,
        "falls": keyword_falls,
        "learning_rate": keyword_learning_rate,
        "input_dropout": 0.03,
        "kaiming": False,
        "device": device,
    }
    heard = run_grid(
        _trained_on_keywords, product_of(seed=range(seed, seed + seeds)), {"splits": words.splits, **learning}
    )
    lines = []
    for ratio, task in tasks.items():
        values = (
            persistence_error(sets[ratio].test),
            autoregression_error(sets[ratio].train, sets[ratio].test, 10),
            task.noise_floor(task.published_starts(*counts)[2]),
        )
        lines += [
            curve([ratio], [value], panel="error", curve=name)
            for name, value in zip(LINES, values, strict=True)
        ]
    table = pd.concat([found.drop(columns="scale"), heard, *lines], ignore_index=True)
    part = f"keywords: {words.part}" if words.part else ""
    return _findings(table, scales, watched, epochs, words.stand_in, part)


def _trained_on(
    scale: float,
    seed: int,
    *,
    sets: Mapping[float, Splits],
    watched: float,
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Train on the series of one 1/ε; return its error, and of the one that is watched its steps, too."""
    series = sets[scale]
    model, _ = trained("LEM", seed, series, **settings)
    assert isinstance(model, LEM)
    parts = [curve([scale], [root_mean_square(model, series.test)], panel="error", curve="LEM")]
    if scale == watched:
        start = LEM(settings["width"], dt=settings["dt"], seed=seed)
        for when, one in (("before", start), ("trained", model)):
            parts += _distributions(one, series.test.inputs, when, ("steps", "quantiles"))
        parts += _along(model, series.test.inputs[:1])
    return pd.concat(parts, ignore_index=True)


def _trained_on_keywords(seed: int, *, splits: Splits, **settings: Unpack[Recipe]) -> pd.DataFrame:
    """Train on keywords; return the steps on the test clips before and after, and the test accuracy."""
    classes = Keywords.output_size
    model, result = trained_by_recipe("LEM", seed, splits, classes, ACCURACY, **settings)
    assert isinstance(model, LEM)
    assert isinstance(model.time_step, float)  # none that is learnt
    best = result.history.test_accuracy.dropna().iloc[-1]
    parts = [curve([0.0], [best], panel="accuracy", curve="LEM")]
    start = LEM(model.width, dt=model.time_step, input_size=Keywords.input_size, seed=seed)
    for when, one in (("before", start), ("trained", model)):
        parts += _distributions(one, splits.test.inputs, when, ("keywords", "keyword quantiles"))
    return pd.concat(parts, ignore_index=True)


@torch.no_grad()
def _distributions(model: LEM, x: torch.Tensor, when: str, panels: tuple[str, str]) -> list[pd.DataFrame]:
    """Return the shares of steps by bins, and their quantiles, for both states."""
    steps = model.steps(x.to(next(model.parameters()).device))
    tables = []
    for name in STATES:
        values = getattr(steps, name).double().flatten().cpu().numpy()
        counts = np.histogram(np.clip(values, SHARES[0], SHARES[-1]), SHARES)[0]
        middle = np.sqrt(SHARES[:-1] * SHARES[1:])
        tables.append(curve(middle, counts / len(values), panel=panels[0], curve=f"{name}, {when}"))
        levels = [TAIL, 0.5, 1 - TAIL]
        tables.append(curve(levels, np.quantile(values, levels), panel=panels[1], curve=f"{name}, {when}"))
    return tables


@torch.no_grad()
def _along(model: LEM, x: torch.Tensor) -> list[pd.DataFrame]:
    steps = model.steps(x.to(next(model.parameters()).device))
    at = SAMPLED * np.arange(x.shape[1])
    tables = [curve(at, x.flatten().cpu().numpy(), panel="along", curve="v")]
    for name in STATES:
        units = getattr(steps, name)[0].cpu().numpy()
        for level in (0.1, 0.5, 0.9):
            over = np.quantile(units, level, axis=1)
            tables.append(curve(at, over, panel="along", curve=f"{name}, {level:g}"))
    return tables


def _findings(
    table: pd.DataFrame, scales: Sequence[float], watched: float, epochs: int, stand_in: str, data_part: str
) -> Findings:
    lem = rows(table, panel="error", curve="LEM")
    runs = {f"error, epsilon = 1/{ratio:g}": rows(lem, x=ratio).y.to_numpy() for ratio in scales}
    quantiles = rows(table, panel="quantiles")
    for name in STATES:
        own = rows(quantiles, curve=f"{name}, trained")
        runs[f"steps of {name}: {TAIL:.1%} are below"] = rows(own, x=TAIL).y.to_numpy()
        runs[f"steps of {name}: median"] = rows(own, x=0.5).y.to_numpy()
        runs[f"steps of {name}: {TAIL:.1%} are above"] = rows(own, x=1 - TAIL).y.to_numpy()
    runs["keywords: test accuracy (%)"] = 100 * rows(table, panel="accuracy").y.to_numpy()
    for name in STATES:
        own = rows(table, panel="keywords", curve=f"{name}, trained")
        low = own.loc[own.x < LOW].groupby("seed").y.sum()
        runs[f"keywords, steps of {name}: below {LOW:g} (%)"] = 100 * low.to_numpy()
    headline = {label: float(np.median(values)) for label, values in runs.items()}
    errors = [headline[f"error, epsilon = 1/{ratio:g}"] for ratio in scales]
    least, most = (headline[f"steps of z: {TAIL:.1%} are {where}"] for where in ("below", "above"))
    message = (
        f"After {epochs} epochs LEMs of one width have median errors from {min(errors):.2g} to "
        f"{max(errors):.2g} over ratios of the time scales from {min(scales):g} to {max(scales):g}. "
        f"At {watched:g} the steps of z that they take range over a factor of {most / least:.2g}, a "
        "thousandth on either side left aside. Of LEMs that tell spoken keywords apart, at a reduced scale, "
        f"{headline[f'keywords, steps of z: below {LOW:g} (%)']:.2g} of 100 steps of z are below {LOW:g}."
    )
    spread = spreads(runs)
    return Findings(table, message, headline, spread=spread, stand_in=stand_in, data_part=data_part)


def plot(data: FigureData) -> Figure:
    """Draw the steps on neurons, along a series, the error by 1/ε, and the steps on keywords."""
    watched = data.parameters["watched"]
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=13, height=9.5)
        left, middle, right, words = axes.flat
        _draw_steps(left, rows(data.table, panel="steps"))
        left.set(title=rf"(a) Steps, $\varepsilon=1/{watched:g}$")
        _draw_along(middle, rows(data.table, panel="along", seed=float(data.parameters["seed"])))
        _draw_errors(right, rows(data.table, panel="error"))
        _draw_steps(words, rows(data.table, panel="keywords"))
        words.set(
            title="(d) Steps, spoken keywords (reduced scale)",
            xlabel=rf"step, all below $10^{{{np.log10(SHARES[0]):.0f}}}$ in the first bin",
        )
        plotting.joined_legend(figure, [left, middle, right], ncols=5, fontsize=11)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


COLORS = {"z": "crimson", "y": plotting.distinct(3)[1].color}


def _draw_steps(axis: Axes, table: pd.DataFrame) -> None:
    for name, label in STATES.items():
        for when, style in (("before", ":"), ("trained", "-")):
            mean = rows(table, curve=f"{name}, {when}").groupby("x").y.mean()
            words = f"{label}: {when}"
            axis.plot(mean.index, 100 * mean, style, color=COLORS[name], drawstyle="steps-mid", label=words)
    seen = table.x[table.y > 0]
    axis.set(xscale="log", yscale="log", xlim=(seen.min() / 1.2, seen.max() * 1.2))
    axis.set(xlabel="step", ylabel="share of all (%) by bin, ten a decade")


def _draw_along(axis: Axes, table: pd.DataFrame) -> None:
    v = rows(table, curve="v")
    for name in STATES:
        low, half, high = (rows(table, curve=f"{name}, {level:g}") for level in (0.1, 0.5, 0.9))
        axis.plot(half.x, half.y, color=COLORS[name], lw=1.2)
        plotting.band(axis, half.x, low.y, high.y, COLORS[name])
    top = table.y[table.curve != "v"].max()
    axis.plot(v.x, top * (0.1 * v.y - 0.28), color="0.5", lw=1, label="$v$, scaled")  # below the steps
    axis.axhline(0, color=plotting.INK, lw=0.8)
    axis.set_yticks([tick for tick in axis.get_yticks() if 0 <= tick <= top])
    axis.set(xlabel="time", ylabel="step: median, 10 % to 90 % of units", title="(b) Along a test series")


def _draw_errors(axis: Axes, table: pd.DataFrame) -> None:
    lem = rows(table, curve="LEM").pivot(index="seed", columns="x", values="y")
    plotting.over_seeds(axis, lem.columns, lem, plotting.Look("crimson", "D"), label="LEM")
    for name, style in zip(LINES, ("-.", "--", ":"), strict=True):
        line = rows(table, curve=name).sort_values("x")
        axis.plot(line.x, line.y, style, color="0.45", label=name)
    axis.set(xscale="log", yscale="log", xlabel=r"ratio of the time scales, $1/\varepsilon$")
    axis.set_xticks(list(lem.columns), [f"{ratio:g}" for ratio in lem.columns])
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set(ylabel="RMSE of test series", title=r"(c) One width, many scales")
