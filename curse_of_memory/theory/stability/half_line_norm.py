"""Norms of an error on [0, ∞), bounded from both sides by rows on [0, S] and by what these leave out.

The rows are finitely many numbers: values at Gauss points, or integrals over cells, of the error Δ = ρ − ρ̂.
A :class:`HalfLine` holds them with what bounds the quadrature error on [0, S] and the norm on [S, ∞), and
turns a norm of rows into a lower and an upper bound of the norm of Δ.
"""

from dataclasses import dataclass
from typing import overload

import numpy as np

from curse_of_memory.theory.stability.error_rows import Rows

__all__ = ["HalfLine", "LeftOut"]


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What bounds the quadrature error of rows on [0, S].

    Attributes
    ----------
    weights, sizes : numpy.ndarray, shape (ellipses, panels)
        A panel adds at most weight · M² to the missed part of ∫Δ², where |Δ| <= M in an ellipse around it; a
        bound of |ρ| there. In L¹ the `weights` are what ∫|Δ| misses, whatever the modes, and the others are
        empty; but if sampled, a cell adds at most weight · |Δ'|, and `sizes` (1 or 2, cells) are those of ρ'
        and ρ''.
    starts, ends, heights : numpy.ndarray
        The least and the largest real part in the ellipse, and the largest imaginary one.
    """

    weights: np.ndarray
    sizes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    heights: np.ndarray


@dataclass(frozen=True, eq=False)
class HalfLine:
    """The norm of an error on [0, ∞), as rows on [0, S] and bounds of what these leave out.

    Attributes
    ----------
    rows : Rows
        Their norm is that of Δ on [0, S], up to :meth:`missed` and to what ``rows.hidden`` bounds.
    stop : float
        S.
    tail, slack : float
        The norm of ρ on [S, ∞) is at least `tail`, and at most `slack` more.
    left_out : LeftOut
        What bounds the quadrature error of the rows.
    """

    rows: Rows
    stop: float
    tail: float
    slack: float
    left_out: LeftOut

    @overload
    def mode_tail(self, rate: float) -> float: ...

    @overload
    def mode_tail(self, rate: np.ndarray) -> np.ndarray: ...

    def mode_tail(self, rate: np.ndarray | float) -> np.ndarray | float:
        """Return the norm on [S, ∞) of e^{−rate t}, its slope included where the norm counts slopes."""
        if self.rows.order == 2:
            return np.exp(-rate * self.stop) / np.sqrt(2 * rate)
        slope = 1.0 if self.rows.slope_weights.size else 0.0
        return np.exp(-rate * self.stop) * (1 / rate + slope)

    def missed(self, amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return a bound of what rows miss of ∫Δ² or ∫|Δ|, for sums of modes (..., m).

        Parameters
        ----------
        amplitudes, rates : numpy.ndarray, shape (..., m)
            Upper bounds of the |aᵢ|, and lower bounds of the rates.
        """
        if self.rows.order == 1:
            return np.full(amplitudes.shape[:-1], self.left_out.weights.sum())
        with np.errstate(all="ignore"):
            modes = amplitudes[..., None, None] * np.exp(-np.multiply.outer(rates, self.left_out.starts))
        return self._missed(modes.sum(-3))

    def missed_by(self, size: np.ndarray, rate: float, apart: np.ndarray, largest: float) -> np.ndarray:
        """Return a bound of what `sampled` rows miss, for memories cᵀe^{Wt}u with |c||u| <= `size`.

        Parameters
        ----------
        size, apart : numpy.ndarray, shape (n,)
            |c||u|, and the spectral norm of W less a diagonal matrix.
        rate : float
            The slowest rate λ of that matrix: |e^{Wz}| <= e^{−λ Re z + apart |z|}.
        largest : float
            A bound of |W|.
        """
        out = self.left_out
        with np.errstate(all="ignore"):
            if self.rows.order == 2:
                apart = apart[:, None, None]
                # |z| − x is at most y²/(2x)
                far = np.where(apart <= rate, out.starts, out.ends)
                growth = (apart - rate) * far + apart * out.heights**2 / (2 * out.starts)
                near = apart * np.hypot(out.ends, out.heights) - rate * out.starts
                growth = np.where(out.starts > 0, growth, near)
                return self._missed(size[:, None, None] * np.exp(growth))
            decays = size[:, None] * np.exp(np.multiply.outer(apart - rate, out.starts))
            factors = (largest, largest**2)[: len(out.sizes)]
            by_order = [
                (known + factor * decays) @ out.weights
                for known, factor in zip(out.sizes, factors, strict=True)
            ]
            return np.sum(by_order, axis=0)

    def _missed(self, modes: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            each = (self.left_out.sizes + modes) ** 2 * self.left_out.weights
            return np.nan_to_num(each, nan=np.inf, posinf=np.inf).min(-2).sum(-1)

    def spill(self, amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return a bound of the norm on [S, ∞) of sums of modes; arguments as for :meth:`missed`."""
        with np.errstate(all="ignore"):
            spill = (amplitudes * self.mode_tail(rates)).sum(-1)
        return np.nan_to_num(spill, nan=np.inf, posinf=np.inf)

    def below(self, inner: np.ndarray, missed: np.ndarray, spill: np.ndarray) -> np.ndarray:
        """Return lower bounds of norms on [0, ∞).

        Parameters
        ----------
        inner, missed, spill : numpy.ndarray, shape (n,)
            The norms of the rows, what they miss at most, and the norms of the modes on [S, ∞).
        """
        tail = np.maximum(self.tail - spill, 0.0)
        with np.errstate(all="ignore"):
            if self.rows.order == 2:
                # √(x² − δ), and large x must not overflow
                share = np.maximum(1 - (np.sqrt(missed) / np.maximum(inner, 1e-300)) ** 2, 0.0)
                least = np.hypot(inner * np.sqrt(share), tail)
            else:
                least = np.maximum(inner - missed, 0.0) + tail
        # an error that overflows is infinite, whatever is missed
        return np.where(np.isinf(inner), np.inf, least)

    def above(self, inner: np.ndarray, missed: np.ndarray, spill: np.ndarray) -> np.ndarray:
        """Return upper bounds of norms on [0, ∞); arguments as for :meth:`below`."""
        tail = self.tail + self.slack + spill
        if self.rows.order == 2:
            return np.hypot(np.hypot(inner, np.sqrt(missed)), tail)
        return inner + missed + tail
