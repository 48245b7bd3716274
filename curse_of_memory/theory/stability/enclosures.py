"""Upper bounds of the largest error within a ball of the weights: enclosures with branch and bound.

Since every mode has its own free weight, a box of weights is a box of poles p, and branch and bound splits
that. On a box the error is bounded in two ways, of which the smaller counts: by the range of the memory at
each time, from the ranges of the modes; and by expanding the modes about their chords,
φ(p) = centre + ξ direction + remainder with |ξ| <= 1, with the certified maximum of the affine part.
"""

import heapq
import itertools
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.stability.ascent import Ball
from curse_of_memory.theory.stability.error_rows import Rows
from curse_of_memory.theory.stability.quadratic_bound import largest_norm, largest_sum

__all__ = ["bound_above"]

_TOGETHER = 16


@dataclass(frozen=True, eq=False)
class _Amplitudes:
    """cᵢuᵢ = aᵢ + kᵢ, where |cᵢ| = |uᵢ| = √|aᵢ| at the centre and both vectors move by at most β.

    With g, h half the sum and half the difference of the moves, ‖g‖² + ‖h‖² <= β² and
    ±kᵢ = 2√|aᵢ| gᵢ + gᵢ² − hᵢ². Hence kᵢ/(2√|aᵢ| + β) lie in a ball of radius β.
    """

    a: np.ndarray
    root: np.ndarray
    beta: float

    @property
    def reach(self) -> np.ndarray:
        """β (2√|aᵢ| + β): the most that one amplitude can move, and the axes of an ellipsoid of all moves."""
        return self.beta * (2 * self.root + self.beta)

    @property
    def ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of each amplitude by itself."""
        # an amplitude grows further than it falls: (√|a| + p)(√|a| + q) is least at a corner of |p|, |q| <= β
        falls = self.beta * np.where(self.beta > self.root, self.beta, 2 * self.root - self.beta)
        up = self.a >= 0
        return self.a - np.where(up, falls, self.reach), self.a + np.where(up, self.reach, falls)

    def sign(self) -> np.ndarray:
        """Return the sign of each amplitude, 0 if it may change within the ball."""
        return np.where(self.root > self.beta, np.sign(self.a), 0.0)

    def pointwise(self, sizes: np.ndarray) -> np.ndarray:
        """Return a bound of |Σ kᵢ φᵢ| at each row, from bounds `sizes` (n, m, rows) of |φᵢ|."""
        linear = 2 * self.beta * np.linalg.norm(self.root[:, None] * sizes, axis=1)
        split = linear + self.beta**2 * sizes.max(1)
        return np.minimum(split, np.linalg.norm(self.reach[:, None] * sizes, axis=1))

    def total(self, sizes: np.ndarray, order: int) -> np.ndarray:
        """Return a bound of the norm of Σ kᵢ φᵢ, from bounds `sizes` (n, m, rows) of |φᵢ|."""
        if order == 1:
            each = sizes.sum(-1)
            split = 2 * self.beta * np.linalg.norm(self.root * each, axis=-1) + self.beta**2 * each.max(-1)
            return np.minimum(split, np.linalg.norm(self.reach * each, axis=-1))
        largest = np.linalg.norm(sizes, axis=-1).max(-1)
        split = 2 * self.beta * _spectral(self.root[:, None] * sizes) + self.beta**2 * largest
        return np.minimum(split, _spectral(self.reach[:, None] * sizes))


def _spectral(rows: np.ndarray) -> np.ndarray:
    gram = rows @ np.swapaxes(rows, 1, 2)
    gram = np.where(np.isfinite(gram).all((1, 2), keepdims=True), gram, np.inf)
    finite = np.isfinite(gram[:, 0, 0])
    largest = np.linalg.eigvalsh(np.where(finite[:, None, None], gram, 0.0))[:, -1]
    return np.where(finite, np.sqrt(np.maximum(largest, 0.0)), np.inf)


def bound_above(ball: Ball, lower: float, budget: int, tolerance: float) -> float:
    """Return an upper bound of the largest error in the ball; certain if the ranges of the poles are.

    Parameters
    ----------
    ball : Ball
        Where.
    lower : float
        An error known to be reached: boxes bounded by less need not be split.
    budget : int
        The most boxes that are bounded.
    tolerance : float
        Relative distance above `lower` at which a bound is close enough.
    """
    reach = ball.poles.range(ball.centre.w[0], ball.beta)
    low, high = reach.low, reach.high
    u, c = ball.centre.u[0], ball.centre.c[0]
    amplitudes = _Amplitudes(c * u, np.abs(u), ball.beta if ball.amplitudes else 0.0)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        margin = _margin(ball, amplitudes, low[None], high[None])
        enough = lower + tolerance * lower + margin
        bounds, lows, highs, widest = _bounds(ball, amplitudes, low[None], high[None], np.array([np.inf]))
        count = itertools.count()
        heap, settled, spent = [], lower, 1

        def keep(bounds, lows, highs, widest):
            nonlocal settled
            for bound, a, b, i in zip(bounds, lows, highs, widest, strict=True):
                if bound <= enough or i < 0:
                    settled = max(settled, bound)
                else:
                    heapq.heappush(heap, (-bound, next(count), a, b, i))

        keep(bounds, lows, highs, widest)
        while heap and spent < budget and -heap[0][0] < np.inf:
            chosen = [heapq.heappop(heap) for _ in range(min(_TOGETHER, len(heap)))]
            parents = np.repeat([-one[0] for one in chosen], 2)
            halves = [half for one in chosen for half in _halves(*one[2:])]
            lows, highs = (np.array([half[side] for half in halves]) for side in (0, 1))
            keep(*_bounds(ball, amplitudes, lows, highs, parents))
            spent += len(halves)
    upper = max(settled, -heap[0][0] if heap else 0.0)
    return float(upper + margin)


def _halves(low, high, i):
    """Return the box split in two along i."""
    middle = (low[i] + high[i]) / 2
    below, above = high.copy(), low.copy()
    below[i] = above[i] = middle
    return (low, below), (above, high)


def _margin(ball, amplitudes, low, high) -> float:
    ((least, largest),) = ball.rows.ranges(low, high, 0)
    sizes = np.maximum(np.abs(least), np.abs(largest))
    each = np.abs(amplitudes.a) + amplitudes.reach
    magnitude = np.abs(ball.rows.y) + _weighed(each, sizes)
    return 4 * ball.rows.rounding * float(ball.rows.norm(magnitude)[0])


def _bounds(ball: Ball, amplitudes: _Amplitudes, low, high, parents):
    """Return bounds of the error over boxes of poles, the boxes, and where to split them (-1: points)."""
    low, high = _reduced(ball, amplitudes, low, high)
    rows = ball.rows
    (least, largest), _, bends = rows.ranges(low, high, 2)
    bounds = _by_range(rows, amplitudes, least, largest)
    at_low, at_high = rows.jet(low)[0], rows.jet(high)[0]
    # the error of a chord is at most width² / 8 times the largest second derivative
    bend = np.maximum(np.abs(bends[0]), np.abs(bends[1]))
    gap = np.minimum((high - low)[..., None] ** 2 / 8 * bend, largest - least)
    chords = (at_low + at_high) / 2, (at_high - at_low) / 2, gap
    usable = np.isfinite(bounds) & np.isfinite(rows.norm(np.abs(chords[1]) + gap)).all(1)
    if usable.any():
        better = _by_chords(rows, amplitudes, *(rows_of[usable] for rows_of in chords))
        bounds[usable] = np.minimum(bounds[usable], better)
    sizes = [rows.norm(np.minimum(np.abs(part), 1e300)) for part in (gap, chords[1])]
    share = (np.abs(amplitudes.a) + amplitudes.reach) * sizes[0] + amplitudes.reach * sizes[1]
    share = np.where(high > low, share + 1e-300, -1.0)
    bounds = np.minimum(parents, bounds + _hidden(rows, amplitudes, low, high))
    return bounds, low, high, np.where((high > low).any(-1), share.argmax(-1), -1)


def _hidden(rows: Rows, amplitudes: _Amplitudes, low, high) -> np.ndarray:
    """Return by how much errors in the boxes may exceed the norms of their rows."""

    def memory(least, largest):
        below, above = _memory_range(amplitudes.a, least, largest)
        extra = amplitudes.pointwise(np.maximum(np.abs(least), np.abs(largest)))
        return below - extra, above + extra

    return rows.hidden(low, high, memory, np.abs(amplitudes.a) + amplitudes.reach)


def _by_range(rows: Rows, amplitudes: _Amplitudes, least, largest) -> np.ndarray:
    """Return bounds of the error from the ranges of the modes."""
    below, above = _memory_range(amplitudes.a, least, largest)
    spread = np.maximum(np.abs(rows.y - below), np.abs(rows.y - above))
    if not amplitudes.beta:
        return rows.norm(spread)
    sizes = np.maximum(np.abs(least), np.abs(largest))
    ends = [a[:, None] * end for a in amplitudes.ends for end in (least, largest)]
    below, above = np.minimum.reduce(ends).sum(1), np.maximum.reduce(ends).sum(1)
    separate = np.maximum(np.abs(rows.y - below), np.abs(rows.y - above))
    together = rows.norm(np.minimum(spread + amplitudes.pointwise(sizes), separate))
    return np.minimum(together, rows.norm(spread) + amplitudes.total(sizes, rows.order))


def _by_chords(rows: Rows, amplitudes: _Amplitudes, centre, direction, gap) -> np.ndarray:
    """Return bounds of the error from modes centre + ξ direction ± gap, |ξ| <= 1."""
    affine = largest_norm if rows.order == 2 else largest_sum
    m = amplitudes.a.size

    def bounded(a, columns, rest, boxed):
        r = rows.y - _weighed(a, centre)
        moved = np.concatenate([a[:, None] * direction, *columns], 1)
        return affine(r, moved, boxed) + rows.norm(_weighed(np.abs(a), gap)) + rest

    a, beta = amplitudes.a, amplitudes.beta
    if not beta:
        return bounded(a, [], 0.0, m)
    loose = np.abs(direction) + gap
    rest = amplitudes.total(loose, rows.order)
    # the amplitudes as an ellipsoid; as a ball, the squares of their moves apart; each by itself
    whole = bounded(a, [amplitudes.reach[:, None] * centre], rest, m)
    squares = beta**2 * rows.norm(centre).max(-1)
    ball = bounded(a, [(2 * beta * amplitudes.root)[:, None] * centre], rest + squares, m)
    least, largest = amplitudes.ends
    middle, half = (least + largest) / 2, (largest - least) / 2
    box = bounded(middle, [half[:, None] * centre], rows.norm(_weighed(half, loose)), 2 * m)
    return np.minimum.reduce([whole, ball, box])


def _weighed(a: np.ndarray, modes: np.ndarray) -> np.ndarray:
    """Return Σ aᵢ φᵢ, shape (n, rows), of modes (n, m, rows)."""
    return (a[None, None, :] @ modes)[:, 0]


def _memory_range(a, least, largest):
    """Return the range of Σ aᵢφᵢ from the ranges of φᵢ."""
    up, down = np.maximum(a, 0.0), np.minimum(a, 0.0)
    return _weighed(up, least) + _weighed(down, largest), _weighed(up, largest) + _weighed(down, least)


def _reduced(ball: Ball, amplitudes: _Amplitudes, low, high):
    """Shrink each interval of poles to one end where the error is certain to grow towards it."""
    rows = ball.rows
    (least, largest), (slope_least, slope_largest) = rows.ranges(low, high, 1)
    below, above = _memory_range(amplitudes.a, least, largest)
    extra = amplitudes.pointwise(np.maximum(np.abs(least), np.abs(largest)))
    pull_least, pull_largest = rows.y - above - extra, rows.y - below + extra
    if rows.order == 1:
        pull_least, pull_largest = np.sign(pull_least), np.sign(pull_largest)
    products = [p[:, None, :] * s for p in (pull_least, pull_largest) for s in (slope_least, slope_largest)]
    surely_least = np.minimum.reduce(products).sum(-1)
    surely_most = np.maximum.reduce(products).sum(-1)
    noise = rows.rounding * np.abs(products).max(0).sum(-1)
    # the error falls as aᵢφᵢ grows along the residual
    sign = amplitudes.sign()
    falls = ((sign > 0) & (surely_least > noise)) | ((sign < 0) & (surely_most < -noise))
    grows = ((sign > 0) & (surely_most < -noise)) | ((sign < 0) & (surely_least > noise))
    return np.where(grows & ~falls, high, low), np.where(falls & ~grows, low, high)
