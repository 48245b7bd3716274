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

    def basis(self, theta: np.ndarray) -> np.ndarray:
        """Return the basis, one column each, shape (n, m)."""
        _, Z = self._matrices(theta[None])
        rows = _first_rows(Z)
        for _ in range(self._doublings):
            rows, Z = np.concatenate([rows, rows @ Z], 1), Z @ Z
        rows = rows[:, self._low]
        for some in self._bits:
            rows[:, some], Z = rows[:, some] @ Z, Z @ Z
        return rows[0]

    def slopes(self, theta: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield for each θ the columns it changes and their derivatives, modulo the span of the basis."""
        _, slopes, places = self._with_slopes(theta[None])
        for i in places[0]:
            yield slice(i, None), slopes[0, :, i, i:]

    def many(self, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the bases for several θ, each descending, and their derivatives modulo what they span.

        Parameters
        ----------
        thetas : numpy.ndarray, shape (k, m)
            Largest first.

        Returns
        -------
        bases : numpy.ndarray, shape (k, n, m)
            As :meth:`basis` returns each.
        slopes : numpy.ndarray, shape (k, n, m, m)
            Of each basis by each parameter, which stand in the third dimension.
        """
        rows, slopes, _ = self._with_slopes(thetas)
        return rows, slopes

    def _matrices(self, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the orders of several θ, fast rates first, and matrices with gains above their diagonals."""
        rates = self.rates(thetas)
        # of rates far apart the later column is then almost the slower exponential alone
        order = np.argsort(-rates, kind="stable")
        rates = np.take_along_axis(rates, order, 1)
        # gains change the sizes of the columns alone: they stay near one, over all lags and for all rates
        gains = -np.expm1(-rates) + 1 / (1 + self.lags.max())
        at = np.arange(rates.shape[1])
        Z = np.zeros((*rates.shape, at.size))
        Z[:, at, at], Z[:, at[:-1], at[1:]] = np.exp(-rates), gains[:, 1:]
        return order, Z

    def _with_slopes(self, thetas: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return bases, their derivatives by the θ in order, and the place in it of each θ."""
        order, Z = self._matrices(thetas)
        k, m = thetas.shape
        rates, free = self.rates(thetas), self.clipped(thetas) == thetas
        at = np.arange(m)
        moved = np.zeros((k, m, m, m))  # the derivative of the power of Z by each θ
        moved[:, at, at, at] = np.take_along_axis(-(rates * np.exp(-rates) * free), order, 1)
        rows, slopes = _first_rows(Z), np.zeros((k, 1, m * m))
        for _ in range(self._doublings):
            ahead = _advanced(rows, slopes, Z, moved)
            rows, slopes = (np.concatenate(both, 1) for both in zip((rows, slopes), ahead, strict=True))
            Z, moved = _doubled(Z, moved)
        rows, slopes = rows[:, self._low], slopes[:, self._low]
        for some in self._bits:
            rows[:, some], slopes[:, some] = _advanced(rows[:, some], slopes[:, some], Z, moved)
            Z, moved = _doubled(Z, moved)
        return rows, slopes.reshape(k, -1, m, m), np.argsort(order)


def _first_rows(Z: np.ndarray) -> np.ndarray:
    """Return the first row of the power zero of several matrices, shape (k, 1, m)."""
    rows = np.zeros((len(Z), 1, Z.shape[2]))
    rows[:, :, 0] = 1.0
    return rows


def _advanced(
    rows: np.ndarray, slopes: np.ndarray, Z: np.ndarray, moved: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows r Z and the derivatives r' Z + r Z', one after the other in each row."""
    k, n, m = rows.shape
    ahead = (slopes.reshape(k, n * m, m) @ Z).reshape(k, n, m * m)
    return rows @ Z, ahead + rows @ moved.transpose(0, 2, 1, 3).reshape(k, m, m * m)


def _doubled(Z: np.ndarray, moved: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the squares of several matrices, and their derivatives."""
    return Z @ Z, Z[:, None] @ moved + moved @ Z[:, None]
