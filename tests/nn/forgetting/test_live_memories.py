"""Live memories of attentions are those of the closed forms, exactly."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.theory import expiry
from tests.nn.forgetting.laws import HAND_MADE, Given, attention, chunked, splits


@given(
    st.lists(st.sampled_from(HAND_MADE), min_size=1, max_size=30), st.integers(1, 5), st.booleans(), splits()
)
@settings(max_examples=25, deadline=None)
def test_live_memories_are_those_of_the_closed_form(spans, ramp, sees_itself, sizes):
    """A memory serves the ages 1 to R − 1 + ⌈e⌉ exactly, and itself where steps see themselves."""
    steps = sum(sizes)
    e = np.resize(spans, steps)
    layer = attention(Given(50, ramp), width=2, sees_itself=sees_itself, block=4)
    x = torch.from_numpy(np.stack([e, np.ones(steps)], 1))[None]
    t, life = np.arange(steps), expiry.life(e, ramp)
    serves = (t[None, :] - t[:, None] <= life[:, None]) & (t[None, :] > t[:, None])
    _, live, _, state = chunked(layer, x, sizes)
    assert live[0].tolist() == (serves.sum(0) + sees_itself).tolist()
    after = steps - t
    assert state.ages[0].tolist() == after[after <= life].tolist()  # not one more is kept
    assert torch.equal(layer.remember(x).spans[0], torch.from_numpy(e))


@pytest.mark.parametrize("ramp", [1, 4])
@pytest.mark.parametrize("span", HAND_MADE)
def test_live_memories_of_equal_spans_are_the_mean_of_the_queue(span, ramp):
    alive = expiry.live_memories(lambda x: 1.0 * (span > x), max_span=50, ramp=ramp)
    layer = attention(Given(50, ramp), width=2, sees_itself=False)
    x = torch.full((1, 60, 2), span, dtype=torch.float64)
    assert layer.remember(x).live[0, -1].item() == alive.mean == expiry.life(span, ramp)


def test_live_memories_of_independent_spans_have_the_mean_of_the_queue():
    """Spans L σ(h), h Gaussian, by the layer's own predictor: within four standard errors."""
    mean, std, limit, ramp, steps = -1.2, 1.5, 40, 4, 4000
    layer = attention(ExpireSpan(limit, ramp), width=2, sees_itself=False)
    with torch.no_grad():
        layer.forgetting.predictor.weight.copy_(torch.tensor([[std, 0.0]]))
        layer.forgetting.predictor.bias.fill_(mean)
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((4, steps + 50, 2)))
    with torch.no_grad():
        live = layer.remember(x).live[:, 50:].double().numpy()
    exceeds = expiry.LogitNormalSpans(mean, std, limit).exceeds
    alive = expiry.live_memories(exceeds, limit, ramp)
    # numbers at queries more than a life apart are independent
    independent = live[:, :: limit + ramp]
    assert abs(independent.mean() - alive.mean) < 4 * np.sqrt(alive.variance / independent.size)
    assert abs(live.mean() - alive.mean) < 4 * np.sqrt(alive.variance / independent.size)
