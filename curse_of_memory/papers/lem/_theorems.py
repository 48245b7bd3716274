"""What layers of LEM do where theorems bound them: states, Jacobians, an ODE, frozen gates, a pendulum.

Each function returns curves in long form, with the columns ``panel, curve, kind, x, y``; `kind` is
``theory`` or ``measured``. Layers are our :class:`~curse_of_memory.nn.LEM` in double precision, without
readout.
"""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from curse_of_memory.nn import LEM
from curse_of_memory.nn.recurrent.lem.direction import Direction
from curse_of_memory.report.long_table import curve
from curse_of_memory.theory.long_expressive import (
    Flow,
    accumulated_error,
    allowed_growth,
    frozen_gate_error,
    jacobian_bounds,
    largest_state,
    time_constant,
)

__all__ = [
    "STEPS",
    "eta",
    "frozen_gates",
    "growth_used",
    "jacobian",
    "over_lengths",
    "pendulum",
    "states",
    "steps_of_the_flow",
    "time_constants",
    "weights",
]

STEPS = (1.0, 0.1, 0.01)
"""Δt of the panels that compare it."""

CHUNK = 1000  # steps on one tape; the Jacobians of chunks are multiplied

DRAG, TICK, TORQUE = 1.0, 0.1, 0.5  # of the pendulum, per unit time; its step; its largest torque
FEATURES = 0.3  # size of the random weights that its networks look through
CONTRACTION = 0.9  # η of the network with frozen gates
ROUND = 40.0  # a bias at which a gate is open to the last digit of a double


def weights(layer: LEM) -> Direction:
    """Return the weights of a layer in one direction, the lowest."""
    return layer.network.direction(0)


@torch.no_grad()
def eta(layer: LEM) -> float:
    """Return η, the largest absolute row sum of the recurrent weights."""
    return float(weights(layer).recurrent_weight.abs().sum(1).max())


def _net(width: int, dt: float, seed: int, inputs: int = 1) -> LEM:
    return LEM(width, dt=dt, input_size=inputs, output_size=None, seed=seed, dtype=torch.float64)


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def jacobian(layer: LEM, x: Tensor, state: Tensor) -> Tensor:
    """Return the Jacobians of the last state by the first, ``(batch, 2h, 2h)``, by automatic differentiation.

    Parameters
    ----------
    layer : LEM
    x : Tensor of shape ``(batch, time, input)``
    state : Tensor of shape ``(batch, 2h)``
    """
    size = state.shape[1]
    J = torch.eye(size, dtype=state.dtype).expand(len(x), size, size)
    for chunk in x.split(CHUNK, 1):
        start = state.repeat_interleave(size, 0).requires_grad_()
        last = layer.run(chunk.repeat_interleave(size, 0), start).last
        picked = torch.eye(size, dtype=last.dtype).repeat(len(x), 1)
        (rows,) = torch.autograd.grad(last, start, picked)
        J, state = rows.unflatten(0, (len(x), size)) @ J, last.detach()[::size]
    return J


def _norm(J: Tensor) -> Tensor:
    """Return the largest absolute row sum of each matrix."""
    return J.abs().sum(-1).amax(-1)


@torch.no_grad()
def states(networks: int, seed: int, width: int = 6, horizon: int = 200) -> list[pd.DataFrame]:
    """Return the largest |component| of y and z after n steps, over networks of large weights and inputs.

    Weights are uniform in [−5, 5], inputs normal with deviation 10.

    Parameters
    ----------
    networks, seed, width, horizon : int
        How many, which, their units, and steps.
    """
    marks = sorted({round(n) for n in np.geomspace(1, horizon, 14)})
    curves = []
    for dt in STEPS:
        largest = np.zeros(len(marks))
        for k in range(networks):
            layer = _net(width, dt, seed + k)
            for p in layer.parameters():
                p.mul_(5 * math.sqrt(width))  # drawn between ±1/√h
            x, state, n = 10 * _normal(32, horizon, 1, seed=seed + k), None, 0
            for i, mark in enumerate(marks):
                state = layer.run(x[:, n:mark], state).last
                largest[i], n = max(largest[i], float(state.abs().max())), mark
        named = {"panel": "states", "curve": f"{dt:g}"}
        n = np.union1d(np.geomspace(1, horizon, 200), marks)
        curves.append(curve(n, largest_state(n, dt), **named, kind="theory"))
        curves.append(curve(marks, largest, **named, kind="measured"))
    return curves


def growth_used(networks: int, seed: int, width: int = 6) -> list[pd.DataFrame]:
    """Return the norm of the one-step Jacobian less 1 over what is allowed, by what is allowed.

    Over weights of four sizes, each with 16 states in [−1, 1] and inputs; the largest of these counts.

    Parameters
    ----------
    networks, seed, width : int
        How many of each size, which, and their units.
    """
    curves = []
    for dt in STEPS:
        allowed, used = [], []
        for k in range(networks):
            layer = _net(width, dt, seed + k)
            with torch.no_grad():
                for p in layer.parameters():
                    p.mul_((0.5, 1.0, 3.0, 10.0)[k % 4])
            state = torch.from_numpy(np.random.default_rng((seed, k)).uniform(-1, 1, (16, 2 * width)))
            growth = _norm(jacobian(layer, _normal(16, 1, 1, seed=seed + k), state)).max() - 1
            allowed.append(allowed_growth(eta(layer), dt))
            used.append(float(growth) / allowed[-1])
        curves.append(curve(allowed, used, panel="growth", curve=f"{dt:g}", kind="measured"))
    return curves


def steps_of_the_flow(seed: int, width: int = 5, duration: float = 5.0) -> list[pd.DataFrame]:
    """Return how far steps of dt end from the solution of the ODE, and to first order should.

    Parameters
    ----------
    seed, width : int
        Which network, and its units.
    duration : float
        N Δt.
    """
    layer = _net(width, 1.0, seed)
    cell = weights(layer)
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(3.0)
        blocks = (cell.recurrent_weight, cell.input_weight, cell.input_bias + cell.recurrent_bias)
        flow = Flow(*(t.numpy() for t in blocks))
    end = flow.end(lambda t: np.sin([2 * t]), lambda t: 2 * np.cos([2 * t]), duration)
    counts = [5 * 2**k for k in range(11)]
    missed = []
    for count in counts:
        cell.dt = duration / count
        t = torch.arange(1, count + 1, dtype=torch.float64) * cell.dt
        with torch.no_grad():
            last = layer.run(torch.sin(2 * t)[None, :, None]).last[0].numpy()
        missed.append(float(np.abs(last - end.state).max()))
    dt = duration / np.array(counts)
    line = dt * np.abs(end.error).max()
    return [
        curve(dt, line, panel="flow", curve="error", kind="theory"),
        curve(dt, missed, panel="flow", curve="error", kind="measured"),
    ]


def over_lengths(lengths: Sequence[int], width: int, seed: int) -> list[pd.DataFrame]:
    """Return the norm of the Jacobian over N steps by N, for Δt = 1/N and for fixed Δt; and what is proven.

    Initial weights, normal inputs, zero starts. Where Δt = 1/N the least gain of any perturbation is there,
    too.

    Parameters
    ----------
    lengths : sequence of int
        N.
    width, seed : int
        Units, and which network.
    """
    size, lengths = eta(_net(width, 1.0, seed)), sorted(lengths)
    proven = [jacobian_bounds(size, 1 / n, n) for n in lengths]
    curves = [
        curve(lengths, [getattr(b, name) for b in proven], panel="lengths", curve=name, kind="theory")
        for name in ("lower", "norm", "upper")
    ]
    x, zero = _normal(1, max(lengths), 1, seed=seed), torch.zeros(1, 2 * width, dtype=torch.float64)
    scaled = [jacobian(_net(width, 1 / n, seed), x[:, :n], zero)[0] for n in lengths]
    least = [1 / float(_norm(torch.linalg.inv(J))) for J in scaled]
    measured = {"1/N": [float(_norm(J)) for J in scaled], "least gain": least}
    for dt in STEPS:
        layer = _net(width, dt, seed)
        measured[f"{dt:g}"] = [float(_norm(jacobian(layer, x[:, :n], zero)[0])) for n in lengths]
    return curves + [
        curve(lengths, norms, panel="lengths", curve=name, kind="measured")
        for name, norms in measured.items()
    ]


@torch.no_grad()
def frozen_gates(seed: int, width: int = 6, steps: int = 50) -> list[pd.DataFrame]:
    """Return how far y of a LEM with Δt = 1 and a bias b on both gates is from a network of tanh, by b.

    The recurrent weights of both goals are scaled to η = 0.9.

    Parameters
    ----------
    seed, width, steps : int
        Which network, its units, and over how many steps the largest distance is taken.
    """
    layer = _net(width, 1.0, seed)
    cell, x = weights(layer), _normal(1, steps, 1, seed=seed)
    for p in (cell.recurrent_weight, cell.input_weight, cell.recurrent_bias):
        p[: 2 * width] = 0
    cell.recurrent_weight[2 * width :] *= CONTRACTION / eta(layer)
    b = cell.input_bias + cell.recurrent_bias
    W_z, W_y = cell.recurrent_weight[2 * width :].chunk(2)
    V_z, V_y = cell.input_weight[2 * width :].chunk(2)
    Y, path = torch.zeros(1, width, dtype=torch.float64), []
    for u in x.unbind(1):
        z = torch.tanh(Y @ W_z.mT + u @ V_z.mT + b[2 * width : 3 * width])
        Y = torch.tanh(z @ W_y.mT + u @ V_y.mT + b[3 * width :])
        path.append(Y)
    biases, errors = np.arange(0, 33, 2.0), []
    for bias in biases.tolist():
        cell.input_bias[: 2 * width] = bias
        errors.append(float((layer.run(x).y - torch.stack(path, 1)).abs().max()))
    fine = np.union1d(np.linspace(0, 34, 100), biases)
    bound = [frozen_gate_error(bias, eta(layer), steps) for bias in fine.tolist()]
    return [
        curve(fine, bound, panel="gates", curve="error", kind="theory"),
        curve(biases, errors, panel="gates", curve="error", kind="measured"),
    ]


@torch.no_grad()
def time_constants() -> list[pd.DataFrame]:
    """Return the steps over which a unit without a goal keeps 1/e, by the bias of its gate."""
    curves, fine, biases = [], np.linspace(-14, 6, 201), np.arange(-14, 7, 2.0)
    for dt in STEPS:
        layer = _net(len(biases), dt, 0)
        for p in layer.parameters():
            p.zero_()
        weights(layer).input_bias[: len(biases)] = torch.from_numpy(biases)
        start = torch.ones(1, 2 * len(biases), dtype=torch.float64)
        kept = layer.run(torch.zeros(1, 10, 1, dtype=torch.float64), start).y[0, -1].numpy()
        named = {"panel": "constants", "curve": f"{dt:g}"}
        curves.append(curve(fine, time_constant(fine, dt), **named, kind="theory"))
        curves.append(curve(biases, -10 / np.log(kept), **named, kind="measured"))
    return curves


def _pendulum(state: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """Return angle and speed, ``(…, 2)``, a TICK later: first the speed changes, then the angle."""
    angle, speed = state[..., 0], state[..., 1]
    speed = speed + TICK * (torque - DRAG * speed - np.sin(angle))
    return np.stack([angle + TICK * speed, speed], -1)


@torch.no_grad()
def pendulum(widths: Sequence[int], seed: int, steps: int = 20) -> list[pd.DataFrame]:
    """Return how well networks of growing width are a damped pendulum, in one step and over many.

    Gates are frozen, z is `width` random features of the two components of y that are the state, halved, and
    W_y is fitted to them by least squares; other components of y are zero and feed nothing.

    Parameters
    ----------
    widths : sequence of int
        Units h.
    seed, steps : int
        Draws features, states and torques; and n.
    """
    random = np.random.default_rng(seed)
    box = random.uniform(-1.6, 1.6, (4000, 2))
    torque = random.uniform(-TORQUE, TORQUE, 4000)
    goals = np.arctanh(_pendulum(box, torque) / 2)
    drive = random.uniform(-TORQUE, TORQUE, (32, steps))
    true = [np.zeros((32, 2))]
    for k in range(steps):
        true.append(_pendulum(true[-1], drive[:, k]))
    # of the map in the largest component: of speed, then of angle
    lipschitz = max(1 - TICK * DRAG + TICK, 1 + TICK**2 + TICK * (1 - TICK * DRAG))
    at_once, in_all, bound = [], [], []
    for width in (widths := sorted(widths)):
        layer = _net(width, 1.0, seed)
        cell = weights(layer)
        for p in layer.parameters():
            p.zero_()
        cell.input_bias[: 2 * width] = ROUND
        draws = np.random.default_rng((seed, 1))
        look = FEATURES * draws.standard_normal((width, 4))
        z = np.tanh(box @ look[:, :2].T + torque[:, None] * look[:, 2] + look[:, 3])
        fitted = np.linalg.lstsq(z, goals, rcond=1e-13)[0].T
        cell.recurrent_weight[2 * width : 3 * width, :2] = torch.from_numpy(2 * look[:, :2])
        cell.input_weight[2 * width : 3 * width, 0] = torch.from_numpy(look[:, 2])
        cell.input_bias[2 * width : 3 * width] = torch.from_numpy(look[:, 3])
        cell.recurrent_weight[3 * width : 3 * width + 2] = torch.from_numpy(fitted)
        y = 2 * layer.run(torch.from_numpy(drive)[..., None]).y[..., :2].numpy()
        path = np.concatenate([np.zeros((32, 1, 2)), y], 1)
        step = np.abs(y - _pendulum(path[:, :-1], drive)).max()
        at_once.append(float(step))
        in_all.append(float(np.abs(y - np.stack(true[1:], 1)).max()))
        bound.append(accumulated_error(at_once[-1], lipschitz, steps))
    return [
        curve(widths, bound, panel="pendulum", curve="all", kind="theory"),
        curve(widths, in_all, panel="pendulum", curve="all", kind="measured"),
        curve(widths, at_once, panel="pendulum", curve="one", kind="measured"),
    ]
