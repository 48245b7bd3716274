"""Checks that all of this package shares: spans, and shares of a whole."""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = ["checked_ages", "checked_spans"]

_LARGEST = 2.0**53  # up to here floats hold every whole number


def checked_spans(name: str, values: ArrayLike, ndim: int | None = None) -> np.ndarray:
    """Return spans, in steps, as float64: finite, not negative, and such that whole parts are exact."""
    spans = checks.finite_array(name, values, ndim)
    if spans.min() < 0 or spans.max() > _LARGEST:
        raise ValueError(f"{name} must be in [0, 2^53] steps, got {spans.min():g} to {spans.max():g}")
    return spans


def checked_ages(name: str, values: ArrayLike) -> np.ndarray:
    """Return ages, in steps, as float64: whole numbers that are not negative."""
    ages = checked_spans(name, values)
    if (ages != np.floor(ages)).any():
        raise ValueError(f"{name} must be whole numbers of steps, got {ages[ages != np.floor(ages)][0]:g}")
    return ages
