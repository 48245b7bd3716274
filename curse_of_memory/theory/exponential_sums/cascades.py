"""Exponentials of real rates that may coincide, as impulse responses of a cascade of first-order filters.

The first row of the s-th power of the bidiagonal matrix with the multipliers z_i = e^{−λ_i} on its diagonal
and ones above it holds the divided differences of z ↦ z^s over z_1, over z_1, z_2, and so on: the impulse
responses of a cascade of first-order filters. They span the z_i^s, and where multipliers coincide their
limits. Nothing cancels, since no number is negative, and the basis is well conditioned however close the
rates are.
"""

from collections.abc import Iterator

import numpy as np

from curse_of_memory.theory.exponential_sums.modes import RealRates

__all__ = ["Cascade"]


class Cascade(RealRates):
    """A basis of the span of e^{−λ_i t}, and of its limit where rates coincide, with θ = log λ.

    Parameters
    ----------
    lags : numpy.ndarray
        Whole numbers.

    Examples
    --------
    >>> double = Cascade(np.arange(4)).basis(np.log([np.log(2), np.log(2)]))
    >>> (double / double[1]).round(9)[1:].tolist()  # 2^{−s} and s 2^{−s}
    [[1.0, 1.0], [0.5, 1.0], [0.25, 0.75]]
    """

    def __init__(self, lags: np.ndarray):
        super().__init__(lags)
        # lags 0, 1, 2, ... at the beginning come by doubling, the others by the binary digits that are left
        self._doublings = 0
        while np.array_equal(lags[: 2 << self._doublings], np.arange(2 << self._doublings)):
            self._doublings += 1
        if lags.size < 2 << self._doublings and lags[-1] == lags.size - 1:
            self._doublings += 1
        even = 1 << self._doublings
        self._low = lags % even
        digits = range(self._doublings, int(lags.max()).bit_length())
        self._bits = [np.flatnonzero(lags >> bit & 1) for bit in digits]

    def _matrix(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the order of θ, fast rates first, and the matrix with gains above its diagonal."""
        rates = self.rates(theta)
        # of rates far apart the later column is then almost the slower exponential alone
        order = np.argsort(-rates)
        rates = rates[order]
        # gains change the sizes of the columns alone: they stay near one, over all lags and for all rates
        gains = -np.expm1(-rates) + 1 / (1 + self.lags.max())
        return order, np.diag(np.exp(-rates)) + np.diag(gains[1:], 1)

    def basis(self, theta: np.ndarray) -> np.ndarray:
        """Return the basis, one column each, shape (n, m)."""
        _, Z = self._matrix(theta)
        rows = np.eye(1, theta.size)
        for _ in range(self._doublings):
            rows = np.concatenate([rows, rows @ Z])
            Z = Z @ Z
        rows = rows[self._low]
        for some in self._bits:
            rows[some] = rows[some] @ Z
            Z = Z @ Z
        return rows

    def slopes(self, theta: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield for each θ the columns it changes and their derivatives, modulo the span of the basis."""
        order, Z = self._matrix(theta)
        m = theta.size
        rates, free = self.rates(theta), self.clipped(theta) == theta
        moved = np.zeros((m, m, m))  # the derivative of the power of Z by each θ
        moved[range(m), range(m), range(m)] = -(rates * np.exp(-rates) * free)[order]
        rows, slopes = np.eye(1, m), np.zeros((1, m * m))
        for _ in range(self._doublings):
            rows, slopes = (
                np.concatenate(both)
                for both in zip((rows, slopes), _advanced(rows, slopes, Z, moved), strict=True)
            )
            Z, moved = Z @ Z, Z @ moved + moved @ Z
        rows, slopes = rows[self._low], slopes[self._low]
        for some in self._bits:
            rows[some], slopes[some] = _advanced(rows[some], slopes[some], Z, moved)
            Z, moved = Z @ Z, Z @ moved + moved @ Z
        slopes = slopes.reshape(-1, m, m)
        place = np.empty(m, int)
        place[order] = np.arange(m)
        for i in place:
            yield slice(i, None), slopes[:, i, i:]


def _advanced(
    rows: np.ndarray, slopes: np.ndarray, Z: np.ndarray, moved: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows r Z and the derivatives r' Z + r Z', one after the other in each row."""
    m = len(Z)
    ahead = (slopes.reshape(-1, m) @ Z).reshape(-1, m * m)
    return rows @ Z, ahead + rows @ moved.transpose(1, 0, 2).reshape(m, m * m)
