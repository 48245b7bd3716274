"""StableSSM (2311.14495): perturbation errors of state space models on polynomial memory."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.error_bounds import panels_by_map, within_bounds
from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.papers.stable_ssm._maps import label_of, stepped
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.theory.stability import crossing, worst_case_error
from curse_of_memory.training import fit_expected

__all__ = ["crossings", "data", "plot"]

GREY = "0.75"
BETAS = np.concatenate([[0.0], 1e-3 * 4.0 ** np.arange(-2, 6)])  # of the authors' grid, and smaller ones
COMPARED = 0.02  # soon after, the softplus logs overflow: their Euler step is unstable
GONE = -math.log(np.finfo(float).eps)  # a mode that decays faster is zero after one step, but for rounding
STANDING = 1e-10  # a mode of a smaller rate does not decay: e^{−rate} is one, but for rounding
LOGS = {"direct": "vanilla", "softplus": "softplus", "exp": "S4", "best": "best"}


@figure_data(
    title="State space models on polynomial memory: who has one envelope",
    source="StableSSM (2311.14495), perturbation error of vanilla, softplus and S4 models",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 4, 8, 16),
    parameterizations: Sequence[str] = ("direct", "softplus", "exp", "best"),
    horizon: int = 1000,
    seeds: int = 3,
    draws: int = 30,
    budget: int = 1,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train linear SSMs of real modes on (1 + t/10)^{−1.1}, and bracket E_m(β) of the trained models.

    Trained on the exact expected loss from `seeds` random starts, of which the best is kept. The error is the
    root of the expected squared error for white inputs of variance one; c and u of a mode are of equal size.
    Columns: ``parameterization, m, beta``, the certified bounds ``lower`` and ``upper`` of E_m(β) over models
    that stay diagonal, and measured on the network the largest error ``random`` of `draws` random directions
    and the error ``worst`` at the worst weights that the theory names. `budget` is how many boxes an upper
    bound may look at.
    """
    if len(set(widths)) < 2:
        raise ValueError(f"widths must be at least two different numbers, got {list(widths)!r}")
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    table = run_grid(
        _learnt_and_perturbed,
        product_of(parameterization=parameterizations, m=widths),
        common={
            "task": task,
            "seeds": seeds,
            "draws": draws,
            "budget": budget,
            "seed": seed,
            "device": device,
        },
    )
    return Findings(table, *_summary(table))


def _learnt_and_perturbed(
    parameterization: str,
    m: int,
    task: LinearFunctional,
    seeds: int,
    draws: int,
    budget: int,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Train models of m modes, and perturb the best: ``beta, lower, upper, random, worst``."""
    own = _learnt(task, m, parameterization, seeds, seed)
    model = RNN.from_exponential_sum(
        rates=own.rates, coefficients=own.coefficients, parameterization=stepped(parameterization)
    )
    seen = perturbation_curve(model, task, BETAS, draws=draws, seed=seed, device=device)
    rows = []
    for beta, random in zip(BETAS, np.sqrt(seen.error.values), strict=True):
        bounds = worst_case_error(
            own,
            task.rho,
            beta,
            parameterization,
            "expected",
            horizon=task.horizon,
            budget=budget,
            seed=seed,
            draws=draws,
        )
        worst = _error_at(model, task, bounds.weights, bounds.coefficients)
        rows.append((beta, bounds.lower, bounds.upper, random, worst))
    return pd.DataFrame(rows, columns=["beta", "lower", "upper", "random", "worst"])


def _learnt(task: LinearFunctional, m: int, name: str, seeds: int, seed: int) -> ExponentialSum:
    """Return the memory of the best of several trained models."""
    trained = []
    for start in range(seeds):
        model = RNN(
            m,
            diagonal=True,
            bias=False,
            parameterization=stepped(name),
            seed=1000 * seed + start,
            dtype=torch.float64,
        )
        trained.append((fit_expected(model, task).loss, start, model))
    model = min(trained)[-1]
    with torch.no_grad():
        rates = -torch.log1p(model.recurrence())
        amplitudes = model.output_weight[0] * model.input_weight[:, 0]
    rates = torch.where(rates.abs() < STANDING, STANDING, rates.clamp(max=GONE))
    return ExponentialSum(rates=rates.numpy(), coefficients=amplitudes.numpy())


def _error_at(model: RNN, task: LinearFunctional, weights: np.ndarray, coefficients: np.ndarray) -> float:
    """Return the error of the network with these free weights and amplitudes; NaN if there are none."""
    if np.isnan(weights).any():
        return math.nan
    values = {
        "recurrent_weight": weights,
        "input_weight": np.ones((weights.size, 1)),
        "output_weight": coefficients[None],
    }
    parameters = {key: torch.from_numpy(value) for key, value in values.items()}
    return TemporallyWeightedMSE().expected(**task.linear_error(model, parameters)).sqrt().item()


def _above_the_narrowest(curves: pd.DataFrame, high: str, low: str) -> float:
    """Return max over β and m of high(m) over low of the narrowest: how far the wider ones rise above it."""
    wide, narrow = (curves.pivot(index="beta", columns="m", values=side) for side in (high, low))
    return float((wide.iloc[:, 1:].max(axis=1) / narrow.iloc[:, 0]).max())


def crossings(curves: pd.DataFrame, column: str = "lower") -> dict[tuple[int, int], float]:
    """Return by pair of consecutive widths the β where the wider one becomes the worse one; NaN for none.

    Parameters
    ----------
    curves : pandas.DataFrame
        Of one parameterisation: ``m, beta`` and the errors.
    column : str
        Where the errors stand.
    """
    errors = curves.pivot(index="beta", columns="m", values=column)
    return {
        (a, b): crossing(errors.index.to_numpy(), errors[a].to_numpy(), errors[b].to_numpy())
        for a, b in pairwise(errors.columns)
    }


def _summary(table: pd.DataFrame) -> tuple[str, dict, dict]:
    headline, paper, words = {}, {}, []
    for name, curves in groups(table, "parameterization").items():
        stable = get(name).is_stable
        # the cautious way round
        bound, *sides = ("at most", "upper", "lower") if stable else ("at least", "lower", "upper")
        label = f"{name}: wider over narrowest model, β < {COMPARED:g}, {bound}"
        headline[label] = _above_the_narrowest(curves.loc[curves.beta <= COMPARED], *sides)
        words.append(f"{headline[label]:.2g} ({name})")
        if name in LOGS:
            logs = _logs(name)
            paper[label] = _above_the_narrowest(logs.loc[logs.beta <= COMPARED], "error", "error")
        if not stable:
            for (narrow, wide), beta in crossings(curves).items():
                if beta < COMPARED:
                    headline[f"{name}: E_{narrow} and E_{wide} cross at β"] = beta
    known = table.loc[np.isfinite(table.worst)]
    inside = int(within_bounds(known).sum())
    headline["errors within the bounds of their own kernel"] = f"{inside} of {len(known)}"
    message = (
        f"Bounds: below β = {COMPARED:g} a wider model rises above the narrowest by a factor of "
        f"{', '.join(words)}: certified from above for the stable maps, from below for the others. "
        f"Measurement: {inside} of {len(known)} errors at the worst weights lie within the bounds of their "
        "own kernel."
    )
    return message, headline, paper


def _logs(name: str) -> pd.DataFrame:
    """Return the authors' curves, as roots of mean squares."""
    if name == "softplus":
        logs = reference("inverse_approximation/softplus_logs")
    else:
        logs = rows(reference("stable_ssm/perturbation_logs"), model=LOGS[name])
    return logs.assign(error=np.sqrt(logs.error))


def plot(data: FigureData) -> Figure:
    """Draw a panel per parameterisation: bounds as line and band, trained networks as marks, logs in grey."""
    with plotting.style():
        entries = [
            plotting.entry("bounds of the own kernel", lw=1.8),
            plotting.entry("network at its worst weights", ls="", marker="o"),
            plotting.entry("network, random directions", ls="", marker="o", mfc="none"),
            plotting.entry("logs of the authors, $m=8$ to $64$", GREY, lw=1),
        ]
        return panels_by_map(data.table, _panel, entries, height=4.3)


def _panel(axis: Axes, name: str, curves: pd.DataFrame, looks: Mapping[int, plotting.Look]) -> None:
    if name in LOGS:
        logs = _logs(name)
        for curve in groups(logs.loc[logs.beta > 0], "m").values():
            axis.plot(curve.beta, curve.error, color=GREY, lw=1, zorder=1)
    at_rest = BETAS[1] / 3  # where a logarithmic axis shows β = 0
    for m, (color, mark) in looks.items():
        curve = curves.loc[(curves.m == m) & (curves.beta > 0)]
        axis.fill_between(curve.beta, curve.lower, curve.upper, color=color, alpha=0.45, lw=0)
        axis.plot(curve.beta, curve.lower, color=color)
        axis.plot(curve.beta, curve.worst, mark, color=color)
        axis.plot(curve.beta, curve.random, mark, color=color, mfc="none")
        axis.plot(at_rest, rows(curves, m=m, beta=0).worst, mark, color=color)
    axis.axvline(at_rest * 3**0.5, color=plotting.INK, lw=0.6, ls=":")
    axis.set(
        xscale="log",
        yscale="log",
        xlim=(at_rest / 1.5, 1.5),
        ylim=(1e-6, 100),
        xlabel=r"perturbation $\beta$ of the weights",
        title=label_of(name),
        xticks=[at_rest, 1e-4, 1e-3, 1e-2, 1e-1, 1],
        xticklabels=["0", "", "$10^{-3}$", "", "$10^{-1}$", ""],
    )
