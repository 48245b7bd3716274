"""Gradients over the lag: against closed forms, and against Jacobians taken one entry at a time."""

import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn import RNN
from curse_of_memory.theory.decay import decay
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.words = nn.Embedding(12, 3)
        self.gru = nn.GRU(3, 5, batch_first=True)

    def forward(self, tokens):
        return self.gru(self.words(tokens))


class Answer(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("norm", ["frobenius", "spectral"])
@pytest.mark.parametrize("diagonal", [True, False])
def test_gradients_of_a_linear_model_are_its_memory(diagonal, norm, dtype, device):
    """Twins: ∂y_T/∂x_{T−s} = dt ρ_s at every input."""
    model = RNN(4, input_size=2, output_size=3, diagonal=diagonal, dt=0.5, seed=1, dtype=dtype)
    kernel = 0.5 * model.kernel(30).detach().double().numpy()
    exact = np.linalg.norm(kernel, "fro" if norm == "frobenius" else 2, axis=(1, 2))
    found = gradient_norms(model, 30, norm=norm, samples=3, device=device)
    tolerance = 30 * 8 * EPS[dtype] * exact.max()
    np.testing.assert_allclose(found["mean"], exact, rtol=0, atol=tolerance)
    np.testing.assert_allclose(found["max"], exact, rtol=0, atol=tolerance)
    np.testing.assert_array_equal(found.lag, 0.5 * np.arange(30))
    assert found.attrs == {"dt": 0.5, "norm": norm, "samples": 3, "exact": True}


def test_gradient_and_memory_of_one_channel_are_the_same_curve():
    model = RNN(4, seed=1, dt=0.1, dtype=torch.float64)
    found, memory = gradient_norms(model, 40), memory_function(model, 40)
    np.testing.assert_allclose(found["mean"], 0.1 * memory, rtol=0, atol=1e-15)


@pytest.mark.parametrize("cell", [nn.GRU, nn.LSTM, nn.RNN])
def test_gradients_are_jacobians_at_the_given_inputs(cell):
    torch.manual_seed(0)
    model = cell(2, 3, batch_first=True).double()
    x = torch.randn(4, 6, 2, dtype=torch.float64)
    found = gradient_norms(model, 6, inputs=x)
    J = torch.stack(
        [torch.autograd.functional.jacobian(lambda u: model(u[None])[0][0, -1], one) for one in x]
    )
    norms = J.pow(2).sum((1, 3)).sqrt().flip(1).numpy()  # (sample, output, time, input)
    np.testing.assert_allclose(found["mean"], norms.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found["max"], norms.max(0), rtol=1e-12)


def test_gradients_of_gates_decay():
    torch.manual_seed(0)
    found = gradient_norms(nn.LSTM(1, 8, batch_first=True), 80)
    fit = decay(found["mean"])
    assert fit.kind == "exponential"
    assert fit.confidence > 0.5


def test_gradients_of_tokens_are_those_behind_the_embedding():
    model = Tokens().double()
    tokens = torch.tensor([[1, 5, 0, 7], [2, 2, 11, 3]])
    found = gradient_norms(model, 4, inputs=tokens, embedding="words", token=4)
    embedded = model.words(tokens).detach()
    behind = gradient_norms(model.gru, 4, inputs=embedded)
    np.testing.assert_allclose(found["mean"], behind["mean"], rtol=1e-12)
    drawn = gradient_norms(model, 4, embedding="words", samples=5)
    assert drawn.attrs["samples"] == 5
    assert (drawn["max"] >= drawn["mean"]).all()


def test_the_norm_over_many_outputs_is_estimated_without_bias():
    """Over 64 outputs: root mean square of 64 random combinations, here over 40 seeds."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 100)).double()
    exact = model[0].weight.norm().item()
    squares = [
        gradient_norms(model, 2, input_size=2, samples=1, seed=s)["mean"].values[0] ** 2 for s in range(40)
    ]
    assert gradient_norms(model, 2, input_size=2).attrs["exact"] is False
    # each square has a relative standard error of at most √(2/64), and four of the mean are allowed
    assert np.mean(squares) == pytest.approx(exact**2, rel=4 * math.sqrt(2 / 64 / 40))


def test_chunks_change_nothing_and_the_model_is_left_as_it_was():
    model = nn.GRU(2, 3, batch_first=True, dropout=0.0)
    model.weight_hh_l0.requires_grad_(False)
    loss = model(torch.ones(1, 3, 2))[0].sum()
    loss.backward()
    before = copy.deepcopy(dict(model.named_parameters()))
    grads = {name: None if p.grad is None else p.grad.clone() for name, p in model.named_parameters()}
    whole = gradient_norms(model, 8, samples=5)
    parts = gradient_norms(model, 8, samples=5, chunk=2)
    np.testing.assert_allclose(parts["mean"], whole["mean"], rtol=0, atol=32 * EPS[torch.float32])
    assert model.training
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name])
        assert p.requires_grad == before[name].requires_grad
        assert (p.grad is None and grads[name] is None) or torch.equal(p.grad, grads[name])


def test_seeds_name_the_inputs():
    torch.manual_seed(0)
    model = nn.GRU(1, 3, batch_first=True)
    first, again, other = (gradient_norms(model, 8, seed=s) for s in (0, 0, 1))
    assert first.identical(again)
    assert (first["mean"] != other["mean"]).all()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: gradient_norms(nn.Identity(), 0), ValueError, "horizon must be at least 1"),
        (lambda: gradient_norms(nn.Identity(), 5, samples=0), ValueError, "samples must be at least 1"),
        (lambda: gradient_norms(nn.Identity(), 5, norm="l2"), ValueError, "norm must be one of"),
        (
            lambda: gradient_norms(nn.Identity(), 5, inputs=torch.zeros(2, 4, 1)),
            ValueError,
            r"inputs must have shape \(samples, 5, 1\), got \(2, 4, 1\)",
        ),
        (
            lambda: gradient_norms(Tokens(), 5, inputs=torch.zeros(2, 5), embedding="words"),
            ValueError,
            r"inputs must be tokens of shape \(samples, 5\)",
        ),
        (
            lambda: gradient_norms(nn.Identity(), 5, inputs=torch.full((2, 5, 1), math.nan)),
            ValueError,
            "inputs must be finite real numbers",
        ),
        (
            lambda: gradient_norms(Tokens(), 2, inputs=torch.tensor([[1, 12]]), embedding="words"),
            ValueError,
            "inputs must be tokens 0 to 11",
        ),
        (
            lambda: gradient_norms(nn.Linear(1, 65), 5, norm="spectral"),
            ValueError,
            "norm must be 'frobenius' for over 64 outputs; this model has 65",
        ),
        (lambda: gradient_norms(Answer(lambda x: x.detach()), 5), TypeError, "model cuts the gradient"),
        (lambda: gradient_norms(Answer(lambda x: x / 0 * 0), 5), ValueError, "NaN or infinity"),
        (lambda: gradient_norms(Answer(lambda x: x[:, -1]), 5), ValueError, "with shape"),
    ],
)
def test_bad_input_is_refused(call, kind, message):
    with pytest.raises(kind, match=message):
        call()
