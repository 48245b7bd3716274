"""Training on a stream of models whose memories have a price, and of streams with labels of their own."""

from typing import Any

import numpy as np
import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training import fit_stream

TOKENS = 5
SMALL: dict[str, Any] = {
    "rows": 3,
    "chunk": 8,
    "steps": 30,
    "validate_every": 10,
    "learning_rate": 0.01,
    "device": "cpu",
}


def words(count, seed=0):
    """A text of random tokens, in which every seventh is the fifth before it."""
    text = np.random.default_rng(seed).integers(TOKENS, size=count)
    text[13::7] = text[8:-5:7][: len(text[13::7])]
    return torch.from_numpy(text)


TEXT, UNSEEN = words(700), words(90, 1)


def transformer(law, layers=2, **options):
    options = {"vocabulary": TOKENS, "sees_itself": False, "zero_memories": 4, "block": 4} | options
    return CausalTransformer(
        8, layers, heads=2, forgetting=law, positions="block", dtype=torch.float64, seed=0, **options
    )


def priced(price=0.01, **options):
    return transformer(ExpireSpan(40, 4, price=price), **options)


def small(**changes):
    return SMALL | changes


def test_the_price_is_descended_and_not_told():
    """The loop in torch alone: the loss of a chunk, and the price that the model says."""
    model, twin = priced(), priced()
    result = fit_stream(model, TEXT, UNSEEN, **SMALL)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    epoch, state, losses = 699 // 24, None, []
    for step in range(30):
        if step % epoch == 0:
            first = int(stream("start of a walk", 0, step // epoch).integers(699 - 24 * epoch + 1))
            pieces = TEXT[first : first + 24 * epoch + 1].unfold(0, 8 * epoch + 1, 8 * epoch)
            state = None
        piece = pieces[:, step % epoch * 8 :][:, :9]
        known = twin.remember(piece[:, :-1], state)
        state = known.last
        loss = nn.functional.cross_entropy(known.y.flatten(0, 1), piece[:, 1:].flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss + known.price).backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        optimizer.step()
    np.testing.assert_allclose(result.history.training_loss[1:], [losses[k - 1] for k in (10, 20, 30)])
    assert result.loss == result.history.validation_loss.iloc[-1]  # the best weights are the last
    for own, other in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-12)
    free = fit_stream(priced(0.0), TEXT, UNSEEN, **SMALL).history
    assert abs(free.training_loss.iloc[-1] - losses[-1]) > 1e-6
    assert result.history.span_0.iloc[-1] < free.span_0.iloc[-1]
