"""How many exponentials a memory needs: best fits, trained RNNs, and lower bounds of every error."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
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
    "polynomial": f"polynomial, {TARGETS['polynomial'].label()}",
    "Airy": f"Airy, {TARGETS['Airy'].label()}",
    "shift": "shift, 1 on (9, 11): lag 10 alone",
}
COLUMNS = ["target", "m", "real", "limit", "any", "lower_bound", "trained", "alternates", "sigma"]
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

    Columns: ``target, m`` and relative errors in the weighted ℓ2 norm over the lags 0 … T − 1. ``real`` and
    ``any`` are the best fits found with real rates and with any stable multipliers (conjugate pairs, and
    negative ones, which alternate); ``limit`` is what real rates reach where they may coincide;
    ``lower_bound`` is below the error of every system of m states; ``trained`` is the best of `seeds`
    diagonal linear RNNs, trained by `evaluations` steps each, and ``alternates`` says whether it has a
    negative multiplier, which is no e^{−λ} with real λ. ``sigma`` is σ_{m+1}/σ_1 of the finite Hankel matrix,
    a bound in another norm. (The work is done on the CPU; `device` changes nothing.)
    """
    widths = [checks.positive_int("widths", m) for m in widths]
    starts = range(seed, seed + checks.positive_int("seeds", seeds))
    common = {"horizon": horizon, "power": power}
    fits = run_grid(_fitted, product_of(target=TARGETS), common | {"widths": widths})
    runs = product_of(target=TARGETS, m=widths, seed=starts)
    trained = run_grid(_trained, runs, common | {"evaluations": evaluations})
    best = trained.sort_values(["trained", "alternates"], kind="stable").drop_duplicates(["target", "m"])
    table = fits.merge(best, on=["target", "m"], how="left").reindex(columns=COLUMNS)

    gap = (table["any"] / table.lower_bound).where(table["any"] > _ROUNDING)
    headline: dict[str, float] = {}
    for name, group in groups(table, "target").items():
        last = group.iloc[-1]
        for column, words in (("any", "best fit"), ("lower_bound", "lower bound"), ("trained", "trained")):
            headline[f"{name}, m = {last.m}, {words}"] = float(last[column])
        headline[f"{name}, largest best fit / lower bound"] = float(gap[group.index].max())
    last = rows(table, m=max(widths)).set_index("target")
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
        f"polynomial fit at m = {max(widths)}. Airy takes conjugate pairs: {last.at['Airy', 'any']:.1g} "
        f"instead of {last.real['Airy']:.1g} with real rates, nearly equal ones; the shift stays out of "
        f"reach of either."
    )
    return Findings(table, message, headline)


def _fitted(target: str, horizon: int, power: float, widths: list[int]) -> pd.DataFrame:
    """Return the errors of the best fits to a memory, and lower bounds, with one row a width."""
    task, b = LinearFunctional(TARGETS[target], horizon), bias.power(power)
    fits = [fit_exponential_sums(task.rho, max(widths), b, modes=modes) for modes in ("real", "discrete")]
    sizes = hankel_singular_values(task.rho)
    points = []
    for m in widths:
        real, free = (fit[m - 1] for fit in fits)
        errors = real.error, real.limit_error, free.error, free.lower_bound
        points.append((m, *errors, sizes[m] / sizes[0]))
    return pd.DataFrame(points, columns=["m", "real", "limit", "any", "lower_bound", "sigma"])


def _trained(
    target: str, m: int, seed: int, horizon: int, power: float, evaluations: int
) -> dict[str, object]:
    """Train a diagonal linear RNN on the expected loss; return its relative error, and if it alternates."""
    task = LinearFunctional(TARGETS[target], horizon)
    model = RNN(m, diagonal=True, bias=False, seed=seed, dtype=torch.float64)
    fit_expected(model, task, loss=TemporallyWeightedMSE(power), evaluations=evaluations)
    memory = model.kernel(horizon).detach().flatten().numpy()
    b = bias.power(power)
    lost, all_of_it = (bias.weighted_error(task.rho, kernel, b) for kernel in (memory, np.zeros(horizon)))
    alternates = bool((1 + model.dt * model.recurrence() < 0).any())
    return {"trained": float(np.sqrt(lost / all_of_it)), "alternates": alternates}


def plot(data: FigureData) -> Figure:
    """Draw errors against the number of states: fits as lines, training as marks, the bound shaded."""
    with plotting.style():
        figure, grid = plotting.canvas(2, 2, width=8.6, height=6.6, sharex=True)
        dark, light = plotting.order(2)
        for axis, (name, group) in zip(grid.flat, groups(data.table, "target").items(), strict=True):
            fits = group[["real", "any", "lower_bound"]].to_numpy()
            bottom = 10.0 ** np.floor(np.log10(max(fits.min(), _EPS)))
            bound = group.lower_bound.clip(lower=bottom)
            plotting.band(axis, group.m, bottom, bound, plotting.INK, alpha=0.14)
            plotting.theory(axis, group.m, bound, ls="--", lw=1.2)
            plotting.theory(axis, group.m, group["any"], dark, lw=2.6)
            plotting.theory(axis, group.m, group.real, light, ls="-.")
            for alternates, face in ((False, light), (True, "white")):
                some, look = rows(group, alternates=alternates), plotting.Look(face, "o")
                plotting.measured(axis, some.m, some.trained, look, mec=plotting.INK, ms=6)
            axis.set(yscale="log", title=LABELS[name])
            axis.set_ylim(bottom=bottom)
            axis.yaxis.set_minor_formatter("")
        for axis in grid[1]:
            axis.set(xlabel="number of states $m$", xticks=sorted(set(data.table.m)))
        for axis in grid[:, 0]:
            axis.set_ylabel("relative error, weighted by $b_s$")
        mark = {"marker": "o", "mec": plotting.INK, "ls": ""}
        entries = [
            plotting.entry("best fit found, any multipliers", dark, lw=2.6),
            plotting.entry("best fit found, real rates", light, ls="-."),
            plotting.entry("trained linear RNN", light, **mark),
            Rectangle((0, 0), 1, 1, fc=plotting.INK, alpha=0.14, label="no linear RNN of $m$ states"),
        ]
        if data.table.alternates.any():
            entries.append(plotting.entry("trained, a mode alternates", "white", **mark))
        figure.legend(handles=entries, loc="outside lower center", ncols=3)
    return figure
