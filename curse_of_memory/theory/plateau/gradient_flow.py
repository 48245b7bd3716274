"""Gradient flow on the exact loss: training with an infinitely small learning rate, and no sampling noise.

d(a, v)/dτ = −∇J(a, v) for ρ̂(t) = Σ aᵢ e^{−wᵢ t} with w = −f(v) ("Curse of memory" (2009.07799)).
"""

import itertools
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from scipy.integrate import solve_ivp

from curse_of_memory.theory.plateau.exact_loss import ExactLoss, exact_loss
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["gradient_flow"]

METHODS = ("LSODA", "Radau", "BDF")
_SLOWEST, _FASTEST = 0.5, 2.0  # the rates training starts from
# A plateau that float64 resolves takes a few thousand; where rounding errors drive the flow there is no end.
_STEPS = 20000
_MARGIN = 1e4


@dataclass(frozen=True)
class _Coordinates:
    """w(x), w'(x), and s(x) with dx/dτ = −s(x) ∂J/∂w, for the coordinate x that is integrated."""

    rate: Callable
    slope: Callable
    speed: Callable
    speed_slope: Callable
    start: Callable


def _coordinates(parameterization: Reparameterization, half_line: bool) -> _Coordinates:
    if parameterization.name == "direct":
        if half_line:
            # the same flow, written in ln w, where no step of the solver can cross w = 0
            return _Coordinates(np.exp, np.exp, lambda x: np.exp(-x), lambda x: -np.exp(-x), np.log)
        return _Coordinates(lambda x: x, np.ones_like, np.ones_like, np.zeros_like, lambda w: w)
    f, derivative = parameterization.f, parameterization.derivative

    def curvature(x):
        h = 1e-5 * (1 + np.abs(x))
        return -(derivative(x + h) - derivative(x - h)) / (2 * h)

    return _Coordinates(
        lambda x: -f(x),
        lambda x: -derivative(x),
        lambda x: -derivative(x),
        curvature,
        lambda w: parameterization.inverse(-w),
    )


class _Flow:
    """The right-hand side, its Jacobian and the loss, as functions of the state (a, x)."""

    def __init__(self, loss: ExactLoss, coordinates: _Coordinates):
        self.loss, self.coordinates = loss, coordinates

    def split(self, state):
        m = state.size // 2
        a, x = state[:m], state[m:]
        return a, x, self.coordinates.rate(x)

    def velocity(self, _, state):
        a, x, w = self.split(state)
        by_a, by_w = self.loss.gradient(a, w)
        return -np.concatenate([by_a, self.coordinates.speed(x) * by_w])

    def jacobian(self, _, state):
        a, x, w = self.split(state)
        second, by_w = self.loss.hessian(a, w), self.loss.gradient(a, w)[1]
        second[:, :, 1] *= self.coordinates.slope(x)
        second[1] *= self.coordinates.speed(x)[:, None, None]
        second[1, :, 1] += np.diag(self.coordinates.speed_slope(x) * by_w)
        return -second.reshape(state.size, state.size)

    def value(self, state):
        a, _, w = self.split(state)
        return self.loss.value(a, w)

    def descent(self, state):
        """Return −dJ/dτ = |∇J|² in the free weights."""
        a, x, w = self.split(state)
        by_a, by_w = self.loss.gradient(a, w)
        return by_a @ by_a + by_w @ (self.coordinates.slope(x) * self.coordinates.speed(x) * by_w)


def gradient_flow(
    target: Target,
    terms: int = 4,
    *,
    seed: int = 0,
    parameterization: str | Reparameterization = "direct",
    power: float | None = None,
    horizon: float | None = None,
    stop_below: float | None = None,
    time_limit: float = 1e10,
    method: str = "LSODA",
    tolerance: float = 1e-8,
) -> xr.Dataset:
    """Return the gradient flow d(a, v)/dτ = −∇J, w = −f(v), from a random start to a time or a loss.

    The start is aᵢ ~ N(0, 1)/m and wᵢ ~ U(½, 2), the same memory for every parameterisation. Gradient and
    Jacobian are exact; the solver is implicit where the flow is stiff.

    Parameters
    ----------
    target : Target
        ρ, as for :func:`curse_of_memory.theory.plateau.exact_loss.exact_loss`.
    terms : int
        m.
    seed : int
        Of the start, ``numpy.random.default_rng(seed)``.
    parameterization : str or Reparameterization
        f, in continuous time; ``direct`` is v = −w.
    power, horizon : float, optional
        p of the weight tᵖ and T of [0, T]; by default the half line with b = 1.
    stop_below : float, optional
        Stop at the first time at which J < `stop_below`.
    time_limit : float
        Stop there in any case.
    method : {'LSODA', 'Radau', 'BDF'}
        Of `scipy.integrate.solve_ivp`.
    tolerance : float
        Relative error of a step; the absolute one is a hundredth of it.

    Returns
    -------
    xarray.Dataset
        ``loss`` and ``descent`` = −dJ/dτ over ``time``, ``coefficients`` and ``rates`` over ``time, term``,
        at the steps of the solver. Attributes: ``status`` is 'reached', 'time limit', or why the solver
        stopped; ``resolved`` says whether |∇J| stayed above 1e4 times its rounding error. It does not
        close to a minimum, nor on the plateau of a bump beyond 1/ω of about 25.

    Raises
    ------
    ValueError, TypeError
        For a discrete-time or unknown parameterisation, or as `exact_loss` does.

    Examples
    --------
    >>> from curse_of_memory.theory.targets.far_bump import far_bump
    >>> flow = gradient_flow(far_bump(center=6.0), seed=1, time_limit=100.0)
    >>> flow.attrs["status"], bool((flow.loss.diff("time") <= 0).all())
    ('time limit', True)
    """
    m, time_limit = checks.positive_int("terms", terms), checks.positive("time_limit", time_limit)
    checks.one_of("method", method, METHODS)
    tolerance = checks.positive("tolerance", tolerance)
    parameterization = get(parameterization)
    if parameterization.time != "continuous":
        raise ValueError(f"parameterization must be one in continuous time, got {parameterization.name!r}")
    loss = exact_loss(target, power, horizon)
    flow = _Flow(loss, _coordinates(parameterization, math.isinf(loss.horizon)))
    draws = np.random.default_rng(checks.seed("seed", seed))
    a = draws.standard_normal(m) / m
    start = np.concatenate([a, flow.coordinates.start(draws.uniform(_SLOWEST, _FASTEST, m))])
    status, times, states = "reached", np.zeros(1), start[:, None]
    if stop_below is None or flow.value(start) >= checks.positive("stop_below", stop_below):
        status, times, states = _solve(flow, start, stop_below, time_limit, method, tolerance)
    attributes = {
        "target": target.name,
        "parameterization": parameterization.name,
        "power": power,
        "horizon": loss.horizon,
        "seed": seed,
        "method": method,
        "status": status,
    }
    return _labelled(flow, times, states, attributes)


def _solve(flow, start, stop_below, time_limit, method, tolerance):
    def below(_, state):
        return flow.value(state) - stop_below

    below.terminal, below.direction = True, -1
    patience = _patience()
    with warnings.catch_warnings(record=True) as said, np.errstate(all="ignore"):
        warnings.simplefilter("always")  # LSODA says why it stops in a warning
        solution = solve_ivp(
            flow.velocity,
            (0.0, time_limit),
            start,
            method,
            jac=flow.jacobian,
            events=[patience] if stop_below is None else [patience, below],
            rtol=tolerance,
            atol=tolerance / 100,
        )
    if solution.status == 1:
        status = f"gave up after {_STEPS} steps" if solution.t_events[0].size else "reached"
    elif solution.status == 0:
        status = "time limit"
    else:
        status = str(said[-1].message if said else solution.message)
    return status, solution.t, solution.y


def _patience() -> Callable:
    """Return an event for `solve_ivp` that ends the integration after _STEPS steps."""
    steps = itertools.count()
    last = math.inf

    def event(time, _):
        nonlocal last
        if next(steps) == _STEPS:
            last = time
        return 1.0 if last == math.inf else last - time

    event.terminal = True
    return event


def _labelled(flow: _Flow, times: np.ndarray, states: np.ndarray, attributes: dict) -> xr.Dataset:
    weights = [flow.split(state) for state in states.T]
    descent = np.array([flow.descent(state) for state in states.T])
    # the terms of the gradient are of the size of the energy, and cancel on the plateau
    noise = np.finfo(float).eps * flow.loss.energy
    return xr.Dataset(
        {
            "loss": ("time", [flow.value(state) for state in states.T]),
            "descent": ("time", descent),
            "coefficients": (("time", "term"), np.array([a for a, _, _ in weights])),
            "rates": (("time", "term"), np.array([w for _, _, w in weights])),
        },
        {"time": times},
        attributes | {"resolved": bool(math.sqrt(descent.min()) > _MARGIN * noise)},
    )
