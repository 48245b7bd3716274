"""How far random directions are from the worst one: certified brackets of E_m(β), and stability radii."""

import itertools
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike
from scipy.special import gammaln

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import ExponentialSum, fit_exponential_sum
from curse_of_memory.theory.stability import limit_curve, worst_case_error
from curse_of_memory.tools import checks
from curse_of_memory.training import run_all

__all__ = ["data", "expected_largest", "plot"]

GREY = "0.78"
PAPERS = (3, 10, 30)
"""How many random draws the papers and their code take."""
FULL_AT = 4  # which of the radii
COLUMNS = ["parameterization", "m", "beta", "lower", "upper", "draws", "random"]


def expected_largest(values: np.ndarray, count: int) -> np.ndarray:
    """Return the expected largest of `count` values that are drawn from `values` without replacement.

    Parameters
    ----------
    values : numpy.ndarray, shape (..., n)
        Errors of n random draws; infinite ones are taken as the largest float.
    count : int
        How many are chosen, at most n.

    Examples
    --------
    >>> expected_largest(np.array([1.0, 2.0, 3.0]), 2).round(9)  # (2 + 3 + 3)/3
    np.float64(2.666666667)
    """
    n = values.shape[-1]
    if not 1 <= checks.positive_int("count", count) <= n:
        raise ValueError(f"count must be at most the {n} values, got {count}")
    rank = np.arange(count, n + 1)

    def log_choices(of: np.ndarray | int, out: np.ndarray | int) -> np.ndarray:
        return gammaln(of + 1) - gammaln(out + 1) - gammaln(of - out + 1)

    share = np.exp(log_choices(rank - 1, count - 1) - log_choices(n, count))
    return np.sort(np.nan_to_num(values, posinf=np.finfo(float).max / n))[..., count - 1 :] @ share


@figure_data(
    title="Worst case, random directions and stability radius of the best exponential sums",
    source="the perturbation error of IAT (2305.19190), figures 1 and 4; bounds and worst cases are ours",
)
def data(
    *,
    widths: Sequence[int] = (2, 4, 6),
    parameterizations: Sequence[str] = ("direct", "softplus"),
    horizon: int = 1000,
    draws: int = 300,
    budget: int = 20,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Bracket E_m(β) of the best sums for ρ(t) = (1 + t)^{−1.1}, and measure it by random perturbations.

    The error is the root of the expected mean squared error for white inputs; the ball holds recurrent,
    input and output weights of a linear RNN that stays diagonal, with one Euler step per unit time. How much
    worse a perturbation by any matrix within β is, as in the ball of the paper, is in the headline for
    "direct", at one β. Columns: ``parameterization, m, beta, lower, upper, draws, random``; `random` is the
    mean of the largest error among so many of the random `draws`, over all choices of them, and infinite
    where the square of an error is more than a float holds. `budget` is how many boxes the upper bound may
    look at.
    """
    widths = [checks.positive_int("widths", m) for m in widths]
    task = LinearFunctional(targets.named("iat-paper-polynomial"), horizon)
    fits = {m: fit_exponential_sum(task.rho, terms=m, weight=bias.power(0)) for m in widths}
    betas = np.concatenate([[0.0], 1e-4 * 10.0 ** (0.3 * np.arange(11))])
    counts = sorted({1, *(n for n in (*PAPERS, 100) if n < draws), draws})
    bounded = run_all(
        limit_curve,
        [
            {
                "family": fits,
                "rho": task.rho,
                "betas": betas,
                "parameterization": name,
                "norm": "expected",
                "horizon": horizon,
                "step": "euler",
                "budget": budget,
                "seed": seed,
            }
            for name in parameterizations
        ],
    )
    perturbed = run_grid(
        _measured,
        product_of(parameterization=parameterizations, m=widths),
        {
            "fits": fits,
            "task": task,
            "betas": betas,
            "counts": counts,
            "draws": draws,
            "seed": seed,
            "device": device,
        },
    )
    curves, facts = [], {}
    for name, bounds in zip(parameterizations, bounded, strict=True):
        for m in widths:
            facts[f"{name}: stability radius, m = {m}"] = float(bounds.radius.sel(m=m))
            seen = rows(perturbed, parameterization=name, m=m)
            sides = {side: np.tile(bounds[side].sel(m=m).values, len(counts)) for side in ("lower", "upper")}
            curves.append(seen.assign(**sides))
        if name == "direct":
            facts |= _any_matrix(fits, task, bounds)
        for (narrow, wide), at in zip(pairwise(widths), bounds.crossing.values, strict=True):
            if math.isfinite(at):
                facts[f"{name}: E_{narrow} and E_{wide} cross at β"] = float(at)
    table = pd.concat(curves, ignore_index=True).reindex(columns=COLUMNS)
    return Findings(table, *_sentences(table, facts), _printed_crossings(facts))


def _any_matrix(
    fits: Mapping[int, ExponentialSum], task: LinearFunctional, bounds: xr.Dataset
) -> dict[str, float]:
    """Return by how many % the worst of all matrices is above the worst diagonal one, and its bracket."""
    facts = {}
    beta = float(bounds.beta[FULL_AT])
    for m, fit in fits.items():
        full = worst_case_error(
            fit, task.rho, beta, "direct", "expected", horizon=task.horizon, step="euler", ball="full"
        )
        diagonal = float(bounds.lower.sel(m=m, beta=beta))
        where = f"direct, all W, β = {beta:.2g}, m = {m}"
        facts[f"{where}: % above the worst diagonal one"] = 100 * (full.lower / diagonal - 1)
        facts[f"{where}: % from lower to upper bound"] = 100 * (full.upper / full.lower - 1)
    return facts


def _printed_crossings(facts: dict[str, float]) -> dict[str, float]:
    dots = reference("inverse_approximation/figure1_crossings")
    points = zip(dots.narrow, dots.wide, dots.beta, strict=True)
    printed = {f"direct: E_{narrow} and E_{wide} cross at β": beta for narrow, wide, beta in points}
    return {label: beta for label, beta in printed.items() if label in facts}


def _measured(
    parameterization: str,
    m: int,
    fits: Mapping[int, ExponentialSum],
    task: LinearFunctional,
    betas: np.ndarray,
    counts: Sequence[int],
    draws: int,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Return the expected largest error among so many random draws, of the RNN that is the best sum."""
    fit = fits[m]
    model = RNN.from_exponential_sum(
        rates=fit.rates, coefficients=fit.coefficients, parameterization=parameterization
    )
    perturbed = perturbation_curve(model, task, betas, draws=draws, seed=seed, device=device)
    errors = np.sqrt(perturbed.draw_error.values)
    whole = np.isfinite(errors).all(-1)
    seen = {count: np.where(whole, expected_largest(errors, count), np.inf) for count in counts}
    return pd.concat(
        [pd.DataFrame({"beta": betas, "draws": count, "random": largest}) for count, largest in seen.items()]
    )


def shares(table: pd.DataFrame) -> pd.DataFrame:
    """Return the share of the lower bound that random draws see: a row a model, a column a number of draws.

    It is the geometric mean over those β at which the bound has at least doubled and all errors are finite.
    """
    keys = ["parameterization", "m"]
    rest = rows(table, beta=0).groupby(keys).lower.first()
    at_rest = rest.reindex(pd.MultiIndex.from_frame(table.loc[:, keys])).to_numpy()
    told = np.isfinite(table.lower) & np.isfinite(table.random)
    shaken = table.loc[told & (table.lower > 2 * at_rest) & (table.beta > 0)]
    ratio = np.log(shaken.random / shaken.lower)
    return np.exp(ratio.groupby([shaken.parameterization, shaken.m, shaken.draws]).mean()).unstack("draws")


def _sentences(table: pd.DataFrame, facts: dict[str, float]) -> tuple[str, dict]:
    """Return the message and the headline."""
    share = shares(table)
    finite = table.loc[np.isfinite(table.upper) & (table.lower > 0)]
    gap = float((finite.upper / finite.lower).max())
    headline = {"upper over lower bound, at most": gap}
    for name, group in share.groupby("parameterization", sort=False):
        for n in group.columns.intersection(PAPERS):
            headline[f"{name}: share of the worst case seen by {n} draws"] = _geometric_mean(group[n])
    few = max(n for n in share.columns if n <= min(PAPERS))
    seen = share[few].to_numpy()
    worst = share.index[int(seen.argmin())]
    message = (
        f"Bounds over models that stay diagonal: E_m(β) lies between the error of the worst one found (line) "
        f"and a certificate at most {gap - 1:.0%} above it (dashed). Measurement: {few} random draws (open "
        f"marks) see {seen.min():.0%} ({worst[0]}, m = {worst[1]}) to {seen.max():.0%} of it. "
        f"Theorem: within the stability radius (dotted) every model forgets; beyond it, errors on [0, ∞) are "
        f"infinite."
    )
    return message, headline | facts


def _geometric_mean(ratios: ArrayLike) -> float:
    return float(np.exp(np.log(pd.Series(ratios)).mean()))


def plot(data: FigureData) -> Figure:
    """Draw bounds and random draws, a panel per parameterisation, and the share that is seen by the draws."""
    table = data.table
    names = list(dict.fromkeys(table.parameterization))
    widths = sorted(set(table.m))
    radii = {
        name: [float(data.headline[f"{name}: stability radius, m = {m}"]) for m in widths] for name in names
    }
    with plotting.style():
        figure, axes = plotting.canvas(len(names) + 1, width=4.2 * (len(names) + 1), height=4.7)
        for axis, name in zip(axes, names, strict=False):
            _bounds_panel(axis, name, rows(table, parameterization=name), radii[name])
        axes[0].set_ylabel(r"$E_m(\beta)$ over diagonal $\Delta W$ (root mean square)")
        _shares_panel(axes[-1], table, names, widths)
        for m, look in plotting.looks(widths).items():
            axes[0].add_line(plotting.entry(f"$m={m}$", look.color, marker=look.mark))
        for line in (
            plotting.entry("worst model found: lower bound"),
            plotting.entry("certified upper bound", ls="--", lw=1),
            plotting.entry("stability radius", ls=":", lw=1.2),
            plotting.entry(f"{min(PAPERS)} random draws", ls="", marker="o", mfc="none"),
            plotting.entry(f"{max(PAPERS)} random draws", ls="", marker="o"),
            plotting.entry("authors: figure 1, softplus logs", GREY, lw=1),
        ):
            axes[0].add_line(line)
        plotting.joined_legend(figure, axes[:1], ncols=5)
    return figure


def _bounds_panel(axis: Axes, name: str, curves: pd.DataFrame, radii: list[float]) -> None:
    for curve in _printed(name):
        plotting.theory(axis, curve.beta, curve.error, GREY, lw=1, zorder=1)
    shaken = curves.loc[curves.beta > 0]
    for (m, look), radius in zip(plotting.looks(sorted(set(curves.m))).items(), radii, strict=True):
        curve = rows(shaken, m=m)
        one = rows(curve, draws=curve.draws.max())
        plotting.theory(axis, one.beta, one.lower, look.color)
        plotting.theory(axis, one.beta, one.upper, look.color, ls="--", lw=1)
        plotting.band(axis, one.beta, one.lower, one.upper, look.color, alpha=0.25)
        for n, hollow in ((min(PAPERS), True), (max(PAPERS), False)):
            seen = rows(curve, draws=n)
            plotting.measured(axis, seen.beta, seen.random, look, hollow=hollow, ms=4.5)
        axis.axvline(radius, color=look.color, ls=":", lw=1.2)
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(shaken.beta.min() / 1.2, shaken.beta.max() * 1.2),
        ylim=(5e-4, 2e2),
        xlabel=r"perturbation $\beta$ of the weights",
        title={"direct": "direct, $W=w$", "softplus": r"softplus, $W=-\log(1+e^w)$"}.get(name, name),
    )


def _printed(name: str) -> list[pd.DataFrame]:
    """Return the authors' curves of that parameterisation, as roots of mean squares."""
    if name == "direct":
        curves = rows(reference("inverse_approximation/figure1"), target="polynomial")
    elif name == "softplus":
        logs = reference("inverse_approximation/softplus_logs")
        curves = logs.assign(error=np.sqrt(logs.error))
    else:
        return []
    return list(groups(curves.loc[curves.beta > 0], "m").values())


def _shares_panel(axis: Axes, table: pd.DataFrame, names: list[str], widths: list[int]) -> None:
    share = shares(table)
    for name, line in zip(names, itertools.cycle(("-", "--", ":", "-."))):
        for m, look in plotting.looks(widths).items():
            if (name, m) in share.index:
                seen = share.loc[(name, m)]
                plotting.measured(axis, share.columns, seen, look, joined=line, lw=1)
        axis.add_line(plotting.entry(name, ls=line, lw=1))
    axis.axvspan(min(PAPERS), max(PAPERS), color="0.93", lw=0, zorder=0)
    axis.text(np.sqrt(min(PAPERS) * max(PAPERS)), 0.03, "papers", ha="center", color="0.45")
    axis.set(
        xscale="log",
        ylim=(0, 1),
        xlabel="random draws",
        ylabel="share of the worst case",
        title="what random draws see",
    )
    axis.legend()
