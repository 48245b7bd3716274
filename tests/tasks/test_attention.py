import numpy as np
import pytest
import torch

from curse_of_memory.tasks import AttentionApproximation

EPS = float(np.finfo(float).eps)


def softmax_attention(q, k, v, heads):
    """One sequence, step by step and head by head."""
    steps, channels = q.shape
    width = channels // heads
    y = np.zeros_like(v)
    for head in range(heads):
        cut = slice(head * width, (head + 1) * width)
        for t in range(steps):
            scores = k[: t + 1, cut] @ q[t, cut] / np.sqrt(width)
            weights = np.exp(scores - scores.max())
            y[t, cut] = weights @ v[: t + 1, cut] / weights.sum()
    return y


@pytest.mark.parametrize("projected", [False, True])
@pytest.mark.parametrize(("channels", "heads"), [(1, 1), (6, 1), (6, 2), (6, 6)])
def test_answers_are_softmax_attention_to_the_past(channels, heads, projected):
    task = AttentionApproximation(channels, 15, heads=heads, projected=projected, seed=4)
    x, y = task.sample(3, seed=0, dtype=torch.float64)
    assert x.shape == y.shape == (3, 15, channels)
    for inputs, targets in zip(x.numpy(), y.numpy(), strict=True):
        q = k = v = inputs
        if projected:
            q, k, v = (inputs @ m[:-1] + m[-1] for m in task.projection)
        exact = softmax_attention(q, k, v, heads)
        # weighted means of v; the rounding of the scores, which are up to 20 here, becomes one of the weights
        tolerance = 64 * 15 * EPS * max(1.0, np.abs(v).max())
        np.testing.assert_allclose(targets, exact, rtol=0, atol=tolerance)


def test_projections_are_seeded_and_those_of_a_new_linear_layer():
    first, second = (AttentionApproximation(64, 4, projected=True, seed=s) for s in (0, 1))
    again = AttentionApproximation(64, 4, projected=True, seed=0)
    assert np.array_equal(first.projection, again.projection)
    assert not np.array_equal(first.projection, second.projection)
    assert repr(first) == repr(again) != repr(second)
    maps = first.projection
    assert maps.shape == (3, 65, 64)
    assert np.abs(maps).max() <= 1 / 8
    # variance of the uniform law, c²/3, known to 2 c² / sqrt(45 N) from N numbers
    assert abs(maps.var() - 1 / 192) < 5 * 2 / 64 / np.sqrt(45 * maps.size)
    assert not np.array_equal(maps[0], maps[1])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: AttentionApproximation(6, 4, heads=4), "heads must divide the 6 channels"),
        (lambda: AttentionApproximation(0, 4), "channels must be at least 1"),
        (lambda: AttentionApproximation(6, 4).answer(torch.zeros(1, 4, 5)), r"\(batch, 4, 6\)"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
