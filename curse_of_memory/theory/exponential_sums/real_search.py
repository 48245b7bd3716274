"""The search for the best real rates: first allowed to coincide, then moved to what float64 can represent.

For a memory that oscillates or waits there is often no best sum of real exponentials: rates tend to each
other and coefficients to infinity, the sum to s^k e^{−λs}. In the basis of :mod:`.cascades` such limits are
points like others, so the search is made there. Where rates coincide they are then spread, and coefficients
that are too large for float64 are held down by a ridge, as weak as pays.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.exponential_sums import starts
from curse_of_memory.theory.exponential_sums.cascades import Cascade
from curse_of_memory.theory.exponential_sums.first_steps import first_steps
from curse_of_memory.theory.exponential_sums.modes import RealRates
from curse_of_memory.theory.exponential_sums.samples import Samples
from curse_of_memory.theory.exponential_sums.variable_projection import WEAKEST, Projection

__all__ = ["RealSum", "best_real_rates"]

_WEAKEST_OF_CASCADE = 1e-13
# evaluations from every start, from the best eighth or so, and from the few that the next width starts from
_ROUNDS = ((8, 8), (30, 3), (300, 3))
_DISTINCT = 1e-3  # relative difference of the errors of two minima
_RIDGES = (3e-11, 1e-11, 3e-12, 1e-12, 1e-13)
_SPREADS = np.geomspace(1e-3, 2.0, 14)
_SHIFTS = (0.4, 0.6, 0.8, 0.9, 1.0, 1.1, 1.25, 1.6)


@dataclass(frozen=True, eq=False)
class RealSum:
    """The best real rates of m terms, and the error that rates which may coincide reach.

    Attributes
    ----------
    rates : numpy.ndarray
        λ dt, those of float64; fewer than m where fewer reach rounding.
    limit_error : float
        Relative error of the best sum found with rates that may coincide.
    """

    rates: np.ndarray
    limit_error: float


def best_real_rates(samples: Samples, directions: list, terms: int, rounding: float) -> Iterator[RealSum]:
    """Yield the best real rates found for 1, 2, ..., `terms` terms.

    Parameters
    ----------
    samples : Samples
        What is fitted.
    directions : list
        Singular vectors of its Hankel matrices, as :func:`.starts.directions` gives them.
    terms : int
        The most terms.
    rounding : float
        Relative error from which on more terms are useless.

    Examples
    --------
    >>> s = np.arange(40.0)
    >>> samples = Samples(s * 0.8**s, np.ones(40))
    >>> last = list(best_real_rates(samples, starts.directions(samples.y), 2, 1e-14))[-1]
    >>> bool(last.limit_error < 1e-7), bool(np.abs(last.rates + np.log(0.8)).max() < 1e-3)
    (True, True)
    """
    limits = Projection(Cascade(samples.lags), samples, weakest=_WEAKEST_OF_CASCADE)
    kept, rates = [(np.empty(0), 1.0)], np.empty(0)
    for m in range(1, terms + 1):
        if kept[0][1] >= rounding:
            kept = _minima(limits, _starts(samples.size, directions, m, [theta for theta, _ in kept]))
            rates = np.exp(_representable(samples, kept, np.log(rates)))
        yield RealSum(rates, kept[0][1])


def _starts(size: int, directions: list, m: int, before: list[np.ndarray]) -> list[np.ndarray]:
    """Return logarithms of rates to start from: ladders, clusters, minima of m − 1 terms with one more."""
    begun = [np.log(ladder) for ladder in starts.ladders(size, m)]
    begun += [np.log(starts.parted(rates)) for rates in starts.shift_invariant(directions, m)]
    begun += [np.log(rates) for rates in starts.clusters(size, m)]
    for theta in before:
        if theta.size == m - 1 > 0:
            rates = np.exp(theta)
            begun.append(np.log(starts.stretched(rates)))
            begun += [np.log(more) for more in starts.one_more(rates, size) + starts.one_again(rates)]
    return begun


def _minima(limits: Projection[Cascade], options: list[np.ndarray]) -> list[tuple[np.ndarray, float]]:
    """Return a few distinct minima, best first; starts that do well after few evaluations get more."""
    minima = [(theta, np.inf) for theta in options]
    for evaluations, most in _ROUNDS:
        thetas = [theta for theta, _ in minima]
        if len(thetas) > most:
            ends = first_steps(limits.family, limits.samples, np.stack(thetas), evaluations, limits.weakest)
            found = zip(*ends, strict=True)
        else:
            found = (limits.search(theta, evaluations) for theta in thetas)
        minima = sorted(found, key=lambda one: one[1])
        kept = []
        for one in minima:
            if len(kept) < most and all(abs(one[1] - other[1]) > _DISTINCT * one[1] for other in kept):
                kept.append(one)
        minima = kept
    return minima


def _representable(
    samples: Samples, minima: list[tuple[np.ndarray, float]], before: np.ndarray
) -> np.ndarray:
    """Return logarithms of the best rates with coefficients within float64, near the given minima."""
    family = RealRates(samples.lags)
    plain = Projection(family, samples)
    theta = minima[0][0]
    if np.linalg.cond(samples.weighed(family.basis(theta))) < 1e-2 / WEAKEST:
        return min([(theta, plain.error(theta)), plain.search(theta, 100)], key=lambda one: one[1])[0]
    spread = [
        np.log(starts.spread_clusters(np.exp(theta), width, shift))
        for theta, _ in minima
        for width in _SPREADS
        for shift in _SHIFTS
    ]
    tried = sorted(((theta, plain.error(theta)) for theta in spread), key=lambda one: one[1])[:3]
    if before.size == theta.size - 1 > 0:
        more = [np.log(rates) for rates in starts.one_more(np.exp(before), samples.size)]
        tried += [(theta, plain.error(theta)) for theta in more]
    first = [Projection(family, samples, _RIDGES[0]).search(theta, 30)[0] for theta, _ in tried]
    tried += [(theta, plain.error(theta)) for theta in first]
    for begun, _ in sorted(tried, key=lambda one: one[1])[:2]:
        for ridge in _RIDGES:
            begun, _ = Projection(family, samples, ridge).search(begun, 30)
            tried.append((begun, plain.error(begun)))
    return min(tried, key=lambda one: one[1])[0]
