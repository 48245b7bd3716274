"""The memory of a linear dilated convolutional network is a tensor train.

Equation.   Layers of filters with two taps W_l[0], W_l[1] and dilations 1, 2, 4, …, 2^{L−1} have the memory

                ρ̂(s) = c W_{L−1}[s_{L−1}] ⋯ W_1[s_1] W_0[s_0],        s = Σ_l s_l 2^l,  s_l ∈ {0, 1},

            at the lags s < 2^L: one matrix for each binary digit of the lag. A network of width r thus has a
            tensor train of ranks <= r as memory, and every such train is one. The ranks of ρ are those of
            its unfoldings, ρ reshaped to (2^{L−l}, 2^l); no train of rank r comes closer to ρ than the best
            matrix of rank r to an unfolding (Eckart and Young 1936). Exponentials, single spikes and all
            products over digits have rank one, whatever their length.

Algorithm.  Successive truncated SVDs (Oseledets, SIAM J. Sci. Comput. 33, 2011) start at most √(L − 1) times
            above the best in l², and in the norm of weights that are products over digits, such as the ones
            nearest to given weights. Then one core after the other is set to its weighted least-squares
            value, which never makes the error larger.

Source: the rates of Jiang, Li and Li ("Approximation theory of convolutional architectures for time series
modelling", 2021) go by the ranks of this tensor; see the survey 2302.13752.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.theory.targets.units import power_of_two
from curse_of_memory.tools import checks

__all__ = ["TensorTrain", "fit_tensor_train", "ranks"]

SWEEPS = 50
STILL = 1e-6  # relative gain of a sweep below which it was the last


@dataclass(frozen=True, eq=False)
class TensorTrain:
    """A memory as a product of matrices, one for each binary digit of the lag.

    Attributes
    ----------
    cores : tuple of arrays of shape ``(r_{l+1}, 2, r_l)``
        W_l[j] at ``cores[l][:, j]``, from the lowest digit on; r_0 = r_L = 1, c is in the last core.
    error : float
        (Σ w_s (ρ_s − ρ̂_s)² / Σ w_s ρ_s²)^{1/2} over the lags it was fitted to.
    """

    cores: tuple[np.ndarray, ...]
    error: float

    @property
    def width(self) -> int:
        """r, the largest rank."""
        return max(core.shape[0] for core in self.cores)

    def values(self) -> np.ndarray:
        """Return ρ̂ at the lags 0 … 2^L − 1."""
        return _left(self.cores)[:, 0]


def ranks(values: ArrayLike, tolerance: float = 1e-12) -> list[int]:
    """Return the ranks r_1 … r_{L−1} of the unfoldings of `values`, of length 2^L.

    Singular values up to `tolerance` times the largest count as rounding.

    Examples
    --------
    >>> s = np.arange(64)
    >>> ranks(0.9**s), ranks(s == 31), ranks(1.0 + s)
    ([1, 1, 1, 1, 1], [1, 1, 1, 1, 1], [2, 2, 2, 2, 2])
    """
    values, digits = _checked(values)
    unfoldings = (values.reshape(-1, 2**level) for level in range(1, digits))
    spectra = [np.linalg.svd(matrix, compute_uv=False) for matrix in unfoldings]
    return [int((s > tolerance * s[0]).sum()) for s in spectra]


def fit_tensor_train(values: ArrayLike, width: int, weight: ArrayLike | None = None) -> TensorTrain:
    """Return the memory of a linear dilated network of `width` channels fitted to `values`, a tensor train.

    The problem is not convex: its error is an upper bound of the smallest one.

    Parameters
    ----------
    values : array_like, shape (2^L,)
        ρ_s at the lags 0 … 2^L − 1, L >= 2.
    width : int
        r, the channels of every layer.
    weight : array_like, shape (2^L,), optional
        w_s > 0; ones by default.

    Returns
    -------
    TensorTrain

    Raises
    ------
    ValueError, TypeError
        If there are NaNs, weights that are not positive, a length that is no power of two, or nothing but
        zeros to fit.

    Examples
    --------
    >>> two = 0.9 ** np.arange(64) + 0.5 ** np.arange(64)
    >>> fit_tensor_train(two, 1).error > 0.01, fit_tensor_train(two, 2).error < 1e-14
    (True, True)
    """
    values, digits = _checked(values)
    checks.positive_int("width", width)
    w = np.ones(values.size) if weight is None else lagged("weight", weight).values
    if w.shape != values.shape or w.min() <= 0:
        raise ValueError(f"weight must be {values.size} positive numbers, got {w.size}, least {w.min():g}")
    if not values.any():
        raise ValueError("values must not all be zero")
    unit, w = power_of_two(float(np.abs(values).max())), w / w.max()
    values = values / unit
    starts = [_truncated(values, np.ones((digits, 2)), width)]
    if weight is not None:
        starts.append(_truncated(values, _separable(np.sqrt(w), digits), width))
    best = min((_improved(start, values, w) for start in starts), key=lambda train: train.error)
    return replace(best, cores=(unit * best.cores[0], *best.cores[1:]))


def _checked(values: ArrayLike) -> tuple[np.ndarray, int]:
    values, _ = lagged("values", values)
    digits = values.size.bit_length() - 1
    if values.size != 2**digits or digits < 2:
        raise ValueError(f"values must be 4, 8, 16, ... numbers, got {values.size}")
    return values, digits


def _separable(scale: np.ndarray, digits: int) -> np.ndarray:
    """Return factors, ``(digit, 2)``, whose product over the digits is nearest to `scale` in logarithm."""
    logs = np.log(scale).reshape((2,) * digits)
    # the axis of the lowest digit is the last
    means = np.stack([logs.mean(tuple(set(range(digits)) - {digits - 1 - level})) for level in range(digits)])
    return np.exp(means - logs.mean() * (1 - 1 / digits))


def _truncated(values: np.ndarray, factors: np.ndarray, width: int) -> list[np.ndarray]:
    """Return the train of successive truncated SVDs, nearest in the norm scaled by `factors`."""
    digits, scale = len(factors), np.ones(1)
    for factor in factors:  # from the lowest digit on: later ones are outer
        scale = np.outer(factor, scale).ravel()
    cores, rest = [], (values * scale).reshape(-1, 1)
    for _ in range(digits - 1):
        matrix = rest.reshape(len(rest) // 2, 2 * rest.shape[1])
        left, s, right = np.linalg.svd(matrix, full_matrices=False)
        kept = min(width, s.size)
        cores.append(right[:kept].reshape(kept, 2, -1))
        rest = left[:, :kept] * s[:kept]
    cores.append(rest.reshape(1, 2, -1))
    return [core / factor[:, None] for core, factor in zip(cores, factors, strict=True)]


def _improved(cores: list[np.ndarray], values: np.ndarray, w: np.ndarray) -> TensorTrain:
    """Return the best train of successive sweeps of least squares, from these cores on."""
    best = TensorTrain(tuple(cores), _error(cores, values, w))
    for _ in range(SWEEPS):
        cores = _swept(cores, values, np.sqrt(w))
        before, now = best.error, _error(cores, values, w)
        if now < before:
            best = TensorTrain(tuple(cores), now)
        if now > (1 - STILL) * before:
            break
    return best


def _left(cores) -> np.ndarray:
    """Return the products of cores from the lowest digit on, ``(lags of these digits, rank)``."""
    product = np.ones((1, 1))
    for core in cores:
        product = np.einsum("ajb,sb->jsa", core, product).reshape(-1, core.shape[0])
    return product


def _right(cores) -> np.ndarray:
    """Return the products of cores up to the highest digit, ``(lags of these digits, rank)``."""
    product = np.ones((1, 1))
    for core in reversed(cores):
        product = np.einsum("ua,ajb->ujb", product, core).reshape(-1, core.shape[2])
    return product


def _swept(cores: list[np.ndarray], values: np.ndarray, scale: np.ndarray) -> list[np.ndarray]:
    """Return the train after a least-squares solution for each core, from the lowest digit on."""
    cores = list(cores)
    for level, core in enumerate(cores):
        low, high = _left(cores[:level]), _right(cores[level + 1 :])
        blocks = scale.reshape(len(high), 2, len(low))
        target = (blocks * values.reshape(blocks.shape)).reshape(-1)
        # the value at digit j is high · core[:, j] · low: each digit has its own columns
        product = np.einsum("ua,sb->usab", high, low).reshape(len(high), len(low), -1)
        design = np.zeros((*blocks.shape, 2, product.shape[-1]))
        for j in range(2):
            design[:, j, :, j] = blocks[:, j, :, None] * product
        solution = np.linalg.lstsq(design.reshape(target.size, -1), target)[0]
        fitted = solution.reshape(2, core.shape[0], core.shape[2]).transpose(1, 0, 2)
        if level + 1 < len(cores):
            # orthogonal cores below keep the next least-squares problem well conditioned
            q, r = np.linalg.qr(fitted.reshape(core.shape[0], -1).T)
            fitted = q.T.reshape(-1, 2, core.shape[2])
            cores[level + 1] = np.einsum("ajb,cb->ajc", cores[level + 1], r)
        cores[level] = fitted
    return cores


def _error(cores, values: np.ndarray, w: np.ndarray) -> float:
    return float(np.sqrt((w * (_left(cores)[:, 0] - values) ** 2).sum() / (w * values**2).sum()))
