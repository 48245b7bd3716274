"""The search for filters that make the lower bound of the weighted ℓ2 error of m-state systems sharp.

What filters are, and the bound that they prove: :mod:`curse_of_memory.theory.exponential_sums.lower_bounds`.
"""

import math

import numpy as np
from scipy import fft
from scipy.optimize import minimize

__all__ = ["FilterSearch", "ladder"]

_NODES = 64  # values that a filter is interpolated from, linearly, where it is longer
_SHARPNESS = (10, 100, 1000, 10_000)  # t of the smooth maximum (Σ γ_i^t / N)^{1/t}, one after the other
_WORK = 4e7  # numbers per search, over all products of filters and all evaluations, ...
_DENSE = 36  # ... of which eigenvalues take as many as the products for so many of them
_REACH = 1.2  # what a search gains after its first quarter is a factor of less than this, as a rule
_EVALUATIONS = (80, 600)  # the fewest and the most of a search
_NOTHING = 1e-30


def ladder(size: int) -> np.ndarray:
    """Return 0, ..., size − 1 if these are at most 64, else 64 or fewer of them in nearly geometric steps.

    Examples
    --------
    >>> ladder(5), ladder(5000)[[0, 1, -1]]
    (array([0, 1, 2, 3, 4]), array([   0,    1, 4999]))
    """
    if size <= _NODES:
        return np.arange(size)
    steps = np.geomspace(8, size - 1, _NODES - 8).round().astype(int)
    return np.unique(np.concatenate([np.arange(8), steps]))


class FilterSearch:
    """Gradient ascent for filters x_a, y_b that make the bound Σ_{k>m} σ_k²(F)/γ large.

    It starts from the singular vectors of a scaled section of the Hankel matrix.

    Parameters
    ----------
    values, weight : numpy.ndarray, shape (n,)
        ρ_s and w_s > 0.
    terms : int
        m.

    Examples
    --------
    >>> X, Y = FilterSearch(np.array([1.0, 0.0, 1.0]), np.ones(3), terms=1).best(2)
    >>> X.shape, Y.shape
    ((2, 2), (2, 2))
    """

    def __init__(self, values: np.ndarray, weight: np.ndarray, terms: int):
        self.values, self.inverse, self.terms = values, 1 / weight, terms
        # the stubs of scipy say that it returns None
        self.size: int = fft.next_fast_len(values.size, real=True)  # pyright: ignore[reportAttributeAccessIssue]
        half = (values.size + 1) // 2
        # u_i² v_j² = √(w_{2i} w_{2j}) is w_{i+j} for exponential weights and never far above it
        falling = np.minimum.accumulate(weight)
        scale = falling[np.minimum(2 * np.arange(values.size), values.size - 1)] ** 0.25
        self.bases = tuple(_hats(scale[:count]) for count in (half, values.size + 1 - half))
        self.shapes = tuple((len(basis), len(basis)) for basis in self.bases)
        self.leading, self.lowest = np.empty(0), math.inf  # θ of the largest bound so far, and its objective

    def best(
        self, count: int, enough: float = math.inf, beat: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray] | None:
        """Return the best `count` filters found on each side, shapes (count, p) and (count, q).

        The search ends early where (Σ_{k>m} σ_k²(F)/γ)^{1/2} reaches `enough`. It is given up, and None
        returned, where a quarter of it leaves that too far below `beat`.
        """
        left, right = self.bases
        twice = 2 * self.size
        across = np.asarray(fft.irfft(_spectrum(self.values, twice) * _spectrum(right, twice).conj(), twice))
        U, _, V = np.linalg.svd(left @ across[:, : left.shape[1]].T, full_matrices=False)
        count = min(count, len(U), len(V))
        self.shapes = (count, len(left)), (count, len(right))
        theta = np.concatenate([U[:, :count].T.ravel(), V[:count].ravel()])
        work = self.values.size * count**2 * (1 + (min(count**2, self.values.size) / _DENSE) ** 2)
        evaluations = int(np.clip(_WORK / work, *_EVALUATIONS))
        options = {"maxfun": evaluations // len(_SHARPNESS), "maxcor": 20}
        self.leading, self.lowest = theta, math.inf

        def stop(_):
            if self.lowest <= -2 * math.log(enough):
                raise StopIteration

        for sharpness in _SHARPNESS:
            if self.lowest > -2 * math.log(enough):
                minimize(
                    self.objective,
                    self.leading,
                    args=(sharpness,),
                    jac=True,
                    method="L-BFGS-B",
                    callback=stop,
                    options=options,
                )
            if math.exp(-self.lowest / 2) * _REACH < beat:
                return None
        return self.filters(self.leading)

    def filters(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the filters x and y whose coordinates in the two bases are θ."""
        left, right = self.shapes
        cut = math.prod(left)
        return theta[:cut].reshape(left) @ self.bases[0], theta[cut:].reshape(right) @ self.bases[1]

    def objective(self, theta: np.ndarray, sharpness: float) -> tuple[float, np.ndarray]:
        """Return −log Σ_{k>m} σ_k²(F) + log γ, with a smooth maximum for γ, and its gradient."""
        X, Y = (_spectrum(Z, self.size) for Z in self.filters(theta))
        count, n = len(X) * len(Y), self.values.size
        products = np.asarray(fft.irfft(X[:, None] * Y, self.size))[..., :n].reshape(count, n)
        F = (products @ self.values).reshape(len(X), len(Y))
        U, sizes, V = np.linalg.svd(F, full_matrices=False)
        tail = np.sum(sizes[self.terms :] ** 2) + _NOTHING
        rest = (U[:, self.terms :] * sizes[self.terms :]) @ V[self.terms :]

        # of P Pᵀ and Pᵀ P, with the same eigenvalues but for zeros, the smaller one
        weighed = products * np.sqrt(self.inverse)
        eigenvalues, vectors = np.linalg.eigh(weighed @ weighed.T if count <= n else weighed.T @ weighed)
        largest = eigenvalues[-1]
        share = np.maximum(eigenvalues / largest, _NOTHING) ** sharpness
        smooth = math.log(largest) + math.log(share.sum() / count) / sharpness
        # the value without smoothing decides which filters are kept
        if (value := math.log(largest) - math.log(tail)) < self.lowest:
            self.leading, self.lowest = theta.copy(), value

        pull = share / share.sum() / np.maximum(eigenvalues, _NOTHING * largest)
        if count <= n:
            by_product = (vectors * (2 * pull)) @ (vectors.T @ products) * self.inverse
        else:
            by_product = (weighed @ vectors) @ (vectors * (2 * pull)).T * np.sqrt(self.inverse)
        by_product -= (2 / tail) * rest.reshape(-1, 1) * self.values
        by_product = _spectrum(by_product.reshape(len(X), len(Y), n), self.size)
        by_filter = (by_product * Y.conj()).sum(1), (by_product * X[:, None].conj()).sum(0)
        slopes = [
            (np.asarray(fft.irfft(s, self.size))[:, : basis.shape[1]] @ basis.T).ravel()
            for s, basis in zip(by_filter, self.bases, strict=True)
        ]
        return smooth - math.log(tail), np.concatenate(slopes)


def _spectrum(signals: np.ndarray, size: int) -> np.ndarray:
    """Return the Fourier transforms of signals ``(..., n)`` extended by zeros to `size`."""
    return np.asarray(fft.rfft(signals, size))


def _hats(scale: np.ndarray) -> np.ndarray:
    """Return `scale` times piecewise linear functions on a ladder of nodes, of about unit norm, as rows."""
    nodes = ladder(scale.size)
    if nodes.size == scale.size:
        return np.diag(scale)
    hats = np.array([np.interp(np.arange(scale.size), nodes, one) for one in np.eye(nodes.size)])
    return hats / np.linalg.norm(hats, axis=1, keepdims=True) * scale
