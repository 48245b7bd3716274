"""Training one model on sampled batches, with early stopping and checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR, ReduceLROnPlateau
from tqdm.auto import tqdm

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.protocols import Task
from curse_of_memory.tools import checks, devices
from curse_of_memory.tools.run_notes import run_notes
from curse_of_memory.training.batches import Batches
from curse_of_memory.training.checkpoints import identity, weights_of
from curse_of_memory.training.data_sets import Data
from curse_of_memory.training.demands import check_answers, numbers_by_name, real_number, trained_dtype
from curse_of_memory.training.own_checkpoints import checkpoint_of
from curse_of_memory.training.processes import processes
from curse_of_memory.training.result import FitResult, verdict
from curse_of_memory.training.run_state import HISTORY_COLUMNS, RunState
from curse_of_memory.training.settings import SCHEDULES, checked_settings
from curse_of_memory.training.untouched import untouched

__all__ = ["fit"]

TRIED = 4  # sequences that the model is tried on before it is trained


def fit(
    model: nn.Module,
    task: Task | Data,
    *,
    loss: nn.Module | None = None,
    output: Callable | None = None,
    validation: Task | Data | None = None,
    steps: int = 1000,
    batch_size: int = 512,
    learning_rate: float = 0.01,
    schedule: str = "plateau",
    weight_decay: float = 0.0,
    clip: float = 0.5,
    validate_every: int = 50,
    validation_size: int = 1024,
    decay_patience: int = 10,
    patience: int | None = None,
    stop_below: float | None = None,
    watch: Callable[[nn.Module], Mapping[str, float]] | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
    fabric=None,
    full_precision: bool = True,
    progress: bool = False,
    checkpoint: str | Path | None = None,
) -> FitResult:
    """Train `model` on batches of `task` with AdamW; the model ends with its best weights.

    Parameters
    ----------
    model : torch.nn.Module
        Maps inputs, ``(batch, time, channel)`` or what else `task` gives, to answers that `loss` takes; it is
        moved to `device`.
    task
        Anything with ``sample(size, seed=, device=, dtype=)`` that returns inputs and targets, of which every
        step draws a fresh batch. Or data: a pair ``(inputs, targets)`` of arrays or tensors over sequences,
        or a torch Dataset of such pairs: each step takes `batch_size` different sequences at random, all of
        them if there are fewer. Or a torch DataLoader: each step takes its next batch, epoch after epoch, and
        `batch_size` has no meaning. A model of short weights, such as bfloat16, reads inputs of their
        precision, and its answers are held against targets of float32.
    loss : torch.nn.Module, optional
        ``loss(y_hat, y) -> scalar``, a real number; the unweighted squared error if none is given.
    output : callable, optional
        Chooses the sequence in what the model answers; unless given, that is the answer if it is a tensor,
        its ``last_hidden_state`` or ``logits``, or the first member of a tuple.
    validation
        Another task, such as images that are held out, or other data, whose sequences are the validation set:
        of data `validation_size` sequences, or all if there are fewer. If none is given: those of `task`
        itself, of which any number can be drawn; of data one sequence in ten, at most `validation_size`,
        which is then never trained on. A DataLoader needs a `validation`.
    steps, batch_size : int
        Number of updates, and sequences in each, of all processes together.
    learning_rate, weight_decay : float
        Of AdamW.
    schedule : {'plateau', 'cosine'}
        How the learning rate η falls: tenfold whenever the validation loss stands still, see
        `decay_patience`, or to η (1 + cos(π k / steps)) / 2 at step k.
    clip : float
        Largest norm of the gradient; `math.inf` clips nothing.
    validate_every, validation_size : int
        A fixed set of `validation_size` sequences is evaluated every so many steps.
    decay_patience : int
        Of the plateau only: so many validations in a row may bring no better one before the learning rate is
        divided by 10. Ignored for ``'cosine'``.
    patience : int, optional
        Stop after so many validations without a better one.
    stop_below : float, optional
        Stop as soon as the validation loss is at most this.
    watch : callable, optional
        Called with the model at the step before each validation, when its gradients are computed and not yet
        clipped; the numbers it returns, by name, are columns of the history. What it does to the model is
        undone.
    seed : int
        Names all batches of the run, below 2³². The model brings its initial weights, and what it draws
        itself, as dropout does, comes from the global generators of torch, numpy and Python.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.
    fabric : lightning.fabric.Fabric, optional
        Trains in all of its processes at once; it has been launched, and every process makes this call. Each
        takes its share of every batch, and has the trained model in the end. Its devices take the place of
        `device`, and its precision, such as ``"bf16-mixed"``, that of the model (one that scales the loss,
        as ``"16-mixed"`` does, would have its first overflow taken for a divergence). Its strategy has to
        keep all weights in every process, as ``"ddp"`` does; `loss` has to be a mean over sequences.
    full_precision : bool
        Take products of float32 in float32, whatever torch's own settings are; they are as before in the
        end. False leaves them in force: by default cuDNN then rounds the factors in recurrent layers and
        convolutions to TF32, 10 bits.
    progress : bool
        Show a progress bar, in the first process.
    checkpoint : path, optional
        Written whole at every validation, by the first process. If the file is there already, the run goes
        on from it, along the very trajectory it would have taken: the states of the global generators are
        in it, too, and are taken up if the model draws from them (in as many processes as there were).
        `steps` may be larger than it was, but not with the schedule ``'cosine'``, whose length it is. Without
        one, a fit in a notebook that a batch runs keeps its own until the figure is published, written every
        20 seconds or less often, unless the model draws from global generators, or loss, data, output or
        watch keep a state.

    Returns
    -------
    FitResult
        With a history of columns ``step, training_loss, validation_loss, learning_rate``, and of what `watch`
        returned.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, data that are none, a model without weights to train, or one that in evaluation is
        random, keeps state between calls or mixes the sequences of a batch (it is tried on four), a loss that
        is no real number, a checkpoint that is damaged, foreign or of another run, or a batch or validation
        set that the processes cannot share evenly.

    Notes
    -----
    Defaults are those of the public code of "INTEREST" and "Inverse approximation theory" (AdamW,
    0.01, batch 512, clipping 0.5, tenfold decay after 10), save that batches are drawn afresh in
    place of epochs over a fixed set.
    """
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
    learning_rate = checks.positive("learning_rate", learning_rate)
    for name, value in {"full_precision": full_precision, "progress": progress}.items():
        checks.flag(name, value)
    stop_below = None if stop_below is None else checks.real("stop_below", stop_below)
    seed = checks.seed("seed", seed)
    checks.one_of("schedule", schedule, SCHEDULES)
    dtype = trained_dtype(model)
    loss = TemporallyWeightedMSE() if loss is None else loss
    for name, function in {"loss": loss, "output": output, "watch": watch}.items():
        if function is not None and not callable(function):
            raise TypeError(f"{name} must be callable, got {type(function).__name__}")

    place = processes(fabric, device, batch_size=batch_size, validation_size=validation_size)
    sizes = {"batch_size": settings["batch_size"], "validation_size": settings["validation_size"]}
    batches = Batches(task, validation, seed=seed, device=place.device, dtype=dtype, **sizes)
    modes = {part: part.training for part in model.modules()}
    model.to(place.device)

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    cosine: CosineAnnealingLR | None = None
    if schedule == "cosine":
        scheduler = cosine = CosineAnnealingLR(optimizer, T_max=steps)
        settings["steps"] = steps  # they are the cosine's length
    else:
        scheduler = ReduceLROnPlateau(optimizer, factor=0.1, patience=decay_patience)
    settings |= {"seed": seed, "learning_rate": learning_rate}
    settings |= {"model": identity(model), "shapes": weights_of(model), "loss": identity(loss)}
    settings |= {name: identity(data) for name, data in batches.names.items()}
    decides = {"loss": loss, "task": task, "validation": validation, "output": output, "watch": watch}
    decides |= {"steps": steps, "schedule": schedule, "patience": patience, "stop_below": stop_below}
    decides |= {"full_precision": full_precision, "device": place.device}
    file = checkpoint_of(checkpoint, "a fit", settings, [model], decides, place.device, alone=fabric is None)
    notes = run_notes()
    run = RunState(model, optimizer, scheduler, batches, validate_every, file, place)
    network, stepper = place.set_up(model, optimizer)

    def error_of(inputs: Tensor, targets: Tensor) -> Tensor:
        answers = sequence_of(network(inputs), output)
        wide = torch.promote_types(answers.dtype, torch.float32)  # errors of short numbers are not short
        return real_number(loss(answers.to(wide), targets))

    status = "finished"
    try:
        model.train()
        run.resume()
        unseen = place.share(batches.validation())
        with devices.full_precision(full_precision):
            check_answers(model, unseen[0][:TRIED], output, place.device)
        started = time.perf_counter() - run.seconds
        with (
            devices.full_precision(full_precision),
            tqdm(
                total=steps, initial=run.step, disable=not (progress and place.is_first), desc="training"
            ) as bar,
        ):
            while True:
                if run.step % validate_every == 0 or run.step >= steps:
                    network.eval()
                    with torch.no_grad():
                        score = place.mean(error_of(*(part.clone() for part in unseen)))
                    network.train()
                    run.seconds = time.perf_counter() - started
                    if not run.record(score):
                        status = "diverged"
                        break
                    bar.set_postfix(loss=f"{run.best_loss:.3g}")
                    if stop_below is not None and run.best_loss <= stop_below:
                        status = "reached"
                        break
                    if patience is not None and run.stale >= patience:
                        status = "stopped early"
                        break
                if run.step >= steps:
                    break
                optimizer.zero_grad()
                error = error_of(*place.share(batches.training(run.step)))
                if not error.requires_grad:
                    raise TypeError("model cuts the gradient between its weights and its answer (detach?)")
                place.backward(error)
                if watch is not None and ((run.step + 1) % validate_every == 0 or run.step + 1 >= steps):
                    with untouched(model, place.device):
                        run.watched = numbers_by_name("watch", watch(model), HISTORY_COLUMNS)
                norm = place.clip(network, stepper, clip)
                run.training_loss = place.mean(error)
                if not (math.isfinite(run.training_loss) and torch.isfinite(norm)):
                    status = "diverged"
                    break
                stepper.step()
                if cosine is not None:
                    cosine.step()
                run.step += 1
                bar.update()
                if notes is not None:
                    notes.at(run.step, steps)
        if status != "diverged":
            run.leave()
        model.load_state_dict(run.best)
    finally:
        for part, mode in modes.items():
            part.training = mode
        run.give_generators_back()
    losses = [row["validation_loss"] for row in run.history]
    return FitResult(
        verdict(status, losses[0], losses[-1], run.best_loss),
        run.best_loss,
        run.step,
        pd.DataFrame(run.history),
        time.perf_counter() - started,
    )
