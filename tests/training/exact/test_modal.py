"""The closed expected losses of state space layers against torch's derivatives of their memories."""

import itertools

import numpy as np
import pytest
import torch

from curse_of_memory.losses import TemporallyWeightedMSE
from curse_of_memory.nn import S4D, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS
from curse_of_memory.training.exact.expected_loss import ExpectedLoss, NaiveExpectedLoss
from curse_of_memory.training.exact.modal import _mean_exponential, modal_case

EPS = float(np.finfo(float).eps)


def random_weights(model, seed=0):
    """Give the model other weights than it starts with, so that none is zero."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p += 0.1 * torch.randn(p.shape, generator=random, dtype=torch.float64)
    return model


def layer(kind, dt=1.0, **options):
    if kind == "S4D":
        settings = {"step": (0.03, 0.3), "skip": True} | options
        return random_weights(S4D(1, 6, dt=dt, seed=1, dtype=torch.float64, **settings))
    return random_weights(SSM(6, dt=dt, seed=1, dtype=torch.float64, **options))


def task(horizon=40, **options):
    return LinearFunctional(lambda t: (1 + t) ** -1.1, horizon, **options)


def assert_routes_agree(model, problem, loss, k=64):
    """Closed, and differentiated by torch: within `k` roundings of the largest number for each step."""
    assert modal_case(model, problem, loss)
    closed, naive = ExpectedLoss(model, problem, loss), NaiveExpectedLoss(model, problem, loss)
    theta, T = closed.start, problem.horizon
    (value, gradient), (other, slope) = (route.value_and_gradient(theta) for route in (closed, naive))
    assert value == pytest.approx(other, rel=k * T * EPS)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=k * T * EPS * np.abs(slope).max())
    # without a bias, torch's residuals of the offset are zeros
    for mine, theirs in (
        (closed.residuals(theta), naive.residuals(theta)),
        (closed.jacobian(theta), naive.jacobian(theta)),
    ):
        assert len(mine) in (T, 2 * T)
        assert not theirs[len(mine) :].any()
        np.testing.assert_allclose(mine, theirs[: len(mine)], rtol=0, atol=k * T * EPS * np.abs(theirs).max())


@pytest.mark.parametrize("kind", ["SSM", "S4D"])
@pytest.mark.parametrize("initial", ["real", "s4d-lin", "lru"])
@pytest.mark.parametrize("discretization", ["zoh", "bilinear", "euler"])
def test_every_rule_and_start(kind, initial, discretization):
    model = layer(kind, 0.5, initial=initial, discretization=discretization, parameterization="exp")
    assert_routes_agree(model, task(dt=0.5), TemporallyWeightedMSE())


@pytest.mark.parametrize("kind", ["SSM", "S4D"])
@pytest.mark.parametrize("initial", ["real", "lru"])
@pytest.mark.parametrize("parameterization", list(REPARAMETERIZATIONS))
def test_every_parameterization(kind, initial, parameterization):
    assert_routes_agree(
        layer(kind, initial=initial, parameterization=parameterization), task(), TemporallyWeightedMSE()
    )


PARTS = [
    *(("SSM", {"bias": bias, "skip": skip}) for bias, skip in itertools.product([True, False], repeat=2)),
    *(
        ("S4D", {"skip": skip, "step": step})
        for skip, step in itertools.product([True, False], [None, (0.1, 1)])
    ),
]


@pytest.mark.parametrize(("kind", "parts"), PARTS, ids=str)
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
def test_every_part_weight_and_input(kind, parts, inputs):
    model = layer(kind, 0.25, **parts)
    for loss in (TemporallyWeightedMSE(2), TemporallyWeightedMSE(np.inf)):
        assert_routes_agree(model, task(dt=0.25, inputs=inputs, variance=3.0), loss)


@pytest.mark.parametrize("horizon", [1, 2])
def test_one_lag_or_two(horizon):
    assert_routes_agree(layer("SSM"), task(horizon), TemporallyWeightedMSE())


@pytest.mark.parametrize("u", [0.0, 1e-9, 0.4999, 0.5, -3.0, 0.3j, 2j, -0.35 + 0.35j])
def test_the_mean_exponential_and_its_slope_are_those_of_high_precision(u):
    mpmath = pytest.importorskip("mpmath")
    mean, slope = _mean_exponential(np.array([u]))
    with mpmath.workdps(40):
        exact = mpmath.taylor(lambda x: mpmath.hyp1f1(1, 2, x), u, 1)
    # beyond one half in size a difference of numbers around it loses two digits at most
    assert abs(mean[0] - complex(exact[0])) < 16 * EPS
    assert abs(slope[0] - complex(exact[1])) < 32 * EPS


def test_a_layer_of_ones_own_is_left_to_torch():
    class Own(SSM):
        pass

    model, problem, loss = Own(2, dtype=torch.float64), task(), TemporallyWeightedMSE()
    assert modal_case(model, problem, loss) is None
    assert np.isfinite(ExpectedLoss(model, problem, loss).jacobian(ExpectedLoss(model, problem).start)).all()
