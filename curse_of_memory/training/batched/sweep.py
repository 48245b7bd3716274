"""Training many small models at once: those of equal architecture and size run as one batched call."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
import xarray as xr
from torch import nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.measure.closed_form import check_closed_form
from curse_of_memory.measure.refusals import in_one_line
from curse_of_memory.measure.sequence_map import unwrapped
from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.protocols import LinearTask, Stackable, Task, has_linear_memory
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.tools import checks, devices
from curse_of_memory.tools.random_streams import sample_seed
from curse_of_memory.training.batched.group import Group, SweptLoss, Watch, stack_key
from curse_of_memory.training.batched.lockstep import Lockstep
from curse_of_memory.training.batched.losses import ExpectedLosses, SampledLosses, Score
from curse_of_memory.training.batched.standing import Standing
from curse_of_memory.training.charges import laws_of
from curse_of_memory.training.checkpoints import identity
from curse_of_memory.training.own_checkpoints import checkpoint_of
from curse_of_memory.training.settings import SCHEDULES, checked_settings

__all__ = ["sweep"]

TOGETHER = 2  # members of a group that are tried in one call

SWEPT = (TemporallyWeightedMSE, TemporallyWeightedCrossEntropy)
TOLD = ("width", "activation", "parameterization", "diagonal")
"""Attributes of layers that are coordinates of the table."""


def sweep(
    models: Sequence[Stackable],
    task: Task | LinearTask,
    *,
    loss: SweptLoss | Sequence[SweptLoss] | None = None,
    expected: bool = False,
    validation: Task | None = None,
    steps: int = 1000,
    batch_size: int = 512,
    learning_rate: float | Sequence[float] = 0.01,
    schedule: str = "plateau",
    weight_decay: float = 0.0,
    clip: float = 0.5,
    validate_every: int = 50,
    validation_size: int = 1024,
    decay_patience: int = 10,
    patience: int | None = None,
    stop_below: float | None = None,
    watch: Watch | None = None,
    score: Score | None = None,
    seed: int | Sequence[int] = 0,
    device: torch.device | str = "auto",
    memory: int | None = None,
    full_precision: bool = True,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> xr.Dataset:
    """Train many small models at once, each along the very trajectory of its own :func:`fit`.

    Models of equal class, architecture and sizes are stacked and run as one, in parts where memory asks for
    it; the others stand beside them: a sweep over widths has one such group per width, and none is padded.
    Learning rate, early stopping and divergence are a matter of each member: one that ends, whatever the
    reason, is frozen at its best weights and costs nothing more, and the others do not notice.

    Parameters
    ----------
    models : sequence of torch.nn.Module
        Models with ``run_many(parameters, x)`` and an ``architecture``, as all layers of
        :mod:`curse_of_memory.nn` have them but gated ones; see :class:`curse_of_memory.protocols.Stackable`.
        They are moved to `device` and trained in place: each ends with its best weights.
    task : Task
        Anything with ``sample(size, seed=, device=, dtype=)`` that returns inputs and targets.
    loss : TemporallyWeightedMSE or TemporallyWeightedCrossEntropy, or one per model, optional
        All of one class, of any weight and form, with the reduction "mean" and no further options; the
        unweighted squared error if none is given.
    expected : bool
        Descend the exact expected loss in place of sampled ones, and validate on it: for linear models and a
        :class:`LinearFunctional` only. `batch_size`, `validation_size` and `seed` then change nothing.
    validation : Task, optional
        Another task, from which the validation set is drawn; `task` unless given.
    steps, batch_size : int
        Number of updates, and sequences in each; models of one seed share their batches.
    learning_rate : float, or one per model
        Of AdamW.
    schedule : {'plateau', 'cosine'}
        As for :func:`fit`: how learning rates fall.
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
    watch : callable, optional
        As for :func:`fit`: called with each model at the step before each validation, with its gradients of
        that step, for which it is run once more by itself.
    score : callable, optional
        ``score(answers, targets)`` returns further numbers by name, of what one model answers to the
        sequences of a validation, ``(batch, time, channel)``.
    seed : int, or one per model
        Names all batches of a model, those of :func:`fit` with this seed.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.
    memory : int, optional
        Bytes that the models which run at once may take, beside the batches themselves, of which there is one
        per seed. Unless given, half of what is free on a GPU, and 2³⁰ on the CPU. A group that needs more
        runs in parts; a model that needs more by itself runs alone. Of no consequence for the results, but
        for the order of sums in batched products.
    full_precision : bool
        As for :func:`fit`.
    progress : bool
        Show a progress bar.
    checkpoint : path, optional
        Written whole at every validation. If the file is there already, the sweep goes on from it, along the
        very trajectory it would have taken; `steps` may be larger than it was, but not with the schedule
        ``'cosine'``, whose length it is. Without one, a sweep in a notebook that a batch runs keeps its own,
        as :func:`fit` does.

    Returns
    -------
    xarray.Dataset
        Over ``member``, in the order of the models, with the coordinates ``model`` (the class), ``seed``,
        ``learning_rate``, ``loss_weight``, ``loss_form``, and those of ``width``, ``activation``,
        ``parameterization`` and ``diagonal`` that all models have: ``loss``, the best validation loss;
        ``status``, one of those of :class:`FitResult`; and ``steps``. Over ``member`` and ``step``:
        ``validation_loss``, ``training_loss``, ``learning_rate_at``, and what `watch` and `score` returned,
        NaN after a member's end. The attribute ``seconds`` is wall-clock time, of all calls together if the
        sweep was resumed.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, lists that have not one entry per model, a model that cannot be stacked, answers in
        ``run_many`` otherwise than by itself (it is tried on a few sequences, alone and beside others) or is
        given twice, a law of forgetting with a price or random shortening, a loss of another kind, models
        whose expected loss is asked for and that are nonlinear or answer otherwise than by their
        ``kernel()``, or a checkpoint that belongs to another sweep.

    Notes
    -----
    Equal to :func:`fit` up to rounding: the sums inside a batched product may be taken in another order.
    Late in a long run the steps of AdamW, of one length however small the gradient, can amplify that without
    bound: then two runs of :func:`fit` from weights that differ in the last bit part just as far.

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> from curse_of_memory.tasks import LinearFunctional
    >>> models = [RNN(m, activation="tanh", seed=s) for m in (2, 3) for s in range(2)]
    >>> task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    >>> table = sweep(models, task, steps=20, batch_size=8, validate_every=10, seed=[0, 1, 0, 1])
    >>> table.validation_loss.shape, table.width.values.tolist(), set(table.status.values.tolist())
    ((4, 3), [2, 2, 3, 3], {'finished'})
    """
    flags = {"expected": expected, "full_precision": full_precision, "progress": progress}
    for name, value in flags.items():
        checks.flag(name, value)
    for name, function in {"watch": watch, "score": score}.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")
    if expected and not (watch is None and score is None and validation is None):
        raise ValueError("validation, watch and score must not be given with expected=True, without batches")
    modules, layers = _models(models, expected)
    n = len(layers)
    rates = _each("learning_rate", learning_rate, n, checks.positive)
    loss_of = _losses(loss, n, expected)
    seeds = _each("seed", seed, n, _batch_seed)
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
    if checks.one_of("schedule", schedule, SCHEDULES) == "cosine":
        settings["steps"] = steps  # they are the cosine's length
    if stop_below is not None:
        stop_below = checks.real("stop_below", stop_below)

    device = devices.resolve_device(device)
    sizes = settings["batch_size"], settings["validation_size"]
    losses = _losses_of(task, expected, *sizes, device, score, validation)
    budget = devices.memory_budget(device, memory)
    for module in modules:
        module.to(device)
    coordinates = _told(layers) | {
        "model": [type(layer).__name__ for layer in layers],
        "seed": seeds,
        "learning_rate": rates,
        "loss_weight": [loss.bias.name for loss in loss_of],
        "loss_form": [loss.form for loss in loss_of],
    }
    if isinstance(loss_of[0], TemporallyWeightedCrossEntropy):
        settings["loss"] = "cross-entropy"
    settings |= {"expected": bool(expected), "patience": patience, "stop_below": stop_below}
    settings |= {"task": identity(task)}
    if validation is not None:
        settings["validation"] = identity(validation)
    settings |= {"models": [_description(layer) for layer in layers]} | coordinates
    groups = [
        Group(
            chosen,
            [layers[i] for i in chosen],
            [loss_of[i] for i in chosen],
            [seeds[i] for i in chosen],
            weight_decay=weight_decay,
            device=device,
            memory=budget,
        )
        for chosen in _alike(layers)
    ]
    standing = Standing(rates, decay_patience, cosine=steps if schedule == "cosine" else None)
    decides = {"losses": loss_of, "task": task, "steps": steps, "schedule": schedule, "memory": memory}
    decides |= {"full_precision": full_precision, "device": device}
    decides |= {"validation": validation, "watch": watch, "score": score}
    file = checkpoint_of(checkpoint, "a sweep", settings, modules, decides, device)
    run = Lockstep(groups, standing, losses, settings, file, modules, watch)
    with devices.full_precision(full_precision), subnormals_flushed():
        if isinstance(losses, SampledLosses):
            for group in groups:
                for place, number in enumerate(group.numbers):
                    losses.check(group.members[place : place + 1], modules[number])
                losses.check_together(group.members[:TOGETHER])
        run.resume(device)
        run.train(steps, progress)
    for group in run.groups:
        group.write_best(layers)
    result = run.standing.dataset(coordinates)
    result.attrs["seconds"] = run.seconds
    return result


def _models(models: object, expected: bool) -> tuple[list[nn.Module], list[Stackable]]:
    """Return the models, as modules and as layers that can be stacked, if they are both."""
    if isinstance(models, nn.Module | str) or not isinstance(models, Iterable):
        raise TypeError(f"models must be a list of layers, got {type(models).__name__}")
    modules: list[nn.Module] = []
    layers: list[Stackable] = []
    for model in models:
        if isinstance(model, nn.Module):
            model = unwrapped(model)
        try:
            stackable = checks.fulfilling("models", model, Stackable, "layers", instead="use training.fit")
            if not isinstance(model, nn.Module):
                raise TypeError(f"models must be torch modules, got {checks.shown(model)}")
            hash(stackable.architecture)
        except TypeError as error:
            if str(error).startswith("models must"):
                raise
            raise TypeError(f"models must have a hashable architecture, but {error}") from None
        except Exception as error:  # of any kind: it is a stranger's
            what = f"{type(model).__name__}: {in_one_line(error)}"
            raise ValueError(f"models must have a hashable architecture; {what}") from error
        layers.append(stackable)
        modules.append(model)
        weights = list(model.parameters())
        if not any(p.requires_grad for p in weights):
            raise ValueError("models must have weights to train, but all of one are frozen")
        for law in laws_of(model):
            if law.is_priced or law.shortens:
                raise ValueError(
                    f"models must have no law with a price or random shortening, got {type(law).__name__}; "
                    "use training.fit"
                )
        if any(p.dtype in (torch.float16, torch.bfloat16) for p in weights):
            raise TypeError("models must have weights of float32 or float64; training.fit takes shorter ones")
        if expected and not has_linear_memory(model):
            what = getattr(model, "activation", type(model).__name__)
            raise TypeError(f"only linear models have an exact expected loss; one is {what}")
        if expected:
            check_closed_form(modules[-1], moved=True)
    if not modules:
        raise ValueError("models must not be empty")
    if len({id(module) for module in modules}) < len(modules):
        raise ValueError("models must be different objects, since each is trained in place")
    return modules, layers


def _alike(layers: Sequence[Stackable]) -> list[list[int]]:
    """Return the numbers of the layers that can be stacked, group by group."""
    alike: dict[tuple, list[int]] = {}
    for i, layer in enumerate(layers):
        try:
            alike.setdefault(stack_key(layer), []).append(i)
        except Exception as error:  # of any kind: a stranger's architecture has its own way to compare
            what = f"{type(layer).__name__}: {in_one_line(error)}"
            raise ValueError(f"models must have architectures that can be compared; {what}") from error
    return list(alike.values())


def _told(layers: Sequence[Stackable]) -> dict[str, list]:
    """Return the attributes of :data:`TOLD` that all `layers` have, as coordinates of the table."""
    table = {}
    for name in TOLD:
        values = [getattr(layer, name, None) for layer in layers]
        plain = [value.name if isinstance(value, Reparameterization) else value for value in values]
        if all(isinstance(value, str | int | float) for value in plain):
            table[name] = plain
    return table


def _losses_of(
    task: object,
    expected: bool,
    batch_size: int,
    validation_size: int,
    device: torch.device,
    score: Score | None,
    validation: object,
) -> SampledLosses | ExpectedLosses:
    if expected:
        return ExpectedLosses(checks.fulfilling("task", task, LinearTask, "a linear task"))
    drawn, unseen = (
        checks.fulfilling(name, given, Task, "a task", instead="training.fit takes data")
        for name, given in (("task", task), ("validation", task if validation is None else validation))
    )
    return SampledLosses(drawn, batch_size, validation_size, device, score, unseen)


def _each(name: str, value, count: int, check: Callable) -> list:
    """Return one checked value per model."""
    if np.ndim(value) == 0:
        return [check(name, value)] * count
    values = [check(name, v) for v in value]
    if len(values) != count:
        raise ValueError(f"{name} must be one number, or one for each of {count} models, got {len(values)}")
    return values


def _losses(loss, count: int, expected: bool) -> list[SweptLoss]:
    """Return one checked loss per model."""
    if isinstance(loss, Sequence):
        losses = list(loss)
    else:
        losses = [TemporallyWeightedMSE() if loss is None else loss] * count
    for one in losses:
        # a subclass may weigh in its own way, which the batched run would not know
        if type(one) not in SWEPT or one.reduction != "mean":
            raise TypeError(
                f"loss must be a TemporallyWeightedMSE or TemporallyWeightedCrossEntropy with "
                f"reduction='mean', got {one!r}; use training.fit"
            )
        if type(one) is not type(losses[0]):
            raise TypeError("loss must be of one class for all models: squared errors or cross-entropies")
        if isinstance(one, TemporallyWeightedCrossEntropy):
            if expected:
                raise TypeError("loss must be a TemporallyWeightedMSE where it is the exact expected one")
            if one.class_weight is not None or one.label_smoothing or one.ignore_index != IGNORED:
                raise TypeError(f"loss must have no further options, got {one!r}; use training.fit")
    if len(losses) != count:
        raise ValueError(f"loss must be one loss, or one for each of {count} models, got {len(losses)}")
    return losses


def _description(model: Stackable) -> str:
    """Return repr, shapes and dtypes of a model for the checkpoint."""
    trained = {name: w for name, w in model.named_parameters() if w.requires_grad}
    return f"{model} { {name: (tuple(w.shape), str(w.dtype)) for name, w in trained.items()} }"


def _batch_seed(name: str, value: int) -> int:
    return sample_seed("training", checks.seed(name, value))[0]
