"""Checkpoints that trainings in a batch keep without being asked, named by all that decides the training."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from curse_of_memory.training.checkpoints import Checkpoint
from curse_of_memory.training.fingerprints import NoFingerprintError
from curse_of_memory.training.kept_runs import KeptRuns, kept_runs
from curse_of_memory.training.untouched import generator_states, same_states

__all__ = ["OwnCheckpoint", "checkpoint_of"]

WRITE_EVERY = 20.0  # seconds: what a kill may cost; shorter trainings write nothing
MODES = ("training",)  # attributes of modules that training sets itself


class OwnCheckpoint(Checkpoint):
    """The checkpoint of a training that nobody has asked for one.

    It is written once in a while, and only as long as the training is decided by what it began with: by a
    loss, data and a function `watch` that keep no state, and a model that keeps none but its tensors and
    draws nothing from global random generators. A file that cannot be written or read is said to be so, once.

    Parameters
    ----------
    kept : KeptRuns
        Where it belongs.
    kind : str
        The kind of run.
    settings : mapping
        As for :class:`Checkpoint`.
    models : sequence of torch.nn.Module
        What is trained, with its initial weights.
    decides : mapping
        Everything else that decides the training, by name.
    device : torch.device
        Where it takes place.

    Raises
    ------
    NoFingerprintError
        If something has no fingerprint.
    """

    def __init__(
        self,
        kept: KeptRuns,
        kind: str,
        settings: Mapping,
        models: Sequence[nn.Module],
        decides: Mapping[str, Any],
        device: torch.device,
    ):
        self._kept, self._models, self._decides = kept, list(models), dict(decides)
        self._start = kept.fingerprints(ignored=MODES).of([kind, {**settings}, self._models])
        self._frame = self._frame_now()
        self._generators = generator_states(device)
        self._device, self._off = device, False
        self._last = self._began = time.monotonic()
        super().__init__(self._path_now(), kind, {"start": self._start})

    def _frame_now(self) -> str:
        """Return the fingerprint of the models aside of what a checkpoint holds of them."""
        states = [model.state_dict(keep_vars=True) for model in self._models]
        tensors = [tensor for state in states for tensor in state.values()]
        return self._kept.fingerprints(ignored=MODES, aside=tensors).of(self._models)

    def _path_now(self) -> Path:
        rest = self._kept.fingerprints(ignored=MODES).of(self._decides)
        return self._kept.checkpoints / f"{self._kept.key(self._start, rest)}.pt"

    def due(self, *, at_end: bool = False) -> bool:
        """Return whether it is time to write, or at the end of a training, whether it was a long one."""
        since = self._began if at_end else self._last
        return not self._off and time.monotonic() - since >= WRITE_EVERY

    def write(self, state: Mapping) -> None:
        """Write `state`, if what decides the training is as it was."""
        if not self._is_decided():
            self._off = True
            self._remove()
            return
        if not self._kept.still_the_same():
            self._off = True
            return
        try:
            # the generators are as they were: whoever goes on has those of its own start
            super().write({**state, **({"generators": []} if "generators" in state else {})})
            self._kept.note_checkpoint(self._place)
        except OSError as error:
            self._off = True
            why = str(error.strerror or error).rpartition(": ")[2]
            self._kept.say(f"no room for checkpoints, they are not kept: {why}")
        self._last = time.monotonic()

    def _is_decided(self) -> bool:
        """Return whether nothing but the tensors of the models is in another state than at the start."""
        if not same_states(self._generators, generator_states(self._device)):
            return False
        try:
            return self._frame_now() == self._frame and self._path_now() == self._place
        except NoFingerprintError:
            return False

    @property
    def _place(self) -> Path:
        assert self._path is not None  # it is one of the batch's
        return self._path

    def read(self, device: torch.device) -> dict | None:
        """Return the state in the file; None where there is none, or where it is damaged, which is said."""
        try:
            state = super().read(device)
        except ValueError as error:
            self._kept.say(f"a training begins anew: {error}")
            return None
        if state is not None:
            self._kept.note_checkpoint(self._place)
            self._kept.say("a training goes on from its last checkpoint")
        return state

    def _refused(self, why: str) -> ValueError:
        self._remove()  # or it would be refused for ever
        return super()._refused(why)

    def _remove(self) -> None:
        with contextlib.suppress(OSError):
            self._place.unlink(missing_ok=True)


def checkpoint_of(
    given: str | Path | None,
    kind: str,
    settings: Mapping,
    models: Sequence[nn.Module],
    decides: Mapping[str, Any],
    device: torch.device,
    *,
    alone: bool = True,
) -> Checkpoint:
    """Return the checkpoint at a `given` path; without one that of the batch, if this is in one; or none.

    Parameters
    ----------
    given : path or None
        What the caller has asked for.
    kind, settings
        As for :class:`Checkpoint`.
    models, decides, device
        As for :class:`OwnCheckpoint`.
    alone : bool
        Whether the training takes place in this process alone.
    """
    if given is None and alone and (kept := kept_runs()) is not None and kept.still_the_same():
        with contextlib.suppress(NoFingerprintError):  # rather lose time than go on from another training
            return OwnCheckpoint(kept, kind, settings, models, decides, device)
    return Checkpoint(given, kind, settings)
