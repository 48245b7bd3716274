"""Panels on which 16 Gauss points integrate a function and its square."""

from collections.abc import Callable

import numpy as np

from curse_of_memory.theory.targets.analytic import GAUSS

__all__ = ["resolved"]

_MOST_PANELS = 4000


def resolved(
    edges: np.ndarray,
    values: Callable[[np.ndarray], np.ndarray],
    off: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    share: float,
    name: str,
) -> np.ndarray:
    """Return edges, halved until the error of each panel is at most a share of the integral of f².

    Parameters
    ----------
    edges : numpy.ndarray
        Ascending; none of them is lost.
    values : callable
        f, vectorised.
    off : callable
        ``off(low, high, sums)``, the errors of the panels, given the Gauss sums of f².
    share : float
        Of the integral of f², the largest error.
    name : str
        What f is called in the message.

    Raises
    ------
    ArithmeticError
        If that takes more than 4000 panels.

    Examples
    --------
    >>> def off(low, high, sums):
    ...     return (high - low) ** 2
    >>> resolved(np.array([0.0, 1.0]), np.ones_like, off, 0.1, "one")
    array([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    low, high, good, total = edges[:-1], edges[1:], np.empty(0), 0.0
    while low.size:
        half = (high - low) / 2
        sums = half * (values(low[:, None] + half[:, None] * (1 + GAUSS[0])) ** 2 @ GAUSS[1])
        # the first, coarse sums may miss a feature that later ones see
        total = max(total, float(sums.sum()))
        wrong = off(low, high, sums) > share * (total + np.finfo(float).tiny)
        good = np.concatenate([good, low[~wrong]])
        if good.size + 2 * wrong.sum() > _MOST_PANELS:
            raise ArithmeticError(f"{name} is not resolved on [0, {edges[-1]:g}] by {_MOST_PANELS} panels")
        low, middle, high = low[wrong], (low + high)[wrong] / 2, high[wrong]
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return np.append(np.sort(good), edges[-1])
