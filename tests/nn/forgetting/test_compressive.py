"""Compressive memory: means of groups of steps, against explicit ones, for all chunks, rows and blocks."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn import CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.attention import answers
from curse_of_memory.nn.forgetting import Compressive
from curse_of_memory.nn.forgetting.store import choose_rows, replace_rows
from tests.nn.forgetting.laws import attention, chunked, inputs_for, splits

numbers = st.integers(1, 5)


@pytest.fixture(scope="module", params=[answers.FEW, 0], ids=["all asked", "undecided asked"], autouse=True)
def _few(request):
    """Laws are asked for all memories, or for those alone that not every query sees in full."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(answers, "FEW", request.param)
        yield


def naive(layer, x, normed=None):
    """Attend query by query to steps in full, and to means of the states of older groups."""
    law, steps, zeros = layer.forgetting, x.shape[1], layer.zero_memories
    W, c, n = law.window, law.rate, law.compressed
    x = torch.cat([x.new_zeros(len(x), zeros, x.shape[2]), x], 1)
    h = x if normed is None else normed(x)
    answers, live = [], []
    for t in range(steps):
        seen = []
        for i in range(-zeros, t + layer.sees_itself):
            newest = i // c * c + c - 1
            if t - newest <= W:
                seen.append(h[:, zeros + i])
        for newest in range(c - 1, t, c):
            if W < t - newest <= W + n * c:
                seen.append(h[:, zeros + newest - c + 1 : zeros + newest + 1].mean(1))
        live.append(len(seen))
        if not seen:
            answers.append(torch.zeros_like(x[:, 0]))
            continue
        q, _, _ = layer.project(h[:, zeros + t]).chunk(3, -1)
        _, k, v = layer.project(torch.stack(seen, 1)).chunk(3, -1)
        q, k, v = (z.unflatten(-1, (layer.heads, -1)) for z in (q, k, v))
        a = (torch.einsum("bhc,bmhc->bmh", q, k) / k.shape[-1] ** 0.5).softmax(1)
        answers.append(torch.einsum("bmh,bmhc->bhc", a, v).flatten(1))
    return layer.out(torch.stack(answers, 1)), torch.tensor(live).expand(len(x), -1)


def close(a, b, factor=1.0):
    torch.testing.assert_close(a, b, rtol=0, atol=factor * 1e-13)


def gradients(layer, x, y):
    draw = torch.Generator().manual_seed(0)
    loss = (y * torch.randn(y.shape, generator=draw, dtype=torch.float64)).sum()
    weights = [x, *layer.parameters()]
    found = torch.autograd.grad(loss, weights, allow_unused=True)  # a first step may see nothing
    return [torch.zeros_like(w) if g is None else g for g, w in zip(found, weights, strict=True)]


@given(numbers, numbers, numbers, st.booleans(), st.integers(0, 3), st.integers(1, 30), st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_whole_sequences_attend_to_explicit_means(window, rate, compressed, sees_itself, zeros, steps, block):
    layer = attention(
        Compressive(window, rate, compressed), sees_itself=sees_itself, zero_memories=zeros, width=4,
        block=min(block, window),
    )  # fmt: skip
    x = inputs_for(layer.forgetting, 0, 2, steps, 4).requires_grad_()
    y, live = naive(layer, x)
    known = layer.remember(x)
    close(known.y, y)
    assert torch.equal(known.live, live)
    for a, b in zip(gradients(layer, x, layer(x)), gradients(layer, x, y), strict=True):
        close(a, b, 10)


@given(numbers, numbers, numbers, splits(), st.integers(1, 5))
@settings(max_examples=12, deadline=None)
def test_chunks_are_the_whole(window, rate, compressed, sizes, block):
    layer = attention(Compressive(window, rate, compressed), width=4, block=min(block, window))
    x = inputs_for(layer.forgetting, 0, 2, sum(sizes), 4)
    y, live = naive(layer, x)
    for kept in ("states", "keys"):
        for deletes in (True, False):
            layer.kept, layer.deletes = kept, deletes
            found, seen, _, state = chunked(layer, x, sizes)
            close(found, y)
            assert torch.equal(seen, live)
            if deletes:  # never more than one sees, and those that wait for the others of their group
                assert state.ages.shape[1] <= window + rate + compressed


@given(st.lists(st.integers(0, 12), min_size=2, max_size=4), numbers, numbers)
@settings(max_examples=8, deadline=None)
def test_rows_that_have_read_different_numbers_of_steps_have_their_own_groups(pasts, window, rate):
    layer = attention(Compressive(window, rate, 2), width=4, block=window)
    x = inputs_for(layer.forgetting, 0, len(pasts), 24, 4)
    state = layer.start(len(pasts))
    for row, past in enumerate(pasts):
        state = replace_rows(state, [row], layer.run(x[row : row + 1, :past]).last)
    together = torch.stack([x[row, past : past + 12] for row, past in enumerate(pasts)])
    y, _, _, state = chunked(layer, together, [5, 7], state)
    for row, past in enumerate(pasts):
        close(y[row], naive(layer, x[row : row + 1, : past + 12])[0][0, past:])
    order = list(range(len(pasts)))[::-1]
    again = layer.run(together[order], choose_rows(state, order)).y
    close(again, layer.run(together, state).y[order])


@pytest.mark.parametrize("kept", ["states", "keys"])
@pytest.mark.parametrize("norm", ["pre", "post"])
def test_transformers_pool_what_keys_are_made_of(norm, kept):
    """In a pre-norm block the means are of normalised states, and are not normalised again."""
    model = CausalTransformer(
        8, 2, heads=2, vocabulary=7, norm=norm, forgetting=Compressive(5, 3, 2), positions="block",
        sees_itself=False, zero_memories=2, block=4, kept=kept, seed=0, dtype=torch.float64,
    )  # fmt: skip
    x = torch.randint(7, (2, 37), generator=torch.Generator().manual_seed(0))
    for sizes in ([1] * 37, [9, 0, 2, 26]):
        close(chunked(model, x, sizes)[0], model(x))
    torch.nn.init.zeros_(model.places_back.weight)
    block, z = model.blocks[0], model.embed(x)
    first, second = block.norms
    if norm == "pre":
        z = z + naive(block.attention, z, first)[0]
        expected = z + block.narrow(torch.nn.functional.gelu(block.widen(second(z))))
    else:
        z = first(z + naive(block.attention, z)[0])
        expected = second(z + block.narrow(torch.nn.functional.gelu(block.widen(z))))
    model.blocks = model.blocks[:1]
    close(model(x), model.readout(model.last_norm(expected)))


def test_a_group_of_one_is_a_longer_window():
    """c = 1: means are the memories themselves, W + n of them beside the step itself."""
    layer = attention(Compressive(3, 1, 4), width=4)
    assert layer.remember(inputs_for(layer.forgetting, 0, 1, 20, 4)).live[0, -1] == 1 + 3 + 4


def test_torch_func_and_measures_go_through_means():
    layer = attention(Compressive(3, 2, 4), width=4)
    x = inputs_for(layer.forgetting, 0, 3, 20, 4)
    close(torch.func.vmap(lambda one: layer(one[None])[0])(x), layer(x))
    small = layer.float()
    assert (small.bfloat16()(x.bfloat16()) - layer.double()(x)).abs().max() < 0.2
    x[0, 7, 2] = torch.nan
    assert layer(x).isnan().any(-1).sum(1).tolist() == [13, 0, 0]


def test_long_ages_are_whole_numbers_in_short_floats():
    layer = CausalSelfAttention(4, forgetting=Compressive(300, 7, 60), dtype=torch.bfloat16)
    live = layer.remember(torch.ones(1, 1000, 4, dtype=torch.bfloat16)).live[0]
    t = np.arange(1000)
    full = t - np.maximum(-(-(t - 300 + 1) // 7) * 7 - 7, 0) + 1
    assert live[600:].tolist() == (full[600:] + np.minimum(60, (t[600:] + 1 - full[600:]) // 7)).tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Compressive(0), "window must be at least 1"),
        (lambda: Compressive(4, 0), "rate must be at least 1"),
        (lambda: Compressive(4, 2, 0), "compressed must be at least 1"),
        (
            lambda: CausalSelfAttention(4, forgetting=Compressive(4), block=5),
            "window must be at least block = 5",
        ),
        (
            lambda: CausalSelfAttention(4, forgetting=Compressive(4), rotary=True),
            "rotary must be False with Compressive: a mean has no position",
        ),
    ],
)
def test_bad_numbers_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
