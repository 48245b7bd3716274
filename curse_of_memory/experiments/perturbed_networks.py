"""Nonlinear networks trained on polynomial memory and perturbed: what figures 2, 7 and 8 of IAT share."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch

from curse_of_memory.measure import perturbation_curve
from curse_of_memory.nn import RNN
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import sweep

__all__ = [
    "BETAS",
    "COMPARED_BETAS",
    "PARAMETERIZATIONS",
    "direct_over_softplus",
    "perturbed_networks",
    "trained_and_perturbed",
]

PARAMETERIZATIONS = ("direct", "softplus")
BETAS = np.concatenate([[0.0], 1e-3 * 2.0 ** np.arange(11)])  # every other β of the authors
COMPARED_BETAS = (0.032, 0.128)  # where the authors' curves are readable


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
        Random directions, and the sequences for validation and for the error.
    device : str
        Where all of it is computed.

    Returns
    -------
    pandas.DataFrame
        Columns ``activation, parameterization, m, seed, beta, error``.
    """
    task = LinearFunctional(targets.named("iat-code-polynomial"), horizon)
    kinds = [
        {"activation": activation, "parameterization": parameterization, "m": m, "seed": seed}
        for activation in activations
        for parameterization in PARAMETERIZATIONS
        for m in widths
        for seed in seeds
    ]
    models = [
        RNN(
            kind["m"],
            activation=kind["activation"],
            parameterization=kind["parameterization"],
            seed=kind["seed"],
            dtype=torch.float64,
        )
        for kind in kinds
    ]
    return trained_and_perturbed(
        models,
        kinds,
        task,
        seed=[kind["seed"] for kind in kinds],
        training={"steps": steps, "batch_size": batch_size, "learning_rate": learning_rate},
        draws=draws,
        samples=samples,
        device=device,
    )


def trained_and_perturbed(
    models: Sequence[RNN],
    kinds: Sequence[Mapping],
    task,
    *,
    seed: int | Sequence[int],
    training: Mapping,
    draws: int,
    samples: int,
    device: str,
) -> pd.DataFrame:
    """Train the models in one sweep, and perturb each of them.

    Parameters
    ----------
    models : sequence of RNN
        Trained in place.
    kinds : sequence of mapping
        What the table says of each model; ``seed`` among it names its directions.
    task
        What they learn.
    seed : int, or one per model
        Names the batches.
    training : mapping
        ``steps``, ``batch_size`` and ``learning_rate`` of the sweep.
    draws, samples : int
        Random directions, and the sequences for validation and for the error.
    device : str
        Where all of it is computed.

    Returns
    -------
    pandas.DataFrame
        The columns of `kinds`, ``beta`` and ``error``.
    """
    every = {"validate_every": 25, "decay_patience": 3}
    sweep(models, task, **training, **every, validation_size=samples, seed=seed, device=device)
    parts = []
    for kind, model in zip(kinds, models, strict=True):
        options = {"draws": draws, "samples": samples, "seed": kind["seed"], "device": device}
        curve = perturbation_curve(model, task, BETAS, **options)
        parts.append(pd.DataFrame(kind | {"beta": BETAS, "error": curve.error}))
    return pd.concat(parts, ignore_index=True)


def direct_over_softplus(
    table: pd.DataFrame,
) -> tuple[dict[str, float], dict[str, float], dict[str, pd.Series]]:
    """Return E(direct) / E(softplus) by label, geometric means over the networks.

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
    ours, theirs, by_seed = {}, {}, {}
    for curves, found in ((table, ours), (reference("inverse_approximation/activations"), theirs)):
        runs = [name for name in ("m", "seed") if name in curves]
        for at in COMPARED_BETAS:
            for activation, group in curves[np.isclose(curves.beta, at)].groupby("activation", sort=False):
                errors = group.pivot(index=runs, columns="parameterization", values="error")
                logs = np.log(errors.direct / errors.softplus)
                ratio = float(np.exp(logs.mean(skipna=False)))
                if math.isfinite(ratio):
                    label = f"{activation}, E(direct) / E(softplus) at β = {at:g}"
                    found[label] = ratio
                    if "seed" in runs:
                        by_seed[label] = np.exp(logs.groupby(level="seed").mean())
    return ours, {label: value for label, value in theirs.items() if label in ours}, by_seed
