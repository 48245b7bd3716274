"""The expected loss as a function of the weights: closed derivatives against torch's, and against data."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.losses import TemporallyWeightedMAE, TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory.reparameterization import REPARAMETERIZATIONS, Reparameterization
from curse_of_memory.training.batched.group import Members
from curse_of_memory.training.batched.losses import ExpectedLosses
from curse_of_memory.training.exact.compiled import compiled_case
from curse_of_memory.training.exact.expected_loss import ExpectedLoss, NaiveExpectedLoss

EPS = float(np.finfo(float).eps)


def network(width=4, **options):
    model = RNN(width, **({"seed": 0, "dtype": torch.float64} | options))
    if model.bias is not None:
        torch.nn.init.uniform_(model.bias, -0.5, 0.5, generator=torch.Generator().manual_seed(1))
    return model


def task(horizon=20, **options):
    return LinearFunctional(lambda t: (1 + t) ** -1.1, horizon, **options)


def assert_routes_agree(model, task, loss, k=64):
    """Compiled, and differentiated by torch: within `k` roundings of the largest number for each step."""
    assert compiled_case(model, task, loss)
    exact, plain = ExpectedLoss(model, task, loss), NaiveExpectedLoss(model, task, loss)
    theta, T = exact.start, task.horizon
    (value, gradient), (other, slope) = (route.value_and_gradient(theta) for route in (exact, plain))
    assert value == pytest.approx(other, rel=k * T * EPS)
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=k * T * EPS * np.abs(slope).max())
    # without a bias, torch's residuals of the offset are zeros
    count = T * (1 if model.bias is None else 2)
    for mine, theirs in (
        (exact.residuals(theta), plain.residuals(theta)),
        (exact.jacobian(theta), plain.jacobian(theta)),
    ):
        assert len(mine) == count
        assert not theirs[count:].any()
        np.testing.assert_allclose(mine, theirs[:count], rtol=0, atol=k * T * EPS * np.abs(theirs).max())


@pytest.mark.slow
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("parameterization", list(REPARAMETERIZATIONS))
def test_every_parameterization(parameterization, diagonal, bias):
    model = network(parameterization=parameterization, diagonal=diagonal, bias=bias, dt=0.5)
    assert_routes_agree(model, task(dt=0.5), TemporallyWeightedMSE())


@pytest.mark.parametrize("diagonal", [True, False])
@pytest.mark.parametrize("inputs", ["white", "random_walk"])
@pytest.mark.parametrize(
    "loss",
    [
        TemporallyWeightedMSE(2),
        TemporallyWeightedMSE(1, form="inside_square"),
        TemporallyWeightedMSE(np.inf),
        TemporallyWeightedMSE(weight=lambda t: 1 + np.sin(t) ** 2),
    ],
    ids=str,
)
def test_every_weight_and_input(loss, inputs, diagonal):
    problem = task(dt=0.25, inputs=inputs, variance=3.0)
    assert_routes_agree(network(diagonal=diagonal, dt=0.25, parameterization="exp"), problem, loss)


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 9),
    horizon=st.integers(1, 30),
    seed=st.integers(0, 100),
    diagonal=st.booleans(),
    bias=st.booleans(),
    inputs=st.sampled_from(["white", "random_walk"]),
    parameterization=st.sampled_from(["direct", "softplus", "best", "lru"]),
)
def test_every_size(width, horizon, seed, diagonal, bias, inputs, parameterization):
    model = network(width, seed=seed, diagonal=diagonal, bias=bias, parameterization=parameterization)
    assert_routes_agree(model, task(horizon, inputs=inputs), TemporallyWeightedMSE(1))


def test_a_map_of_ones_own_is_differentiated_too():
    own = Reparameterization("quadratic", lambda x, w: -(w**2) / 2, free=lambda x, v: x.sqrt(-2 * v))
    assert_routes_agree(network(parameterization=own), task(), TemporallyWeightedMSE())


def test_it_is_the_loss_on_an_ensemble_with_the_moments_of_white_noise():
    """The mean over ±√T e_k has mean zero and covariance one: no sampling error is left."""
    T, loss, model = 12, TemporallyWeightedMSE(1), network(diagonal=False)
    eye = T**0.5 * torch.eye(T, dtype=torch.float64)
    x = torch.cat([eye, -eye])
    value = loss(model(x[..., None]), task(T).answer(x)[..., None])
    gradients = torch.autograd.grad(value, list(model.parameters()))
    exact = ExpectedLoss(model, task(T), loss)
    mine, gradient = exact.value_and_gradient(exact.start)
    assert mine == pytest.approx(value.item(), rel=64 * T * EPS)
    for (name, found), expected in zip(exact.by_name(gradient).items(), gradients, strict=True):
        assert model.get_parameter(name).shape == expected.shape
        atol = 64 * T * EPS * expected.abs().max().item()
        np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


def test_a_gradient_step_goes_down_and_can_be_written_to_the_model():
    model = network(diagonal=True, dtype=torch.float32)
    exact = ExpectedLoss(model, task())
    value, gradient = exact.value_and_gradient(exact.start)
    after = exact.start - 1e-3 * gradient
    lower, other = exact.value_and_gradient(after)
    assert lower < value
    assert not np.shares_memory(gradient, other)  # the next call leaves the answer of the last alone
    before = exact.start.copy()
    exact.write(after)
    assert np.array_equal(exact.start, before)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    written = torch.cat([p.detach().flatten() for p in model.parameters()]).numpy()
    assert np.array_equal(written, after.astype(np.float32))


class Twice(RNN):
    """A linear network that answers in its own way."""

    def kernel(self, horizon, parameters=None):
        return 2 * super().kernel(horizon, parameters)

    def offset(self, horizon, parameters=None):
        return 2 * super().offset(horizon, parameters)

    def forward(self, x):
        return 2 * super().forward(x)


def test_other_linear_models_are_differentiated_by_torch():
    model = Twice(3, diagonal=True, bias=False, seed=0, dtype=torch.float64)
    same = network(3, diagonal=True, bias=False)
    same.output_weight.data *= 2
    assert not compiled_case(model, task(), TemporallyWeightedMSE())
    found, expected = ExpectedLoss(model, task()), ExpectedLoss(same, task())
    value, gradient = found.value_and_gradient(found.start)
    other, slope = expected.value_and_gradient(expected.start)
    assert value == pytest.approx(other, rel=64 * 20 * EPS)
    slope = np.concatenate([slope[:6], 2 * slope[6:]])  # by an output weight that counts twice
    np.testing.assert_allclose(gradient, slope, rtol=0, atol=64 * 20 * EPS * np.abs(slope).max())
    assert found.jacobian(found.start).shape == (40, 9)


@pytest.mark.parametrize("diagonal", [True, False])
def test_an_unstable_model_has_no_finite_loss(diagonal):
    exact = ExpectedLoss(network(diagonal=diagonal), task(100))
    value, _ = exact.value_and_gradient(1e10 * exact.start)
    assert not np.isfinite(value)
    assert not np.isfinite(exact.residuals(1e10 * exact.start)).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    ("diagonal", "parameterization"), [(True, "exp"), (False, "direct"), (False, "best")]
)
def test_stacked_models_have_the_losses_and_gradients_of_torch(diagonal, parameterization, dtype):
    options = {"diagonal": diagonal, "parameterization": parameterization, "dtype": dtype}
    models = [network(seed=seed, **options) for seed in range(3)]
    weights = {
        name: torch.stack([m.get_parameter(name).detach() for m in models]).requires_grad_()
        for name, _ in models[0].named_parameters()
    }
    losses = [TemporallyWeightedMSE(p) for p in (0, 2, 0)]
    kind = [copy.deepcopy(models[0])] * 3
    everyone, engine = Members(kind, weights, losses, [0] * 3), ExpectedLosses(task())
    factors = torch.tensor([1.0, -2.0, 0.5], dtype=dtype)
    by_route = []
    for values in (engine.training(everyone, 0), engine._by_torch(everyone)):
        assert values.dtype == dtype
        by_route.append([values, *torch.autograd.grad((factors * values).sum(), list(weights.values()))])
    for mine, other in zip(*by_route, strict=True):
        atol = 64 * 20 * torch.finfo(dtype).eps * other.detach().abs().max().item()
        torch.testing.assert_close(mine, other, rtol=0, atol=atol)


@pytest.mark.parametrize(
    ("model", "options", "kind", "message"),
    [
        (network(activation="tanh"), {}, TypeError, "must be linear and give its kernel"),
        (torch.nn.GRU(1, 1), {}, TypeError, "must be linear and give its kernel"),
        (
            network(),
            {"loss": TemporallyWeightedMAE()},
            TypeError,
            "loss must be .* expected.*MAE",
        ),
        (network(dt=0.5), {}, ValueError, "must share dt"),
        (network(input_size=2), {}, ValueError, "one channel in and one out"),
        (Twice(2, output_size=2), {}, ValueError, "one channel in and one out"),
    ],
)
def test_bad_input_is_refused(model, options, kind, message):
    with pytest.raises(kind, match=message):
        ExpectedLoss(model, task(), **options)
