"""Lower bounds of the largest error within a ball of the weights: projected ascent from many starts at once.

Every norm of the error is convex in the residual, so that the conditional-gradient step, to the point of
the ball farthest along the gradient, seldom needs damping. Whatever is returned has been evaluated at a
point of the ball: it is a lower bound of the supremum.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from curse_of_memory.theory.stability.error_rows import Rows
from curse_of_memory.theory.stability.pole_map import PoleMap
from curse_of_memory.tools.random_streams import sample_stream, stream

__all__ = ["Ball", "Neighbourhood", "Points", "ascend", "random_points"]

_CORNERS, _STARTED, _KEPT, _POLISHED = 64, 24, 6, 2
_STEPS = (1.0, 0.5, 0.1)
_SETTLED = 1e-5  # the rest is left to the polishing


@dataclass(frozen=True, eq=False)
class Points:
    """Weights of n diagonal models: free weights `w`, input weights `u`, output weights `c`, each (n, m)."""

    w: np.ndarray
    u: np.ndarray
    c: np.ndarray

    def __getitem__(self, rows) -> "Points":
        return Points(self.w[rows], self.u[rows], self.c[rows])

    @staticmethod
    def stacked(several: Iterable["Points"]) -> "Points":
        """Return the points of `several` one after the other."""
        w, u, c = (np.concatenate(arrays) for arrays in zip(*(one.all for one in several), strict=True))
        return Points(w, u, c)

    def towards(self, other: "Points", step: float) -> "Points":
        """Return the points a fraction `step` of the way to `other`."""
        return Points(*(a + step * (b - a) for a, b in zip(self.all, other.all, strict=True)))

    @property
    def all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays w, u and c."""
        return self.w, self.u, self.c


@dataclass(frozen=True, eq=False)
class Neighbourhood:
    """Diagonal models within β of a centre: max(|δw|_∞, ‖δu‖₂, ‖δc‖₂) <= β, or |δw|_∞ <= β with u, c fixed.

    Attributes
    ----------
    centre : Points
        One point.
    beta : float
        Radius.
    amplitudes : bool
        Whether u and c are perturbed.
    """

    centre: Points
    beta: float
    amplitudes: bool


@dataclass(frozen=True, eq=False)
class Ball(Neighbourhood):
    """A :class:`Neighbourhood` with the errors of its models, and their gradients.

    Attributes
    ----------
    centre, beta, amplitudes
        As in :class:`Neighbourhood`.
    poles : PoleMap
        From w to poles.
    rows : Rows
        Whose norm is the error.
    """

    poles: PoleMap
    rows: Rows

    def residual(self, x: Points) -> np.ndarray:
        """Return the rows y − Σ cᵢuᵢφᵢ of the error of each point, shape (n, rows)."""
        (modes,) = self.rows.jet(self.poles.pole(x.w))
        with np.errstate(over="ignore", invalid="ignore"):
            return self.rows.y - ((x.c * x.u)[:, None, :] @ modes)[:, 0]

    def errors(self, x: Points, margin: bool = False) -> np.ndarray:
        """Return the error of each point; with `margin` a lower bound, rounding errors taken off."""
        size = self.rows.norm(self.residual(x))
        if not margin:
            return size
        (modes,) = self.rows.jet(self.poles.pole(x.w))
        with np.errstate(over="ignore", invalid="ignore"):
            magnitude = np.abs(self.rows.y) + (np.abs(x.c * x.u)[:, None, :] @ np.abs(modes))[:, 0]
            lower = np.maximum(size - self.rows.rounding * self.rows.norm(magnitude), 0.0)
        return np.where(np.isfinite(size), lower, size)

    def gradient(self, x: Points) -> tuple[np.ndarray, Points]:
        """Return the error of each point, and its gradient in w, u and c."""
        modes, slopes = self.rows.jet(self.poles.pole(x.w), 1)
        a = x.c * x.u
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            r = self.rows.y - (a[:, None, :] @ modes)[:, 0]
            size = self.rows.norm(r)
            pull = np.sign(r) if self.rows.order == 1 else r / size[:, None]
            along = -(modes @ pull[..., None])[..., 0]
            moved = -(slopes @ pull[..., None])[..., 0] * a * self.poles.slope(x.w)
            slopes = (moved, along * x.c, along * x.u)
        return size, Points(*(np.nan_to_num(slope, posinf=1e300, neginf=-1e300) for slope in slopes))

    def farthest(self, g: Points, rates: bool = True, amplitudes: bool = True) -> Points:
        """Return the points of the ball farthest along the gradients `g`, in w (`rates`) and in u and c."""
        w, u, c = (np.broadcast_to(x, g.w.shape) for x in self.centre.all)
        if rates:
            w = w + self.beta * np.sign(g.w)
        if amplitudes and self.amplitudes:
            u, c = u + self.beta * _unit(g.u), c + self.beta * _unit(g.c)
        return Points(w, u, c)

    def inside(self, x: Points) -> Points:
        """Return the point of the ball nearest to each of `x`."""
        w0, u0, c0 = self.centre.all
        if not self.amplitudes:
            u0, c0 = (np.broadcast_to(a, x.w.shape) for a in (u0, c0))
            return Points(np.clip(x.w, w0 - self.beta, w0 + self.beta), u0, c0)

        def shortened(a, a0):
            length = np.linalg.norm(a - a0, axis=-1, keepdims=True)
            return a0 + (a - a0) * np.minimum(1.0, self.beta / np.maximum(length, 1e-300))

        return Points(np.clip(x.w, w0 - self.beta, w0 + self.beta), shortened(x.u, u0), shortened(x.c, c0))


def _unit(g: np.ndarray) -> np.ndarray:
    scaled = g / np.maximum(np.abs(g).max(-1, keepdims=True), 1e-300)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=-1, keepdims=True), 1e-300)


def random_points(ball: Neighbourhood, draws: int, seed: int, kept: np.ndarray | None = None) -> Points:
    """Return points at distance β in random directions, those that `measure.perturbation_curve` draws.

    Each draw gives every tensor Gaussian noise scaled to norm β: the largest entry for w, the length for u
    and c.

    Parameters
    ----------
    ball : Neighbourhood
        Where.
    draws, seed : int
        How many directions, and the number that names them.
    kept : numpy.ndarray of bool, optional
        Which modes of a larger model are those of `ball`: noise is drawn for all; by default they are all.
    """
    kept = np.ones(ball.centre.w.shape[-1], dtype=bool) if kept is None else kept
    directions = []
    for draw in range(draws):
        stream = sample_stream("perturbation directions", seed, draw)
        noise = stream.standard_normal((3, kept.size))
        norms = [np.abs(noise[0]).max(), *np.linalg.norm(noise[1:], axis=1)]
        directions.append((noise / np.array(norms)[:, None])[:, kept])
    scale = ball.beta * np.array([1.0, ball.amplitudes, ball.amplitudes])
    moves = np.moveaxis(np.array(directions), 1, 0) * scale[:, None, None]
    return Points(*(a + move for a, move in zip(ball.centre.all, moves, strict=True)))


def _corners(ball: Ball, seed: int) -> Points:
    """Return models whose poles are each the lowest or the highest: all of them, or 64 at random."""
    reach = ball.poles.range(ball.centre.w[0], ball.beta)
    low, high = reach.at_low, reach.at_high
    m = low.size
    if 2**m <= _CORNERS:
        signs = np.array(list(itertools.product((False, True), repeat=m)))
    else:
        signs = stream("corners of a ball", seed).random((_CORNERS, m)) < 0.5
        signs[0], signs[1] = False, True
    _, u, c = (np.broadcast_to(a, signs.shape) for a in ball.centre.all)
    return Points(np.where(signs, high, low), u, c)


def ascend(ball: Ball, starts: Points, seed: int, rounds: int = 40) -> tuple[float, Points]:
    """Return a lower bound of the largest error in the ball, and the point whose error it bounds.

    Parameters
    ----------
    ball : Ball
        Where.
    starts : Points
        Points of the ball to start from, beside the centre and corners.
    seed : int
        Chooses among the corners where there are too many.
    rounds : int
        The most steps.
    """
    x = Points.stacked([ball.centre, _corners(ball, seed), starts])
    errors = ball.errors(x)
    x, errors = _best(x, errors, _STARTED)
    for done in range(rounds):
        if np.isinf(errors).any():
            break
        x, risen = _stepped(ball, x, errors)
        settled = (risen <= errors * (1 + _SETTLED)).all()
        errors = risen
        if settled:
            break
        if done == 1:
            x, errors = _best(x, errors, _KEPT)
    x, errors = _best(x, errors, _POLISHED)
    candidates = Points.stacked([x[:1], *(_polished(ball, x[i : i + 1]) for i in range(errors.size))])
    lower = ball.errors(candidates, margin=True)
    best = int(lower.argmax())
    return float(lower[best]), candidates[best : best + 1]


def _best(x: Points, errors: np.ndarray, count: int) -> tuple[Points, np.ndarray]:
    keep = np.argsort(-errors)[:count]
    return x[keep], errors[keep]


def _stepped(ball: Ball, x: Points, errors: np.ndarray) -> tuple[Points, np.ndarray]:
    """Return for each point the best one on the way to the farthest along its gradient, and its error."""
    _, g = ball.gradient(x)
    both, rates, amplitudes = (
        ball.farthest(g),
        ball.farthest(g, amplitudes=False),
        ball.farthest(g, rates=False),
    )
    # a goal in the rates alone keeps the amplitudes of the point, and the other way round
    goals = [both, Points(rates.w, x.u, x.c), Points(x.w, amplitudes.u, amplitudes.c)]
    tried = [x, *(ball.inside(x.towards(goal, step)) for goal in goals for step in _STEPS)]
    table = np.array([errors, *(ball.errors(one) for one in tried[1:])])
    best, of = table.argmax(0), np.arange(errors.size)
    stacked = (np.array(arrays) for arrays in zip(*(one.all for one in tried), strict=True))
    return Points(*(arrays[best, of] for arrays in stacked)), table.max(0)


def _polished(ball: Ball, x: Points) -> Points:
    """Return a local maximum of the ball near x, by sequential quadratic programming."""
    if ball.beta == 0 or not np.isfinite(ball.errors(x)).all():
        return x
    m, beta, scale = x.w.size, ball.beta, float(ball.errors(x)[0]) or 1.0
    arrays = 3 if ball.amplitudes else 1

    def point(v: np.ndarray) -> Points:
        moves = v.reshape(arrays, 1, m) * beta
        moved = [a + move for a, move in zip(ball.centre.all, moves, strict=False)]
        return Points(*moved, *ball.centre.all[arrays:])

    def objective(v):
        size, g = ball.gradient(point(v))
        slope = np.concatenate([array[0] for array in g.all[:arrays]])
        return -float(np.nan_to_num(size[0], posinf=1e300)) / scale, -beta * slope / scale

    start = np.concatenate(
        [(a - a0)[0] / beta for a, a0 in zip(x.all[:arrays], ball.centre.all, strict=False)]
    )
    constraints = []
    for k in range(1, arrays):
        own = slice(k * m, (k + 1) * m)

        def room(v, own=own):
            return 1 - v[own] @ v[own]

        def room_slope(v, own=own):
            slope = np.zeros_like(v)
            slope[own] = -2 * v[own]
            return slope

        constraints.append({"type": "ineq", "fun": room, "jac": room_slope})
    bounds = [(-1, 1)] * m + [(None, None)] * (m * (arrays - 1))
    with np.errstate(all="ignore"):
        maximum = minimize(
            objective,
            np.clip(start, -1, 1),
            jac=True,
            bounds=bounds,
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 60, "ftol": 1e-13},
        )
    return ball.inside(point(np.nan_to_num(maximum.x)))
