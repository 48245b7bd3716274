"""Lower and upper bound of E_m(β), the largest error of a diagonal model within β of its weights."""

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.stability.ascent import Ball, Neighbourhood, Points, ascend, random_points
from curse_of_memory.theory.stability.enclosures import bound_above
from curse_of_memory.theory.stability.error_norms import NORMS, Memory, on_steps
from curse_of_memory.theory.stability.error_rows import Rows
from curse_of_memory.theory.stability.half_line import HalfLine, half_line
from curse_of_memory.theory.stability.pole_map import UNCERTIFIED, PoleMap
from curse_of_memory.tools import checks

__all__ = [
    "PERTURBED",
    "Model",
    "WorstCase",
    "bracket",
    "diagonal_errors",
    "perturbed_model",
    "stable_rates",
]

PERTURBED = ("all", "rates")
_CLOSED = 1e-9
# the rate of a mode whose norms are still numbers, and how far rates may be apart
_SLOWEST, _SPREAD = 1e-150, 1e250


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


@dataclass(frozen=True, eq=False)
class Model:
    """The unperturbed model and the norm of its error: all that does not depend on β.

    Attributes
    ----------
    rho, norm
        The target memory, and the norm of the error.
    amplitudes : bool
        Whether u and c are perturbed.
    poles : PoleMap
        From free weights to poles.
    centre : Points
        The unperturbed weights.
    steps : Rows or None
        The rows of the norm, on a grid; on [0, ∞) they depend on β.
    radius : float
        The stability radius.
    kept : numpy.ndarray of bool
        Which modes count: those of amplitude zero do not if amplitudes are not perturbed.
    unmoved : numpy.ndarray
        The unperturbed free weights of all modes.
    """

    rho: Memory
    norm: str
    amplitudes: bool
    poles: PoleMap
    centre: Points
    steps: Rows | None
    radius: float
    kept: np.ndarray
    unmoved: np.ndarray

    @property
    def still(self) -> bool:
        """Whether the memory is zero and no perturbation changes it."""
        return not self.amplitudes and not self.centre.u.any()

    def whole(self, x: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return w, u and c of all modes of one model, shape (m,); those that do not count are unmoved."""
        weights = np.array([self.unmoved, *np.zeros((2, self.kept.size))])
        weights[:, self.kept] = np.concatenate(x.all)
        w, u, c = weights
        return w, u, c

    def near(self, beta: float) -> Neighbourhood:
        """Return the models within `beta`."""
        return Neighbourhood(self.centre, beta, self.amplitudes)

    def ball(self, beta: float, rows: Rows) -> Ball:
        """Return the models within `beta`, whose error is the norm of `rows`."""
        return Ball(self.centre, beta, self.amplitudes, self.poles, rows)

    def line(self, slowest: float, fastest: float, sampled: bool = False) -> HalfLine | None:
        """Return the norm on [0, ∞) for modes with rates between these; None if that of ρ is infinite."""
        slowest = max(slowest, _SLOWEST)
        return half_line(self.rho, self.norm, slowest, min(fastest, _SPREAD * slowest), sampled)


def stable_rates(fit: ExponentialSum | ArrayLike) -> np.ndarray:
    """Return the rates λᵢ of a sum, or given as such, after checking that they are real and positive.

    Examples
    --------
    >>> stable_rates([0.1, 0.2])
    array([0.1, 0.2])
    """
    rates = fit.rates if isinstance(fit, ExponentialSum) else fit
    if isinstance(rates, np.ndarray) and np.iscomplexobj(rates):
        raise TypeError("fit must have real rates: perturbed complex pairs are not supported")
    rates = np.atleast_1d(checks.finite_array("fit", rates))
    if rates.ndim > 1:
        raise ValueError(f"fit must be rates of one dimension, got shape {rates.shape}")
    if rates.min() <= 0:
        raise ValueError(f"fit must be stable, with every rate > 0, got {rates.min():g}")
    return rates


def perturbed_model(
    fit: ExponentialSum,
    rho: Memory,
    parameterization: str | Reparameterization,
    norm: str,
    horizon: int | None,
    weight: ArrayLike | Bias | None,
    perturbed: str,
    step: str,
    ball: str = "diagonal",
) -> Model:
    """Return the unperturbed model, from arguments of `worst_case_error` that are checked here."""
    if not isinstance(fit, ExponentialSum):
        raise TypeError(f"fit must be an ExponentialSum, got {type(fit).__name__}")
    rates = stable_rates(fit)
    a = checks.finite_array("coefficients", fit.coefficients, ndim=1)
    checks.one_of("norm", norm, NORMS)
    checks.one_of("perturbed", perturbed, PERTURBED)
    if horizon is None and weight is not None:
        raise ValueError("weight is per lag: give horizon, too")
    poles = PoleMap(get(parameterization), fit.dt, step, continuous=horizon is None)
    if horizon is None:
        steps = None
        half_line(rho, norm, rates.min(), rates.max())  # refuses early what it cannot integrate
    else:
        steps = on_steps(rho, norm, horizon, fit.dt, weight)
    amplitudes = perturbed == "all"
    # a full matrix couples all modes
    all_count = amplitudes or ball == "full" or not a.any()
    kept = np.ones(a.size, dtype=bool) if all_count else a != 0
    unmoved = poles.weights(rates)
    w, a = unmoved[kept], a[kept]
    root = np.sqrt(np.abs(a))
    centre = Points(w[None], root[None], (np.sign(a) * root)[None])
    radius = float(poles.radius(w).min()) if amplitudes or a.any() else math.inf
    return Model(rho, norm, amplitudes, poles, centre, steps, radius, kept, unmoved)


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
    if model.steps is None and not (slowest >= _SLOWEST and fastest <= _SPREAD * slowest):
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
