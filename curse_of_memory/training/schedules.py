"""How the learning rate of a run falls: on plateaus, along a cosine, at given epochs, or not at all."""

from collections.abc import Sequence

import numpy as np
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler, MultiStepLR, ReduceLROnPlateau

from curse_of_memory.tools import checks
from curse_of_memory.training import settings

__all__ = ["SCHEDULES", "checked_schedule", "scheduler_of"]

SCHEDULES = (*settings.SCHEDULES, "constant")
"""The schedules that have names; a list of epochs is one, too."""

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


def scheduler_of(
    schedule: Schedule, optimizer: Optimizer, *, steps: int, epoch: int, decay_patience: int
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
    """
    if schedule == "cosine":
        return CosineAnnealingLR(optimizer, T_max=steps)
    if schedule == "plateau":
        return ReduceLROnPlateau(optimizer, factor=0.1, patience=decay_patience)
    falls = [] if isinstance(schedule, str) else [number * epoch for number in schedule]
    return MultiStepLR(optimizer, falls, gamma=0.1)
