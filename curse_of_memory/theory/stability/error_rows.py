"""Memories as rows of numbers, so weighted that the ℓ1 or ℓ2 norm of the rows is the error.

The error of a sum of modes is ‖y − Σᵢ aᵢ φ(pᵢ)‖ with the ℓ1 or the ℓ2 norm, where the rows φ(p) of a mode
with pole p, and y of the target, carry the weights of the norm. Rows are values of the memory, and for the
functional norm W^{1,∞} also its slopes. Ranges of the rows over intervals of poles are exact: each row has
at most two extrema, and they are known.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["CellRows", "Rows", "StepRows", "TimeRows", "hidden_in_cells"]


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


def hidden_in_cells(integrals: np.ndarray, slopes: np.ndarray, width: np.ndarray) -> np.ndarray:
    """Return by how much ∫|Δ| over a cell of width h may exceed |∫Δ|, where |Δ'| <= slopes.

    Where Δ is negative on a part of length a, ∫Δ⁻ <= M a²/2 and ∫Δ⁺ <= M (h − a)²/2; hence no more than
    M (h/2 − |∫Δ|/(Mh))², and nothing from |∫Δ| = Mh²/2 on.

    Parameters
    ----------
    integrals : numpy.ndarray
        Lower bounds of |∫Δ|.
    slopes, width : numpy.ndarray
        M and h.

    Examples
    --------
    >>> hidden_in_cells(np.array([0.0, 0.5]), np.ones(2), np.ones(2))  # Δ = t − 1/2 hides 1/4, Δ = t nothing
    array([0.25, 0.  ])
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        half = np.maximum(width / 2 - integrals / (slopes * width), 0.0)
        return np.where(slopes > 0, slopes * half**2, 0.0)


@dataclass(frozen=True, eq=False)
class CellRows(Rows):
    """Rows of modes e^{κt}: their integrals over cells, and their increments across them.

    Attributes
    ----------
    edges : numpy.ndarray, shape (cells + 1,)
        The ends of the cells. If there is one row more than cells, the first row is the value at 0.
    steps, bends, thirds : numpy.ndarray, shape (cells,)
        The increments of ρ, and bounds of its second and third derivative.
    smooth : numpy.ndarray of bool, shape (cells − 1,)
        Whether ρ is smooth where two cells meet.
    """

    edges: np.ndarray
    steps: np.ndarray
    bends: np.ndarray
    thirds: np.ndarray
    smooth: np.ndarray

    def _values(self, p, derivatives):
        a, h = self.edges[:-1], np.diff(self.edges)
        u = p * h
        scale, moments = h * np.exp(p * a), _moments(u, derivatives)
        # ∫ tᵈ e^{κt} dt with t = a + hs
        formulas = (
            lambda: moments[0],
            lambda: a * moments[0] + h * moments[1],
            lambda: a * a * moments[0] + 2 * a * h * moments[1] + h * h * moments[2],
        )
        rows = [scale * formulas[d]() for d in range(derivatives + 1)]
        if self.nodes.size == a.size:
            return rows
        return [
            np.concatenate([np.full((*row.shape[:-1], 1), float(d == 0)), row], -1)
            for d, row in enumerate(rows)
        ]

    def _slopes(self, p, derivatives):
        a, b = self.edges[:-1], self.edges[1:]
        low, high = np.exp(p * a), np.exp(p * b)
        formulas = (
            lambda: low * np.expm1(p * (b - a)),
            lambda: b * high - a * low,
            lambda: b * b * high - a * a * low,
        )
        return [formulas[d]() for d in range(derivatives + 1)]

    def _value_extrema(self, derivative):
        return []

    def _slope_extrema(self, derivative):
        # b^{d+1} e^{κb} = a^{d+1} e^{κa}
        a, b = np.maximum(self.edges[:-1], 1e-300), self.edges[1:]
        return [-(derivative + 1) * np.log(b / a) / (b - a)]

    def hidden(self, low, high, memory, sizes):
        """Return by how much the error may exceed the norm of the rows, through sign changes within cells."""
        ones = np.ones(self.steps.size)
        values = replace(self, nodes=self.edges[:-1], value_weights=ones, slope_weights=ones)
        ((least, largest),) = values.ranges(low, high, 0)
        cells = self.steps.size
        below, above = memory(least, largest)
        y = np.concatenate([self.y[self.nodes.size - cells : self.nodes.size], self.steps])
        # the least and the largest |y − memory|
        near = np.maximum(np.maximum(y - above, below - y), 0.0)
        far = np.maximum(np.abs(y - below), np.abs(y - above))
        width = np.diff(self.edges)
        bends, thirds = (self._derivatives(order, low, high, sizes) for order in (2, 3))
        bends = np.fmin(bends, self._from_neighbours(y - above, y - below, thirds))
        slopes = far[..., cells:] / width + bends * width
        total = hidden_in_cells(near[..., :cells], slopes, width).sum(-1)
        if self.slope_weights.size:
            total = total + hidden_in_cells(near[..., cells:], bends, width).sum(-1)
        return np.where(np.isnan(total), np.inf, total)

    def _derivatives(self, order, low, high, sizes):
        """Return bounds of the second or third derivative in each cell, those of ρ and of the modes added."""
        # λᵈ e^{−λt} is largest at λ = d/t
        peak = -order / np.maximum(self.edges[:-1], 1e-300)
        pole = np.clip(peak, low[..., None], high[..., None])
        with np.errstate(all="ignore"):
            modes = (sizes[:, None] * np.abs(pole) ** order * np.exp(pole * self.edges[:-1])).sum(-2)
        return (self.bends if order == 2 else self.thirds) + modes

    def _from_neighbours(self, below, above, thirds):
        """Return bounds of |Δ''| in each cell, from differences of the mean slopes of two neighbours."""
        width, cells = np.diff(self.edges), self.steps.size
        low, high = (bound[..., -cells:] / width for bound in (below, above))
        # the difference is Δ'' at some point between, times the distance of the middles
        apart = (width[1:] + width[:-1]) / 2
        with np.errstate(all="ignore"):
            most = np.maximum(high[..., 1:] - low[..., :-1], high[..., :-1] - low[..., 1:]) / apart
            pairs = most + 2 * apart * np.maximum(thirds[..., 1:], thirds[..., :-1])
        pairs = np.where(self.smooth, pairs, np.inf)
        outside = np.full((*pairs.shape[:-1], 1), np.inf)
        return np.fmin(np.concatenate([pairs, outside], -1), np.concatenate([outside, pairs], -1))


def _moments(u: np.ndarray, highest: int) -> list[np.ndarray]:
    """Return ∫_0^1 sᵏ e^{us} ds for k <= highest."""
    small = np.abs(u) < 0.1
    safe = np.where(small, 1.0, u)
    moments = [np.where(u == 0, 1.0, np.expm1(u) / np.where(u == 0, 1.0, u))]
    series = np.where(small, u, 0.0)
    for k in range(1, highest + 1):
        recursion = (np.exp(safe) - k * moments[-1]) / safe
        powers = [1 / (math.factorial(j) * (j + k + 1)) for j in range(10)]
        moments.append(np.where(small, np.polynomial.polynomial.polyval(series, powers), recursion))
    return moments
