"""Recurrent networks trained in one sweep and perturbed: their errors E_m(β), compared and drawn.

They are trained in single precision, as the authors' are, in half the time; errors are taken in double.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from torch import Tensor

from curse_of_memory.experiments.grid import product_of
from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.protocols import Task
from curse_of_memory.report import plotting
from curse_of_memory.report.long_table import groups
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import sweep

__all__ = [
    "BETAS",
    "COMPARED_BETAS",
    "PARAMETERIZATIONS",
    "direct_over_softplus",
    "draw_errors",
    "perturbed_networks",
    "trained_and_perturbed",
]

PARAMETERIZATIONS = ("direct", "softplus")
BETAS = np.concatenate([[0.0], 1e-3 * 2.0 ** np.arange(11)])  # every other β of the authors
COMPARED_BETAS = (0.032, 0.128)  # where the authors' curves are readable
VALIDATED = 1280  # sequences at most, by which weights are selected


def perturbed_networks(
    activations: Sequence[str],
    widths: Sequence[int],
    seeds: Sequence[int],
    *,
    horizon: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    samples: int,
    device: str,
) -> pd.DataFrame:
    """Train dense RNNs on ρ(t) = (1 + 0.1 t)^{−1.1}, W direct or −softplus, and perturb them.

    Trained and perturbed on sampled white sequences; the error is the mean squared error, the largest of the
    draws within β in the spectral ball.

    Parameters
    ----------
    activations, widths, seeds : sequence
        Every combination is trained, with both parameterisations; a seed names the initial weights, the
        batches and the directions.
    horizon, steps, batch_size, learning_rate : int or float
        Of the task and the training.
    draws, samples : int
        Random directions, and the sequences for the error. Weights are selected by min(samples, 1280) others.
    device : str
        Where all of it is computed.

    Returns
    -------
    pandas.DataFrame
        Columns ``activation, parameterization, m, seed, beta, error``.
    """
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    settings = product_of(activation=activations, parameterization=PARAMETERIZATIONS, m=widths, seed=seeds)
    models = [
        RNN(
            setting["m"],
            activation=setting["activation"],
            parameterization=setting["parameterization"],
            seed=setting["seed"],
        )
        for setting in settings
    ]
    return trained_and_perturbed(
        models,
        settings,
        task,
        seed=[setting["seed"] for setting in settings],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        draws=draws,
        samples=samples,
        device=device,
    )


def trained_and_perturbed(
    models: Sequence[RNN],
    settings: Sequence[Mapping[str, Any]],
    task: Task,
    *,
    seed: int | Sequence[int],
    steps: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    samples: int,
    device: str,
) -> pd.DataFrame:
    """Train the models in one sweep, and perturb each of them in double precision: a table of E_m(β).

    Parameters
    ----------
    models : sequence of RNN
        Trained in place, in their precision; in the end they are in double precision.
    settings : sequence of mapping
        Columns of the table for each model; ``seed`` is one, and names its directions.
    task : Task
        What they learn.
    seed : int, or one per model
        Names the batches.
    steps, batch_size, learning_rate : int or float
        Of the sweep.
    draws, samples : int
        Random directions, and the sequences for the error. Weights are selected by min(samples, 1280) others.
    device : str
        Where all of it is computed.

    Returns
    -------
    pandas.DataFrame
        The columns of `settings`, ``beta`` and ``error``.
    """
    sweep(
        models,
        task,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=25,
        decay_patience=3,
        validation_size=min(VALIDATED, samples),
        seed=seed,
        device=device,
    )
    curves = []
    tried = _SampledOnce(task)
    for setting, model in zip(settings, models, strict=True):
        curve = perturbation_curve(
            model.double(), tried, BETAS, draws=draws, samples=samples, seed=setting["seed"], device=device
        )
        curves.append(pd.DataFrame({**setting, "beta": BETAS, "error": curve.error}))
    return pd.concat(curves, ignore_index=True)


class _SampledOnce:
    """A task that draws once what it is asked for many times: models of one seed are tried alike."""

    def __init__(self, task: Task):
        self._task = task
        self.sample: Callable[..., tuple[Tensor, Tensor]] = cache(task.sample)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._task, name)


def draw_errors(axis: Axes, curves: pd.DataFrame, look: plotting.Look, label: str) -> None:
    """Draw the median over the seeds of E_m(β) against β > 0, and the range of the seeds shaded.

    Parameters
    ----------
    axis : matplotlib.axes.Axes
        Where.
    curves : pandas.DataFrame
        Of one width: columns ``seed, beta, error``.
    look : Look
        Of the curve.
    label : str
        Of the curve in the legend.
    """
    errors = curves.loc[curves.beta > 0].pivot(index="seed", columns="beta", values="error")
    plotting.over_seeds(axis, errors.columns, errors, look, lw=1.4, label=label)


def direct_over_softplus(
    table: pd.DataFrame,
) -> tuple[dict[str, float], dict[str, float], dict[str, pd.Series]]:
    """Return E(direct) / E(softplus) at two β, geometric means over the networks, by label.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`perturbed_networks` makes it.

    Returns
    -------
    ours, theirs : dict of str to float
        Over all widths and seeds, and over the authors' networks.
    by_seed : dict of str to pandas.Series
        Ours over the widths, one for each seed.
    """
    logs = _log_ratios(table, ["m", "seed"])
    ours, theirs = (
        {label: mean for label, log in some.items() if math.isfinite(mean := _geometric_mean(log))}
        for some in (logs, _log_ratios(reference("inverse_approximation/activations"), ["m"]))
    )
    by_seed = {
        label: pd.Series(np.exp(pd.Series(logs[label].groupby(level="seed").mean()))) for label in ours
    }
    return ours, {label: value for label, value in theirs.items() if label in ours}, by_seed


def _log_ratios(curves: pd.DataFrame, network: list[str]) -> dict[str, pd.Series]:
    """Return log E(direct)/E(softplus) of all pairs of networks, by label; `network` tells pairs apart."""
    logs = {}
    for at in COMPARED_BETAS:
        for activation, group in groups(curves.loc[np.isclose(curves.beta, at)], "activation").items():
            errors = group.pivot(index=network, columns="parameterization", values="error")
            label = f"{activation}, E(direct) / E(softplus) at β = {at:g}"
            logs[label] = np.log(errors.direct / errors.softplus)
    return logs


def _geometric_mean(logs: pd.Series) -> float:
    return float(np.exp(logs.mean(skipna=False)))
