"""Curse of memory (2009.07799): the plateau of training, and what p and reparameterisations do to it."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.theory.plateau import growth_rate, plateau_time
from curse_of_memory.theory.targets.far_bump import far_bump
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

# Geometric means over the seeds 0 to 4 of a pilot run of the same equations, four exponentials
PILOT = {4: 0.93, 6: 4.1, 8: 28.0, 10: 190.0, 12: 4.0e3, 14: 3.6e4, 16: 4.1e5}
PILOT_SLOPE = 1.11
DIRECT = "direct"


class Variant(NamedTuple):
    """What is trained: the map of the rates, the weight tᵖ of the loss, and its horizon T."""

    parameterization: str = DIRECT
    power: float | None = None
    horizon: float | None = None


@figure_data(
    title="The plateau: training waits for a far memory",
    source="Curse of memory (2009.07799), plateau time",
)
def data(
    *,
    delays: Sequence[float] = (4, 6, 8, 10, 12),
    terms: int = 4,
    seeds: int = 5,
    parameterizations: Sequence[str] = ("exp", "best"),
    powers: Sequence[float] = (0, 10),
    compared_seeds: int = 2,
    horizon: float = 24.0,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Follow gradient flow for ρ(t) = e^{−t} + N(t; 1/ω, ½) until 3 % of the bump is fitted.

    From `seeds` starts the rates are trained directly on the exact loss over [0, ∞); from the first
    `compared_seeds` of them also with reparameterised rates, and with the loss on [0, `horizon`] under the
    bias of the weights tᵖ. Columns of the table: ``variant, delay, seed, panel, time, loss, reached``; in the
    panel *plateau* one row a run, `time` being τ, and in *loss* the curves of the first seed. (Needs no
    device.)
    """
    checks.positive_int("seeds", seeds)
    if checks.positive_int("compared_seeds", compared_seeds) > seeds:
        raise ValueError(f"compared_seeds must be at most seeds = {seeds}, got {compared_seeds}")
    if len(set(delays)) < 2:
        raise ValueError(f"delays must be at least two different numbers, got {list(delays)!r}")
    if powers and horizon <= max(delays):
        raise ValueError(f"horizon must exceed the last delay {max(delays):g}, got {horizon!r}")
    variants = {DIRECT: Variant()}
    variants |= {name: Variant(name) for name in parameterizations}
    variants |= {f"p = {p:g}": Variant(power=p, horizon=horizon) for p in powers}
    others = [name for name in variants if name != DIRECT]
    runs = product_of(variant=[DIRECT], delay=delays, seed=range(seed, seed + seeds))
    if others:
        runs += product_of(variant=others, delay=delays, seed=range(seed, seed + compared_seeds))
    found = run_grid(_run, runs, {"terms": terms, "variants": variants, "followed": seed})
    table = pd.concat([rows(found, panel=panel) for panel in ("plateau", "loss")], ignore_index=True)
    return _findings(table, terms, seed)


def _run(
    variant: str, delay: float, seed: int, terms: int, variants: Mapping[str, Variant], followed: int
) -> pd.DataFrame:
    """Return how long a run stays on the plateau, and its curve if direct and of the seed `followed`."""
    how = variants[variant]
    plateau = plateau_time(
        far_bump(float(delay)),
        terms,
        seed=seed,
        parameterization=how.parameterization,
        power=how.power,
        horizon=how.horizon,
    )
    end = {"panel": "plateau", "time": plateau.time, "loss": plateau.threshold, "reached": plateau.reached}
    table = pd.DataFrame([end])
    if variant == DIRECT and seed == followed:
        table = pd.concat([table, _curve(plateau.trajectory)])
    return table


def _curve(trajectory: xr.Dataset) -> pd.DataFrame:
    """Return at most 200 steps of the flow, evenly over its steps, with the first and the last."""
    few = np.unique(np.linspace(0, trajectory.sizes["time"] - 1, 200).astype(int))
    return pd.DataFrame(
        {"panel": "loss", "time": trajectory.time[few], "loss": trajectory.loss[few], "reached": True}
    )


def _times(table: pd.DataFrame, variant: str) -> pd.DataFrame:
    """Return τ, a row a seed and a column a delay, of the seeds that reached the threshold at every delay."""
    runs = rows(table, panel="plateau", variant=variant)
    times = runs.pivot(index="seed", columns="delay", values="time")
    return times.loc[runs.pivot(index="seed", columns="delay", values="reached").astype(bool).all(axis=1)]


def _slopes(times: pd.DataFrame) -> list[float]:
    """Return the slope of ln τ against 1/ω of each start."""
    return [growth_rate(times.columns, times.loc[[start]]).slope for start in times.index]


def _findings(table: pd.DataFrame, terms: int, seed: int) -> Findings:
    direct = _times(table, DIRECT)
    if direct.empty:
        return Findings(table, "No start left the plateau at every delay within the time limit.", {})
    rate = growth_rate(direct.columns, direct)
    means = np.exp(np.log(direct).mean())
    runs = rows(table, panel="plateau", variant=DIRECT)
    headline: dict[str, float] = {f"τ at 1/ω = {delay:g}": float(time) for delay, time in means.items()}
    headline |= {
        "slope of ln τ against 1/ω": rate.slope,
        "slope, 95 % interval, low": rate.low,
        "slope, 95 % interval, high": rate.high,
        "starts that never left": int((~runs.reached.astype(bool)).sum()),
    }
    by_start: dict[str, Sequence[float]] = {
        f"τ at 1/ω = {delay:g}": direct[delay].tolist() for delay in direct
    }
    by_start["slope of ln τ against 1/ω"] = _slopes(direct)
    paper = {}
    if terms == 4 and seed == 0 and len(direct) == 5:
        paper = {f"τ at 1/ω = {delay:g}": PILOT[delay] for delay in means.index if delay in PILOT}
        if set(direct.columns) == set(PILOT):
            paper["slope of ln τ against 1/ω"] = PILOT_SLOPE
    ratios = {}
    for variant in table.variant.unique():
        others = _times(table, variant)
        if variant == DIRECT or others.empty:
            continue
        same = (others / direct.reindex(others.index)).dropna()
        label = f"τ over τ of direct at the last 1/ω, {variant}"
        last = same.iloc[:, -1]
        by_start[label] = last.tolist()
        headline[label] = ratios[variant] = float(np.exp(np.log(last).mean()))
        label = f"slope minus slope of direct, {variant}"
        headline[label] = round(growth_rate(same.columns, same).slope, 4)
        by_start[label] = [round(slope, 4) for slope in _slopes(same)]
    message = (
        f"Measured on the exact loss: the plateau lasts about e^({rate.slope:.2f}/ω) (95 % interval of the "
        f"slope {rate.low:.2f} to {rate.high:.2f}, {rate.seeds} starts); that it grows exponentially is the "
        "paper's theory."
    )
    if ratios:
        low, high = min(ratios.values()), max(ratios.values())
        message += (
            f" At 1/ω = {max(direct.columns):g} reparameterised rates and weights tᵖ change the wait by "
            f"factors from {low:.2g} to {high:.2g}: none takes the plateau away."
        )
    return Findings(table, message, headline, paper, spread=spreads(by_start))


def plot(data: FigureData) -> Figure:
    """Draw losses over time; τ against 1/ω per start, with means and line; τ over τ of the direct flow."""
    table = data.table
    with plotting.style():
        figure, (loss, time, ratio) = plotting.canvas(3)
        _draw_losses(loss, table)
        _draw_times(time, table, bool(data.paper))
        _draw_ratios(ratio, table)
    return figure


def _draw_losses(axis: Axes, table: pd.DataFrame) -> None:
    curves = groups(rows(table, panel="loss").sort_values("delay", kind="stable"), "delay")
    for (delay, curve), color in zip(curves.items(), plotting.order(len(curves)), strict=True):
        bump = far_bump(float(delay)).bump_energy
        later = curve.loc[curve.time > 1e-2]
        plotting.theory(axis, later.time, later.loss / bump, color, label=f"$1/\\omega={delay:g}$")
        plotting.measured(axis, later.time[-1:], later.loss[-1:] / bump, plotting.Look(color, "o"))
    axis.axhline(1.0, color=plotting.INK, ls=":", lw=1)
    axis.set(
        xscale="log",
        ylim=(0.94, 1.3),
        xlabel=r"time of gradient flow $\tau$",
        ylabel=r"loss $J$ / energy of the bump",
        title="The loss waits, then falls",
    )
    axis.legend(loc="upper right", fontsize=9)


def _draw_times(axis: Axes, table: pd.DataFrame, with_pilot: bool) -> None:
    runs = rows(table, panel="plateau", variant=DIRECT)
    starts = {"marker": "o", "ls": "", "alpha": 0.25, "ms": 4}
    axis.plot(runs.delay, runs.time.where(runs.reached.astype(bool)), color=plotting.INK, **starts)
    axis.add_line(plotting.entry("one start", **starts))
    direct = _times(table, DIRECT)
    if not direct.empty:
        look = plotting.Look(plotting.order(3)[1], "D")
        rate = growth_rate(direct.columns, direct)
        delays = np.array(direct.columns, dtype=float)
        plotting.measured(axis, delays, np.exp(np.log(direct).mean()), look, label="geometric mean")
        line = np.exp(rate.intercept + rate.slope * delays)
        margin = f" ± {rate.high - rate.slope:.2f}" if math.isfinite(rate.high) else ""
        plotting.theory(axis, delays, line, look.color, label=f"slope {rate.slope:.2f}{margin}")
        if with_pilot:
            pilot = [PILOT.get(delay, math.nan) for delay in delays]
            axis.plot(delays, pilot, "o", mfc="none", color="gray", ms=10, label="pilot run")
    axis.set(
        yscale="log",
        xlabel=r"where the bump is, $1/\omega$ (time units)",
        ylabel=r"time on the plateau $\tau$",
        title=r"Exponentially long in $1/\omega$",
    )
    axis.legend(loc="upper left", fontsize=9)


def _draw_ratios(axis: Axes, table: pd.DataFrame) -> None:
    direct = _times(table, DIRECT)
    names = [name for name in table.variant.unique() if name != DIRECT]
    step = float(np.ptp(direct.columns)) / 60 if not direct.empty else 0.0
    for i, (name, look) in enumerate(plotting.looks(names).items()):
        ratios = (_times(table, name) / direct).apply(np.log).dropna().apply(np.exp)
        if ratios.empty:
            continue
        center = np.exp(np.log(ratios).mean())
        weighted = name.startswith("p = ")
        power = name.replace("inf", r"\infty")
        plotting.error_bars(
            axis,
            center.index + (i - (len(names) - 1) / 2) * step,
            center,
            np.array([center - ratios.min(), ratios.max() - center]),
            look,
            joined="-" if weighted else "--",
            lw=1.2,
            label=f"weight $t^p$, ${power}$" if weighted else rf"$\lambda=f(w)$: {name}",
        )
    axis.axhline(1.0, color=plotting.INK, ls=":", lw=1)
    axis.set(
        yscale="log",
        ylim=(0.2, 20),
        xlabel=r"where the bump is, $1/\omega$ (time units)",
        ylabel=r"$\tau$ / $\tau$ of the direct flow",
        title="What changes it, and how little",
    )
    axis.set_yticks([0.2, 0.5, 1, 2, 5, 10, 20], ["0.2", "0.5", "1", "2", "5", "10", "20"])
    axis.minorticks_off()
    if axis.get_legend_handles_labels()[1]:  # of no variant both starts may have left
        axis.legend(loc="upper left", fontsize=9, ncols=2, columnspacing=1.0)
