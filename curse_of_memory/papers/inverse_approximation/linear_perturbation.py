"""Inverse approximation theory (2305.19190), figure 1: perturbation errors of linear RNNs."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, exponential_sums, targets
from curse_of_memory.theory.stability import crossing
from curse_of_memory.training import fit_expected

__all__ = ["data", "plot"]

BETAS = np.concatenate([[0.0], 5e-4 * np.sqrt(2.0) ** np.arange(20)])
KERNELS = {"exponential": "iat-paper-exponential", "polynomial": "iat-paper-polynomial"}


def _crossings(curves: pd.DataFrame) -> dict[tuple[int, int], tuple[float, float]]:
    """Return (β, error) where the curves ``m, beta, error`` of consecutive widths cross."""
    families = {m: curve.sort_values("beta") for m, curve in groups(curves, "m").items()}
    crossings = {}
    for narrow, wide in pairwise(sorted(families)):
        shared = families[narrow].merge(families[wide], on="beta", suffixes=("_narrow", "_wide"))
        beta = crossing(*(shared[c].to_numpy() for c in ("beta", "error_narrow", "error_wide")))
        if math.isfinite(beta):
            positive = shared.loc[(shared.beta > 0) & np.isfinite(shared.error_wide)]
            height = np.exp(np.interp(np.log(beta), np.log(positive.beta), np.log(positive.error_wide)))
            crossings[narrow, wide] = (beta, float(height))
    return crossings


@figure_data(
    title="Perturbation error of linear RNNs: exponential against polynomial memory",
    source="Inverse approximation theory (2305.19190), figure 1",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 3, 4, 5),
    horizon: int = 1000,
    draws: int = 100,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Perturb linear RNNs that remember 0.9ᵗ and (1 + t)^{−1.1} as well as their width allows.

    The error is the root of the exact expected squared error for white inputs of variance one,
    E_m(β) = max over draws of (Σ_s b_s (ρ_s − ρ̂_s)² / T)^{1/2}. ``kind`` is *best fit* (an optimal
    exponential sum made into an RNN) or *trained* (random initial weights, exact expected loss).
    Columns: ``target, m, beta, error, kind``. The authors fit polynomials in e^{−t} by regression on
    a time scale they do not print: levels differ, shape and crossings can be compared.
    """
    table = run_grid(
        _perturbed,
        product_of(target=KERNELS, m=widths),
        common={"horizon": horizon, "draws": draws, "seed": seed, "device": device},
    )
    best = rows(table, kind="best fit")
    crossings = [at for at, _ in _crossings(rows(best, target="polynomial")).values()]
    labels = [f"polynomial memory, crossing {i + 1} at β" for i in range(len(crossings))]
    printed = reference("inverse_approximation/figure1_crossings").beta
    stable = best.loc[(best.target == "exponential") & best.beta.between(1e-4, 0.1)].groupby("beta").error
    message = (
        f"Polynomial memory: consecutive widths cross at β = {', '.join(f'{at:.2g}' for at in crossings)}. "
        f"Exponential memory: up to β = 0.1 all widths agree within a factor of "
        f"{(stable.max() / stable.min()).max():.2g}."
    )
    return Findings(
        table,
        message,
        dict(zip(labels, crossings, strict=True)),
        dict(zip(labels, printed, strict=False)),
    )


def _perturbed(target: str, m: int, horizon: int, draws: int, seed: int, device: str) -> pd.DataFrame:
    """Return ``beta, error, kind`` of the best fit of m modes, and of a trained model of as many."""
    task = LinearFunctional(targets.named(KERNELS[target]), horizon)
    best = exponential_sums.fit_exponential_sum(task.rho, terms=m, weight=bias.power(0))
    trained = RNN(m, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
    fit_expected(trained, task)
    models = {
        "best fit": RNN.from_exponential_sum(rates=best.rates, coefficients=best.coefficients),
        "trained": trained,
    }
    curves = []
    for kind, model in models.items():
        curve = perturbation_curve(model, task, BETAS, draws=draws, seed=seed, device=device)
        curves.append(pd.DataFrame({"beta": BETAS, "error": np.sqrt(curve.error), "kind": kind}))
    return pd.concat(curves, ignore_index=True)


def plot(data: FigureData) -> Figure:
    """Draw best fits as lines, trained models as marks, crossings as rings, the authors' curves in grey."""
    printed = reference("inverse_approximation/figure1")
    with plotting.style():
        figure, axes = plotting.canvas(2, width=9.4, height=4.2, sharey=True)
        for axis, (target, curves) in zip(axes, groups(data.table, "target").items(), strict=True):
            for curve in groups(rows(printed, target=target), "m").values():
                axis.plot(curve.beta, curve.error, color="0.75", lw=1, zorder=1)
            for m, (color, mark) in plotting.looks(sorted(set(curves.m))).items():
                best, trained = (rows(curves, m=m, kind=kind) for kind in ("best fit", "trained"))
                axis.plot(best.beta, best.error, color=color, label=f"$m={m}$")
                axis.plot(trained.beta[1::2], trained.error[1::2], mark, color=color, mfc="none")
            if target == "polynomial":
                for beta, error in _crossings(rows(curves, kind="best fit")).values():
                    axis.plot(beta, error, "o", mfc="none", color="crimson", ms=9, mew=1.6, zorder=5)
            formula = targets.named(KERNELS[target]).label().strip("$")
            axis.set(
                xscale="log",
                yscale="log",
                xlim=(4e-4, 0.3),
                ylim=(1e-3, 30),
                xlabel=r"perturbation $\beta$",
                title=f"{target} memory, $\\rho(t)={formula}$",
            )
        axes[0].set_ylabel(r"perturbation error $E_m(\beta)$, diagonal $\Delta W$")
        axes[1].add_line(plotting.entry("trained", marker="o", ls="", mfc="none"))
        axes[1].add_line(plotting.entry("paper, figure 1", "0.75", lw=1))
        axes[1].add_line(plotting.entry("crossing", "crimson", marker="o", ls="", mfc="none", ms=9))
        plotting.joined_legend(figure, [axes[1]], loc="outside right upper")
    return figure
