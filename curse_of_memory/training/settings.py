"""The settings that fit and sweep share, and their checks."""

from typing import Any

from curse_of_memory.tools import checks

__all__ = ["SCHEDULES", "checked_settings"]

SCHEDULES = ("plateau", "cosine")
"""How a learning rate falls: tenfold at every plateau of the validation loss, or along half a cosine."""


def checked_settings(weight_decay: float, clip: float, patience: int | None, **counts: int) -> dict[str, Any]:
    """Return the settings that fit and sweep share, checked, by name, for a checkpoint.

    The `patience` is checked but not returned: a fit may be resumed with another one, a sweep may not.
    """
    settings: dict[str, Any] = {name: checks.positive_int(name, value) for name, value in counts.items()}
    settings["weight_decay"] = checks.non_negative("weight_decay", weight_decay)
    settings["clip"] = checks.positive("clip", clip, endless=True)
    if patience is not None:
        checks.positive_int("patience", patience)
    return settings
