"""Errors of linear RNNs whose full matrix is within β of a diagonal one, and a search for the largest.

The system is x' = W̃x + ũ·input with output c̃ᵀx, its memory (impulse response) ρ̂(t) = c̃ᵀ e^{W̃t} ũ, and its
error the norm of ρ − ρ̂. The ball is that of the papers: |ΔW|₂ <= β in the spectral norm, |δu|₂ <= β and
|δc|₂ <= β. What is returned is evaluated by products of matrices; the search for the worst model uses
eigenvalues, which is faster and gives derivatives, but loses digits where eigenvectors are nearly parallel.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import expm

from curse_of_memory.theory.stability.error_rows import Rows, StepRows
from curse_of_memory.theory.stability.pole_map import PoleMap
from curse_of_memory.tools.random_streams import sample_stream

__all__ = ["FullBall", "FullNeighbourhood", "Matrices", "search"]

_STEPS = (1.0, 0.5, 0.1)
_KEPT, _ROUNDS, _SETTLED = 6, 60, 1e-9
_PARALLEL = 100.0  # condition of eigenvectors that costs two digits


@dataclass(frozen=True, eq=False)
class Matrices:
    """Weights of n models: recurrent matrices `W` (n, m, m), input weights `u`, output weights `c` (n, m)."""

    W: np.ndarray
    u: np.ndarray
    c: np.ndarray

    def __getitem__(self, rows) -> "Matrices":
        return Matrices(self.W[rows], self.u[rows], self.c[rows])

    @property
    def all(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The arrays W, u and c."""
        return self.W, self.u, self.c

    @staticmethod
    def stacked(several: Iterable["Matrices"]) -> "Matrices":
        """Return the models of `several` one after the other."""
        W, u, c = (np.concatenate(arrays) for arrays in zip(*(one.all for one in several), strict=True))
        return Matrices(W, u, c)

    def towards(self, other: "Matrices", step: float) -> "Matrices":
        """Return the models a fraction `step` of the way to `other`."""
        return Matrices(*(a + step * (b - a) for a, b in zip(self.all, other.all, strict=True)))


@dataclass(frozen=True, eq=False)
class FullNeighbourhood:
    """Models within β of a diagonal one: |ΔW|₂ <= β, and |δu|₂, |δc|₂ <= β or u, c fixed.

    Attributes
    ----------
    centre : Matrices
        One model, of a diagonal matrix.
    beta : float
        Radius.
    amplitudes : bool
        Whether u and c are perturbed.
    """

    centre: Matrices
    beta: float
    amplitudes: bool

    @property
    def moves(self) -> np.ndarray:
        """The radii of the balls of recurrent, input and output weights."""
        return self.beta * np.array([1.0, self.amplitudes, self.amplitudes])

    def farthest(self, g: Matrices) -> Matrices:
        """Return the models of the ball farthest along the gradients `g`."""
        ahead = polar(g.W), unit(g.u), unit(g.c)
        steps = (radius * direction for radius, direction in zip(self.moves, ahead, strict=True))
        return Matrices(*(a + step for a, step in zip(self.centre.all, steps, strict=True)))

    def inside(self, x: Matrices) -> Matrices:
        """Return models scaled back towards the centre where they are outside."""
        arrays = []
        for a, a0, radius in zip(x.all, self.centre.all, self.moves, strict=True):
            move = a - a0
            size = np.linalg.norm(move, 2, axis=(1, 2)) if move.ndim == 3 else np.linalg.norm(move, axis=1)
            share = np.minimum(1.0, radius / np.maximum(size, 1e-300))
            arrays.append(a0 + share.reshape(-1, *[1] * (move.ndim - 1)) * move)
        return Matrices(*arrays)

    def random(self, draws: int, seed: int) -> Matrices:
        """Return models at distance β in random directions, those that `measure.perturbation_curve` draws.

        Gaussian noise for matrix, u and c, each scaled to norm β. `seed` names the directions.
        """
        m = self.centre.u.shape[1]
        directions = []
        for draw in range(draws):
            stream = sample_stream("perturbation directions", seed, draw)
            noise = [stream.standard_normal(shape) for shape in ((m, m), m, m)]
            directions.append([x / np.linalg.norm(x, 2) for x in noise])
        moves = (np.array(column) for column in zip(*directions, strict=True))
        return Matrices(
            *(a + r * move for a, r, move in zip(self.centre.all, self.moves, moves, strict=True))
        )


@dataclass(frozen=True, eq=False)
class FullBall(FullNeighbourhood):
    """A :class:`FullNeighbourhood` with the errors of its models, and their gradients.

    Attributes
    ----------
    centre, beta, amplitudes
        As in :class:`FullNeighbourhood`.
    poles : PoleMap
        From weights to poles; of a map that is the weight itself.
    rows : Rows
        Whose norm is the error.
    """

    poles: PoleMap
    rows: Rows

    def multiplier(self, W: np.ndarray) -> np.ndarray:
        """Return the matrix A of a step of the recurrence, for each W."""
        if self.poles.f.time == "discrete":
            return W
        if self.poles.multiplies:
            return np.eye(W.shape[-1]) + self.poles.dt * W
        return expm(self.poles.dt * W)

    def memories(self, x: Matrices) -> np.ndarray:
        """Return the rows of the memories c̃ᵀ A^s ũ, or c̃ᵀ e^{W̃t} ũ, shape (n, rows)."""
        if isinstance(self.rows, StepRows):
            return self._step_rows(self.multiplier(x.W), x.u, x.c)
        rows = []
        for W, u, c in zip(*x.all, strict=True):
            states = _states(W, u, self.rows.nodes)
            values, slopes = states @ c, states[: self.rows.slope_weights.size] @ (c @ W)
            rows.append(np.concatenate([values * self.rows.value_weights, slopes * self.rows.slope_weights]))
        return np.array(rows)

    def _step_rows(self, A: np.ndarray, u: np.ndarray, c: np.ndarray) -> np.ndarray:
        count = self.rows.nodes.size
        block = math.isqrt(count - 1) + 1
        right, left = [u[..., None]], [c[:, None, :]]
        for _ in range(block - 1):
            right.append(A @ right[-1])
        leap = np.linalg.matrix_power(A, block)
        for _ in range(block - 1):
            left.append(left[-1] @ leap)
        values = np.concatenate(left, 1) @ np.concatenate(right, 2)
        values = values.reshape(len(A), block * block)[:, :count]
        slopes = np.diff(values)[:, : self.rows.slope_weights.size]
        return np.concatenate([values * self.rows.value_weights, slopes * self.rows.slope_weights], 1)

    def errors(self, x: Matrices, margin: bool = False) -> np.ndarray:
        """Return the error of each model; with `margin` a lower bound, rounding errors taken off."""
        size = self.rows.norm(self.rows.y - self.memories(x))
        if not margin:
            return size
        if isinstance(self.rows, StepRows):
            bounds = self._step_rows(np.abs(self.multiplier(x.W)), np.abs(x.u), np.abs(x.c))
        else:
            # in this norm |e^{Wt}| <= e^{−(λ − β)t}, and eigenvalues are off by rounding
            slowest = float(np.diagonal(self.centre.W[0]).max()) + self.beta
            fastest = float(np.abs(x.W).max())
            wrong = 1 + 1e12 * np.expm1(
                np.minimum(64 * np.finfo(float).eps * fastest * self.rows.nodes, 600.0)
            )
            shape = np.exp(slowest * self.rows.nodes) * wrong
            slopes = fastest * shape[: self.rows.slope_weights.size] * self.rows.slope_weights
            sizes = np.linalg.norm(x.u, axis=1) * np.linalg.norm(x.c, axis=1)
            bounds = sizes[:, None] * np.concatenate([shape * self.rows.value_weights, slopes])
        off = 8 * x.u.shape[1] * self.rows.rounding * self.rows.norm(np.abs(self.rows.y) + np.abs(bounds))
        return np.where(np.isfinite(size), np.maximum(size - off, 0.0), size)

    def by_eigenvalues(self, x: Matrices) -> np.ndarray:
        """Return the error of each model from the eigenvalues of W; not finite where that fails."""
        w, V = np.linalg.eig(x.W)
        p, q = _projected(x, V, np.linalg.pinv(V))
        (modes,) = self.rows.jet(self._pole(w))
        return self.rows.norm(self.rows.y - np.real(((p * q)[:, None, :] @ modes)[:, 0]))

    def gradient(self, x: Matrices) -> tuple[np.ndarray, Matrices]:
        """Return the error of each model from the eigenvalues of W, and its gradient in W, u and c."""
        w, V = np.linalg.eig(x.W)
        inverse = np.linalg.pinv(V)
        p, q = _projected(x, V, inverse)
        jets = self.rows.jet(self._pole(w), 1)
        r = self.rows.y - np.real(((p * q)[:, None, :] @ jets[0])[:, 0])
        size = self.rows.norm(r)
        pull = np.sign(r) if self.rows.order == 1 else r / np.maximum(size, 1e-300)[:, None]
        psi, slope = (-(jet @ pull[..., None])[..., 0] for jet in jets)
        slope = slope * self._pole_slope(w)
        gaps = w[:, :, None] - w[:, None, :]
        close = np.abs(gaps) <= 1e-6 * (np.abs(w[:, :, None]) + np.abs(w[:, None, :]))
        differences = np.where(
            close,
            (slope[:, :, None] + slope[:, None, :]) / 2,
            (psi[:, :, None] - psi[:, None, :]) / np.where(close, 1.0, gaps),
        )
        back = np.swapaxes(inverse, 1, 2)
        G = back @ (p[:, :, None] * q[:, None, :] * differences) @ np.swapaxes(V, 1, 2)
        along_u, along_c = (back @ (psi * p)[..., None])[..., 0], (V @ (psi * q)[..., None])[..., 0]
        return size, Matrices(*(np.nan_to_num(np.real(g)) for g in (G, along_u, along_c)))

    def _pole(self, w: np.ndarray) -> np.ndarray:
        if self.poles.f.time == "discrete" or self.poles.continuous:
            return w
        return 1 + self.poles.dt * w if self.poles.multiplies else np.exp(self.poles.dt * w)

    def _pole_slope(self, w: np.ndarray) -> np.ndarray:
        if self.poles.f.time == "discrete" or self.poles.continuous:
            return np.ones_like(w)
        return self.poles.dt * (np.ones_like(w) if self.poles.multiplies else self._pole(w))


def _projected(x: Matrices, V: np.ndarray, inverse: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return output and input weights in the coordinates of the eigenvectors V."""
    return (x.c[:, None, :] @ V)[:, 0], (inverse @ x.u[..., None])[..., 0]


def _states(W: np.ndarray, u: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return e^{Wt} u at times t, shape (times, m)."""
    rates, V = np.linalg.eig(W)
    if np.linalg.cond(V) > _PARALLEL:
        return expm(t[:, None, None] * W) @ u
    return np.real((np.exp(t[:, None] * rates) * np.linalg.solve(V, u)) @ V.T)


def polar(G: np.ndarray) -> np.ndarray:
    """Return the matrix X of spectral norm one with the largest inner product tr(XᵀG), shape (..., m, m)."""
    left, _, right = np.linalg.svd(G / np.maximum(np.abs(G).max((-2, -1), keepdims=True), 1e-300))
    return left @ right


def unit(g: np.ndarray) -> np.ndarray:
    """Return g/|g|, shape (..., m)."""
    scaled = g / np.maximum(np.abs(g).max(-1, keepdims=True), 1e-300)
    return scaled / np.maximum(np.linalg.norm(scaled, axis=-1, keepdims=True), 1e-300)


def search(ball: FullBall, starts: Matrices) -> tuple[float, Matrices]:
    """Return a lower bound of the largest error in the ball, and the model whose error it bounds.

    Conditional-gradient steps from `starts` and the centre; eigenvalues are not used for the error returned.
    """
    x = Matrices.stacked([ball.centre, starts])
    errors = _finite(ball.by_eigenvalues(x))
    for done in range(_ROUNDS if ball.beta else 0):
        goal = ball.farthest(ball.gradient(x)[1])
        goals = goal, Matrices(goal.W, x.u, x.c), Matrices(x.W, goal.u, goal.c)
        tried = [x, *(ball.inside(x.towards(one, step)) for one in goals for step in _STEPS)]
        table = np.array([errors, *(_finite(ball.by_eigenvalues(one)) for one in tried[1:])])
        best, of = table.argmax(0), np.arange(errors.size)
        arrays = (np.array(column)[best, of] for column in zip(*(one.all for one in tried), strict=True))
        x, risen = Matrices(*arrays), table.max(0)
        settled = (risen <= errors * (1 + _SETTLED)).all()
        errors = risen
        if settled:
            break
        if done == 2:
            keep = np.argsort(-errors)[:_KEPT]
            x, errors = x[keep], errors[keep]
    candidates = Matrices.stacked([ball.centre, x[np.argsort(-errors)[:3]]])
    lower = ball.errors(candidates, margin=True)
    best = int(lower.argmax())
    return float(lower[best]), candidates[best : best + 1]


def _finite(errors: np.ndarray) -> np.ndarray:
    """Return errors with 0 where one is not finite, so that a search leaves it aside."""
    return np.where(np.isfinite(errors), errors, 0.0)
