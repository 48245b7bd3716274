"""Training on sampled batches: the plain loop, with seeds, early stopping and resumption."""

import copy
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from curse_of_memory import checks, devices
from curse_of_memory.files import whole_file
from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.training.processes import processes
from curse_of_memory.training.result import FitResult

__all__ = ["checked_settings", "fit", "identity"]

# Names of the random streams of one seed, so that no step shares its draw with the validation set.
# None is 0: numpy takes (seed,) and (seed, 0) for the same stream.
VALIDATION_STREAM, TRAINING_STREAM = 1, 2
SCHEDULES = ("plateau", "cosine")


def fit(
    model: nn.Module,
    task,
    *,
    loss: nn.Module | None = None,
    validation=None,
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
    """Train `model` on fresh batches of `task` with AdamW; the model ends with its best weights.

    Parameters
    ----------
    model : torch.nn.Module
        Maps ``(batch, time, channel)`` to ``(batch, time, channel)``; it is moved to `device`.
    task
        Anything with ``sample(size, seed=, device=, dtype=)`` that returns inputs and targets.
    loss : torch.nn.Module, optional
        ``loss(y_hat, y) -> scalar``; the unweighted squared error if none is given.
    validation
        Another task, such as images that are held out, whose sequences are the validation set; those of
        `task` itself, of which any number can be drawn, if none is given.
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
        So many validations in a row may bring no better one; at the next, the learning rate falls
        tenfold. Without a meaning for the cosine.
    patience : int, optional
        Stop after so many validations without a better one.
    stop_below : float, optional
        Stop as soon as the validation loss is at most this.
    watch : callable, optional
        Called with the model when the gradients of the step before a validation are there, not clipped yet;
        the numbers it returns, by name, stand in the history.
    seed : int
        Names all batches of the run. The model brings its initial weights, and what it draws itself,
        as dropout does, comes from torch's own generator.
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
        on from it, along the very trajectory it would have taken; `steps` may be larger than it was.

    Returns
    -------
    FitResult
        With a history of columns ``step, training_loss, validation_loss, learning_rate``, and of what `watch`
        returned.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, a model without weights, a checkpoint that belongs to other settings, or a batch or
        validation set that the processes cannot share evenly.

    Notes
    -----
    Defaults are those of the public code of "INTEREST" and "Inverse approximation theory" (AdamW,
    0.01, batch 512, clipping 0.5, tenfold decay after 10), save that batches are drawn afresh in
    place of epochs over a fixed set.
    """
    checks.positive_int("steps", steps)
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
    checks.one_of("schedule", schedule, SCHEDULES)

    parameter = next(model.parameters(), None)
    if parameter is None:
        raise ValueError(f"model has no weights to train: {type(model).__name__}")
    dtype, was_training = parameter.dtype, model.training
    place = processes(fabric, device, batch_size=batch_size, validation_size=validation_size)
    model.to(place.device)
    loss = TemporallyWeightedMSE() if loss is None else loss

    def draw(source, size: int, *stream: int):
        return place.share(source.sample(size, seed=(seed, *stream), device=place.device, dtype=dtype))

    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    if schedule == "cosine":
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps)
        settings["cosine_steps"] = steps
    else:
        scheduler = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.1, patience=decay_patience)
    settings |= {"seed": int(seed), "learning_rate": learning_rate}
    settings |= {"model": identity(model), "loss": identity(loss), "task": identity(task)}
    if validation is not None:
        settings["validation"] = identity(validation)
    model.train()
    run = _Run(model, optimizer, scheduler, settings, checkpoint, writes=place.is_first)
    network, stepper = place.set_up(model, optimizer)
    run.resume(place.device)

    unseen, truth = draw(task if validation is None else validation, validation_size, VALIDATION_STREAM)
    started = time.perf_counter() - run.seconds
    status = "finished"
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
                    score = place.mean(loss(network(unseen), truth))
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
            inputs, targets = draw(task, batch_size, TRAINING_STREAM, run.step)
            optimizer.zero_grad()
            error = loss(network(inputs), targets)
            place.backward(error)
            if watch is not None and ((run.step + 1) % validate_every == 0 or run.step + 1 >= steps):
                run.watched = {name: float(number) for name, number in watch(model).items()}
            norm = place.clip(network, stepper, clip)
            run.training_loss = place.mean(error)
            if not (math.isfinite(run.training_loss) and torch.isfinite(norm)):
                status = "diverged"
                break
            stepper.step()
            if schedule == "cosine":
                scheduler.step()
            run.step += 1
            bar.update()
    model.load_state_dict(run.best)
    model.train(was_training)
    return FitResult(
        status, run.best_loss, run.step, pd.DataFrame(run.history), time.perf_counter() - started
    )


def checked_settings(weight_decay: float, clip: float, patience: int | None, **counts: int) -> dict:
    """Return what every kind of training is told, checked, as plain numbers: a checkpoint holds nothing else.

    The `patience` is checked only: whether a run may go on with another one is for its kind to say.
    """
    settings = {name: checks.positive_int(name, value) for name, value in counts.items()}
    settings["weight_decay"] = checks.non_negative("weight_decay", weight_decay)
    if not clip > 0:
        raise ValueError(f"clip must be positive, got {clip!r}")
    if patience is not None:
        checks.positive_int("patience", patience)
    return settings | {"clip": float(clip)}


def identity(thing: object) -> str:
    """Return what a checkpoint says of a model, loss or task: its repr, where that means something."""
    kind = type(thing)
    return kind.__qualname__ if kind.__repr__ is object.__repr__ else repr(thing)


class _Run:
    """The state of one training run, all of which a checkpoint holds."""

    def __init__(
        self, model, optimizer, scheduler, settings: dict, checkpoint: str | Path | None, writes: bool
    ):
        self._parts = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        self._settings = settings
        self._path = None if checkpoint is None else Path(checkpoint)
        self._writes = writes
        self.step = 0
        self.stale = 0
        self.seconds = 0.0
        self.training_loss = math.nan
        self.best_loss = math.nan
        self.watched: dict[str, float] = {}
        self.best: dict[str, Tensor] = copy.deepcopy(model.state_dict())
        self.history: list[dict[str, float]] = []

    _OWN = ("step", "stale", "seconds", "training_loss", "best_loss", "best", "history")

    def resume(self, device: torch.device) -> None:
        """Take up the checkpoint, if there is one."""
        if self._path is None or not self._path.exists():
            return
        stored = torch.load(self._path, weights_only=True, map_location=device)
        if stored["settings"] != self._settings:
            differing = [k for k, v in self._settings.items() if stored["settings"].get(k) != v]
            raise ValueError(
                f"checkpoint {self._path.name} belongs to a run with other {', '.join(differing)}"
            )
        for name, part in self._parts.items():
            part.load_state_dict(stored[name])
        for name in self._OWN:
            setattr(self, name, stored[name])

    def record(self, score: float) -> bool:
        """Enter one validation; False if it is not a finite number."""
        optimizer, scheduler = self._parts["optimizer"], self._parts["scheduler"]
        if self.history and self.history[-1]["step"] == self.step:
            return True  # a resumed run stands at a validation that was recorded
        self.history.append(
            {
                "step": self.step,
                "training_loss": self.training_loss,
                "validation_loss": score,
                "learning_rate": optimizer.param_groups[0]["lr"],
            }
            | self.watched
        )
        if not math.isfinite(score):
            return False
        on_grid = self.step % self._settings["validate_every"] == 0
        if (
            on_grid and "cosine_steps" not in self._settings
        ):  # a last validation between two is none of a longer run
            scheduler.step(score)
        if not score >= self.best_loss:  # also when there is no best yet
            self.best_loss, self.stale = score, 0
            self.best = copy.deepcopy(self._parts["model"].state_dict())
        else:
            self.stale += 1
        if self._path is not None and on_grid and self._writes:
            state = {name: part.state_dict() for name, part in self._parts.items()}
            state |= {name: getattr(self, name) for name in self._OWN} | {"settings": self._settings}
            with whole_file(self._path) as draft:
                torch.save(state, draft)
        return True
