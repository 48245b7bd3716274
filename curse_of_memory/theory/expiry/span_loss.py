"""The exact error of a memory with one span, in whole steps: E(e) = Σ_s w_s (1 − m(s))²; its best span.

Loss.       Of y_t = Σ_s ρ_s x_{t−s}, white inputs of the variance σ², a memory of the span e that has the
            right weights, not adapted to the ramp, keeps ŷ_t = Σ_s m(s) ρ_s x_{t−s}. Its expected error is

                E(e) = Σ_{s>=1} w_s (1 − m(s))² ,      w_s = σ² b_s ρ_s² ,

            with the memory bias b of the weight on errors, b_0 = 1.

Shape.      E falls to zero. Between whole numbers it is a parabola, with the slope
            −(2/R²) Σ_{e < s < e + R} w_s (s − e), which knows nothing but the lags on the ramp. At e = s − R
            it falls by 2w_s/R, as lag s comes into sight: a concave kink. So E + αe may have a minimum
            between any two whole numbers, even if ρ falls, and the best span is sought in all of them.

Source.     Ours. The mask is that of "Not All Memories are Created Equal" (2105.06548), the bias that of
            INTEREST (2307.11462), theorem 3.3.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.bias.lag_weights import lag_weights
from curse_of_memory.theory.expiry._checked import checked_spans
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks

__all__ = ["BestSpan", "SpanLoss", "span_loss"]


class BestSpan(NamedTuple):
    """The span with the least error and price.

    Attributes
    ----------
    span : float
        e, in steps; the shortest if there are several.
    error : float
        E(e).
    cost : float
        E(e) + αe.
    """

    span: float
    error: float
    cost: float


@dataclass(frozen=True, eq=False)
class SpanLoss:
    """The expected error of a memory by its span e, E(e) = Σ_{s>=1} w_s (1 − m(s))².

    Attributes
    ----------
    worth : numpy.ndarray, shape (T,)
        w_s >= 0 at the lags 0, …, T − 1: what it costs to forget lag s alone. Lag 0 is never forgotten.
    ramp : int
        R, in steps.
    """

    worth: np.ndarray
    ramp: int

    def error(self, spans: ArrayLike) -> np.ndarray:
        """Return E(e) for spans e >= 0 of any shape, in steps.

        Raises
        ------
        ValueError, TypeError
            If a span is negative or not finite.
        """
        return (self._beyond(spans) ** 2 @ self.worth)[()]

    def slope(self, spans: ArrayLike) -> np.ndarray:
        """Return dE/de = −(2/R) Σ_{0 < m(s) < 1} w_s (1 − m(s)), for spans e >= 0 of any shape, in steps.

        Lags with m(s) = 0 have no gradient: at whole numbers this is the derivative from the left.

        Raises
        ------
        ValueError, TypeError
            If a span is negative or not finite.
        """
        beyond = self._beyond(spans)
        return (-2 / self.ramp * (np.where(beyond < 1, beyond, 0.0) @ self.worth))[()]

    def _beyond(self, spans: ArrayLike) -> np.ndarray:
        """Return 1 − m(s) of all spans and lags."""
        e = checked_spans("spans", spans)[..., None]
        return np.clip((np.arange(self.worth.size) - e) / self.ramp, 0.0, 1.0)

    def best(self, alpha: float) -> BestSpan:
        """Return the e >= 0 at which E(e) + αe is least, by the minima of all its parabolas.

        Parameters
        ----------
        alpha : float
            α >= 0, per step of span.

        Raises
        ------
        ValueError, TypeError
            If alpha is negative or no finite number.
        """
        alpha, R = checks.non_negative("alpha", alpha), self.ramp
        lags, j = np.arange(max(self.worth.size - 1, 1)), np.arange(1.0, R + 1)
        w = np.concatenate([self.worth, np.zeros(R + 1)])
        left = np.cumsum(w[::-1])[::-1]  # Σ_{s>=n} w_s
        seen = sliding_window_view(w[1:], R)[: lags.size]  # on the ramp of the spans n to n + 1
        total, first = seen.sum(1), seen @ j
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            lowest = np.where(total > 0, (first - alpha * R * R / 2) / total, 0.0)
        u = np.clip(lowest, 0.0, 1.0)
        error = ((j - u[:, None]) ** 2 * seen).sum(1) / R**2 + left[lags + R + 1]
        cost = error + alpha * (lags + u)
        n = int(cost.argmin())
        return BestSpan(float(n + u[n]), float(error[n]), float(cost[n]))


def span_loss(
    rho: ArrayLike, ramp: int, *, b: Bias | ArrayLike | None = None, variance: float = 1.0
) -> SpanLoss:
    """Return the exact expected error of a memory of ρ, as a function of its span.

    Parameters
    ----------
    rho : array_like, shape (T,)
        ρ at the lags 0, 1, …, T − 1, in steps; later lags count as zero.
    ramp : int
        R >= 1, in steps.
    b : Bias or array_like of shape (T,), optional
        The memory bias of the weight on errors, scaled to b_0 = 1; 1 at all lags unless given.
    variance : float
        σ² >= 0, of the inputs.

    Returns
    -------
    SpanLoss

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, ramp is below 1, or a number is not finite.
    OverflowError
        If the error exceeds double precision.

    Examples
    --------
    >>> loss = span_loss(np.exp(-0.05 * np.arange(2000)), ramp=16)
    >>> [round(loss.best(alpha).span, 2) for alpha in (1e-3, 1e-5)]
    [59.3, 105.34]
    """
    values, _ = lagged("rho", rho, 1.0)
    R, power = checks.positive_int("ramp", ramp), checks.non_negative("variance", variance)
    weights = lag_weights(b, values.size)
    with np.errstate(over="ignore"):
        worth = power * weights * values**2
        total = worth.sum()
    if not np.isfinite(total):
        raise OverflowError("the error exceeds double precision: give rho in another unit")
    return SpanLoss(worth, R)
