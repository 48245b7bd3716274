"""Norms of an error on a grid and on the half line, against the losses and closed forms."""

import math

import mpmath
import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.theory import bias, targets
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.stability.error_norms import on_steps
from curse_of_memory.theory.stability.half_line import half_line

EPS = np.finfo(float).eps
RHO = targets.polynomial(1.5)


def size(rows):
    return float(rows.norm(rows.y))


def whole(line):
    return math.hypot(size(line.rows), line.tail) if line.rows.order == 2 else size(line.rows) + line.tail


@pytest.mark.parametrize("p", [None, 0, 2])
def test_expected_is_the_root_of_the_expected_loss(p):
    values = np.array([1.0, -0.5, 0.3, 0.2])
    weight = None if p is None else bias.power(p)
    loss = TemporallyWeightedMSE(power=p or 0).expected(torch.from_numpy(values)[:, None, None], dt=0.5)
    assert size(on_steps(values, "expected", 4, 0.5, weight)) ** 2 == pytest.approx(float(loss), rel=16 * EPS)


def test_expected_takes_the_bias_as_numbers():
    values, b = np.array([1.0, -0.5, 0.3, 0.2]), np.array([4.0, 3.0, 2.0, 1.0])
    by_numbers, by_bias = (size(on_steps(values, "expected", 4, 0.5, w)) for w in (b, bias.power(0)))
    assert by_numbers == pytest.approx(by_bias, rel=8 * EPS)


def test_norms_on_a_grid_are_their_sums():
    values, dt = np.array([1.0, -0.5, 0.25]), 0.5
    assert size(on_steps(values, "l1", 3, dt)) == pytest.approx(dt * 1.75, rel=4 * EPS)
    assert size(on_steps(values, "l2", 3, dt)) == pytest.approx(math.sqrt(dt * 1.3125), rel=4 * EPS)
    assert size(on_steps(values, "w1", 3, dt)) == pytest.approx(dt * 1.75 + 1.0 + 1.5 + 0.75, rel=4 * EPS)
    weighted = size(on_steps(values, "l2", 3, dt, [2.0, 0.0, 1.0]))
    assert weighted == pytest.approx(math.sqrt(dt * 2.0625), rel=4 * EPS)


def test_the_half_line_norms_of_a_power_law():
    # ρ = (1 + t)^{−3/2}: ∫ρ = 2, ∫ρ² = 1/2, ∫|ρ'| = ρ(0) = 1
    for norm, exact in (("l1", 2.0), ("l2", math.sqrt(0.5)), ("w1", 4.0)):
        line = half_line(RHO, norm, 0.01, 2.0)
        assert whole(line) == pytest.approx(exact, rel=1e-10)  # of one sign: cells hide nothing


def test_the_half_line_norm_of_a_sum_is_a_gram_matrix():
    rates, c = np.array([0.05, 0.7, 3.0]), np.array([1.0, -2.0, 0.5])
    line = half_line(ExponentialSum(rates=rates, coefficients=c, error=0.0, dt=1.0), "l2", 0.1, 1.0)
    gram = mpmath.matrix([[1 / (mpmath.mpf(a) + mpmath.mpf(b)) for b in rates] for a in rates])
    exact = mpmath.sqrt((mpmath.matrix(list(c)).T * gram * mpmath.matrix(list(c)))[0])
    assert whole(line) == pytest.approx(float(exact), rel=1e-12)


def test_modes_beyond_the_stop_are_accounted_for():
    line = half_line(RHO, "w1", 0.1, 1.0)
    assert line is not None
    rate, stop = 0.1, line.stop
    exact = mpmath.quad(lambda t: (1 + rate) * mpmath.exp(-rate * t), [stop, mpmath.inf])
    assert not isinstance(exact, tuple)  # with an estimate of the error it were
    assert line.mode_tail(rate) == pytest.approx(float(exact), rel=1e-9)


def test_norms_that_do_not_exist_are_none():
    assert half_line(targets.sine(), "l2", 0.1, 1.0) is None
    assert half_line(targets.polynomial(0.9), "l1", 0.1, 1.0) is None
    assert half_line(targets.polynomial(0.9), "l2", 0.1, 1.0) is not None


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: on_steps(np.ones(3), "l2", 4, 1.0), ValueError, "one value per lag, horizon=4, got 3"),
        (lambda: on_steps(np.ones(3), "l2", 0, 1.0), ValueError, "horizon must be at least 1"),
        (lambda: on_steps([1.0, math.nan], "l2", 2, 1.0), ValueError, "rho must be finite"),
        (
            lambda: on_steps(RHO.on_grid(4, 0.5), "l2", 4, 1.0),
            ValueError,
            "rho and dt must agree in their step, got 0.5 and 1",
        ),
        (lambda: on_steps(np.ones(3), "l1", 3, 1.0, np.ones(3)), ValueError, "weight goes with norm='l2'"),
        (lambda: on_steps(np.ones(3), "l2", 3, 1.0, np.ones(2)), ValueError, "one value per lag, 3"),
        (lambda: on_steps(np.ones(3), "l2", 3, 1.0, -np.ones(3)), ValueError, "non-negative"),
        (lambda: half_line(np.ones(3), "l2", 0.1, 1.0), TypeError, r"rho on all of \[0, ∞\)"),
        (lambda: half_line(RHO, "expected", 0.1, 1.0), ValueError, "over a number of steps"),
        (lambda: half_line(targets.shift(), "w1", 0.1, 1.0), ValueError, "differentiable formula"),
    ],
)
def test_bad_input_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()
