"""Weights of the squared error at each lag, from whatever a caller gives."""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.functions.lagged import lagged
from curse_of_memory.theory.functions.memory_bias import Bias

__all__ = ["lag_weights"]


def lag_weights(weight: ArrayLike | Bias | None, size: int, dt: float = 1.0) -> np.ndarray:
    """Return w_s >= 0 for the lags 0, dt, ..., (size − 1) dt, with largest value one.

    Parameters
    ----------
    weight : array_like, shape (size,), or Bias, optional
        The weights; a bias gives ``weight.discrete(size, dt)``; ones if there are none.
    size : int
        Number of lags.
    dt : float
        Time step.

    Returns
    -------
    numpy.ndarray, shape (size,)

    Raises
    ------
    ValueError
        If there are not as many weights as lags, or some are negative, or all are zero.

    Examples
    --------
    >>> lag_weights([4.0, 2.0, 0.0], 3)
    array([1. , 0.5, 0. ])
    """
    if weight is None:
        return np.ones(size)
    if isinstance(weight, Bias):
        return weight.discrete(size, dt, normalize="head")
    w, _ = lagged("weight", weight, dt)
    if w.size != size:
        raise ValueError(f"weight must have one value per lag, {size}, got {w.size}")
    if w.min() < 0 or w.max() == 0:
        raise ValueError("weight must not be negative, nor zero everywhere")
    return w / w.max()
