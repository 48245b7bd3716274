"""How many memories are alive: a queue in which every step arrives and leaves when it has expired.

Law.        At a query, the memory of age s >= 1 is alive iff e > s − R, with the chance P_s = P(e > s − R).
            For independent spans the number N of live memories sums independent Bernoulli variables,

                E N = Σ_s P_s = R − 1 + E⌈e⌉ ,        Var N = Σ_s P_s (1 − P_s) ,

            and its law is the product of their generating functions Π_s (1 − P_s + P_s z), a
            Poisson-binomial law. (The mean holds for dependent spans of that law, too; the rest does not.)

Largest.    Of a batch of B independent rows the fullest, to which others are padded, has
            E max = Σ_{n>=0} (1 − P(N <= n)^B).

Source.     Ours; the mean is equation 6 of "Not All Memories are Created Equal" (2105.06548), with ⌈e⌉ in the
            place of ⌊e⌋.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from curse_of_memory.tools import checks

__all__ = ["LiveMemories", "LogitNormalSpans", "live_memories"]

_LARGEST = 10**8  # as many chances fit into memory


@dataclass(frozen=True)
class LogitNormalSpans:
    """Spans e = L σ̂(h) with h ~ N(μ, σ²): what a linear predictor makes of Gaussian states.

    Parameters
    ----------
    mean, std : float
        μ and σ > 0, of w·h + b.
    max_span : float
        L > 0, in steps.

    Raises
    ------
    ValueError, TypeError
        If std or max_span is not positive, or a number is not finite.

    Examples
    --------
    >>> spans = LogitNormalSpans(-1.2, 1.5, max_span=200.0)
    >>> spans.exceeds([-1.0, 0.0, 46.3, 200.0]).round(3).tolist()  # 200 σ̂(−1.2) = 46.3 is the median
    [1.0, 1.0, 0.5, 0.0]
    """

    mean: float
    std: float
    max_span: float

    def __post_init__(self):
        checks.real("mean", self.mean)
        checks.positive("std", self.std)
        checks.positive("max_span", self.max_span)

    def exceeds(self, spans: ArrayLike) -> np.ndarray:
        """Return P(e > x) = Φ((μ − log(x/(L − x)))/σ); one below zero, zero from L on.

        Parameters
        ----------
        spans : array_like
            x, in steps, of any sign.
        """
        x = np.clip(checks.finite_array("spans", spans), 0.0, self.max_span)
        with np.errstate(divide="ignore"):
            # L − x is exact near L, where 1 − x/L would have lost its digits
            logit = np.log(x / self.max_span) - np.log((self.max_span - x) / self.max_span)
        return special.ndtr((self.mean - logit) / self.std)[()]


@dataclass(frozen=True, eq=False)
class LiveMemories:
    """The number of live memories at one query: its mean, variance and law, and the largest of a batch.

    Attributes
    ----------
    chances : numpy.ndarray
        P_s, s = 1, 2, …: how likely a memory of age s is alive.
    """

    chances: np.ndarray

    @property
    def mean(self) -> float:
        """Mean number of live memories, E N = Σ P_s."""
        return math.fsum(self.chances)

    @property
    def variance(self) -> float:
        """Variance of their number, Σ P_s (1 − P_s), for independent spans."""
        return math.fsum(self.chances * (1 - self.chances))

    @cached_property
    def law(self) -> np.ndarray:
        """Chances P(N = n) of n = 0, 1, … live memories, shape (ages + 1,), for independent spans.

        Only positive numbers are added and multiplied: each value is good to two roundings an age.
        """
        law = np.ones(1)
        for chance in self.chances[self.chances < 1]:
            law = np.append(law * (1 - chance), 0.0) + np.append(0.0, law * chance)
        return np.append(np.zeros((self.chances == 1).sum()), law)

    def largest(self, batch: int) -> float:
        """Return the mean of the largest of `batch` independent numbers, Σ_{n>=0} (1 − P(N <= n)^batch).

        Raises
        ------
        ValueError, TypeError
            If batch is no whole number of at least one.
        """
        above = np.cumsum(self.law[:0:-1])[::-1]  # P(N > n), n = 0, 1, …
        with np.errstate(divide="ignore"):
            logs = np.log1p(-np.minimum(above, 1.0))
        return math.fsum(-np.expm1(checks.positive_int("batch", batch) * logs))


def live_memories(exceeds: Callable[[np.ndarray], ArrayLike], max_span: float, ramp: int) -> LiveMemories:
    """Return the number of live memories at a query of a long sequence, Σ_{s>=1} 1[e_s > s − R].

    Parameters
    ----------
    exceeds : callable
        x -> P(e > x), the chance that a span exceeds x >= 0, for an array of them; such as
        :meth:`LogitNormalSpans.exceeds`, or the share of measured spans.
    max_span : float
        L > 0, which no span exceeds, in steps.
    ramp : int
        R >= 1, in steps.

    Returns
    -------
    LiveMemories

    Raises
    ------
    ValueError, TypeError
        If `exceeds` gives no chances that fall, max_span is not positive, or ramp is below 1.

    Examples
    --------
    >>> alive = live_memories(LogitNormalSpans(-1.2, 1.5, 200.0).exceeds, max_span=200.0, ramp=16)
    >>> round(alive.mean, 3), round(alive.variance, 2), round(alive.largest(32), 3)
    (75.125, 26.45, 85.876)
    """
    checks.function("exceeds", exceeds)
    if (last := math.ceil(checks.positive("max_span", max_span))) > _LARGEST:
        raise ValueError(f"max_span must be at most {_LARGEST:.0e} steps, got {max_span!r}")
    R = checks.positive_int("ramp", ramp)
    chances = checks.finite_array("exceeds", exceeds(np.arange(float(last))), ndim=1)
    if chances.size != last or chances.min() < 0 or chances.max() > 1 or (np.diff(chances) > 0).any():
        raise ValueError("exceeds must return chances P(e > x) that fall with x, one for each x")
    return LiveMemories(np.append(np.ones(R - 1), chances))
