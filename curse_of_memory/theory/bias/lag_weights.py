"""Weights w_s of the squared error at each lag, and values scaled so that √w ρ peaks near one."""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias.memory_bias import Bias
from curse_of_memory.theory.targets.lagged import lagged

__all__ = ["lag_weights", "unit_peak"]


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


def unit_peak(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, int]:
    """Return the values divided by 2^k such that the largest √w |ρ| is between 1/2 and 1, and k.

    Values without weight become 0, so that nothing overflows; nothing is rounded unless it underflows.

    Parameters
    ----------
    values, weight : numpy.ndarray, shape (n,)
        ρ_s and w_s >= 0, not both zero everywhere.

    Raises
    ------
    ValueError
        If the values vanish wherever there is weight.

    Examples
    --------
    >>> unit_peak(np.array([3e300, -1e300, 9.0]), np.array([1.0, 1.0, 0.0]))[0].round(3).tolist()
    [0.56, -0.187, 0.0]
    """
    values = np.where(weight > 0, values, 0.0)
    if not values.any():
        raise ValueError("values must not be zero at every lag with weight")
    # exponents of both factors: their product may overflow or underflow
    some = values != 0
    peak = (np.log2(np.abs(values[some])) + np.log2(weight[some]) / 2).max()
    exponent = int(np.floor(peak)) + 1
    return np.ldexp(values, -exponent), exponent
