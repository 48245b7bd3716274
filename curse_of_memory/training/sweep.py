"""Training many small networks as one: models of one size run as one batched call."""

import numbers
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr

from curse_of_memory import checks
from curse_of_memory.devices import resolve_device
from curse_of_memory.nn import RNN
from curse_of_memory.theory import bias, reparameterization
from curse_of_memory.training.fit import (
    TRAINING_STREAM,
    VALIDATION_STREAM,
    checked_settings,
    identity,
)
from curse_of_memory.training.lockstep import Lockstep
from curse_of_memory.training.members import ExpectedLosses, Group, SampledLosses, kind
from curse_of_memory.training.standing import Standing

__all__ = ["sweep"]


def sweep(
    models: Sequence[RNN],
    task,
    *,
    power: float | Sequence[float] = 0.0,
    expected: bool = False,
    steps: int = 1000,
    batch_size: int = 512,
    learning_rate: float | Sequence[float] = 0.01,
    weight_decay: float = 0.0,
    clip: float = 0.5,
    validate_every: int = 50,
    validation_size: int = 1024,
    decay_patience: int = 10,
    patience: int | None = None,
    stop_below: float | None = None,
    seed: int | Sequence[int] = 0,
    device: torch.device | str = "auto",
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> xr.Dataset:
    """Train many recurrent networks at once, each along the very trajectory of its own :func:`fit`.

    Models that agree in sizes, activation, parameterisation, time step and precision are stacked and run as
    one; the others stand beside them. Learning rate, early stopping and divergence are a matter of each
    member: one that ends, whatever the reason, is frozen at its best weights and costs nothing more, and
    the others do not notice.

    Parameters
    ----------
    models : sequence of RNN
        Moved to `device` and trained in place: each ends with its best weights.
    task
        Anything with ``sample(size, seed=, device=, dtype=)`` that returns inputs and targets.
    power : float, or one per model
        p of the loss ``TemporallyWeightedMSE(p)``.
    expected : bool
        Descend the exact expected loss in place of sampled ones, and validate on it: for linear models and a
        :class:`LinearFunctional` only. `batch_size`, `validation_size` and `seed` then change nothing.
    steps, batch_size : int
        Number of updates, and sequences in each; models of one seed share their batches.
    learning_rate : float, or one per model
        Of AdamW.
    weight_decay : float
        Of AdamW.
    clip : float
        Largest norm of the gradient of each model; `math.inf` clips nothing.
    validate_every, validation_size, decay_patience
        As for :func:`fit`, model by model.
    patience : int, optional
        A model stops after so many validations without a better one.
    stop_below : float, optional
        A model stops as soon as its validation loss is at most this.
    seed : int, or one per model
        Names all batches of a model, those of :func:`fit` with this seed.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        Written whole at every validation. If the file is there already, the sweep goes on from it, along the
        very trajectory it would have taken; `steps` may be larger than it was.

    Returns
    -------
    xarray.Dataset
        Over ``member``, in the order of the models, with the coordinates ``width``, ``activation``,
        ``parameterization``, ``diagonal``, ``seed``, ``learning_rate``, ``power``: ``loss``, the best
        validation loss; ``status``, one of those of :class:`FitResult`; and ``steps``. Over ``member`` and
        ``step``: ``validation_loss``, ``training_loss`` and ``learning_rate_at``, NaN after a member's
        end. The attribute ``seconds`` is wall-clock time, of all calls together if the sweep was resumed.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, lists that have not one entry per model, a model that is no RNN or is given twice,
        nonlinear models whose expected loss is asked for, or a checkpoint that belongs to another sweep.

    Notes
    -----
    Equal to :func:`fit` up to rounding: the sums inside a batched product may be taken in another order.
    Late in a long run the steps of AdamW, of one length however small the gradient, can amplify that without
    bound: then two runs of :func:`fit` from weights that differ in the last bit part just as far.

    Examples
    --------
    >>> from curse_of_memory.tasks import LinearFunctional
    >>> models = [RNN(m, activation="tanh", seed=s) for m in (2, 3) for s in range(2)]
    >>> task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    >>> found = sweep(models, task, steps=20, batch_size=8, validate_every=10, seed=[0, 1, 0, 1])
    >>> found.validation_loss.shape, found.width.values.tolist(), set(found.status.values.tolist())
    ((4, 3), [2, 2, 3, 3], {'finished'})
    """
    models = _models(models, expected)
    n = len(models)
    rates = _each("learning_rate", learning_rate, n, checks.positive)
    powers = _each("power", power, n, _power)
    seeds = _each("seed", seed, n, _seed)
    steps = checks.positive_int("steps", steps)
    settings = checked_settings(
        weight_decay,
        clip,
        patience,
        batch_size=batch_size,
        validate_every=validate_every,
        validation_size=validation_size,
        decay_patience=decay_patience,
    )
    if stop_below is not None:
        stop_below = checks.real("stop_below", stop_below)

    device = resolve_device(device)
    for model in models:
        model.to(device)
    if expected:
        losses = ExpectedLosses(task)
    else:
        sizes = (batch_size, TRAINING_STREAM), (validation_size, VALIDATION_STREAM)
        losses = SampledLosses(task, *sizes, device)
    coordinates = {
        "width": [model.hidden for model in models],
        "activation": [model.activation for model in models],
        "parameterization": [reparameterization.get(model.parameterization).name for model in models],
        "diagonal": [model.diagonal for model in models],
        "seed": seeds,
        "learning_rate": rates,
        "power": powers,
    }
    settings |= {"expected": bool(expected), "patience": patience, "stop_below": stop_below}
    settings |= {"task": identity(task)}
    settings |= {"models": [_description(model) for model in models]} | coordinates
    run = Lockstep(
        _groups(models, powers, seeds, weight_decay, device),
        Standing(rates, decay_patience),
        losses,
        settings,
        checkpoint,
    )
    run.resume(device)
    run.train(steps, progress)
    for group in run.groups:
        group.write_best(models)
    result = run.standing.dataset(coordinates)
    result.attrs["seconds"] = run.seconds
    return result


def _models(models: Sequence[RNN], expected: bool) -> list[RNN]:
    models = list(models)
    if not models:
        raise ValueError("models must not be empty")
    for model in models:
        # a subclass may answer in its own way, which the batched run would not know
        if type(model) is not RNN:
            raise TypeError(f"models must be of type RNN, got {type(model).__name__}; use training.fit")
        if expected and not model.is_linear:
            raise TypeError(f"only linear models have an exact expected loss; one is {model.activation}")
    if len({id(model) for model in models}) < len(models):
        raise ValueError("models must be different objects, since each is trained in place")
    return models


def _each(name: str, value, count: int, check: Callable) -> list:
    """Return one checked value per model."""
    if np.ndim(value) == 0:
        return [check(name, value)] * count
    values = [check(name, v) for v in value]
    if len(values) != count:
        raise ValueError(f"{name} must be one number, or one for each of {count} models, got {len(values)}")
    return values


def _description(model: RNN) -> str:
    """Return what a checkpoint says of a model, its numbers left out."""
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    return f"{model} { {name: (tuple(w.shape), str(w.dtype)) for name, w in trained.items()} }"


def _power(_: str, value: float) -> float:
    bias.power(value)  # which refuses what is no power
    return float(value)


def _seed(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {value!r}")
    if value < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    return int(value)


def _groups(models: list[RNN], powers: list, seeds: list, weight_decay: float, device) -> list[Group]:
    alike: dict[tuple, list[int]] = {}
    for i, model in enumerate(models):
        alike.setdefault(kind(model), []).append(i)
    return [
        Group(
            chosen,
            [models[i] for i in chosen],
            [powers[i] for i in chosen],
            [seeds[i] for i in chosen],
            weight_decay,
            device,
        )
        for chosen in alike.values()
    ]
