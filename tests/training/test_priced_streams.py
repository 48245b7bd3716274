"""Training of models whose memories have a price, on streams and on tasks; a run that was killed goes on."""

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer, SequenceStack
from curse_of_memory.nn.attention.causal_attention import CausalSelfAttention
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan, Law, Window
from curse_of_memory.protocols import Remembering, remembers
from curse_of_memory.theory.expiry import charge_gradient
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training import evaluate_stream, fit, fit_stream, sweep

TOKENS = 5
TEXT, UNSEEN = (torch.from_numpy(np.random.default_rng(n).integers(TOKENS, size=n)) for n in (420, 61))
SMALL: dict[str, Any] = {
    "rows": 3,
    "chunk": 8,
    "steps": 30,
    "validate_every": 10,
    "learning_rate": 0.01,
    "device": "cpu",
}
EPOCH = 419 // 24


def small(**changes):
    return SMALL | changes


def transformer(law, layers=2, **options):
    options = {"vocabulary": TOKENS, "sees_itself": False, "zero_memories": 4, "block": 4} | options
    return CausalTransformer(
        8, layers, heads=2, forgetting=law, positions="block", dtype=torch.float64, seed=0, **options
    )


def priced(price=0.01, **options):
    return transformer(ExpireSpan(40, 4, price=price), **options)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- the price ----------------------------------------------------------------------------------


def test_the_price_is_descended_and_not_told():
    """The loop in torch alone: the loss of a chunk, and the price that the model says."""
    model, twin = priced(), priced()
    result = fit_stream(model, TEXT, UNSEEN, **SMALL)
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    state, losses, kept = None, [], {0: weights(twin)}
    for step in range(30):
        if step % EPOCH == 0:
            first = int(stream("start of a walk", 0, step // EPOCH).integers(419 - 24 * EPOCH + 1))
            pieces = TEXT[first : first + 24 * EPOCH + 1].unfold(0, 8 * EPOCH + 1, 8 * EPOCH)
            state = None
        piece = pieces[:, step % EPOCH * 8 :][:, :9]
        known = twin.remember(piece[:, :-1], state)
        state = known.last
        loss = nn.functional.cross_entropy(known.y.flatten(0, 1), piece[:, 1:].flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        (loss + known.price).backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        optimizer.step()
        kept[step + 1] = weights(twin)
    np.testing.assert_allclose(result.history.training_loss[1:], [losses[k - 1] for k in (10, 20, 30)])
    best = int(result.history.step[result.history.validation_loss.argmin()])
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, kept[best][name], rtol=1e-8, atol=1e-11)
    free = fit_stream(priced(0.0), TEXT, UNSEEN, **SMALL).history
    assert result.history.span_0.iloc[-1] < free.span_0.iloc[-1]


class Gradients:
    """Takes the gradients of the first step of a training, before they are clipped."""

    def __init__(self, model):
        self.of = {}
        for name, weight in model.named_parameters():
            weight.register_hook(lambda gradient, name=name: self.of.setdefault(name, gradient.clone()))


def test_the_gradient_of_the_price_is_that_of_the_theory():
    """α/M for each span of M steps of B rows, through e = L σ(b), if all of them end within the chunk.

    Everything else in the loss is made blind to the spans: what attention answers is multiplied by zero.
    """
    alpha, L, R, p = 0.3, 20, 4, 0.12
    model = transformer(ExpireSpan(L, R, price=alpha, initial_share=p), 1, zero_memories=0)
    with torch.no_grad():
        model.blocks[0].attention.out.weight.zero_()
    seen = Gradients(model)
    fit_stream(model, TEXT, UNSEEN, **small(steps=1, chunk=130))
    # with 130 - 1 - (R - 1 + ceil e) steps left, a memory is charged in full; the last ones in part
    e = L * p
    full = charge_gradient(e, R, alpha, 130)
    ages = np.arange(1, 130)
    per_step = [((ages <= 129 - i) & (ages > e) & (ages < e + R)).sum() / R * alpha / 130 for i in range(130)]
    np.testing.assert_allclose(per_step[:100], full)
    found = seen.of["blocks.0.attention.forgetting.predictor.bias"].item()
    np.testing.assert_allclose(found, sum(per_step) * L * p * (1 - p), rtol=1e-12)


def test_a_whole_sequence_is_charged_as_a_chunk_of_a_stream_is():
    alpha, L, R, p = 0.3, 20, 4, 0.12
    x = torch.randn(6, 50, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def made(price):
        law = ExpireSpan(L, R, price=price, initial_share=p)
        return transformer(law, 1, vocabulary=None, input_size=1)

    found, told = {}, {}
    for price in (0.0, alpha):
        model = made(price)
        seen = Gradients(model)
        result = fit(model, (x, x), validation=(x, x), steps=1, batch_size=6, validate_every=1, device="cpu")
        found[price], told[price] = seen.of, result.history.training_loss[1]
    twin = made(alpha)
    known = twin.remember(x)
    known.price.backward()
    name = "blocks.0.attention.forgetting.predictor.bias"
    assert told[0.0] == told[alpha]
    own = found[alpha][name] - found[0.0][name]
    torch.testing.assert_close(own, twin.get_parameter(name).grad, rtol=1e-9, atol=1e-14)
    assert own.item() > 0


def test_of_a_span_for_all_memories_the_price_is_descended_too():
    """Of nothing but the price, z = L σ(b) falls by Adam's first step, which is the learning rate in b."""
    model = transformer(AdaptiveSpan(40, 4, price=1e3, initial_share=0.5), 1)
    law = model.blocks[0].attention.forgetting
    fit_stream(model, TEXT, UNSEEN, **small(steps=1, clip=math.inf))
    moved = {name: weight for name, weight in law.named_parameters()}["logits"]
    assert moved.shape == (2,)
    result = fit_stream(
        transformer(AdaptiveSpan(40, 4, price=1e3, initial_share=0.5), 1), TEXT, UNSEEN,
        **small(steps=3, validate_every=1, clip=math.inf),
    )  # fmt: skip
    expected = [40 / (1 + math.exp(0.01 * k)) for k in range(4)]
    np.testing.assert_allclose(result.history.span_0, expected, rtol=1e-5)


def test_columns_tell_live_memories_and_spans_of_the_validation_text():
    model = priced()
    history = fit_stream(model, TEXT, UNSEEN, **small(validation_rows=2)).history
    assert list(history.columns)[5:] == ["live_0", "live_1", "span_0", "span_1"]
    best = history.loc[history.validation_loss.idxmin()]
    model.eval()
    known = [model.remember(part[None]) for part in (UNSEEN[:30], UNSEEN[30:60])]
    for layer in (0, 1):
        live = torch.cat([one.live[layer] for one in known], 1).double().mean()
        span = torch.cat([one.spans[layer] for one in known], 1).mean()
        np.testing.assert_allclose(
            best[[f"live_{layer}", f"span_{layer}"]], [live, span.detach()], rtol=1e-12
        )
    found = evaluate_stream(model, UNSEEN, rows=2, chunk=7, device="cpu")
    np.testing.assert_allclose(found.live, best[["live_0", "live_1"]].to_list(), rtol=1e-12)
    np.testing.assert_allclose(found.spans, best[["span_0", "span_1"]].to_list(), rtol=1e-12)
    np.testing.assert_allclose(found.loss, best.validation_loss, rtol=1e-12)
    # padding is no step: 61 tokens in seven rows of nine steps each
    padded = evaluate_stream(transformer(Window(3), 1, zero_memories=0), UNSEEN, rows=7, device="cpu")
    assert padded.spans == (None,)
    counts = [sum(min(t, 3) for t in range(steps)) for steps in 6 * [9] + [6]]
    np.testing.assert_allclose(padded.live, [sum(counts) / 60], rtol=1e-12)


# --- a price that nobody would see ----------------------------------------------------------------


class Hidden(nn.Module):
    """A model that has a transformer inside, and its run alone."""

    def __init__(self, price=0.01):
        super().__init__()
        self.inner = priced(price)

    def forward(self, x):
        return self.inner(x)

    def run(self, x, state=None):
        return self.inner.run(x, state)


class Spoken(Hidden):
    """One that says it."""

    def remember(self, x, state=None):
        return self.inner.remember(x, state)


def test_a_price_that_a_model_does_not_say_is_refused():
    message = r"model must have remember\(x, state\), or the price of its ExpireSpan would be lost"
    with pytest.raises(ValueError, match=message):
        fit_stream(Hidden(), TEXT, UNSEEN, **SMALL)
    with pytest.raises(ValueError, match=message):
        fit(Hidden(), (TEXT[None], TEXT[None]), steps=1)
    assert fit_stream(Hidden(0.0), TEXT, UNSEEN, **small(steps=1)).steps == 1
    said, whole = (fit_stream(made(), TEXT, UNSEEN, **small(steps=4)).history for made in (Spoken, priced))
    pd.testing.assert_frame_equal(said, whole)


def test_many_models_at_once_are_charged_nothing_and_say_so():
    class Task:
        def sample(self, size, *, seed, device="cpu", dtype=None):
            x = torch.zeros(size, 5, 1, dtype=dtype, device=device)
            return x, x

    laws = ExpireSpan(9, 2, price=0.1), ExpireSpan(9, 2, shorten=True), AdaptiveSpan(9, 2, price=0.1)
    for law in laws:
        message = f"models must have no law with a price or random shortening, got {type(law).__name__}; use"
        with pytest.raises(ValueError, match=message):
            sweep([transformer(law, 1, vocabulary=None)], Task(), steps=1)
    model = transformer(ExpireSpan(9, 2), 1, vocabulary=None)
    assert sweep([model], Task(), steps=1, batch_size=2, validation_size=2, device="cpu").steps == 1


def test_who_remembers_and_who_has_a_price():
    plain = CausalTransformer(8, vocabulary=3)
    assert checks.fulfils(plain, Remembering)
    assert not remembers(plain)
    assert remembers(priced())
    assert remembers(CausalSelfAttention(8, forgetting=Window(3)))
    assert not remembers(SequenceStack(lambda width: CausalSelfAttention(width), 4))
    assert not remembers(Hidden())
    assert remembers(Spoken())

    class Own(Law):
        def charge(self, ages, notes, queries):
            return notes.sum()

    assert Own().is_priced
    assert [ExpireSpan(9, 2).is_priced, AdaptiveSpan(9, 2).is_priced, Window(3).is_priced] == 3 * [False]
