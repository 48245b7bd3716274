"""Bounds of LEM against mpmath, fractions, and Jacobians by automatic differentiation of a naive step."""

import math
from fractions import Fraction

import mpmath
import numpy as np
import pytest
import torch

from curse_of_memory.theory.long_expressive import (
    accumulated_error,
    allowed_growth,
    frozen_gate_error,
    jacobian_bounds,
    largest_state,
    time_constant,
)


def naive_step(W, V, b, dt, state, u):
    """Return y and z one step on, written from the equations; blocks: gates of y, z, goals of z, y."""
    y, z = state.chunk(2)
    h = len(y)
    W, drive = W.split(h), (V @ u + b).split(h)
    gate_y, gate_z = (dt * torch.sigmoid(W[i] @ y + drive[i]) for i in (0, 1))
    z = (1 - gate_z) * z + gate_z * torch.tanh(W[2] @ y + drive[2])
    y = (1 - gate_y) * y + gate_y * torch.tanh(W[3] @ z + drive[3])
    return torch.cat([y, z])


def net(seed, h=3, scale=1.0):
    random = torch.Generator().manual_seed(seed)
    W, V, b = (
        scale * torch.randn(*s, generator=random, dtype=torch.float64)
        for s in ((4 * h, h), (4 * h, 2), (4 * h,))
    )
    return W, V, b, float(W.abs().sum(1).max())


def norm(J):
    return float(J.abs().sum(1).max())


@pytest.mark.parametrize("dt", [1.0, 0.3, 1e-3, 1e-12])
@pytest.mark.parametrize("n", [0, 1, 7, 10**6])
def test_the_largest_state_to_the_last_digit(dt, n):
    with mpmath.workdps(50):
        exact = float(1 - (1 - mpmath.mpf(dt)) ** n)
    assert largest_state(n, dt) == pytest.approx(exact, rel=1e-14)


def test_the_largest_state_is_attained_by_open_gates_and_a_goal_of_one():
    dt, state = Fraction(3, 10), Fraction(0)
    for n in range(1, 20):
        state += dt * (1 - state)
        assert largest_state(n, 0.3) == pytest.approx(float(state), rel=1e-14)


@pytest.mark.parametrize("dt", [1.0, 0.3, 0.01])
@pytest.mark.parametrize("scale", [0.2, 1.0, 5.0])
def test_no_jacobian_is_outside_of_its_bounds(dt, scale):
    for seed in range(10):
        W, V, b, eta = net(seed, scale=scale)
        state = torch.rand(6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1
        J = torch.eye(6, dtype=torch.float64)
        for n in range(1, 9):
            u = torch.full((2,), math.sin(n), dtype=torch.float64)
            one = torch.autograd.functional.jacobian(
                lambda s, W=W, V=V, b=b, u=u: naive_step(W, V, b, dt, s, u), state, vectorize=True
            )
            assert norm(one) <= 1 + allowed_growth(eta, dt)
            state, J = naive_step(W, V, b, dt, state, u), one @ J
            bounds = jacobian_bounds(eta, dt, n)
            assert bounds.norm <= norm(J) <= bounds.upper
            assert norm(J - torch.eye(6, dtype=torch.float64)) <= bounds.departure
            if bounds.lower:
                assert 1 / norm(torch.linalg.inv(J)) >= bounds.lower
    assert (bounds.lower > 0) == (dt * (1 + eta / 2) < 1)


def test_over_half_of_the_allowed_growth_can_be_used():
    eta, dt = 100.0, 1e-4
    W, V = torch.full((4, 1), eta, dtype=torch.float64), torch.zeros(4, 1, dtype=torch.float64)
    # gates and goals near where σ̂'(c) (1 + tanh a) + σ̂(c)/cosh² a is largest
    b = torch.tensor([0.8, 0.8, 0.15, 0.15 + eta], dtype=torch.float64)
    start, u = torch.tensor([0.0, -1.0], dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    J = torch.autograd.functional.jacobian(lambda s: naive_step(W, V, b, dt, s, u), start)
    assert 0.55 < (norm(J) - 1) / allowed_growth(eta, dt) <= 1


@pytest.mark.parametrize("eta", [0.0, 0.7, 4.0])
def test_for_small_steps_the_bounds_depend_on_the_time_alone(eta):
    T, n = 1.3, 10**7
    bounds = jacobian_bounds(eta, T / n, n)
    expected = (-T * (1 + 1.5 * eta), -T * (1 + eta / 4), 1.5 * eta * T, (1 + 1.5 * eta) * T)
    exact = [math.exp(e) for e in expected[:3]] + [math.expm1(expected[3])]
    np.testing.assert_allclose(bounds, exact, rtol=1e-5)


def test_where_steps_are_large_nothing_keeps_a_gradient():
    bounds = jacobian_bounds(3.0, 1.0, 1000)
    assert (bounds.lower, bounds.norm, bounds.upper, bounds.departure) == (0, 0, math.inf, math.inf)


@pytest.mark.parametrize("L", [0.0, 0.5, 1.0, 1.0000001, 1.5])
def test_errors_add_up_as_a_geometric_sum(L):
    exact = sum(Fraction(0.1) * Fraction(L) ** k for k in range(30))
    assert accumulated_error(0.1, L, 30) == pytest.approx(float(exact), rel=1e-9)
    assert accumulated_error(0.0, L, 30) == 0


@pytest.mark.parametrize("bias", [-800.0, -3.0, 0.0, 20.0, 800.0])
def test_frozen_gates_leave_what_the_logistic_function_leaves(bias):
    with mpmath.workdps(50):
        exact = float(
            2 * mpmath.mpf(1.5) / (1 + mpmath.exp(bias)) * sum(mpmath.mpf(0.25) ** k for k in range(9))
        )
    assert frozen_gate_error(bias, 0.5, 9) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("bias", [0.0, 3.0, 12.0])
def test_a_net_with_frozen_gates_is_within_the_bound_of_one_of_tanh(bias):
    for seed in range(10):
        W, V, b, _ = net(seed)
        W[:6], V[:6], b[:6] = 0, 0, bias
        W = 0.9 * W / W.abs().sum(1).max()
        state, Y = torch.zeros(6, dtype=torch.float64), torch.zeros(3, dtype=torch.float64)
        for n in range(1, 20):
            u = torch.full((2,), math.cos(n), dtype=torch.float64)
            state, drive = naive_step(W, V, b, 1.0, state, u), V @ u + b
            Y = torch.tanh(W[9:] @ torch.tanh(W[6:9] @ Y + drive[6:9]) + drive[9:])
            assert (state[:3] - Y).abs().max() <= frozen_gate_error(bias, 0.9, n)


@pytest.mark.parametrize("dt", [1.0, 0.999, 0.1, 1e-9])
@pytest.mark.parametrize("bias", [-300.0, -10.0, 0.0, 0.1, 10.0, 60.0])
def test_time_constants_to_the_last_digits(dt, bias):
    with mpmath.workdps(200):
        exact = float(-1 / mpmath.log(1 - mpmath.mpf(dt) / (1 + mpmath.exp(-mpmath.mpf(bias)))))
    assert time_constant(bias, dt) == pytest.approx(exact, rel=1e-12)


def test_the_ends_of_the_time_constants():
    assert time_constant([-800.0, 800.0], 1.0).tolist() == [math.inf, 0.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: largest_state([-1.0], 0.1), "steps must not be negative"),
        (lambda: largest_state([1.0], 1.5), r"dt must be in \(0, 1\]"),
        (lambda: jacobian_bounds(-1.0, 0.1, 3), "eta must"),
        (lambda: jacobian_bounds(1.0, 0.1, 0), "steps must be at least 1"),
        (lambda: accumulated_error(0.1, -1.0, 3), "lipschitz must"),
        (lambda: time_constant(0.0, 0.0), "dt must"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
