"""The attention of the theory of the price: its answer is exact, and its loss leads to the best span."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.papers.expire_span import _layer
from curse_of_memory.theory.expiry import life, mask, span_loss


def test_scaled_attention_is_the_memory_of_the_theory():
    span, R, rate, steps = 7.4, 3, 0.05, 40
    layer = _layer.of_equal_scores(
        ExpireSpan(_layer.MAX_SPAN, R, initial_share=span / 200), torch.device("cpu")
    )
    x = np.random.default_rng(0).standard_normal(steps)
    when = np.arange(steps)
    v = torch.from_numpy(np.exp(rate * when) * x)[None, :, None]
    y = layer(v)[0, :, 0].numpy() * (span + (R - 1) / 2) * np.exp(-rate * when)
    lags = np.arange(steps)
    kernel = mask(lags, span, R) * (lags > 0) * np.exp(-rate * lags)
    exact = np.convolve(x, kernel)[:steps]
    full = when >= life(span, R)  # before there is less to be divided by
    np.testing.assert_allclose(y[full], exact[full], rtol=0, atol=1e-13)


def test_an_update_goes_where_the_exact_loss_does():
    """From far below the best span by as much as one update may, and from far above down."""
    options = {"rate": 0.05, "ramp": 16, "updates": 3, "seed": 0, "device": "cpu"}
    best = span_loss(np.exp(-0.05 * np.arange(600)), 16).best(1e-3).span
    assert _layer.trained_span(1e-3, start=best - 30, **options) > best - 30
    assert _layer.trained_span(1e-3, start=best + 40, **options) < best + 40


@pytest.mark.parametrize(("mean", "std"), [(-1.0, 0.0), (-1.2, 1.5)])
def test_live_counts_are_those_of_spans(mean, std):
    counted = _layer.live_counts(mean, std, max_span=30, ramp=4, batch=2, queries=50, seed=3, device="cpu")
    h = np.random.default_rng((3, 7)).standard_normal((2, 84))
    lives, ages = life(30 / (1 + np.exp(-(mean + std * h))), 4), np.arange(84) - np.arange(84)[:, None]
    exact = ((ages > 0) & (ages <= lives[..., None])).sum(1)[:, -50:]
    assert np.array_equal(counted, exact)
