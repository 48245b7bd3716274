"""INTEREST (Wang & Yan, 2307.11462), sections 3.3 and 4.4: what the weight tᵖ does to a gradient."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import bias, targets
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import resolve_device
from curse_of_memory.training import fit
from curse_of_memory.training.exact.expected_loss import ExpectedLoss

__all__ = [
    "data",
    "eigenvalue_gradient",
    "missed_memory_gradients",
    "plot",
    "relief",
]

SMOOTHED = 20  # training steps that a mark stands for


def eigenvalue_gradient(multiplier: float, coefficient: float, rho: np.ndarray, power: float) -> float:
    """Return ∂E/∂λ of a linear RNN of one mode, ρ̂_s = c λˢ, under the weight tᵖ of mean one.

    The expected loss for white inputs of variance one is E = (1/T) Σ_s b_s (c λˢ − ρ_s)², so that

        ∂E/∂λ = (2/T) Σ_s b_s (c λˢ − ρ_s) c s λ^{s−1} .

    Parameters
    ----------
    multiplier : float
        λ, the eigenvalue of a step.
    coefficient : float
        c.
    rho : numpy.ndarray, shape (T,)
        The target memory, per step.
    power : float
        p.

    Examples
    --------
    >>> round(eigenvalue_gradient(0.5, 1.0, np.array([1.0, 0.0]), power=0), 6)  # b = 2, 1
    0.5
    """
    horizon = len(rho)
    b = bias.power(power).discrete(horizon, normalize="head")  # b_0 = 1: b_s/T, the mean weight being one
    s = np.arange(horizon)
    slope = coefficient * s * multiplier ** np.maximum(s - 1, 0)
    return float(2 * b @ ((coefficient * multiplier**s - rho) * slope))


def missed_memory_gradients(horizon: int, multiplier: float, power: float) -> np.ndarray:
    """Return |∂E/∂λ| if a memory of one at lag d is missed, all else being right, for d = 0 … T − 1.

    It is 2 b_d d λ^{d−1} / T for a mode λˢ: :func:`eigenvalue_gradient` at every lag at once.

    Examples
    --------
    >>> missed_memory_gradients(3, 0.5, power=0).round(3).tolist()  # b/T = 1, 2/3, 1/3
    [0.0, 1.333, 0.667]
    """
    lags = np.arange(horizon)
    weights = bias.power(power).discrete(horizon, normalize="head")
    return 2 * weights * lags * multiplier ** np.maximum(lags - 1, 0)


def relief(horizon: int, power: float) -> np.ndarray:
    """Return b_s(p)/b_s(0), s = 0 … T − 1: the factor by which the weight tᵖ changes a lag's gradient.

    The weights have mean one. The factor is (1 − (s/T)^{p+1}) / (1 − s/T) up to O(1/T): one at lag zero,
    rising to p + 1 at the last.

    Examples
    --------
    >>> relief(4, 1).round(3).tolist()
    [1.0, 1.2, 1.4, 1.6]
    """
    weighted, unweighted = (bias.power(p).discrete(horizon, normalize="head") for p in (power, 0))
    return weighted / unweighted


def _sampled_gradients(
    model: RNN, task: LinearFunctional, power: float, *, samples: int, seed: int, device: str
) -> np.ndarray:
    """Return ∂/∂w of the weighted loss of each of some sequences, for a model of one recurrent weight w.

    Equal seeds give equal sequences for every power.
    """
    place = resolve_device(device)
    model, loss = model.to(place), TemporallyWeightedMSE(power, reduction="none")
    x, y = task.sample(samples, seed=seed, device=place, dtype=torch.float64)
    weights = {name: w.detach() for name, w in model.named_parameters()}
    # one copy of the weight per sequence: the gradient of the sum is that of each
    copies = weights["recurrent_weight"].repeat(samples, 1).requires_grad_()
    stacked = {name: w.expand(samples, *w.shape) for name, w in weights.items()}
    answers = model.run_many(stacked | {"recurrent_weight": copies}, x[:, None])[:, 0]
    (slope,) = torch.autograd.grad(loss(answers, y).mean((1, 2)).sum(), copies)
    return slope[:, 0].cpu().numpy()


@figure_data(
    title="How far a weighted loss relieves a vanishing gradient",
    source="INTEREST (2307.11462), sections 3.3 and 4.4",
)
def data(
    *,
    horizon: int = 100,
    powers: Sequence[float] = (0, 1, 2, 10),
    multipliers: Sequence[float] = (0.8, 0.98),
    lags: Sequence[int] = (1, 15, 30, 45, 60, 75, 90, 99),
    samples: int = 1024,
    width: int = 4,
    steps: int = 200,
    batch_size: int = 64,
    learning_rate: float = 0.01,
    seeds: int = 3,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Differentiate the weighted loss by a recurrent eigenvalue, and follow gradients through training.

    Panel *vanishing*: ∂E/∂λ of one mode, λ of `multipliers` and c = 1, that misses a memory of one at the
    lag d and is right at all others, exact and as the mean over `samples` sequences. Panel *relief*: the same
    over that for p = 0. Panel *training*: the norm of the gradient by all weights of a linear RNN that learns
    (1 + t/10)^{−1.1}, exact on its way down the expected loss, and of sampled batches; both by AdamW from
    the same `seeds` initial weights. Columns: ``panel, kind, multiplier, p, seed, x, value, standard_error``,
    x being the lag or the step.
    """
    for name, count in {"samples": samples, "seeds": seeds}.items():
        checks.positive_int(name, count)
    if not multipliers or not all(0 < multiplier < 1 for multiplier in multipliers):
        raise ValueError(f"multipliers must be between 0 and 1, got {list(multipliers)!r}")
    if not lags or not all(0 < lag < horizon for lag in lags):
        raise ValueError(f"lags must be between 1 and horizon − 1 = {horizon - 1}, got {list(lags)!r}")
    draw = {"samples": samples, "seed": seed, "device": device}
    vanishing = [_vanishing(horizon, powers, multiplier, lags, draw) for multiplier in multipliers]
    training = run_grid(
        _training_norms,
        product_of(p=powers, seed=range(seed, seed + seeds), kind=["exact", "sampled"]),
        {
            "task": LinearFunctional(targets.named("iat-code-polynomial"), horizon),
            "width": width,
            "steps": steps,
            "learning_rate": learning_rate,
            "batch_size": batch_size,
            "device": device,
        },
    )
    training = training.astype({"p": float}).assign(panel="training")
    table = pd.concat([*vanishing, training], ignore_index=True)
    return _findings(table, horizon)


def _vanishing(
    horizon: int, powers: Sequence[float], multiplier: float, lags: Sequence[int], draw: Mapping[str, Any]
) -> pd.DataFrame:
    """Return exact and sampled gradients of a miss at one lag, and their ratios to those of p = 0."""
    model = RNN.from_exponential_sum(rates=[-math.log(multiplier)], coefficients=[1.0])
    memory = model.kernel(horizon).detach().flatten().numpy()
    points = []
    for lag in lags:
        rho = memory + (np.arange(horizon) == lag)
        task = LinearFunctional(rho, horizon)
        unweighted = _sampled_gradients(model, task, 0.0, **draw)
        for p in powers:
            exact = eigenvalue_gradient(multiplier, 1.0, rho, p)
            some = unweighted if p == 0 else _sampled_gradients(model, task, p, **draw)
            # both from the same sequences: the error of a ratio of means, by the delta method
            ratio = some.mean() / unweighted.mean()
            spread = np.std(some - ratio * unweighted, ddof=1) / abs(unweighted.mean())
            points += [
                (p, lag, "vanishing", "exact", exact, math.nan),
                (p, lag, "vanishing", "sampled", some.mean(), some.std(ddof=1) / math.sqrt(len(some))),
                (p, lag, "relief", "exact", relief(horizon, p)[lag], math.nan),
                (p, lag, "relief", "sampled", ratio, spread / math.sqrt(len(some))),
            ]
    columns = ["p", "x", "panel", "kind", "value", "standard_error"]
    return pd.DataFrame(points, columns=columns).assign(multiplier=multiplier)


def _training_norms(
    p: float,
    seed: int,
    kind: str,
    task: LinearFunctional,
    width: int,
    steps: int,
    learning_rate: float,
    batch_size: int,
    device: str,
) -> pd.DataFrame:
    """Return the norm of the gradient through one training, in means of squares over a few steps."""
    if kind == "exact":
        norms = _exact_norms(task, p, width, seed, steps, learning_rate)
    else:
        norms = _sampled_norms(task, p, width, seed, steps, learning_rate, batch_size, device)
    blocks = norms.reshape(-1, SMOOTHED) if steps % SMOOTHED == 0 else norms[:, None]
    at = blocks.shape[1] * (np.arange(len(blocks)) + 0.5)
    return pd.DataFrame({"x": at, "value": np.sqrt((blocks**2).mean(1))})


def _exact_norms(
    task: LinearFunctional, power: float, width: int, seed: int, steps: int, learning_rate: float
) -> np.ndarray:
    """Return the norm of the gradient of the expected loss at each step of its descent."""
    exact = ExpectedLoss(RNN(width, diagonal=True, seed=seed).double(), task, TemporallyWeightedMSE(power))
    weights = nn.Parameter(torch.from_numpy(exact.start))
    optimizer = torch.optim.AdamW([weights], lr=learning_rate, weight_decay=0.0)
    norms = []
    for _ in range(steps):
        _, gradient = exact.value_and_gradient(weights.detach().numpy())
        norms.append(np.linalg.norm(gradient))
        weights.grad = torch.from_numpy(gradient)
        optimizer.step()
    return np.array(norms)


def _sampled_norms(
    task: LinearFunctional,
    power: float,
    width: int,
    seed: int,
    steps: int,
    learning_rate: float,
    batch_size: int,
    device: str,
) -> np.ndarray:
    """Return the norm of the gradient of each batch that :func:`fit` descends."""
    model = RNN(width, diagonal=True, seed=seed).double()
    squares: list[float] = []

    def note(parameter: Tensor) -> None:
        assert parameter.grad is not None  # the hook runs once it has been accumulated
        squares.append(float(parameter.grad.square().sum()))

    parameters = list(model.parameters())
    hooks = [parameter.register_post_accumulate_grad_hook(note) for parameter in parameters]
    fit(
        model,
        task,
        loss=TemporallyWeightedMSE(power),
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clip=math.inf,
        validate_every=steps,
        validation_size=batch_size,
        seed=seed,
        device=device,
    )
    for hook in hooks:
        hook.remove()
    return np.sqrt(np.reshape(squares, (steps, len(parameters))).sum(1))


def _findings(table: pd.DataFrame, horizon: int) -> Findings:
    high, smallest = float(table.p.max()), float(table.multiplier.min())
    exact = rows(table, kind="exact", multiplier=smallest, p=high, panel="relief")
    ratios = exact.set_index("x").value.abs()
    last = int(ratios.index.max())
    # over all lags, the drawn ones being a few of them
    gradients = missed_memory_gradients(horizon, smallest, high)
    first = int(gradients.argmax())
    fall = float(gradients[first] / gradients[last])
    headline = {f"relief at lag {lag:g}, p = {high:g}": float(value) for lag, value in ratios.items()}
    headline[f"gradient at lag {first:g} over that at lag {last:g}, λ = {smallest:g}, p = {high:g}"] = fall
    training = rows(table, panel="training")
    by_run: dict[str, pd.Series] = {}
    for (kind, p), early in training.loc[training.x < training.x.median()].groupby(["kind", "p"]):
        label = f"median norm in the first half of training, {kind}, p = {p:g}"
        headline[label] = float(early.value.median())
        by_run[label] = early.groupby("seed").value.median()
    message = (
        f"At lag {last:g} of {horizon} the weight p = {high:g} makes the gradient {ratios[last]:.3g} times "
        "larger; no weight tᵖ gives more than p + 1. From its largest value, at lag "
        f"{first}, to there the gradient of a mode with λ = {smallest:g} falls by a factor of {fall:.2g}, "
        "and is lost in the noise of sampling: the relief is real, but small against an exponential."
    )
    return Findings(table, message, headline, spread=spreads(by_run))


def plot(data: FigureData) -> Figure:
    """Draw the gradient against the lag, its ratio to p = 0, and its norm through training."""
    table = data.table
    looks = plotting.looks(table.p.unique())
    with plotting.style():
        figure, (vanishing, ratio, training) = plotting.canvas(3, height=4.2)
        _draw_vanishing(vanishing, rows(table, panel="vanishing"), looks)
        # the ratio is the same for all eigenvalues; it can be measured where the gradient is largest
        _draw_relief(ratio, rows(table, panel="relief", multiplier=table.multiplier.max()), looks)
        _draw_training(training, rows(table, panel="training"), looks)
        lag = "lag $d$ of the missed memory (steps)"
        vanishing.set(yscale="log", xlabel=lag, ylabel=r"$|\partial E/\partial\lambda|$", title="Vanishing")
        label = r"$\partial E/\partial\lambda$ over that for $p=0$"
        ratio.set(yscale="log", ylim=(0.5, 30), xlabel=lag, ylabel=label, title="Relief; dotted: $p+1$")
        label = r"norm of the gradient $\|\nabla E\|$"
        training.set(yscale="log", xlabel="training step", ylabel=label, title="Through training")
        entries = [
            plotting.entry(plotting.power_label(p), look.color, marker=look.mark) for p, look in looks.items()
        ]
        entries += [
            plotting.entry("exact"),
            plotting.entry("sampled", marker="o", ls=""),
            plotting.entry("sampled, below 2 standard errors", marker="o", ls="", mfc="none"),
        ]
        figure.legend(handles=entries, loc="outside lower center", ncols=len(entries))
    return figure


def _draw_vanishing(axis: Axes, table: pd.DataFrame, looks: Mapping[float, plotting.Look]) -> None:
    first, *_ = looks
    for (multiplier, p), curves in groups(table, ["multiplier", "p"]).items():
        exact, sampled = (rows(curves, kind=kind) for kind in ("exact", "sampled"))
        x, size = sampled.x, sampled.value.abs()
        plotting.theory(axis, exact.x, exact.value.abs(), looks[p].color, lw=1.2)
        told = size > 2 * sampled.standard_error
        plotting.measured(axis, x[told], size[told], looks[p], ms=4)
        plotting.measured(axis, x[~told], size[~told], looks[p], ms=4, hollow=True)
        if p == first:
            middle = exact.iloc[len(exact) // 2]
            axis.annotate(
                rf"$\lambda={multiplier:g}$",
                (middle.x, abs(middle.value)),
                xytext=(-10, -16),
                textcoords="offset points",
                ha="right",
            )


def _draw_relief(axis: Axes, table: pd.DataFrame, looks: Mapping[float, plotting.Look]) -> None:
    for p, look in looks.items():
        exact, sampled = (rows(table, p=p, kind=kind) for kind in ("exact", "sampled"))
        plotting.theory(axis, exact.x, exact.value, look.color, lw=1.2)
        error = 2 * sampled.standard_error
        plotting.error_bars(axis, sampled.x, sampled.value, error, look, ms=4, lw=1)
        axis.axhline(p + 1, color=look.color, ls=":", lw=1)


def _draw_training(axis: Axes, table: pd.DataFrame, looks: Mapping[float, plotting.Look]) -> None:
    """Draw the root mean square over the runs of the norms of the gradient."""
    for (p, kind), runs in groups(table, ["p", "kind"]).items():
        norm = np.sqrt((runs.value**2).groupby(runs.x).mean())
        if kind == "exact":
            plotting.theory(axis, norm.index, norm, looks[p].color, lw=1.2)
        else:
            plotting.measured(axis, norm.index, norm, looks[p], ms=3.5)
