"""Audit of kernels, time step, layers and maps: IAT (2305.19190) and StableSSM (2311.14495)."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tasks.convolution import filtered
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sum

__all__ = ["data", "plot"]

KINDS = ("exponential", "polynomial")
LOGGED = {"rnn": "linear RNN", "ssm": "linear SSM", "softplusssm": "softplus SSM", "s4": "S4", "lru": "LRU"}
WIDEST = 64
COLUMNS = ["panel", "curve", "kind", "x", "y"]


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
    """Hold kernels, layers and maps of papers and public code side by side.

    *kernels*: ρ of paper and code over `horizon` time units. *activation*: Heaviside memory with σ outside
    and inside the recurrence. *logs*: the logged errors of linear models of 64 states on polynomial memory.
    *start*: the size of an S4D mode whose real part starts at −0.5 or +0.5, closed form and step by step.
    Columns: ``panel, curve, kind, x, y``. `terms` is the number of modes that are fitted to the kernels.
    """
    t = np.linspace(0, horizon, 201)
    rho = {(who, kind): targets.named(f"iat-{who}-{kind}") for who in ("paper", "code") for kind in KINDS}
    parts = [_curve("kernels", f"{who}, {kind}", "exact", t, f(t)) for (who, kind), f in rho.items()]
    for name, memory in activation_memories(horizon, max(SIZES), seed, device).items():
        parts.append(_curve("activation", name, "measured", np.arange(horizon), memory))
    logs = logged_errors()
    widest = logs[(logs.activation == "linear") & (logs.m == WIDEST) & (logs.beta > 0)]
    for name, label in LOGGED.items():
        curve = widest[widest.parameterization == name]
        parts.append(_curve("logs", label, "logged", curve.beta, curve.error))
    some = np.linspace(0, STEPS, 15).astype(int)
    for sign in (1, -1):
        for dt in STEP_SIZES:
            name = f"{sign * REAL_PART:+g}, {dt:g}"
            every = np.arange(STEPS + 1)
            parts.append(_curve("start", name, "exact", every, np.exp(sign * REAL_PART * dt * every)))
            parts.append(
                _curve("start", name, "stepped", some, growth(sign * REAL_PART, dt, STEPS + 1)[some])
            )
    lags = np.arange(horizon)
    fits = {
        who: fit_exponential_sum(rho[who, "polynomial"](lags), terms=terms, weight=bias.power(0))
        for who in ("paper", "code")
    }
    rows = [
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
    table = pd.concat(parts, ignore_index=True)[COLUMNS]
    return Findings(table, message, both_ways(rows), {}, printed(rows))


def _curve(panel: str, curve: str, kind: str, x, y) -> pd.DataFrame:
    return pd.DataFrame({"panel": panel, "curve": curve, "kind": kind, "x": x, "y": np.asarray(y)})


def _kernel_rows(rho: dict, fits: dict, horizon: int, seed: int) -> list[Row]:
    exponential = "exponential memory", "$0.9^t$", "code: $e^{-t}$"
    polynomial = "polynomial memory", "$(1+t)^{-1.1}$", "code: $(1+t/10)^{-1.1}$"

    def both(kind: str, f) -> tuple[float, float]:
        return tuple(float(f(rho[who, kind])) for who in ("paper", "code"))

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
    panels = {name: curves for name, curves in data.table.groupby("panel", sort=False)}
    with plotting.style():
        figure, grid = plt.subplots(2, 2, figsize=(10.4, 9.4), layout="constrained")
        axes = grid.flat
        _draw_kernels(axes[0], panels["kernels"])
        _draw_activation(axes[1], panels["activation"])
        _draw_logs(axes[2], panels["logs"])
        _draw_start(axes[3], panels["start"])
        for axis in axes:
            axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.16), ncols=2, fontsize=9.5)
    return figure


def _draw_kernels(axis: Axes, curves: pd.DataFrame) -> None:
    formulas = {
        "paper, exponential": "paper, $0.9^t$",
        "code, exponential": "code, $e^{-t}$",
        "paper, polynomial": "paper, $(1+t)^{-1.1}$",
        "code, polynomial": "code, $(1+t/10)^{-1.1}$",
    }
    colors = dict(zip(KINDS, plotting.order(3)[::2], strict=True))
    for name, label in formulas.items():
        who, kind = name.split(", ")
        curve = curves[curves.curve == name]
        axis.plot(curve.x, curve.y, "-" if who == "paper" else "--", color=colors[kind], label=label)
    axis.set(
        yscale="log", ylim=(1e-5, 2), xlabel="lag $t$ (time units)", ylabel=r"$\rho(t)$", title="Kernels"
    )


def _draw_activation(axis: Axes, curves: pd.DataFrame) -> None:
    names = list(dict.fromkeys(curves.curve))
    for name, (color, mark) in zip(names, plotting.distinct(len(names)), strict=True):
        curve = curves[curves.curve == name]
        axis.plot(curve.x, curve.y, mark + "-", color=color, ms=3, lw=1, label=name)
    axis.set(
        yscale="log",
        ylim=(1e-6, None),
        xlabel="lag $t$ (steps)",
        ylabel="memory (per step)",
        title=f"One layer, input of size {max(SIZES):g}",
    )


def _draw_logs(axis: Axes, curves: pd.DataFrame) -> None:
    for name, (color, mark) in zip(LOGGED.values(), plotting.distinct(len(LOGGED)), strict=True):
        curve = curves[(curves.curve == name) & (curves.y < 1e7)]
        axis.plot(curve.x, curve.y, mark + "-", color=color, ms=4, lw=1, label=name)
    axis.set(
        xscale="log",
        yscale="log",
        ylim=(1e-4, 1e7),
        xlabel=r"perturbation $\beta$ of the weights",
        ylabel="test loss (logged)",
        title=f"Polynomial memory, $m={WIDEST}$",
    )


def _draw_start(axis: Axes, curves: pd.DataFrame) -> None:
    for dt, (color, mark) in zip(STEP_SIZES, plotting.distinct(len(STEP_SIZES)), strict=True):
        for sign, line in ((1, "-"), (-1, "--")):
            kinds = {
                k: c for k, c in curves[curves.curve == f"{sign * REAL_PART:+g}, {dt:g}"].groupby("kind")
            }
            axis.plot(kinds["exact"].x, kinds["exact"].y, line, color=color)
            axis.plot(kinds["stepped"].x, kinds["stepped"].y, mark, color=color, ms=4)
        axis.plot([], [], mark, color=color, label=f"$\\Delta t={dt:g}$")
    for sign, line in ((1, "-"), (-1, "--")):
        axis.plot([], [], line, color=plotting.INK, label=f"real part ${sign * REAL_PART:+g}$")
    axis.set(
        yscale="log", xlabel="step $k$", ylabel=r"$|e^{k\lambda\Delta t}|$", title="S4D modes at the start"
    )
