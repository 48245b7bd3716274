"""Starting points for the search for the best rates of a sum of exponentials.

Rates are λ dt, without units: ladders, clusters, those of fewer terms with one more, and those of a matrix
pencil (Hua & Sarkar 1990): the left singular vectors of the Hankel matrix of Σ cᵢ z_i^s are shifted into
themselves by a matrix of eigenvalues z_i.
"""

import math

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from curse_of_memory.theory.exponential_sums.modes import FASTEST, TURN

__all__ = [
    "clusters",
    "directions",
    "ladders",
    "loudest",
    "one_again",
    "one_more",
    "one_pair_more",
    "parted",
    "shift_invariant",
    "spread_clusters",
    "stretched",
]

# Geometric ladders of λ dt: (lowest times the number of lags, highest).
_LADDERS = ((5.0, 5.0), (0.5, 2.0), (0.5, 0.5), (0.05, 5.0), (0.1, 0.2))
_LARGEST = 200  # columns of the Hankel matrix
_LONG = 1000  # lags in it
_CENTRES, _WIDTHS = 6, (0.05, 0.5)  # of clusters: how many, and half their widths in log λ
_NEAR = 1.1  # ratio below which two neighbouring rates belong to one cluster
_PEAKS = 3  # of a spectrum
_SETTLED = 4.0  # λ dt beyond which an exponential is almost 0 from lag 1 on: all such rates are one cluster


def ladders(size: int, count: int) -> list[np.ndarray]:
    """Return geometric sequences of `count` real rates for `size` lags.

    Examples
    --------
    >>> len(ladders(100, 3)), ladders(100, 3)[0].size
    (5, 3)
    """
    return [np.geomspace(low / size, high, count) for low, high in _LADDERS]


def clusters(size: int, count: int) -> list[np.ndarray]:
    """Return `count` nearly equal rates around centres from slow to fast: for late and oscillating memories.

    Examples
    --------
    >>> clusters(100, 3)[0].round(6), len(clusters(100, 3))
    (array([0.019025, 0.02    , 0.021025]), 12)
    """
    centres = np.geomspace(2.0 / size, _SETTLED, _CENTRES)
    if count == 1:
        return [np.array([centre]) for centre in centres]
    return [centre * np.exp(np.linspace(-w, w, count)) for centre in centres for w in _WIDTHS]


def spread_clusters(rates: np.ndarray, width: float, shift: float = 1.0) -> np.ndarray:
    """Return `rates` with near-equal ones spread over λ e^{±width}, λ being `shift` times their centre.

    Examples
    --------
    >>> spread_clusters(np.array([1.0, 1.0, 3.0]), 0.1).round(3)
    array([0.905, 1.105, 3.   ])
    """
    rates = np.sort(rates)
    apart = (rates[1:] >= _NEAR * rates[:-1]) & (rates[:-1] <= _SETTLED)
    groups = np.split(rates, np.flatnonzero(apart) + 1)
    return np.concatenate(
        [
            group
            if group.size == 1
            else min(shift * np.exp(np.log(group).mean()), _SETTLED)
            * np.exp(np.linspace(-width, width, group.size))
            for group in groups
        ]
    )


def stretched(rates: np.ndarray) -> np.ndarray:
    """Return one real rate more: the same spacing in log λ, half a spacing beyond either end.

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


def directions(values: np.ndarray) -> list[tuple[int, np.ndarray]]:
    """Return for one or two Hankel matrices of `values` the step of its lags and its left singular vectors.

    Of long memories one matrix has the first lags, the other every k-th lag of all.

    Examples
    --------
    >>> [(step, basis.shape) for step, basis in directions(np.arange(5.0))]
    [(1, (4, 2))]
    >>> [step for step, _ in directions(np.ones(4000))]
    [1, 4]
    """
    steps = [1] if values.size <= _LONG else [1, math.ceil(values.size / _LONG)]
    vectors = []
    for step in steps:
        some = values[::step][:_LONG]
        columns = min(some.size // 2, _LARGEST)
        vectors.append((step, np.linalg.svd(sliding_window_view(some, columns), full_matrices=False)[0]))
    return vectors


def shift_invariant(
    directions: list[tuple[int, np.ndarray]], count: int, alternating: bool = False
) -> list[np.ndarray]:
    """Return the complex rates λ dt that a matrix pencil gives for `count` terms, made stable.

    Of a negative multiplier only the modulus is kept, unless `alternating`.

    Parameters
    ----------
    directions : list of (int, numpy.ndarray)
        What :func:`directions` returns; one array of rates is returned for each.
    count : int
        How many singular vectors are used, and so how many rates result.
    alternating : bool
        Whether negative multipliers are kept, as rates with the imaginary part π.

    Examples
    --------
    >>> shift_invariant([(1, 0.5 ** np.arange(5.0)[:, None])], 1)[0].round(6)
    array([0.693147+0.j])
    """
    rates = []
    for step, basis in directions:
        some = basis[:, :count]
        steps = np.linalg.eigvals(np.linalg.lstsq(some[:-1], some[1:])[0])
        decay = -np.log(np.clip(np.abs(steps), math.exp(-FASTEST), 1 - 1e-6))
        alone = np.where((steps.real < 0) & alternating, step * TURN, 0.0)
        turn = np.where(steps.imag == 0, alone, -np.angle(steps))
        rates.append((decay + 1j * turn) / step)
    return rates


def parted(rates: NDArray[np.inexact]) -> np.ndarray:
    """Return the real parts of `rates`, descending, spread by ±10 % so that none coincide.

    Examples
    --------
    >>> parted(np.array([0.1 + 1j, 0.1 - 1j])).round(3)
    array([0.11, 0.09])
    """
    # oscillations come as pairs of one modulus, and equal real rates would never part
    return np.sort(rates.real)[::-1] * np.linspace(1.1, 0.9, rates.size)


def one_more(rates: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rates` with one real rate added: four choices from slow to fast, for `size` lags.

    Examples
    --------
    >>> one_more(np.array([0.1 + 1j, 0.1 - 1j]), 100)[0]
    array([0.1  +1.j, 0.1  -1.j, 0.005+0.j])
    """
    return [np.append(rates, rate) for rate in np.geomspace(0.5 / size, 2.0, 4)]


def one_again(rates: np.ndarray) -> list[np.ndarray]:
    """Return for each cluster of `rates` all of them and a copy of the slowest of it, made 10 % faster.

    Examples
    --------
    >>> one_again(np.array([1.0, 1.001, 2.0]))[1]
    array([1.   , 1.001, 2.   , 2.2  ])
    """
    ordered = np.sort(rates)
    first = np.append(True, ordered[1:] >= _NEAR**3 * ordered[:-1])
    return [np.append(rates, _NEAR * rate) for rate in ordered[first]]


def one_pair_more(rates: np.ndarray, size: int) -> list[np.ndarray]:
    """Return `rates` with one conjugate pair added: three choices from slow to fast, for `size` lags.

    Examples
    --------
    >>> one_pair_more(np.array([]), 10)[-1]
    array([0.375+1.5j, 0.375-1.5j])
    """
    turns = np.geomspace(2 * math.pi / size, 1.5, 3)
    return [np.append(rates, turn * np.array([0.25 + 1j, 0.25 - 1j])) for turn in turns]


def loudest(residual: np.ndarray) -> list[np.ndarray]:
    """Return conjugate pairs of rates at the highest peaks of a spectrum, each weakly and more damped.

    Parameters
    ----------
    residual : numpy.ndarray, shape (n,)
        What is left to fit, times the weights of the lags.

    Examples
    --------
    >>> loudest(np.cos(2.5 * np.arange(100)))[0].round(2)
    array([0.01+2.5j, 0.01-2.5j])
    """
    size = residual.size
    padded = 1 << (4 * size - 1).bit_length()
    heard = np.abs(np.fft.rfft(residual, padded))[1:-1]
    around = np.pad(heard, 1)
    peaks = np.flatnonzero((heard >= around[:-2]) & (heard >= around[2:]))
    turns = 2 * math.pi * (1 + peaks[np.argsort(-heard[peaks])[:_PEAKS]]) / padded
    return [np.array([d + 1j * turn, d - 1j * turn]) for turn in turns for d in (1 / size, 10 / size)]
