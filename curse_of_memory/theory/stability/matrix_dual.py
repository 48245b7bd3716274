"""Certified upper bounds of max ‖r + vᵀN‖ over a matrix of bounded spectral norm and two bounded vectors.

Let v hold a matrix X, row by row, and vectors p and q, with |X|₂, |p|, |q| <= 1. By weak duality, for
positive semidefinite M and L and numbers μ, ν >= 0, and D the map (X, p, q) ↦ (XM + LX, μp, νq), if
D − NNᵀ is positive definite,

    max ‖r + vᵀN‖² <= ‖r‖² + tr M + tr L + μ + ν + bᵀ (D − NNᵀ)^{-1} b,   b = N r ,

since tr(M XᵀX) <= tr M and tr(L XXᵀ) <= tr L. Any M, L, μ, ν serve; the best are the solution of a
semidefinite program, which a few multiplicative steps come close to.
"""

import math

import numpy as np

from curse_of_memory.theory.stability.full_ball import polar, unit
from curse_of_memory.theory.stability.quadratic_bound import smallest_dual

__all__ = ["largest_affine"]

# how far D − NNᵀ is kept from singular at each step: the bound is off by about as much
_ROOM = np.geomspace(0.3, 5e-4, 30)
_ROOM_OF_SUMS = np.geomspace(0.3, 2e-3, 12)
_POWER = 0.35  # of a step: with more of it they overshoot
_FLOORS = (1e-3, 1e-2, 1e-1)
_ASCENT = 20
# room for rounding: conditions of D are kept below 1e8
_CONDITION, _ROUNDING = 1e-8, 1 + 1e-9


def largest_affine(r: np.ndarray, N: np.ndarray, sizes: np.ndarray, start: np.ndarray, order: int) -> float:
    """Return an upper bound of max ‖r + vᵀN‖ over v = (matrix, two vectors) of bounded norms.

    For the sum of magnitudes, (Σ|x|)² <= Σω Σx²/ω with ω near |x| at a local maximum.

    Parameters
    ----------
    r : numpy.ndarray, shape (rows,)
        The residual at v = 0.
    N : numpy.ndarray, shape (m² + 2m, rows) or (m², rows)
        What each entry of the matrix, row by row, and of the two vectors adds.
    sizes : numpy.ndarray, shape (3,)
        The largest spectral norm of the matrix, and lengths of the vectors.
    start : numpy.ndarray, shape (m² + 2m,) or (m²,)
        Where to look for a local maximum.
    order : {1, 2}
        Which norm.

    Examples
    --------
    >>> r, N = np.zeros(4), np.eye(4)  # |X|₂ <= 1: the sum of squares is largest for rotations
    >>> round(largest_affine(r, N, np.array([1.0, 0.0, 0.0]), np.eye(2).ravel(), 2), 2)
    1.41
    """
    m = math.isqrt(len(N) + 1) - 1 if math.isqrt(len(N)) ** 2 != len(N) else math.isqrt(len(N))
    scale = np.concatenate([np.full(m * m, sizes[0]), np.full(m, sizes[1]), np.full(m, sizes[2])])[: len(N)]
    N = N * scale[:, None]
    if not (np.isfinite(N).all() and np.isfinite(r).all()):
        return math.inf
    if order == 2:
        return _largest_length(r, N, m, _ROOM)
    if not N.any():
        return float(np.abs(r).sum())
    # each entry by itself, and by Cauchy-Schwarz
    best = float(np.abs(r).sum() + _whole(N, m).sum())
    for first in (start / np.maximum(scale, 1e-300), N @ np.sign(r)):
        x = np.abs(r + _local_maximum(r, N, first, m) @ N)
        spread = (x.sum() / max(x.size, 1)) * np.ones_like(x)
        for floor in _FLOORS:
            omega = x + floor * spread + 1e-290
            root = 1 / np.sqrt(omega)
            length = _largest_length(r * root, N * root, m, _ROOM_OF_SUMS)
            best = min(best, length * math.sqrt(float(omega.sum())))
    return best


def _vectors(m: int, size: int) -> list[slice]:
    """Return where in v the vectors are, after the m² entries of the matrix."""
    return [slice(at, at + m) for at in range(m * m, size, m)]


def _whole(N: np.ndarray, m: int) -> np.ndarray:
    """Return the most that v can add to each row alone: nuclear norms for the matrix, plus lengths."""
    matrices = np.moveaxis(N[: m * m], 0, 1).reshape(-1, m, m)
    nuclear = np.linalg.svd(matrices, compute_uv=False).sum(-1)
    return nuclear + sum(np.linalg.norm(N[part], axis=0) for part in _vectors(m, len(N)))


def _farthest(g: np.ndarray, m: int) -> np.ndarray:
    return np.concatenate(
        [polar(g[: m * m].reshape(m, m)).ravel(), *(unit(g[p]) for p in _vectors(m, g.size))]
    )


def _local_maximum(r: np.ndarray, N: np.ndarray, start: np.ndarray, m: int) -> np.ndarray:
    v = _farthest(start, m)
    for _ in range(_ASCENT):
        v = _farthest(N @ np.sign(r + v @ N), m)
    return v


def _largest_length(r: np.ndarray, N: np.ndarray, m: int, rooms) -> float:
    """Return the smallest dual bound of max ‖r + vᵀN‖₂ among the iterates of M, L, μ and ν."""
    Q, b, vectors = N @ N.T, N @ r, _vectors(m, len(N))
    block = slice(0, m * m)
    if not Q.any():
        return float(np.linalg.norm(r))
    Q = Q / (unit_size := float(np.trace(Q)))
    b = b / unit_size
    M, L = np.eye(m) / m, np.eye(m) / m
    mu = np.array([max(float(np.trace(Q[part, part])), 1e-12) for part in vectors])
    best = math.inf
    for room in rooms:
        least = _CONDITION * max(np.trace(M), np.trace(L), *mu)
        M, L, mu = M + least * np.eye(m), L + least * np.eye(m), mu + least
        D = np.zeros_like(Q)
        D[block, block] = np.kron(np.eye(m), M) + np.kron(L, np.eye(m))
        for part, size in zip(vectors, mu, strict=True):
            D[part, part] = size * np.eye(m)
        inverse = np.linalg.inv(np.linalg.cholesky(D))
        scaled, total = inverse @ Q @ inverse.T, float(np.trace(M) + np.trace(L) + mu.sum())
        scaled = (scaled + scaled.T) / 2
        best = min(best, float(smallest_dual(scaled[None], (inverse @ b)[None], np.array([total]))[0]))
        sizes, axes = np.linalg.eigh(scaled)
        along = (inverse @ b) @ axes
        factors = max(sizes[-1], 1e-12) * (1 + room * np.geomspace(1.0, 10 / room, 30))
        bounds = factors * total + (along**2 / (factors[:, None] - sizes)).sum(-1)
        factor = float(factors[bounds.argmin()])
        half = inverse.T @ axes / np.sqrt(factor - sizes)
        moved = half @ (half.T @ b)
        # stationary where these, partly traced, are the identity
        K = np.outer(moved, moved) + room * factor * total / len(Q) * half @ half.T
        four = K[block, block].reshape(m, m, m, m)
        M = factor * _between(M, np.einsum("kakb->ab", four))
        L = factor * _between(L, np.einsum("kala->kl", four))
        mu = factor * mu * np.power([np.trace(K[part, part]) for part in vectors], _POWER)
    return math.sqrt(float(r @ r) + unit_size * best) * _ROUNDING


def _between(M: np.ndarray, P: np.ndarray) -> np.ndarray:
    """Return M^{1/2} Pᵖ M^{1/2}, the multiplicative step for M, which rests where P is the identity."""
    half = _power(M, 0.5)
    return half @ _power(P, _POWER) @ half


def _power(M: np.ndarray, exponent: float) -> np.ndarray:
    sizes, axes = np.linalg.eigh((M + M.T) / 2)
    return (axes * np.maximum(sizes, 0.0) ** exponent) @ axes.T
