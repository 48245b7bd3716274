"""The norms in which a memory is wrong: ℓ1, ℓ2, W^{1,∞} and the expected loss, on a grid or on [0, ∞).

A functional x ↦ ∫ ρ(s) x_{t−s} ds has the norm ‖ρ‖_1, and ρ(0) x_t + ∫ ρ'(s) x_{t−s} ds is its derivative
in t, so that the norm W^{1,∞} of the papers is ‖Δ‖_1 + |Δ(0)| + ‖Δ'‖_1 ("Inverse approximation theory"
(2305.19190)).
"""

import math
from dataclasses import dataclass

import numpy as np
import sympy

from curse_of_memory import checks
from curse_of_memory.theory.bias import Bias, power
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.functions.formulas import compiled
from curse_of_memory.theory.functions.lagged import lagged
from curse_of_memory.theory.functions.quadrature import integrals_to
from curse_of_memory.theory.functions.target import Target
from curse_of_memory.theory.functions.target import t as time
from curse_of_memory.theory.perturbation.error_rows import StepRows, TimeRows

__all__ = ["NORMS", "HalfLine", "half_line", "on_steps"]

NORMS = ("l2", "l1", "w1", "expected")
_GAUSS = np.polynomial.legendre.leggauss(12)
# e^{-45} is 3e-20: beyond 45 time constants of the slowest mode only ρ itself is left
_TIME_CONSTANTS = 45.0
_PANELS_PER_OCTAVE = 2


def on_steps(rho, norm: str, horizon: int, dt: float, weight=None) -> StepRows:
    """Return the rows of an error over `horizon` steps of length `dt`.

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


def _step_weights(norm, weight, horizon, dt) -> np.ndarray:
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


def _sampled(rho, horizon: int, dt: float) -> np.ndarray:
    values, _ = lagged("rho", rho(dt * np.arange(horizon)) if callable(rho) else rho, dt)
    if values.size != horizon:
        raise ValueError(f"rho must have one value per lag, horizon={horizon}, got {values.size}")
    return values


@dataclass(frozen=True, eq=False)
class HalfLine:
    """Rows of an error on [0, S], at two resolutions, and the norm of ρ beyond S.

    Attributes
    ----------
    rows, coarse : TimeRows
        Gauss-Legendre panels, and half as many of them.
    stop : float
        S.
    tail : float
        The norm of ρ on [S, ∞).
    """

    rows: TimeRows
    coarse: TimeRows
    stop: float
    tail: float

    def mode_tail(self, rate: float) -> float:
        """Return the norm on [S, ∞) of e^{−rate t}, and of its slope where that counts."""
        if self.rows.order == 2:
            return math.exp(-rate * self.stop) / math.sqrt(2 * rate)
        slope = 1.0 if self.rows.slope_weights.size else 0.0
        return math.exp(-rate * self.stop) * (1 / rate + slope)


def half_line(rho, norm: str, slowest: float, fastest: float) -> HalfLine | None:
    """Return the rows of an error on [0, ∞) for modes of the rates given; None if the norm of ρ is infinite.

    Parameters
    ----------
    rho : Target or ExponentialSum
        The memory function.
    norm : {'l2', 'l1', 'w1'}
        (∫Δ²)^{1/2}, ∫|Δ|, or ∫|Δ| + |Δ(0)| + ∫|Δ'|.
    slowest, fastest : float
        The rates between which those of the modes are.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not known on [0, ∞), the norm is that of a finite horizon, or the slope is not known.
    """
    if not isinstance(rho, Target | ExponentialSum):
        raise TypeError(
            "horizon=None needs rho on all of [0, ∞), a Target or ExponentialSum; "
            f"got {type(rho).__name__}: give its number of lags as horizon"
        )
    if norm == "expected":
        raise ValueError("norm='expected' is the loss over a number of steps: give horizon")
    slope = _slope(rho) if norm == "w1" else None
    stop = _TIME_CONSTANTS / slowest
    if isinstance(rho, ExponentialSum):
        rates = np.real(rho.rates)
        stop, fastest = _TIME_CONSTANTS / min(slowest, rates.min()), max(fastest, rates.max())
        tail = 0.0
    else:
        tail = _tail(rho, slope, norm, stop)
    if not math.isfinite(tail):
        return None
    start = min(0.25 / fastest, stop / 4096)
    panels = max(8, math.ceil(_PANELS_PER_OCTAVE * math.log2(stop / start)))
    edges = np.geomspace(start, stop, panels + 1)
    middles = np.sqrt(edges[1:] * edges[:-1])
    fine = np.sort(np.concatenate([[0.0, start / 2], edges, middles]))
    make = (_time_rows(rho, slope, norm, e) for e in (fine, np.concatenate([[0.0], edges])))
    return HalfLine(*make, stop, tail)


def _time_rows(rho, slope, norm: str, edges: np.ndarray) -> TimeRows:
    half = np.diff(edges)[:, None] / 2
    t = (edges[:-1, None] + half * (1 + _GAUSS[0])).ravel()
    q = (half * _GAUSS[1]).ravel()
    none = np.empty(0)
    if norm == "l2":
        return TimeRows(2, t, np.sqrt(q), none, np.sqrt(q) * rho(t))
    if norm == "l1":
        return TimeRows(1, t, q, none, q * rho(t))
    t = np.concatenate([[0.0], t])
    values, slopes = np.concatenate([[1.0], q]), np.concatenate([[0.0], q])
    return TimeRows(1, t, values, slopes, np.concatenate([values * rho(t), slopes * slope(t)]))


def _slope(rho):
    """Return ρ' as a function of an array of times."""
    if isinstance(rho, ExponentialSum):
        return lambda t: -np.real(np.exp(-np.multiply.outer(t, rho.rates)) @ (rho.rates * rho.coefficients))
    if rho.formula is None or rho.formula.has(sympy.Piecewise):
        raise ValueError(f"norm='w1' needs a rho with a differentiable formula, got {rho.name}")
    derived = compiled(sympy.diff(rho.formula, time), time)
    return lambda t: np.broadcast_to(derived(t), np.shape(t)).astype(float)


def _tail(rho: Target, slope, norm: str, stop: float) -> float:
    """Return the norm of ρ on [stop, ∞), inf where it diverges."""
    if not math.isfinite(rho.norm(2 if norm == "l2" else 1)):
        return math.inf
    start = np.array([stop])
    if norm == "l2":
        return math.sqrt(_integral(lambda t: rho(t) ** 2, start, f"rho^2 of {rho.name}"))
    beyond = float(rho.tail(stop))
    if norm == "w1":
        beyond += _integral(lambda t: np.abs(slope(t)), start, f"|rho'| of {rho.name}")
    return beyond


def _integral(values, start, name) -> float:
    # what has underflowed at its start does so beyond it, and quad would find no scale in it
    if not values(start * np.array([1.0, 1.5, 2.0])).any():
        return 0.0
    return float(integrals_to(values, start, math.inf, name)[0])
