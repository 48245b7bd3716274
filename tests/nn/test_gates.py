"""LSTM, GRU and the Elman network against torch's own and against their equations."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn.recurrent.gates import GRU, LSTM, ElmanRNN

EPS = float(np.finfo(float).eps)
KINDS = pytest.mark.parametrize("kind", [LSTM, GRU, ElmanRNN])


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def network(kind, width=4, layers=2, **options):
    options = {"input_size": 2, "output_size": 3, "seed": 1, "dtype": torch.float64} | options
    return kind(width, layers, **options)


def logistic(z):
    return 1 / (1 + np.exp(-z))


def plain(model, x):
    """One layer after the other, one step at a time, in numpy."""
    p = {name.removeprefix("network."): value.detach().numpy() for name, value in model.named_parameters()}
    for layer in range(model.layers):
        W, U = p[f"weight_hh_l{layer}"], p[f"weight_ih_l{layer}"]
        d, b = (p.get(f"bias_{which}_l{layer}", np.zeros(len(W))) for which in ("hh", "ih"))
        h = c = np.zeros((len(x), model.width))
        outputs = []
        for x_k in x.swapaxes(0, 1):
            if isinstance(model, LSTM):
                i, f, a, o = np.split(x_k @ U.T + b + h @ W.T + d, 4, axis=1)
                c = logistic(f) * c + logistic(i) * np.tanh(a)
                h = logistic(o) * np.tanh(c)
            elif isinstance(model, ElmanRNN):
                h = np.tanh(x_k @ U.T + b + h @ W.T + d)
            else:
                (r, z, n), (r_h, z_h, n_h) = (np.split(v, 3, axis=1) for v in (x_k @ U.T + b, h @ W.T + d))
                z = logistic(z + z_h)
                h = z * h + (1 - z) * np.tanh(n + logistic(r + r_h) * n_h)
            outputs.append(h)
        x = np.stack(outputs, 1)
    return x @ p["readout.weight"].T + p.get("readout.bias", 0)


@KINDS
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [False, True])
def test_the_network_is_its_equations(kind, layers, bias):
    model = network(kind, layers=layers, bias=bias)
    x = noise(0, 2, 20, 2)
    exact = plain(model, x.numpy())
    assert model(x).shape == (2, 20, 3)
    # states are at most one, and the gates halve what a step adds to their error: sums of eight terms a layer
    np.testing.assert_allclose(model(x).detach(), exact, rtol=0, atol=64 * layers * EPS)


@KINDS
def test_it_is_torchs_with_a_readout(kind):
    model = network(kind)
    torch.manual_seed(1)
    theirs = kind.cell(2, 4, num_layers=2, batch_first=True, dtype=torch.float64)
    readout = nn.Linear(4, 3, dtype=torch.float64)
    x = noise(1, 2, 20, 2)
    assert torch.equal(model(x), readout(theirs(x)[0]))


@KINDS
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3), (0, 19), tuple(range(1, 20))], ids=str)
def test_chunks_of_time_are_the_whole_sequence(kind, cuts):
    model = network(kind)
    x, state, parts = noise(2, 3, 20, 2), None, []
    for chunk in x.tensor_split(cuts, 1):
        y, state = model.run(chunk, state)
        parts.append(y)
    whole = model.run(x)
    assert whole.last.shape == (3, 2 * 4 * kind.states)
    torch.testing.assert_close(torch.cat(parts, 1), whole.y, rtol=0, atol=64 * EPS)
    torch.testing.assert_close(state, whole.last, rtol=0, atol=64 * EPS)


@KINDS
def test_states_are_those_of_each_sequence(kind):
    """A batch is its sequences one by one, states too: none lands in another's row."""
    model = network(kind)
    x = noise(3, 3, 6, 2)
    together = model.run(x)
    for i in range(3):
        alone = model.run(x[i : i + 1])
        torch.testing.assert_close(together.last[i], alone.last[0], rtol=0, atol=64 * EPS)
        again = model.run(x[i : i + 1], together.last[i : i + 1]).y
        torch.testing.assert_close(model.run(x, together.last).y[i], again[0], rtol=0, atol=64 * EPS)


@KINDS
@pytest.mark.parametrize("cut", [0, 7, 19])
def test_networks_are_causal(kind, cut):
    model = network(kind)
    x = noise(4, 2, 20, 2)
    later = x.clone()
    later[:, cut:] += 1.0
    with torch.no_grad():
        assert torch.equal(model(x)[:, :cut], model(later)[:, :cut])
        assert (model(x)[:, cut] - model(later)[:, cut]).abs().max() > 1e-3
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, cut].sum(), x)
    assert not gradient[:, cut + 1 :].any()
    assert gradient[:, : cut + 1].abs().amax((0, 2)).min() > 0


@KINDS
def test_memory_and_gradients_of_random_weights_decay(kind):
    model = network(kind, width=16)
    curve = memory_function(model, 60, dtype=torch.float64)
    assert curve.attrs["causal"]
    assert curve.values[-1] < 1e-3 * curve.values.max()
    gradients = gradient_norms(model, 60, samples=2)["mean"].values
    assert gradients[-1] < 1e-3 * gradients.max()


def test_the_spectral_radius_of_an_elman_network_is_that_of_the_circular_law():
    """Entries of variance 1/(3m): a radius of 1/√3, with fluctuations that die out with m."""
    W = ElmanRNN(800, seed=0, dtype=torch.float64).network.weight_hh_l0
    assert torch.linalg.eigvals(W).abs().max().item() == pytest.approx(3**-0.5, rel=0.05)


@KINDS
def test_dropout_is_at_work_between_layers_in_training_only(kind):
    model, x = network(kind, dropout=0.5), noise(5, 2, 10, 2)
    assert not torch.equal(model(x), model(x))
    assert torch.equal(model.eval()(x), network(kind)(x))


@KINDS
def test_a_seed_leaves_the_global_generator_alone_and_the_dtype_rounds_the_same_draw(kind):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    single, double = network(kind, dtype=torch.float32), network(kind)
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a, b.float())
    assert not torch.equal(network(kind, seed=2).readout.weight, double.readout.weight)
    assert kind(3).readout.weight.dtype == torch.get_default_dtype()
    assert not torch.equal(torch.get_rng_state(), before)


@KINDS
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be at least 1"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"input_size": 0}, "input_size must be at least 1"),
        ({"output_size": 0}, "output_size must be at least 1"),
        ({"dropout": 1.5}, "dropout must be at least 0 and below 1"),
        ({"dropout": 0.5, "layers": 1}, "dropout must be 0 with one layer"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        network(kind, **arguments)


@KINDS
def test_bad_inputs_are_refused(kind):
    model, x = network(kind), noise(0, 2, 5, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 2\)"):
        model(x[..., :1])
    with pytest.raises(ValueError, match="state must have shape"):
        model.run(x[:1], model.run(x).last)


# --- chrono initialisation (Tallec and Ollivier 2018) --------------------------------------------


@pytest.mark.parametrize("layer", [0, 1])
def test_memories_of_chrono_initialisation_are_uniform(layer):
    """1/(1 − f) has the distribution function (x − 2)/(T − 2) on [2, T], and i = 1 − f."""
    T, width = 1000, 4000
    model = LSTM(width, 2, chrono=T, seed=0, dtype=torch.float64)
    bias = model.network.get_parameter(f"bias_ih_l{layer}") + model.network.get_parameter(f"bias_hh_l{layer}")
    i, f, _, _ = bias.detach().sigmoid().numpy().reshape(4, width)
    memories = np.sort(1 / (1 - f))
    assert 2 <= memories[0] < memories[-1] <= T
    np.testing.assert_allclose(i, 1 - f, rtol=0, atol=4 * EPS)
    expected = (memories - 2) / (T - 2)
    # Kolmogorov: the distance of the empirical one is above 1.95/√n once in a thousand draws
    assert np.abs(np.arange(1, width + 1) / width - expected).max() < 1.95 / math.sqrt(width)


def test_units_of_a_chrono_lstm_keep_their_cells_so_long():
    """With all else at zero c decays by f a step: after n steps f^n is left."""
    model = LSTM(8, chrono=50, seed=0, dtype=torch.float64)
    kept = {"bias_ih_l0", "bias_hh_l0"}
    with torch.no_grad():
        for name, p in model.network.named_parameters():
            p[16 if name in kept else 0 :] = 0  # behind the input and forget gates
    start = torch.cat([torch.zeros(1, 8), torch.ones(1, 8)], 1).double()
    cells = model.run(torch.zeros(1, 30, 1).double(), start).last[0, 8:].detach()
    u = model.network.bias_ih_l0[8:16].exp()
    torch.testing.assert_close(cells, (1 - 1 / (1 + u)) ** 30, rtol=1e-12, atol=0)
    assert u.min() >= 1
    assert u.max() <= 49


def test_chrono_initialisation_changes_the_two_gates_and_nothing_else():
    with_it, without = LSTM(5, 2, chrono=9, seed=3), LSTM(5, 2, seed=3)
    for (name, a), b in zip(with_it.named_parameters(), without.parameters(), strict=True):
        if "bias" in name and "network" in name:
            assert torch.equal(a[10:], b[10:])
            assert not torch.isin(a[:10], b[:10]).any()
        else:
            assert torch.equal(a, b)
    shortest = LSTM(5, chrono=2, seed=0).network
    assert torch.equal(shortest.bias_ih_l0[:10] + shortest.bias_hh_l0[:10], torch.zeros(10))  # u = 1


@pytest.mark.parametrize(
    ("arguments", "kind", "message"),
    [
        ({"chrono": 1.5}, ValueError, "chrono must be at least 2 steps"),
        ({"chrono": math.inf}, ValueError, "chrono must be"),
        ({"chrono": "long"}, TypeError, "chrono must be"),
        ({"chrono": 10, "bias": False}, ValueError, "chrono must be None without biases"),
    ],
    ids=str,
)
def test_a_bad_chrono_is_refused(arguments, kind, message):
    with pytest.raises(kind, match=message):
        LSTM(4, **arguments)
