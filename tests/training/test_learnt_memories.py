"""Trained twins of the theory of spans: what gradients can learn to remember, and what they never see."""

from typing import Any

import pytest
import torch

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.theory.expiry import blind_span, life
from curse_of_memory.training import evaluate_stream, fit_stream

START, RAMP, PRICE = 6.0, 4, 2e-4
COLOURS, NOISE, DOOR = 2, 2, 3
SMALL: dict[str, Any] = {
    "steps": 90,
    "rows": 16,
    "chunk": 24,
    "learning_rate": 0.02,
    "validate_every": 30,
    "validation_rows": 8,
    "metric": "accuracy",
    "device": "cpu",
}


def corridors(length, count, seed):
    """Episodes of a colour, noise, and after exactly `length` steps a door at which the colour is asked."""
    colours = torch.randint(COLOURS, (count,), generator=torch.Generator().manual_seed(seed))
    text, labels = torch.full((count, length + 1), NOISE), torch.full((count, length + 1), -100)
    text[:, 0], text[:, -1], labels[:, -1] = colours, DOOR, colours
    return text.flatten(), labels.flatten()


def trained(length, seed):
    law = ExpireSpan(60, RAMP, initial_share=START / 60, price=PRICE)
    model = CausalTransformer(
        16, 1, heads=2, vocabulary=4, output_size=COLOURS, forgetting=law, sees_itself=False, zero_memories=4,
        block=8, seed=seed,
    )  # fmt: skip
    (text, labels), (unseen, asked) = corridors(length, 6000 // length, 0), corridors(length, 320, 1)
    result = fit_stream(model, text, unseen, labels=labels, validation_labels=asked, seed=seed, **SMALL)
    return model, result, evaluate_stream(model, unseen, labels=asked, rows=8, device="cpu")


@pytest.mark.parametrize("seed", [0, 1])
def test_a_lag_within_the_first_reach_is_learnt(seed):
    assert life(START, RAMP) > 5
    _, result, known = trained(5, seed)
    assert known.accuracy == 1.0
    assert result.score == pytest.approx(1.0)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_use_beyond_the_ramp_is_never_learnt(seed):
    """Asked after exactly 15 steps, spans of 6 and a ramp of 4 see nothing of it: no gradient, chance."""
    assert blind_span([15], START, RAMP) == START
    assert life(START, RAMP) < 15
    model, result, known = trained(15, seed)
    unseen = corridors(15, 320, 1)[0]
    model.eval()
    spans = model.remember(unseen[None]).spans[0][0, unseen < COLOURS]
    assert life(spans.detach().double().numpy(), RAMP).max() < 15
    assert abs(known.accuracy - 0.5) < 0.09  # three deviations of 320 guesses
    assert result.history.validation_accuracy.max() < 0.59
