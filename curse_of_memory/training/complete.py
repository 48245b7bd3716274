"""A training from its set-up to its result: what happens around the loop, whatever is trained on."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence

import pandas as pd
from torch import nn
from tqdm.auto import tqdm

from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.tools import devices
from curse_of_memory.tools.run_notes import run_notes
from curse_of_memory.training.loop import Ends, Steps, train
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.result import FitResult, verdict
from curse_of_memory.training.run_state import RunState

__all__ = ["complete", "in_training"]


@contextlib.contextmanager
def in_training(model: nn.Module, run: RunState) -> Iterator[None]:
    """Let a `run` of a `model` go on from its checkpoint; modes and generators are as before in the end."""
    modes = {part: part.training for part in model.modules()}
    try:
        model.train()
        run.resume()
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode
        run.give_generators_back()


def complete(
    model: nn.Module,
    run: RunState,
    ends: Ends,
    steps: Steps,
    validate: Callable[[], Sequence[float]],
    tested: Callable[[], float] | None = None,
    *,
    place: OneProcess,
    full_precision: bool,
    progress: bool,
    checkpoint_every: int | None,
) -> FitResult:
    """Make the steps that are left of a run; return its result, the `model` with its best weights.

    Parameters
    ----------
    model : torch.nn.Module
        What is trained.
    run, ends, steps, validate, tested, checkpoint_every
        As for :func:`curse_of_memory.training.loop.train`.
    place : OneProcess
        Of the processes; the first shows the progress.
    full_precision, progress : bool
        As for :func:`curse_of_memory.training.fit`.
    """
    started = time.perf_counter() - run.seconds
    hidden = not (progress and place.is_first)
    with (
        devices.full_precision(full_precision),
        subnormals_flushed(),
        tqdm(total=ends.steps, initial=run.step, disable=hidden, desc="training") as bar,
    ):
        status = train(
            run, ends, steps, validate, tested, checkpoint_every=checkpoint_every, bar=bar, notes=run_notes()
        )
    if status != "diverged":
        run.leave()
    model.load_state_dict(run.best)
    first, last = (run.history[k]["validation_loss"] for k in (0, -1))
    return FitResult(
        verdict(status, first, last, improved=run.improved),
        run.best_loss,
        run.step,
        pd.DataFrame(run.history),
        time.perf_counter() - started,
        run.best_score,
        run.test,
    )
