"""The search for the best rates of sums of 1, 2, ... exponentials, each starting from those before."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.sums import starts
from curse_of_memory.theory.sums.modes import Pairs
from curse_of_memory.theory.sums.real_search import best_real_rates
from curse_of_memory.theory.sums.samples import Samples
from curse_of_memory.theory.sums.variable_projection import WEAKEST, Projection

__all__ = ["MODES", "ROUNDING", "Found", "best_rates"]

MODES = ("real", "complex")
ROUNDING = 1e-14
"""Relative errors below this are rounding errors: a fit has nothing left to do."""
_CLOSEST = 1e-5  # two real rates that differ by less, over all the lags, count as one double rate
_SCREENING, _POLISHED = 40, 3  # evaluations from every start of pairs, and how many of them go on


@dataclass(frozen=True, eq=False)
class Found:
    """A sum of exponentials on the lags 0, 1, ..., n − 1.

    Attributes
    ----------
    rates, coefficients : numpy.ndarray, shape (m,)
        λ dt and c, real or in conjugate pairs.
    error : float
        Relative weighted error of the sum as it is evaluated.
    conditioning : float
        Largest over smallest singular value of the weighted exponentials.
    limit_error : float
        Relative error of the best sum found if real rates may coincide.
    """

    rates: np.ndarray
    coefficients: np.ndarray
    error: float
    conditioning: float
    limit_error: float


def best_rates(values: np.ndarray, root_weight: np.ndarray, terms: int, modes: str) -> Iterator[Found]:
    """Yield the best sums of 1, 2, ..., `terms` exponentials; of fewer, where they reach rounding.

    Parameters
    ----------
    values, root_weight : numpy.ndarray, shape (n,)
        ρ_s and √w_s.
    terms : int
        The most terms.
    modes : {"real", "complex"}
        Real rates, or conjugate pairs too.

    Examples
    --------
    >>> [found.rates.size for found in best_rates(0.5 ** np.arange(9.0), np.ones(9), 2, "real")]
    [1, 1]
    """
    search = _Search(root_weight, values)
    best = None
    for found in search.complex(terms) if modes == "complex" else search.real(terms):
        if best is None or found.error < best.error:
            best = found
        yield best


class _Search:
    def __init__(self, root_weight: np.ndarray, values: np.ndarray):
        self.values, self.root_weight, self.size = values, root_weight, values.size
        self.pairs = Projection(Pairs(np.arange(self.size)), Samples(values, root_weight))
        self.directions = starts.directions(values)

    def real(self, terms: int) -> Iterator[Found]:
        """Yield the best real rates of every number of terms."""
        samples = Samples(self.values, self.root_weight, condensed=True)
        for found in best_real_rates(samples, self.directions, terms, ROUNDING):
            yield self.finished(found.rates, found.limit_error)

    def complex(self, terms: int) -> Iterator[Found]:
        """Yield the best rates of every number of terms, the real ones among them."""
        theta, error, before = np.empty(0), np.inf, [np.empty(0, complex)] * 2
        for m, real in enumerate(self.real(terms), start=1):
            if min(error, real.error) >= ROUNDING:
                options = [*starts.shift_invariant(self.directions, m), real.rates.astype(complex)]
                options += starts.one_more(before[-1], self.size)
                options += starts.one_pair_more(before[-2], self.size)
                for start in self.screened([o for o in options if o.size == m]):
                    found, found_error = self.pairs.search(start)
                    if found_error < error:
                        theta, error = found, found_error
                before.append(self.pairs.family.rates(theta))
            rates = _told_apart(self.pairs.family.rates(theta), self.size)
            paired = self.finished(rates, min(error, real.limit_error))
            yield paired if paired.error < real.error else real

    def screened(self, options: list[np.ndarray]) -> list[np.ndarray]:
        """Return the few parameters of pairs that lead lowest after a short search."""
        begun = [self.pairs.family.clipped(Pairs.parameters(rates)) for rates in options]
        tried = []
        for theta in begun:
            tried.append(self.pairs.search(theta, _SCREENING))
            if tried[-1][1] < ROUNDING:
                return [tried[-1][0]]
        return [theta for theta, _ in sorted(tried, key=lambda found: found[1])[:_POLISHED]]

    def finished(self, rates: np.ndarray, limit_error: float) -> Found:
        """Return the sum of the best coefficients for `rates`."""
        first = np.flatnonzero(rates.imag >= 0)
        turning = first[rates.imag[first] > 0]
        waves = np.exp(-np.outer(np.arange(self.size), rates))
        basis = self.root_weight[:, None] * np.concatenate([waves.real[:, first], waves.imag[:, turning]], 1)
        left, sizes, right = np.linalg.svd(basis, full_matrices=False)
        keep = sizes > WEAKEST * sizes[0]
        y = self.root_weight * self.values
        amplitudes = right[keep].T @ ((left[:, keep].T @ y) / sizes[keep])
        error = np.linalg.norm(y - basis @ amplitudes) / np.linalg.norm(y)
        c = np.zeros(rates.size, dtype=rates.dtype)
        c[first] = amplitudes[: first.size]
        if turning.size:
            # Re(a e^{−λt}) + b Im(e^{−λt}) is (a − ib)/2 e^{−λt} and its conjugate
            c[turning] = (c[turning] - 1j * amplitudes[first.size :]) / 2
            for i in turning:
                c[np.flatnonzero(rates == rates[i].conj())[0]] = c[i].conj()
        with np.errstate(divide="ignore"):
            return Found(rates, c, float(error), float(sizes[0] / sizes[-1]), min(limit_error, float(error)))


def _told_apart(rates: np.ndarray, size: int) -> np.ndarray:
    """Return pairs of rates with |Im λ| <= π, as the lags see them, and double rates a little apart."""
    rates = rates.copy()
    for i in range(0, rates.size // 2 * 2, 2):
        middle, half = rates[i : i + 2].mean().real, (rates[i] - rates[i + 1]) / 2
        turn = abs(np.angle(np.exp(1j * half.imag)))
        if half.imag and turn * size >= _CLOSEST:
            rates[i : i + 2] = middle + 1j * turn, middle - 1j * turn
        elif abs(half) * size < _CLOSEST or half.imag:
            apart = min(_CLOSEST / size, middle / 2)
            rates[i : i + 2] = middle + apart, middle - apart
    return rates if rates.imag.any() else np.sort(rates.real)
