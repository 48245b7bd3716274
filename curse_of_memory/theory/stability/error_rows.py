"""Memories as rows of numbers, so weighted that the ℓ1 or ℓ2 norm of the rows is the error.

The error of a sum of modes is ‖y − Σᵢ aᵢ φ(pᵢ)‖ with the ℓ1 or the ℓ2 norm, where the rows φ(p) of a mode
with pole p, and y of the target, carry the weights of the norm. Rows are values of the memory, and for the
functional norm W^{1,∞} also its slopes. Ranges of the rows over intervals of poles are exact: each row has
at most two extrema, and they are known.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Rows", "StepRows", "TimeRows"]


@dataclass(frozen=True, eq=False)
class Rows(ABC):
    """The rows φ(p) of a mode with pole p, and y of the target.

    Attributes
    ----------
    order : {1, 2}
        Which norm of the rows is the error.
    nodes : numpy.ndarray, shape (n,)
        Times, or steps.
    value_weights, slope_weights : numpy.ndarray, shape (n,) and (k,)
        What multiplies ρ at each node, and its slope at the first k nodes.
    y : numpy.ndarray, shape (n + k,)
        The rows of the target, weighted.
    """

    order: int
    nodes: np.ndarray
    value_weights: np.ndarray
    slope_weights: np.ndarray
    y: np.ndarray

    @abstractmethod
    def _values(self, p: np.ndarray, derivatives: int) -> list[np.ndarray]:
        """Return a mode with pole p ``(..., 1)`` or ``(..., n)`` at the nodes, and derivatives in p."""

    @abstractmethod
    def _slopes(self, p: np.ndarray, derivatives: int) -> list[np.ndarray]:
        """Return the slope of the mode at the first k nodes, and derivatives in p, as :meth:`_values`."""

    @abstractmethod
    def _value_extrema(self, derivative: int) -> list[np.ndarray]:
        """Return where that derivative of a value has its extrema, as a function of p."""

    @abstractmethod
    def _slope_extrema(self, derivative: int) -> list[np.ndarray]:
        """Return where that derivative of a slope has its extrema, as a function of p."""

    def jet(self, poles: np.ndarray, derivatives: int = 0) -> list[np.ndarray]:
        """Return φ ``(..., m, rows)`` of poles ``(..., m)``, and so many of its derivatives in the pole."""
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            p = poles[..., None]
            rows = [v * self.value_weights for v in self._values(p, derivatives)]
            if not self.slope_weights.size:
                return rows
            slopes = [s * self.slope_weights for s in self._slopes(p, derivatives)]
            return [np.concatenate(pair, -1) for pair in zip(rows, slopes, strict=True)]

    def ranges(self, low: np.ndarray, high: np.ndarray, derivatives: int) -> list[tuple]:
        """Return for φ and each derivative its (least, largest) values over the poles low <= p <= high."""
        at_low, at_high = self.jet(low, derivatives), self.jet(high, derivatives)
        ranges = []
        for d in range(derivatives + 1):
            least, largest = np.minimum(at_low[d], at_high[d]), np.maximum(at_low[d], at_high[d])
            n = self.nodes.size
            self._include(least[..., :n], largest[..., :n], low, high, d, slopes=False)
            if self.slope_weights.size:
                self._include(least[..., n:], largest[..., n:], low, high, d, slopes=True)
            ranges.append((least, largest))
        return ranges

    def _include(self, least, largest, low, high, derivative, slopes):
        """Widen the range by the values at the extrema within the interval, in place."""
        extrema = (self._slope_extrema if slopes else self._value_extrema)(derivative)
        evaluate, weights = (
            (self._slopes, self.slope_weights) if slopes else (self._values, self.value_weights)
        )
        for extremum in extrema:
            if ((extremum <= low[..., None]) | (extremum >= high[..., None])).all():
                continue
            # clipped into the interval, a pole outside is a valid point of it, too
            p = np.clip(extremum, low[..., None], high[..., None])
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                rows = evaluate(p, derivative)[derivative] * weights
            np.minimum(least, rows, out=least)
            np.maximum(largest, rows, out=largest)

    def norm(self, rows: np.ndarray) -> np.ndarray:
        """Return the norm of rows ``(..., rows)``; one that overflows is infinite."""
        if self.order == 1:
            with np.errstate(over="ignore", invalid="ignore"):
                size = np.abs(rows).sum(-1)
        else:
            # squares must not overflow before the norm does
            scale = np.maximum(np.abs(rows).max(-1, keepdims=True), 1e-300)
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                size = scale[..., 0] * np.linalg.norm(rows / scale, axis=-1)
        return np.where(np.isnan(size), np.inf, size)

    def hidden(self, low: np.ndarray, high: np.ndarray, memory: Callable, sizes: np.ndarray) -> np.ndarray:
        """Return by how much the error may exceed the norm of the rows: 0 where the error is a sum over rows.

        Parameters
        ----------
        low, high : numpy.ndarray, shape (n, m)
            Boxes of poles.
        memory : callable
            From the (least, largest) rows of modes over the boxes, (n, m, rows), to those of their sum.
        sizes : numpy.ndarray, shape (m,)
            Bounds of the |aᵢ|.
        """
        return np.zeros(low.shape[:-1])

    @property
    def rounding(self) -> float:
        """Bound of the rounding error of a norm, relative to the norm of the magnitudes of its terms."""
        return np.finfo(float).eps * (self.nodes.size + 64)


class StepRows(Rows):
    """Rows of modes z^s at the steps s, with slopes (z − 1) z^s: the pole is the multiplier z."""

    def _power(self, z: np.ndarray, drop: int) -> np.ndarray:
        """Return z^(s − drop), and 0 for s < drop."""
        n = self.nodes.size
        if z.shape[-1] > 1:
            powers = np.power(z, np.maximum(self.nodes[: z.shape[-1]] - drop, 0))
            powers[..., :drop] = 0.0
        elif drop >= n:
            powers = np.zeros((*z.shape[:-1], n))
        else:
            ahead = np.zeros((*z.shape[:-1], drop))
            powers = np.concatenate([ahead, _powers(z, n - drop)], -1) if drop else _powers(z, n)
        return powers

    def _values(self, p, derivatives):
        s = self.nodes
        factors = (1.0, s, s * (s - 1))
        return [factors[d] * self._power(p, d) for d in range(derivatives + 1)]

    def _slopes(self, p, derivatives):
        k = self.slope_weights.size
        s = self.nodes[:k]
        powers = [self._power(p, d)[..., :k] for d in range(derivatives + 1)]
        formulas = (
            lambda: (p - 1) * powers[0],
            lambda: (s + 1) * powers[0] - s * powers[1],
            lambda: s * ((s + 1) * powers[1] - (s - 1) * powers[2]),
        )
        return [formulas[d]() for d in range(derivatives + 1)]

    def _value_extrema(self, derivative):
        return [np.zeros(1)]

    def _slope_extrema(self, derivative):
        s = self.nodes[: self.slope_weights.size]
        return [np.zeros(1), np.maximum(s - derivative, 0) / (s + 1)]


def _powers(z: np.ndarray, count: int) -> np.ndarray:
    """Return z^s for s < count, of z (..., 1), as z^(b i) z^j: no more than 2 √count factors in a row."""
    block = math.isqrt(count - 1) + 1
    fine = _ladder(z, block)
    coarse = _ladder(fine[..., -1:] * z, block)
    powers = coarse[..., :, None] * fine[..., None, :]
    return powers.reshape(*z.shape[:-1], block * block)[..., :count]


def _ladder(z: np.ndarray, count: int) -> np.ndarray:
    steps = np.broadcast_to(z, (*z.shape[:-1], count)).copy()
    steps[..., 0] = 1.0
    return np.cumprod(steps, -1)


class TimeRows(Rows):
    """Rows of modes e^{κt} at times t, with slopes κ e^{κt}: the pole is the exponent κ."""

    def _values(self, p, derivatives):
        e = np.exp(p * self.nodes)
        return [e * self.nodes**d for d in range(derivatives + 1)]

    def _slopes(self, p, derivatives):
        t = self.nodes
        e = np.exp(p * t)
        formulas = (lambda: p * e, lambda: (1 + p * t) * e, lambda: t * (2 + p * t) * e)
        return [formulas[d]() for d in range(derivatives + 1)]

    def _value_extrema(self, derivative):
        return []

    def _slope_extrema(self, derivative):
        return [-(derivative + 1) / np.maximum(self.nodes, 1e-300)]
