"""Causal attention against the explicit softmax, and transformers against torch's."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.measure import gradient_norms, memory_function
from curse_of_memory.nn.attention.causal_attention import Cache, CausalSelfAttention
from curse_of_memory.nn.attention.positions import POSITIONS, rotated, waves
from curse_of_memory.nn.attention.transformer import NORM_PLACES, CausalTransformer

EPS = float(np.finfo(float).eps)


def noise(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape))


def attention(width=12, heads=3, **options):
    return CausalSelfAttention(width, heads, **({"seed": 1, "dtype": torch.float64} | options))


def transformer(width=8, layers=2, **options):
    options = {"heads": 2, "input_size": 2, "output_size": 3, "seed": 1, "dtype": torch.float64} | options
    if options.get("positions") == "learnt":
        options = {"horizon": 20} | options
    return CausalTransformer(width, layers, **options)


def turned(z, t):
    """Pairs of channels as complex numbers, times e^{iωt}."""
    w = z.shape[-1]
    omega = 10000.0 ** (-2 * np.arange(w // 2) / w)
    product = (z[..., 0::2] + 1j * z[..., 1::2]) * np.exp(1j * omega * t)
    return np.stack([product.real, product.imag], -1).reshape(z.shape)


def plain(layer, x):
    """The equation of the docstring, one query at a time."""
    p = {name: value.detach().numpy() for name, value in layer.named_parameters()}
    width, w = x.shape[-1], x.shape[-1] // layer.heads
    answers = np.empty(x.shape)
    for n, t, head in itertools.product(range(x.shape[0]), range(x.shape[1]), range(layer.heads)):
        rows = [slice(i * width + head * w, i * width + (head + 1) * w) for i in range(3)]
        bias = p.get("project.bias", np.zeros(3 * width))
        q, keys, values = (x[n, : t + 1] @ p["project.weight"][r].T + bias[r] for r in rows)
        q = q[t]
        if layer.rotary:
            q, keys = turned(q, t), np.array([turned(k, s) for s, k in enumerate(keys)])
        scores = np.exp(keys @ q / np.sqrt(w))
        answers[n, t, head * w : (head + 1) * w] = scores / scores.sum() @ values
    return answers @ p["out.weight"].T + p.get("out.bias", 0)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("rotary", [False, True])
@pytest.mark.parametrize("heads", [1, 3])
def test_attention_is_the_explicit_softmax(heads, rotary, bias):
    layer = attention(heads=heads, rotary=rotary, bias=bias)
    x = noise(0, 2, 9, 12)
    exact = plain(layer, x.numpy())
    # products of 12 terms, thrice in a row; softmax multiplies errors by the scores, of order one
    np.testing.assert_allclose(layer(x).detach(), exact, rtol=0, atol=16 * 12 * EPS * np.abs(exact).max())


def test_attention_is_torchs_with_the_same_weights():
    ours = attention()
    theirs = nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project.weight)
        theirs.in_proj_bias.copy_(ours.project.bias)
        theirs.out_proj.weight.copy_(ours.out.weight)
        theirs.out_proj.bias.copy_(ours.out.bias)
    x = noise(1, 2, 9, 12)
    mask = torch.ones(9, 9, dtype=torch.bool).triu(1)
    expected = theirs(x, x, x, attn_mask=mask, need_weights=False)[0]
    torch.testing.assert_close(ours(x), expected, rtol=0, atol=16 * 12 * EPS * expected.abs().max().item())


def test_without_scores_attention_is_the_running_mean():
    """Q = 0: every past step weighs the same, ŷ_t = Σ_{s ≤ t} x_s / (t + 1)."""
    layer = CausalSelfAttention(2, bias=False, dtype=torch.float64)
    layer.project.weight.data = torch.cat([torch.zeros(2, 2), torch.eye(2), torch.eye(2)]).double()
    layer.out.weight.data = torch.eye(2).double()
    x = noise(2, 1, 30, 2)
    mean = x.cumsum(1) / torch.arange(1, 31)[:, None]
    torch.testing.assert_close(layer(x), mean, rtol=0, atol=64 * EPS * x.abs().max().item())


@pytest.mark.parametrize("start", [0, 5])
def test_waves_and_rotations_are_those_of_the_papers(start):
    x = noise(3, 7, 6)
    expected = [
        [[np.sin, np.cos][i % 2]((start + t) / 10000 ** (2 * (i // 2) / 6)) for i in range(6)]
        for t in range(7)
    ]
    # an angle of up to eleven is rounded to its last digit, and sine and cosine follow
    np.testing.assert_allclose(waves(start, 7, 6, x), expected, rtol=0, atol=16 * EPS * 12)
    turns = np.array([turned(z, start + t) for t, z in enumerate(x.numpy())])
    np.testing.assert_allclose(rotated(x, start), turns, rtol=0, atol=16 * EPS * 12 * x.abs().max())


def test_products_of_rotated_vectors_depend_on_the_distance_alone():
    q, k = noise(4, 1, 6), noise(5, 1, 6)
    near = rotated(q, 7) @ rotated(k, 3).T
    far = rotated(q, 107) @ rotated(k, 103).T
    assert (near - q @ k.T).abs() > 0.01
    torch.testing.assert_close(near, far, rtol=0, atol=16 * 107 * EPS * (q.abs() @ k.abs().T).item())


def torchs_block(block, norm, activation):
    layer = nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, activation, batch_first=True, norm_first=norm == "pre", dtype=torch.float64
    )
    pairs = {
        layer.self_attn.out_proj: block.attention.out,
        layer.linear1: block.widen,
        layer.linear2: block.narrow,
        layer.norm1: block.norms[0],
        layer.norm2: block.norms[1],
    }
    with torch.no_grad():
        layer.self_attn.in_proj_weight.copy_(block.attention.project.weight)
        layer.self_attn.in_proj_bias.copy_(block.attention.project.bias)
    for theirs, ours in pairs.items():
        theirs.load_state_dict(ours.state_dict())
    return layer


@pytest.mark.parametrize("positions", ["none", "sinusoidal", "learnt"])
@pytest.mark.parametrize("activation", ["gelu", "relu"])
@pytest.mark.parametrize("norm", NORM_PLACES)
def test_transformers_are_torchs_with_the_same_weights(norm, activation, positions):
    model = transformer(norm=norm, activation=activation, positions=positions)
    # norms that are not the identity and each other's
    for i, p in enumerate(p for block in model.blocks for n in block.norms for p in n.parameters()):
        p.data += 0.3 * noise(i, 8)
    x = noise(6, 3, 15, 2)
    mask = torch.full((15, 15), -torch.inf, dtype=torch.float64).triu(1)
    z = model.embed(x)
    z = z + {"none": 0, "sinusoidal": waves(0, 15, 8, z)}.get(
        positions, model.places and model.places.weight[:15]
    )
    for block in model.blocks:
        z = torchs_block(block, norm, activation)(z, src_mask=mask)
    if norm == "pre":
        z = nn.functional.layer_norm(z, (8,))
    expected = model.readout(z)
    assert model(x).shape == (3, 15, 3)
    # sums of up to 32 terms in ten maps one after the other
    torch.testing.assert_close(model(x), expected, rtol=0, atol=320 * EPS * expected.abs().max().item())


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", NORM_PLACES)
@pytest.mark.parametrize("cut", [0, 7, 19])
def test_transformers_are_causal(norm, positions, cut):
    model = transformer(norm=norm, positions=positions)
    x = noise(7, 2, 20, 2)
    later = x.clone()
    later[:, cut:] += 1.0
    with torch.no_grad():
        # sums over the past may be taken in another order
        atol = 64 * EPS * model(x).abs().max().item()
        torch.testing.assert_close(model(x)[:, :cut], model(later)[:, :cut], rtol=0, atol=atol)
        assert (model(x)[:, cut] - model(later)[:, cut]).abs().max() > 1e-3
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x)[:, cut].square().sum(), x)
    assert not gradient[:, cut + 1 :].any()
    assert gradient[:, : cut + 1].abs().amax((0, 2)).min() > 0


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("norm", NORM_PLACES)
@pytest.mark.parametrize("cuts", [(7,), (1, 2, 3), (0, 19), tuple(range(1, 20))], ids=str)
def test_chunks_of_time_are_the_whole_sequence(cuts, norm, positions):
    model = transformer(norm=norm, positions=positions)
    x, state, parts = noise(8, 3, 20, 2), None, []
    for chunk in x.tensor_split(cuts, 1):
        y, state = model.run(chunk, state)
        parts.append(y)
    whole = model.run(x)
    atol = 320 * EPS * whole.y.abs().max().item()
    torch.testing.assert_close(torch.cat(parts, 1), whole.y, rtol=0, atol=atol)
    for found, expected in zip(state, whole.last, strict=True):
        assert isinstance(found, Cache)
        assert found.keys.shape == (3, 2, 20, 4)
        for a, b in zip(found, expected, strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=320 * EPS * b.abs().max().item())


@pytest.mark.parametrize("positions", POSITIONS)
def test_only_positions_tell_the_order_of_the_past(positions):
    """Without them the last answer is one to a set."""
    model = transformer(layers=1, positions=positions)
    x = noise(9, 1, 10, 2)
    swapped = x[:, [3, 1, 2, 0, *range(4, 10)]]
    change = (model(x) - model(swapped))[:, -1].abs().max()
    assert bool(change < 1e-13) is (positions == "none")


def test_tokens_are_rows_of_the_embedding():
    model = transformer(vocabulary=11, output_size=None)
    tokens = torch.from_numpy(np.random.default_rng(0).integers(0, 11, (2, 9)))
    assert model(tokens).shape == (2, 9, 11)
    real = transformer(input_size=11, output_size=11)
    with torch.no_grad():
        real.load_state_dict(
            model.state_dict()
            | {"embed.weight": model.embed.weight.T, "embed.bias": torch.zeros(8, dtype=torch.float64)}
        )
    one_hot = nn.functional.one_hot(tokens, 11).double()
    assert torch.equal(real(one_hot), model(tokens))
    first = model.run(tokens[:, :4])
    rest = model.run(tokens[:, 4:], first.last).y
    torch.testing.assert_close(rest, model(tokens)[:, 4:], rtol=0, atol=1e-13)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("vocabulary", [None, 7])
def test_transformers_are_measured_as_they_are(vocabulary, positions):
    model = transformer(vocabulary=vocabulary, positions=positions, output_size=1)
    curve = memory_function(model, 20, probe="impulse", radii=(1.0, 2.0))
    assert curve.attrs["causal"]
    assert (curve.values > 10 * curve.attrs["noise_floor"]).all()
    gradients = gradient_norms(model, 20, samples=2)
    assert (gradients["mean"].values > 0).all()


def test_dropout_is_at_work_in_training_only():
    x = noise(10, 2, 12, 2)
    model = transformer(dropout=0.3)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), transformer()(x))
    layer = attention(dropout=0.5)
    z = noise(10, 2, 12, 12)
    assert not torch.equal(layer(z), layer(z))
    assert torch.equal(layer.eval()(z), attention()(z))


def test_a_seed_leaves_the_global_generator_alone_and_the_dtype_rounds_the_same_draw():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    single, double = transformer(dtype=torch.float32), transformer()
    assert torch.equal(torch.get_rng_state(), before)
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        assert torch.equal(a, b.float())
    assert not torch.equal(transformer(seed=2).readout.weight, double.readout.weight)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"width": 0}, "width must be at least 1"),
        ({"layers": 0}, "layers must be at least 1"),
        ({"heads": 3}, "heads must divide width = 8, got 3"),
        ({"feedforward": 0}, "feedforward must be at least 1"),
        ({"vocabulary": 0}, "vocabulary must be at least 1"),
        ({"output_size": 0}, "output_size must be at least 1"),
        ({"positions": "sinusoid"}, "did you mean 'sinusoidal'"),
        ({"positions": "learnt", "horizon": None}, "horizon must be given for learnt positions, and only"),
        ({"positions": "learnt", "horizon": 0}, "horizon must be at least 1"),
        ({"horizon": 5}, "horizon must be given for learnt positions, and only"),
        ({"width": 9, "heads": 1, "positions": "sinusoidal"}, "width must be even"),
        ({"width": 6, "heads": 2, "positions": "rotary"}, "must be even for rotary positions, got 3"),
        ({"norm": "layer"}, "norm must be one of"),
        ({"activation": "tanh"}, "activation must be one of"),
        ({"dropout": -0.1}, "dropout must be at least 0"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        transformer(**arguments)


def test_bad_inputs_are_refused():
    model, x = transformer(positions="learnt", horizon=6), noise(0, 2, 5, 2)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 2\)"):
        model(x[..., :1])
    state = model.run(x).last
    with pytest.raises(ValueError, match="x must end before learnt position 6, but goes on to 10"):
        model.run(x, state)
    with pytest.raises(ValueError, match="state must hold one for each of 2 blocks, got 1"):
        model.run(x[:, :1], state[:1])
    with pytest.raises(ValueError, match=r"state must hold keys and values of shape \(1, 2, 5, 4\)"):
        model.run(x[:1, :1], state)
    with pytest.raises(ValueError, match=r"tokens of shape \(batch, time\)"):
        transformer(vocabulary=5)(x)
    with pytest.raises(ValueError, match=r"x must have shape \(batch, time, 12\)"):
        attention()(x)
