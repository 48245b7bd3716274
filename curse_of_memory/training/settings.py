"""The settings that every kind of training has, checked."""

from typing import Any

from curse_of_memory.tools import checks

__all__ = ["checked_settings"]


def checked_settings(weight_decay: float, clip: float, patience: int | None, **counts: int) -> dict[str, Any]:
    """Return what every kind of training is told, checked, as plain numbers: a checkpoint holds nothing else.

    The `patience` is checked only: whether a run may go on with another one is for its kind to say.
    """
    settings: dict[str, Any] = {name: checks.positive_int(name, value) for name, value in counts.items()}
    settings["weight_decay"] = checks.non_negative("weight_decay", weight_decay)
    settings["clip"] = checks.positive("clip", clip, endless=True)
    if patience is not None:
        checks.positive_int("patience", patience)
    return settings
