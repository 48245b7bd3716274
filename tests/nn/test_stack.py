import pytest
import torch

import curse_of_memory as com
from curse_of_memory.nn.attention.causal_attention import CausalSelfAttention
from curse_of_memory.nn.recurrent.rnn import RNN
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.state_space.s4d import S4D
from curse_of_memory.nn.state_space.ssm import SSM

DOUBLE = torch.float64
MIXING = {
    "SSM": lambda width: SSM(6, input_size=width, output_size=width, activation="tanh"),
    "S4D": lambda width: S4D(width, states=6),
    "RNN": lambda width: RNN(5, input_size=width, output_size=width, activation="tanh"),
    "attention": CausalSelfAttention,
}


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=DOUBLE, generator=torch.Generator().manual_seed(seed))


def stack(mixing="S4D", **options) -> SequenceStack:
    options = {"layers": 2, "input_size": 2, "output_size": 3, "seed": 0, "dtype": DOUBLE} | options
    return SequenceStack(MIXING[mixing], 4, **options)


def settle(model: SequenceStack) -> SequenceStack:
    """Norms that are not the identity: weights, and for batch norms statistics, of their own."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if "norm" in name and value.is_floating_point():
                value.copy_(0.5 + noise(len(name), *value.shape).abs())
    return model


@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
@pytest.mark.parametrize("placement", ["pre", "post"])
@pytest.mark.parametrize("output", ["glu", "linear", "none"])
@pytest.mark.parametrize("residual", [True, False])
def test_the_block_is_its_equation(norm, placement, output, residual):
    options = {"norm": norm, "placement": placement, "output": output, "residual": residual}
    model = settle(stack(activation="tanh", **options)).eval()
    x = noise(0, 3, 20, 2)
    z = x @ model.embed.weight.T + model.embed.bias
    for block in model.blocks:

        def normed(v, part=block.norm):
            if norm == "none":
                return v
            if norm == "layer":
                v = (v - v.mean(-1, keepdim=True)) / (v.var(-1, keepdim=True, correction=0) + part.eps).sqrt()
            else:
                v = (v - part.running_mean) / (part.running_var + part.eps).sqrt()
            return v * part.weight + part.bias

        f = torch.tanh(block.mixing(normed(z) if placement == "pre" else z))
        if output != "none":
            f = f @ block.out.weight.T + block.out.bias
        if output == "glu":
            f = f[..., :4] * torch.sigmoid(f[..., 4:])
        z = (z + f if residual else f) if placement == "pre" else normed(z + f if residual else f)
    expected = z @ model.readout.weight.T + model.readout.bias
    torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-12)


def test_batch_norm_is_over_batch_and_time():
    model = stack(norm="batch", layers=1)
    model.readout = torch.nn.Identity()
    y = model(noise(0, 5, 30, 2))
    torch.testing.assert_close(y.mean((0, 1)), torch.zeros(4, dtype=DOUBLE), rtol=0, atol=1e-12)


@pytest.mark.parametrize("mixing", MIXING)
@pytest.mark.parametrize("norm", ["none", "layer", "batch"])
def test_chunks_with_their_states_are_the_whole(mixing, norm):
    model, x = settle(stack(mixing, norm=norm)).eval(), noise(0, 2, 30, 2)
    state, parts = None, []
    for chunk in x.split([1, 1, 20, 8], 1):
        y, state = model.run(chunk, state)
        parts.append(y)
    # a few hundred products a number, of numbers of order one to ten
    torch.testing.assert_close(torch.cat(parts, 1), model(x), rtol=0, atol=1e-11)


def test_poolings_read_the_mean_and_the_last_step():
    x, every = noise(0, 2, 30, 2), stack()(noise(0, 2, 30, 2))
    # the readout is affine: it may come before the mean
    torch.testing.assert_close(stack(pooling="mean")(x), every.mean(1), rtol=0, atol=1e-13)
    torch.testing.assert_close(stack(pooling="last")(x), every[:, -1], rtol=0, atol=1e-13)


def test_dropout_is_for_training_only():
    model, x = stack(dropout=0.5), noise(0, 2, 30, 2)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), stack()(x))


def test_one_seed_draws_everything_in_any_dtype():
    one, two = stack(), stack(dtype=torch.float32)
    assert {p.dtype for p in one.parameters()} == {DOUBLE}
    for first, second in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(first.float(), second)
    assert not torch.equal(one.blocks[0].mixing.output_weight, one.blocks[1].mixing.output_weight)
    state = torch.get_rng_state()
    stack()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("mixing", MIXING)
def test_gradients_reach_every_weight(mixing):
    model = stack(mixing)
    model(noise(0, 2, 30, 2)).square().sum().backward()
    for name, weight in model.named_parameters():
        assert weight.grad.abs().max() > 0, name


def test_it_is_measured_and_causal():
    memory = com.memory_function(stack(output_size=1), 20, device="cpu")
    assert memory.attrs["causal"]
    assert (memory > 0).all()


def not_a_sequence(width):
    return torch.nn.LSTM(width, width, batch_first=True)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: SequenceStack(S4D, 0), ValueError, "width must be at least 1"),
        (lambda: SequenceStack(S4D, 4, layers=0), ValueError, "layers must be at least 1"),
        (lambda: SequenceStack(S4D(4), 4), TypeError, "a function from the width"),
        (lambda: SequenceStack(lambda width: 3, 4), TypeError, "must return a torch.nn.Module, got int"),
        (lambda: stack(activation="gello"), ValueError, "did you mean 'gelu'"),
        (lambda: stack(output="gated"), ValueError, "output must be one of"),
        (lambda: stack(norm="instance"), ValueError, "norm must be one of"),
        (lambda: stack(placement="before"), ValueError, "placement must be one of"),
        (lambda: stack(pooling="max"), ValueError, "pooling must be one of"),
        (lambda: stack(dropout=1.0), ValueError, "dropout"),
        (lambda: stack()(noise(0, 2, 5, 3)), ValueError, r"x must have shape \(batch, time, 2\)"),
        (lambda: stack(pooling="mean")(noise(0, 2, 0, 2)), ValueError, "at least one step"),
        (lambda: stack(pooling="mean").run(noise(0, 2, 5, 2)), ValueError, "only at the end"),
        (lambda: stack(norm="batch").run(noise(0, 2, 5, 2)), ValueError, "training mode"),
        (lambda: stack().run(noise(0, 2, 5, 2), [None]), ValueError, "each of 2 blocks"),
        (
            lambda: SequenceStack(lambda _: torch.nn.Identity(), 4).run(torch.ones(1, 3, 1)),
            TypeError,
            "Identity has no run",
        ),
        (lambda: SequenceStack(not_a_sequence, 4)(torch.ones(1, 3, 1)), TypeError, "got tuple"),
        (lambda: SequenceStack(lambda w: SSM(2, input_size=w), 4)(torch.ones(1, 3, 1)), TypeError, "shape"),
    ],
)
def test_bad_input_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()
