"""How many exponentials a memory needs: the best fits, what training finds, and what nobody can do better."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import fit_exponential_sums
from curse_of_memory.theory.hankel import hankel_singular_values
from curse_of_memory.tools import checks
from curse_of_memory.training import fit_expected

__all__ = ["data", "plot"]

TARGETS = {
    "three exponentials": targets.exponential_sum(coefficients=[1.0, 0.5, 0.25], rates=[0.5, 0.1, 0.02]),
    "polynomial": targets.named("iat-code-polynomial"),
    "Airy": targets.named("iat-code-airy"),
    "shift": targets.named("iat-code-shift"),
}
LABELS = {
    "three exponentials": "three exponentials",
    "polynomial": r"polynomial, $(1+0.1\,t)^{-1.1}$",
    "Airy": r"Airy, $\mathrm{Ai}(t-6)$",
    "shift": "shift, 1 on (9, 11): lag 10 alone",
}
_ROUNDING = 1e-14  # smaller errors are rounding errors: any curve there means "exact"
_EPS = np.finfo(float).eps


@figure_data(
    title="How many exponentials a memory needs",
    source="ours: targets of IAT (2305.19190), weight of INTEREST (2307.11462), Theorem 3.3",
)
def data(
    *,
    horizon: int = 100,
    widths: Sequence[int] = (1, 2, 3, 4, 5, 6),
    power: float = 0.0,
    seeds: int = 1,
    evaluations: int = 40,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Fit four memories by linear systems of m states, under the bias of the weight tᵖ, in three ways.

    Columns: ``target, m`` and relative errors in the weighted ℓ2 norm over the lags 0 … T − 1: ``real``
    and ``any``, the best fits found with real rates and with any stable multipliers: conjugate pairs, and
    negative ones that alternate; ``limit``, what real rates reach where they may coincide; ``lower_bound``
    of every system of m states; ``trained``, the best of `seeds` diagonal linear RNNs, with so many
    ``evaluations`` each, and whether it ``alternates``: a step multiplier below 0 is no e^{−λ}, λ real.
    ``sigma`` is σ_{m+1}/σ_1 of the finite Hankel matrix, a bound in another norm. (The work is done on
    the CPU; `device` changes nothing.)
    """
    widths = [checks.positive_int("widths", m) for m in widths]
    checks.positive_int("seeds", seeds)
    b = bias.power(power)
    rows = []
    for name, rho in TARGETS.items():
        task = LinearFunctional(rho, horizon)
        fits = [fit_exponential_sums(task.rho, max(widths), b, modes=modes) for modes in ("real", "discrete")]
        sizes = hankel_singular_values(task.rho)
        for m in widths:
            real, free = (fit[m - 1] for fit in fits)
            trained = min(_trained(task, m, power, evaluations, seed + i) for i in range(seeds))
            sigma = sizes[m] / sizes[0]
            errors = real.error, real.limit_error, free.error, free.lower_bound
            rows.append((name, m, *errors, *trained, sigma))
    columns = ["target", "m", "real", "limit", "any", "lower_bound", "trained", "alternates", "sigma"]
    table = pd.DataFrame(rows, columns=columns)

    gap = (table["any"] / table.lower_bound).where(table["any"] > _ROUNDING)
    headline = {}
    for name, group in table.groupby("target", sort=False):
        last = group.iloc[-1]
        for column, words in (("any", "best fit"), ("lower_bound", "lower bound"), ("trained", "trained")):
            headline[f"{name}, m = {last.m}, {words}"] = float(last[column])
        headline[f"{name}, largest best fit / lower bound"] = float(gap[group.index].max())
    last = table[table.m == max(widths)].set_index("target")
    polynomial = last.loc["polynomial"]
    lost = float(f"{polynomial.trained / polynomial['any']:.1g}")
    largest = gap.groupby(table.target, sort=False).max()
    met = 100 * (largest["polynomial"] - 1)
    message = (
        f"No linear RNN of m states, trained or not, enters the shaded region: a theorem, evaluated with all "
        f"rounding errors counted. Lines are the best fits found, upper bounds of the best there are: for "
        f"the polynomial memory, where real rates are enough, within {met:.1g} % of the region; for Airy's "
        f"up to {largest['Airy']:.2f} and for the shift up to {largest['shift']:.2f} times above it, where "
        f"better ones are not excluded. Marks are measurements: training ends {lost:,.0f} times above the "
        f"polynomial fit at m = {max(widths)}. Airy takes conjugate pairs ({last['any']['Airy']:.1g} instead "
        f"of {last.real['Airy']:.1g} with real rates, nearly equal ones); the shift stays out of reach of "
        f"either."
    )
    return Findings(table, message, headline)


def _trained(
    task: LinearFunctional, width: int, power: float, evaluations: int, seed: int
) -> tuple[float, bool]:
    """Train a diagonal linear RNN on the expected loss; return its relative error, and if it alternates."""
    model = RNN(width, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
    loss = TemporallyWeightedMSE(power)
    fit_expected(model, task, loss=loss, evaluations=evaluations)
    horizon = task.rho.size
    memory = model.kernel(horizon).detach().flatten().numpy()
    b = bias.power(power)
    lost, all_of_it = (bias.weighted_error(task.rho, kernel, b) for kernel in (memory, np.zeros(horizon)))
    alternates = bool((1 + model.dt * model.recurrence() < 0).any())
    return float(np.sqrt(lost / all_of_it)), alternates


def plot(data: FigureData) -> Figure:
    """Draw errors against the number of states: fits as lines, training as marks, the bound shaded."""
    with plotting.style():
        figure, grid = plt.subplots(2, 2, figsize=(8.6, 6.6), layout="constrained", sharex=True)
        dark, light = plotting.order(2)
        for axis, (name, group) in zip(grid.flat, data.table.groupby("target", sort=False), strict=True):
            fits = group[["real", "any", "lower_bound"]].to_numpy()
            bottom = 10.0 ** np.floor(np.log10(max(fits.min(), _EPS)))
            bound = group.lower_bound.clip(lower=bottom)
            axis.fill_between(group.m, bottom, bound, color=plotting.INK, alpha=0.14, lw=0)
            axis.plot(group.m, bound, color=plotting.INK, ls="--", lw=1.2)
            axis.plot(group.m, group["any"], color=dark, lw=2.6)
            axis.plot(group.m, group.real, color=light, ls="-.")
            for alternates, face in ((False, light), (True, "white")):
                some = group[group.alternates == alternates]
                axis.plot(some.m, some.trained, "o", color=face, mec=plotting.INK, ms=6)
            axis.set(yscale="log", title=LABELS[name])
            axis.set_ylim(bottom=bottom)
            axis.yaxis.set_minor_formatter("")
        for axis in grid[1]:
            axis.set(xlabel="number of states $m$", xticks=sorted(set(data.table.m)))
        for axis in grid[:, 0]:
            axis.set_ylabel("relative error, weighted by $b_s$")
        entries = [
            plt.Line2D([], [], color=dark, lw=2.6, label="best fit found, any multipliers"),
            plt.Line2D([], [], color=light, ls="-.", label="best fit found, real rates"),
            plt.Line2D([], [], color=light, marker="o", mec=plotting.INK, ls="", label="trained linear RNN"),
            plt.Rectangle((0, 0), 1, 1, fc=plotting.INK, alpha=0.14, label="no linear RNN of $m$ states"),
        ]
        if data.table.alternates.any():
            label = "trained, a mode alternates"
            entries.append(
                plt.Line2D([], [], color="white", marker="o", mec=plotting.INK, ls="", label=label)
            )
        figure.legend(handles=entries, loc="outside lower center", ncols=3)
    return figure
