"""Which layer fulfils which contract, and that it does what the contract says."""

import re

import numpy as np
import pytest
import torch
from torch.func import functional_call

from curse_of_memory import nn, protocols
from curse_of_memory.nn import RNN, S4D, SSM, TCN, CausalSelfAttention, CausalTransformer, SequenceStack
from curse_of_memory.protocols import LinearMemory, Outputs, SequenceLayer, Stackable
from curse_of_memory.tools import checks

LINEAR = {
    "RNN": lambda **k: RNN(4, **k),
    "RNN diagonal": lambda **k: RNN(4, diagonal=True, parameterization="exp", **k),
    "SSM": lambda **k: SSM(4, parameterization="best", skip=True, **k),
    "SSM pairs": lambda **k: SSM(4, initial="lru", parameterization="lru", **k),
    "S4D": lambda **k: S4D(1, states=6, **k),
}
MANY = LINEAR | {
    "RNN tanh": lambda **k: RNN(4, activation="tanh", input_size=3, output_size=2, **k),
    "SSM tanh": lambda **k: SSM(4, activation="tanh", input_size=3, output_size=2, bias=False, **k),
    "S4D wide": lambda **k: S4D(3, states=6, skip=False, **k),
    "TCN": lambda **k: TCN([4, 3], 3, input_size=3, output_size=2, **k),
    "TCN plain": lambda **k: TCN(
        [4, 4], dilations=[1, 5], convolutions=1, activation="tanh", residual=False, bias=False, **k
    ),
    "TCN normalised": lambda **k: TCN([4, 4], weight_norm=True, **k),
    "attention": lambda **k: CausalSelfAttention(4, 2, rotary=True, **k),
    "transformer": lambda **k: CausalTransformer(
        4, 2, heads=2, positions="sinusoidal", input_size=3, output_size=2, **k
    ),
    "transformer post": lambda **k: CausalTransformer(
        4, positions="learnt", horizon=40, norm="post", activation="relu", **k
    ),
    "stack of S4D": lambda **k: SequenceStack(
        lambda width: S4D(width, 4, step=None), 3, 2, input_size=3, output_size=2, placement="pre", **k
    ),
    "stack of RNN": lambda **k: SequenceStack(
        lambda width: RNN(4, activation="tanh", input_size=width, output_size=width),
        3, output="none", norm="none", residual=False, activation="tanh", **k,
    ),
    "stack of attention": lambda **k: SequenceStack(CausalSelfAttention, 4, 2, output="linear", **k),
    "stack of others": lambda **k: SequenceStack(lambda width: torch.nn.Linear(width, width), 3, **k),
}  # fmt: skip


def stacked(models):
    named = [dict(model.named_parameters()) for model in models]
    return {name: torch.stack([weights[name].detach() for weights in named]) for name in named[0]}


def noise(*shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def typed(layer: RNN, memory: S4D, many: SSM) -> tuple[SequenceLayer, LinearMemory, Stackable]:
    """What a type checker says of it."""
    return layer, memory, many


@pytest.mark.parametrize("name", LINEAR)
def test_linear_layers_know_their_memory(name):
    layer = LINEAR[name](seed=0, dtype=torch.float64)
    assert protocols.has_linear_memory(layer)
    x = noise(2, 20, 1)
    kernel, offset = layer.kernel(20), layer.offset(20)
    expected = layer.dt * torch.stack(
        [torch.einsum("soi,bsi->bo", kernel[: k + 1].flip(0), x[:, : k + 1]) for k in range(20)], 1
    )
    torch.testing.assert_close(layer(x), expected + offset, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "model",
    [RNN(4, activation="tanh"), TCN([4]), nn.LSTM(4), torch.nn.Linear(1, 1), RNN, None],
    ids=lambda model: type(model).__name__,
)
def test_others_have_none(model):
    assert not protocols.has_linear_memory(model)


@pytest.mark.parametrize("dt", [torch.tensor(0.5), np.float32(0.5), np.float64(0.5), 1])
def test_a_step_may_be_a_buffer_or_a_number_of_numpy(dt):
    layer = RNN(4)
    layer.dt = dt
    assert protocols.has_linear_memory(layer)


@pytest.mark.parametrize("dt", [torch.ones(2), torch.tensor(True), True, "1"])
def test_a_step_is_one_number(dt):
    layer = RNN(4)
    layer.dt = dt
    assert not protocols.has_linear_memory(layer)


def test_a_memory_needs_a_step():
    layer = RNN(4)
    layer.dt = None
    assert not protocols.has_linear_memory(layer)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("name", MANY)
def test_many_models_in_one_call_are_the_models_one_by_one(name, shared):
    models = [MANY[name](seed=seed, dtype=torch.float64) for seed in range(3)]
    assert checks.fulfils(models[0], Stackable)
    assert (models[0].architecture == models[1].architecture) == (name != "stack of others")
    size = models[0].input_size
    x = noise(2, 30, size) if shared else noise(3, 2, 30, size)
    x.requires_grad_()
    ours = {name: w.requires_grad_() for name, w in stacked(models).items()}
    theirs = {name: w.detach().clone().requires_grad_() for name, w in ours.items()}
    together = models[0].run_many(ours, x)
    naive = torch.stack([
        functional_call(models[0], {name: w[i] for name, w in theirs.items()}, x if shared else x[i])
        for i in range(3)
    ])  # fmt: skip
    torch.testing.assert_close(together, naive, rtol=0, atol=1e-13)
    factors = noise(*together.shape)
    found = torch.autograd.grad((together * factors).sum(), [x, *ours.values()])
    expected = torch.autograd.grad((naive * factors).sum(), [x, *theirs.values()])
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-11 * max(1.0, other.abs().max().item()))


@pytest.mark.parametrize("name", MANY)
def test_short_weights_of_many_are_those_of_one(name):
    model = MANY[name](seed=0, dtype=torch.bfloat16)
    x = noise(2, 30, model.input_size).to(torch.bfloat16)
    together, alone = model.run_many(stacked([model]), x)[0], model(x)
    assert together.dtype == torch.bfloat16
    # one model rounds between its layers, of which there are some ten, and many together do not
    roundings = 1 if isinstance(model, RNN | SSM | S4D) else 10
    scale = roundings * torch.finfo(torch.bfloat16).eps * alone.abs().max().item()
    torch.testing.assert_close(together, alone, rtol=0, atol=scale)


@pytest.mark.parametrize("name", MANY)
def test_what_many_models_cannot_take_is_refused_by_name(name):
    model = MANY[name](seed=0)
    weights, size = stacked([model]), model.input_size
    for parameters, x, kind, message in (
        (weights, [0.0], TypeError, "x must be a torch.Tensor"),
        (weights, torch.zeros(2, 5, size + 1), ValueError, f"x must have shape (batch, time, {size})"),
        (weights, torch.zeros(5, size), ValueError, f"x must have shape (batch, time, {size})"),
        ({}, torch.zeros(2, 5, size), ValueError, "parameters must hold all weights of the layer, but "),
    ):
        with pytest.raises(kind, match=re.escape(message)):
            model.run_many(parameters, x)


def test_what_differs_beside_the_weights_is_another_architecture():
    layers = [
        RNN(4), RNN(4, dt=0.5), RNN(4, activation="tanh"), RNN(4, diagonal=True),
        RNN(4, parameterization="exp"), SSM(4), SSM(4, dt=0.5), SSM(4, discretization="euler"),
        SSM(4, activation="tanh"), S4D(4),
        S4D(4, discretization="bilinear"), S4D(4, parameterization="best"),
    ]  # fmt: skip
    assert len({layer.architecture for layer in layers}) == len(layers)


def test_a_stranger_may_fulfil_a_contract_by_a_wrapped_method():
    class Wrapping(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.inner = inner

        def __getattr__(self, name):
            return getattr(super().__getattr__("inner"), name) if name == "run" else super().__getattr__(name)

    assert protocols.can_run_chunks(Wrapping(nn.GRU(4)))
    assert not protocols.can_run_chunks(torch.nn.GRU(1, 4))


def test_outputs_are_a_pair():
    y, last = Outputs(torch.zeros(1), None)
    assert y.shape == (1,)
    assert last is None
