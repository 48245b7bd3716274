"""Lower and upper bound of E_m(β), the largest error of a diagonal model within β of its weights."""

import functools
import math
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.stability.ascent import Ball, Points, ascend, random_points
from curse_of_memory.theory.stability.enclosures import bound_above
from curse_of_memory.theory.stability.half_line_norm import HalfLine
from curse_of_memory.theory.stability.perturbed_model import SLOWEST, SPREAD, Model
from curse_of_memory.theory.stability.pole_map import UNCERTIFIED
from curse_of_memory.tools import checks

__all__ = ["WorstCase", "bracket", "diagonal_errors"]

_CLOSED = 1e-9


@dataclass(frozen=True, eq=False)
class WorstCase:
    """A lower and an upper bound of the largest error within β of the weights, and the worst model found.

    Attributes
    ----------
    beta : float
        Radius of the ball of weights.
    lower, upper : float
        lower <= E_m(β) <= upper. `lower` is the error of the model below; `upper` holds for every model
        of the ball. Both are infinite if the ball holds a memory whose error is infinite, or exceeds double
        precision; `upper` alone where nothing can be certified.
    random : float
        The largest error among the centre and the random draws, as the papers report it.
    draw_errors : numpy.ndarray, shape (draws,)
        The error of each draw.
    centre : float
        E_m(0), the error of the unperturbed sum.
    radius : float
        The stability radius: from here on the ball holds a pole that does not decay.
    weights, coefficients : numpy.ndarray, shape (m,)
        The worst model found: free weights w̃, or the matrix W̃ (m, m) in the full ball, and c̃ᵢũᵢ, the
        amplitudes of a diagonal model. NaN where both bounds are infinite.
    inputs, outputs : numpy.ndarray, shape (m,)
        Its input and output weights ũ and c̃.
    quadrature : float
        The width that integrals over [0, ∞) add to the bounds: how far the error of the model below is
        certainly known. 0 on a grid, where errors are finite sums and only rounding (which is accounted for)
        remains.
    reason : str
        Why a bound is infinite, where one is.
    ball : {'diagonal', 'full'}
        What is within β of the recurrent weights: diagonal matrices, |δw|_∞ <= β, or full ones, |ΔW|₂ <= β.
    certified : bool
        Whether `upper` and `radius` are proved. They are not for a map that does not go through interval
        arithmetic and whose turning points are not declared: then `upper` is infinite.
    """

    beta: float
    lower: float
    upper: float
    random: float
    draw_errors: np.ndarray
    centre: float
    radius: float
    weights: np.ndarray
    coefficients: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    quadrature: float = 0.0
    reason: str = ""
    ball: str = "diagonal"
    certified: bool = True

    @property
    def draws(self) -> int:
        """How many random directions were tried."""
        return self.draw_errors.size

    @property
    def attained(self) -> bool:
        """Whether the bounds agree to 1e-9, so that `weights` attain the supremum."""
        return math.isfinite(self.upper) and self.upper - self.lower <= _CLOSED * self.upper

    @property
    def underestimate(self) -> float:
        """`random` over `lower`: the random draws saw at most this share of the supremum."""
        return self.random / self.lower if self.lower > 0 and math.isfinite(self.lower) else math.nan


@np.errstate(over="ignore", invalid="ignore", under="ignore")
def bracket(
    model: Model,
    beta: float,
    *,
    draws: int,
    seed: int,
    budget: int,
    tolerance: float,
    smaller: WorstCase | None = None,
) -> WorstCase:
    """Return lower and upper bounds of E_m(β) for a diagonal model that stays diagonal.

    Parameters
    ----------
    model : Model
        The unperturbed model.
    beta, draws, seed, budget, tolerance
        As for :func:`curse_of_memory.theory.stability.worst_case_error`.
    smaller : WorstCase, optional
        The result for a smaller ball, whose worst direction is one more to start from.
    """
    checks.positive_int("draws", draws)
    checks.positive_int("budget", budget)
    checks.non_negative("tolerance", tolerance)
    moved = 0.0 if model.still else beta
    drawn = random_points(model.near(moved), draws, seed, model.kept)
    sampled = Points.stacked([model.centre, drawn])
    errors = diagonal_errors(model, sampled)
    random = float(errors.max())
    bounded = functools.partial(
        WorstCase,
        beta=beta,
        random=random,
        draw_errors=errors[1:],
        centre=float(errors[0]),
        radius=model.radius,
        certified=model.poles.certified,
    )
    if reason := _hopeless(model, beta, errors[0]):
        none = np.full(model.kept.size, math.nan)
        return bounded(
            lower=math.inf,
            upper=math.inf,
            weights=none,
            coefficients=none,
            inputs=none,
            outputs=none,
            reason=reason,
        )

    rows, line, reach = model.steps, None, model.poles.range(model.centre.w[0], moved)
    if rows is None:
        fastest, slowest = (-model.poles.pole(end) for end in (reach.at_low, reach.at_high))
        line = model.line(float(slowest.min()), float(fastest.max()))
        assert line is not None  # where the norm of ρ is infinite so is the error of the centre
        rows = line.rows
    ball = model.ball(moved, rows)
    starts = drawn if smaller is None else Points.stacked([drawn, _moved_out(ball, smaller, model.kept)])
    lower, worst = ascend(ball, starts, seed)
    w, u, c = model.whole(worst)
    slowest, fastest = -float(reach.high.max()), -float(reach.low.min())
    reason = _no_bound(model, lower, slowest, fastest)
    upper = math.inf if reason else bound_above(ball, lower, budget, tolerance)
    quadrature = 0.0
    if line is not None:
        lower = float(_line_errors(ball, line, worst)[0])
        quadrature = _error_above(ball, line, worst) - lower
        if math.isfinite(upper):
            largest, rates = (np.abs(ball.centre.c) + moved) * (np.abs(ball.centre.u) + moved), -reach.high
            missed, spill = line.missed(largest, rates), line.spill(largest, rates)
            upper = float(line.above(np.array([upper]), missed, spill)[0])
    return bounded(
        lower=max(lower, random),
        upper=upper,
        weights=w,
        coefficients=c * u,
        inputs=u,
        outputs=c,
        quadrature=quadrature,
        reason=reason,
    )


def _no_bound(model: Model, lower: float, slowest: float, fastest: float) -> str:
    """Return why the upper bound is infinite; an empty string if it is finite."""
    if math.isinf(lower):
        return "an error in the ball exceeds double precision"
    if not model.poles.certified:
        return UNCERTIFIED.format(name=model.poles.f.name)
    if model.steps is None and not (slowest >= SLOWEST and fastest <= SPREAD * slowest):
        return f"rates in the ball, {slowest:.3g} to {fastest:.3g}, spread beyond double precision"
    return ""


def _hopeless(model: Model, beta: float, centre: float) -> str:
    """Return why both bounds are infinite; an empty string if they may be finite."""
    if math.isinf(centre):
        return "the error of the unperturbed sum is infinite"
    if not model.poles.inside(model.centre.w, beta):
        return f"the ball leaves the domain {model.poles.f.domain} of {model.poles.f.name!r}"
    if model.steps is None and beta >= model.radius:
        return f"the ball holds a pole that does not decay: the stability radius is {model.radius:.6g}"
    return ""


def _moved_out(ball: Ball, smaller: WorstCase, kept: np.ndarray) -> Points:
    """Return the worst free weights of a smaller ball, moved out to the edge of this one."""
    if smaller.beta == 0 or np.isnan(smaller.weights).any():
        return ball.centre
    w = ball.centre.w + ball.beta / smaller.beta * (smaller.weights[kept] - ball.centre.w)
    return ball.inside(Points(w, ball.centre.u, ball.centre.c))


def diagonal_errors(model: Model, x: Points) -> np.ndarray:
    """Return a lower bound of the error of each point, infinite where the memory does not decay."""
    if model.steps is not None:
        return model.ball(0.0, model.steps).errors(x, margin=True)
    errors = np.full(len(x.w), math.inf)
    rates = -model.poles.pole(x.w)
    stable = np.flatnonzero(((rates > 0) | (x.c * x.u == 0)).all(1))
    if stable.size:
        used = rates[stable][rates[stable] > 0]
        slowest, fastest = (used.min(), used.max()) if used.size else (1.0, 1.0)
        line = model.line(float(slowest), float(fastest))
        if line is not None:
            errors[stable] = _line_errors(model.ball(0.0, line.rows), line, x[stable])
    return errors


def _line_errors(ball: Ball, line: HalfLine, x: Points) -> np.ndarray:
    """Return lower bounds of errors on [0, ∞): those of the rows less what they may miss."""
    modes = _modes(ball, x)
    return line.below(ball.errors(x, margin=True), line.missed(*modes), line.spill(*modes))


def _error_above(ball: Ball, line: HalfLine, x: Points) -> float:
    """Return an upper bound of the error of one point."""
    rows, a, pole = ball.rows, (x.c * x.u)[0], ball.poles.pole(x.w)
    size, rounded = (float(ball.errors(x, margin=margin)[0]) for margin in (False, True))
    hidden = rows.hidden(pole, pole, lambda modes, _: (a @ modes[0],) * 2, np.abs(a))
    modes = _modes(ball, x)
    return float(line.above(size + (size - rounded) + hidden, line.missed(*modes), line.spill(*modes))[0])


def _modes(ball: Ball, x: Points) -> tuple[np.ndarray, np.ndarray]:
    """Return the sizes and rates of the modes; one of size 0 may have any rate."""
    sizes, rates = np.abs(x.c * x.u), -ball.poles.pole(x.w)
    return sizes, np.where(sizes > 0, rates, 1.0)
