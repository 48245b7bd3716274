"""The loop of a training: validations, steps of the optimizer, and what ends it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from tqdm.auto import tqdm

from curse_of_memory.tools.run_notes import RunNotes
from curse_of_memory.training.averaged_weights import AveragedWeights
from curse_of_memory.training.batches import BatchSource
from curse_of_memory.training.demands import numbers_by_name
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.run_state import RunState
from curse_of_memory.training.untouched import untouched

__all__ = ["BatchLoss", "Ends", "Steps", "train"]


class BatchLoss(NamedTuple):
    """The loss of one batch.

    Attributes
    ----------
    error : Tensor of shape ``()``
        What answers are held to, and what is told of the training.
    price : Tensor of shape ``()``, or None
        What memory costs; it is descended, too, and not told.
    asked : bool
        Whether there was anything to answer; else the error is zero, and not told.
    """

    error: Tensor
    price: Tensor | None = None
    asked: bool = True


@dataclass(frozen=True)
class Ends:
    """What ends a training: a number of steps, a loss that is reached, or no better validation for long.

    Attributes
    ----------
    steps : int
        All that are to be made.
    stop_below : float or None
        Validation loss at which the training ends.
    patience : int or None
        So many validations without a better one end it.
    """

    steps: int
    stop_below: float | None
    patience: int | None

    def status(self, run: RunState) -> str | None:
        """Return why a `run`, which has been validated, has come to its end; None if it has not."""
        if self.stop_below is not None and run.least_loss <= self.stop_below:
            return "reached"
        if self.patience is not None and run.stale >= self.patience:
            return "stopped early"
        return "finished" if run.step >= self.steps else None


class Steps:
    """The steps of the optimizer, one batch each.

    Parameters
    ----------
    model, network : torch.nn.Module
        What is trained, and the same as it is called, which may share its gradients with other processes.
    stepper : torch.optim.Optimizer
        Steps its weights.
    scheduler : LRScheduler
        Sets the learning rate at each step, unless it is that of a plateau.
    batches : BatchSource
        Where they come from.
    loss_of : callable
        The loss of inputs and targets.
    place : OneProcess
        Where the run takes place.
    clip : float
        Largest norm of the gradient.
    watch : callable or None
        Sees the model with its gradients before each validation.
    penalty : float
        λ of λ/2 |w|² over all weights, whose gradient is added before the norm is taken.
    average : AveragedWeights, optional
        Takes the weights after each step.
    """

    def __init__(
        self,
        model: nn.Module,
        network: nn.Module,
        stepper: Optimizer,
        scheduler: LRScheduler,
        batches: BatchSource,
        loss_of: Callable[[Tensor, Tensor], BatchLoss],
        place: OneProcess,
        clip: float,
        watch: Callable[[nn.Module], Mapping[str, float]] | None,
        *,
        penalty: float = 0.0,
        average: AveragedWeights | None = None,
    ):
        self._model, self._network, self._stepper, self._scheduler = model, network, stepper, scheduler
        self._batches, self._loss_of, self._place = batches, loss_of, place
        self._clip, self._watch = clip, watch
        self._penalty, self._average = penalty, average

    def make(self, run: RunState, *, watched: bool) -> bool:
        """Make the next step of a `run`, `watched` or not; return False where its numbers are not finite."""
        self._stepper.zero_grad()
        error, price, asked = self._loss_of(*self._place.share(self._batches.training(run.step)))
        if not error.requires_grad:
            raise TypeError("model cuts the gradient between its weights and its answer (detach?)")
        self._place.backward(error if price is None else error + price)
        if self._penalty:
            for weight in self._model.parameters():
                if weight.grad is not None:
                    weight.grad.add_(weight.detach(), alpha=self._penalty)
        if watched and self._watch is not None:
            with untouched(self._model, self._place.device):
                run.watched = numbers_by_name("watch", self._watch(self._model), run.columns)
        norm = self._place.clip(self._network, self._stepper, self._clip)
        told = self._place.mean(error)
        if asked:
            run.training_loss = told
        paid = 0.0 if price is None else self._place.mean(price)
        if not (math.isfinite(told) and math.isfinite(paid) and torch.isfinite(norm)):
            return False
        self._stepper.step()
        if not isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step()
        run.step += 1
        if self._average is not None:
            self._average.add(run.step, run.stale)
        return True


def train(
    run: RunState,
    ends: Ends,
    steps: Steps,
    validate: Callable[[], Sequence[float]],
    test: Callable[[], float] | None = None,
    *,
    checkpoint_every: int | None,
    bar: tqdm,
    notes: RunNotes | None,
) -> str:
    """Train to the end; return the status that it came by.

    Parameters
    ----------
    run : RunState
        From where it goes on.
    ends, steps
        What ends it, and what makes its steps.
    validate : callable
        Returns the validation loss and the metric that selects.
    test : callable, optional
        Returns the metric on the test data; asked for at each validation that is the best so far.
    checkpoint_every : int or None
        Steps from one checkpoint to the next, those at validations aside.
    bar : tqdm
        Shows the progress.
    notes : RunNotes or None
        Of the batch that this runs in.
    """
    started = time.perf_counter() - run.seconds
    while True:
        if run.validates_at(run.step) or run.step >= ends.steps:
            loss, score = validate()
            run.seconds = time.perf_counter() - started
            if not run.record(loss, score, test):
                return "diverged"
            bar.set_postfix(loss=f"{run.best_loss:.3g}")
        if (status := ends.status(run)) is not None:
            return status
        last = run.step + 1 >= ends.steps
        if not steps.make(run, watched=last or run.validates_at(run.step + 1)):
            return "diverged"
        # what was watched at the last step is in no checkpoint but that of its validation
        if checkpoint_every is not None and not last and run.step % checkpoint_every == 0:
            run.seconds = time.perf_counter() - started
            run.keep()
        bar.update()
        if notes is not None:
            notes.at(run.step, ends.steps)
