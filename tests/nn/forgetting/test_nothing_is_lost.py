"""Deletion, blocks, chunks, batches and what is kept change nothing of answers, gradients and price."""

import copy

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.attention import answers
from curse_of_memory.nn.forgetting.store import replace_rows
from tests.nn.forgetting.laws import LAWS, Given, attention, chunked, inputs_for, splits

CLOSE = 1e-13


@pytest.fixture(scope="module", params=[answers.FEW, 0], ids=["all asked", "undecided asked"], autouse=True)
def _few(request):
    """Laws are asked for all memories, or for those alone that not every query sees in full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "FEW", request.param)
        yield


seeds = st.integers(0, 2**31)


@st.composite
def settings_of_a_layer(draw):
    """Return a law, and options of an attention."""
    sees_itself, zeros = draw(st.booleans()), draw(st.integers(0, 3))
    options = {"rotary": draw(st.booleans()), "sees_itself": sees_itself, "zero_memories": zeros}
    name = draw(st.sampled_from(sorted(LAWS)))
    return LAWS[name](), options | {"width": 4, "seed": draw(seeds)}


def never(layer):
    """Return the same layer without deletion, all in one block."""
    other = copy.deepcopy(layer)
    other.deletes, other.block = False, 10**6
    return other


def close(a, b, name=""):
    assert a.shape == b.shape, name
    scale = max(1.0, b.abs().max().item()) if b.numel() else 1.0
    assert not a.numel() or (a - b).abs().max().item() <= CLOSE * scale, name


def gradients(layer, x, answers, price):
    """Return the gradients of a loss by the inputs and all weights."""
    weights = [x, *layer.parameters()]
    draw = torch.Generator().manual_seed(0)
    loss = (answers * torch.randn(answers.shape, generator=draw, dtype=torch.float64)).sum() + price
    found = torch.autograd.grad(loss, weights, allow_unused=True)
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@given(settings_of_a_layer(), seeds, st.integers(1, 3), st.integers(1, 24), st.integers(1, 26))
@settings(max_examples=15, deadline=None)
def test_whole_sequences_do_not_depend_on_deletion_and_blocks(chosen, seed, batch, steps, block):
    law, options = chosen
    layer = attention(law, block=block, **options)
    x = inputs_for(law, seed, batch, steps, 4).requires_grad_()
    whole = never(layer)
    found, exact = layer.remember(x), whole.remember(x)
    close(found.y, exact.y)
    close(layer(x), exact.y)
    close(found.price, exact.price)
    assert torch.equal(found.live, exact.live)
    ours, theirs = gradients(layer, x, found.y, found.price), gradients(whole, x, exact.y, exact.price)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b)


@given(settings_of_a_layer(), seeds, st.integers(1, 3), splits(), st.integers(1, 7))
@settings(max_examples=15, deadline=None)
def test_chunks_are_the_whole_with_states_and_with_keys(chosen, seed, batch, sizes, block):
    law, options = chosen
    layer = attention(law, block=block, **options)
    x = inputs_for(law, seed, batch, sum(sizes), 4)
    whole = never(layer).remember(x)
    last = layer.remember(x).last
    for kept in ("states", "keys"):
        layer.kept = kept
        y, live, price, state = chunked(layer, x, sizes)
        close(y, whole.y, kept)
        close(price, whole.price * x.shape[1], kept)
        assert torch.equal(live, whole.live)
        assert torch.equal(state.steps, torch.full((batch,), sum(sizes)))
        assert torch.equal(state.ages, last.ages)
        if kept == "states":
            assert torch.equal(state.states[state.ages > 0], last.states[last.ages > 0])
    # one kind of memory goes on as the other
    half = len(sizes) // 2
    layer.kept = "states"
    first, _, _, state = chunked(layer, x[:, : sum(sizes[:half])], sizes[:half] or [0])
    layer.kept = "keys"
    second, *_ = chunked(layer, x[:, sum(sizes[:half]) :], sizes[half:], state)
    close(torch.cat([first, second], 1), whole.y)


@given(settings_of_a_layer(), seeds, splits(), st.integers(1, 7))
@settings(max_examples=10, deadline=None)
def test_gradients_of_chunks_do_not_depend_on_deletion(chosen, seed, sizes, block):
    """They end where the chunk begins, but weights learn from old memories all the same."""
    law, options = chosen
    layer = attention(law, block=block, **options)
    x = inputs_for(law, seed, 2, sum(sizes), 4).requires_grad_()
    y, _, price, _ = chunked(layer, x, sizes)
    other = never(layer)
    z, _, exact, _ = chunked(other, x, sizes)
    for a, b in zip(gradients(layer, x, y, price), gradients(other, x, z, exact), strict=True):
        close(a, b)


@given(settings_of_a_layer(), seeds, st.lists(st.integers(0, 9), min_size=2, max_size=4), st.integers(1, 7))
@settings(max_examples=10, deadline=None)
def test_a_row_in_a_batch_is_the_row_alone(chosen, seed, pasts, block):
    """Also where rows have read different numbers of steps before."""
    law, options = chosen
    layer = attention(law, block=block, **options)
    x = inputs_for(law, seed, len(pasts), 20, 4)
    state = layer.start(len(pasts))
    for row, past in enumerate(pasts):
        before = layer.remember(x[row : row + 1, :past]).last
        state = replace_rows(state, [row], before)
    together = [x[row, past : past + 10] for row, past in enumerate(pasts)]
    y, live, _, state = chunked(layer, torch.stack(together), [3, 7], state)
    for row, past in enumerate(pasts):
        alone = never(layer).remember(x[row : row + 1, : past + 10])
        close(y[row], alone.y[0, past:])
        assert torch.equal(live[row], alone.live[0, past:])
        assert state.steps[row] == past + 10


@pytest.mark.parametrize("kept", ["states", "keys"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_transformers_lose_nothing(norm, kept):
    """Layers with laws of their own, positions of all kinds, one step at a time."""
    laws = [LAWS[name]() for name in ("expire", "sinks", "adaptive", "gates")]
    for positions in ("block", "rotary"):
        model = CausalTransformer(
            8, 4, heads=2, vocabulary=7, positions=positions, norm=norm, forgetting=laws, sees_itself=False,
            zero_memories=2, block=5, kept=kept, seed=0, dtype=torch.float64,
        )  # fmt: skip
        x = torch.randint(7, (2, 23), generator=torch.Generator().manual_seed(0))
        exact = copy.deepcopy(model)
        for part in exact.blocks:
            part.attention.deletes, part.attention.block = False, 99
        for sizes in ([1] * 23, [9, 0, 2, 12]):
            y, _, price, _ = chunked(model, x, sizes)
            close(y, exact(x), positions)
            close(price, 23 * exact.remember(x).price)


@pytest.mark.parametrize("ramp", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("age", [0, 1, 2, 5])
def test_gradients_of_spans_a_rounding_above_an_age_do_not_depend_on_blocks(age, ramp):
    span = np.nextafter(age, np.inf)
    layer = attention(Given(50, ramp), sees_itself=True, block=1)
    x = inputs_for(layer.forgetting, 0, 1, 12)
    x[..., 0] = span
    gradient = []
    for one in (layer, never(layer)):
        own = x.clone().requires_grad_()
        gradient.append(torch.autograd.grad(one(own)[..., 1].square().sum(), own)[0])
    close(*gradient)
