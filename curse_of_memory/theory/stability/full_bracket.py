"""Lower and upper bound of E_m(β) over the papers' ball: the full recurrent matrix moves, |ΔW|₂ <= β."""

import functools
import math

import numpy as np

from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
from curse_of_memory.theory.stability.bracket import WorstCase, diagonal_errors
from curse_of_memory.theory.stability.error_rows import Rows
from curse_of_memory.theory.stability.full_ball import FullBall, FullNeighbourhood, Matrices, search
from curse_of_memory.theory.stability.full_bound import beyond, linear_and_rest
from curse_of_memory.theory.stability.half_line_norm import HalfLine
from curse_of_memory.theory.stability.perturbed_model import Model
from curse_of_memory.tools import checks

__all__ = ["full_bracket", "takes_ball"]

_BALLS = ("diagonal", "full")
_FULL = ("direct", "direct-discrete")
_LARGEST = 1e100


def takes_ball(f: Reparameterization, ball: str) -> None:
    """Raise a ValueError if `ball` is unknown, or full although f maps the weights of a diagonal one by one.

    Examples
    --------
    >>> takes_ball(REPARAMETERIZATIONS["direct"], "full")
    """
    checks.one_of("ball", ball, _BALLS)
    if ball == "full" and f not in [REPARAMETERIZATIONS[name] for name in _FULL]:
        raise ValueError(
            "ball='full' moves a whole recurrent matrix, which is the weight itself for 'direct' and "
            f"'direct-discrete' only, got {f.name!r}"
        )


@np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore")
def full_bracket(
    model: Model,
    beta: float,
    *,
    draws: int,
    seed: int,
    smaller: WorstCase | None = None,
    **_,
) -> WorstCase:
    """Return lower and upper bounds of E_m(β) over the full ball; arguments as :func:`bracket.bracket`.

    `budget` and `tolerance` are not used: they belong to a branch and bound.
    """
    checks.positive_int("draws", draws)
    moved = 0.0 if model.still else beta
    w, u, c = model.centre.all
    centre = Matrices(np.diag(w[0])[None], u, c)

    def ball(rows: Rows) -> FullBall:
        return FullBall(centre, moved, model.amplitudes, model.poles, rows)

    resting = float(diagonal_errors(model, model.centre)[0])
    drawn = FullNeighbourhood(centre, moved, model.amplitudes).random(draws, seed)
    hopeless = model.steps is None and moved >= model.radius
    line = None if model.steps is not None else _line(model, 0.0 if hopeless else moved)
    rows = model.steps if line is None else line.rows
    errors = np.full(draws, math.inf)
    if moved > _LARGEST:
        errors[:] = 0.0
    elif rows is not None:
        errors = _errors(ball(rows), line, drawn, hopeless)
    random = max(resting, float(errors.max()))
    bounded = functools.partial(
        WorstCase,
        beta=beta,
        random=random,
        draw_errors=errors,
        centre=resting,
        radius=model.radius,
        ball="full",
    )
    reason = "the error of the unperturbed sum is infinite" if math.isinf(resting) else ""
    if hopeless and not reason:
        reason = f"the ball holds a matrix that does not decay: the stability radius is {model.radius:.6g}"
    if reason:
        none = np.full(w.size, math.nan)
        return bounded(
            lower=math.inf,
            upper=math.inf,
            weights=np.full((w.size, w.size), math.nan),
            coefficients=none,
            inputs=none,
            outputs=none,
            reason=reason,
        )
    if moved > _LARGEST:
        return bounded(
            lower=resting,
            upper=math.inf,
            weights=centre.W[0],
            coefficients=c[0] * u[0],
            inputs=u[0],
            outputs=c[0],
            reason=f"radii above {_LARGEST:g} are beyond double precision",
        )
    assert rows is not None  # where the norm of ρ is infinite so is the error of the centre
    inside = ball(rows)
    starts = [drawn, *([] if smaller is None else [_moved_out(inside, smaller)])]
    _, worst = search(inside, Matrices.stacked(starts))
    move = [(a - a0)[0].ravel() for a, a0 in zip(worst.all, centre.all, strict=True)]
    upper, rest = linear_and_rest(inside, np.concatenate(move if model.amplitudes else move[:1]))
    lower = float(_errors(inside, line, worst, hopeless)[0])
    quadrature = 0.0
    if line is not None:
        missed = _missed(inside, line, worst)
        quadrature = float(line.above(np.array([lower]), missed, np.zeros(1))[0] - lower)
        size = (np.linalg.norm(u) + inside.moves[1]) * (np.linalg.norm(c) + inside.moves[1])
        missed = line.missed_by(np.array([size]), *_decay(inside, np.array([moved])))
        upper = float(line.above(np.array([upper]), missed, np.array([beyond(inside, line)]))[0])
    upper = upper + rest
    return bounded(
        lower=max(lower, random),
        upper=upper if math.isfinite(upper) else math.inf,
        weights=worst.W[0],
        coefficients=(worst.c * worst.u)[0],
        inputs=worst.u[0],
        outputs=worst.c[0],
        quadrature=quadrature,
        reason="" if math.isfinite(upper) else "the bound exceeds double precision",
    )


def _line(model: Model, beta: float) -> HalfLine | None:
    rates = -model.centre.w[0]
    return model.line(float(rates.min()) - beta, float(rates.max()) + beta, sampled=True)


def _decay(ball: FullBall, apart: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return the slowest rate of the centre, `apart` as it is, and a bound of |W|."""
    rates = -np.diagonal(ball.centre.W[0])
    return float(rates.min()), apart, float(rates.max() + apart.max())


def _missed(ball: FullBall, line: HalfLine, x: Matrices) -> np.ndarray:
    """Return a bound of what sums over rows miss of the error of each model."""
    sizes = np.linalg.norm(x.u, axis=1) * np.linalg.norm(x.c, axis=1)
    apart = np.linalg.norm(x.W - ball.centre.W, ord=2, axis=(1, 2))
    return line.missed_by(sizes, *_decay(ball, apart))


def _errors(ball: FullBall, line: HalfLine | None, x: Matrices, hopeless: bool) -> np.ndarray:
    """Return a lower bound of the error of each model, infinite where the memory does not decay."""
    if line is None:
        return ball.errors(x, margin=True)
    errors = np.full(len(x.W), math.inf)
    # no model of a ball below the stability radius is unstable, whatever rounded eigenvalues say
    stable = np.flatnonzero(np.linalg.eigvals(x.W).real.max(1) < 0) if hopeless else np.arange(len(x.W))
    if stable.size:
        one = x[stable]
        # symmetric parts bound the decay of what may not be normal
        decay = -np.linalg.eigvalsh((one.W + np.swapaxes(one.W, 1, 2)) / 2)[:, -1]
        sizes = np.linalg.norm(one.u, axis=1) * np.linalg.norm(one.c, axis=1)
        spill = [
            size * line.mode_tail(rate) if rate > 0 else math.inf
            for size, rate in zip(sizes, decay, strict=True)
        ]
        inner = ball.errors(one, margin=True)
        errors[stable] = line.below(inner, _missed(ball, line, one), np.array(spill))
    return errors


def _moved_out(ball: FullBall, smaller: WorstCase) -> Matrices:
    """Return the worst model of a smaller ball, moved out to the edge of this one."""
    if smaller.beta == 0 or np.isnan(smaller.weights).any():
        return ball.centre
    worst = Matrices(smaller.weights[None], smaller.inputs[None], smaller.outputs[None])
    return ball.inside(ball.centre.towards(worst, ball.beta / smaller.beta))
