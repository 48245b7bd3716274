"""Inverse approximation theory (2305.19190), figure 4: stable reparameterisations keep one envelope."""

import math
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.experiments.error_bounds import panels_by_map, within_bounds
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
from curse_of_memory.theory.reparameterization import get
from curse_of_memory.theory.stability import limit_curve, worst_case_error
from curse_of_memory.training import fit_expected

__all__ = ["data", "plot"]

GREY = "0.75"
BETAS = np.concatenate([[0.0], 5e-4 * 2.0 ** np.arange(10)])  # the authors' grid, up to β = 0.256
TRAINED_BETAS: list[float] = BETAS[[0, 2, 5, 8]].tolist()
COLUMNS = ["kind", "parameterization", "m", "beta", "lower", "upper", "random", "worst"]
FORMULAS = {
    "direct": "$W=w$",
    "relu": r"$W=-\max(w,0)$",
    "exp": "$W=-e^w$",
    "softplus": r"$W=-\log(1+e^w)$",
}


@figure_data(
    title="Stable reparameterisation: polynomial memory keeps one envelope",
    source="Inverse approximation theory (2305.19190), figure 4",
)
def data(
    *,
    widths: Sequence[int] = (1, 2, 3, 4, 5),
    parameterizations: Sequence[str] = ("direct", "relu", "exp", "softplus"),
    horizon: int = 1000,
    draws: int = 30,
    budget: int = 10,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Bracket E_m(β) for the best exponential sums for (1 + t)^{−1.1}, and for trained linear RNNs.

    The error is the root of the exact expected squared error for white inputs of variance one. Rows of the
    kind *best fit* hold the certified bounds ``lower`` and ``upper`` of E_m(β) of the optimal sum, over
    models that stay diagonal; those of the kind *trained* hold the bounds of the trained model's own kernel,
    the largest error ``random`` of `draws` random directions and the error ``worst`` of the worst weights
    that the theory names, both measured on the network. Input and output weights of a mode are of equal size.
    Columns: ``kind, parameterization, m, beta, lower, upper, random, worst``. `budget` is how many boxes an
    upper bound may look at.
    """
    if len(set(widths)) < 2:
        raise ValueError(f"widths must be at least two different numbers, got {list(widths)!r}")
    task = LinearFunctional(targets.named("iat-paper-polynomial"), horizon)
    common = {"task": task, "draws": draws, "budget": budget, "seed": seed}
    best = run_grid(_best_fits, product_of(parameterization=parameterizations), common | {"widths": widths})
    trained = run_grid(
        _trained, product_of(parameterization=parameterizations, m=widths), common | {"device": device}
    )
    crossings = {
        (name, (narrow, wide)): beta
        for name, curves in groups(best, "parameterization").items()
        for narrow, wide in pairwise(sorted(widths))
        if math.isfinite(beta := float(rows(curves, m=narrow).crossing.iloc[0]))
    }
    table = pd.concat(
        [best.drop(columns="crossing").assign(kind="best fit"), trained.assign(kind="trained")],
        ignore_index=True,
    )
    # all of a map and a width in one place
    table = pd.concat(
        [rows(table, parameterization=name, m=m) for name in parameterizations for m in widths],
        ignore_index=True,
    )
    return Findings(table.loc[:, COLUMNS], *_summary(table, crossings))


def _best_fits(
    parameterization: str, task: LinearFunctional, widths: Sequence[int], draws: int, budget: int, seed: int
) -> pd.DataFrame:
    """Return ``m, beta, lower, upper`` of the best sums, and ``crossing``, that with the next wider one."""
    bounds = limit_curve(
        {m: fit_exponential_sum(task.rho, terms=m, weight=bias.power(0)) for m in widths},
        task.rho,
        BETAS,
        parameterization,
        "expected",
        horizon=task.horizon,
        step="euler",
        budget=budget,
        seed=seed,
        draws=draws,
    )
    crossings = dict(zip(sorted(widths), bounds.crossing.values, strict=False))
    curves = []
    for m in widths:
        curve = {"m": m, "beta": BETAS, "crossing": crossings.get(m, math.nan)}
        sides = {side: bounds[side].sel(m=m).values for side in ("lower", "upper")}
        curves.append(pd.DataFrame(curve | sides))
    return pd.concat(curves, ignore_index=True)


def _trained(
    parameterization: str,
    m: int,
    task: LinearFunctional,
    draws: int,
    budget: int,
    seed: int,
    device: str,
) -> pd.DataFrame:
    """Train one linear RNN on the exact loss; return its errors, and the bounds of its own kernel."""
    learned = RNN(
        m, diagonal=True, bias=False, parameterization=parameterization, seed=seed, dtype=torch.float64
    )
    fit_expected(learned, task)
    own = _kernel(learned)
    model = RNN.from_exponential_sum(
        rates=own.rates, coefficients=own.coefficients, parameterization=parameterization
    )
    seen = perturbation_curve(model, task, TRAINED_BETAS, draws=draws, seed=seed, device=device)
    errors = []
    for beta, random in zip(TRAINED_BETAS, np.sqrt(seen.error.values), strict=True):
        bounds = worst_case_error(
            own,
            task.rho,
            beta,
            parameterization,
            "expected",
            horizon=task.horizon,
            step="euler",
            budget=budget,
            seed=seed,
            draws=draws,
        )
        worst = _error_at(bounds.weights, bounds.coefficients, parameterization, task, device)
        errors.append((beta, bounds.lower, bounds.upper, random, worst))
    return pd.DataFrame(errors, columns=["beta", "lower", "upper", "random", "worst"])


def _kernel(model: RNN) -> ExponentialSum:
    """Return the memory of a diagonal linear RNN as Σ cᵢ uᵢ e^{−λᵢ s}, with 1 + W = e^{−λ}."""
    with torch.no_grad():
        rates = -torch.log1p(model.recurrence())
        amplitudes = model.output_weight[0] * model.input_weight[:, 0]
    return ExponentialSum(rates=rates.numpy(), coefficients=amplitudes.numpy(), error=0.0, dt=1.0)


def _error_at(
    weights: np.ndarray, coefficients: np.ndarray, name: str, task: LinearFunctional, device: str
) -> float:
    """Return the error of the RNN with these free weights and amplitudes; NaN if there are none."""
    if np.isnan(weights).any():
        return math.nan
    model = RNN(weights.size, diagonal=True, bias=False, parameterization=name, seed=0, dtype=torch.float64)
    values = {
        "recurrent_weight": weights,
        "input_weight": np.ones((weights.size, 1)),
        "output_weight": coefficients[None],
    }
    model.load_state_dict({key: torch.from_numpy(value) for key, value in values.items()})
    return math.sqrt(perturbation_curve(model, task, [0.0], draws=1, device=device).error.item())


def _widening(curves: pd.DataFrame, low: str, high: str) -> float:
    """Return max over β and m < m' of high(m')/low(m): how many times worse a wider model can be."""
    by_width = {m: curve.set_index("beta") for m, curve in groups(curves, "m").items()}
    ratios = [
        float((by_width[wide].loc[:, high] / by_width[narrow].loc[:, low]).max())
        for narrow, wide in combinations(sorted(by_width), 2)
    ]
    return max(ratios)


def _summary(table: pd.DataFrame, crossings: dict) -> tuple[str, dict, dict]:
    headline, paper, words = {}, {}, []
    for name, curves in groups(rows(table, kind="best fit"), "parameterization").items():
        stable = get(name).is_stable
        # the cautious way round
        factor = _widening(curves, "lower", "upper") if stable else _widening(curves, "upper", "lower")
        bound = "at most" if stable else "at least"
        # errors that no float holds are infinite here
        words.append(f"{factor:.2g} ({name})" if math.isfinite(factor) else f"over 1e308 ({name})")
        label = f"{name}: error of wider over narrower, {bound}"
        headline[label] = factor
        logs = _logs(name)
        # curves that overflow on the authors' grid say nothing about the largest ratio
        if logs is not None and logs.loc[logs.beta <= BETAS[-1]].error.notna().all():
            paper[label] = _widening(logs.loc[logs.beta <= BETAS[-1]], "error", "error")
    for (name, (narrow, wide)), beta in crossings.items():
        headline[f"{name}: E_{narrow} and E_{wide} cross at β"] = beta
    trained = rows(table, kind="trained")
    known = trained.loc[np.isfinite(trained.worst)]
    inside = int(within_bounds(known).sum())
    headline["trained: worst errors within their bounds"] = inside
    message = (
        f"Bounds: up to β = {BETAS[-1]:g} a wider best fit is worse than a narrower one by a factor of "
        f"{', '.join(words)}: certified from above for the stable ones, from below for the others. "
        f"Measurement: {inside} of {len(known)} errors of trained networks at their worst weights lie within "
        "the bounds of their own kernel."
    )
    return message, headline, paper


def _logs(name: str) -> pd.DataFrame | None:
    """Return the authors' curves of linear RNNs of that parameterisation, as roots of mean squares."""
    if name == "exp":
        logs = reference("inverse_approximation/lru_logs")
    elif name == "softplus":
        logs = reference("inverse_approximation/activations")
        logs = rows(logs, activation="linear", parameterization=name)
    elif name == "direct":
        return rows(reference("inverse_approximation/figure1"), target="polynomial")
    else:
        return None
    return logs.assign(error=np.sqrt(logs.error))


def plot(data: FigureData) -> Figure:
    """Draw a panel per parameterisation: bounds as line and band, trained networks as marks, logs in grey."""
    with plotting.style():
        entries = [
            plotting.entry("best fit, worst found", lw=1.8),
            plotting.entry("up to the certified bound", lw=6, alpha=0.45),
            plotting.entry("trained, at its worst weights", ls="", marker="o"),
            plotting.entry("trained, random directions", ls="", marker="o", mfc="none"),
            plotting.entry("authors: figure 1, LRU and softplus logs", GREY, lw=1),
        ]
        return panels_by_map(data.table, _panel, entries, height=4.5)


def _panel(axis: Axes, name: str, curves: pd.DataFrame, looks: Mapping[int, plotting.Look]) -> None:
    # before anything is drawn: errors near the largest float leave no margin for limits that follow them
    axis.set(xscale="log", yscale="log", xlim=(4e-4, 0.35), ylim=(1e-3, 30))
    logs = _logs(name)
    if logs is not None:
        for curve in groups(logs.loc[logs.beta > 0], "m").values():
            axis.plot(curve.beta, curve.error, color=GREY, lw=1, zorder=1)
    curves = curves.loc[curves.beta > 0]
    for m, (color, mark) in looks.items():
        best, trained = (rows(curves, m=m, kind=kind) for kind in ("best fit", "trained"))
        plotting.band(axis, best.beta, best.lower, best.upper, color, alpha=0.45)
        axis.plot(best.beta, best.lower, color=color)
        axis.plot(trained.beta, trained.worst, mark, color=color)
        axis.plot(trained.beta, trained.random, mark, color=color, mfc="none")
    axis.set(
        xlabel=r"perturbation $\beta$ of the weights",
        title=f"{name}, {FORMULAS[name]}" if name in FORMULAS else name,
    )
