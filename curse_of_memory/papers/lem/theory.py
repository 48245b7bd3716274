"""Theorems on LEM as checks, and its memory and gradients beside those of LSTM and GRU of as many weights."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn import GRU, LEM, LSTM
from curse_of_memory.papers.lem import _theorems
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import curve, groups, rows

__all__ = ["data", "plot"]

COLUMNS = ["panel", "curve", "kind", "seed", "x", "y"]
STEPS = [f"{dt:g}" for dt in _theorems.STEPS]
SAMPLES = 4  # inputs over which gradients are averaged


@figure_data(
    title="Theorems on LEM, as checks",
    source="Claims of Long Expressive Memory (2110.04744); the inequalities and their proofs are ours",
)
def data(
    *,
    networks: int = 24,
    lengths: Sequence[int] = (10, 30, 100, 300, 1000),
    widths: Sequence[int] = (4, 8, 16, 32, 64, 128),
    width: int = 32,
    horizon: int = 100,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Hold layers of LEM against what is proven of them, and against LSTM and GRU.

    - *states*: largest |component| of y and z by step, over `networks` with large weights and inputs;
    - *growth*: ‖J‖ − 1 of the Jacobian of one step, as a share of 1.5ηΔt(1 + ηΔt), by the latter;
    - *flow*: distance of N steps Δt = 5/N to the solution of the ODE, and Δt times its first-order term;
    - *lengths*: ‖J‖ over N steps, N in `lengths`, `width` units at their initial weights, for Δt = 1/N and
      fixed Δt;
    - *gates*: distance between a LEM with a bias on its gates and a network of tanh alone, Δt = 1;
    - *pendulum*: error of networks of `widths` units, gates frozen, fitted to a step of a damped pendulum;
    - *constants*: steps over which a unit keeps 1/e, by the bias of its gate;
    - *memory*, *gradient*: response to an impulse, and mean norm of ∂ŷ_T/∂x_{T−s}, by lag s up to `horizon`,
      of `seeds` untrained networks: LEM and LSTM of `width` units, and a GRU of about as many weights.

    Columns: ``panel, curve, kind, seed, x, y``; `kind` is ``theory`` or ``measured``, and `seed` that of the
    last two panels.
    """
    models = _models(width)
    curves = [
        *_theorems.states(networks, seed),
        *_theorems.growth_used(networks, seed),
        *_theorems.steps_of_the_flow(seed),
        *_theorems.over_lengths(lengths, width, seed),
        *_theorems.frozen_gates(seed),
        *_theorems.pendulum(widths, seed),
        *_theorems.time_constants(),
        *_memories(models, range(seed, seed + seeds), horizon, device),
    ]
    table = pd.concat(curves, ignore_index=True).reindex(columns=COLUMNS)

    used = float(rows(table, panel="growth").y.max())
    predicted, missed = (rows(table, panel="flow", kind=kind).y.iloc[-1] for kind in ("theory", "measured"))
    longest = max(lengths)
    reached = {
        name: float(rows(table, panel="lengths", curve=name, x=longest).y.iloc[0]) for name in ("1/N", "1")
    }
    at_end = {name: rows(table, panel="gradient", x=horizon, curve=name).y for name in models}
    headline = {
        "largest share of the allowed growth used": used,
        "distance to the ODE over the predicted one": float(missed / predicted),
        f"norm over N = {longest} steps, dt = 1/N": reached["1/N"],
        f"norm over N = {longest} steps, dt = 1": reached["1"],
    }
    gradients = {
        f"gradient at lag {horizon}, {_said(name)}": norms.to_numpy() for name, norms in at_end.items()
    }
    headline |= {label: float(np.median(norms)) for label, norms in gradients.items()}
    beyond, bounded = _beyond(table)
    message = (
        f"Lines are proven, marks are measured: of {bounded} marks that have a bound {beyond or 'none'} is "
        f"beyond it, and {used:.0%} of the allowed growth is used at most. Over {longest} steps of "
        f"1/{longest} the norm of the Jacobian is {reached['1/N']:.3g}, over as many of dt = 1 "
        f"{_about(reached['1'])}: that gradients last is a property of small steps. Untrained and at lag "
        f"{horizon} they are about {_power(np.median(at_end['0.01']))} with dt = 0.01, "
        f"{_power(np.median(at_end['1']))} with dt = 1, and {_power(np.median(at_end['LSTM']))} in an LSTM."
    )
    return Findings(table, message, headline, spread=spreads(gradients))


def _beyond(table: pd.DataFrame) -> tuple[int, int]:
    """Return how many marks are beyond their bound, and how many have one; roundings aside."""
    same = ["panel", "curve", "x"]
    below = table.loc[table.panel.isin(["states", "gates", "pendulum"])]
    met = rows(below, kind="measured").merge(rows(below, kind="theory"), on=same, suffixes=("", "_most"))
    used = rows(table, panel="growth").y
    J = rows(table, panel="lengths").pivot(index="x", columns="curve", values="y")
    counts = [
        met.y > met.y_most * (1 + 1e-12),
        used > 1,
        (J["1/N"] > J["upper"]) | (J["1/N"] < J["norm"]),
        J["least gain"] < J["lower"],
    ]
    return sum(int(c.sum()) for c in counts), sum(map(len, counts))


def _said(name: str) -> str:
    return f"LEM, dt = {name}" if name in STEPS else name


def _power(value: float) -> str:
    return f"1e{math.log10(value):.0f}" if value > 0 else "0"


def _about(value: float) -> str:
    return f"about {_power(value)}" if value > 0 else "less than any float"


def _models(width: int) -> dict[str, Callable[[int], nn.Module]]:
    """Return what makes an untrained model of a seed, by name; a GRU has three blocks of weights, not 4."""
    as_many = round(width * math.sqrt(4 / 3))
    models: dict[str, Callable[[int], nn.Module]] = {
        f"{dt:g}": lambda seed, dt=dt: LEM(width, dt=dt, seed=seed) for dt in _theorems.STEPS
    }
    models["LSTM"] = lambda seed: LSTM(width, seed=seed)
    models["GRU"] = lambda seed: GRU(as_many, seed=seed)
    return models


def _memories(
    models: dict[str, Callable[[int], nn.Module]], seeds: Sequence[int], horizon: int, device: str
) -> list[pd.DataFrame]:
    curves = []
    for name, make in models.items():
        for seed in seeds:
            model, lags = make(seed).double(), horizon + 1
            memory = memory_function(model, lags, probe="impulse", dt=1, device=device)
            gradient = gradient_norms(model, lags, samples=SAMPLES, dt=1, seed=seed, device=device)["mean"]
            seen = memory.clip(min=memory.noise_floor)
            for panel, values in (("memory", seen), ("gradient", gradient)):
                curves.append(
                    curve(values.lag, values, panel=panel, curve=name, kind="measured", seed=float(seed))
                )
    return curves


def plot(data: FigureData) -> Figure:
    """Draw nine panels: theory as lines, measurements as marks, one colour for each Δt."""
    panels = groups(data.table, "panel")
    looks = plotting.looks(STEPS)
    with plotting.style():
        figure, axes = plotting.canvas(3, 3, width=12.2, height=11.6)
        _draw_states(axes[0, 0], panels["states"], looks)
        _draw_growth(axes[0, 1], panels["growth"], looks)
        _draw_lengths(axes[0, 2], panels["lengths"], looks)
        _draw_flow(axes[1, 0], panels["flow"])
        _draw_gates(axes[1, 1], panels["gates"])
        _draw_pendulum(axes[1, 2], panels["pendulum"])
        _draw_constants(axes[2, 0], panels["constants"], looks)
        _draw_over_lags(axes[2, 1], panels["memory"], looks)
        _draw_over_lags(axes[2, 2], panels["gradient"], looks)
        axes[2, 1].set(ylabel="memory (per step)", title="(h) Memory, untrained")
        axes[2, 1].text(101, 1e-18, "LSTM, GRU: rounding", ha="right", size=10)
        axes[2, 2].set(
            ylabel=r"$\|\partial\hat y_T/\partial x_{T-s}\|$",
            title="(i) Gradient by earlier input, untrained",
        )
        plotting.joined_legend(figure, [axes[0, 0], axes[2, 2]], ncols=7, fontsize=11)
    return figure


Looks = dict[str, plotting.Look]


def _pair(curves: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    one = rows(curves, curve=name)
    return rows(one, kind="theory"), rows(one, kind="measured")


def _draw_states(axis: Axes, curves: pd.DataFrame, looks: Looks) -> None:
    for name, look in looks.items():
        line, marks = _pair(curves, name)
        plotting.theory_and_measured(
            axis, (line.x, line.y), (marks.x, marks.y), look, label=rf"LEM, $\Delta t={name}$"
        )
    axis.add_line(plotting.entry("proven here"))
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(5e-3, 2),
        xlabel="step $n$",
        ylabel="largest component of $y_n$, $z_n$",
        title=r"(a) States, at most $1-(1-\Delta t)^n$",
    )


def _draw_growth(axis: Axes, curves: pd.DataFrame, looks: Looks) -> None:
    for name, look in looks.items():
        _, marks = _pair(curves, name)
        plotting.measured(axis, marks.x, marks.y, look, ms=4)
    axis.axhline(1, color=plotting.INK)
    axis.set(
        xscale="log",
        ylim=(-0.1, 1.1),
        xlabel=r"allowed: $1.5\,\eta\Delta t\,(1+\eta\Delta t)$",
        ylabel=r"used: $(\|J\|_\infty-1)$ / allowed",
        title="(b) Jacobian of one step",
    )


def _draw_lengths(axis: Axes, curves: pd.DataFrame, looks: Looks) -> None:
    for name, style in (("upper", "-"), ("norm", "-"), ("lower", "--")):
        line, _ = _pair(curves, name)
        seen = line[line.y > 0]
        plotting.theory(axis, seen.x, seen.y, "crimson", ls=style, lw=1.4)
    scaled, look = r"$\Delta t=1/N$", plotting.Look("crimson", "D")
    for name, label in (
        ("1/N", f"{scaled}: between solid lines"),
        ("least gain", "least gain: above dashed"),
    ):
        _, marks = _pair(curves, name)
        plotting.measured(axis, marks.x, marks.y, look, hollow=name != "1/N", label=label)
    for name, look in looks.items():
        _, marks = _pair(curves, name)
        plotting.measured(axis, marks.x, marks.y, look, joined=":", lw=1)
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-18, 1e5),
        xlabel="steps $N$",
        ylabel=r"$\|\partial(y_N,z_N)/\partial(y_0,z_0)\|_\infty$",
        title=r"(c) Over $N$ steps: lasts if $\Delta t=1/N$",
    )
    axis.legend(loc="lower left", frameon=True, framealpha=1, edgecolor="none")


def _draw_flow(axis: Axes, curves: pd.DataFrame) -> None:
    line, marks = _pair(curves, "error")
    plotting.theory(axis, line.x, line.y, label=r"$\Delta t\,\|E(T)\|_\infty$, not fitted")
    plotting.measured(axis, marks.x, marks.y, plotting.Look(plotting.INK, "o"), label="LEM, $T=5$")
    axis.set(
        xscale="log",
        yscale="log",
        xlabel=r"step $\Delta t=T/N$",
        ylabel="distance to the ODE's solution",
        title="(d) First order to the ODE",
    )
    axis.legend(loc="lower right")


def _draw_gates(axis: Axes, curves: pd.DataFrame) -> None:
    line, marks = _pair(curves, "error")
    plotting.theory(axis, line.x, line.y, label=r"$2(1+\eta)\,\hat\sigma(-b)\,\Sigma_k\,\eta^{2k}$")
    plotting.measured(
        axis, marks.x, marks.y, plotting.Look(plotting.INK, "o"), label=r"50 steps of LEM, $\eta=0.9$"
    )
    axis.set(
        yscale="log",
        xlabel="bias $b$ of both gates",
        ylabel=r"$\max_n|y_n-Y_n|$",
        title=r"(e) Frozen gates: $Y\leftarrow\tanh(W_y\tanh(W_zY))$",
    )
    axis.legend(loc="lower left")


def _draw_pendulum(axis: Axes, curves: pd.DataFrame) -> None:
    line, marks = _pair(curves, "all")
    _, once = _pair(curves, "one")
    dark, light = plotting.distinct(3)[0], plotting.distinct(3)[1]
    plotting.theory(axis, line.x, line.y, dark.color, label=r"$\varepsilon\,\Sigma_{k<20}\,L^k$, $L=1.1$")
    plotting.measured(axis, marks.x, marks.y, dark, label="20 steps")
    plotting.measured(axis, once.x, once.y, light, label=r"one step, $\varepsilon$")
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-4, 1e2),
        xlabel="units $h$",
        ylabel="largest error",
        title="(f) A damped pendulum, gates frozen",
    )
    axis.legend(loc="lower left")


def _draw_constants(axis: Axes, curves: pd.DataFrame, looks: Looks) -> None:
    for name, look in looks.items():
        line, marks = _pair(curves, name)
        plotting.theory_and_measured(axis, (line.x, line.y), (marks.x, marks.y), look)
    axis.set(
        yscale="log",
        xlabel="bias $b$ of the gate",
        ylabel="time constant (steps)",
        title=r"(g) $-1/\ln(1-\Delta t\,\hat\sigma(b))$",
    )


def _draw_over_lags(axis: Axes, curves: pd.DataFrame, looks: Looks) -> None:
    others = {"LSTM": plotting.Look("crimson", "v"), "GRU": plotting.Look("0.5", "D")}
    for name, look in (looks | others).items():
        seeds = rows(curves, curve=name).pivot(index="seed", columns="x", values="y")
        some = seeds.iloc[:, :: max(1, seeds.shape[1] // 10)]
        label = name if name in others else rf"LEM, $\Delta t={name}$"
        plotting.over_seeds(axis, some.columns, some, look, joined=":", lw=1, label=label)
    axis.set(yscale="log", ylim=(1e-24, 1), xlabel="lag $s$ (steps)")
