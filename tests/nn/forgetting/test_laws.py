"""Laws of forgetting against explicit masks, softmax and products, one query at a time."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.attention import answers
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan, ForgetGate, Sinks, Window
from curse_of_memory.theory import expiry
from tests.devices import CUDA
from tests.nn.forgetting.laws import HAND_MADE, Even, Given, attention, chunked, inputs_for

EPS = float(np.finfo(float).eps)


@pytest.fixture(scope="module", params=[answers.FEW, 0], ids=["all asked", "undecided asked"], autouse=True)
def _few(request):
    """Laws are asked for all memories, or for those alone that not every query sees in full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "FEW", request.param)
        yield


def naive(layer, x, mask):
    """Return Σ_i m_ti e^{s_ti} v_i / Σ_j m_tj e^{s_tj} through O; m ``(batch, heads, query, memory)``."""
    p = {name: w.detach().numpy() for name, w in layer.named_parameters()}
    x = x.detach().numpy()
    batch, steps, width = x.shape
    own = width // layer.heads
    answers, mask = np.zeros(x.shape), np.broadcast_to(mask, (batch, *mask.shape[1:]))
    for n, head, t in itertools.product(range(batch), range(layer.heads), range(steps)):
        rows = [slice(i * width + head * own, i * width + (head + 1) * own) for i in range(3)]
        q, k, v = (x[n] @ p["project.weight"][r].T + p["project.bias"][r] for r in rows)
        weights = np.exp(k @ q[t] / np.sqrt(own)) * mask[n, head % mask.shape[1], t]
        if weights.sum():
            answers[n, t, head * own : (head + 1) * own] = weights / weights.sum() @ v
    return answers @ p["out.weight"].T + p["out.bias"]


def ages(steps):
    t = np.arange(steps)
    return t[:, None] - t


def trapezoid(spans, ramp, steps, youngest):
    """Return the masks of spans that broadcast with ``(query, memory)``; those of later steps are zero."""
    s = ages(steps)
    m = np.where(s >= 0, np.vectorize(expiry.mask)(np.maximum(s, 0), spans, ramp), 0.0)
    return m * (s >= youngest)


def box(s, low, high):
    return ((s >= low) & (s <= high)).astype(float)


STEPS = 14


def window(law, layer, x):
    s = ages(STEPS)
    youngest = 0 if layer.sees_itself else 1
    return box(s, youngest, youngest + 4)[None, None]  # five memories


def sinks(law, layer, x):
    s, first = ages(STEPS), np.arange(STEPS) < 2
    youngest = 0 if layer.sees_itself else 1
    return np.maximum(box(s, youngest, youngest + 3), (s >= youngest) * first)[None, None]


def adaptive(law, layer, x):
    z = law.max_span / (1 + np.exp(-law.logits.detach().numpy()))
    return np.stack([trapezoid(one, law.ramp, STEPS, not layer.sees_itself) for one in z])[None]


def expire(law, layer, x):
    w, b = law.predictor.weight.detach().numpy()[0], law.predictor.bias.item()
    e = law.max_span / (1 + np.exp(-(x.numpy() / law.pre_divide @ w + b)))
    return np.stack([trapezoid(row, law.ramp, STEPS, not layer.sees_itself) for row in e])[:, None]


def gates(law, layer, x):
    """FoX: the product of the gates of all steps after the memory, up to the query."""
    W, b = law.gate.weight.detach().numpy(), law.gate.bias.detach().numpy()
    f = 1 / (1 + np.exp(-(x.numpy() @ W.T + b)))
    m = np.zeros((len(x), layer.heads, STEPS, STEPS))
    for n, h, t, i in np.ndindex(m.shape):
        if t - i >= (not layer.sees_itself):
            m[n, h, t, i] = np.prod(f[n, i + 1 : t + 1, h])
    return np.where(m >= law.threshold, m, 0.0)


def even(law, layer, x):
    s = ages(STEPS)
    return ((s % 2 == 0) * box(s, not layer.sees_itself, 8))[None, None]


CASES = {
    "window": (lambda: Window(5), window),
    "sinks": (lambda: Sinks(2, 4), sinks),
    "adaptive": (lambda: AdaptiveSpan(15, 4), adaptive),
    "adaptive, shared": (lambda: AdaptiveSpan(15, 1, per_head=False), adaptive),
    "expire": (lambda: ExpireSpan(15, 4, initial_share=0.3), expire),
    "expire, divided": (lambda: ExpireSpan(15, 2, initial_share=0.3, pre_divide=3.0), expire),
    "gates": (lambda: ForgetGate(), gates),
    "gates, threshold": (lambda: ForgetGate(threshold=0.4, slowest=9.0), gates),
    "even": (lambda: Even(), even),
}


@pytest.mark.parametrize("sees_itself", [True, False])
@pytest.mark.parametrize("block", [3, STEPS])
@pytest.mark.parametrize("name", CASES)
def test_laws_are_their_masks(name, block, sees_itself):
    law, mask = CASES[name]
    layer = attention(law(), sees_itself=sees_itself, block=block)
    x = inputs_for(layer.forgetting, 3, 2, STEPS)
    m = mask(layer.forgetting, layer, x)
    expected = naive(layer, x, m)
    known = layer.remember(x)
    np.testing.assert_allclose(known.y.detach(), expected, rtol=0, atol=600 * EPS * np.abs(expected).max())
    assert known.live.tolist() == np.broadcast_to((m > 0).any(1).sum(-1), (2, STEPS)).tolist()
    # a mask has zeros and ones, or it would be of no law here
    assert m.min() == 0
    assert known.live.min() == sees_itself


def test_sinks_are_steps_and_never_zero_vectors():
    layer = attention(Sinks(2, 3), sees_itself=False, zero_memories=3)
    last = layer.remember(torch.ones(1, 20, 6, dtype=torch.float64)).last
    assert last.ages.tolist() == [[20, 19, 3, 2, 1]]


def test_gates_of_far_memories_round_as_those_of_near_ones():
    """After 20 000 steps of forgetting, products of the last gates still have all their digits."""
    layer = attention(ForgetGate(), block=50, sees_itself=True)
    with torch.no_grad():
        layer.forgetting.gate.bias.fill_(0.0)
    x = inputs_for(layer.forgetting, 3, 1, 400)
    with torch.no_grad():
        near = layer(x[:, -60:])  # gates of a half: what is older weighs 2^-60
        far = layer(x)[:, -1:]
    assert (near[:, -1:] - far).abs().max() < 1e-13


@pytest.mark.parametrize("sizes", [[40], [7] * 5 + [5], [1] * 40])
def test_gates_keep_what_no_head_has_below_the_threshold_and_no_more(sizes):
    layer = attention(ForgetGate(threshold=0.2, slowest=9.0), block=6)
    x = inputs_for(layer.forgetting, 5, 2, 40)
    W, b = (w.detach().numpy() for w in layer.forgetting.parameters())
    f = 1 / (1 + np.exp(-(x.numpy() @ W.T + b)))
    _, live, _, state = chunked(layer, x, sizes)
    for n in range(2):
        after = np.stack([f[n, i + 1 :].prod(0) for i in range(40)])
        alive = [40 - i for i in range(40) if (after[i] >= 0.2).any()]
        assert state.ages[n][state.ages[n] > 0].tolist() == alive
        assert len(alive) == live[n, -1] < 30


def test_what_falls_below_a_threshold_of_gates_moves_an_answer_by_its_certificate():
    """One head, equal scores: weights are the products of gates, and their mass is exact."""
    threshold, steps = 0.01, 300
    kept, every = (attention(ForgetGate(threshold=θ), width=2, heads=1, bias=False) for θ in (threshold, 0.0))
    x = inputs_for(kept.forgetting, 2, 1, steps, 2)
    for layer in (kept, every):
        with torch.no_grad():
            layer.project.weight.copy_(torch.cat([torch.zeros(4, 2), torch.eye(2)]))
            layer.out.weight.copy_(torch.eye(2))
            layer.forgetting.gate.weight.zero_()
            layer.forgetting.gate.bias.fill_(2.0)
    log_f = -np.log1p(np.exp(-2.0))
    ages = np.arange(steps)[::-1]
    alive = ages * log_f >= np.log(threshold)
    exact = expiry.evict(np.exp(ages * log_f), x[0].numpy(), alive)
    known = kept.remember(x)
    assert known.live[0, -1] == alive.sum() < steps
    moved = (known.y - every(x))[0, -1].detach().norm().item()
    assert moved == pytest.approx(float(exact.error), rel=1e-9)
    most = expiry.gate_threshold_mass(int((~alive).sum()), np.log(threshold), ages[alive] * log_f, 0.0)
    assert 0 < exact.mass <= most


@given(st.lists(st.sampled_from(HAND_MADE), min_size=STEPS, max_size=STEPS), st.integers(1, 4), st.booleans())
@example([5e-324, 1e-300, 5e-324, 0.0] + [5e-324] * (STEPS - 4), 1, False)
@example([0.0, 5e-324, 1.0, 5e-324, 5e-324, 0.5] + [5e-324] * (STEPS - 6), 2, False)
@settings(max_examples=15, deadline=None)
def test_spans_made_by_hand_are_their_trapezoids(spans, ramp, sees_itself):
    layer = attention(Given(50, ramp), sees_itself=sees_itself, block=4)
    x = inputs_for(layer.forgetting, 1, 1, STEPS)
    x[0, :, 0] = torch.tensor(spans, dtype=torch.float64)
    m = trapezoid(np.array(spans), ramp, STEPS, not sees_itself)[None, None]
    # weights below the smallest normal number count as that
    expected = naive(layer, x, np.where(m > 0, np.maximum(m, np.finfo(float).tiny), 0.0))
    y = layer(x).detach()
    # sums of exponentials, and a product with spans up to forty
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e4 * EPS * np.abs(expected).max())
    assert y.isfinite().all()


@pytest.mark.parametrize("ramp", [1, 5])
@pytest.mark.parametrize("span", [0.0, 1e-300, 0.5, 3.0, 7.25])
def test_the_kernel_of_equal_scores_is_the_trapezoid(span, ramp):
    """The theorem is of all steps; without zero scores none of it would hold."""
    layer = attention(Given(50, ramp), width=2, heads=1, sees_itself=False, bias=False)
    with torch.no_grad():
        layer.project.weight.copy_(torch.cat([torch.zeros(4, 2), torch.eye(2)]))
        layer.out.weight.copy_(torch.eye(2))
    steps, at = 40, 20
    x = torch.zeros(1, steps, 2, dtype=torch.float64)
    x[..., 0] = span
    kicked = x.clone()
    kicked[0, at, 1] = 1.0
    response = (layer(kicked) - layer(x))[0, at:, 1].detach()
    exact = expiry.span_kernel(span, ramp, steps - at)
    np.testing.assert_allclose(response, exact, rtol=0, atol=8 * EPS)
    assert np.array_equal(np.nonzero(response.numpy())[0], np.nonzero(exact.values)[0])


@pytest.mark.parametrize("name", ["window of one", "sharp spans of zero"])
def test_rows_that_see_nothing_answer_zero(name):
    """R = 1 and no zero vectors: no NaN, nor in gradients."""
    law = Window(1) if name == "window of one" else Given(9, 1)
    layer = attention(law, sees_itself=False, bias=False)
    x = inputs_for(law, 0, 2, 9)
    x[..., 0] = 0.0
    x.requires_grad_()
    known = layer.remember(x)
    empty = known.live == 0
    assert empty[:, 0].all()
    assert bool(empty.all()) is (name != "window of one")
    assert not known.y[empty].any()
    known.y.square().sum().backward()
    assert x.grad.isfinite().all()
    assert all(w.grad is None or w.grad.isfinite().all() for w in layer.parameters())
    y, live, *_ = chunked(layer, x.detach(), [1] * 9)
    assert torch.equal(live, known.live)
    assert not y[empty].any()


def test_prices_are_those_of_their_papers():
    """Adaptive spans: α times the mean span of the heads, for each step."""
    layer = attention(AdaptiveSpan(30, 4, price=0.25))
    z = 30 / (1 + np.exp(-layer.forgetting.logits.detach().numpy()))
    x = inputs_for(layer.forgetting, 0, 3, 17)
    assert abs(layer.remember(x).price.item() - 0.25 * z.mean()) < 8 * EPS * 30
    free = attention(AdaptiveSpan(30, 4)).remember(x)
    assert free.price.item() == 0
    assert abs(free.spans.max().item() - z.max()) < 8 * EPS * 30


def test_forward_cuts_spans_in_training_as_remember_does():
    law = ExpireSpan(max_span=30, ramp=2, initial_share=0.9, shorten=True)
    x = torch.randn(2, 40, 8, generator=torch.Generator().manual_seed(0))
    for layer in (
        CausalSelfAttention(8, sees_itself=False, forgetting=law, block=10, seed=0),
        CausalTransformer(8, 2, input_size=8, sees_itself=False, forgetting=law, block=10, seed=0),
    ):
        torch.manual_seed(1)
        cut = layer(x)
        torch.manual_seed(1)
        assert torch.equal(layer.remember(x).y, cut)
        u = torch.Generator().manual_seed(1)
        assert float(torch.rand((), generator=u)) < 0.8  # so that spans of .9 are cut
        assert not torch.equal(layer.eval()(x), cut)
        assert torch.equal(layer(x), layer.remember(x).y)


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("name", [name for name in CASES if name != "even"])
def test_a_gpu_forgets_as_the_cpu_does(name, device):
    layer = attention(CASES[name][0](), sees_itself=False, block=5)
    x = inputs_for(layer.forgetting, 3, 2, STEPS)
    twin = copy.deepcopy(layer).to(device)
    known, found = layer.remember(x), twin.remember(x.to(device))
    torch.testing.assert_close(found.y.cpu(), known.y, rtol=0, atol=1e-12)
    assert found.live.tolist() == known.live.tolist()
