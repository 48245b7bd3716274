"""The loop of a sweep: steps and validations of all members, their ends, and the checkpoint."""

import time
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from tqdm.auto import tqdm

from curse_of_memory.tools.run_notes import run_notes
from curse_of_memory.training.batched.group import Group, Watch
from curse_of_memory.training.batched.standing import Standing
from curse_of_memory.training.checkpoints import Checkpoint

__all__ = ["Lockstep"]


class Lockstep:
    """The state of a sweep, all of which a checkpoint holds, and its training loop.

    Parameters
    ----------
    groups : list of Group
        The members, by kind.
    standing : Standing
        How each of them stands.
    losses : SampledLosses or ExpectedLosses
        What is descended.
    settings : dict
        ``validate_every``, ``clip``, ``patience``, ``stop_below``, and whatever else tells this sweep from
        others: a checkpoint with other settings is refused.
    file : Checkpoint
        Written at validations.
    models : sequence of torch.nn.Module
        Those of the sweep, of which `watch` sees those that still train.
    watch : callable, optional
        Called with each of them at the step before a validation.
    """

    def __init__(
        self,
        groups: list[Group],
        standing: Standing,
        losses,
        settings: dict,
        file: Checkpoint,
        models: Sequence[nn.Module],
        watch: Watch | None = None,
    ):
        self.groups, self.standing = groups, standing
        self._models, self._watch = models, watch
        self._losses, self._settings = losses, settings
        self._file = file
        self._written_at = -1
        self.step = 0
        self.seconds = 0.0

    @property
    def _active(self) -> list[Group]:
        return [group for group in self.groups if len(group.numbers)]

    def train(self, steps: int, progress: bool) -> None:
        """Train up to step `steps`, or until no member is left; with a progress bar if `progress`."""
        started = time.perf_counter() - self.seconds
        every, notes = self._settings["validate_every"], run_notes()
        with tqdm(total=steps, initial=self.step, disable=not progress, desc="sweep") as bar:
            while self._active:
                self.standing.begin(self.step)
                if self.step % every == 0 or self.step >= steps:
                    self.seconds = time.perf_counter() - started
                    self._validate(on_grid=self.step % every == 0)
                    bar.set_postfix(training=sum(len(group.numbers) for group in self._active))
                if self.step >= steps:
                    break
                for group in self._active:
                    if self._watch is not None and ((self.step + 1) % every == 0 or self.step + 1 >= steps):
                        seen = group.watched(self._losses, self.step, self._models, self._watch)
                        self.standing.note(group.numbers, seen)
                    self._descend(group)
                self.step += 1
                bar.update()
                if notes is not None:
                    notes.at(self.step, steps)
        if self.step % every == 0 and self.step != self._written_at and self._file.due(at_end=True):
            self._write()
        self.standing.end(
            [i for group in self._active for i in group.numbers.tolist()], "finished", self.step
        )
        self.standing.judge()
        self.seconds = time.perf_counter() - started

    def _descend(self, group: Group) -> None:
        before = group.numbers
        values = group.step(self._losses, self.step, self.standing.learning_rate, self._settings["clip"])
        self.standing.training_loss[group.numbers] = values
        self.standing.end(np.setdiff1d(before, group.numbers).tolist(), "diverged", self.step)

    def _validate(self, on_grid: bool) -> None:
        standing = self.standing
        if standing.history and standing.history[-1]["step"] == self.step:
            return  # a resumed sweep stands at a validation that was recorded
        standing.open_row(self.step)
        for group in self._active:
            values, seen = group.validation(self._losses)
            scores = values.double().cpu().numpy()
            group.remember(standing.record(group.numbers, scores, seen))
            self._end_some(group, np.isfinite(scores))
        if on_grid and self._file.due():
            self._write()

    def _write(self) -> None:
        state = {"step": self.step, "seconds": self.seconds, "standing": self.standing.state_dict()}
        self._file.write(state | {"groups": [group.state_dict() for group in self.groups]})
        self._written_at = self.step

    def _end_some(self, group: Group, finite: np.ndarray) -> None:
        """End the members that have diverged, reached the loss asked for, or run out of patience."""
        patience, stop_below = self._settings["patience"], self._settings["stop_below"]
        members, standing = group.numbers, self.standing
        none = np.zeros(len(members), dtype=bool)
        ends = {
            "diverged": ~finite,
            "reached": none if stop_below is None else standing.best[members] <= stop_below,
            "stopped early": none if patience is None else standing.stale[members] >= patience,
        }
        going_on = ~none
        for status, ended in ends.items():
            standing.end(members[going_on & ended].tolist(), status, self.step)
            going_on &= ~ended
        group.keep(going_on)

    def resume(self, device: torch.device) -> None:
        """Load the checkpoint, if there is one."""
        stored = self._file.read(device)
        if stored is None:
            return
        self.step, self.seconds = stored["step"], stored["seconds"]
        self._written_at = self.step
        self._file.take_up("record", self.standing, stored["standing"])
        for group, state in zip(self.groups, stored["groups"], strict=True):
            self._file.take_up("group of models", group, state)
