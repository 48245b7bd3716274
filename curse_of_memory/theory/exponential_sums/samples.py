"""A memory and its weights on a grid of lags, condensed to a least-squares problem of some hundred rows.

Sums of e^{−λs} and of s^k e^{−λs} with real rates are smooth in the logarithm of the lag: on the lags from a
to 2a each of them is a polynomial of degree 27 to about 1e-15 of its value at a, and on all lags all of them
are to about 1e-14 combinations of some hundred, known by their values at so many lags. So long memories are
projected on those, orthogonally under the weights, and what none of them can meet is one number. The work of
a fit is then that of a hundred lags, however many there are.
"""

import copy
import itertools

import numpy as np
from numpy.polynomial.chebyshev import chebvander
from scipy.linalg import block_diag, qr, solve_triangular

from curse_of_memory.theory.exponential_sums.modes import FASTEST

__all__ = ["Samples"]

_PLAIN = 128  # lags that are kept as they are
_DEGREES = 28  # polynomials on each octave of lags after them
_RATES, _POWERS = 160, (0, 1, 2, 4, 7, 11)  # the functions (λs)^k e^{−λs} whose span stands for all sums
_FREE = 24  # first lags that are always among the kept ones
_PRECISION = 1e-15


class Samples:
    """What a fit compares: y = √w ρ/‖√w ρ‖, at all lags or projected on fewer coordinates.

    Parameters
    ----------
    values, root_weight : numpy.ndarray, shape (n,)
        ρ_s and √w_s >= 0.
    condensed : bool
        Whether more than 256 lags are projected on what real rates can make of them.

    Attributes
    ----------
    size : int
        n.
    lags : numpy.ndarray
        Lags at which functions are asked for.
    scale : float
        Norm of √w ρ.
    y : numpy.ndarray
        √w ρ over its norm, in the coordinates of :meth:`weighed`.

    Raises
    ------
    ValueError
        If the values vanish wherever there is weight.

    Examples
    --------
    >>> Samples(np.ones(3), np.ones(3)).y.round(6)
    array([0.57735, 0.57735, 0.57735])
    >>> long = Samples(0.999 ** np.arange(10_000), np.ones(10_000), condensed=True)
    >>> long.lags.size < 120
    True
    >>> bool(np.linalg.norm(long.y - long.weighed(0.999**long.lags[:, None])[:, 0] / long.scale) < 1e-13)
    True
    """

    def __init__(self, values: np.ndarray, root_weight: np.ndarray, condensed: bool = False):
        self.size = values.size
        y = root_weight * values
        self.scale = float(np.linalg.norm(y))
        if self.scale == 0:
            raise ValueError("values must not be zero at every lag with weight")
        self.y = y / self.scale
        self.lags, self._weight = np.arange(self.size), root_weight
        if condensed and self.size > 2 * _PLAIN:
            self._condense(root_weight)

    def thinned(self, most: int) -> "Samples":
        """Return samples at about `most` lags, all early ones and random later ones, for a first search.

        Examples
        --------
        >>> Samples(np.ones(30_000), np.ones(30_000)).thinned(2000).lags.size
        2000
        """
        if self._weight.ndim > 1 or self.size <= most:
            return self
        edges = np.linspace(most // 2, self.size, most - most // 2 + 1)
        # one lag of every stretch: at random, or fast oscillations would look like slow ones
        later = edges[:-1] + np.random.default_rng(0).uniform(size=edges.size - 1) * np.diff(edges)
        few = copy.copy(self)
        few.lags = np.append(np.arange(most // 2), np.floor(later).astype(int))
        share = np.append(np.ones(most // 2), np.sqrt(np.diff(edges)))
        few.y, few._weight = share * self.y[few.lags], share * self._weight[few.lags]
        return few

    def weighed(self, functions: np.ndarray) -> np.ndarray:
        """Return √w f in the coordinates of `y` for functions f at `lags`, one a column."""
        if self._weight.ndim == 1:
            return self._weight[:, None] * functions
        return self._weight @ functions

    def _condense(self, root_weight):
        edges = [_PLAIN]
        while edges[-1] < self.size:
            edges.append(min(2 * edges[-1], self.size))
        lags, blocks, y = [np.arange(_PLAIN)], [np.diag(root_weight[:_PLAIN])], [self.y[:_PLAIN]]
        for low, high in itertools.pairwise(edges):
            nodes, interpolated = _octave(low, high)
            Q, R = np.linalg.qr(root_weight[low:high, None] * interpolated)
            lags.append(nodes)
            blocks.append(R)
            y.append(Q.T @ self.y[low:high])
        lags, y = np.concatenate(lags), np.concatenate(y)
        kept, from_kept = _skeleton(lags)
        Q, R = np.linalg.qr(block_diag(*blocks) @ from_kept)
        self.lags, y = lags[kept], Q.T @ y
        # one more row, zero for all functions: what is left of the values
        self.y = np.append(y, np.sqrt(max(0.0, 1.0 - y @ y)))
        self._weight = np.vstack([R, np.zeros(kept.size)])


def _skeleton(lags: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the lags whose values determine real sums at all lags, ascending, and the matrix to all lags."""
    scaled = np.multiply.outer(np.geomspace(1e-3 / lags[-1], FASTEST, _RATES), lags)
    functions = np.concatenate([scaled**k * np.exp(-scaled) for k in _POWERS])
    functions /= functions.max(1, keepdims=True)
    # where rates are fast a sum may have any values at the first lags
    functions = np.concatenate([functions, np.eye(_FREE, lags.size)])
    # the stubs of scipy know neither the shape of what is returned nor that all are arrays
    _, R, order = qr(functions, mode="economic", pivoting=True)  # pyright: ignore[reportAssignmentType]
    rank = int((np.abs(R.diagonal()) > _PRECISION * abs(R[0, 0])).sum())
    ascending = np.argsort(order[:rank])
    from_kept = np.zeros((lags.size, rank))
    from_kept[order[:rank]] = np.eye(rank)
    from_kept[order[rank:]] = solve_triangular(R[:rank, :rank], R[:rank, rank:]).T
    return order[:rank][ascending], from_kept[:, ascending]


def _octave(low: int, high: int) -> tuple[np.ndarray, np.ndarray]:
    """Return lags near the Chebyshev points of low ... high − 1, all if few, and the interpolation matrix."""
    if high - low <= 4 * _DEGREES:
        return np.arange(low, high), np.eye(high - low)
    points = np.cos(np.pi * (np.arange(_DEGREES)[::-1] + 0.5) / _DEGREES)
    nodes = low + np.round((points + 1) / 2 * (high - 1 - low)).astype(int)
    V = chebvander(2 * (np.arange(low, high) - low) / (high - low) - 1, _DEGREES - 1)
    return nodes, np.linalg.solve(V[nodes - low].T, V.T).T
