"""StableSSM (Wang & Li, 2311.14495): the maps from free weights to recurrent weights, compared."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.reparameterization.rate_modulus import rate_modulus
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

PANELS = ("f", "ratio", "g")


@figure_data(
    title="Reparameterisations: recurrent weight, gradient over weight, stability",
    source="StableSSM (2311.14495), reparameterisation curves",
)
def data(
    *,
    names: Sequence[str] = ("direct", "softplus", "exp", "inverse", "best"),
    largest_weight: float = 3.0,
    largest_beta: float = 1.5,
    points: int = 241,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Evaluate f(w), |f'(w)|/f(w)² and g(β) for some continuous-time reparameterisations.

    ``kind`` is *closed form* or, for g, also *numerical*: the supremum in its definition, found by search.
    The map "direct" is evaluated where it is stable, w < 0. Columns: ``panel, name, kind, at, value``; `at`
    is w, or β for g. (Nothing here is random, nor needs a device.)
    """
    top = checks.positive("largest_weight", largest_weight)
    w = np.linspace(-top, top, checks.positive_int("points", points))
    beta = np.linspace(0.0, checks.positive("largest_beta", largest_beta), 31)
    curves = []
    for name in names:
        p = REPARAMETERIZATIONS[checks.one_of("names", name, REPARAMETERIZATIONS)]
        if p.time != "continuous":
            raise ValueError(f"names must be of continuous-time reparameterisations, got {name!r}")
        low, high = p.domain
        inside = w[(w > low) & (w < high)]
        inside = inside[p.f(inside) < 0]
        numerical = [rate_modulus(p, b) for b in beta[5::5]]
        panels = [
            ("f", "closed form", inside, p.f(inside)),
            ("ratio", "closed form", inside, p.gradient_over_weight(inside)),
            ("g", "closed form", beta, [p.g(b) for b in beta]),
            ("g", "numerical", beta[5::5], numerical),
        ]
        curves += [
            pd.DataFrame({"panel": panel, "name": name, "kind": kind, "at": at, "value": value})
            for panel, kind, at, value in panels
        ]
    table = pd.concat(curves, ignore_index=True)

    best = REPARAMETERIZATIONS["best"]
    headline = {f"g of best at β = {b:g}": best.g(b) for b in (0.1, 0.5, 1.0)}
    paper = dict(zip(headline, (0.1518, 1.0, 2.732), strict=True))
    stable = [name for name in names if REPARAMETERIZATIONS[name].is_stable]
    unstable = [name for name in names if name not in stable]
    message = (
        f"Theorem: a weight that is off by β changes the memory by at most g(β), which is finite for "
        f"{', '.join(stable)} and infinite for {', '.join(unstable) or 'none'}. Only for best is the bound "
        f"|f'|/f² of the gradient proportional to the weight. Lines are closed forms; marks are suprema "
        f"found numerically, equal to {max(_largest_gap(table), 1e-12):.0e}."
    )
    return Findings(table, message, headline, paper)


def _largest_gap(table: pd.DataFrame) -> float:
    """Return the largest relative difference of numerical and closed-form g, where both are finite."""
    g = table.loc[(table.panel == "g") & np.isfinite(table.value)]
    both = g.pivot_table(index=["name", "at"], columns="kind", values="value").dropna()
    ratio = both["numerical"].to_numpy() / both["closed form"].to_numpy()
    return float(np.abs(ratio - 1).max()) if len(both) else math.nan


def plot(data: FigureData) -> Figure:
    """Draw f, the ratio and g side by side: closed forms as lines, numerical suprema as marks."""
    names = list(data.parameters["names"])
    looks = plotting.looks(names)
    dashes = dict(zip(names, ("-", "--", "-", ":", "-", "-.", "-"), strict=False))
    with plotting.style():
        figure, axes = plotting.canvas(3, width=11.5, height=3.9)
        for axis, panel in zip(axes, PANELS, strict=True):
            for name, curves in groups(rows(data.table, panel=panel), "name").items():
                finite = curves.loc[np.isfinite(curves.value)]
                closed, numerical = (rows(finite, kind=kind) for kind in ("closed form", "numerical"))
                if len(closed) > 1:
                    line = dashes.get(name, "-")
                    plotting.theory(axis, closed["at"], closed.value, looks[name].color, ls=line, lw=2.2)
                plotting.measured(axis, numerical["at"], numerical.value, looks[name], hollow=True, ms=6)
        for name, look in looks.items():
            label = name if REPARAMETERIZATIONS[name].is_stable else f"{name} (not stable)"
            axes[0].add_line(plotting.entry(label, look.color, ls=dashes.get(name, "-"), lw=2.2))
        if {"exp", "softplus"} <= set(names):
            axes[2].text(0.98, 0.06, r"exp, softplus: $e^\beta-1$", ha="right", transform=axes[2].transAxes)
        axes[0].add_line(plotting.entry("numerical supremum", marker="o", ls="", mfc="none"))
        axes[0].set(
            xlabel="free weight $w$",
            ylabel=r"recurrent weight $\lambda=f(w)$ (1/time)",
            title="The maps",
            ylim=(-3.2, 0.1),
        )
        axes[1].set(
            xlabel="free weight $w$",
            ylabel=r"$|f'(w)|\,/\,f(w)^2$",
            title="Gradient bound over the weight",
            ylim=(0, 8),
        )
        axes[2].set(
            xlabel=r"perturbation $\beta$ of the weight",
            ylabel=r"modulus $g(\beta)$",
            title=r"Stable: $g(\beta)$ is finite",
            ylim=(0, 4.2),
        )
        plotting.joined_legend(figure, axes[:1], ncols=6)
    return figure
