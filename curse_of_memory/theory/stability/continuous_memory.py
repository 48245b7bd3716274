"""A memory function on all of [0, ∞): its values, a bound in the complex plane, its norm and its tail."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy

from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.formulas import numpy_function
from curse_of_memory.theory.stability.cell_rows import hidden_in_cells
from curse_of_memory.theory.targets.analytic import derivative_bound
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.theory.targets.target import t as time

__all__ = ["ContinuousMemory", "continuous_memory", "sum_beyond", "target_tail", "time_derivative"]

_SETTLED = 1e-8  # relative accuracy of a tail without a closed form
_RATIO = 1.03  # of neighbouring edges of cells in the tail
_MOST_CELLS = 160_000  # beyond which cells of the tail are not halved


@dataclass(frozen=True, eq=False)
class ContinuousMemory:
    """A memory ρ to be integrated, with a bound of its size in the complex plane and its norm.

    Attributes
    ----------
    values, magnitude : callable
        ρ, and the bound of |ρ(z)| on rectangles.
    breaks : tuple of float
        Times at which ρ is not smooth.
    size : float
        The norm of ρ on [0, ∞), or an upper bound of it.
    name : str
        What messages call it.
    """

    values: Callable
    magnitude: Callable
    breaks: tuple[float, ...]
    size: float
    name: str


def continuous_memory(rho: Target | ExponentialSum, norm: str) -> ContinuousMemory:
    """Return the memory of a target or an exponential sum, with its size in L² ("l2") or L¹."""
    if isinstance(rho, Target):
        size = rho.norm(2 if norm == "l2" else 1)
        return ContinuousMemory(rho._values, rho._magnitude, rho.breaks, size, rho.name)
    c, rates = np.abs(rho.coefficients), np.asarray(rho.rates, dtype=complex)

    def magnitude(low, high, height):
        turned = np.multiply.outer(height, np.abs(np.imag(rates))) - np.multiply.outer(low, np.real(rates))
        return np.exp(turned) @ c

    decay = np.real(rates)
    size = float((c / (np.sqrt(2 * decay) if norm == "l2" else decay)).sum())
    return ContinuousMemory(rho, magnitude, (), size or 1.0, "rho")


def sum_beyond(rho: ExponentialSum, norm: str, stop: float) -> float:
    """Return an upper bound of the norm of an exponential sum on [stop, ∞)."""
    rates, c = np.real(rho.rates), np.abs(rho.coefficients)
    if norm == "l2":
        return float(c @ (np.exp(-rates * stop) / np.sqrt(2 * rates)))
    steepness = np.abs(rho.rates) / rates if norm == "w1" else 0.0
    return float(c @ (np.exp(-rates * stop) * (1 / rates + steepness)))


def target_tail(rho: Target, memory: ContinuousMemory, norm: str, stop: float) -> tuple[float, float]:
    """Return a lower bound of the norm of ρ on [stop, ∞), and the most by which the norm exceeds it."""
    if norm == "l2":
        tail = math.sqrt(float(rho._energy(np.array(stop))))
        off = 0.0 if rho.closed else _SETTLED * tail
        return tail - off, 2 * off
    # accurate relative to the whole norm: a tail that is nearly nothing needs no more
    size, tail = (float(integral) for integral in rho._tail(np.array([0.0, stop])))
    off = 0.0 if rho.closed else min(_SETTLED * size, tail)
    tail, off = tail - off, 2 * off
    if norm == "l1":
        return tail, off
    # the variation of ρ in cells: increments, and what they hide
    later = [b for b in rho.breaks if b > stop]
    far = stop * _RATIO ** np.arange(0.0, 1200.0)
    edges = np.unique(np.concatenate([far, rho.edges[rho.edges > far[-1]], later]))
    low, high, count = edges[:-1], edges[1:], edges.size
    for _ in range(40):
        with np.errstate(all="ignore"):
            steps = np.abs(rho._values(high) - rho._values(low))
            hidden = hidden_in_cells(steps, derivative_bound(memory.magnitude, low, high, 2), high - low)
        bad = hidden > 1e-9 * memory.size / count
        tail, off = tail + float(steps[~bad].sum()), off + float(hidden[~bad].sum())
        count += int(bad.sum())
        if not bad.any() or count > _MOST_CELLS:
            break
        low, middle, high = low[bad], (low + high)[bad] / 2, high[bad]
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return tail + float(steps[bad].sum()), off + float(hidden[bad].sum())


def time_derivative(rho: Target | ExponentialSum) -> Callable[[np.ndarray], np.ndarray]:
    """Return ρ' as a function of an array of times."""
    if isinstance(rho, ExponentialSum):
        return lambda t: -np.real(np.exp(-np.multiply.outer(t, rho.rates)) @ (rho.rates * rho.coefficients))
    if rho.formula is None:
        raise ValueError(f"rho must have a differentiable formula, got {rho.name}")
    derived = numpy_function(sympy.diff(rho.formula, time), time)
    return lambda t: np.broadcast_to(derived(t), np.shape(t)).astype(float)
