"""Rows of integrals over cells, and a bound of what sign changes of the error within the cells hide.

For an error Δ the sum over cells of |∫Δ| is at most ∫|Δ|, and less where Δ changes its sign within a cell.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from curse_of_memory.theory.stability.error_rows import Rows

__all__ = ["CellRows", "hidden_in_cells"]


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
