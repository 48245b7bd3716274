"""The shortest way to the answers of a block gives those of the equation, softmax(q·(k + p)/√w + log m) v."""

import math

import pytest
import torch

from curse_of_memory.nn.attention import answers
from curse_of_memory.nn.attention.remembering import Reading, remember
from curse_of_memory.nn.forgetting.store import columns_of
from tests.nn.forgetting.laws import LAWS, attention, inputs_for

CLOSE = 1e-13


def naive(law, q, keys, values, ages, notes, positions):
    """Return answers and live memories, one query and one memory at a time as far as it goes."""
    batch, heads, queries, width = q.shape
    bias = law.log_mask(ages, notes, queries).expand(batch, heads, queries, -1)
    y, live = torch.zeros_like(q), torch.zeros(batch, queries, dtype=torch.int64)
    for b in range(batch):
        for t in range(queries):
            age = ages[b] + t
            seen = (age >= law.first_age) & (bias[b, :, t] > -torch.inf)
            live[b, t] = seen.any(0).sum()
            for h in range(heads):
                own = seen[h].nonzero()[:, 0]
                if not own.numel():
                    continue
                scores = keys[b, h, own] @ q[b, h, t]
                if positions is not None:
                    has = age[own] <= positions.shape[1]
                    column = (positions.shape[1] - age[own]).clamp(0, positions.shape[1] - 1)
                    has &= age[own] >= 1
                    scores = scores + torch.where(has, positions[:, column].T @ q[b, h, t], 0.0)
                weights = (scores / math.sqrt(width) + bias[b, h, t, own]).softmax(0)
                y[b, h, t] = weights @ values[b, h, own]
    return y, live


def block(law, positions, seed=0, batch=3, before=30, queries=5, width=6, heads=2):
    """Return what a block asks: queries, keys, values, ages with padding, notes, positions."""
    layer = attention(law, seed=3, width=width, heads=heads, sees_itself=seed % 2 == 0)
    draw = torch.Generator().manual_seed(seed)
    assert layer.forgetting is not None
    h = inputs_for(layer.forgetting, seed, batch, before + queries, width)
    ages = torch.arange(before, -queries, -1).repeat(batch, 1)
    ages[1, :4] = -(2**40)  # a shorter row
    notes = layer.forgetting.notes(h, 50 - ages).detach().requires_grad_()

    def normal(*shape):
        return torch.randn(*shape, generator=draw, dtype=torch.float64).requires_grad_()

    q, k, v = (normal(batch, heads, n, width // heads) for n in (queries, before + queries, before + queries))
    return layer.forgetting, (q, k, v, ages, notes, normal(width // heads, 4) if positions else None)


@pytest.mark.parametrize("positions", [False, True], ids=["no positions", "positions"])
@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("few", [0, 2**40], ids=["undecided alone", "all"])
def test_answers_and_gradients_are_those_of_the_equation(monkeypatch, name, positions, few):
    monkeypatch.setattr(answers, "FEW", few)
    for seed in (0, 1):
        law, tensors = block(LAWS[name](), positions, seed)
        wanted = [t for t in (*tensors, *law.parameters()) if t is not None and t.requires_grad]
        y, live = answers.answered(law, *tensors, 0.0)
        exact, count = naive(law, *tensors)
        assert torch.equal(live, count)
        torch.testing.assert_close(y, exact, rtol=0, atol=CLOSE)
        weight = torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape)
        ours, theirs = (
            torch.autograd.grad((a * weight).sum(), wanted, allow_unused=True, materialize_grads=True)
            for a in (y, exact)
        )
        for found, expected in zip(ours, theirs, strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=10 * CLOSE)


def test_what_is_decided_is_not_asked_for(monkeypatch):
    """A law of spans far away is asked of the block itself, and of nothing else."""
    monkeypatch.setattr(answers, "FEW", 0)
    law, (q, k, v, ages, notes, _) = block(LAWS["given"](), False, before=60)
    notes = torch.full_like(notes, 1000.0)
    asked = []
    log_mask = law.log_mask
    monkeypatch.setattr(law, "log_mask", lambda a, n, m: asked.append(a.shape[1]) or log_mask(a, n, m))
    answers.answered(law, q, k, v, ages, notes, None, 0.0)
    assert asked == [q.shape[2] + 4]  # and of padding


@pytest.mark.parametrize("name", ["expire", "adaptive", "window"])
@pytest.mark.parametrize("few", [0, 2**40])
def test_transformations_of_torch_give_the_same(monkeypatch, name, few):
    monkeypatch.setattr(answers, "FEW", few)
    layer = attention(LAWS[name](), block=8)
    weights = dict(layer.named_parameters())
    x = torch.randn(4, 2, 40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def loss(w, one):
        return torch.func.functional_call(layer, w, (one,)).square().sum()

    many = torch.func.vmap(torch.func.grad(loss), (None, 0))(weights, x)
    for i, one in enumerate(x):
        expected = torch.autograd.grad(layer(one).square().sum(), list(weights.values()))
        for (key, found), g in zip(many.items(), expected, strict=True):
            torch.testing.assert_close(found[i], g, rtol=0, atol=1e-11, msg=key)


def test_chosen_columns_are_those_of_gather():
    draw = torch.Generator().manual_seed(0)
    columns = torch.rand(3, 9, generator=draw).argsort(1)[:, :5]
    states, keys = torch.randn(3, 9, 4, generator=draw), torch.randn(3, 2, 9, 4, generator=draw)
    assert torch.equal(columns_of(states, columns), states.gather(1, columns[..., None].expand(-1, -1, 4)))
    expected = keys.gather(2, columns[:, None, :, None].expand(-1, 2, -1, 4))
    assert torch.equal(columns_of(keys, columns), expected)
    assert columns_of(states[..., :0], columns).shape == (3, 5, 0)


def test_dropout_leaves_the_mean():
    layer = attention(LAWS["expire"](), seed=0)
    layer.dropout = 0.3
    x = torch.randn(1, 12, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    exact = remember(layer.eval(), x, None, Reading()).y
    torch.manual_seed(0)
    draws = remember(layer.train(), x.expand(20_000, -1, -1), None, Reading()).y.detach()
    error = (draws.mean(0) - exact[0]).abs() / draws.std(0).clamp(min=1e-9) * math.sqrt(len(draws))
    assert error.max() < 5


def test_memory_of_a_stream_does_not_grow():
    """No graph and no dead memory is held: as many numbers after 40 blocks as after 500."""
    layer = attention(LAWS["expire"](), block=8)
    x = torch.randn(2, 8, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    state, sizes = None, []
    for _ in range(500):
        state = layer.remember(x, state).last
        assert state is not None
        assert not any(part.requires_grad for part in state)
        sizes.append(sum(part.untyped_storage().nbytes() for part in state))
    assert sizes[40] == sizes[-1]
