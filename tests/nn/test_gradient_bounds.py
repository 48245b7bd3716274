"""The bound of theorem 3.6 with its constant: no gradient is above it, and a constant input attains it."""

import math

import pytest
import torch

from curse_of_memory.nn import S4D
from curse_of_memory.nn.gradient_bounds import GradientBound, largest_ratio, reach
from curse_of_memory.theory.reparameterization import get

MAPS = ("direct", "relu", "softplus", "exp", "tanh", "best")
KINDS = {
    "real": {"initial": "real", "step": None},
    "real with clocks": {"initial": "real", "step": (0.1, 10.0)},
    "pairs": {"initial": "lru", "step": None, "ring": (0.5, 0.99, 3.0)},
    "pairs with clocks": {"initial": "s4d-lin", "step": (0.05, 0.5)},
}


def layer(name, kind, seed=0):
    return S4D(3, 4, parameterization=name, seed=seed, dtype=torch.float64, dt=0.5, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAPS)
def test_no_gradient_is_above_its_bound(name, kind):
    for seed in range(5):
        model = layer(name, kind, seed)
        recorded = GradientBound(model)
        x = torch.randn(2, 40, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
        (model(x).sin() * x.roll(1, 1)).sum().backward()
        bound = recorded.constant() * reach(model)
        assert (model.recurrent_weight.grad.abs() <= bound).all()
        assert (model.recurrent_weight.grad.abs() > 1e-9 * bound).any()  # and it is of the same gradients


@pytest.mark.parametrize("kind", ["real", "real with clocks"])
@pytest.mark.parametrize("name", MAPS)
def test_a_constant_input_attains_the_bound_at_the_last_step(name, kind):
    """The derivatives of K have one sign; what is beyond T is e^{−60} of the slowest mode."""
    model = layer(name, kind)
    z = model.multipliers()[0]
    horizon = math.ceil(60 / (1 - z.max().item()))
    recorded = GradientBound(model)
    model(torch.full((1, horizon, 3), -2.0, dtype=torch.float64))[0, -1].sum().backward()
    bound = recorded.constant() * reach(model)
    # the FFT rounds relative to the largest of its numbers: 1e-9 leaves it a factor 1e6 of eps
    torch.testing.assert_close(model.recurrent_weight.grad.abs(), bound, rtol=1e-9, atol=1e-9 * bound.max())


def test_the_reach_is_that_of_the_map_and_sees_the_sign_of_a_multiplier():
    model = layer("exp", "real")
    expected = get("exp").gradient_over_weight(model.recurrent_weight.detach())
    torch.testing.assert_close(reach(model), expected, rtol=1e-12, atol=0)
    model = S4D(1, 2, parameterization="tanh", initial="real", step=None, dtype=torch.float64)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.7, -0.7]]))
    positive, negative = reach(model)[0]
    assert negative == pytest.approx(positive.item(), rel=1e-12)


def test_modes_that_do_not_decay_have_no_bound_and_those_that_do_nothing_no_gradient():
    model = S4D(1, 2, parameterization="relu", initial="real", step=None)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.5, -0.5]]))
    assert reach(model).tolist() == [[4.0, 0.0]]
    model = S4D(1, 2, parameterization="direct", initial="real", step=None)
    with torch.no_grad():
        model.recurrent_weight.copy_(torch.tensor([[0.5, -0.5]]))
    assert reach(model).tolist() == [[math.inf, 4.0]]


def test_a_validation_in_between_leaves_what_was_seen():
    model = layer("exp", "real")
    recorded = GradientBound(model)
    with pytest.raises(RuntimeError, match="backward"):
        recorded.constant()
    model(torch.ones(1, 5, 3, dtype=torch.float64)).sum().backward()
    seen = recorded.constant()
    with torch.no_grad():
        model(torch.full((1, 5, 3), 9.0, dtype=torch.float64))
    assert torch.equal(recorded.constant(), seen)
    model(torch.full((1, 5, 3), 2.0, dtype=torch.float64)).sum().backward()
    torch.testing.assert_close(recorded.constant(), 2 * seen)


def test_the_largest_ratio_is_over_all_layers_and_leaves_out_what_has_no_gradient():
    layers = [S4D(1, 2, parameterization="exp", initial="real", step=None) for _ in range(2)]
    for model, weights, gradients in zip(
        layers, ([-2.0, 0.5], [4.0, 0.0]), ([1.0, -2.0], [3.0, 0.0]), strict=True
    ):
        with torch.no_grad():
            model.recurrent_weight.copy_(torch.tensor([weights]))
        model.recurrent_weight.grad = torch.tensor([gradients])
    assert largest_ratio(layers) == 4.0
    layers[0].recurrent_weight.grad.zero_()
    assert largest_ratio(layers) == 0.75
    layers[1].recurrent_weight.grad.zero_()
    assert largest_ratio(layers) == 0.0


@pytest.mark.parametrize("rule", ["euler", "bilinear"])
def test_another_discretisation_has_no_such_bound_and_is_refused(rule):
    """Of z = 1 − 1.9 Euler's K_s = z^s has Σ s |z|^{s−1} = 1/(1 − |z|)² = 100, where 1/f² is 0.28."""
    model = S4D(1, 1, parameterization="direct", initial=[-1.9], step=None, discretization=rule)
    model = model.double()
    with pytest.raises(ValueError, match="'zoh', got"):
        reach(model)
    if rule == "euler":
        s = torch.arange(1, 400, dtype=torch.float64)
        z = model.multipliers()[0].item()
        assert (s * abs(z) ** (s - 1)).sum().item() == pytest.approx(100, rel=1e-4)
