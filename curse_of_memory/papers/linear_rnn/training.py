"""Curse of memory (2009.07799): loss against training step, with and without a plateau."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.lorenz96 import Lorenz96
from curse_of_memory.theory import targets
from curse_of_memory.theory.plateau.exact_loss import exact_loss
from curse_of_memory.theory.plateau.gradient_flow import gradient_flow
from curse_of_memory.theory.targets.far_bump import FarBump, far_bump
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training import run_all, sweep

__all__ = ["data", "linear_floor", "plot", "waiting_factor"]

EXPONENTIAL, AIRY, LORENZ = "exponential sum", "Airy", "Lorenz-96"
COEFFICIENTS, RATES = (0.5, 0.5), (0.4, 1.6)  # of the sum of exponentials
EARLIEST = 1.0  # time of the flow from which on a wait counts
STILL, LEFT = 0.01, 0.05  # a wait loses less than the first share of |ρ|², and has more than the second to go
GRID = 120
COLUMNS = ["panel", "kind", "seed", "step", "loss"]
VALIDATE_EVERY = 5


@figure_data(
    title="Training a linear RNN: no plateau, a plateau, and a nonlinear target",
    source="Curse of memory (2009.07799), training curves",
)
def data(
    *,
    stretch: float = 2.25,
    delay: float = 5.0,
    terms: int = 8,
    horizon: float = 20.0,
    descent_rate: float = 0.05,
    descent_steps: int = 20_000,
    seeds: int = 10,
    width: int = 16,
    lorenz_horizon: int = 64,
    lorenz_variance: float = 1.0,
    steps: int = 300,
    batch_size: int = 128,
    learning_rate: float = 0.01,
    samples: int = 256,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Follow training for a sum of exponentials, for Ai(s₀ (t − t₀)) and for a Lorenz-96 functional.

    The linear targets: gradient flow on the exact loss on [0, `horizon`], s₀ and t₀ being `stretch` and
    `delay`, from `seeds` starts; and gradient descent of the learning rate η = `descent_rate` on the same
    loss from the start that waits longest. Lorenz-96: `seeds` linear RNNs of the width `width`, from
    different initial weights, with AdamW on the same sampled batches.

    Columns: ``panel, kind, seed, step, loss``. A time τ of the flow is the step τ/η. Losses are relative:
    over |ρ|², or over the mean squared target; *floor* is what the best linear functional leaves.
    """
    checks.positive_int("seeds", seeds)
    airy = targets.from_formula(f"airyai({checks.positive('stretch', stretch)!r}*(t-{delay!r}))")
    starts = range(seed, seed + seeds)
    tables, waits = [], {}
    for panel, rho in ((EXPONENTIAL, exponentials()), (AIRY, airy)):
        flow = {"target": rho, "terms": terms, "horizon": horizon, "time_limit": descent_rate * descent_steps}
        flows = run_all(gradient_flow, [flow | {"seed": start} for start in starts])
        energy = exact_loss(rho, horizon=horizon).energy
        waits[panel] = [waiting_factor(flow.time.values, flow.loss.values / energy) for flow in flows]
        curves = [
            _flow_curve(flow, energy, descent_rate, descent_steps).assign(seed=start)
            for flow, start in zip(flows, starts, strict=True)
        ]
        slowest = int(np.argmax(waits[panel]))
        descended = _descent(rho, flows[slowest], horizon, descent_rate, descent_steps)
        descended["seed"] = starts[slowest]
        tables += [curve.assign(panel=panel) for curve in (*curves, descended)]
    task = Lorenz96(lorenz_horizon, observed=4, variance=lorenz_variance)
    settings = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validation_size": samples,
    }
    tables.append(_lorenz(task, width, starts, settings, device))
    return _findings(pd.concat(tables, ignore_index=True).reindex(columns=COLUMNS), waits)


def exponentials() -> FarBump:
    """Return ρ(t) = (e^{−0.4t} + e^{−1.6t})/2, a sum of exponentials without a bump.

    Examples
    --------
    >>> float(exponentials()(0.0))
    1.0
    """
    return far_bump(0.0, height=0.0, coefficients=COEFFICIENTS, rates=RATES)


def waiting_factor(time: np.ndarray, loss: np.ndarray) -> float:
    """Return the largest t₂/t₁ such that the loss falls by under 1 % of |ρ|² in between, and by 5 % later.

    Parameters
    ----------
    time, loss : numpy.ndarray, shape (n,)
        Of the flow, ascending, and the loss over |ρ|², which does not rise. Waits count from t₁ >= 1 on.

    Examples
    --------
    >>> waiting_factor(np.array([1.0, 2.0, 50.0, 60.0]), np.array([1.0, 0.5, 0.495, 0.1]))
    25.0
    """
    longest = 1.0
    for i in np.flatnonzero(time >= EARLIEST):
        waiting = np.flatnonzero((loss[i:] >= loss[i] - STILL) & (loss[i:] >= loss[-1] + LEFT))
        if waiting.size:
            longest = max(longest, float(time[i + waiting[-1]] / time[i]))
    return longest


def _grid(steps: int) -> np.ndarray:
    return np.unique(np.geomspace(1, steps, GRID).round().astype(int))


def _flow_curve(flow: xr.Dataset, energy: float, rate: float, steps: int) -> pd.DataFrame:
    """Return J(τ)/|ρ|² at τ = η k for steps k evenly on a logarithmic axis."""
    at = _grid(steps)
    loss = np.interp(np.log(rate * at), np.log(flow.time.values[1:]), flow.loss.values[1:])
    return pd.DataFrame({"kind": "flow", "step": at, "loss": loss / energy})


def _descent(rho: Target, flow: xr.Dataset, horizon: float, rate: float, steps: int) -> pd.DataFrame:
    """Descend the exact loss from the start of the flow: (a, w) ← (a, w) − η ∇J."""
    loss = exact_loss(rho, horizon=horizon)
    state = np.array([flow.coefficients[0].values, flow.rates[0].values])
    values, last = {}, 0
    for at in _grid(steps).tolist():
        for _ in range(at - last):
            state = state - rate * loss.gradient(*state)
        values[at], last = loss.value(*state) / loss.energy, at
    return pd.DataFrame({"kind": "descent", "step": list(values), "loss": list(values.values())})


def _lorenz(
    task: Lorenz96, width: int, seeds: Sequence[int], settings: Mapping[str, Any], device: str
) -> pd.DataFrame:
    models = [RNN(width, seed=start, dtype=torch.float64) for start in seeds]
    # one stream of batches for all of them: a batch is a simulation
    result = sweep(models, task, validate_every=VALIDATE_EVERY, seed=seeds[0], device=device, **settings)
    # the very sequences that the networks are validated on
    seed = sample_seed("validation", seeds[0])
    batch = task.sample(settings["validation_size"], seed=seed, dtype=torch.float64)
    x, y = (signal[..., 0].numpy() for signal in batch)
    scale = np.mean(y**2)
    curves = [
        pd.DataFrame({"kind": "training", "seed": start, "step": result.step, "loss": losses / scale})
        for start, losses in zip(seeds, result.validation_loss.values, strict=True)
    ]
    floor = linear_floor(x, y) / scale
    ends = pd.DataFrame({"kind": "floor", "seed": seeds[0], "step": result.step[[0, -1]], "loss": floor})
    return pd.concat([*curves, ends]).assign(panel=LORENZ)


def linear_floor(x: np.ndarray, y: np.ndarray) -> float:
    """Return the least mean squared error of y_k = μ_k + Σ_s ρ_s x_{k−s} on these sequences.

    No linear RNN is better on them: with a bias its answer is of this form.

    Parameters
    ----------
    x, y : numpy.ndarray, shape (batch, time)
        Inputs and targets.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((8, 3))
    >>> linear_floor(x, 1 - x) < 1e-25
    True
    """
    batch, horizon = x.shape
    columns = np.zeros((batch, horizon, 2 * horizon))
    for lag in range(horizon):
        columns[:, lag:, lag] = x[:, : horizon - lag]
    columns[:, :, horizon:] = np.eye(horizon)
    columns = columns.reshape(batch * horizon, 2 * horizon)
    weights = np.linalg.lstsq(columns, y.ravel(), rcond=None)[0]
    return float(np.mean((columns @ weights - y.ravel()) ** 2))


def _findings(table: pd.DataFrame, waits: dict[str, list[float]]) -> Findings:
    headline: dict[str, float] = {}
    by_run: dict[str, Sequence[float]] = {}
    for panel, factors in waits.items():
        label = f"{panel}: longest wait, mean factor"
        headline[label], by_run[label] = float(np.exp(np.mean(np.log(factors)))), factors
        headline[f"{panel}: longest wait, largest factor"] = max(factors)
        linear = rows(table, panel=panel)
        pair = rows(linear, seed=rows(linear, kind="descent").seed.iloc[0])
        both = pair.pivot(index="step", columns="kind", values="loss")
        late = both.loc[both.index.to_numpy() >= pair.step.max() / 10]
        headline[f"{panel}: gap of descent and flow, last decade"] = float(
            (late.descent - late.flow).abs().max()
        )
    lorenz = rows(table, panel=LORENZ)
    ends = rows(lorenz, kind="training", step=lorenz.step.max()).loss
    floor = float(rows(lorenz, kind="floor").loss.iloc[0])
    label = f"{LORENZ}: loss at the end, mean of the runs"
    headline[label], by_run[label] = float(ends.mean()), ends.tolist()
    headline[f"{LORENZ}: standard deviation"] = float(ends.std(ddof=0))
    headline[f"{LORENZ}: best linear functional"] = floor
    means = [headline[f"{panel}: longest wait, mean factor"] for panel in waits]
    message = (
        f"Gradient flow waits while the steps grow by a factor of {means[1]:.2g} for the shifted Airy target "
        f"(geometric mean of {len(waits[AIRY])} starts), and of {means[0]:.2g} for the exponentials. On "
        f"Lorenz-96 linear RNNs end at {ends.mean():.2g} ± {ends.std(ddof=0):.1g} of the mean squared "
        f"target, the best linear functional leaves {floor:.2g}."
    )
    return Findings(table, message, headline, spread=spreads(by_run))


def plot(data: FigureData) -> Figure:
    """Draw relative losses: runs thin, mean and standard deviation over them, descent as marks, the floor."""
    titles = {
        EXPONENTIAL: rf"(a) $\rho(t)={exponentials().label().strip('$')}$",
        # by its own parameters, which its formula has multiplied out
        AIRY: rf"(b) $\rho(t)=\mathrm{{Ai}}({data.parameters['stretch']:g}\,"
        rf"(t-{data.parameters['delay']:g}))$",
        LORENZ: "(c) Lorenz-96, nonlinear",
    }
    with plotting.style():
        figure, axes = plotting.canvas(3, height=4.3)
        for axis, (panel, title) in zip(axes, titles.items(), strict=True):
            _draw_losses(axis, rows(data.table, panel=panel))
            axis.set_title(title)
        axes[0].set(ylim=(-0.03, 1.2), ylabel=r"loss $J\,/\,|\rho|^2$")
        axes[1].set_ylim(top=1.1)
        axes[1].set(ylabel=r"loss $J\,/\,|\rho|^2$")
        axes[2].set(
            xscale="linear", yscale="log", ylim=(0.03, 3), ylabel="mean squared error / mean squared target"
        )
        for axis, kind in zip(axes, ("gradient flow", "gradient flow", "AdamW"), strict=True):
            axis.set_xlabel("training step")
            handles, labels = axis.get_legend_handles_labels()
            axis.legend(handles, [label.replace("runs", kind) for label in labels], fontsize=9)
    return figure


def _draw_losses(axis: Axes, curves: pd.DataFrame) -> None:
    dark, middle, _ = plotting.order(3)
    runs = curves.loc[curves.kind.isin(["flow", "training"])]
    for run in groups(runs, "seed").values():
        plotting.theory(axis, run.step, run.loss, middle, lw=0.7, alpha=0.6)
    over = runs.groupby("step").loss
    mean, spread = over.mean(), over.std(ddof=0)
    plotting.band(axis, mean.index, mean - spread, mean + spread, dark, alpha=0.18)
    plotting.theory(axis, mean.index, mean, dark, lw=2.2, label="runs, mean and s.d.")
    axis.add_line(plotting.entry("runs, each start", middle, lw=0.7))
    descended, floor = (rows(curves, kind=kind) for kind in ("descent", "floor"))
    if len(descended):
        few, label = descended[::6], "gradient descent, slowest start"
        axis.plot(few.step, few.loss, "o", color=plotting.INK, mfc="none", label=label)
    if len(floor):
        plotting.theory(axis, floor.step, floor.loss, ls="--", label="best linear functional")
    axis.set_xscale("log")
