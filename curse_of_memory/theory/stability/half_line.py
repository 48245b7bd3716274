"""The rows of an error on [0, ∞): [0, S] is divided until the quadrature error of the rows is bounded.

In L² the rows are values at Gauss points, and Δ² is analytic: panels are halved until its size in the complex
plane shows that nothing is missed. In L¹ and W^{1,∞} they are the integrals of Δ over cells, and its
increments, whose absolute values never exceed the norm; :meth:`CellRows.hidden` bounds what the sign changes
in cells hide. S is 45 time constants of the slowest mode, after which only ρ itself is left.
"""

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import sympy

from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability.cell_rows import CellRows
from curse_of_memory.theory.stability.continuous_memory import (
    ContinuousMemory,
    continuous_memory,
    sum_beyond,
    target_tail,
    time_derivative,
)
from curse_of_memory.theory.stability.error_norms import Memory
from curse_of_memory.theory.stability.error_rows import TimeRows
from curse_of_memory.theory.stability.half_line_norm import HalfLine, LeftOut
from curse_of_memory.theory.targets.analytic import (
    ELLIPSES,
    GAUSS,
    around,
    derivative_bound,
    gauss_bound,
    gauss_factor,
)
from curse_of_memory.theory.targets.target import Target

__all__ = ["half_line"]

# e^{-45} is 3e-20: beyond 45 time constants of the slowest mode only ρ itself is left
_TIME_CONSTANTS = 45.0
# the ratio of neighbouring edges of cells, and how many there may be before they have to be longer
_CELL, _MANY_CELLS = 1.03, 1200
_SAMPLES, _MANY_SAMPLES = 1.006, 4000

_CELL_NODES = np.polynomial.legendre.leggauss(8)
# shares of the norm of ρ: of what a Gauss sum may miss, and of what a sign change in a cell may hide
_MISSED, _HIDDEN = 1e-15, 3e-5
_MOST_ROWS = 8000


def half_line(
    rho: Memory, norm: str, slowest: float, fastest: float, sampled: bool = False
) -> HalfLine | None:
    """Return the norm on [0, ∞) of ρ less modes of given rates, as rows; None if that of ρ is infinite.

    Parameters
    ----------
    rho : Target or ExponentialSum
        The memory function.
    norm : {'l2', 'l1', 'w1'}
        (∫Δ²)^{1/2}, ∫|Δ|, or ∫|Δ| + |Δ(0)| + ∫|Δ'|.
    slowest, fastest : float
        The least and the largest rate of the modes.
    sampled : bool
        Whether rows are values at points in every norm, for models whose integrals over cells are not known.

    Raises
    ------
    TypeError, ValueError
        If `rho` is not known on [0, ∞), the norm needs a finite horizon, or ρ has no slope.
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
    # a target never changes, and is asked for several times: for centre, ball and draws
    make = _line_of_target if isinstance(rho, Target) else _line
    return make(rho, norm, float(slowest), float(fastest), sampled)


def _line(
    rho: Target | ExponentialSum, norm: str, slowest: float, fastest: float, sampled: bool
) -> HalfLine | None:
    memory = continuous_memory(rho, norm)
    if not math.isfinite(memory.size):
        return None
    stop = _TIME_CONSTANTS / slowest
    if isinstance(rho, ExponentialSum):
        rates = np.real(rho.rates)
        stop, fastest = _TIME_CONSTANTS / min(slowest, rates.min()), max(fastest, rates.max())
        tail, slack = 0.0, sum_beyond(rho, norm, stop)
    else:
        tail, slack = target_tail(rho, memory, norm, stop)
    start = min(0.25 / fastest, stop / 4096)
    if norm == "l2":
        # what moves as a whole matrix may grow off the axis, and needs shorter panels
        rows, left_out = _gauss_rows(memory, start, stop, slowest, fastest, 4 if sampled else 1)
    elif sampled:
        rows, left_out = _sampled_rows(memory, start, stop, time_derivative(rho) if norm == "w1" else None)
    else:
        rows, left_out = _cell_rows(memory, norm, start, stop)
    return HalfLine(rows, stop, tail, slack, left_out)


_line_of_target = lru_cache(maxsize=8)(_line)


def _gauss_rows(
    memory: ContinuousMemory, start: float, stop: float, slowest: float, fastest: float, panels: int
) -> tuple[TimeRows, LeftOut]:
    """Return the values at Gauss points of so many `panels` an octave, and what these miss."""
    nodes = GAUSS[0].size
    doublings = math.ceil(panels * math.log2(stop / start))
    edges = np.concatenate([[0.0, start / 2], np.geomspace(start, stop, doublings + 1)])

    def ellipses(low, high):
        """Return the weight, size, start, end and height of each ellipse around each panel."""
        numbers = []
        for r in ELLIPSES:
            with np.errstate(all="ignore"):
                rectangle = around(low, high, r)
                size = memory.magnitude(*rectangle)
            numbers.append((gauss_factor(low, high, nodes, r), size, *rectangle))
        return np.array(numbers).transpose(1, 0, 2)

    def coarse(low, high):
        weight, size, left, *_ = ellipses(low, high)
        with np.errstate(all="ignore"):
            # with a mode of the norm of ρ
            mode = math.sqrt(2 * slowest) * np.exp(-np.where(left < 0, fastest, slowest) * left)
            missed = weight * (size / memory.size + mode) ** 2
        return ~(np.nan_to_num(missed, nan=np.inf).min(0) <= _MISSED)

    edges = _refined(memory, edges, stop, coarse, nodes)
    low, half = edges[:-1], np.diff(edges) / 2
    t = (low[:, None] + half[:, None] * (1 + GAUSS[0])).ravel()
    root = np.sqrt(half[:, None] * GAUSS[1]).ravel()
    rows = TimeRows(2, t, root, np.empty(0), root * memory.values(t))
    return rows, LeftOut(*ellipses(low, edges[1:]))


def _cell_rows(memory: ContinuousMemory, norm: str, start: float, stop: float) -> tuple[CellRows, LeftOut]:
    """Return the integrals over cells, and by how much those of ρ may be wrong."""
    fine = (_CELL - 1) * start / 0.25
    near = fine * 2.0 ** np.arange(-20, 0)
    even = np.linspace(fine, start, max(2, math.ceil(start / fine)))
    count = min(_MANY_CELLS, math.ceil(math.log(stop / start) / math.log(_CELL)))
    far = np.geomspace(start, stop, count + 1)
    edges = np.unique(np.concatenate([[0.0], near, even, far]))
    points, weights = _CELL_NODES

    def coarse(low, high):
        width = high - low
        hides = derivative_bound(memory.magnitude, low, high, 2) * width**3 / 4
        off = gauss_bound(memory.magnitude, low, high, points.size)
        return (hides > _HIDDEN * memory.size) | (off > _MISSED * memory.size)

    edges = _refined(memory, edges, stop, coarse, 1)
    low, half = edges[:-1], np.diff(edges) / 2
    times = low[:, None] + half[:, None] * (1 + points)
    integrals = half * (memory.values(times) @ weights)
    off = gauss_bound(memory.magnitude, low, edges[1:], points.size)
    steps = np.diff(memory.values(edges))
    nodes, slope_weights, y = low, np.empty(0), integrals
    if norm == "w1":
        nodes, slope_weights = np.append(0.0, low), np.ones(low.size)
        y = np.concatenate([memory.values(np.zeros(1)), integrals, steps])
    rows = CellRows(
        order=1,
        nodes=nodes,
        value_weights=np.ones(nodes.size),
        slope_weights=slope_weights,
        y=y,
        edges=edges,
        steps=steps,
        bends=derivative_bound(memory.magnitude, low, edges[1:], 2),
        thirds=derivative_bound(memory.magnitude, low, edges[1:], 3),
        smooth=~np.isin(edges[1:-1], memory.breaks),
    )
    none = np.empty(0)
    return rows, LeftOut(off, none, none, none, none)


def _sampled_rows(
    memory: ContinuousMemory, start: float, stop: float, derivative: Callable | None
) -> tuple[TimeRows, LeftOut]:
    """Return values, and slopes if given, in the middle of cells: ∫|g| is hg there, up to max|g'| h²/4."""
    count = min(_MANY_SAMPLES, math.ceil(math.log(stop / start) / math.log(_SAMPLES)))
    near = np.linspace(0.0, start, math.ceil(1 / (_SAMPLES - 1)))
    edges = np.unique(np.concatenate([near, np.geomspace(start, stop, count + 1)]))

    def coarse(low, high):
        hides = derivative_bound(memory.magnitude, low, high, 1) * (high - low) ** 2 / 4
        return hides > 100 * _HIDDEN * memory.size

    edges = _refined(memory, edges, stop, coarse, 1)
    low, width = edges[:-1], np.diff(edges)
    t, none = low + width / 2, np.empty(0)
    orders = (1,) if derivative is None else (1, 2)
    sizes = np.array([derivative_bound(memory.magnitude, low, edges[1:], order) for order in orders])
    left_out = LeftOut(width**2 / 4, sizes, low, edges[1:], 0 * low)
    if derivative is None:
        return TimeRows(1, t, width, none, width * memory.values(t)), left_out
    t = np.append(0.0, t)
    values, slopes = np.append(1.0, width), np.append(0.0, width)
    y = np.concatenate([values * memory.values(t), slopes * derivative(t)])
    return TimeRows(1, t, values, slopes, y), left_out


def _refined(
    memory: ContinuousMemory, edges: np.ndarray, stop: float, bad: Callable, nodes: int
) -> np.ndarray:
    """Return edges, with the breaks of ρ among them, halved until no panel (low, high) is `bad`."""
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
