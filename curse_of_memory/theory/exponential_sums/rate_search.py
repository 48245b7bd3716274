"""The search for the best rates of sums of 1, 2, ... exponentials, each starting from those before."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from curse_of_memory.theory.exponential_sums import starts
from curse_of_memory.theory.exponential_sums.modes import TURN, Signed
from curse_of_memory.theory.exponential_sums.real_search import RealSum, best_real_rates
from curse_of_memory.theory.exponential_sums.samples import Samples
from curse_of_memory.theory.exponential_sums.variable_projection import WEAKEST, Projection

__all__ = ["MODES", "ROUNDING", "LagFit", "best_rates"]

MODES = ("real", "complex", "discrete")
ROUNDING = 1e-14
"""Relative errors below this are rounding errors: no search goes on from there."""
_FIRST_LOOK = 2000  # lags on which pairs are screened
_SCREENING, _POLISHED = 12, 4  # evaluations from every start of pairs, and how many of them go on


@dataclass(frozen=True, eq=False)
class LagFit:
    """A fitted sum of exponentials on the lags 0, 1, ..., n − 1, with rates per lag.

    Attributes
    ----------
    rates, coefficients : numpy.ndarray, shape (m,)
        λ dt and c, real or in conjugate pairs; those of alternating modes have the imaginary part π.
    error : float
        Relative weighted error of the sum as it is evaluated.
    conditioning : float
        Largest over smallest singular value of the weighted exponentials.
    limit_error : float
        Relative error of the best sum found if rates may coincide.
    """

    rates: NDArray[np.inexact]
    coefficients: NDArray[np.inexact]
    error: float
    conditioning: float
    limit_error: float


def best_rates(values: np.ndarray, root_weight: np.ndarray, terms: int, modes: str) -> Iterator[LagFit]:
    """Yield the best sums of 1, 2, ..., `terms` exponentials; of fewer once only rounding is left.

    Parameters
    ----------
    values, root_weight : numpy.ndarray, shape (n,)
        ρ_s and √w_s.
    terms : int
        The most terms.
    modes : {"real", "complex", "discrete"}
        Real rates, or conjugate pairs too, or besides them modes that alternate in sign.

    Examples
    --------
    >>> [fit.rates.size for fit in best_rates(0.5 ** np.arange(9.0), np.ones(9), 2, "real")]
    [1, 1]
    >>> next(best_rates((-0.5) ** np.arange(9.0), np.ones(9), 1, "discrete")).rates.round(6)
    array([0.693147+3.141593j])
    """
    search = _Search(root_weight, values)
    best = None
    for fit in {"real": search.real, "complex": search.complex, "discrete": search.discrete}[modes](terms):
        if best is None or (best.error >= ROUNDING and fit.error < best.error):
            best = fit
        yield best


@lru_cache(maxsize=4)  # fits with pairs begin with the real ones, which whoever compares them asks for, too
def _real_rates(values: bytes, root_weight: bytes, terms: int) -> tuple[RealSum, ...]:
    """Return the best real rates of every number of terms."""
    rho, root = np.frombuffer(values), np.frombuffer(root_weight)
    samples = Samples(rho, root, condensed=True)
    return tuple(best_real_rates(samples, starts.directions(rho), terms, ROUNDING))


class _Search:
    """The search for the best rates for given values and weights."""

    def __init__(self, root_weight: np.ndarray, values: np.ndarray):
        self.values, self.root_weight, self.size = values, root_weight, values.size
        self.samples = Samples(values, root_weight)
        self.directions = starts.directions(values)
        self.few = self.samples.thinned(_FIRST_LOOK)
        # by the number of alternating modes, and whether on few lags
        self.projections: dict[tuple[int, bool], Projection[Signed]] = {}

    def real(self, terms: int) -> Iterator[LagFit]:
        """Yield the best real rates of every number of terms."""
        for best in self.real_rates(self.values, terms):
            yield self.finished(best.rates, best.limit_error)

    def real_rates(self, values: np.ndarray, terms: int) -> Iterator[RealSum]:
        """Yield the best real rates for other values under the same weights."""
        return iter(_real_rates(values.tobytes(), self.root_weight.tobytes(), terms))

    def complex(self, terms: int) -> Iterator[LagFit]:
        """Yield the best rates of every number of terms, the real ones among them."""
        yield from self.paired(self.real(terms), self.pairs_more)

    def discrete(self, terms: int) -> Iterator[LagFit]:
        """Yield the best rates of every number of terms where modes may alternate, the others among them."""
        mirrored = self.real_rates((1.0 - 2.0 * (np.arange(self.size) % 2)) * self.values, terms)

        def steps(m, before):
            begun = [next(mirrored).rates + 1j * TURN]
            begun += starts.shift_invariant(self.directions, m, alternating=True)
            more = starts.one_more(before[-1], self.size)
            begun += more + starts.one_pair_more(before[-2], self.size)
            return begun + [rates + 1j * TURN * (np.arange(m) == m - 1) for rates in more]

        yield from self.paired(self.complex(terms), steps)

    def pairs_more(self, m: int, before: list[np.ndarray]) -> list[np.ndarray]:
        """Return rates in conjugate pairs to start from: new ones, and fewer terms with some added."""
        begun = [*starts.shift_invariant(self.directions, m), *starts.one_more(before[-1], self.size)]
        begun += starts.one_pair_more(before[-2], self.size)
        return begun + [np.append(before[-2], pair) for pair in starts.loudest(self.left(before[-2]))]

    def left(self, rates: NDArray[np.inexact]) -> np.ndarray:
        """Return the residual of the best coefficients for `rates`, times the weights."""
        if not rates.size:
            return self.root_weight**2 * self.values
        coefficients = self.finished(rates, np.inf).coefficients
        waves = np.exp(-np.outer(np.arange(self.size), rates))
        return self.root_weight**2 * (self.values - np.real(waves @ coefficients))

    def paired(self, simpler: Iterator[LagFit], steps: Callable) -> Iterator[LagFit]:
        """Yield the best rates of every number of terms, in pairs of modes, or `simpler` ones if as good."""
        best: NDArray[np.inexact] = np.empty(0)
        error, before = np.inf, [np.empty(0, complex)] * 2
        for m, plain in enumerate(simpler, start=1):
            if min(error, plain.error) >= ROUNDING:
                options = [plain.rates.astype(complex), *steps(m, before)]
                for k, theta in self.screened([o for o in options if o.size == m]):
                    minimum, least = self.projection(k).search(theta)
                    if least < error:
                        best, error = self.projection(k).family.apart(minimum), least
                before.append(best.astype(complex))
            fit = self.finished(best, min(error, plain.limit_error)) if best.size else plain
            yield fit if fit.error < plain.error else plain

    def projection(self, alternating: int, few: bool = False) -> Projection[Signed]:
        """Return the least-squares problem in which so many modes alternate, on all lags or on a few."""
        if (alternating, few) not in self.projections:
            samples = self.few if few else self.samples
            self.projections[alternating, few] = Projection(Signed(samples.lags, alternating), samples)
        return self.projections[alternating, few]

    def screened(self, options: list[NDArray[np.inexact]]) -> list[tuple[int, np.ndarray]]:
        """Return the few starts of least error after a short search: how many modes alternate, and θ."""
        tried = []
        for rates in options:
            k = int((rates.imag == TURN).sum())
            problem = self.projection(k, few=True)
            begun = problem.family.clipped(Signed.parameters(rates))
            theta, error = problem.search(begun, _SCREENING)
            tried.append((error, k, theta))
            if error < ROUNDING:
                return [(k, theta)]
        best = [(k, theta) for _, k, theta in sorted(tried, key=lambda one: one[0])[:_POLISHED]]
        if self.few is self.samples:
            return best
        # what is left for all lags are a few steps
        ended = [(k, *self.projection(k, few=True).search(theta)) for k, theta in best]
        return [(k, theta) for k, theta, _ in sorted(ended, key=lambda one: one[2])[:2]]

    def finished(self, rates: NDArray[np.inexact], limit_error: float) -> LagFit:
        """Return the fit with the best coefficients for `rates`."""
        first = np.flatnonzero(rates.imag >= 0)
        turning = first[(rates.imag[first] > 0) & (rates.imag[first] != TURN)]
        waves = np.exp(-np.outer(np.arange(self.size), rates))
        basis = self.root_weight[:, None] * np.concatenate(
            [np.real(waves)[:, first], np.imag(waves)[:, turning]], 1
        )
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
            return LagFit(rates, c, float(error), float(sizes[0] / sizes[-1]), min(limit_error, float(error)))
