"""Where the search for the best rates of a sum of exponentials starts.

Rates are λ dt, without units. What a Hankel matrix tells: the left singular vectors of the Hankel
matrix of Σ cᵢ z_i^s are shifted into themselves by a matrix of eigenvalues z_i (matrix pencil; Hua &
Sarkar 1990).
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from curse_of_memory.theory.sums.modes import FASTEST

__all__ = ["directions", "ladders", "one_more", "one_pair_more", "parted", "shift_invariant", "stretched"]

# Geometric ladders of λ dt: (lowest times the number of lags, highest).
_LADDERS = ((5.0, 5.0), (0.5, 2.0), (0.5, 0.5), (0.05, 5.0), (0.1, 0.2))
_LARGEST = 200  # columns of the Hankel matrix


def ladders(size: int, count: int) -> list[np.ndarray]:
    """Return geometric sequences of `count` real rates for `size` lags.

    Examples
    --------
    >>> len(ladders(100, 3)), ladders(100, 3)[0].size
    (5, 3)
    """
    return [np.geomspace(low / size, high, count) for low, high in _LADDERS]


def stretched(rates: np.ndarray) -> np.ndarray:
    """Return one more real rate than given: the same ladder, a rung longer and half a rung wider.

    Examples
    --------
    >>> stretched(np.array([1.0])).round(3)
    array([0.368, 2.718])
    """
    rungs = np.sort(np.log(rates))
    m = rungs.size
    if m == 1:
        return np.exp(rungs + np.array([-1.0, 1.0]))
    rungs = np.concatenate([[2 * rungs[0] - rungs[1]], rungs, [2 * rungs[-1] - rungs[-2]]])
    return np.exp(np.interp(np.linspace(0.5, m + 0.5, m + 1), np.arange(m + 2), rungs))


def directions(values: np.ndarray) -> np.ndarray:
    """Return the left singular vectors of the Hankel matrix of `values`, at most 200 of them.

    Examples
    --------
    >>> directions(np.arange(5.0)).shape
    (4, 2)
    """
    columns = min(values.size // 2, _LARGEST)
    return np.linalg.svd(sliding_window_view(values, columns), full_matrices=False)[0]


def shift_invariant(basis: np.ndarray) -> np.ndarray:
    """Return the complex rates by which the columns of `basis` shift into themselves, made stable.

    Examples
    --------
    >>> shift_invariant(0.5 ** np.arange(5.0)[:, None]).round(6)
    array([0.693147+0.j])
    """
    steps = np.linalg.eigvals(np.linalg.lstsq(basis[:-1], basis[1:])[0])
    decay = -np.log(np.clip(np.abs(steps), math.exp(-FASTEST), 1 - 1e-6))
    # of what alternates without a partner only the modulus is kept
    turn = np.where((steps.imag == 0) | (steps == 0), 0.0, -np.angle(steps))
    return decay + 1j * turn


def parted(rates: np.ndarray) -> np.ndarray:
    """Return the real parts of `rates`, descending, with those that coincide moved apart.

    Examples
    --------
    >>> parted(np.array([0.1 + 1j, 0.1 - 1j])).round(3)
    array([0.11, 0.09])
    """
    # oscillations come as pairs of one modulus, and equal real rates would never part
    return np.sort(rates.real)[::-1] * np.linspace(1.1, 0.9, rates.size)


def one_more(rates: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rates` with one real rate more, slow to fast, for `size` lags.

    Examples
    --------
    >>> one_more(np.array([0.1 + 1j, 0.1 - 1j]), 100)[0]
    array([0.1  +1.j, 0.1  -1.j, 0.005+0.j])
    """
    return [np.append(rates, rate) for rate in np.geomspace(0.5 / size, 2.0, 4)]


def one_pair_more(rates: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rates` with one conjugate pair more, slow to fast, for `size` lags.

    Examples
    --------
    >>> one_pair_more(np.array([]), 10)[-1]
    array([0.375+1.5j, 0.375-1.5j])
    """
    turns = np.geomspace(2 * math.pi / size, 1.5, 3)
    return [np.append(rates, turn * np.array([0.25 + 1j, 0.25 - 1j])) for turn in turns]
