"""Lemmas of the memory papers against closed forms: what holds, what fails, what takes its place."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.integrate import solve_ivp

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, groups, rows
from curse_of_memory.theory.lemmas.heaviside_dynamics import corner_rates, velocity_field
from curse_of_memory.theory.lemmas.layered_memory import LayeredMemory
from curse_of_memory.theory.lemmas.lyapunov import Shear, envelope, lyapunov_norm
from curse_of_memory.theory.lemmas.planar_basin import CORNERS, PLANAR, PeriodicOrbit, basin_boundary
from curse_of_memory.theory.lemmas.rescaled_modes import appendix_c
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

STARTS = {"decays": (0.75, 0.75), "does not decay": (0.9, 0.9)}
PATH_TIME = 80.0
LAYER_RATE, LAYER_STEP = 0.1, 1.0  # per step; steps
MODELS = {
    "plain, q = 1": (1, "plain"),
    "rescaled, q = 1": (1, "rescaled"),
    "rescaled, q = 2": (2, "rescaled"),
}
COLUMNS = ["panel", "curve", "parameter", "kind", "x", "y"]


@figure_data(
    title="Four lemmas about memory, as checks",
    source="Inverse approximation theory (2305.19190), lemma A.8, figure 11 and appendix C; "
    "StableSSM (2311.14495), theorem 3.3",
)
def data(
    *,
    shears: Sequence[float] = (0, 1, 5, 10),
    layers: Sequence[int] = (1, 2, 3, 4),
    modes: Sequence[int] = (4, 16, 64),
    horizon: int = 200,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Evaluate four statements about memory, and what holds in the place of those that fail.

    - *propagator*: |e^{Wt}|₂ of W = [[−1, a], [0, −1]], a in `shears`: closed form, claimed bound e^{−t},
      proven bound, and the norm of scipy's matrix exponential;
    - *basin*: dv/dt = (1 − v²) ∘ (W v) for the paper's planar W: the periodic orbit around the basin of the
      origin, and two solutions;
    - *stack*: memory of `layers` layers of one rate, closed form and torch modules over `horizon` steps;
    - *modes*: E_K(β)/|ρ_K| in L¹ of the targets of appendix C, K in `modes`, closed form.

    Columns: ``panel, curve, parameter, kind, x, y``; `parameter` is a, ℓ or K; x and y are t and the norm, v₁
    and v₂, lag and memory, β and error. (Nothing here is random.)
    """
    propagator, norms = _propagators(shears)
    basin, orbit = _basin()
    stack, gap = _stacks(layers, horizon, device)
    table = pd.concat([*propagator, *basin, *stack, *_modes(modes)], ignore_index=True)
    table = table.reindex(columns=COLUMNS)

    largest = max(shears, key=abs)
    message = (
        f"Theorems are solid lines of (a), (c), (d) and the dashed bounds of (a), where lemma A.8 claims "
        f"|P| <= 0.5 but a = {largest:g} has |P| = {norms[largest]:.3g}; computed is the orbit of (b), of "
        f"period {orbit.period:.4g}, beyond which a memory does not decay although W has eigenvalues −1; "
        f"marks are measured, in (c) within {_power(gap)} of the theorem. In (d) one model keeps its radius "
        f"as K grows."
    )
    headline = {f"|P|, a = {a:g}": norm for a, norm in norms.items()}
    paper = {label: 0.5 for label in headline}  # the bound that lemma A.8 claims for all of them
    headline |= {
        "largest eigenvalue at the corner (1, 1)": float(corner_rates(PLANAR, (1, 1)).max()),
        "period of the orbit": orbit.period,
        "log of its multiplier": orbit.log_multiplier,
    }
    for name, (power, model) in MODELS.items():
        headline[f"radius, {name}, K = {max(modes)}"] = appendix_c(max(modes), power, model).radius
    return Findings(table, message, headline, paper)


def _power(error: float) -> str:
    """Return the power of ten above `error`, at least 1e-12: below is rounding, which machines differ in."""
    return f"1e{math.ceil(math.log10(max(error, 1e-12)))}"


def _propagators(shears: Sequence[float]) -> tuple[list[pd.DataFrame], dict[float, float]]:
    t, some = np.linspace(0, 12, 241), np.linspace(0.75, 11.25, 8)
    curves = [curve(t, np.exp(-t), panel="propagator", curve="every a", parameter=math.nan, kind="claimed")]
    for a in shears:
        shear = Shear(a)
        name = f"a = {a:g}"
        curves.append(
            curve(t, shear.propagator_norm(t), panel="propagator", curve=name, parameter=a, kind="theorem")
        )
        curves.append(
            curve(
                t, envelope(shear.matrix, t).bound, panel="propagator", curve=name, parameter=a, kind="bound"
            )
        )
        curves.append(
            curve(
                some,
                envelope(shear.matrix, some).norm,
                panel="propagator",
                curve=name,
                parameter=a,
                kind="measured",
            )
        )
    return curves, {a: lyapunov_norm(Shear(a).matrix).norm for a in shears}


def _basin() -> tuple[list[pd.DataFrame], PeriodicOrbit]:
    orbit = basin_boundary(PLANAR, samples=2001)
    curves = [curve(*orbit.points.T, panel="basin", curve="orbit", parameter=math.nan, kind="theorem")]
    W, t = np.array(PLANAR), np.linspace(0, PATH_TIME, 1001)
    for name, start in STARTS.items():
        # in z = artanh v, which keeps its digits at the edge
        z = solve_ivp(
            lambda _, z: W @ np.tanh(z), (0, PATH_TIME), np.arctanh(start), t_eval=t, rtol=1e-9, atol=1e-9
        ).y
        curves.append(curve(*np.tanh(z), panel="basin", curve=name, parameter=math.nan, kind="simulated"))
    return curves, orbit


def _stacks(layers: Sequence[int], horizon: int, device: str) -> tuple[list[pd.DataFrame], float]:
    curves, gap = [], 0.0
    for count in layers:
        exact = LayeredMemory((LAYER_RATE,) * checks.positive_int("layers", count)).discrete(
            horizon, LAYER_STEP
        )
        memory = memory_function(_stack(count), horizon, probe="impulse", device=device)
        name = f"{count} layers"
        curves.append(curve(exact.lag, exact, panel="stack", curve=name, parameter=count, kind="theorem"))
        curves.append(curve(memory.lag, memory, panel="stack", curve=name, parameter=count, kind="measured"))
        gap = max(gap, float(np.abs(memory / exact - 1).max()))
    return curves, gap


def _stack(count: int) -> torch.nn.Sequential:
    """Return `count` linear layers h ← h + dt (−λh + x) of our RNN."""
    weights = {"recurrent_weight": [-LAYER_RATE], "input_weight": [[1.0]], "output_weight": [[1.0]]}
    stack = torch.nn.Sequential()
    for _ in range(count):
        layer = RNN(1, diagonal=True, bias=False, dt=LAYER_STEP, dtype=torch.float64)
        layer.load_state_dict({name: torch.tensor(w, dtype=torch.float64) for name, w in weights.items()})
        stack.append(layer)
    return stack


def _modes(modes: Sequence[int]) -> list[pd.DataFrame]:
    beta = np.geomspace(1e-3, 0.95, 400)
    curves = []
    for name, (power, model) in MODELS.items():
        for terms in modes:
            sums = appendix_c(terms, power, model)
            inside = beta[beta < sums.radius]
            # up to where the curve leaves the picture
            inside = np.append(inside, sums.radius * (1 - 10.0 ** -np.arange(2, 7)))
            error = [sums.worst_error(b) / sums.norm() for b in inside.tolist()]
            curves.append(curve(inside, error, panel="modes", curve=name, parameter=terms, kind="theorem"))
    return curves


def plot(data: FigureData) -> Figure:
    """Draw the four panels: theory as lines, measurements as marks, proven bounds dashed, claims dotted."""
    panels = groups(data.table, "panel")
    with plotting.style():
        figure, axes = plotting.canvas(2, 2, width=10.4, height=10.0)
        _draw_propagators(axes[0, 0], panels["propagator"])
        _draw_basin(axes[0, 1], panels["basin"])
        _draw_stacks(axes[1, 0], panels["stack"])
        _draw_modes(axes[1, 1], panels["modes"])
    return figure


def _draw_propagators(axis: Axes, curves: pd.DataFrame) -> None:
    for a, look in plotting.looks(curves.parameter.dropna().unique()).items():
        kinds = groups(rows(curves, parameter=a), "kind")
        exact, bound, measured = kinds["theorem"], kinds["bound"], kinds["measured"]
        norm = lyapunov_norm(Shear(a).matrix).norm
        plotting.theory(axis, exact.x, exact.y, look.color)
        plotting.theory(axis, bound.x, bound.y, look.color, ls="--", lw=1.2)
        label = f"$a={a:g}$, $|P|_2={norm:.3g}$"
        plotting.measured(axis, measured.x, measured.y, look, label=label)
    claimed, label = rows(curves, kind="claimed"), r"claimed for all: $e^{-t}$, $|P|_2\leq0.5$"
    plotting.theory(axis, claimed.x, claimed.y, "crimson", ls=":", lw=2.4, label=label)
    axis.add_line(plotting.entry("proven bound", ls="--", lw=1.2))
    axis.set(
        yscale="log",
        ylim=(3e-6, 40),
        xlim=(0, 12),
        xlabel="time $t$",
        ylabel=r"$|e^{Wt}|_2$",
        title=r"(a) Lemma A.8, eigenvalues $-1,-1$",
    )
    plotting.legend_below(axis, 2, center=0.45, size=9.5)


def _draw_basin(axis: Axes, curves: pd.DataFrame) -> None:
    paths = groups(curves, "curve")
    dark, light = plotting.order(3)[::2]
    grid = np.linspace(-1, 1, 41)
    v = np.stack(np.meshgrid(grid, grid), -1)
    flow = velocity_field(PLANAR, v)
    axis.fill(paths["orbit"].x, paths["orbit"].y, color=light, alpha=0.25, lw=0)
    axis.streamplot(
        grid, grid, flow[..., 0], flow[..., 1], color="0.75", linewidth=0.6, arrowsize=0.7, density=1.1
    )
    orbit = paths["orbit"]
    plotting.theory(axis, orbit.x, orbit.y, "crimson", lw=2, label="periodic orbit, repels")
    for name, color, line in (("decays", dark, "-"), ("does not decay", plotting.INK, "--")):
        path = paths[name]
        plotting.theory(axis, path.x, path.y, color, ls=line, lw=1.6, label=f"solution that {name}")
        axis.plot(path.x.iloc[0], path.y.iloc[0], "o", color=color, ms=5)
    axis.plot(0, 0, "o", color=dark, ms=8, label="attracts, eigenvalues $-1$, $-1$")
    for corner in CORNERS:
        saddle = corner_rates(PLANAR, corner).max() > 0
        axis.plot(*corner, "X" if saddle else "s", color=plotting.INK, ms=8, clip_on=False, zorder=5)
    axis.add_line(plotting.entry("saddle, eigenvalues $-4$, $14$", marker="X", ls="", ms=8))
    axis.add_line(plotting.entry("slow corner, eigenvalues $-2$, $0$", marker="s", ls="", ms=8))
    axis.set(
        xlim=(-1.06, 1.06),
        ylim=(-1.06, 1.06),
        xticks=(-1, -0.5, 0, 0.5, 1),
        yticks=(-1, -0.5, 0, 0.5, 1),
        aspect="equal",
        xlabel="$v_1$",
        ylabel="$v_2$",
        title=r"(b) $\dot v=(1-v^2)\circ Wv$ for IAT's planar $W$",
    )
    plotting.legend_below(axis, 2, center=0.45, size=9.5)


def _draw_stacks(axis: Axes, curves: pd.DataFrame) -> None:
    for count, look in plotting.looks(curves.parameter.unique()).items():
        kinds = groups(rows(curves, parameter=count), "kind")
        exact, measured = kinds["theorem"], kinds["measured"]
        some = measured[:: max(1, len(measured) // 14)]
        plotting.theory_and_measured(
            axis, (exact.x, exact.y), (some.x, some.y), look, label=f"$\\ell={count:g}$"
        )
    axis.set(
        yscale="log",
        ylim=(1e-6, 1e3),
        xlabel="lag $s$ (steps)",
        ylabel="memory (per step)",
        title=r"(c) $\ell$ linear layers of rate $\lambda=0.1$",
    )
    axis.add_line(plotting.entry(r"$\binom{s+\ell-1}{s}(1-\lambda)^s$"))
    axis.add_line(plotting.entry("torch modules", marker="o", ls=""))
    plotting.legend_below(axis, 2, center=0.45, size=9.5)


def _draw_modes(axis: Axes, curves: pd.DataFrame) -> None:
    terms = curves.parameter.unique()
    lines = {"plain, q = 1": "-", "rescaled, q = 2": "--"}
    for K, color in zip(terms, plotting.order(len(terms)), strict=True):
        for name, line in lines.items():
            some = rows(curves, curve=name, parameter=K)
            plotting.theory(axis, some.x, some.y, color, ls=line, lw=1.6)
        axis.axvline(1 / K, color=color, lw=0.8, ls=":")
        axis.add_line(plotting.entry(f"$K={K:g}$, radius $1/{K:g}$", color))
    shared = rows(curves, curve="rescaled, q = 1", parameter=terms[-1])
    plotting.theory(axis, shared.x, shared.y, "crimson", lw=2.4, label=r"rescaled, $q=1$: all $K$")
    axis.add_line(plotting.entry("plain, $q=1$"))
    axis.add_line(plotting.entry("rescaled, $q=2$", ls="--"))
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(1e-3, 1),
        ylim=(1e-3, 1e2),
        xlabel=r"perturbation $\beta$ of every $w_k$",
        ylabel=r"$E_K(\beta)/|\rho_K|_{L^1}$",
        title=r"(d) Appendix C, $\rho_K=\Sigma_{k\leq K}\;k^{-2}e^{-t/k^q}$",
    )
    plotting.legend_below(axis, 2, center=0.45, size=9.5)
