"""Families of exponential modes on a grid of lags, as smooth functions of unconstrained parameters θ."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
from numpy.polynomial.polynomial import polyval
from numpy.typing import NDArray

__all__ = ["FASTEST", "TURN", "Family", "Pairs", "RealRates", "Signed"]

# Beyond these λ dt an exponential is 1 at every lag, or 0 at every lag but the first, to rounding.
SLOWEST, FASTEST = 1e-18, 40.0
TURN = math.pi
"""Im λ dt of a mode that alternates in sign: e^{−λ s dt} = (−1)^s e^{−Re λ s dt}."""
_CLOSEST = 1e-5  # two real rates that differ by less, over all the lags, count as one double rate
# (cosh √x − sinh √x/√x)/(2x) = Σ x^k (k+1)/(2k+3)!, used where the difference would cancel
_SERIES = [(k + 1) / math.factorial(2 * k + 3) for k in range(12)]


class Family(ABC):
    """A family of modes on n lags: for parameters θ their rates, their values and derivatives.

    Parameters
    ----------
    lags : numpy.ndarray, shape (n,)
        Whole numbers.
    """

    def __init__(self, lags: np.ndarray):
        self.lags = lags

    @abstractmethod
    def clipped(self, theta: np.ndarray) -> np.ndarray:
        """Return θ clipped to where modes still differ from 0 and 1 in float64."""

    @abstractmethod
    def rates(self, theta: np.ndarray) -> NDArray[np.inexact]:
        """Return λ dt of the modes, one for each column of :meth:`basis`."""

    @abstractmethod
    def basis(self, theta: np.ndarray) -> np.ndarray:
        """Return real functions that span the modes, shape (n, m)."""

    @abstractmethod
    def slopes(self, theta: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
        """Yield for each parameter the columns of the basis that it changes, and their derivatives."""


class RealRates(Family):
    """Modes e^{−λ t} of real rates, with θ = log λ.

    Parameters
    ----------
    lags : numpy.ndarray
        Whole numbers.

    Examples
    --------
    >>> RealRates(np.arange(3)).basis(np.log([np.log(2)])).ravel().round(9)
    array([1.  , 0.5 , 0.25])
    """

    def clipped(self, theta):
        """Return θ clipped to where modes still differ from 0 and 1 in float64."""
        return np.clip(theta, math.log(SLOWEST), math.log(FASTEST))

    def rates(self, theta):
        """Return λ dt of each mode."""
        return np.exp(self.clipped(theta))

    def basis(self, theta):
        """Return the values of the modes, one column each, shape (n, m)."""
        return np.exp(-np.outer(self.lags, self.rates(theta)))

    def slopes(self, theta):
        """Yield for each parameter the columns that it changes, and their derivatives."""
        moved = -self.lags[:, None] * self.rates(theta) * self.basis(theta) * (self.clipped(theta) == theta)
        for i in range(theta.size):
            yield slice(i, i + 1), moved[:, i : i + 1]


class Pairs(Family):
    """Pairs of modes solving x″ + a x′ + b x = 0, with θ = (log a, log b), and one real mode if m is odd.

    Every stable pair of rates, real or complex conjugate, is the pair of roots of λ² − aλ + b with
    positive a and b. The columns e^{−at/2} cosh(√δ t) and e^{−at/2} sinh(√δ t)/√δ, δ = a²/4 − b, are
    analytic in a and b, so that two real rates may meet and part again as a complex pair.

    Parameters
    ----------
    lags : numpy.ndarray
        Whole numbers.

    Examples
    --------
    >>> Pairs(np.arange(2)).rates(np.log([0.2, 1.01]))
    array([0.1+1.j, 0.1-1.j])
    """

    @staticmethod
    def parameters(rates: NDArray[np.inexact]) -> np.ndarray:
        """Return θ of stable rates, in conjugate pairs where complex; real ones are paired as they come.

        Examples
        --------
        >>> np.exp(Pairs.parameters(np.array([0.1 + 1j, 0.1 - 1j, 2.0]))).round(9)
        array([0.2 , 1.01, 2.  ])
        """
        real = np.sort(rates[rates.imag == 0].real)
        upper = rates[rates.imag > 0]
        even = real.size // 2 * 2
        sums = np.concatenate([2 * upper.real, real[0:even:2] + real[1:even:2]])
        products = np.concatenate([np.abs(upper) ** 2, real[0:even:2] * real[1:even:2]])
        return np.log(np.concatenate([np.stack([sums, products], 1).ravel(), real[even:]]))

    def clipped(self, theta):
        """Return θ clipped to where modes still differ from 0 and 1 in float64."""
        return np.clip(theta, *_limits(theta.size))

    def _halves(self, theta):
        """Return a/2, δ and b of the pairs, and the rate of the odd mode or None."""
        values = np.exp(self.clipped(theta))
        alone = values[-1] if theta.size % 2 else None
        a, b = values[0 : theta.size // 2 * 2 : 2] / 2, values[1 : theta.size // 2 * 2 : 2]
        return a, a**2 - b, b, alone

    def rates(self, theta):
        """Return λ dt of each mode."""
        half, delta, b, alone = self._halves(theta)
        root = np.sqrt(delta.astype(complex))
        large = half + root
        # the product of the rates is b; the difference half − root would cancel
        small = np.where(delta > 0, b / large, large.conj())
        pairs = np.stack([large, small], 1).ravel()
        return pairs if alone is None else np.append(pairs, alone)

    def _columns(self, half, delta, b):
        """Return C = e^{−at/2} cosh(√δ t) and S = e^{−at/2} sinh(√δ t)/√δ, each of shape (n, pairs)."""
        t, root = self.lags[:, None], np.sqrt(np.abs(delta))
        slow = np.where(delta > 0, b / (half + root), half)
        decay, x = np.exp(-slow * t), root * t
        # of two real rates the slower one is taken out, so that nothing overflows
        C = decay * np.where(delta > 0, (1 + np.exp(-2 * x)) / 2, np.cos(x))
        S = decay * t * np.where(delta > 0, _ratio(-np.expm1(-2 * x) / 2, x), _ratio(np.sin(x), x))
        return C, S

    def basis(self, theta):
        """Return the values of the modes, one column each, shape (n, m)."""
        half, delta, b, alone = self._halves(theta)
        C, S = self._columns(half, delta, b)
        S = S * (np.sqrt(b) + 1 / self.lags.size)  # of the size of C; what it spans is the same
        pairs = np.stack([C, S], 2).reshape(self.lags.size, 2 * b.size)
        return pairs if alone is None else np.column_stack([pairs, np.exp(-alone * self.lags)])

    def slopes(self, theta):
        """Yield for each parameter the columns that it changes, and their derivatives."""
        half, delta, b, alone = self._halves(theta)
        free = self.clipped(theta) == theta
        C, S = self._columns(half, delta, b)
        t, size = self.lags, np.array([1.0, 1.0])
        for j in range(half.size):
            columns = slice(2 * j, 2 * j + 2)
            x = delta[j] * t**2.0
            near = np.abs(x) < 0.5
            with np.errstate(divide="ignore", invalid="ignore"):
                of_S = (t * C[:, j] - S[:, j]) / (2 * delta[j])
            of_S[near] = t[near] ** 3.0 * np.exp(-half[j] * t[near]) * polyval(x[near], _SERIES)
            by_delta = np.column_stack([t * S[:, j] / 2, of_S])
            by_half = -t[:, None] * np.column_stack([C[:, j], S[:, j]])
            size[1] = math.sqrt(b[j]) + 1 / t.size
            yield columns, half[j] * (by_half + 2 * half[j] * by_delta) * size * free[2 * j]
            yield columns, -b[j] * by_delta * size * free[2 * j + 1]
        if alone is not None:
            yield slice(2 * half.size, None), (-alone * t * np.exp(-alone * t))[:, None] * free[-1]


class Signed(Family):
    """Modes in pairs, as in :class:`Pairs`, the last ones times (−1)^s: multipliers of either sign.

    Parameters
    ----------
    lags : numpy.ndarray
        Whole numbers.
    alternating : int
        How many modes are multiplied by (−1)^s; θ has theirs last.

    Examples
    --------
    >>> Signed(np.arange(3), 1).basis(np.log([np.log(2)])).ravel().round(9)
    array([ 1.  , -0.5 ,  0.25])
    """

    def __init__(self, lags: np.ndarray, alternating: int):
        super().__init__(lags)
        self.pairs, self.alternating = Pairs(lags), alternating
        self.signs = (1.0 - 2.0 * (lags % 2))[:, None]

    @staticmethod
    def parameters(rates: NDArray[np.inexact]) -> np.ndarray:
        """Return θ of rates, real or in pairs; those with the imaginary part π are the alternating ones."""
        turned = rates.imag == TURN
        plain, mirrored = rates[~turned], rates[turned].real + 0j
        return np.concatenate([Pairs.parameters(plain), Pairs.parameters(mirrored)])

    def _split(self, theta):
        """Return the parameters of the modes as they are, and of those times (−1)^s."""
        cut = theta.size - self.alternating
        return theta[:cut], theta[cut:]

    def clipped(self, theta):
        """Return θ clipped to where modes still differ from 0 and 1 in float64."""
        if not self.alternating:  # the most frequent case, at half the price
            return self.pairs.clipped(theta)
        return np.concatenate([self.pairs.clipped(part) for part in self._split(theta)])

    def rates(self, theta):
        """Return λ dt of each mode."""
        plain, mirrored = (self.pairs.rates(part) for part in self._split(theta))
        return np.append(plain, mirrored + 1j * TURN)

    def basis(self, theta):
        """Return the values of the modes, one column each, shape (n, m)."""
        if not self.alternating:
            return self.pairs.basis(theta)
        plain, mirrored = (self.pairs.basis(part) for part in self._split(theta))
        return np.concatenate([plain, self.signs * mirrored], axis=1)

    def slopes(self, theta):
        """Yield for each parameter the columns that it changes, and their derivatives."""
        first = 0
        for part, signs in zip(self._split(theta), (1.0, self.signs), strict=True):
            for columns, slope in self.pairs.slopes(part) if part.size else ():
                start = first + columns.start
                yield slice(start, start + slope.shape[1]), signs * slope
            first += part.size

    def apart(self, theta: np.ndarray) -> NDArray[np.inexact]:
        """Return the rates with |Im λ dt| reduced to at most π, and equal ones moved a little apart."""
        plain, mirrored = (_apart(self.pairs.rates(part), self.lags.size) for part in self._split(theta))
        if not mirrored.size:
            return plain
        real = mirrored.imag == 0
        pairs = mirrored[~real]
        # (−1)^s turns a pair by π, which on the lags is back by the rest of it
        turned = pairs.real + 1j * np.sign(pairs.imag) * (TURN - np.abs(pairs.imag))
        return np.concatenate([plain, _apart(turned, self.lags.size), mirrored[real] + 1j * TURN])


@lru_cache(maxsize=64)
def _limits(parameters: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the least and the largest θ of pairs, and of one mode more if their number is odd."""
    low, high = math.log(SLOWEST), math.log(FASTEST)
    floors = np.tile([low, 2 * low], parameters // 2 + 1)
    limits = np.tile([high + math.log(2.0), 2 * high], parameters // 2 + 1)
    if parameters % 2:
        limits[parameters - 1] = high
    return floors[:parameters], limits[:parameters]


def _apart(rates: NDArray[np.inexact], size: int) -> NDArray[np.inexact]:
    """Return pairs of rates with |Im λ| reduced below π, and equal rates moved a little apart."""
    rates = rates.copy()
    for i in range(0, rates.size // 2 * 2, 2):
        middle, half = rates[i : i + 2].mean().real, (rates[i] - rates[i + 1]) / 2
        turn = min(abs(np.angle(np.exp(1j * half.imag))), math.nextafter(TURN, 0))
        if half.imag and turn * size >= _CLOSEST:
            rates[i : i + 2] = middle + 1j * turn, middle - 1j * turn
        elif abs(half) * size < _CLOSEST or half.imag:
            apart = min(_CLOSEST / size, middle / 2)
            rates[i : i + 2] = middle + apart, middle - apart
    return rates if rates.imag.any() else np.sort(rates.real)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """Return above/below, and its limit 1 where both are zero."""
    return np.divide(above, below, out=np.ones_like(above), where=below != 0)
