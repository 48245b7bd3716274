"""Streams that ask for labels, streams of real vectors, warm-up, and numbers that are lost on the way."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import ExpireSpan
from curse_of_memory.protocols import Outputs
from curse_of_memory.training import evaluate_stream, fit, fit_stream, text_losses
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.schedules import scheduler_of
from curse_of_memory.training.streams.chunks import ChunkAnswer
from curse_of_memory.training.streams.fit_stream import _asked_loss
from curse_of_memory.training.streams.rows import Rows
from curse_of_memory.training.streams.stream import checked_stream

TOKENS, CLASSES = 5, 3
CPU = torch.device("cpu")
SMALL: dict[str, Any] = {
    "rows": 2,
    "chunk": 6,
    "steps": 20,
    "validate_every": 5,
    "learning_rate": 0.01,
    "device": "cpu",
}


class Tiny(nn.Module):
    """A GRU of tokens or vectors, in float64."""

    def __init__(self, channels=None):
        super().__init__()
        torch.manual_seed(0)
        self.embed = nn.Embedding(TOKENS, 4) if channels is None else nn.Linear(channels, 4)
        self.gru, self.say = nn.GRU(4, 6, batch_first=True), nn.Linear(6, CLASSES)
        self.double()

    def run(self, x, state=None):
        y, last = self.gru(self.embed(x), state)
        return Outputs(self.say(y), last)


def drawn(count, seed):
    """Tokens; after every fourth step or so the class of the token two steps before is asked."""
    generator = torch.Generator().manual_seed(seed)
    text = torch.randint(TOKENS, (count,), generator=generator)
    labels = torch.full((count,), -100)
    at = (torch.rand(count, generator=generator) < 0.25).nonzero()[:, 0]
    at = at[(at > 1) & ((at < 40) | (at > 60))]  # a stretch in which nothing is asked
    labels[at] = text[at - 2] % CLASSES
    return text, labels


(TEXT, LABELS), (UNSEEN, ASKED) = drawn(200, 0), drawn(70, 1)
LABELLED = {"labels": LABELS, "validation_labels": ASKED}


def small(**changes):
    return SMALL | LABELLED | changes


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


# --- labels ---------------------------------------------------------------------------------------


def test_every_step_has_its_own_label():
    rows = Rows(checked_stream("text", TEXT, LABELS, torch.float32), 2, 6, seed=1, place=OneProcess(CPU))
    assert rows.epoch == 200 // 12
    x, y = (torch.cat([rows.training(k)[part] for k in range(rows.epoch)], 1) for part in (0, 1))
    windows = TEXT.unfold(0, 192, 1)
    start = int((windows == x.flatten()).all(1).nonzero()[0])
    assert torch.equal(y.flatten(), LABELS[start : start + 192])


@pytest.mark.parametrize("vectors", [False, True])
def test_the_loss_is_a_mean_over_the_steps_that_are_asked(vectors):
    """The loop in torch alone; of a chunk that asks for nothing the gradient is zero, and Adam goes on."""
    table = torch.randn(TOKENS, 2, generator=torch.Generator().manual_seed(0))
    inputs, unseen = (table[text] if vectors else text for text in (TEXT, UNSEEN))
    model, twin = (Tiny(2 if vectors else None) for _ in range(2))
    result = fit_stream(model, inputs, unseen, **small(validate_every=1))
    source = checked_stream("text", inputs, LABELS, torch.float64)
    rows = Rows(source, 2, 6, seed=0, place=OneProcess(CPU))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    losses, kept, unasked, last, state = [math.nan], [weights(twin)], 0, math.nan, None
    for step in range(20):
        x, y = rows.training(step)
        state = None if state is None or step % rows.epoch == 0 else state.detach()
        logits, state = twin.run(x, state)
        optimizer.zero_grad()
        asked = y != -100
        if asked.any():
            loss = nn.functional.cross_entropy(logits[asked], y[asked])
            loss.backward()
            last = loss.item()
        else:
            unasked += 1
            for p in twin.parameters():
                p.grad = torch.zeros_like(p)
        nn.utils.clip_grad_norm_(twin.parameters(), 0.5)
        optimizer.step()
        losses.append(last)
        kept.append(weights(twin))
    assert unasked > 0
    np.testing.assert_allclose(result.history.training_loss, losses, rtol=1e-10)
    best = result.history.validation_loss.argmin()
    torch.testing.assert_close(weights(model), kept[best], rtol=1e-9, atol=1e-12)
    logits = model.run(unseen.double()[None] if vectors else unseen[None]).y[0][ASKED != -100]
    right = ASKED[ASKED != -100]
    loss = nn.functional.cross_entropy(logits, right).item()
    np.testing.assert_allclose(result.loss, loss, rtol=1e-12)
    found = evaluate_stream(model, unseen, labels=ASKED, chunk=7, device="cpu")
    np.testing.assert_allclose(found.loss, loss, rtol=1e-12)
    np.testing.assert_allclose(found.accuracy, (logits.argmax(-1) == right).double().mean(), rtol=1e-12)
    assert (found.live, found.spans) == ((), ())
    np.testing.assert_allclose(text_losses(model, unseen, labels=ASKED, device="cpu"), [loss], rtol=1e-12)


def test_the_price_is_one_over_all_steps_however_few_are_asked():
    answer = ChunkAnswer(torch.randn(2, 6, CLASSES, requires_grad=True), None, torch.tensor(0.25))
    targets = torch.full((2, 6), -100)
    nothing = _asked_loss(answer, targets, OneProcess(CPU))
    nothing.error.backward()
    assert (nothing.error.item(), nothing.price, nothing.asked) == (0.0, answer.price, False)
    assert not answer.y.grad.any()
    targets[1, 2] = 1
    one = _asked_loss(answer, targets, OneProcess(CPU))
    assert one.asked
    assert one.price is answer.price
    torch.testing.assert_close(one.error, -answer.y[1, 2].log_softmax(-1)[1])


def test_weights_may_be_selected_by_the_share_of_right_answers():
    model = Tiny()
    result = fit_stream(model, TEXT, UNSEEN, **small(metric="accuracy", learning_rate=0.05, steps=40))
    history = result.history
    assert list(history.columns)[-1] == "validation_accuracy"
    assert result.score == history.validation_accuracy.max()
    found = evaluate_stream(model, UNSEEN, labels=ASKED, device="cpu")
    np.testing.assert_allclose(found.accuracy, result.score)
    np.testing.assert_allclose(found.loss, history.validation_loss[history.validation_accuracy.argmax()])


# --- warm-up --------------------------------------------------------------------------------------


def test_the_rate_rises_in_a_line_and_then_goes_as_ever():
    def rates(schedule, steps, warmup):
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
        scheduler = scheduler_of(schedule, optimizer, steps=steps, epoch=1, decay_patience=1, warmup=warmup)
        found = []
        for _ in range(steps):
            found.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.step()
        return found

    rising = [0.25, 0.5, 0.75, 1.0]
    np.testing.assert_allclose(rates("constant", 12, 4), rising + 8 * [1.0])
    np.testing.assert_allclose(rates([6], 12, 4), rising + 2 * [1.0] + 6 * [0.1])
    np.testing.assert_allclose(rates("cosine", 12, 4), rising + rates("cosine", 8, 0))
    np.testing.assert_allclose(rates("linear", 12, 4), rising + [1 - k / 8 for k in range(8)])
    history = fit_stream(Tiny(), TEXT, UNSEEN, **small(warmup=10)).history
    np.testing.assert_allclose(history.learning_rate, [0.001, 0.006, 0.01, 0.01, 0.01])


# --- numbers that are lost --------------------------------------------------------------------------


def test_a_model_whose_states_become_infinite_has_diverged():
    def made(**options):
        law = ExpireSpan(20, 4, price=0.01)
        return CausalTransformer(8, 2, heads=2, forgetting=law, seed=0, norm="post", **options)

    wild = {"learning_rate": 1e30, "clip": math.inf}
    model = made(vocabulary=TOKENS, output_size=CLASSES)
    start = weights(model)
    for every in (1, 20):  # seen at a validation, or in training
        result = fit_stream(model, TEXT, UNSEEN, **small(validate_every=every, **wild))
        assert result.status == "diverged"
        assert result.steps < 20
        assert torch.equal(weights(model), start)
    x = torch.randn(8, 10, 1, generator=torch.Generator().manual_seed(0))
    for every in (1, 20):
        model = made()
        start = weights(model)
        result = fit(model, (x, x), validation=(x, x), steps=20, validate_every=every, **wild, device="cpu")
        assert result.status == "diverged"
        assert torch.equal(weights(model), start)


# --- bad input --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": torch.full_like(LABELS, -100)}, "labels must ask for something, but all 200 are -100"),
        ({"validation_labels": ASKED.clamp(max=-100)}, "validation_labels must ask for something, but all"),
        ({"labels": LABELS[1:]}, r"labels must have shape \(200,\), one for each step of text, got \(199,\)"),
        ({"labels": LABELS.double()}, "labels must be whole numbers, got float64"),
        ({"labels": LABELS.where(LABELS != 1, -1)}, "labels must be >= 0, or -100 where nothing is"),
        ({"labels": "none"}, "labels must be a tensor of labels, got str"),
        ({"labels": None}, "labels must be given, too, or neither"),
        ({"validation_labels": None}, "validation_labels must be given, too, or neither"),
        ({"text": torch.zeros(200, 2, 2)}, r"text must be real vectors \(steps, channel\), got \(200, 2, "),
        ({"text": torch.full((200, 2), torch.nan)}, "text must be finite numbers, got NaN or inf"),
        ({"text": TEXT[:, None]}, r"text must be tokens \(steps,\), got \(200, 1\)"),
        ({"text": TEXT[:11], "labels": torch.zeros(11, dtype=int)}, "text must have at least 2 x 6 steps"),
        ({"validation_rows": 71}, "validation_rows must be at most 70, its steps, got 71"),
        (
            {"text_steps": 5, "labels": torch.cat([torch.full((5,), -100), LABELS[5:]])},
            "text_steps must reach a label that asks for something, got 5",
        ),
        ({"metric": "rmse"}, "metric must be one of 'loss', 'accuracy'; got 'rmse'"),
        ({"warmup": -1}, "warmup must not be negative"),
        ({"warmup": 20}, "warmup must be below steps = 20, got 20"),
        ({"warmup": 2, "schedule": "plateau"}, "warmup must be 0 with the schedule 'plateau'"),
        (
            {"text": torch.zeros(200, 2), "labels": None, "validation_labels": None},
            "labels must be given for real vectors, which have no next token, as text is",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused_in_one_line(change, message):
    given: dict[str, Any] = {"text": TEXT, "validation": UNSEEN} | small(**change)
    with pytest.raises((ValueError, TypeError), match=message) as refused:
        fit_stream(Tiny(), given.pop("text"), given.pop("validation"), **given)
    assert "\n" not in str(refused.value)
