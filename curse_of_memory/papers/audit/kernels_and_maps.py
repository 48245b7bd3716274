"""Audit of kernels, time step, layers and maps: IAT (2305.19190) and StableSSM (2311.14495)."""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from curse_of_memory.papers.audit._maps import (
    REAL_PART,
    SIZES,
    STEP_SIZES,
    STEPS,
    activation_memories,
    activation_rows,
    finite_to,
    growth,
    logged_errors,
    map_rows,
    start_rows,
)
from curse_of_memory.papers.audit._table import Row, both_ways, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tasks.convolution import filtered
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import ExponentialFit, fit_exponential_sum
from curse_of_memory.theory.targets.target import Target

__all__ = ["data", "plot"]

KINDS = ["exponential", "polynomial"]
LOGGED = {"rnn": "linear RNN", "ssm": "linear SSM", "softplusssm": "softplus SSM", "s4": "S4", "lru": "LRU"}
WIDEST = 64


def answers(dt: float, seed: int) -> tuple[float, float]:
    """Return the r.m.s. of the targets y_k = dt Σ ρ x, and of Σ ρ x as the public code has it."""
    task = LinearFunctional(targets.named("iat-code-exponential"), 100, dt=dt)
    x, y = task.sample(256, seed=seed, dtype=torch.float64)
    code = filtered(task.rho, x[..., 0])
    return float(y.std()), float(code.std())


@figure_data(
    title="Audit: kernels, layers and maps",
    source="Inverse approximation theory (2305.19190), StableSSM (2311.14495): papers, READMEs, code, logs",
)
def data(
    *,
    horizon: int = 100,
    terms: int = 4,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Compare kernels, layers and maps of papers and public code.

    *kernels*: ρ of paper and code over `horizon` time units. *activation*: Heaviside memory with σ outside
    and inside the recurrence. *logs*: the logged errors of linear models of 64 states on polynomial memory.
    *start*: the size of an S4D mode whose real part starts at −0.5 or +0.5, closed form and step by step.
    Columns: ``panel, curve, kind, x, y``. `terms` is the number of modes that are fitted to the kernels.
    """
    t = np.linspace(0, horizon, 201)
    rho = {(who, kind): targets.named(f"iat-{who}-{kind}") for who in ("paper", "code") for kind in KINDS}
    curves = [
        curve(t, f(t), panel="kernels", curve=f"{who}, {kind}", kind="exact")
        for (who, kind), f in rho.items()
    ]
    for name, memory in activation_memories(horizon, max(SIZES), seed, device).items():
        curves.append(curve(np.arange(horizon), memory, panel="activation", curve=name, kind="measured"))
    logs = logged_errors()
    widest = rows(logs.loc[logs.beta > 0], activation="linear", m=WIDEST)
    for name, label in LOGGED.items():
        log = rows(widest, parameterization=name)
        curves.append(curve(log.beta, log.error, panel="logs", curve=label, kind="logged"))
    some = np.linspace(0, STEPS, 15).astype(int)
    for sign in (1, -1):
        for dt in STEP_SIZES:
            name = f"{sign * REAL_PART:+g}, {dt:g}"
            every = np.arange(STEPS + 1)
            exact = np.exp(sign * REAL_PART * dt * every)
            stepped = growth(sign * REAL_PART, dt, STEPS + 1)[some]
            curves.append(curve(every, exact, panel="start", curve=name, kind="exact"))
            curves.append(curve(some, stepped, panel="start", curve=name, kind="stepped"))
    lags = np.arange(horizon)
    fits = {
        who: fit_exponential_sum(rho[who, "polynomial"](lags), terms=terms, weight=bias.power(0))
        for who in ("paper", "code")
    }
    disagreements = [
        *_kernel_rows(rho, fits, horizon, seed),
        *activation_rows(horizon, seed, device),
        *map_rows(fits["code"], rho["code", "polynomial"], logs),
        *start_rows(seed, device),
    ]
    grown = growth(REAL_PART, STEP_SIZES[-1], STEPS + 1)[-1]
    ends = {name: f"{finite_to(logs, name):.3g}" for name in ("lru", "s4", "rnn", "ssm")}
    message = (
        f"Logged errors stay in the picture up to β = {ends['lru']} (LRU), {ends['s4']} (S4), {ends['rnn']} "
        f"(linear RNN) and {ends['ssm']} (SSM); a mode that starts with real part +{REAL_PART:g} grows by "
        f"{grown:.1e} over {STEPS} steps of {STEP_SIZES[-1]:g}."
    )
    table = pd.concat(curves, ignore_index=True)
    return Findings(table, message, both_ways(disagreements), {}, printed(disagreements))


def _kernel_rows(
    rho: Mapping[tuple[str, str], Target], fits: Mapping[str, ExponentialFit], horizon: int, seed: int
) -> list[Row]:
    """Return the rows on the memories that are learnt, and on the time step of their targets."""
    exponential = "exponential memory", "$0.9^t$", "code: $e^{-t}$"
    polynomial = "polynomial memory", "$(1+t)^{-1.1}$", "code: $(1+t/10)^{-1.1}$"

    def both(kind: str, f: Callable[[Target], ArrayLike]) -> tuple[float, float]:
        paper, code = (float(np.asarray(f(rho[who, kind]))) for who in ("paper", "code"))
        return paper, code

    return [
        Row(
            *exponential,
            "decay rate, the bound of β₀ (theorem 3.9)",
            *both("exponential", lambda r: -np.log(r(1.0))),
        ),
        Row(*polynomial, f"ρ({horizon})/ρ(0)", *both("polynomial", lambda r: r(horizon) / r(0.0))),
        Row(
            *polynomial,
            f"smallest relative error of {len(fits['paper'].rates)} modes",
            *(fits[who].error for who in ("paper", "code")),
        ),
        Row(
            "time step of the targets",
            r"$\Delta t\,\Sigma_s\,\rho_s x_{t-s}$",
            r"code: $\Sigma_s\,\rho_s x_{t-s}$",
            "r.m.s. of the targets, Δt = 0.1",
            *answers(0.1, seed),
        ),
        Row(
            "time step of the targets",
            r"$\Delta t\,\Sigma_s\,\rho_s x_{t-s}$",
            r"code: $\Sigma_s\,\rho_s x_{t-s}$",
            "r.m.s. of the targets, Δt = 1",
            *answers(1.0, seed),
        ),
    ]


def plot(data: FigureData) -> Figure:
    """Draw kernels, memories with σ outside and inside, logged errors, and modes that decay or grow."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, grid = plotting.canvas(2, 2, width=10.4, height=9.4)
        axes = grid.flat
        _draw_kernels(axes[0], panels["kernels"])
        _draw_activation(axes[1], panels["activation"])
        _draw_logs(axes[2], panels["logs"])
        _draw_start(axes[3], panels["start"])
        for axis in axes:
            plotting.legend_below(axis, 2, size=9.5)
    return figure


def _draw_kernels(axis: Axes, curves: pd.DataFrame) -> None:
    colors = dict(zip(KINDS, plotting.order(3)[::2], strict=True))
    for kind, color in colors.items():
        for who, line in (("paper", "-"), ("code", "--")):
            kernel, formula = rows(curves, curve=f"{who}, {kind}"), targets.named(f"iat-{who}-{kind}").label()
            plotting.theory(axis, kernel.x, kernel.y, color, ls=line, label=f"{who}, {formula}")
    axis.set(
        yscale="log", ylim=(1e-5, 2), xlabel="lag $t$ (time units)", ylabel=r"$\rho(t)$", title="Kernels"
    )


def _draw_activation(axis: Axes, curves: pd.DataFrame) -> None:
    memories = groups(curves, "curve")
    for name, look in plotting.looks(memories).items():
        memory = memories[name]
        plotting.measured(axis, memory.x, memory.y, look, joined="-", ms=3, lw=1, label=name)
    axis.set(
        yscale="log",
        ylim=(1e-6, None),
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title=f"One layer, input of size {max(SIZES):g}",
    )


def _draw_logs(axis: Axes, curves: pd.DataFrame) -> None:
    for name, look in plotting.looks(LOGGED.values()).items():
        log = rows(curves.loc[curves.y < 1e7], curve=name)
        plotting.measured(axis, log.x, log.y, look, joined="-", ms=4, lw=1, label=name)
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-4, 1e7),
        xlabel=r"perturbation $\beta$ of the weights",
        ylabel="test loss (logged)",
        title=f"Polynomial memory, $m={WIDEST}$",
    )


def _draw_start(axis: Axes, curves: pd.DataFrame) -> None:
    lines = {1: "-", -1: "--"}
    for dt, look in plotting.looks(STEP_SIZES).items():
        for sign, line in lines.items():
            kinds = groups(rows(curves, curve=f"{sign * REAL_PART:+g}, {dt:g}"), "kind")
            exact, stepped = kinds["exact"], kinds["stepped"]
            plotting.theory_and_measured(
                axis, (exact.x, exact.y), (stepped.x, stepped.y), look, line=line, size=4
            )
        axis.add_line(plotting.entry(f"$\\Delta t={dt:g}$", look.color, marker=look.mark, ls=""))
    for sign, line in lines.items():
        axis.add_line(plotting.entry(f"real part ${sign * REAL_PART:+g}$", ls=line))
    axis.set(
        yscale="log", xlabel="step $k$", ylabel=r"$|e^{k\lambda\Delta t}|$", title="S4D modes at the start"
    )
