"""The state of one training run: step, best weights, history, and its checkpoint."""

import copy
import math
from collections.abc import Callable

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from curse_of_memory.training.averaged_weights import AveragedWeights
from curse_of_memory.training.batches import BatchSource
from curse_of_memory.training.checkpoints import Checkpoint
from curse_of_memory.training.log import Log
from curse_of_memory.training.metrics import Metric
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.untouched import generator_states, same_states, set_generators

__all__ = ["RunState"]


class RunState:
    """The state of one training run, all of which a checkpoint holds.

    Parameters
    ----------
    model, optimizer, scheduler
        What is trained, and by what; they have states of their own.
    batches : BatchSource
        Where they come from.
    validate_every : int
        Steps from one validation to the next.
    file : Checkpoint
        Written at every validation.
    place : OneProcess
        Where the run takes place.
    metric : Metric
        By which the best weights are selected.
    log : Log
        Has the history, as it grows.
    average : AveragedWeights, optional
        What is evaluated, and kept, in place of the weights.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        batches: BatchSource,
        validate_every: int,
        file: Checkpoint,
        place: OneProcess,
        metric: Metric,
        log: Log,
        average: AveragedWeights | None = None,
    ):
        self._model, self._optimizer, self._scheduler = model, optimizer, scheduler
        self._trained = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        self._average = AveragedWeights(model, None, None) if average is None else average
        if average is not None:
            self._trained["average"] = average
        self._batches, self._every, self._file, self._place = batches, validate_every, file, place
        self._metric, self._log = metric, log
        self._callers: dict | None = None
        self._taken_up: dict | None = None
        self.step = 0
        self.stale = 0
        self.seconds = 0.0
        self.training_loss = math.nan
        self.best_loss = self.best_score = self.first_score = self.test = math.nan
        self.watched: dict[str, float] = {}
        self.best: dict[str, Tensor] = copy.deepcopy(model.state_dict())
        self.history: list[dict[str, float]] = []
        self._written_at = -1

    _OWN = ("step", "stale", "seconds", "training_loss", "best", "history")
    _OWN += ("best_loss", "best_score", "first_score", "test")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the history that are not what somebody watches."""
        epoch = () if self._batches.epoch is None else ("epoch",)
        own = () if self._metric.name == "loss" else (f"validation_{self._metric.name}",)
        unseen = (f"test_{self._metric.name}",) if "test" in self._batches.names else ()
        return ("step", *epoch, "training_loss", "validation_loss", "learning_rate", *own, *unseen)

    def validates_at(self, step: int) -> bool:
        """Return whether the model is validated after a `step`, however long the run is."""
        return step % self._every == 0

    @property
    def least_loss(self) -> float:
        """The least validation loss so far."""
        return min(row["validation_loss"] for row in self.history)

    @property
    def improved(self) -> bool:
        """Whether anything is better than the start."""
        return self._metric.better(self.best_score, self.first_score)

    def resume(self) -> None:
        """Load the checkpoint, if there is one."""
        stored = self._file.read(self._place.device)
        if stored is None:
            return
        for name, part in self._trained.items():
            self._file.take_up(name, part, stored[name])
        for name in self._OWN:
            setattr(self, name, stored[name])
        if self._place.is_first and self.history:
            self._log.write(self.history)
        self._batches.go_to(stored["at"])
        self._written_at = self.step
        # one of more processes than there were goes on with its own
        states = stored["generators"][self._place.rank : self._place.rank + 1]
        if states:
            self._callers, self._taken_up = generator_states(self._place.device), states[0]
            set_generators(states[0], self._place.device)

    def give_generators_back(self) -> None:
        """Restore the caller's generators if a checkpoint's were loaded and nothing was drawn since."""
        device = self._place.device
        if self._taken_up is None or self._callers is None:
            return
        if same_states(self._taken_up, generator_states(device)):
            set_generators(self._callers, device)

    def record(self, loss: float, score: float, tested: Callable[[], float] | None = None) -> bool:
        """Enter a validation into the history; return whether it is of finite numbers.

        Parameters
        ----------
        loss, score : float
            Validation loss, and the metric that selects, which may be the same.
        tested : callable, optional
            Returns the metric on the test data, and is asked where the validation is the best so far.
        """
        if self.history and self.history[-1]["step"] == self.step:
            return True  # a resumed run stands at a validation that was recorded
        finite = math.isfinite(loss) and math.isfinite(score)
        best = finite and self._metric.better(score, self.best_score)
        test = math.nan
        if best:
            self.best_loss, self.best_score, self.stale = loss, score, 0
            with self._average.in_place():
                self.best = copy.deepcopy(self._model.state_dict())
            if tested is not None:
                test = self.test = tested()
        elif finite:
            self.stale += 1
        if not self.history:
            self.first_score = score
        rate = self._optimizer.param_groups[0]["lr"]
        row = {"step": self.step, "training_loss": self.training_loss, "validation_loss": loss}
        row |= {"learning_rate": rate, f"validation_{self._metric.name}": score}
        row |= {f"test_{self._metric.name}": test}
        if self._batches.epoch is not None:
            row["epoch"] = self.step / self._batches.epoch
        self.history.append({name: row[name] for name in self.columns} | self.watched)
        if self._place.is_first:
            self._log.write(self.history)
        if not finite:
            return False
        # a last validation between two is none of a longer run
        if self.validates_at(self.step) and isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(loss)
        if self.validates_at(self.step) and self._file.due():
            self._write()
        return True

    def keep(self) -> None:
        """Write a checkpoint between two validations, if it is one that may be written now."""
        if not self.validates_at(self.step) and self._file.due():
            self._write()

    def leave(self) -> None:
        """Write a last checkpoint, if it is one that wants that and the run ended at a validation."""
        if self.validates_at(self.step) and self._written_at != self.step and self._file.due(at_end=True):
            self._write()

    def _write(self) -> None:
        generators, at = self._place.gathered(generator_states(self._place.device)), self._batches.at
        if self._place.is_first:
            state = {name: part.state_dict() for name, part in self._trained.items()}
            state |= {name: getattr(self, name) for name in self._OWN}
            self._file.write(state | {"generators": generators, "at": at})
            self._written_at = self.step
