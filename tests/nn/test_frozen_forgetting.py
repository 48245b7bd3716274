"""Laws of forgetting that are held at a reference: its notes whatever is read, and nothing left behind."""

import pytest
import torch
from torch import nn

from curse_of_memory.nn import CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan, ForgetGate, Sinks, Window, frozen_at

LAWS = {
    "window": Window(5),
    "sinks": Sinks(2, 3),
    "adaptive": AdaptiveSpan(64, 3),
    "expire": ExpireSpan(64, 3),
    "gates": ForgetGate(),
}


def model(law, **options):
    """Return a transformer whose spans and gates react to what is read."""
    made = CausalTransformer(
        8, 2, heads=2, vocabulary=6, forgetting=law, seed=0, dtype=torch.float64, **options
    )
    random = torch.Generator().manual_seed(1)
    for block in made.blocks:
        for name, weight in block.attention.forgetting.named_parameters():
            if "weight" in name:
                nn.init.normal_(weight, std=1.0, generator=random)
    return made


def tokens(seed, batch=1, steps=30):
    return torch.randint(6, (batch, steps), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("options", [{}, {"sees_itself": False, "zero_memories": 4}])
@pytest.mark.parametrize("block", [1, 7, 64])
@pytest.mark.parametrize("name", LAWS)
def test_at_the_reference_itself_nothing_changes(name, block, options):
    transformer, x = model(LAWS[name], block=block, **options), tokens(2)
    free = transformer(x)
    with transformer.frozen_at(x):
        held = transformer(x)
    torch.testing.assert_close(held, free, rtol=0, atol=1e-13)


def test_spans_and_dates_are_those_of_the_reference_for_all_rows_and_chunks():
    transformer, reference, x = model(ExpireSpan(12, 3), block=4), tokens(3), tokens(4, batch=3)
    there = transformer.remember(reference)
    free = transformer.remember(x)
    with transformer.frozen_at(reference):
        held = transformer.remember(x)
        first = transformer.run(x[:, :11])
        second = transformer.run(x[:, 11:], first.last)
    for layer in range(2):
        assert not torch.equal(free.spans[layer][:1], there.spans[layer])
        torch.testing.assert_close(held.spans[layer], there.spans[layer].expand(3, -1), rtol=0, atol=1e-14)
        assert torch.equal(held.live[layer], there.live[layer].expand(3, -1))
    torch.testing.assert_close(second.y, held.y[:, 11:], rtol=0, atol=1e-13)


def test_frozen_attention_with_equal_scores_is_linear():
    attention = CausalSelfAttention(3, forgetting=ExpireSpan(9, 2), sees_itself=False, dtype=torch.float64)
    with torch.no_grad():
        attention.project.weight[:6].zero_()
        attention.forgetting.predictor.weight.normal_(generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(1)
    r, x, z = (torch.randn(1, 25, 3, generator=random, dtype=torch.float64) for _ in range(3))
    with frozen_at(attention, r):
        y = [attention(i) for i in (x, z, 2 * x - z)]
        torch.testing.assert_close(y[2], 2 * y[0] - y[1], rtol=0, atol=1e-14)
    y = [attention(i) for i in (x, z, 2 * x - z)]
    assert (y[2] - 2 * y[0] + y[1]).abs().max() > 1e-3


def test_the_model_is_as_it_was_afterwards_also_after_an_error():
    transformer, x = model(ExpireSpan(12, 3)), tokens(5)
    before, weights = transformer(x), {k: v.clone() for k, v in transformer.state_dict().items()}
    with transformer.frozen_at(tokens(6)):
        assert not torch.equal(transformer(x), before)
    with pytest.raises(IndexError), transformer.frozen_at(torch.full((1, 30), 99)):
        pass
    assert torch.equal(transformer(x), before)
    assert all(torch.equal(v, weights[k]) for k, v in transformer.state_dict().items())
    assert all("notes" not in vars(block.attention.forgetting) for block in transformer.blocks)


def test_bad_input_is_refused():
    transformer, x = model(ExpireSpan(12, 3)), tokens(5)
    for bad in (x[0], x[:, :0], tokens(5, batch=2), None, [[1]]):
        with (
            pytest.raises(ValueError, match="reference must be one sequence of at least one step"),
            transformer.frozen_at(bad),
        ):
            pass
    with pytest.raises(TypeError, match="model must have a law of forgetting, but Linear"):
        frozen_at(nn.Linear(2, 2), torch.ones(1, 3, 2)).__enter__()
    with (
        transformer.frozen_at(x[:, :20]),
        pytest.raises(ValueError, match="x must end before step 20, where the reference ends"),
    ):
        transformer(x)
