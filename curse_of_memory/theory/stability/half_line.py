"""Errors on [0, ∞) as rows of numbers, and bounds of what rows leave out of the integrals.

In L² the rows are values at Gauss points, and Δ² is analytic: panels are halved until its size in the complex
plane shows that nothing is missed. In L¹ and W^{1,∞} they are the integrals of Δ over cells, and its
increments, whose absolute values never exceed the norm; :meth:`CellRows.hidden` bounds what the sign changes
in cells hide.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import sympy

from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.formulas import compiled
from curse_of_memory.theory.stability.error_rows import CellRows, Rows, TimeRows, hidden_in_cells
from curse_of_memory.theory.targets.analytic import (
    ELLIPSES,
    GAUSS,
    around,
    derivative_bound,
    gauss_bound,
    gauss_factor,
)
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.theory.targets.target import t as time

__all__ = ["HalfLine", "half_line"]

# e^{-45} is 3e-20: beyond 45 time constants of the slowest mode only ρ itself is left
_TIME_CONSTANTS = 45.0
# the ratio of neighbouring edges of cells, and how many there may be before they have to be longer
_CELL, _MANY_CELLS = 1.03, 1200
_SAMPLES, _MANY_SAMPLES = 1.006, 4000

_CELL_NODES = np.polynomial.legendre.leggauss(8)
# shares of the norm of ρ: of what a Gauss sum may miss, and of what a sign change in a cell may hide
_MISSED, _HIDDEN = 1e-15, 3e-5
_MOST_ROWS = 8000
_SETTLED = 1e-8  # what a tail without a closed form is good to


@dataclass(frozen=True, eq=False)
class _Memory:
    """What is integrated: ρ, a bound of its size in the complex plane, and its norm.

    Attributes
    ----------
    values, magnitude : callable
        ρ, and the bound of |ρ(z)| on rectangles.
    breaks : tuple of float
        Where a piece of ρ ends.
    size : float
        The norm of ρ on [0, ∞), or a bound of it.
    name : str
        For messages.
    """

    values: Callable
    magnitude: Callable
    breaks: tuple[float, ...]
    size: float
    name: str


@dataclass(frozen=True, eq=False)
class HalfLine:
    """Rows of an error on [0, S], and bounds of what they leave out.

    Attributes
    ----------
    rows : Rows
        Their norm is that of Δ on [0, S], but for `missed` and for what they say is hidden.
    stop : float
        S.
    tail, slack : float
        The norm of ρ on [S, ∞) is at least `tail`, and at most `slack` more.
    weights, sizes : numpy.ndarray, shape (ellipses, panels)
        A panel adds at most weight · M² to the missed part of ∫Δ², where |Δ| <= M in an ellipse around it; a
        bound of |ρ| there. In L¹ the `weights` are what ∫|Δ| misses, whatever the modes, and the others are
        empty; but if sampled, a cell adds at most weight · |Δ'|, and `sizes` (1 or 2, cells) are those of ρ'
        and ρ''.
    starts, ends, heights : numpy.ndarray
        The least and the largest real part there, and the largest imaginary one.
    """

    rows: Rows
    stop: float
    tail: float
    slack: float
    weights: np.ndarray
    sizes: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    heights: np.ndarray

    def mode_tail(self, rate: np.ndarray) -> np.ndarray:
        """Return the norm on [S, ∞) of e^{−rate t}, and of its slope where that counts."""
        if self.rows.order == 2:
            return np.exp(-rate * self.stop) / np.sqrt(2 * rate)
        slope = 1.0 if self.rows.slope_weights.size else 0.0
        return np.exp(-rate * self.stop) * (1 / rate + slope)

    def missed(self, amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return what sums miss of ∫Δ² or ∫|Δ| at most, for modes (..., m) of |aᵢ| and rates no larger."""
        if self.rows.order == 1:
            return np.full(amplitudes.shape[:-1], self.weights.sum())
        with np.errstate(all="ignore"):
            modes = amplitudes[..., None, None] * np.exp(-np.multiply.outer(rates, self.starts))
        return self._missed(modes.sum(-3))

    def missed_by(self, size: np.ndarray, rate: float, apart: np.ndarray, largest: float) -> np.ndarray:
        """Return what sums miss for memories cᵀe^{Wt}u with |c||u| <= `size`, of `sampled` rows.

        Parameters
        ----------
        size, apart : numpy.ndarray, shape (n,)
            |c||u|, and the spectral norm of what W is from a diagonal matrix.
        rate : float
            The slowest rate λ of that: |e^{Wz}| <= e^{−λ Re z + apart |z|}.
        largest : float
            A bound of |W|.
        """
        with np.errstate(all="ignore"):
            if self.rows.order == 2:
                apart = apart[:, None, None]
                # |z| − x is at most y²/(2x)
                far = np.where(apart <= rate, self.starts, self.ends)
                growth = (apart - rate) * far + apart * self.heights**2 / (2 * self.starts)
                near = apart * np.hypot(self.ends, self.heights) - rate * self.starts
                growth = np.where(self.starts > 0, growth, near)
                return self._missed(size[:, None, None] * np.exp(growth))
            decays = size[:, None] * np.exp(np.multiply.outer(apart - rate, self.starts))
            factors = (largest, largest**2)[: len(self.sizes)]
            return sum(
                (known + factor * decays) @ self.weights
                for known, factor in zip(self.sizes, factors, strict=True)
            )

    def _missed(self, modes: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            each = (self.sizes + modes) ** 2 * self.weights
            return np.nan_to_num(each, nan=np.inf, posinf=np.inf).min(-2).sum(-1)

    def spill(self, amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """Return a bound of the norm on [S, ∞) of modes, as for `missed`."""
        with np.errstate(all="ignore"):
            spill = (amplitudes * self.mode_tail(rates)).sum(-1)
        return np.nan_to_num(spill, nan=np.inf, posinf=np.inf)

    def below(self, inner: np.ndarray, missed: np.ndarray, spill: np.ndarray) -> np.ndarray:
        """Return lower bounds of norms on [0, ∞) from those of rows, and what was missed and spilt."""
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
        """Return upper bounds of norms on [0, ∞); arguments as `below`."""
        tail = self.tail + self.slack + spill
        if self.rows.order == 2:
            return np.hypot(np.hypot(inner, np.sqrt(missed)), tail)
        return inner + missed + tail


def half_line(rho, norm: str, slowest: float, fastest: float, sampled: bool = False) -> HalfLine | None:
    """Return the rows of an error on [0, ∞) for modes of the rates given; None if the norm of ρ is infinite.

    Parameters
    ----------
    rho : Target or ExponentialSum
        The memory function.
    norm : {'l2', 'l1', 'w1'}
        (∫Δ²)^{1/2}, ∫|Δ|, or ∫|Δ| + |Δ(0)| + ∫|Δ'|.
    slowest, fastest : float
        The rates between which those of the modes are.
    sampled : bool
        Values at points in every norm, for models whose integrals over cells are not known.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not known on [0, ∞), the norm is that of a finite horizon, or ρ has no slope.
    ArithmeticError
        If ρ oscillates so long, or so fast, that integrals over 8000 rows cannot be certified.
    """
    if not isinstance(rho, Target | ExponentialSum):
        raise TypeError(
            "horizon=None needs rho on all of [0, ∞), a Target or ExponentialSum; "
            f"got {type(rho).__name__}: give its number of lags as horizon"
        )
    if norm == "expected":
        raise ValueError("norm='expected' is the loss over a number of steps: give horizon")
    if isinstance(rho, Target) and norm == "w1" and (rho.formula is None or rho.formula.has(sympy.Piecewise)):
        raise ValueError(f"norm='w1' needs a rho with a differentiable formula, got {rho.name}")
    if isinstance(rho, Target) and not rho.certified:
        raise ValueError(
            f"horizon=None needs a rho known between samples, too, a family or a formula; got {rho.name}: "
            "give horizon"
        )
    memory = _memory(rho, norm)
    if not math.isfinite(memory.size):
        return None
    stop = _TIME_CONSTANTS / slowest
    if isinstance(rho, ExponentialSum):
        rates = np.real(rho.rates)
        stop, fastest = _TIME_CONSTANTS / min(slowest, rates.min()), max(fastest, rates.max())
        tail, slack = 0.0, float(_beyond(rho, norm, stop))
    else:
        tail, slack = _tail(rho, memory, norm, stop)
    start = min(0.25 / fastest, stop / 4096)
    if norm == "l2":
        # what moves as a whole matrix may grow off the axis, and needs shorter panels
        rows, parts = _gauss_rows(memory, start, stop, slowest, fastest, 4 if sampled else 1)
    elif sampled:
        rows, parts = _sampled_rows(memory, norm, start, stop, _slope(rho) if norm == "w1" else None)
    else:
        rows, parts = _cell_rows(memory, norm, start, stop)
    return HalfLine(rows, stop, tail, slack, *parts)


def _memory(rho, norm: str) -> _Memory:
    if isinstance(rho, Target):
        size = rho.norm(2 if norm == "l2" else 1)
        return _Memory(rho._values, rho._magnitude, rho.breaks, size, rho.name)
    c, rates = np.abs(rho.coefficients), np.asarray(rho.rates, dtype=complex)

    def magnitude(low, high, height):
        turned = np.multiply.outer(height, np.abs(rates.imag)) - np.multiply.outer(low, rates.real)
        return np.exp(turned) @ c

    size = float((c / (np.sqrt(2 * rates.real) if norm == "l2" else rates.real)).sum())
    return _Memory(rho, magnitude, (), size or 1.0, "rho")


def _beyond(rho: ExponentialSum, norm: str, stop: float) -> float:
    """Return a bound of the norm of a sum on [stop, ∞)."""
    rates, c = np.real(rho.rates), np.abs(rho.coefficients)
    if norm == "l2":
        return c @ (np.exp(-rates * stop) / np.sqrt(2 * rates))
    slope = np.abs(rho.rates) / rates if norm == "w1" else 0.0
    return c @ (np.exp(-rates * stop) * (1 / rates + slope))


def _tail(rho: Target, memory: _Memory, norm: str, stop: float) -> tuple[float, float]:
    """Return a lower bound of the norm of ρ on [stop, ∞), and how far it is exceeded at most."""
    if norm == "l2":
        tail = math.sqrt(float(rho._energy(np.array(stop))))
        off = 0.0 if rho.closed else _SETTLED * tail
        return tail - off, 2 * off
    # good to a share of the norm, more than which would be wasted on a tail that is nearly nothing
    size, tail = (float(part) for part in rho._tail(np.array([0.0, stop])))
    off = 0.0 if rho.closed else min(_SETTLED * size, tail)
    tail, off = tail - off, 2 * off
    if norm == "l1":
        return tail, off
    # the variation of ρ in cells: increments, and what they hide
    later = [b for b in rho.breaks if b > stop]
    far = stop * _CELL ** np.arange(0.0, 1200.0)
    edges = np.unique(np.concatenate([far, rho.edges[rho.edges > far[-1]], later]))
    low, high, count = edges[:-1], edges[1:], edges.size
    for _ in range(40):
        with np.errstate(all="ignore"):
            steps = np.abs(rho._values(high) - rho._values(low))
            hidden = hidden_in_cells(steps, derivative_bound(memory.magnitude, low, high, 2), high - low)
        bad = hidden > 1e-9 * memory.size / count
        tail, off = tail + float(steps[~bad].sum()), off + float(hidden[~bad].sum())
        count += int(bad.sum())
        if not bad.any() or count > 20 * _MOST_ROWS:
            break
        low, middle, high = low[bad], (low + high)[bad] / 2, high[bad]
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return tail + float(steps[bad].sum()), off + float(hidden[bad].sum())


def _gauss_rows(memory: _Memory, start: float, stop: float, slowest: float, fastest: float, panels: int):
    """Return the values at Gauss points, and the parts of their panels, so many an octave."""
    nodes = GAUSS[0].size
    doublings = math.ceil(panels * math.log2(stop / start))
    edges = np.concatenate([[0.0, start / 2], np.geomspace(start, stop, doublings + 1)])

    def parts(low, high):
        """Return the weight, size, start, end and height of each ellipse around each panel."""
        found = []
        for r in ELLIPSES:
            with np.errstate(all="ignore"):
                rectangle = around(low, high, r)
                size = memory.magnitude(*rectangle)
            found.append((gauss_factor(low, high, nodes, r), size, *rectangle))
        return np.array(found).transpose(1, 0, 2)

    def coarse(low, high):
        weight, size, left, *_ = parts(low, high)
        with np.errstate(all="ignore"):
            # with a mode of the norm of ρ
            mode = math.sqrt(2 * slowest) * np.exp(-np.where(left < 0, fastest, slowest) * left)
            missed = weight * (size / memory.size + mode) ** 2
        return ~(np.nan_to_num(missed, nan=np.inf).min(0) <= _MISSED)

    edges = _refined(memory, edges, stop, coarse, nodes)
    low, half = edges[:-1], np.diff(edges) / 2
    t = (low[:, None] + half[:, None] * (1 + GAUSS[0])).ravel()
    root = np.sqrt(half[:, None] * GAUSS[1]).ravel()
    return TimeRows(2, t, root, np.empty(0), root * memory.values(t)), parts(low, edges[1:])


def _cell_rows(memory: _Memory, norm: str, start: float, stop: float):
    """Return the integrals over cells, and what those of ρ are off by."""
    fine = (_CELL - 1) * start / 0.25
    near = fine * 2.0 ** np.arange(-20, 0)
    even = np.linspace(fine, start, max(2, math.ceil(start / fine)))
    count = min(_MANY_CELLS, math.ceil(math.log(stop / start) / math.log(_CELL)))
    far = np.geomspace(start, stop, count + 1)
    edges = np.unique(np.concatenate([[0.0], near, even, far]))
    nodes, weights = _CELL_NODES

    def coarse(low, high):
        width = high - low
        hides = derivative_bound(memory.magnitude, low, high, 2) * width**3 / 4
        off = gauss_bound(memory.magnitude, low, high, nodes.size)
        return (hides > _HIDDEN * memory.size) | (off > _MISSED * memory.size)

    edges = _refined(memory, edges, stop, coarse, 1)
    low, half = edges[:-1], np.diff(edges) / 2
    times = low[:, None] + half[:, None] * (1 + nodes)
    integrals = half * (memory.values(times) @ weights)
    off = gauss_bound(memory.magnitude, low, edges[1:], nodes.size)
    steps = np.diff(memory.values(edges))
    bounds = (derivative_bound(memory.magnitude, low, edges[1:], order) for order in (2, 3))
    cells = (edges, steps, *bounds, ~np.isin(edges[1:-1], memory.breaks))
    none = np.empty(0)
    if norm == "l1":
        rows = CellRows(1, low, np.ones(low.size), none, integrals, *cells)
    else:
        y = np.concatenate([memory.values(np.zeros(1)), integrals, steps])
        rows = CellRows(1, np.append(0.0, low), np.ones(low.size + 1), np.ones(low.size), y, *cells)
    return rows, (off, none, none, none, none)


def _sampled_rows(memory: _Memory, norm: str, start: float, stop: float, slope: Callable | None):
    """Return values, and slopes, in the middle of cells: ∫|g| is hg there, give or take max|g'| h²/4."""
    count = min(_MANY_SAMPLES, math.ceil(math.log(stop / start) / math.log(_SAMPLES)))
    near = np.linspace(0.0, start, math.ceil(1 / (_SAMPLES - 1)))
    edges = np.unique(np.concatenate([near, np.geomspace(start, stop, count + 1)]))

    def coarse(low, high):
        hides = derivative_bound(memory.magnitude, low, high, 1) * (high - low) ** 2 / 4
        return hides > 100 * _HIDDEN * memory.size

    edges = _refined(memory, edges, stop, coarse, 1)
    low, width = edges[:-1], np.diff(edges)
    t, none = low + width / 2, np.empty(0)
    orders = (1, 2) if norm == "w1" else (1,)
    sizes = np.array([derivative_bound(memory.magnitude, low, edges[1:], order) for order in orders])
    parts = width**2 / 4, sizes, low, edges[1:], 0 * low
    if norm == "l1":
        return TimeRows(1, t, width, none, width * memory.values(t)), parts
    t = np.append(0.0, t)
    values, slopes = np.append(1.0, width), np.append(0.0, width)
    y = np.concatenate([values * memory.values(t), slopes * slope(t)])
    return TimeRows(1, t, values, slopes, y), parts


def _slope(rho) -> Callable:
    """Return ρ' as a function of an array of times."""
    if isinstance(rho, ExponentialSum):
        return lambda t: -np.real(np.exp(-np.multiply.outer(t, rho.rates)) @ (rho.rates * rho.coefficients))
    derived = compiled(sympy.diff(rho.formula, time), time)
    return lambda t: np.broadcast_to(derived(t), np.shape(t)).astype(float)


def _refined(memory: _Memory, edges: np.ndarray, stop: float, bad: Callable, nodes: int) -> np.ndarray:
    """Return edges, with the breaks of ρ among them, between which no panel (low, high) is bad."""
    edges = np.unique(np.concatenate([edges, [b for b in memory.breaks if b < stop]]))
    good, most = np.empty((0, 2)), _MOST_ROWS + edges.size * nodes
    low, high = edges[:-1], edges[1:]
    for _ in range(200):
        wrong = bad(low, high)
        good = np.concatenate([good, np.array([low, high]).T[~wrong]])
        if not wrong.any():
            return np.append(np.sort(good[:, 0]), stop)
        if (good.shape[0] + 2 * wrong.sum()) * nodes > most:
            break
        low, high = low[wrong], high[wrong]
        middle = (low + high) / 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    raise ArithmeticError(
        f"errors against {memory.name} on [0, ∞) cannot be certified with {_MOST_ROWS} rows, it changes too "
        "fast for too long: give horizon"
    )
