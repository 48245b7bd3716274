"""Long Expressive Memory against its equations, one step after the other, in the public code's layout."""

import copy
import math
import pickle

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn import LEM, SequenceStack
from curse_of_memory.nn.recurrence.nonlinear import engines as nonlinear_engines

EPS = float(np.finfo(float).eps)
H, M, OUT = 5, 3, 2
CELL = ("inp2hid", "hid2hid", "transform_z")


@pytest.fixture(params=["compiled", "torch operations"])
def engine(request, monkeypatch):
    """Both engines; the one for GPUs runs on the CPU, too."""
    if request.param == "torch operations":
        monkeypatch.setattr(nonlinear_engines, "COMPILED", ())


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def official(seed=0, h=H, m=M, outputs=OUT):
    """Weights under the names of the public code, of no particular scale."""
    shapes = {"cell.inp2hid": (4 * h, m), "cell.hid2hid": (3 * h, h), "cell.transform_z": (h, h)}
    shapes |= {"classifier": (outputs, h)} if outputs else {}
    tensors = {}
    for i, (name, shape) in enumerate(shapes.items()):
        tensors[f"{name}.weight"] = noise([seed, i], *shape) / math.sqrt(shape[1])
        tensors[f"{name}.bias"] = noise([seed, i, 1], shape[0])
    return tensors


def naive(p, x, dt=0.3, y=None, z=None):
    """The equations of the paper, (3), with the public code's tensors: all y, and the last y and z.

    x is (batch, time, channel), dt a number or one for each unit of y and of z. The blocks of the input's map
    are y gate, z gate, goal of y, goal of z; those of y's map y gate, z gate, goal of z.
    """
    h = len(p["cell.transform_z.bias"])
    y = torch.zeros(len(x), h, dtype=x.dtype) if y is None else y
    z = torch.zeros_like(y) if z is None else z
    dt_y, dt_z = dt if isinstance(dt, torch.Tensor) and dt.ndim else (dt, dt)
    V, a = p["cell.inp2hid.weight"], p["cell.inp2hid.bias"]
    W, b = p["cell.hid2hid.weight"], p["cell.hid2hid.bias"]
    ys = []
    for n in range(x.shape[1]):
        u, v = x[:, n] @ V.T + a, y @ W.T + b
        delta_bar = dt_y / (1 + torch.exp(-(u[:, :h] + v[:, :h])))
        delta = dt_z / (1 + torch.exp(-(u[:, h : 2 * h] + v[:, h : 2 * h])))
        z = (1 - delta) * z + delta * torch.tanh(u[:, 3 * h :] + v[:, 2 * h :])
        goal = z @ p["cell.transform_z.weight"].T + p["cell.transform_z.bias"] + u[:, 2 * h : 3 * h]
        y = (1 - delta_bar) * y + delta_bar * torch.tanh(goal)
        ys.append(y)
    return torch.stack(ys, 1), torch.cat([y, z], -1)


def read_out(p, y):
    return y @ p["classifier.weight"].T + p["classifier.bias"]


def close(found, expected, atol=1e-12):
    torch.testing.assert_close(found, expected, rtol=0, atol=atol)


def random_layer(width=H, layers=1, **options):
    """A layer whose weights, and learnt steps, are drawn wider than initially; in float64."""
    options = {"input_size": M, "output_size": OUT, "dt": 0.3, "seed": 0, "dtype": torch.float64} | options
    layer = LEM(width, layers, **options)
    with torch.no_grad():
        for i, p in enumerate(layer.parameters()):
            p.copy_(noise([7, i], *p.shape) / math.sqrt(p.shape[-1] if p.ndim else 1))
    return layer


def public(layer, i=0):
    """The weights of one direction under the public names."""
    alone = LEM(layer.width, input_size=layer.network.direction(i).input_weight.shape[1], output_size=None)
    alone.double().network.direction(0).load_state_dict(layer.network.direction(i).state_dict(), strict=False)
    return alone.official_state_dict()


def naive_layers(layer, x, state=None):
    """What a layer of any number of layers and directions answers to sequences of equal length."""
    batch, count = len(x), len(layer.network.directions)
    directions = 2 if layer.bidirectional else 1
    state = torch.zeros(batch, 2 * count * layer.width).to(x) if state is None else state
    y0, z0 = state.reshape(batch, 2, count, layer.width).unbind(1)
    lasts = []
    for i in range(0, count, directions):
        parts = []
        for k in range(directions):
            dt = layer.network.direction(i + k).time_step(x.dtype)
            u = x.flip(1) if k else x
            y, last = naive(public(layer, i + k), u, dt, y0[:, i + k], z0[:, i + k])
            parts.append(y.flip(1) if k else y)
            lasts.append(last.reshape(batch, 2, layer.width))
        x = torch.cat(parts, -1)
    return layer.readout(x) if layer.readout else x, torch.stack(lasts, 2).reshape(batch, -1)


# --- the public code's network ----------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["zero", "given"])
@pytest.mark.parametrize("dt", [1.0, 0.3, 0.00017])
def test_values_and_all_gradients_are_those_of_the_equations(engine, dt, start):
    p, x, state = official(), noise(1, 4, 60, M), noise(2, 4, 2 * H)
    layer = LEM.from_official(p, dt=dt)
    leaves = {name: t.clone().requires_grad_() for name, t in p.items()}
    ours_x, their_x = x.clone().requires_grad_(), x.clone().requires_grad_()
    ours_start, their_start = state.clone().requires_grad_(), state.clone().requires_grad_()
    given = start == "given"
    y, last = layer.run(ours_x, ours_start if given else None)
    states, expected_last = naive(leaves, their_x, dt, *(their_start.split(H, 1) if given else ()))
    expected = read_out(leaves, states)
    close(y, expected)
    close(last, expected_last)
    weights = noise(3, *y.shape), noise(4, *last.shape)
    of_ours = [ours_x, *layer.parameters(), *([ours_start] if given else [])]
    of_theirs = [their_x, *leaves.values(), *([their_start] if given else [])]
    found = torch.autograd.grad((y * weights[0]).sum() + (last * weights[1]).sum(), of_ours)
    wanted = torch.autograd.grad(
        (expected * weights[0]).sum() + (expected_last * weights[1]).sum(), of_theirs
    )
    size = max(1.0, *(g.abs().max().item() for g in wanted))
    named = dict(zip((name for name, _ in layer.named_parameters()), found[1:], strict=False))
    shell = LEM.from_official(p, dt=dt)
    with torch.no_grad():
        for name, q in shell.named_parameters():
            q.copy_(named[name])
    gradients = shell.official_state_dict()  # the gradients, carried back to the public layout
    for (name, _), gradient in zip(leaves.items(), wanted[1:], strict=False):
        close(gradients[name], gradient, 1e-12 * size)
    close(found[0], wanted[0], 1e-12 * size)
    if given:
        close(found[-1], wanted[-1], 1e-12 * size)


def test_official_weights_go_there_and_back():
    p = official()
    layer = LEM.from_official(p, dt=0.5)
    assert layer.official_state_dict().keys() == p.keys()
    assert all(torch.equal(t, p[name]) for name, t in layer.official_state_dict().items())
    layer.official_state_dict()["cell.inp2hid.weight"].zero_()  # a copy
    assert torch.equal(layer.official_state_dict()["cell.inp2hid.weight"], p["cell.inp2hid.weight"])
    assert LEM.from_official(p, dt=0.5, dtype=torch.float32)(torch.zeros(1, 2, M)).dtype == torch.float32
    renamed = {k.replace("cell", "module.rnn").replace("classifier", "head"): v for k, v in p.items()}
    assert torch.equal(LEM.from_official(renamed, dt=0.5)(noise(0, 2, 9, M)), layer(noise(0, 2, 9, M)))


def test_an_official_cell_without_a_readout_answers_its_states():
    p = official(outputs=0)
    for given in (p, {name.removeprefix("cell."): t for name, t in p.items()}):
        layer = LEM.from_official(given, dt=0.3)
        assert layer.output_size is None
        close(layer(noise(0, 2, 9, M)), naive(p, noise(0, 2, 9, M))[0])


@pytest.mark.parametrize("name", list(official()))
def test_a_missing_or_misshapen_tensor_is_named(name):
    p = official()
    missing = {k: v for k, v in p.items() if k != name}
    with pytest.raises(ValueError, match=name.removeprefix("cell.").replace(".", r"\.")):
        LEM.from_official(missing, dt=0.3)
    longer = torch.cat([p[name], p[name][-1:]])
    for wrong in (longer, p[name][:0], p[name].new_zeros(()), p[name][..., None]):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")) as caught:
            LEM.from_official(p | {name: wrong}, dt=0.3)
        assert "\n" not in str(caught.value)
    with pytest.raises(TypeError, match=name.replace(".", r"\.")):
        LEM.from_official(p | {name: p[name].tolist()}, dt=0.3)


def test_a_direction_takes_the_weights_of_an_official_model():
    """Each of the two that read both ways, in chunks of different lengths, from states that are not zero."""
    one, other = official(0, outputs=0), official(1, outputs=0)
    layer = LEM(H, bidirectional=True, dt=0.3, input_size=M, output_size=None, dtype=torch.float64)
    for i, p in enumerate((one, other)):
        layer.network.direction(i).load_state_dict(
            LEM.from_official(p, dt=0.3).network.direction(0).state_dict()
        )
    sequences, state = [noise([3, n], n, M) for n in (9, 4)], noise(5, 2, 4 * H)
    y, last = layer.run(nn.utils.rnn.pad_sequence(sequences, batch_first=True), state, lengths=[9, 4])
    for i, x in enumerate(sequences):
        y0, z0 = state[i : i + 1].reshape(1, 2, 2, H).unbind(1)
        ahead, end = naive(one, x[None], 0.3, y0[:, 0], z0[:, 0])
        back, start = naive(other, x[None].flip(1), 0.3, y0[:, 1], z0[:, 1])
        close(y[i, : len(x)], torch.cat([ahead, back.flip(1)], -1)[0])
        close(last[i].reshape(2, 2, H), torch.stack([end.reshape(2, H), start.reshape(2, H)], 1))


def test_what_is_no_official_model_is_refused():
    p = official()
    with pytest.raises(TypeError, match="state_dict must be a mapping"):
        LEM.from_official(list(p.items()), dt=0.3)
    with pytest.raises(TypeError, match="state_dict must have names as keys, got 3"):
        LEM.from_official(p | {3: torch.zeros(2)}, dt=0.3)
    with pytest.raises(ValueError, match=r"'extra\.weight'"):
        LEM.from_official(p | {"extra.weight": torch.zeros(2)}, dt=0.3)
    twice = p | {f"second.{k}": v for k, v in p.items()}
    with pytest.raises(ValueError, match=r"must have one tensor 'inp2hid\.weight'.*second"):
        LEM.from_official(twice, dt=0.3)
    with pytest.raises(ValueError, match="dt must be above 0"):
        LEM.from_official(p, dt=0.0)
    for options in ({"layers": 2}, {"bidirectional": True}, {"learn_dt": "each"}):
        with pytest.raises(ValueError, match="official weights are of one layer in one direction"):
            LEM(4, **options).official_state_dict()


def test_weights_start_where_the_public_code_starts():
    """Its draws, one after the other: three affine maps, all of it uniform, the readout, a normal C."""
    torch.manual_seed(1234)
    layer = LEM(16)
    after = torch.get_rng_state()
    torch.manual_seed(1234)
    cell = nn.ModuleDict({"inp2hid": nn.Linear(1, 64), "hid2hid": nn.Linear(16, 48)})
    cell["transform_z"] = nn.Linear(16, 16)
    for weight in cell.parameters():
        weight.data.uniform_(-0.25, 0.25)
    classifier = nn.Linear(16, 1)
    nn.init.kaiming_normal_(classifier.weight)
    assert torch.equal(torch.get_rng_state(), after)  # whatever is drawn next is the same, too
    expected = {f"cell.{k}": v for k, v in cell.state_dict().items()}
    expected |= {f"classifier.{k}": v for k, v in classifier.state_dict().items()}
    found = layer.official_state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    seeded = LEM(16, seed=1234, dtype=torch.float64).official_state_dict()
    assert all(torch.equal(seeded[name], expected[name].double()) for name in expected)


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_there_are_as_many_weights_as_in_an_lstm(layers, bidirectional):
    ours = LEM(7, layers, input_size=3, output_size=None, bidirectional=bidirectional)
    theirs = nn.LSTM(3, 7, layers, bidirectional=bidirectional)
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize(
    ("m", "h", "outputs", "total"),
    [(2, 128, 1, 67713), (6, 32, 5, 5285), (1, 16, 1, 1233), (80, 128, 12, 109068), (96, 128, 10, 117002)],
)
def test_the_official_models_have_as_many_weights_as_counted(m, h, outputs, total):
    layer = LEM(h, input_size=m, output_size=outputs)
    assert sum(p.numel() for p in layer.parameters()) == total


# --- layers, directions, time steps -----------------------------------------------------------------------

SHAPES = [(1, False, "no"), (1, False, "each"), (2, False, "one"), (1, True, "no"), (3, True, "each")]
KINDS = pytest.mark.parametrize(("layers", "bidirectional", "learn_dt"), SHAPES)


@KINDS
@pytest.mark.parametrize("output_size", [None, 2, 9])  # 9: more than the loops read out on their way
def test_layers_and_directions_are_their_equations(engine, layers, bidirectional, learn_dt, output_size):
    layer = random_layer(
        layers=layers, bidirectional=bidirectional, learn_dt=learn_dt, output_size=output_size
    )
    x, state = noise(1, 3, 20, M), noise(2, 3, 2 * layers * (1 + bidirectional) * H)
    for start in (None, state):
        close(layer.run(x, start).y, naive_layers(layer, x, start)[0])
        close(layer.run(x, start).last, naive_layers(layer, x, start)[1])
    close(layer(x), layer.run(x).y, 0)


# every number is moved two ways, and two layers hand on as three do
@pytest.mark.slow
@pytest.mark.parametrize(("layers", "bidirectional", "learn_dt"), [*SHAPES[:-1], (2, True, "each")])
def test_gradients_are_those_of_differences(engine, layers, bidirectional, learn_dt):
    layer = random_layer(2, layers, bidirectional=bidirectional, learn_dt=learn_dt, input_size=1)
    names = [name for name, _ in layer.named_parameters()]
    x, state = noise(1, 2, 3, 1), noise(2, 2, 2 * layers * (1 + bidirectional) * 2)

    def run(x, state, *weights):
        full = dict(zip(names, weights, strict=True))
        return tuple(torch.func.functional_call(layer, full, ((x, state),), tie_weights=False))

    layer.forward = lambda chunk: layer.run(*chunk)  # with a state, and with the last ones
    leaves = [t.detach().clone().requires_grad_() for t in (x, state, *layer.parameters())]
    assert torch.autograd.gradcheck(run, leaves)


@pytest.mark.parametrize("start", [1.0, 0.3, 0.00017])
@pytest.mark.parametrize("learn_dt", ["one", "each"])
def test_learnt_steps_start_where_they_are_told_and_stay_in_their_interval(start, learn_dt):
    layer = LEM(4, 2, dt=start, learn_dt=learn_dt, seed=0, dtype=torch.float64)
    steps = layer.time_step
    assert steps.shape == ((2,) if learn_dt == "one" else (2, 2, 4))
    close(steps, torch.full_like(steps, start), 4 * EPS)
    close(
        layer(noise(0, 2, 9, 1)), LEM(4, 2, dt=start, seed=0, dtype=torch.float64)(noise(0, 2, 9, 1)), 1e-14
    )
    names = [name for name in layer.state_dict() if name.endswith("log_dt")]
    assert len(names) == 2
    for value in (-1e4, -1.0, 0.0, 1e-3, 1e4):
        with torch.no_grad():
            for name, p in layer.named_parameters():
                if name in names:
                    p.fill_(value)
        assert (layer.time_step > 0).all()
        assert (layer.time_step <= 1).all()


@pytest.mark.slow
def test_one_step_from_one_on_learns_to_be_smaller_and_comes_back():
    """From dt = 1 there is a way down; past 1 there is no way, and it turns round."""
    torch.manual_seed(0)
    teacher = LEM(8, dt=0.2, seed=1, output_size=None)
    layer = LEM(8, dt=1.0, learn_dt="one", seed=1, output_size=None)
    x = torch.randn(16, 60, 1)
    (log_dt,) = (p for name, p in layer.named_parameters() if name.endswith("log_dt"))
    optimiser = torch.optim.Adam([log_dt], lr=0.05)
    for _ in range(150):
        optimiser.zero_grad()
        (layer(x) - teacher(x).detach()).square().mean().backward()
        optimiser.step()
    assert layer.time_step.item() == pytest.approx(0.2, rel=0.01)


def test_the_gradient_of_a_step_is_the_sum_over_its_units():
    x = noise(0, 3, 30, M)
    one, each = (random_layer(learn_dt=which, dt=0.3) for which in ("one", "each"))
    for layer in (one, each):
        layer.load_state_dict(random_layer().state_dict(), strict=False)
        with torch.no_grad():
            layer.network.direction(0).log_dt.fill_(math.log(0.3))
        layer(x).square().sum().backward()
    found = one.network.direction(0).log_dt.grad
    close(found, each.network.direction(0).log_dt.grad.sum(), 1e-12 * found.abs().item())


# --- lengths ----------------------------------------------------------------------------------------------

LENGTHS = [4, 11, 1, 11, 7]


def ragged(seed=3):
    return [noise([seed, n], steps, M) for n, steps in enumerate(LENGTHS)]


@KINDS
@pytest.mark.parametrize("how", ["list", "tensor", "packed", "sorted"])
def test_sequences_of_different_lengths_are_each_alone(engine, layers, bidirectional, learn_dt, how):
    layer = random_layer(layers=layers, bidirectional=bidirectional, learn_dt=learn_dt)
    sequences = ragged()
    if how == "sorted":
        sequences.sort(key=len, reverse=True)
    lengths = [len(s) for s in sequences]
    state = noise(5, len(sequences), 2 * layers * (1 + bidirectional) * H)
    x = nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=math.nan)
    if how in ("list", "tensor"):
        y, last = layer.run(x, state, lengths=lengths if how == "list" else torch.tensor(lengths))
        assert not y[2 if how != "sorted" else -1, 1:].any()
        assert torch.equal(layer(x, lengths=lengths), layer.run(x, lengths=lengths).y)
    else:
        packed = pack_sequence(sequences, enforce_sorted=how == "sorted")
        y, last = layer.run(packed, state)
        for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
            one, other = getattr(y, name), getattr(packed, name)
            assert one is other or torch.equal(one, other)
        assert torch.equal(layer(packed).data, layer.run(packed).y.data)
        y = pad_packed_sequence(y, batch_first=True)[0]
    for i, sequence in enumerate(sequences):
        alone, alone_last = layer.run(sequence[None], state[i : i + 1])
        close(y[i, : len(sequence)], alone[0])
        close(last[i], alone_last[0])
        assert not y[i, len(sequence) :].any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_gradients_of_padded_sequences_are_those_of_each_alone(dtype, bidirectional):
    layer = random_layer(layers=2, bidirectional=bidirectional, learn_dt="each").to(dtype)
    sequences = [s.to(dtype) for s in ragged()]
    x = nn.utils.rnn.pad_sequence(sequences, batch_first=True, padding_value=math.inf).requires_grad_()
    weights = list(layer.parameters())
    y, last = layer.run(x, lengths=LENGTHS)
    found = torch.autograd.grad(y.square().sum() + last.sin().sum(), [x, *weights])
    total = 0
    leaves = [s.clone().requires_grad_() for s in sequences]
    for leaf in leaves:
        alone = layer.run(leaf[None])
        total = total + alone.y.square().sum() + alone.last.sin().sum()
    expected = torch.autograd.grad(total, [*leaves, *weights])
    eps = torch.finfo(dtype).eps
    for i, steps in enumerate(LENGTHS):
        close(found[0][i, :steps], expected[i], 1e3 * eps)
        assert not found[0][i, steps:].any()
    for one, other in zip(found[1:], expected[len(leaves) :], strict=True):
        close(one, other, 1e3 * eps * max(1.0, other.abs().max().item()))


def test_packing_by_torch_is_the_same_as_lengths():
    layer, sequences = random_layer(), ragged()
    x = nn.utils.rnn.pad_sequence(sequences, batch_first=True)
    packed = pack_padded_sequence(x, torch.tensor(LENGTHS), batch_first=True, enforce_sorted=False)
    answers, lengths = pad_packed_sequence(layer(packed), batch_first=True)
    assert lengths.tolist() == LENGTHS
    assert torch.equal(answers, layer(x, lengths=LENGTHS))


@pytest.mark.parametrize(
    ("lengths", "kind", "message"),
    [
        ([0, 3], ValueError, "lengths must be at least 1, got 0"),
        ([-1, 3], ValueError, "lengths must be at least 1, got -1"),
        ([6, 3], ValueError, "lengths must be from 1 to 5, the steps of x, got 6"),
        (torch.tensor([0, 3]), ValueError, "lengths must be from 1 to 5, the steps of x, got 0"),
        (torch.tensor([-2, 3]), ValueError, "lengths must be from 1 to 5, the steps of x, got -2"),
        ([3], ValueError, "lengths must be one for each of 2 sequences"),
        (torch.tensor([[3, 3]]), ValueError, "lengths must be one for each of 2 sequences"),
        (np.array([6, 3]), ValueError, "lengths must be from 1 to 5, the steps of x, got 6"),
        ([3.0, 3.0], TypeError, "lengths must be a whole number"),
        (torch.tensor([3.0, 3.0]), TypeError, "lengths must be whole numbers"),
        (torch.tensor([True, True]), TypeError, "lengths must be whole numbers"),
        (3, TypeError, "lengths must be whole numbers, one for each sequence"),
        ("34", TypeError, "lengths must be whole numbers, one for each sequence"),
    ],
    ids=str,
)
def test_lengths_that_cannot_be_are_refused(lengths, kind, message):
    layer, x = LEM(4), torch.zeros(2, 5, 1)
    for call in (layer, layer.run, layer.steps):
        with pytest.raises(kind, match=message) as caught:
            call(x, lengths=lengths)
        assert "\n" not in str(caught.value)


# --- the steps that gates choose --------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("lengths", [None, [9, 4, 1]])
def test_steps_are_how_far_the_states_go(layers, bidirectional, learn_dt, lengths):
    """The gates once more, from the states before each step of the highest layer."""
    layer = random_layer(layers=layers, bidirectional=bidirectional, learn_dt=learn_dt)
    x, count = noise(1, 3, 9, M), 1 + bidirectional
    state = noise(2, 3, 2 * layers * count * H)
    i = len(layer.network.directions) - 1  # the highest, and the one backwards if there is one
    found = layer.steps(x, state, lengths=lengths, layer=layers - 1)
    assert found.z.shape == found.y.shape == (3, 9, count * H)
    assert not (lengths and found.z[2, 1:].any())
    for b, steps in enumerate(lengths or [9, 9, 9]):
        u, start = x[b : b + 1, :steps], state[b : b + 1]
        if layers > 1:  # what the layers below answer, from a network of these
            below = LEM(
                H, layers - 1, bidirectional=bidirectional, learn_dt=learn_dt, input_size=M, output_size=None
            )
            below.double().load_state_dict(
                {k: v for k, v in layer.state_dict().items() if k in below.state_dict()}
            )
            parts = start.reshape(1, 2, -1, H)[:, :, : (layers - 1) * count].reshape(1, -1)
            u = naive_layers(below, u, parts)[0]
        u = u.flip(1) if bidirectional else u
        p, dt = public(layer, i), layer.network.direction(i).time_step(torch.float64)
        dt_y, dt_z = dt if isinstance(dt, torch.Tensor) and dt.ndim else (dt, dt)
        y, z = start.reshape(1, 2, -1, H)[:, :, i].unbind(1)
        order = range(steps - 1, -1, -1) if bidirectional else range(steps)
        for n, k in enumerate(order):
            gates = u[:, n] @ p["cell.inp2hid.weight"].T + p["cell.inp2hid.bias"]
            gates = gates[:, : 2 * H] + (y @ p["cell.hid2hid.weight"].T + p["cell.hid2hid.bias"])[:, : 2 * H]
            close(found.y[b, k, -H:], (dt_y * gates[:, :H].sigmoid())[0])
            close(found.z[b, k, -H:], (dt_z * gates[:, H:].sigmoid())[0])
            _, last = naive(p, u[:, n : n + 1], dt, y, z)
            y, z = last.split(H, 1)


def test_steps_have_gradients_and_refuse_what_is_no_layer():
    layer, x = random_layer(layers=2), noise(0, 2, 6, M).requires_grad_()
    layer.steps(x, layer=1).z.sum().backward()
    assert x.grad[:, :-1].abs().amax((0, 2)).min() > 0
    assert not layer.steps(x[:, :0]).z.numel()
    for wrong in (2, -1, 1.5, None):
        with pytest.raises((ValueError, TypeError), match="layer must"):
            layer.steps(x, layer=wrong)


# --- in place of others -----------------------------------------------------------------------------------


@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3), (0, 19), tuple(range(1, 20))], ids=str)
def test_chunks_of_time_are_the_whole_sequence(cuts):
    layer = random_layer(layers=2, learn_dt="each")
    x, state, parts = noise(2, 3, 20, M), None, []
    for chunk in x.tensor_split(cuts, 1):
        y, state = layer.run(chunk, state)
        parts.append(y)
    close(torch.cat(parts, 1), layer(x), 0)
    close(state, layer.run(x).last, 0)


def test_dropout_is_at_work_between_layers_in_training_only():
    layer, x = LEM(8, 2, dropout=0.5, seed=0), torch.ones(2, 10, 1)
    assert not torch.equal(layer(x), layer(x))
    assert torch.equal(layer.eval()(x), LEM(8, 2, seed=0)(x))


def test_it_is_measured_and_stacked_as_other_layers_are():
    layer = LEM(16, dt=0.1, learn_dt="each", seed=0)
    curve = memory_function(layer, 60)
    assert curve.attrs["causal"]
    assert float(curve.lag[-1]) == 59  # in steps
    assert gradient_norms(layer, 60, samples=2)["mean"].values[-1] > 0
    stack = SequenceStack(lambda w: LEM(w, input_size=w, output_size=w), 4, 2, seed=0)
    x = torch.randn(2, 20, 1)
    first = stack.run(x[:, :8])
    torch.testing.assert_close(stack.run(x[:, 8:], first.last).y, stack(x)[:, 8:], rtol=0, atol=1e-5)


def test_gradients_reach_far_where_steps_are_small():
    """Untrained nets of step 0.1 have a gradient of 100 steps ago; with step 1 it is lost, as by an LSTM."""

    def far(layer):
        x = noise(0, 8, 101, 1).float().requires_grad_()
        y = layer(x)
        y = y if isinstance(y, torch.Tensor) else y[0]
        (gradient,) = torch.autograd.grad(y[:, -1].sum(), x)
        return gradient[:, 0].norm().item()

    far_by_dt = {dt: far(LEM(32, dt=dt, output_size=None, seed=0)) for dt in (1.0, 0.1, 0.01)}
    torch.manual_seed(0)
    assert far_by_dt[0.1] > 1e6 * far_by_dt[1.0]
    assert far_by_dt[0.01] > 1e-6
    assert far(nn.LSTM(1, 32, batch_first=True)) < 1e-6 * far_by_dt[0.1]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_in_two_directions_what_is_no_number_reaches_all_of_its_sequence_and_no_other(bad):
    layer, x = random_layer(layers=2, bidirectional=True), noise(0, 3, 9, M)
    expected = layer(x)
    x[1, 4, 0] = bad
    y, last = layer.run(x)
    assert y[1].isnan().all()
    assert last[1].isnan().all()
    close(y[[0, 2]], expected[[0, 2]], 0)
    assert all(g.isfinite().all() for g in torch.autograd.grad(y[[0, 2]].sum(), list(layer.parameters())))


def test_what_needs_the_whole_sequence_has_no_steps():
    layer = LEM(4, bidirectional=True, input_size=4, output_size=4)
    with pytest.raises(ValueError, match="a bidirectional layer has no step"):
        layer.step(torch.zeros(2, 4))
    stack = SequenceStack(lambda w: copy.deepcopy(layer), 4)
    with pytest.raises(ValueError, match="a bidirectional mixing layer needs whole sequences"):
        stack.run(torch.zeros(2, 5, 1))
    assert stack(torch.zeros(2, 5, 1)).shape == (2, 5, 1)


def test_precision_is_that_of_the_weights_under_autocast_too():
    layer, x = LEM(4, 2, bidirectional=True, learn_dt="each", seed=0), torch.randn(3, 7, 1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), layer(x.clone()))
        rounded, steps = layer(x), layer.steps(x)
    assert rounded.dtype == torch.float32
    assert torch.equal(rounded, layer(x))
    assert torch.equal(steps.z, layer.steps(x).z)
    short = copy.deepcopy(layer).bfloat16()
    assert short.steps(x.bfloat16()).y.dtype == torch.bfloat16


@pytest.mark.slow
@pytest.mark.parametrize("padded", [False, True])
def test_torchs_compiler_takes_it_whole(padded):
    layer, x = random_layer(layers=2, bidirectional=True, learn_dt="each"), noise(0, 3, 7, M)
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    options = {"lengths": torch.tensor([7, 1, 4])} if padded else {}
    ours, plain = compiled(x, **options), layer(x, **options)
    close(ours, plain)
    weights = list(layer.parameters())
    for one, other in zip(
        torch.autograd.grad(ours.square().sum(), weights),
        torch.autograd.grad(plain.square().sum(), weights),
        strict=True,
    ):
        close(one, other)
    torch._dynamo.reset()


def test_copies_and_pickles_keep_learnt_steps():
    layer, x = LEM(4, 2, dt=0.2, learn_dt="each", bidirectional=True, seed=0), torch.randn(2, 6, 1)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert torch.equal(twin(x), layer(x))
    fresh = LEM(4, 2, dt=0.9, learn_dt="each", bidirectional=True)
    fresh.load_state_dict(layer.state_dict())
    assert torch.equal(fresh(x), layer(x))
    assert "dt=0.2" in repr(LEM(4, dt=0.2))
    assert "learn_dt='each'" in repr(layer)


# --- bad arguments ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("dt", [0.0, -0.1, 1.0001, 2.5, math.nan, math.inf])
def test_a_step_that_is_not_in_its_interval_is_refused(dt):
    with pytest.raises(ValueError, match=r"dt must be (above 0 and at most 1|finite)"):
        LEM(4, dt=dt)


def test_a_tensor_is_no_step_since_its_gradient_would_be_lost():
    for dt in (torch.tensor(0.5, requires_grad=True), nn.Parameter(torch.full((4,), 0.5)), torch.tensor(0.5)):
        with pytest.raises(TypeError, match=r"dt must be a number, which learn_dt='one' or 'each'"):
            LEM(4, dt=dt)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be at least 1"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"input_size": 0}, "input_size must be at least 1"),
        ({"output_size": 0}, "output_size must be at least 1"),
        ({"dropout": 1.5}, "dropout must be at least 0 and below 1"),
        ({"dropout": 0.5, "layers": 1}, "dropout must be 0 with one layer"),
        ({"learn_dt": "ones"}, "learn_dt must be one of.*did you mean 'one'"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LEM(**{"width": 4} | arguments)


def test_bad_inputs_are_refused():
    layer, x = LEM(4, input_size=2), torch.zeros(3, 5, 2)
    for call in (layer, layer.run, layer.steps):
        with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 2\), got \(3, 5, 1\)"):
            call(x[..., :1])
    packed = pack_sequence([x[0, :, :1], x[1, :3, :1]])
    with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 2\)"):
        layer(packed)
    with pytest.raises(ValueError, match="lengths must be None for packed sequences"):
        layer(pack_sequence([x[0], x[1, :3]]), lengths=[5, 3])
    for state in (torch.zeros(3, 4), torch.zeros(3, 16), torch.zeros(2, 8)):
        for call in (layer.run, layer.steps):
            with pytest.raises(ValueError, match=r"state must have shape \(3, 8\)"):
                call(x, state)


# --- the last step only -----------------------------------------------------------------------------------


def pooled(layer):
    """The same layer, which answers the last step only."""
    copied = copy.deepcopy(layer)
    copied.pooling = "last"
    return copied


@pytest.mark.parametrize("given", ["all", "lengths", "packed"])
@pytest.mark.parametrize("output_size", [None, 2, 9])
@pytest.mark.parametrize("layers", [1, 2])
def test_the_answer_to_the_last_step_is_the_last_of_all_answers(engine, layers, output_size, given):
    layer = random_layer(layers=layers, learn_dt="each", output_size=output_size)
    x = nn.utils.rnn.pad_sequence(ragged(), batch_first=True)
    state = noise(5, len(x), 2 * layers * H)
    lengths = [x.shape[1]] * len(x) if given == "all" else LENGTHS

    def gradients(model):
        leaves = [x.clone().requires_grad_(), state.clone().requires_grad_()]
        if given == "packed":
            packed = pack_padded_sequence(leaves[0], lengths, batch_first=True, enforce_sorted=False)
            y, last = model.run(packed, leaves[1])
            y = y if isinstance(y, torch.Tensor) else pad_packed_sequence(y, batch_first=True)[0]
        else:
            y, last = model.run(leaves[0], leaves[1], lengths=lengths if given == "lengths" else None)
        if y.ndim == 3:
            y = y[torch.arange(len(x)), torch.tensor(lengths) - 1]
        total = (y * noise(6, *y.shape)).sum() + (last * noise(7, *last.shape)).sum()
        return y, last, *torch.autograd.grad(total, [*leaves, *model.parameters()])

    for one, other in zip(gradients(pooled(layer)), gradients(layer), strict=True):
        close(one, other, 1e-12 * max(1.0, other.abs().max().item()))


def test_both_directions_answer_after_their_own_last_step(engine):
    layer = random_layer(2, 2, bidirectional=True, output_size=None)
    x = nn.utils.rnn.pad_sequence(ragged(), batch_first=True)
    y, last = pooled(layer).run(x, lengths=LENGTHS)
    everything = layer.run(x, lengths=LENGTHS)
    ends = everything.y[torch.arange(len(x)), torch.tensor(LENGTHS) - 1, :2]
    close(y, torch.cat([ends, everything.y[:, 0, 2:]], 1))
    close(last, everything.last)


def test_a_layer_that_answers_the_last_step_runs_in_chunks_and_steps_and_spreads_nan():
    layer = LEM(H, input_size=M, output_size=OUT, pooling="last", seed=0, dtype=torch.float64)
    assert "pooling='last'" in repr(layer)
    x = noise(1, 3, 20, M)
    assert layer(x).shape == (3, OUT)
    state = layer.run(x[:, :7]).last
    close(layer.run(x[:, 7:], state).y, layer(x))
    for k in range(7, 20):
        y, state = layer.step(x[:, k], state)
    close(y, layer(x))
    x[1, 4] = math.nan
    found = layer.run(x)
    assert found.y[1].isnan().all()
    assert found.last[1].isnan().all()
    assert found.y[[0, 2]].isfinite().all()
