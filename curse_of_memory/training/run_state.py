"""The state of one training run: step, best weights, history, and its checkpoint."""

import copy
import math

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from curse_of_memory.training.batches import Batches
from curse_of_memory.training.checkpoints import Checkpoint
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.untouched import generator_states, same_states, set_generators

__all__ = ["HISTORY_COLUMNS", "RunState"]

HISTORY_COLUMNS = ("step", "training_loss", "validation_loss", "learning_rate")
"""Of the history of a run."""


class RunState:
    """The state of one training run, all of which a checkpoint holds.

    Parameters
    ----------
    model, optimizer, scheduler
        What is trained, and by what; they have states of their own.
    batches : Batches
        Where they come from.
    validate_every : int
        Steps from one validation to the next.
    file : Checkpoint
        Written at every validation.
    place : OneProcess
        Where the run takes place.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        scheduler: LRScheduler,
        batches: Batches,
        validate_every: int,
        file: Checkpoint,
        place: OneProcess,
    ):
        self._model, self._optimizer, self._scheduler = model, optimizer, scheduler
        self._trained = {"model": model, "optimizer": optimizer, "scheduler": scheduler}
        self._batches, self._every, self._file, self._place = batches, validate_every, file, place
        self._callers: dict | None = None
        self._taken_up: dict | None = None
        self.step = 0
        self.stale = 0
        self.seconds = 0.0
        self.training_loss = math.nan
        self.best_loss = math.nan
        self.watched: dict[str, float] = {}
        self.best: dict[str, Tensor] = copy.deepcopy(model.state_dict())
        self.history: list[dict[str, float]] = []
        self._written_at = -1

    _OWN = ("step", "stale", "seconds", "training_loss", "best_loss", "best", "history")

    def resume(self) -> None:
        """Load the checkpoint, if there is one."""
        stored = self._file.read(self._place.device)
        if stored is None:
            return
        for name, part in self._trained.items():
            self._file.take_up(name, part, stored[name])
        for name in self._OWN:
            setattr(self, name, stored[name])
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

    def record(self, score: float) -> bool:
        """Enter the validation loss `score` into the history; return whether it is finite."""
        if self.history and self.history[-1]["step"] == self.step:
            return True  # a resumed run stands at a validation that was recorded
        row = (self.step, self.training_loss, score, self._optimizer.param_groups[0]["lr"])
        self.history.append(dict(zip(HISTORY_COLUMNS, row, strict=True)) | self.watched)
        if not math.isfinite(score):
            return False
        on_grid = self.step % self._every == 0
        # a last validation between two is none of a longer run
        if on_grid and isinstance(self._scheduler, ReduceLROnPlateau):
            self._scheduler.step(score)
        if not score >= self.best_loss:  # also when there is no best yet
            self.best_loss, self.stale = score, 0
            self.best = copy.deepcopy(self._model.state_dict())
        else:
            self.stale += 1
        if on_grid and self._file.due():
            self._write()
        return True

    def leave(self) -> None:
        """Write a last checkpoint, if it is one that wants that and the run ended at a validation."""
        if self.step % self._every == 0 and self._written_at != self.step and self._file.due(at_end=True):
            self._write()

    def _write(self) -> None:
        generators = self._place.gathered(generator_states(self._place.device))
        if self._place.is_first:
            state = {name: part.state_dict() for name, part in self._trained.items()}
            state |= {name: getattr(self, name) for name in self._OWN}
            self._file.write(state | {"generators": generators, "at": self._batches.at})
            self._written_at = self.step
