"""One bracket of E_m(β) over the papers' ball, in which the whole recurrent matrix moves."""

import math

import numpy as np

from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.theory.reparameterization.weight_map import Reparameterization
from curse_of_memory.theory.stability.bracket import Model, WorstCase, diagonal_errors
from curse_of_memory.theory.stability.full_ball import FullBall, Matrices, search
from curse_of_memory.theory.stability.full_bound import beyond, bound_above
from curse_of_memory.theory.stability.half_line import HalfLine
from curse_of_memory.tools import checks

__all__ = ["BALLS", "full_bracket", "takes_ball"]

BALLS = ("diagonal", "full")
_FULL = ("direct", "direct-discrete")
_LARGEST = 1e100


def takes_ball(f: Reparameterization, ball: str) -> None:
    """Refuse an unknown ball, and a full one for a map of each weight of a diagonal by itself.

    Examples
    --------
    >>> takes_ball(REPARAMETERIZATIONS["direct"], "full")
    """
    checks.one_of("ball", ball, BALLS)
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
    """Return the bracket of E_m(β) over the full ball; arguments as :func:`bracket.bracket`.

    `budget` and `tolerance` are those of a branch and bound, which there is none of here.
    """
    checks.positive_int("draws", draws)
    moved = 0.0 if model.still else beta
    w, u, c = model.centre.all
    centre = Matrices(np.diag(w[0])[None], u, c)

    def ball(rows) -> FullBall:
        return FullBall(centre, moved, model.amplitudes, model.poles, rows)

    resting = float(diagonal_errors(model, model.centre)[0])
    drawn = ball(model.steps).random(draws, seed)
    hopeless = model.steps is None and moved >= model.radius
    line = None if model.steps is not None else _line(model, 0.0 if hopeless else moved)
    errors = np.full(draws, math.inf)
    if moved > _LARGEST:
        errors[:] = 0.0
    elif model.steps is not None or line is not None:
        errors = _errors(ball(model.steps or line.rows), line, drawn, hopeless)
    known = {
        "beta": beta,
        "draw_errors": errors,
        "random": max(resting, float(errors.max())),
        "centre": resting,
        "radius": model.radius,
        "ball": "full",
    }
    reason = "the error of the unperturbed sum is infinite" if math.isinf(resting) else ""
    if hopeless and not reason:
        reason = f"the ball holds a matrix that does not decay: the stability radius is {model.radius:.6g}"
    if reason:
        nowhere = np.full(w.size, math.nan)
        weights = {"weights": np.full((w.size, w.size), math.nan), "inputs": nowhere, "outputs": nowhere}
        return WorstCase(
            lower=math.inf, upper=math.inf, coefficients=nowhere, reason=reason, **known, **weights
        )
    if moved > _LARGEST:
        weights = {"weights": centre.W[0], "coefficients": c[0] * u[0], "inputs": u[0], "outputs": c[0]}
        reason = f"radii above {_LARGEST:g} are beyond double precision"
        return WorstCase(lower=resting, upper=math.inf, reason=reason, **known, **weights)
    inside = ball(model.steps if line is None else line.rows)
    starts = [drawn, *([] if smaller is None else [_moved_out(inside, smaller)])]
    _, worst = search(inside, Matrices.stacked(starts))
    move = [(a - a0)[0].ravel() for a, a0 in zip(worst.all, centre.all, strict=True)]
    upper, rest = bound_above(inside, np.concatenate(move if model.amplitudes else move[:1]))
    lower = float(_errors(inside, line, worst, hopeless)[0])
    if line is not None:
        missed = float(_missed(inside, line, worst)[0])
        known["quadrature"] = float(line.above(lower, missed, 0.0) - lower)
        size = (np.linalg.norm(u) + inside.moves[1]) * (np.linalg.norm(c) + inside.moves[1])
        missed = line.missed_by(np.array([size]), *_decay(inside, np.array([moved])))
        upper = float(line.above(upper, missed, beyond(inside, line))[0])
    upper = upper + rest
    return WorstCase(
        lower=max(lower, known["random"]),
        upper=upper if math.isfinite(upper) else math.inf,
        weights=worst.W[0],
        coefficients=(worst.c * worst.u)[0],
        inputs=worst.u[0],
        outputs=worst.c[0],
        reason="" if math.isfinite(upper) else "the bound exceeds double precision",
        **known,
    )


def _line(model: Model, beta: float) -> HalfLine | None:
    rates = -model.centre.w[0]
    return model.line(float(rates.min()) - beta, float(rates.max()) + beta, sampled=True)


def _decay(ball: FullBall, apart: np.ndarray) -> tuple[float, np.ndarray, float]:
    """Return the slowest rate of the centre, the distances from it, and a bound of |W|."""
    rates = -np.diagonal(ball.centre.W[0])
    return float(rates.min()), apart, float(rates.max() + apart.max())


def _missed(ball: FullBall, line: HalfLine, x: Matrices) -> np.ndarray:
    """Return what sums miss of the error of each model."""
    sizes = np.linalg.norm(x.u, axis=1) * np.linalg.norm(x.c, axis=1)
    apart = np.linalg.norm(x.W - ball.centre.W, ord=2, axis=(1, 2))
    return line.missed_by(sizes, *_decay(ball, apart))


def _errors(ball: FullBall, line: HalfLine | None, x: Matrices, hopeless: bool) -> np.ndarray:
    """Return lower bounds of the error of each model, infinite where that does not exist."""
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
    found = Matrices(smaller.weights[None], smaller.inputs[None], smaller.outputs[None])
    return ball.inside(ball.centre.towards(found, ball.beta / smaller.beta))
