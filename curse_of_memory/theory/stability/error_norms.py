"""The norms of the error of a memory on a grid: ℓ1, ℓ2, W^{1,∞} and the expected loss.

A functional x ↦ ∫ ρ(s) x_{t−s} ds has the norm ‖ρ‖_1, and ρ(0) x_t + ∫ ρ'(s) x_{t−s} ds is its derivative
in t, so that the norm W^{1,∞} of the papers is ‖Δ‖_1 + |Δ(0)| + ‖Δ'‖_1 ("Inverse approximation theory"
(2305.19190)).
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import Bias, power
from curse_of_memory.theory.stability.error_rows import StepRows
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks

__all__ = ["NORMS", "Memory", "on_steps"]

NORMS = ("l2", "l1", "w1", "expected")
Memory = Callable[[np.ndarray], ArrayLike] | ArrayLike
"""A memory function: a Target, an ExponentialSum or another callable of times, or values at the lags."""


def on_steps(
    rho: Memory, norm: str, horizon: int, dt: float, weight: Bias | ArrayLike | None = None
) -> StepRows:
    """Return the rows whose norm is the error over `horizon` steps of length `dt`.

    Parameters
    ----------
    rho : Target, ExponentialSum, callable, DataArray or array_like of shape (horizon,)
        The memory function, or its values at 0, dt, ....
    norm : {'l2', 'l1', 'w1', 'expected'}
        (dt Σ w_s Δ_s²)^{1/2}; dt Σ |Δ_s|; that plus |Δ_0| + Σ |Δ_{s+1} − Δ_s|; or the root of the expected
        loss for white inputs of variance one, (dt² Σ B_s Δ_s² / T)^{1/2}.
    horizon : int
        Number of lags T.
    dt : float
        Time step.
    weight : Bias or array_like of shape (horizon,), optional
        w_s of "l2"; or the bias of "expected": B_s, or the weights over time, which are scaled to mean one.

    Raises
    ------
    ValueError
        If `rho` has another length or time step, or the weight does not go with the norm.

    Examples
    --------
    >>> rows = on_steps(np.ones(4), "l1", 4, dt=0.5)
    >>> float(rows.norm(rows.y))
    2.0
    """
    horizon = checks.positive_int("horizon", horizon)
    values = _sampled(rho, horizon, dt)
    s = np.arange(horizon, dtype=float)
    none = np.empty(0)
    weights = _step_weights(norm, weight, horizon, dt)
    if norm in ("l2", "expected"):
        root = np.sqrt(weights)
        return StepRows(2, s, root, none, root * values)
    slopes = none
    if norm == "w1":
        weights[0] += 1.0
        slopes = np.ones(horizon - 1)
    y = np.concatenate([weights * values, np.diff(values)[: slopes.size]])
    return StepRows(1, s, weights, slopes, y)


def _step_weights(norm: str, weight: Bias | ArrayLike | None, horizon: int, dt: float) -> np.ndarray:
    """Return the weight of each squared error, or of each absolute one."""
    if norm not in ("l2", "expected"):
        if weight is not None:
            raise ValueError(f"weight goes with norm='l2' or 'expected', got norm={norm!r}")
        return np.full(horizon, dt)
    if norm == "expected":
        if weight is None or isinstance(weight, Bias):
            mean_one = (weight or power(0)).weights(horizon, dt, unit_mean=True)
            return dt**2 * np.cumsum(mean_one[::-1])[::-1] / horizon
        scale = dt**2 / horizon
    else:
        scale = dt
    if weight is None:
        return np.full(horizon, scale)
    w = weight.discrete(horizon, dt) if isinstance(weight, Bias) else weight
    w, _ = lagged("weight", w, dt)
    if w.size != horizon or w.min() < 0:
        raise ValueError(
            f"weight must be non-negative with one value per lag, {horizon}, got shape {w.shape}"
        )
    return scale * w


def _sampled(rho: Memory, horizon: int, dt: float) -> np.ndarray:
    values, _ = lagged("rho", rho(dt * np.arange(horizon)) if callable(rho) else rho, dt)
    if values.size != horizon:
        raise ValueError(f"rho must have one value per lag, horizon={horizon}, got {values.size}")
    return values
