"""Spans trained on their exact loss: gradient descent on E(e) + αe, many trainings at once.

A step is e ← e + η (force − α), force = (2/R²) Σ_{e<s<e+R} w_s (s − e). With nearly the inverse curvature on
the ramp, η = 0.999 R²/(2 Σ_{e<s<e+R} w_s), it goes where the gradient flow goes, from below never past its
end, not even by rounding, and in few steps, however flat the loss is.
"""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.expiry import SpanLoss

__all__ = ["descended", "ramp_sums"]

_BELOW = 0.999  # of the inverse curvature


def ramp_sums(loss: SpanLoss, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (2/R²) Σ w_s (s − e) and Σ w_s over the lags e < s < e + R, for spans e of any shape."""
    w = np.append(loss.worth, np.zeros(loss.ramp + 1))
    lags = np.floor(spans).astype(int)[..., None] + np.arange(1, loss.ramp + 1)
    ahead = lags - spans[..., None]
    seen = np.where(ahead < loss.ramp, w[np.minimum(lags, w.size - 1)], 0.0)
    return 2 / loss.ramp**2 * (seen * ahead).sum(-1), seen.sum(-1)


def descended(
    loss: SpanLoss, start: ArrayLike, alpha: ArrayLike = 0.0, *, step: float | None = None, steps: int = 400
) -> np.ndarray:
    """Return the spans after gradient descent on E(e) + αe.

    Parameters
    ----------
    loss : SpanLoss
        E.
    start, alpha : array_like
        Spans to start from and prices, which broadcast: one training each.
    step : float, optional
        η, in steps² per unit of loss; by the curvature on the ramp unless given.
    steps : int
        Updates.
    """
    e, price = (np.array(a, float) for a in np.broadcast_arrays(start, alpha))
    for _ in range(steps):
        force, total = ramp_sums(loss, e)
        rate = step
        if rate is None:  # where nothing is on the ramp the price alone pulls, by a ramp at most
            rate = _BELOW * loss.ramp**2 / np.maximum(2 * total, price * loss.ramp + 1e-300)
        e = np.maximum(e + rate * (force - price), 0.0)
    return e
