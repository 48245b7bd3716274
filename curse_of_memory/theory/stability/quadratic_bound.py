"""Certified upper bounds of max ‖r + N v‖ over v in a product of intervals and one ball.

For v with v_i² <= 1 for each of the first k entries and |v_rest| <= 1, weak duality gives, for every
diagonal D = diag(ν_1, …, ν_k, μ, …, μ) with D − NᵀN positive definite,

    max ‖r + N v‖² <= ‖r‖² + Σν + μ + bᵀ (D − NᵀN)^{-1} b,   b = Nᵀ r .

D is guessed from the stationarity conditions at a local maximum, (NᵀN v + b)_i = ν_i v_i; where that is the
global one and D − NᵀN is positive definite, the bound is attained.
"""

import numpy as np

__all__ = ["largest_norm", "largest_sum", "smallest_dual"]

_ROUNDS = 12
# factors by which a guess of D is enlarged beyond what makes D − NᵀN positive definite
_ROOM = np.concatenate([[1 + 1e-9, 1 + 1e-6], 1 + np.geomspace(1e-4, 10.0, 16)])


def _ascended(v, toward, k, rounds):
    """Return the local maximum that conditional-gradient steps reach from v; `toward` is the gradient."""
    for _ in range(rounds):
        before, v = v, _farthest(toward(v), k)
        if np.array_equal(v, before):  # of entries that are all bounded one by one, after a step or two
            break
    return v


def _farthest(h, k):
    """Return the v farthest along h."""
    if k == h.shape[-1]:
        return np.where(h < 0, -1.0, 1.0)
    rest = h[..., k:]
    length = np.sqrt((rest * rest).sum(-1, keepdims=True))
    return np.concatenate([np.where(h[..., :k] < 0, -1.0, 1.0), rest / np.maximum(length, 1e-300)], -1)


def largest_norm(r: np.ndarray, N: np.ndarray, k: int) -> np.ndarray:
    """Return upper bounds of max ‖r + N v‖₂ over |v_i| <= 1, i < k, and |v_rest| <= 1.

    Parameters
    ----------
    r : numpy.ndarray, shape (n, rows)
        Residuals at v = 0.
    N : numpy.ndarray, shape (n, j, rows)
        What each of the j entries of v adds; transposed.
    k : int
        The first k entries of v are bounded one by one, the others by their Euclidean norm.

    Returns
    -------
    numpy.ndarray, shape (n,)

    Examples
    --------
    >>> r, N = np.zeros((1, 2)), np.eye(2)[None]
    >>> largest_norm(r, N, k=2).round(6), largest_norm(r, N, k=0).round(6)
    (array([1.414214]), array([1.]))
    """
    Q, b = N @ np.swapaxes(N, 1, 2), (N @ r[..., None])[..., 0]
    best = np.full(len(r), np.inf)
    for start in (b, -b, np.ones_like(b)):
        v = _ascended(_farthest(start, k), lambda v: (Q @ v[..., None])[..., 0] + b, k, _ROUNDS)
        best = np.minimum(best, _dual(Q, b, v, k))
    return np.sqrt((r * r).sum(-1) + best)


def _dual(Q, b, v, k):
    """Return the smallest dual bound of max vᵀQv + 2bᵀv found from the multipliers at v."""
    h = (Q @ v[..., None])[..., 0] + b
    # D − Q can only be positive definite with a larger diagonal than that of Q
    D = np.maximum(np.abs(h), np.diagonal(Q, axis1=1, axis2=2))
    if k < h.shape[-1]:
        length = np.linalg.norm(h[..., k:], axis=-1, keepdims=True)
        D[..., k:] = np.maximum(length, np.diagonal(Q, axis1=1, axis2=2)[:, k:].max(-1, keepdims=True))
    D = np.maximum(D, 1e-9 * D.max(-1, keepdims=True) + 1e-290)
    root = np.sqrt(D)
    finite = np.isfinite(Q).all((1, 2)) & np.isfinite(D).all(-1)
    scaled = np.where(finite[:, None, None], Q / (root[:, :, None] * root[:, None, :]), 0.0)
    total = D[:, :k].sum(-1) + (D[:, k] if k < D.shape[-1] else 0.0)
    return np.where(finite, smallest_dual(scaled, b / root, total), np.inf)


def smallest_dual(scaled: np.ndarray, b: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Return the smallest dual bound φ total + bᵀ (φ − Q)^{-1} b over some φ with φ − Q positive definite.

    Parameters
    ----------
    scaled : numpy.ndarray, shape (n, j, j)
        Q = D^{−1/2} NᵀN D^{−1/2}.
    b : numpy.ndarray, shape (n, j)
        D^{−1/2} Nᵀr.
    total : numpy.ndarray, shape (n,)
        What D gives to the bound: Σν + μ.
    """
    sizes, vectors = np.linalg.eigh(scaled)
    along = (b[:, None, :] @ vectors)[:, 0]
    largest = sizes[:, -1:]
    # the guess itself, where that is enough, and enlargements of what is just enough
    factors = np.concatenate([np.maximum(1.0, largest * _ROOM[0]), np.maximum(largest, 1e-12) * _ROOM], 1)
    # less than the eigenvalues can be off by rounding
    room = factors[..., None] - sizes[:, None, :] - 1e-13 * np.abs(sizes).max(-1)[:, None, None]
    bounds = factors * total[:, None] + (along[:, None, :] ** 2 / room).sum(-1)
    return bounds.min(-1)


def largest_sum(r: np.ndarray, N: np.ndarray, k: int) -> np.ndarray:
    """Return upper bounds of max ‖r + N v‖₁, with arguments as for :func:`largest_norm`.

    For every ω > 0, (Σ|x|)² <= Σω Σx²/ω, with equality at ω = |x|: so ω is taken at a local maximum, a
    little larger where that is small.

    Examples
    --------
    >>> largest_sum(np.zeros((1, 2)), np.array([[[1.0, 2.0]]]), k=1).round(2)
    array([3.])
    """

    def along(v):
        return (N @ np.sign(r + (v[:, None, :] @ N)[:, 0])[..., None])[..., 0]

    best = np.full(len(r), np.inf)
    slopes = (N @ np.sign(r)[..., None])[..., 0]
    for start in (slopes, -slopes):
        v = _ascended(_farthest(start, k), along, k, _ROUNDS // 2)
        x = np.abs(r + (v[:, None, :] @ N)[:, 0])
        spread = np.abs(N).sum(1) + np.abs(r)
        for floor in (1e-3, 3e-2):
            omega = x + floor * spread + 1e-290
            root = 1 / np.sqrt(omega)
            weighted = largest_norm(r * root, N * root[:, None, :], k)
            best = np.minimum(best, weighted * np.sqrt(omega.sum(-1)))
    return best
