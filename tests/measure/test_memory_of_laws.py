"""Memories of attention with laws of forgetting, measured: after a start, spans free or held."""

import numpy as np
import pytest
import torch

from curse_of_memory.measure import memory_function
from curse_of_memory.nn import SSM, CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan, Window
from curse_of_memory.theory.expiry import mask, span_kernel


def equal_scores(law, sees_itself=False):
    """Return an attention of one channel with equal scores that passes values on."""
    layer = CausalSelfAttention(1, bias=False, forgetting=law, sees_itself=sees_itself, dtype=torch.float64)
    with torch.no_grad():
        layer.project.weight.copy_(torch.tensor([[0.0], [0.0], [1.0]]))
        layer.out.weight.fill_(1.0)
        if isinstance(law, ExpireSpan):
            layer.forgetting.predictor.weight.fill_(1.0)
    return layer


@pytest.mark.parametrize("probe", ["impulse", "heaviside"])
@pytest.mark.parametrize(("span", "R"), [(5.0, 1), (6.6, 4), (0.3, 2)])
def test_frozen_spans_leave_the_trapezoid(span, R, probe):
    layer = equal_scores(ExpireSpan(20, R, initial_share=span / 20))
    found = memory_function(layer, 24, probe=probe, start=40, forgetting="frozen", device="cpu")
    np.testing.assert_allclose(found, span_kernel(span, R, 24), rtol=0, atol=1e-15)


@pytest.mark.parametrize("radius", [0.5, 2.0])
def test_free_spans_remember_by_the_span_that_the_input_has(radius):
    R, before = 4, 20 / (1 + np.exp(-np.array([-1.0, -1 - radius, -1 + radius])))
    layer = equal_scores(ExpireSpan(20, R, initial_share=1 / (1 + np.e)))
    found = memory_function(layer, 24, probe="impulse", start=40, radii=[radius], device="cpu")
    ages = np.arange(24)
    rest, *own = (mask(ages, e, R) * (ages > 0) for e in before)
    # others weigh what they did, the probed one by its own span
    answers = [m / (rest.sum() - rest + m) for m in own]
    np.testing.assert_allclose(found, np.maximum(*answers), rtol=0, atol=1e-15)


def test_a_window_is_a_box_after_a_start_and_a_running_mean_before():
    layer = equal_scores(Window(5), sees_itself=True)
    late = memory_function(layer, 9, probe="impulse", start=5, device="cpu")
    np.testing.assert_allclose(late, [0.2] * 5 + [0.0] * 4, rtol=1e-15)
    early = memory_function(layer, 9, probe="impulse", device="cpu")
    np.testing.assert_allclose(early, [1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 0, 0, 0, 0], rtol=1e-15)


def test_a_start_changes_nothing_for_models_that_do_not_change_in_time():
    model = SSM(8, seed=0, dtype=torch.float64)
    for probe in ("impulse", "heaviside"):
        once, late = (
            memory_function(model, 12, probe=probe, start=n, closed_form=False, device="cpu") for n in (0, 30)
        )
        np.testing.assert_allclose(late, once, rtol=0, atol=1e-13)


def test_a_model_of_tokens_is_frozen_at_its_token():
    model = CausalTransformer(8, 2, vocabulary=5, forgetting=ExpireSpan(9, 2), seed=0, dtype=torch.float64)
    for block in model.blocks:
        torch.nn.init.normal_(
            block.attention.forgetting.predictor.weight, generator=torch.Generator().manual_seed(0)
        )
    options = {"probe": "impulse", "start": 12, "token": 3, "device": "cpu"}
    found = memory_function(model, 10, forgetting="frozen", **options)
    rest = torch.full((4, 22), 3)
    other = rest.clone()
    other[:, 12] = torch.tensor([0, 1, 2, 4])
    with torch.no_grad(), model.frozen_at(rest[:1]):
        change = (model(other) - model(rest))[:, 12:].norm(dim=-1)
    size = (model.embed.weight - model.embed.weight[3]).detach().abs().amax(1)[[0, 1, 2, 4], None]
    np.testing.assert_allclose(found, (change / size).amax(0), rtol=0, atol=1e-14)
    assert np.abs(found - memory_function(model, 10, **options)).max() > 1e-3


def test_deleted_memories_leave_no_trace_of_the_batch_in_the_rounding():
    """Rows whose spans react are padded to the fullest of the batch, which is no mixing."""
    model = CausalTransformer(16, 2, heads=2, forgetting=ExpireSpan(40, 4), block=20, seed=0)
    for block in model.blocks:
        predictor = block.attention.forgetting.predictor.weight
        torch.nn.init.normal_(predictor, generator=torch.Generator().manual_seed(3))
    memory_function(model, 50, probe="impulse", start=40, dtype=torch.float64, device="cpu")
    assert all(block.attention.deletes for block in model.blocks)


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"start": -1}, ValueError, "start must not be negative"),
        ({"start": 3, "probe": "reversed"}, ValueError, "start must be 0 for the reversed probe"),
        ({"forgetting": "held"}, ValueError, "forgetting must be one of"),
        ({"forgetting": "frozen"}, TypeError, "forgetting may be frozen if the model has frozen_at"),
    ],
)
def test_starts_and_frozen_memories_are_checked(options, kind, message):
    with pytest.raises(kind, match=message):
        memory_function(SSM(4), 5, **options)
