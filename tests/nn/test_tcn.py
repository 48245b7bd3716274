"""Temporal convolutional networks against the sum that a convolution is, and against torch's."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn.building.activations import RECURRENT
from curse_of_memory.nn.convolutional.causal_convolution import CausalConvolution
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.theory import targets
from curse_of_memory.training import fit_expected

EPS = float(np.finfo(float).eps)
SHAPES = list(itertools.product((1, 2, 3), (1, 2, 5)))


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def network(widths=(3, 5), kernel_size=3, **options):
    options = {"input_size": 2, "output_size": 4, "seed": 1, "dtype": torch.float64} | options
    return TCN(widths, kernel_size, **options)


def convolved(x, W, b, d):
    """y_t = b + Σ_j W_j x_{t − j d} in numpy, one product at a time."""
    y = np.zeros((x.shape[0], x.shape[1], W.shape[0])) + (0 if b is None else b)
    for t, j in itertools.product(range(x.shape[1]), range(W.shape[2])):
        if t - j * d >= 0:
            y[:, t] += x[:, t - j * d] @ W[:, :, j].T
    return y


def plain(model, x):
    """The network of the docstring, in numpy."""
    sigma = {
        "linear": lambda z: z,
        "tanh": np.tanh,
        "hardtanh": lambda z: np.clip(z, -1, 1),
        "relu": lambda z: np.maximum(z, 0),
    }[model.activation]
    p = {name: value.detach().numpy() for name, value in model.named_parameters()}
    for i, d in enumerate(model.dilations):
        z = x
        for j in range(len(model.blocks[i].convolutions)):
            name = f"blocks.{i}.convolutions.{j}."
            W = p[name + "weight"]
            if name + "gain" in p:
                W = p[name + "gain"] * W / np.sqrt((W**2).sum((1, 2), keepdims=True))
            z = sigma(convolved(z, W, p.get(name + "bias"), d))
        if model.blocks[i].residual:
            matrix = p.get(f"blocks.{i}.skip.weight")
            z = sigma(z + (x if matrix is None else x @ matrix.T))
        x = z
    return x @ p["readout.weight"].T + p.get("readout.bias", 0)


@pytest.mark.parametrize("normalised", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("taps", "dilation"), SHAPES)
def test_a_convolution_is_its_sum(taps, dilation, bias, normalised):
    layer = CausalConvolution(
        2, 3, taps, dilation=dilation, bias=bias, weight_norm=normalised, seed=0, dtype=torch.float64
    )
    if normalised:
        layer.gain.data *= torch.tensor([0.5, 1.0, -2.0])[:, None, None]
    x = noise(0, 2, 12, 2)
    W = layer.filter.detach().numpy()
    exact = convolved(x.numpy(), W, layer.bias.detach().numpy() if bias else None, dilation)
    size = convolved(np.abs(x.numpy()), np.abs(W), 1.0, dilation).max()
    np.testing.assert_allclose(layer(x).detach(), exact, rtol=0, atol=2 * (2 * taps + 1) * EPS * size)


def test_weight_normalisation_is_torchs():
    ours = CausalConvolution(2, 3, 4, weight_norm=True, seed=0, dtype=torch.float64)
    theirs = weight_norm(nn.Conv1d(2, 3, 4, dtype=torch.float64))
    with torch.no_grad():
        ours.gain *= 1.5
        theirs.parametrizations.weight.original0.copy_(ours.gain)
        theirs.parametrizations.weight.original1.copy_(ours.weight.flip(-1))
        theirs.bias.copy_(ours.bias)
    x = noise(1, 2, 9, 2)
    expected = theirs(nn.functional.pad(x.mT, (3, 0))).mT
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=32 * EPS * expected.abs().max().item())


def test_normalised_filters_start_as_the_same_network():
    free, normalised = network(), network(weight_norm=True)
    x = noise(2, 2, 20, 2)
    torch.testing.assert_close(normalised(x), free(x), rtol=0, atol=64 * EPS * free(x).abs().max().item())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"convolutions": 1},
        {"convolutions": 3, "dilations": (2, 3)},
        {"residual": False},
        {"weight_norm": True, "widths": (2, 2, 4)},
        {"bias": False, "widths": (2,)},
    ],
    ids=str,
)
@pytest.mark.parametrize("activation", RECURRENT)
def test_the_network_is_that_of_the_docstring(activation, options):
    model = network(activation=activation, **options)
    x = noise(3, 2, 25, 2)
    exact = plain(model, x.numpy())
    # at most five channels times three taps are added up in each of at most six convolutions of order one
    np.testing.assert_allclose(
        model(x).detach(), exact, rtol=0, atol=6 * 16 * EPS * (1 + np.abs(exact).max())
    )


@pytest.mark.parametrize("convolutions", [1, 2])
@pytest.mark.parametrize("dilations", [(1,), (1, 2, 4), (3, 1)])
@pytest.mark.parametrize("taps", [1, 2, 4])
def test_memory_and_gradients_end_at_the_receptive_field(taps, dilations, convolutions):
    """R is attained: the last lag inside has a gradient, and no lag behind it has one."""
    model = network(
        (3,) * len(dilations),
        taps,
        dilations=dilations,
        convolutions=convolutions,
        activation="tanh",
        input_size=1,
    )
    R = model.receptive_field
    assert 1 + convolutions * (taps - 1) * sum(dilations) == R
    gradients = gradient_norms(model, R + 4)["max"].values
    assert gradients[R - 1] > 0
    assert not gradients[R:].any()
    impulse = memory_function(model, R + 4, probe="impulse")
    assert impulse.values[R - 1] > 0
    # tanh of what is left of the impulse is exactly that of nothing
    assert not impulse.values[R:].any()


@pytest.mark.parametrize("activation", RECURRENT)
@pytest.mark.parametrize("cut", [0, 1, 7, 18, 19])
def test_networks_are_causal(activation, cut):
    model = network(activation=activation)
    x = noise(4, 2, 20, 2)
    later = x.clone()
    later[:, cut:] += 1.0
    with torch.no_grad():
        assert torch.equal(model(x)[:, :cut], model(later)[:, :cut])
        assert not torch.equal(model(x)[:, cut], model(later)[:, cut])
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, cut].sum(), x)
    assert not gradient[:, cut + 1 :].any()
    assert gradient[:, cut].any()


@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3), (0, 19), tuple(range(1, 20))], ids=str)
@pytest.mark.parametrize("options", [{}, {"weight_norm": True, "kernel_size": 1}], ids=str)
def test_chunks_of_time_are_the_whole_sequence(options, cuts):
    model = network(**options)
    x, state, parts = noise(5, 3, 20, 2), None, []
    for chunk in x.tensor_split(cuts, 1):
        y, state = model.run(chunk, state)
        parts.append(y)
    whole = model.run(x)
    atol = 32 * EPS * whole.y.abs().max().item()
    torch.testing.assert_close(torch.cat(parts, 1), whole.y, rtol=0, atol=atol)
    for found, expected in zip(state, whole.last, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def test_gradients_flow_through_the_buffers():
    model = network(activation="tanh")
    x = noise(6, 1, 12, 2).requires_grad_()
    first = model.run(x[:, :6])
    chunked = torch.cat([first.y, model.run(x[:, 6:], first.last).y], 1)
    weights = noise(7, 1, 12, 4)
    (by_chunks,) = torch.autograd.grad((chunked * weights).sum(), x)
    (whole,) = torch.autograd.grad((model(x) * weights).sum(), x)
    torch.testing.assert_close(by_chunks, whole, rtol=0, atol=64 * EPS * whole.abs().max().item())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("weight_norm", [False, True])
def test_the_memory_of_a_linear_network_is_its_impulse_response(weight_norm, dtype):
    """Three roads: ``kernel``, the measurement by a step, and the gradient."""
    model = network(activation="linear", weight_norm=weight_norm, dtype=dtype)
    eps, T = torch.finfo(dtype).eps, 2 * model.receptive_field
    assert model.is_linear
    kernel = model.kernel(T)
    assert kernel.dtype == dtype
    assert kernel.shape == (T, 4, 2)
    # zero but for what rounding leaves of the difference to the offset
    assert kernel[model.receptive_field :].abs().max() <= 16 * eps * model.offset(T).abs().max()
    step = memory_function(model, T, closed_form=False)
    # of sums of T · 6 products each
    atol = 8 * T * eps * kernel.abs().sum((0, 2)).max().item()
    np.testing.assert_allclose(memory_function(model, T), step, rtol=0, atol=atol)
    exact = torch.linalg.matrix_norm(kernel).detach()
    np.testing.assert_allclose(gradient_norms(model, T)["mean"], exact, rtol=0, atol=atol)


def test_kernels_of_other_weights_are_those_of_other_networks():
    model, other = network(activation="linear"), network(activation="linear", seed=2)
    weights = dict(other.named_parameters())
    assert torch.equal(model.kernel(20, weights), other.kernel(20))
    assert torch.equal(model.offset(20, weights), other.offset(20))
    stacked = {n: torch.stack([p, weights[n]]) for n, p in model.named_parameters()}
    both = torch.func.vmap(lambda p: model.kernel(20, p))(stacked)
    for found, network_ in zip(both, (model, other), strict=True):
        expected = network_.kernel(20)
        torch.testing.assert_close(found, expected, rtol=0, atol=64 * EPS * expected.abs().max().item())


def test_a_linear_network_with_enough_taps_fits_any_finite_memory_exactly():
    """One block of T taps is the convolution itself: the expected loss falls to rounding."""
    model = TCN([1], 12, convolutions=1, residual=False, activation="linear", seed=0)
    fitted = fit_expected(model, LinearFunctional(targets.exponential(0.3), horizon=12))
    assert fitted.loss < 1e-12


def test_only_linear_networks_without_dropout_have_a_kernel():
    for model in (network(), network(activation="linear", dropout=0.1)):
        assert not model.is_linear
        with pytest.raises(TypeError, match="only a linear network without dropout"):
            model.kernel(5)


def test_dropout_is_at_work_in_training_only():
    model, x = network(dropout=0.5), noise(8, 2, 30, 2)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), network()(x))


def test_a_seed_leaves_the_global_generator_alone_and_the_dtype_rounds_the_same_draw():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    single, double = network(dtype=torch.float32), network()
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a, b.float())
    assert not torch.equal(network(seed=2).readout.weight, double.readout.weight)
    unseeded = TCN([3])
    assert not torch.equal(torch.get_rng_state(), before)
    assert unseeded.readout.weight.dtype == torch.get_default_dtype()


def test_initial_filters_are_uniform():
    layer = CausalConvolution(50, 40, 10, seed=0, dtype=torch.float64)
    bound, count = 500**-0.5, layer.weight.numel()
    assert layer.weight.abs().max() <= bound
    assert abs(layer.weight.mean().item()) < 5 * bound / (3 * count) ** 0.5
    # the variance of uniform numbers is bound²/3, that of their squares 4 bound⁴/45
    assert abs(layer.weight.square().mean().item() - bound**2 / 3) < 5 * bound**2 * (4 / 45 / count) ** 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"widths": ()}, "widths must name at least one block"),
        ({"widths": (3, 0)}, "widths must be at least 1"),
        ({"kernel_size": 0}, "kernel_size must be at least 1"),
        ({"dilations": (1,)}, "dilations must be one for each of 2 blocks"),
        ({"dilations": (1, 0)}, "dilations must be at least 1"),
        ({"convolutions": 0}, "convolutions must be at least 1"),
        ({"dropout": 1.0}, "dropout must be at least 0 and below 1"),
        ({"activation": "rellu"}, "did you mean 'relu'"),
        ({"input_size": 0}, "input_size must be at least 1"),
        ({"output_size": 0}, "output_size must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        network(**arguments)


def test_bad_inputs_are_refused():
    model, x = network(), noise(0, 2, 5, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 2\)"):
        model(x[..., :1])
    with pytest.raises(ValueError, match="state must hold one for each of 4 convolutions, got 3"):
        model.run(x, model.run(x).last[:3])
    with pytest.raises(ValueError, match=r"state must have shape \(1, 2, 2\), got \(2, 2, 2\)"):
        model.run(x[:1], model.run(x).last)
