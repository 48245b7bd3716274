"""How the learning rate of a run falls: on plateaus, along a cosine or a line, at given epochs, or never.

Warm-up.    Over the first k steps it rises in a line: step i = 0, 1, … has (i + 1)/k of it. Then it falls as
            ever, along a cosine or a line over the steps that are left.
"""

import math
from collections.abc import Sequence

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    MultiStepLR,
    ReduceLROnPlateau,
)

from curse_of_memory.tools import checks
from curse_of_memory.training import settings

__all__ = ["SCHEDULES", "TO_THE_END", "checked_schedule", "checked_warmup", "scheduler_of"]

SCHEDULES = (*settings.SCHEDULES, "linear", "constant")
"""The schedules that have names; a list of epochs is one, too."""

TO_THE_END = ("cosine", "linear")
"""Those that fall to zero with the last step: the length of the run is theirs."""

Schedule = str | list[int]


def checked_schedule(given: str | Sequence[int]) -> Schedule:
    """Return a schedule: one of :data:`SCHEDULES`, or epochs in their order, after each of which η falls.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, and for a list of what are no different positive whole numbers.

    Examples
    --------
    >>> checked_schedule("cosine"), checked_schedule((200, 100))
    ('cosine', [100, 200])
    """
    if isinstance(given, str):
        return checks.one_of("schedule", given, SCHEDULES)
    if isinstance(given, Sequence | np.ndarray) and not isinstance(given, bytes):
        return sorted(checks.several("schedule", given, checks.positive_int))
    names = ", ".join(map(repr, SCHEDULES))
    raise TypeError(f"schedule must be one of {names}, or a list of epochs, got {checks.shown(given)}")


def checked_warmup(given: int, schedule: Schedule, steps: int) -> int:
    """Return how many steps a warm-up has; refuse one that is longer than the run, or for a plateau.

    Raises
    ------
    ValueError, TypeError
        If it is no whole number, below zero, `steps` or more, or the `schedule` waits for plateaus.
    """
    warmup = checks.whole_number("warmup", given, least=0)
    if warmup and schedule == "plateau":
        raise ValueError("warmup must be 0 with the schedule 'plateau', which has no steps of its own")
    if warmup and warmup >= steps:
        raise ValueError(f"warmup must be below steps = {steps}, got {warmup}")
    return warmup


def scheduler_of(
    schedule: Schedule,
    optimizer: Optimizer,
    *,
    steps: int,
    epoch: int,
    decay_patience: int,
    warmup: int = 0,
) -> LRScheduler:
    """Return the scheduler of torch; all but that of a plateau are stepped at each step of the run.

    Parameters
    ----------
    schedule : str or list of int
        As :func:`checked_schedule` returned it.
    optimizer : torch.optim.Optimizer
        Whose learning rate falls.
    steps, epoch : int
        Of the run, and of each of its epochs.
    decay_patience : int
        Of the plateau.
    warmup : int
        Steps over which it rises; for no plateau.
    """
    if warmup or schedule == "linear":
        falls = [] if isinstance(schedule, str) else [number * epoch for number in schedule]

        def share(step: int) -> float:
            if step < warmup:
                return (step + 1) / warmup
            if schedule == "cosine":
                return (1 + math.cos(math.pi * (step - warmup) / (steps - warmup))) / 2
            if schedule == "linear":
                return (steps - step) / (steps - warmup)
            return 0.1 ** sum(step >= fall for fall in falls)

        return LambdaLR(optimizer, share)
    if schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=decay_patience)
    falls = [] if isinstance(schedule, str) else [number * epoch for number in schedule]
    return MultiStepLR(optimizer, falls, gamma=0.1)
