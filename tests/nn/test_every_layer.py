"""What holds for every layer: which inputs it takes, how far NaN gets, and what torch's tools make of it."""

import copy
import inspect
import pickle
import re

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint

from curse_of_memory import nn
from curse_of_memory.nn import RNN, S4D, SSM, TCN, CausalConvolution, CausalSelfAttention, CausalTransformer
from curse_of_memory.theory.reparameterization import Reparameterization
from tests.devices import CUDA, DEVICES

EPS = float(np.finfo(np.float32).eps)
CHANNELS = 3
WIDE = {"input_size": CHANNELS, "output_size": 2}
BUILD = {
    "RNN": lambda **k: RNN(5, **WIDE, **k),
    "RNN tanh": lambda **k: RNN(5, activation="tanh", parameterization="exp", **WIDE, **k),
    "RNN diagonal": lambda **k: RNN(5, diagonal=True, parameterization="best", **WIDE, **k),
    "SSM": lambda **k: SSM(4, activation="tanh", **WIDE, **k),
    "SSM pairs": lambda **k: SSM(4, initial="lru", parameterization="lru", skip=True, **WIDE, **k),
    "S4D": lambda **k: S4D(CHANNELS, states=6, **k),
    "LSTM": lambda **k: nn.LSTM(4, 2, **WIDE, **k),
    "GRU": lambda **k: nn.GRU(4, **WIDE, **k),
    "ElmanRNN": lambda **k: nn.ElmanRNN(4, **WIDE, **k),
    "LEM": lambda **k: nn.LEM(4, 2, dt=0.7, **WIDE, **k),
    "LEM learnt steps": lambda **k: nn.LEM(4, dt=0.7, learn_dt="each", **WIDE, **k),
    "CausalConvolution": lambda **k: CausalConvolution(CHANNELS, 2, 3, dilation=2, weight_norm=True, **k),
    "TCN": lambda **k: TCN([4, 4], **WIDE, **k),
    "CausalSelfAttention": lambda **k: CausalSelfAttention(CHANNELS, **k),
    "CausalTransformer": lambda **k: CausalTransformer(8, 1, heads=2, positions="rotary", **WIDE, **k),
    "SequenceStack": lambda **k: nn.SequenceStack(lambda w: S4D(w, states=4), 4, 2, **WIDE, **k),
}
LAYERS = list(BUILD)
FINITE_MEMORY = {"CausalConvolution": (40, 42, 44), "TCN": range(40, 53)}  # outputs that see step 40


def noise(seed, batch=2, time=10, dtype=torch.float32, device="cpu"):
    drawn = torch.randn(batch, time, CHANNELS, generator=torch.Generator().manual_seed(seed))
    return drawn.to(device, dtype)


def gradients(y, *of):
    return torch.autograd.grad(y.square().sum(), of)


def test_every_layer_is_here():
    assert {name.split()[0] for name in LAYERS} == set(nn.__all__)


# --- inputs -----------------------------------------------------------------------------------------------

ILL_INPUTS = {
    "a list": ([[[0.0] * CHANNELS]], TypeError, "x must be a torch.Tensor, shape (batch, time, 3); got list"),
    "an array": (np.zeros((2, 5, 3), np.float32), TypeError, "x must be a torch.Tensor"),
    "nothing": (None, TypeError, "x must be a torch.Tensor"),
    "a number": (1.0, TypeError, "x must be a torch.Tensor"),
    "one sequence": (torch.zeros(5, 3), ValueError, "x must have shape (batch, time, 3), got (5, 3)"),
    "other channels": (torch.zeros(2, 5, 4), ValueError, "x must have shape (batch, time, 3), got (2, 5, 4)"),
    "whole numbers": (torch.zeros(2, 5, 3, dtype=torch.long), TypeError, "x must be real numbers of dtype"),
    "truth values": (torch.zeros(2, 5, 3, dtype=torch.bool), TypeError, "x must be real numbers of dtype"),
    "complex": (torch.zeros(2, 5, 3, dtype=torch.complex64), TypeError, "x must be real numbers of dtype"),
    "other precision": (
        torch.zeros(2, 5, 3, dtype=torch.double), TypeError,
        "x must have the dtype of the weights, torch.float32, got torch.float64",
    ),
    "other device": (torch.zeros(2, 5, 3, device="meta"), ValueError, "x must be on the device of the"),
}  # fmt: skip


@pytest.mark.parametrize("what", ILL_INPUTS)
@pytest.mark.parametrize("name", LAYERS)
def test_ill_inputs_are_refused_in_one_line_that_names_them(name, what):
    layer, (x, kind, message) = BUILD[name](seed=0), ILL_INPUTS[what]
    for call in (layer, layer.run):
        with pytest.raises(kind, match=re.escape(message)) as caught:
            call(x)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", LAYERS)
def test_ill_states_are_refused_in_one_line_that_names_them(name):
    layer, x = BUILD[name](seed=0), noise(0)
    last = layer.run(x).last
    for state in ([[0.0]], np.zeros((2, 4)), torch.zeros(2, 999), "zeros"):
        with pytest.raises((TypeError, ValueError), match="state must") as caught:
            layer.run(x, state)
        assert "\n" not in str(caught.value)
    if isinstance(last, torch.Tensor):
        with pytest.raises(TypeError, match="state must have dtype"):
            layer.run(x, last.to(torch.complex128))


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_that_is_called_with_a_state_says_what_chunks_are_for(name):
    layer, x = BUILD[name](seed=0), noise(0)
    state = layer.run(x).last
    for call in (lambda: layer(x, state), lambda: layer(x, None), lambda: layer(x, state=state)):
        with pytest.raises(TypeError, match=r"^\w+ takes whole .* alone; chunks .* go to run\(x, state\)$"):
            call()


@pytest.mark.parametrize("name", LAYERS)
def test_no_steps_and_no_sequences_have_empty_answers(name):
    layer = BUILD[name](seed=0)
    width = layer(noise(0)).shape[2]
    assert layer(noise(0, time=0)).shape == (2, 0, width)
    assert layer(noise(0, batch=0)).shape == (0, 10, width)


def test_tokens_are_refused_by_name():
    model = CausalTransformer(8, vocabulary=7)
    for x, kind, message in (
        ([[0]], TypeError, "x must be a torch.Tensor, tokens of shape (batch, time); got list"),
        (torch.zeros(2, 5), TypeError, "x must be tokens of dtype torch.int64, got torch.float32"),
        (
            torch.zeros(2, 5, 1, dtype=int),
            ValueError,
            "x must be tokens of shape (batch, time), got (2, 5, 1)",
        ),
        (torch.full((2, 5), 7), IndexError, "x must be tokens from 0 to 6"),
        (torch.full((2, 5), -1), IndexError, "x must be tokens from 0 to 6"),
    ):
        with pytest.raises(kind, match=re.escape(message)):
            model(x)


def test_many_networks_want_a_tensor():
    model = RNN(4)
    weights = {name: p[None] for name, p in model.named_parameters()}
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor"):
        model.run_many(weights, np.zeros((2, 5, 1)))


@pytest.mark.filterwarnings("ignore:Complex modules are a new feature:UserWarning")
def test_weights_must_be_real():
    layer = TCN([4]).to(torch.complex64)
    with pytest.raises(TypeError, match=r"weights of TCN must be real, got torch\.complex64"):
        layer(torch.zeros(1, 2, 1))


# --- arguments --------------------------------------------------------------------------------------------

NEEDED = {
    "CausalConvolution": {"input_size": 2, "output_size": 2, "kernel_size": 3},
    "CausalSelfAttention": {"width": 4},
    "CausalTransformer": {"width": 4},
    "S4D": {"width": 2, "states": 4},
    "SequenceStack": {"mixing": lambda width: torch.nn.Identity(), "width": 4},
    "TCN": {"widths": [4, 4]},
}
ILL_ARGUMENTS = [0, -1, True, 2.5, None, "nonsense", [], [0], float("nan"), float("inf"), 1j, {}, object()]
# the few that mean something
MEANT = {
    "dt": {2.5}, "step": {None}, "feedforward": {None}, "vocabulary": {None},
    "horizon": {None}, "dilations": {None}, "discretization": {None}, "dropout": {0}, "seed": {0, None},
    "device": {None}, "dtype": {None}, "bias": {True}, "skip": {True}, "diagonal": {True}, "rotary": {True},
    "residual": {True}, "weight_norm": {True}, "CausalTransformer.output_size": {None},
    "forgetting": {None}, "sees_itself": {True}, "zero_memories": {0}, "deletes": {None},
    "attention_bias": {True}, "scaled_residuals": {True}, "bidirectional": {True},
    "LEM.output_size": {None}, "chrono": {2.5, None}, "block": {None},
}  # fmt: skip


@pytest.mark.parametrize("name", nn.__all__)
def test_ill_arguments_are_refused_in_one_line_that_names_them(name):
    layer, needed = getattr(nn, name), NEEDED.get(name, {"width": 4})
    for argument in inspect.signature(layer).parameters:
        for value in ILL_ARGUMENTS:
            meant = MEANT.get(argument, ()) or MEANT.get(f"{name}.{argument}", ())
            if any(type(value) is type(one) and value == one for one in meant):
                continue
            with pytest.raises((TypeError, ValueError), match=argument) as caught:
                layer(**needed | {argument: value})
            assert "\n" not in str(caught.value)


def test_a_number_is_no_sequence_of_widths():
    with pytest.raises(
        TypeError, match="widths must be a sequence of whole numbers, one for each block, got 4"
    ):
        TCN(4)


# --- numbers that are none --------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("bad", [torch.nan, -torch.inf])
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_number_reaches_nothing_before_it_and_no_other_sequence(name, bad, device):
    layer = BUILD[name](seed=0, dtype=torch.float64, device=device)
    x = noise(1, 3, 70, torch.float64, device)
    ill = x.clone()
    ill[1, 40, 1] = bad
    x.requires_grad_()
    ill.requires_grad_()
    expected, found = layer(x), layer(ill)
    lost = torch.zeros(3, 70, dtype=torch.bool, device=device)
    lost[1, list(FINITE_MEMORY.get(name, range(40, 70)))] = True
    assert torch.equal(found.isnan().all(-1), lost)
    # an FFT adds in another order where a number is zero
    torch.testing.assert_close(found[~lost], expected[~lost], rtol=0, atol=1e-13)
    weights = list(layer.parameters())
    ours = gradients(found[~lost], ill, *weights)
    theirs = gradients(expected[~lost], x, *weights)
    # zero in place of the number, and otherwise the same products but those with x[1, 40]
    keep = torch.ones_like(x, dtype=torch.bool)
    keep[1, 40] = False
    torch.testing.assert_close(ours[0][keep], theirs[0][keep], rtol=1e-9, atol=1e-9)
    assert all(g.isfinite().all() for g in ours)
    if name not in FINITE_MEMORY:  # else steps after it count, to which that step belongs
        torch.testing.assert_close(ours[1:], theirs[1:], rtol=1e-9, atol=1e-9)
    # a loss that it enters says so, and so do its gradients
    assert all(g.isnan().any() for g in gradients(layer(ill), *weights))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LAYERS)
def test_what_is_no_number_goes_from_chunk_to_chunk(name, device):
    layer = BUILD[name](seed=0, dtype=torch.float64, device=device)
    x = noise(1, 3, 70, torch.float64, device)
    x[1, 40, 1] = torch.nan
    state, parts = None, []
    for chunk in x.split([30, 12, 28], 1):
        y, state = layer.run(chunk, state)
        parts.append(y)
    torch.testing.assert_close(torch.cat(parts, 1), layer(x), rtol=0, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_step_is_a_chunk_of_one(name, device):
    layer = BUILD[name](seed=0, dtype=torch.float64, device=device)
    x = noise(1, 2, 7, torch.float64, device)
    state, answers = None, []
    for k in range(7):
        y, state = layer.step(x[:, k], state)
        answers.append(y)
    torch.testing.assert_close(torch.stack(answers, 1), layer(x), rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"x must be one step, \(batch, channel\), got \(2, 7, 3\)"):
        layer.step(x)
    with pytest.raises(TypeError, match=r"x must be a torch\.Tensor, one step"):
        layer.step([0.0])


def test_a_step_of_tokens_is_one_token():
    model, x = CausalTransformer(8, vocabulary=7, seed=0), torch.tensor([[3, 1, 4]])
    first = model.step(x[:, 0])
    assert torch.equal(first.y, model(x[:, :1])[:, 0])
    torch.testing.assert_close(model.run(x[:, 1:], first.last).y, model(x)[:, 1:])


@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_pooled_answer_is_lost_with_its_sequence(pooling):
    model = nn.SequenceStack(CausalSelfAttention, 4, pooling=pooling, seed=0)
    x = torch.ones(3, 6, 1)
    x[1, 2] = torch.inf
    assert torch.equal(model(x).isnan()[:, 0], torch.tensor([False, True, False]))


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("name", LAYERS)
def test_a_gpu_answers_as_the_cpu_does(name, device):
    layer, x = BUILD[name](seed=0, dtype=torch.float64), noise(1, 3, 70, torch.float64).requires_grad_()
    known = layer(x)
    expected = [known, *gradients(known, x, *layer.parameters())]
    twin, there = BUILD[name](seed=0, dtype=torch.float64, device=device), x.detach().to(device)
    answer = twin(there.requires_grad_())
    found = [answer, *gradients(answer, there, *twin.parameters())]
    assert {one.device.type for one in found} == {device}
    for one, other in zip(found, expected, strict=True):
        # sums of a few hundred numbers, in another order
        scale = other.abs().max().item()
        torch.testing.assert_close(one.cpu(), other, rtol=0, atol=1e-12 * scale)


# --- torch's tools ----------------------------------------------------------------------------------------


def rounded(found, expected, scale=64):
    """Hold two ways of the same sums of a few dozen terms against each other."""
    torch.testing.assert_close(found, expected, rtol=scale * EPS, atol=scale * EPS)


@pytest.mark.parametrize("name", LAYERS)
def test_shapes_are_known_without_numbers(name):
    layer, x = BUILD[name](device="meta"), torch.empty(2, 9, CHANNELS, device="meta", requires_grad=True)
    y = layer(x)
    y.sum().backward()
    assert (y.device.type, y.shape) == ("meta", BUILD[name]()(noise(0, time=9)).shape)
    assert x.grad is not None
    assert x.grad.shape == x.shape


OWN_ENGINES = ("LEM learnt steps", "RNN tanh", "SSM pairs", "S4D")
OWN = ("LEM", "RNN", "SSM", "S4D")
# of each class one: these take longest
ONE_OF_EACH = [*OWN_ENGINES, *(name for name in LAYERS if name.split()[0] not in OWN)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # torch's own, of what it meets on its way
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_compiled_layers_are_the_layers(name):
    layer = BUILD[name](seed=0)
    torch._dynamo.reset()
    compiled = torch.compile(layer, backend="aot_eager" if name in OWN_ENGINES else "eager")
    for x in (noise(0), noise(1, batch=3)) if name == "RNN tanh" else (noise(0),):
        weights = list(layer.parameters())
        ours, plain = compiled(x), layer(x)
        rounded(ours, plain)
        rounded(gradients(ours, *weights), gradients(plain, *weights))
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The tensor attributes self.network._flat_weights:UserWarning")
@pytest.mark.parametrize("name", ONE_OF_EACH)
def test_exported_layers_are_the_layers_for_any_batch(name):
    layer = BUILD[name](seed=0).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(layer, (noise(0),), dynamic_shapes=({0: batch},)).module()
    for size in (1, 5):
        rounded(exported(noise(1, batch=size)), layer(noise(1, batch=size)))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", LAYERS)
def test_a_trace_is_refused(name):
    with pytest.raises(RuntimeError, match=r"use torch\.export instead"):
        torch.jit.trace(BUILD[name](seed=0), noise(0))


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", LAYERS)
def test_checkpointed_layers_are_the_layers(name, device):
    layer, x = BUILD[name](seed=0, device=device), noise(0, device=device).requires_grad_()
    weights = [x, *layer.parameters()]
    again, plain = checkpoint(layer, x, use_reentrant=False), layer(x)
    assert torch.equal(again, plain)
    for one, other in zip(gradients(again, *weights), gradients(plain, *weights), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", LAYERS)
def test_short_weights_and_inputs_have_short_answers(name, dtype, device):
    layer = BUILD[name](seed=0, dtype=dtype, device=device)
    x = noise(0, time=60, dtype=dtype, device=device)
    y = layer(x)
    assert y.dtype == dtype
    wide = BUILD[name](seed=0, device=device)
    wide.load_state_dict(layer.state_dict())
    expected = wide(x.float())
    # recurrences round the answer and nothing else; of the others every product is rounded
    own = name.split()[0] in OWN
    rounding = torch.finfo(dtype).eps
    atol = rounding / 2 * expected.abs().max().item() if own else 16 * rounding
    torch.testing.assert_close(y.float(), expected, rtol=rounding / 2 if own else rounding, atol=atol)
    y.float().sum().backward()
    assert all(p.grad.dtype == dtype and p.grad.isfinite().all() for p in layer.parameters())
    first = layer.run(x[:, :25])
    torch.testing.assert_close(
        layer.run(x[:, 25:], first.last).y.float(), y[:, 25:].float(), rtol=0, atol=2 * atol
    )


CUBE = Reparameterization(
    "cube", lambda x, w: -(w**3), free=lambda x, v: (-v) ** (1 / 3), domain=(0, float("inf"))
)


@pytest.mark.parametrize("name", ["RNN", "SSM", "S4D"])
def test_layers_with_a_map_of_ones_own_copy_and_pickle(name):
    build = {"RNN": lambda: RNN(4, **WIDE, diagonal=True, parameterization=CUBE, seed=0)}
    build["SSM"] = lambda: SSM(4, **WIDE, parameterization=CUBE, seed=0)
    build["S4D"] = lambda: S4D(CHANNELS, states=4, parameterization=CUBE, seed=0)
    layer, x = build[name](), noise(0)
    assert copy.deepcopy(layer).parameterization is CUBE
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    assert layer.parameterization is CUBE


@pytest.mark.parametrize("name", LAYERS)
def test_layers_copy_and_pickle(name):
    if name == "SequenceStack":  # of what the functions that made it have returned nothing else is left
        assert "mixing" not in vars(BUILD[name]())
    layer, x = BUILD[name](seed=0), noise(0)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
