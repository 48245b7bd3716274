"""Dtypes, NaN, transformations of torch, many models at once, and measurements of models that forget."""

import contextlib
import copy

import numpy as np
import pytest
import torch

import curse_of_memory as com
from curse_of_memory.nn import CausalSelfAttention, CausalTransformer
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan, ForgetGate, Sinks, Window
from curse_of_memory.nn.forgetting.store import KeptStates, choose_rows
from curse_of_memory.theory import expiry
from tests.nn.forgetting.laws import LAWS, Given, attention, chunked, inputs_for

EVERY = pytest.mark.parametrize("name", LAWS)


def model(law, **options):
    made = CausalTransformer(
        8, 2, heads=2, forgetting=law, sees_itself=False, zero_memories=2, seed=0,
        **({"block": 4, "dtype": torch.float64} | options),
    )  # fmt: skip
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for block in made.blocks:
            for w in block.attention.forgetting.parameters():
                w += 0.5 * torch.randn(w.shape, generator=draw)
    return made


# --- dtypes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@EVERY
def test_short_floats_round_answers_and_nothing_else(name, dtype):
    """The same law of the same rounded weights: ages and dates are whole numbers whatever the dtype."""
    layer = attention(LAWS[name](), block=8).to(dtype)
    wide = attention(LAWS[name](), block=8)
    wide.load_state_dict(layer.state_dict())
    x = inputs_for(layer.forgetting, 0, 2, 60).to(dtype)
    known, exact = layer.remember(x), wide.remember(x.double())
    eps = torch.finfo(dtype).eps
    assert known.y.dtype == dtype
    # products of a few terms, and scores that are rounded; spans near a whole number may count one more
    assert (known.y.double() - exact.y).abs().max() < 40 * eps * exact.y.abs().max()
    assert ((known.live - exact.live).abs() <= 2).all()
    for layer.kept in ("states", "keys"):
        y, live, *_ = chunked(layer, x, [25, 1, 34])
        assert torch.equal(live, known.live)
        assert (y - known.y).abs().max() < 20 * eps * exact.y.abs().max()


@pytest.mark.parametrize("kept", ["states", "keys"])
@EVERY
def test_autocast_rounds_products_and_leaves_dates(name, kept):
    layer = attention(LAWS[name](), block=8, kept=kept).float()
    x = inputs_for(layer.forgetting, 0, 2, 40).float()
    exact = layer.remember(x)
    with torch.autocast("cpu", torch.bfloat16):
        y, _, _, state = chunked(layer, x, [17, 23])
    assert (y - exact.y).abs().max() < 0.1 * exact.y.abs().max()
    assert state.ages.dtype == torch.int64


@pytest.mark.parametrize("law", [ExpireSpan, AdaptiveSpan])
def test_spans_beyond_the_whole_numbers_of_a_float_are_refused(law):
    far, x = law(2**24, 8), torch.zeros(1, 3, 4)
    with pytest.raises(ValueError, match=r"max_span \+ ramp must be at most 16777216 steps in torch.float32"):
        CausalSelfAttention(4, forgetting=far).double().float()(x)
    assert CausalSelfAttention(4, forgetting=far, dtype=torch.float64)(x.double()).isfinite().all()
    assert CausalSelfAttention(4, forgetting=law(2**24 - 8, 8))(x).isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_long_spans_are_exact_enough_in_short_floats(dtype):
    """100 000 steps are no number of float16, and in bfloat16 would be one of 128 spans of this size."""
    layer = CausalSelfAttention(4, forgetting=ExpireSpan(100_000, 8, initial_share=0.5), dtype=dtype)
    spans = layer.remember(torch.zeros(1, 3, 4, dtype=dtype)).spans
    assert (spans - 50_000).abs().max() < 1


@pytest.mark.parametrize("price", [0.0, 0.1])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_spans_and_dates_are_those_of_float32(dtype, price):
    """Of the same rounded weights and states: a rounded logit would move spans of this size by steps."""
    law = ExpireSpan(1000, 16, initial_share=0.4, price=price, pre_divide=2.0)
    layer = CausalSelfAttention(16, 2, forgetting=law, sees_itself=False, seed=0)
    draw = torch.Generator().manual_seed(1)
    torch.nn.init.normal_(layer.get_parameter("forgetting.predictor.weight"), generator=draw)
    layer = layer.to(dtype)
    wide = copy.deepcopy(layer).float()
    x = torch.randn(2, 600, 16, generator=draw).to(dtype)
    exact = wide.remember(x.float())
    ways = {
        "layer": (layer, contextlib.nullcontext()),
        "autocast": (wide, torch.autocast("cpu", torch.bfloat16)),
    }
    for way, (rounded, around) in ways.items():
        with around:
            known = rounded.remember(x.to(rounded.project.weight.dtype))
            _, live, total, _ = chunked(rounded, x.to(rounded.project.weight.dtype), [250, 350])
        assert known.spans.dtype == torch.float32, way
        torch.testing.assert_close(known.spans, exact.spans, rtol=1e-6, atol=0, msg=way)
        assert torch.equal(known.live, exact.live), way
        assert torch.equal(live, exact.live), way
        for found in (known.price, total / x.shape[1]):
            torch.testing.assert_close(found.float(), exact.price, rtol=1e-4, atol=0, msg=way)
        assert (known.y - exact.y).abs().max() < 10 * torch.finfo(torch.bfloat16).eps * exact.y.abs().max()


@pytest.mark.parametrize("past", [2**24 + 1, 2**31 + 5, 2**40])
def test_old_sequences_go_on_as_young_ones(past):
    """Ages and steps beyond the whole numbers of float32."""
    for law in (Sinks(2, 5), Window(3), ExpireSpan(9, 2), ForgetGate()):
        layer = CausalSelfAttention(4, forgetting=law, seed=0, block=4)
        x = torch.randn(1, 20, 4, generator=torch.Generator().manual_seed(0))
        state = layer.run(x[:, :10]).last
        later = state._replace(steps=state.steps + past)
        if not isinstance(law, Sinks):  # whose first steps are others then
            assert torch.equal(layer.run(x[:, 10:], later).y, layer.run(x[:, 10:], state).y)
        old = KeptStates(x[:, :1], torch.tensor([[past]]), torch.tensor([past]))
        seen = layer.remember(x[:, 10:], old).live[0, 0].item()
        assert seen == (2 if isinstance(law, Sinks | ForgetGate) else 1)


# --- NaN and inf ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
@EVERY
def test_nan_spreads_forwards_in_its_own_row(name, bad):
    layer = attention(LAWS[name](), block=4)
    x = inputs_for(layer.forgetting, 0, 2, 12)
    exact = layer(x)
    x[0, 7, 2] = bad
    y = layer(x)
    assert torch.equal(y.isnan().any(-1), torch.tensor([[False] * 7 + [True] * 5, [False] * 12]))
    torch.testing.assert_close(y[1], exact[1], rtol=0, atol=1e-13)
    torch.testing.assert_close(y[0, :7], exact[0, :7], rtol=0, atol=1e-13)
    last = layer.run(x).last
    if last.states.numel():  # a window of one keeps nothing
        with pytest.raises(ValueError, match="must be finite numbers, got NaN or inf"):
            layer.run(x, last)


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_spans_that_are_no_numbers_are_refused(bad):
    """A NaN compares as dead, and would vanish."""
    layer = attention(ExpireSpan(9, 2))
    layer.forgetting.predictor.bias.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="what ExpireSpan notes of memories must be finite numbers"):
        layer(torch.zeros(1, 3, 6, dtype=torch.float64))
    given, x = attention(Given(9, 2)), torch.zeros(1, 3, 6, dtype=torch.float64)
    state = KeptStates(x + bad, torch.tensor([[3, 2, 1]]), torch.tensor([3]))
    with pytest.raises(ValueError, match="states must be finite numbers"):
        given.run(x, state)
    adaptive = attention(AdaptiveSpan(9, 2))
    adaptive.forgetting.logits.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="spans of AdaptiveSpan must be finite"):
        adaptive(x)


@pytest.mark.parametrize("kept", ["states", "keys"])
@EVERY
def test_empty_batches_and_chunks_are_free(name, kept):
    layer = attention(LAWS[name](), block=4, kept=kept, zero_memories=1)
    x = inputs_for(layer.forgetting, 0, 2, 9)
    state = layer.run(x).last
    for nobody in (layer.remember(x[:0]), layer.remember(x[:0], choose_rows(state, []))):
        assert nobody.y.shape == (0, 9, 6)
        assert nobody.price.item() == 0
    nothing = layer.remember(x[:, :0], state)
    assert nothing.y.shape == (2, 0, 6)
    assert nothing.price.item() == 0
    assert all(torch.equal(a, b) for a, b in zip(nothing.last, state, strict=True))


# --- transformations --------------------------------------------------------------------------------------


@EVERY
def test_torch_func_goes_through_forward(name):
    layer = attention(LAWS[name](), block=4)
    x, v = inputs_for(layer.forgetting, 0, 2, 11), inputs_for(layer.forgetting, 1, 2, 11)
    if isinstance(layer.forgetting, Given):
        x[..., 0] += 0.25  # a tie has no derivative
    y, slope = torch.func.jvp(layer, (x,), (v,))
    torch.testing.assert_close(y, layer(x), rtol=0, atol=1e-13)
    _, back = torch.func.vjp(layer, x)
    (w,) = back(v)
    assert abs((w * v).sum() - (slope * v).sum()) < 1e-10 * (w * v).abs().sum().clamp(min=1)
    many = torch.func.vmap(lambda one: layer(one[None])[0])(x)
    torch.testing.assert_close(many, layer(x), rtol=0, atol=1e-13)
    weights = {key: torch.stack([w.detach()] * 2) for key, w in layer.named_parameters()}
    twice = torch.func.vmap(lambda p: torch.func.functional_call(layer, p, (x,)))(weights)
    torch.testing.assert_close(twice, torch.stack([layer(x)] * 2), rtol=0, atol=1e-13)


@pytest.mark.parametrize("vocabulary", [None, 5])
@EVERY
def test_many_models_are_one_after_the_other(name, vocabulary):
    models = [model(LAWS[name](), block=1, vocabulary=vocabulary) for _ in range(3)]
    for i, one in enumerate(models):
        torch.nn.init.normal_(one.embed.weight, generator=torch.Generator().manual_seed(i))
    stacked = {
        key: torch.stack([dict(one.named_parameters())[key].detach() for one in models])
        for key, _ in models[0].named_parameters()
    }
    x = torch.randn(2, 9, 1, dtype=torch.float64) if vocabulary is None else torch.randint(5, (2, 9))
    each = torch.stack([one(x) for one in models])
    torch.testing.assert_close(models[0].run_many(stacked, x), each, rtol=0, atol=1e-13)


# --- measurements -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", [ExpireSpan(12, 3), Window(5), AdaptiveSpan(12, 3), ForgetGate()], ids=str)
def test_models_that_forget_are_measured(law):
    m = model(law)
    curve = com.measure.memory_function(m, 40, probe="impulse", radii=(1.0, 2.0))
    assert curve.attrs["causal"]
    gradients = com.measure.gradient_norms(m, 40, samples=2)
    assert (gradients["mean"].values[..., -1:] >= 0).all()
    if isinstance(law, Window):
        reach = 2 * 5
        assert not curve.values[reach + 1 :].any()
        assert (curve.values[1:6] > 0).all()


def test_models_that_forget_stand_in_one_report():
    models = {"window": model(Window(3)), "spans": model(ExpireSpan(12, 3)), "gates": model(ForgetGate())}
    report = com.measure.memory_report(models, 30)
    assert list(report.index) == list(models) or list(report["model"]) == list(models)
    used = com.measure.memory_used(models["window"], 30, samples=40)
    assert np.isfinite(used.values).all()


def test_the_reach_of_a_stack_is_met_and_not_passed():
    """Spans of both runs; each layer its own law, and not a step more than their lives."""
    spans = [(4.0, 3), (6.5, 3), (0.5, 3)]
    laws = [ExpireSpan(20, ramp, initial_share=e / 20) for e, ramp in spans]
    m = CausalTransformer(
        8, 3, heads=2, forgetting=laws, sees_itself=False, zero_memories=2, block=5, seed=0,
        dtype=torch.float64,
    )  # fmt: skip
    reach = expiry.reach([np.array([e]) for e, _ in spans], 3)
    x = torch.randn(1, 60, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    kicked = x.clone()
    kicked[0, 20] += 1.0
    moved = (m(kicked) - m(x))[0, :, 0].abs().detach() > 0
    assert moved.nonzero().flatten().tolist() == list(range(20, 20 + reach + 1))


@pytest.mark.parametrize("seed", range(4))
def test_spans_that_react_reach_as_far_as_the_larger_ones_of_both_runs(seed):
    m = model([ExpireSpan(9, 2, initial_share=0.4), ExpireSpan(9, 2, initial_share=0.2)])
    x = torch.randn(1, 50, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    for at in (5, 17, 30):
        kicked = x.clone()
        kicked[0, at] += 1.5
        one, other = m.remember(x), m.remember(kicked)
        larger = [torch.maximum(a, b)[0] for a, b in zip(one.spans, other.spans, strict=True)]
        last = int(expiry.last_reached(torch.stack(larger).detach().numpy(), 2)[at])
        moved = (one.y - other.y)[0, :, 0].abs() > 0
        assert moved.nonzero().max().item() == min(last, 49)
