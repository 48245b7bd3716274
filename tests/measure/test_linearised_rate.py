"""The rate at a fixed point, against closed forms."""

import itertools
import math

import pytest
import torch

from curse_of_memory.experiments.random_stacks import STACKS
from curse_of_memory.measure import linearised_rate
from curse_of_memory.nn import RNN, SSM
from curse_of_memory.nn.recurrent.gates import ElmanRNN


def test_the_rate_of_a_linear_network_is_its_slowest_mode():
    model = RNN(6, seed=0, dtype=torch.float64)
    largest = torch.linalg.eigvals(torch.eye(6) + model.recurrence()).abs().max().item()
    # an eigenvalue of a symmetric matrix of norm one, found from rounded entries
    assert linearised_rate(model, (0.3,)) == pytest.approx(-math.log(largest), rel=1e-9)


def test_the_jacobian_is_that_at_the_fixed_point():
    """One tanh unit: h = tanh(u x + w h), β = −log |w (1 − h²)|, smaller where h is nearer to zero."""
    model = ElmanRNN(1, dtype=torch.float64)
    for name, value in {
        "weight_hh_l0": 0.9,
        "weight_ih_l0": 1.0,
        "bias_hh_l0": 0.0,
        "bias_ih_l0": 0.2,
    }.items():
        getattr(model.network, name).data.fill_(value)
    rates = []
    for x in (0.0, 0.5):
        h = 0.0
        for _ in range(4000):
            h = math.tanh(x + 0.2 + 0.9 * h)
        rates.append(-math.log(0.9 * (1 - h * h)))
        assert linearised_rate(model, (x,)) == pytest.approx(rates[-1], rel=1e-9)
    assert linearised_rate(model, (0.5, 0.0)) == pytest.approx(min(rates), rel=1e-9)


def test_what_does_not_settle_has_no_rate():
    """w = −2 has no stable fixed point: h goes round a cycle of two."""
    model = ElmanRNN(1, dtype=torch.float64)
    for name, value in {
        "weight_hh_l0": -2.0,
        "weight_ih_l0": 1.0,
        "bias_hh_l0": 0.0,
        "bias_ih_l0": 0.1,
    }.items():
        getattr(model.network, name).data.fill_(value)
    assert math.isnan(linearised_rate(model, (0.0,)))


@pytest.mark.parametrize("kind", STACKS)
def test_deeper_stacks_begin_with_the_shallower_ones_and_are_no_faster(kind):
    rates = [linearised_rate(STACKS[kind](6, layers, 3), (1.0,)) for layers in (1, 2, 3)]
    assert rates[0] > 0
    assert all(deep <= shallow * (1 + 1e-9) for shallow, deep in itertools.pairwise(rates))


def test_a_trained_model_keeps_its_gradients():
    model = ElmanRNN(4, seed=0)
    fresh = linearised_rate(model, (0.3,))
    model(torch.ones(2, 5, 1)).sum().backward()
    gradients = [(p.grad, p.grad.clone()) for p in model.parameters()]
    assert linearised_rate(model, (0.3,)) == fresh
    for p, (same, values) in zip(model.parameters(), gradients, strict=True):
        assert p.grad is same
        assert torch.equal(p.grad, values)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_model_is_left_as_it_was(dtype):
    model = RNN(3, activation="tanh", seed=0, dtype=dtype).train()
    before = [(p.dtype, p.detach().clone()) for p in model.parameters()]
    rate = linearised_rate(model, (0.3,))
    assert rate == linearised_rate(RNN(3, activation="tanh", seed=0, dtype=dtype).double(), (0.3,))
    assert model.training
    for (kind, values), p in zip(before, model.parameters(), strict=True):
        assert p.dtype == kind
        assert torch.equal(p, values)
        assert p.grad is None


@pytest.mark.parametrize(
    ("model", "inputs", "kind", "message"),
    [
        (torch.nn.Linear(1, 1), (0.0,), TypeError, "model must have diagonal modes, or run"),
        (SSM, (0.0,), TypeError, "model must be a torch.nn.Module"),
        (SSM(4), (), ValueError, "inputs must not be empty"),
        (SSM(4), (math.nan,), ValueError, "inputs must be finite"),
    ],
)
def test_bad_input_is_refused(model, inputs, kind, message):
    with pytest.raises(kind, match=message):
        linearised_rate(model, inputs)
