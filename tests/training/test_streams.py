"""Training on one long text: rows, the state that is handed on, averages, and a run that was killed."""

import copy
import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools.random_streams import stream
from curse_of_memory.training import fit_stream, text_losses
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.carried import CarriedState
from curse_of_memory.training.streams.rows import Rows, side_by_side
from curse_of_memory.training.streams.stream import checked_stream
from tests.devices import CUDA

ROOT = Path(__file__).parents[2]
CPU = torch.device("cpu")
TOKENS = 5


class Tiny(nn.Module):
    """A GRU of tokens, in float64, with dropout if asked for; it notes the states, and has `run` alone."""

    def __init__(self, seed=0, dropout=0.0):
        super().__init__()
        torch.manual_seed(seed)
        self.embed, self.gru, self.say = nn.Embedding(TOKENS, 4), nn.GRU(4, 6), nn.Linear(6, TOKENS)
        self.drop = nn.Dropout(dropout)
        self.double()
        self.states, self.dies_at = [], None

    def __repr__(self):
        return "Tiny"

    def run(self, x, state=None):
        if self.training:
            if len(self.states) == self.dies_at:
                raise KeyboardInterrupt
            self.states.append(state)
        h = x.new_zeros(1, len(x), 6, dtype=torch.float64) if state is None else state["h"][0]
        y, last = self.gru(self.drop(self.embed(x)).transpose(0, 1), h)
        return Outputs(self.say(y).transpose(0, 1), {"h": (last, None)})


def words(count, seed=0):
    """A text in which the next token is mostly the last but one, plus one."""
    random, text = np.random.default_rng(seed), [0, 1]
    for draw in random.random(count - 2):
        text.append((text[-2] + 1) % TOKENS if draw < 0.8 else int(random.integers(TOKENS)))
    return torch.tensor(text)


TEXT, UNSEEN = words(700), words(90, 1)
SMALL: dict[str, Any] = {
    "rows": 3,
    "chunk": 8,
    "steps": 60,
    "validate_every": 12,
    "learning_rate": 0.01,
    "device": "cpu",
}


def small(changes: dict[str, Any]) -> dict[str, Any]:
    return SMALL | changes


def tokens(text):
    return checked_stream("text", text, None, torch.float64)


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


# --- rows ---------------------------------------------------------------------------------------


def test_chunks_follow_each_other_through_the_rows_and_the_rows_through_the_text():
    text, place = torch.arange(103), OneProcess(CPU)
    rows = Rows(tokens(text), 3, 4, seed=5, place=place)
    assert rows.epoch == 102 // 12
    starts = set()
    for walk in range(20):
        chunks = [rows.training(walk * rows.epoch + k) for k in range(rows.epoch)]
        x, y = (torch.cat([chunk[k] for chunk in chunks], 1) for k in (0, 1))
        start = x[0, 0].item()
        assert torch.equal(x.flatten(), torch.arange(start, start + 96))  # as far as rows and chunks fit
        assert torch.equal(y, x + 1)
        starts.add(start)
    assert starts <= set(range(7))
    assert len(starts) > 3  # all of the seven can be drawn, the last with the last token for a target
    assert [step for step in range(25) if rows.begins(step)] == [0, 8, 16, 24]


def test_a_whole_text_in_rows_has_every_next_token_once():
    x, y, read = side_by_side(tokens(torch.arange(12)), 3)
    assert x.shape == (3, 4)
    assert torch.equal(x.flatten()[:11], torch.arange(11))
    assert y.flatten().tolist() == [*range(1, 12), -100]
    assert read.flatten().tolist() == [True] * 11 + [False]


# --- losses of whole texts ----------------------------------------------------------------------


def test_the_loss_of_a_text_is_that_of_one_pass_whatever_the_chunks():
    model = Tiny(dropout=0.5)
    model.eval()
    logits = model.run(UNSEEN[None, :-1]).y[0]
    known = nn.functional.cross_entropy(logits, UNSEEN[1:]).item()
    hotter = nn.functional.cross_entropy(0.8 * logits, UNSEEN[1:]).item()
    model.train()
    for chunk in (1, 7, 500):
        found = text_losses(model, UNSEEN, chunk=chunk, factors=(1, 0.8), device="cpu")
        np.testing.assert_allclose(found, [known, hotter], rtol=1e-12)
    assert model.training
    # of rows the mean over all tokens, each row from a state at rest
    parts = [text_losses(model, part, device="cpu")[0] for part in (UNSEEN[:46], UNSEEN[45:])]
    in_rows = text_losses(model, UNSEEN, rows=2, chunk=10, device="cpu")[0]
    np.testing.assert_allclose(in_rows, np.average(parts, weights=[45, 44]), rtol=1e-12)


@pytest.mark.parametrize("device", [CUDA])
def test_a_gpu_learns_a_text_as_the_cpu_does(device):
    known = fit_stream(Tiny(), TEXT, UNSEEN, **small({}))
    model = Tiny()
    found = fit_stream(model, TEXT, UNSEEN, **small({"device": device}))
    assert {p.device.type for p in model.parameters()} == {device}
    np.testing.assert_allclose(found.history.validation_loss, known.history.validation_loss, rtol=1e-6)


# --- training -----------------------------------------------------------------------------------


def test_the_learnt_text_is_evaluated_as_the_other_one_and_changes_nothing():
    model, alone = Tiny(dropout=0.3), Tiny(dropout=0.3)
    result = fit_stream(model, TEXT, UNSEEN, **small({"text_steps": 120, "validation_rows": 4}))
    best = result.history.loc[result.history.validation_loss.idxmin()]
    found = text_losses(model, TEXT[:121], rows=4, chunk=8, device="cpu")
    np.testing.assert_allclose(found, [best.text_loss], rtol=1e-12)
    same = fit_stream(alone, TEXT, UNSEEN, **small({"validation_rows": 4})).history
    pd.testing.assert_frame_equal(result.history.drop(columns="text_loss"), same)


def test_it_is_the_training_that_one_would_write_down():
    """The loop in torch alone: rows, state without gradient, penalty, clipping, Adam."""
    model, twin = Tiny(), Tiny()
    steps, penalty, clip = 40, 1e-3, 0.05
    result = fit_stream(model, TEXT, UNSEEN, **small({"steps": steps, "penalty": penalty, "clip": clip}))
    optimizer = torch.optim.Adam(twin.parameters(), lr=0.01)
    epoch, state, losses, states = 699 // 24, None, [], {0: weights(twin)}
    for step in range(steps):
        if step % epoch == 0:
            first = stream("start of a walk", 0, step // epoch).integers(699 - 24 * epoch + 1)
            pieces = TEXT[first : first + 24 * epoch + 1].unfold(0, 8 * epoch + 1, 8 * epoch)
            state = None
        piece = pieces[:, step % epoch * 8 :][:, :9]
        y, state = twin.run(piece[:, :-1], state)
        state = {"h": (state["h"][0].detach(), None)}
        loss = nn.functional.cross_entropy(y.flatten(0, 1), piece[:, 1:].flatten())
        losses.append(loss.item())
        whole = loss + penalty / 2 * sum((p**2).sum() for p in twin.parameters())
        optimizer.zero_grad()
        whole.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), clip)
        optimizer.step()
        states[step + 1] = weights(twin)
    told = result.history.training_loss[1:]
    np.testing.assert_allclose(told, [losses[k - 1] for k in (12, 24, 36, 40)], rtol=1e-10)
    assert result.history.step.tolist() == [0, 12, 24, 36, 40]
    np.testing.assert_allclose(result.history.epoch, result.history.step / epoch)
    best = int(result.history.step[result.history.validation_loss.argmin()])
    for name, weight in weights(model).items():
        torch.testing.assert_close(weight, states[best][name], rtol=1e-8, atol=1e-12)
    np.testing.assert_allclose(text_losses(model, UNSEEN, device="cpu")[0], result.loss, rtol=1e-12)


def test_the_state_is_handed_on_without_gradient_and_put_to_rest_at_the_end_of_a_walk():
    model = Tiny()
    fit_stream(model, TEXT, UNSEEN, **SMALL)
    at_rest = [k for k, state in enumerate(model.states) if state is None]
    assert at_rest == [0, 29, 58]
    assert not any(state["h"][0].requires_grad for state in model.states if state is not None)


def test_a_cache_of_keys_and_values_is_a_state_too():
    model = CausalTransformer(8, 1, heads=2, vocabulary=TOKENS, seed=0)
    result = fit_stream(model, TEXT, UNSEEN, **SMALL)
    assert result.status == "finished"
    assert result.loss < result.history.validation_loss[0]


@pytest.mark.parametrize(
    ("options", "first"), [({"average_from": 30}, 30), ({"average_after": 1, "learning_rate": 1.0}, None)]
)
def test_the_mean_of_the_weights_is_evaluated_and_kept_while_the_training_goes_on(options, first):
    class Noted(Tiny):
        def run(self, x, state=None):
            if self.training:
                noted.append(weights(self))
            elif x.shape == (1, 8) and state is None:
                evaluated.append(weights(self))
            return super().run(x, state)

    noted, evaluated = [], []
    model = Noted()
    result = fit_stream(model, TEXT, UNSEEN, **small(options))
    history, plain = result.history, copy.deepcopy(noted)
    fit_stream(Noted(), TEXT, UNSEEN, **small({"learning_rate": options.get("learning_rate", 0.01)}))
    for one, other in zip(plain, noted[60:], strict=True):  # what is trained knows nothing of the mean
        assert all(torch.equal(one[name], other[name]) for name in one)
    if first is None:  # the step of the first validation that was no better
        worse = history.validation_loss > history.validation_loss.cummin()
        first = int(history.step[worse.argmax()])
        assert worse.any()
    step = int(history.step[history.step > first].iloc[0])
    mean = {
        name: sum(plain[k][name] for k in range(first + 1, step + 1)) / (step - first) for name in plain[0]
    }
    shown = evaluated[step // 12]
    for name in mean:
        torch.testing.assert_close(shown[name], mean[name], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(text_losses(model, UNSEEN, device="cpu")[0], result.loss, rtol=1e-12)


@pytest.mark.parametrize("dies_at", [17, 40, 41, 58])
def test_a_run_that_was_killed_goes_on_along_the_same_path(dies_at, tmp_path):
    """In the middle of a walk, with dropout, before and after the mean began."""
    options = small({"average_from": 30, "checkpoint_every": 5, "seed": 3})
    whole, dying, again = (Tiny(dropout=0.3) for _ in range(3))
    expected = fit_stream(whole, TEXT, UNSEEN, **options)
    dying.dies_at = dies_at
    path, log = tmp_path / "run.pt", tmp_path / "run.csv"
    torch.manual_seed(dies_at)  # what anybody else has drawn makes no difference
    with pytest.raises(KeyboardInterrupt):
        fit_stream(dying, TEXT, UNSEEN, checkpoint=path, log=log, **options)
    found = fit_stream(again, TEXT, UNSEEN, checkpoint=path, log=log, **options)
    assert len(again.states) < 60 - dies_at + 8  # it did not begin anew
    pd.testing.assert_frame_equal(found.history, expected.history, check_exact=True)
    pd.testing.assert_frame_equal(pd.read_csv(log), expected.history, rtol=1e-14)
    assert found.loss == expected.loss
    for name, weight in weights(whole).items():
        assert torch.equal(weights(again)[name], weight)


def test_a_checkpoint_of_another_text_or_training_is_refused(tmp_path):
    path = tmp_path / "run.pt"
    fit_stream(Tiny(), TEXT, UNSEEN, checkpoint=path, **SMALL)
    for changed, name in (({"penalty": 0.1}, "penalty"), ({"chunk": 9}, "chunk"), ({"seed": 1}, "seed")):
        with pytest.raises(ValueError, match=f"belongs to a run with other {name}"):
            fit_stream(Tiny(), TEXT, UNSEEN, checkpoint=path, **small(changed))
    with pytest.raises(ValueError, match="belongs to a run with other text"):
        fit_stream(Tiny(), words(700, 5), UNSEEN, checkpoint=path, **SMALL)
    longer = fit_stream(Tiny(), TEXT, UNSEEN, checkpoint=path, **small({"steps": 72}))
    assert longer.steps == 72


def test_the_callers_generators_are_as_they_were():
    model = Tiny(dropout=0.5)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    fit_stream(model, TEXT, UNSEEN, **SMALL)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_divergence_is_said_and_the_best_weights_stay():
    model = Tiny()
    start = weights(model)
    result = fit_stream(model, TEXT, UNSEEN, **small({"learning_rate": 1e200, "clip": math.inf}))
    assert result.status == "diverged"
    assert all(weight.isfinite().all() for weight in start.values())
    assert all(torch.equal(weights(model)[name], start[name]) for name in start)


def test_the_rate_falls_by_the_schedule():
    result = fit_stream(Tiny(), TEXT, UNSEEN, **small({"schedule": [30]}))
    assert result.history.learning_rate.round(5).tolist() == [0.01, 0.01, 0.01, 0.001, 0.001, 0.001]


def test_a_stored_state_takes_the_form_of_one_that_is_like_it():
    carried = CarriedState()
    state = {"h": (torch.ones(2), None), "n": [3, torch.zeros(1)]}
    carried.hand_on(state)
    other = CarriedState()
    other.go_to([t + 5 for t in carried.tensors])
    restored = other.state(lambda: {"h": (torch.empty(2), None), "n": [3, torch.empty(1)]})
    assert restored["n"][0] == 3
    assert restored["h"][1] is None
    assert torch.equal(restored["h"][0], torch.full((2,), 6.0))
    assert torch.equal(restored["n"][1], torch.tensor([5.0]))


class Mute(nn.Linear):
    pass


class Short(Tiny):
    def run(self, x, state=None):
        y, last = super().run(x, state)
        return Outputs(y[:, -1], last)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": "abc"}, "text must be a tensor of tokens, got str"),
        ({"text": TEXT[None]}, r"text must be two tokens or more, \(tokens,\), got \(1, 700\)"),
        ({"validation": TEXT[:0]}, r"validation must be two tokens or more, .* got \(0,\)"),
        ({"validation": TEXT.double()}, "validation must be whole numbers, got float64"),
        ({"text": TEXT.to_sparse()}, "text must be a tensor of tokens with all its values, got sparse_coo"),
        ({"text": TEXT.to("meta")}, "text must be .* with all its values, got one without values"),
        ({"text": TEXT == 1}, "text must be whole numbers, got bool"),
        ({"text": TEXT.numpy().astype(str)}, "text must be a tensor of tokens, got an array of <U"),
        ({"text": TEXT.numpy() / 2}, "text must be whole numbers, got float64"),
        ({"text": TEXT + 1}, r"text must be tokens from 0 to 4, as .* logits, got 5"),
        ({"text": TEXT - 1}, "text must be tokens from 0, got -1"),
        ({"validation": UNSEEN + 3}, r"validation must be tokens from 0 to 4, as .* logits, got 7"),
        (
            {"validation": torch.where(UNSEEN == 4, -100, UNSEEN)},
            "validation must be tokens from 0, got -100",
        ),
        ({"text": TEXT[:24]}, "text must have more than 3 x 8 tokens, rows and chunk, got 24"),
        ({"rows": 0}, "rows must be at least 1"),
        ({"chunk": 1.5}, "chunk must be a whole number"),
        ({"validation_rows": 90}, "validation_rows must be below 90"),
        ({"text_steps": 700}, "text_steps must be from validation_rows = 1 to the 699 steps of text, got 7"),
        ({"text_steps": 0}, "text_steps must be at least 1"),
        ({"text_steps": 2, "validation_rows": 3}, "text_steps must be from validation_rows = 3 to the 699"),
        ({"penalty": -1.0}, "penalty must not be negative"),
        ({"average_after": 0}, "average_after must be at least 1"),
        ({"average_from": 2.5}, "average_from must be a whole number"),
        ({"model": Mute(1, 1)}, r"model must have run\(x, state\), got Mute"),
        ({"model": Short()}, "model must answer tokens"),
        ({"schedule": "steps"}, "schedule must be one of"),
    ],
)
def test_bad_input_is_refused_in_one_line(change, message):
    given: dict[str, Any] = {"model": Tiny(), "text": TEXT, "validation": UNSEEN} | small(change)
    with pytest.raises((ValueError, TypeError), match=message) as refused:
        fit_stream(given.pop("model"), given.pop("text"), given.pop("validation"), **given)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.uint64, ">i4"])
def test_texts_may_be_of_any_whole_numbers_and_of_any_order_in_memory(dtype):
    known = text_losses(Tiny(), UNSEEN, device="cpu")
    backwards = UNSEEN.numpy()[::-1].astype(dtype)
    assert text_losses(Tiny(), backwards[::-1], device="cpu") == known  # pyright: ignore[reportArgumentType]
    if np.dtype(dtype).isnative:
        assert text_losses(Tiny(), torch.from_numpy(backwards[::-1].copy()), device="cpu") == known


class Answers(nn.Module):
    """Returns what it is given to return."""

    def __init__(self, answer):
        super().__init__()
        self.answer, self.weight = answer, nn.Parameter(torch.zeros(TOKENS))

    def run(self, x, state=None):
        return self.answer(self.weight.expand(*x.shape, TOKENS))


@pytest.mark.parametrize(
    "use", [lambda m: fit_stream(m, TEXT, UNSEEN, **SMALL), lambda m: text_losses(m, UNSEEN, device="cpu")]
)
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda y: None, r"run\(x, state\) of model must return logits and a state, got NoneType"),
        (lambda y: y, r"run\(x, state\) of model must return logits and a state, got Tensor"),
        (lambda y: (y, None, None), r"run\(x, state\) of model must return logits and a state, got tuple"),
        (lambda y: (y[0], None), r"with logits \(rows, time, token\), real numbers, got \(1, 5\)"),
        (lambda y: (y.long(), None), r"real numbers, got \(1, 1, 5\) of int64"),
        (lambda y: (y.to(torch.complex64), None), r"real numbers, got \(1, 1, 5\) of complex64"),
        (lambda y: y.view(7), "model does not answer a chunk of one step: "),
    ],
)
def test_a_model_that_answers_otherwise_is_refused_in_one_line(use, answer, message):
    with pytest.raises((ValueError, TypeError), match=message) as refused:
        use(Answers(answer))
    assert "\n" not in str(refused.value)


def test_bad_arguments_of_a_loss_are_refused():
    refused: list[tuple[dict[str, Any], str]] = [
        ({"rows": 90}, "rows must be below 90"),
        ({"factors": ()}, "factors must not be empty"),
        ({"factors": (0.0,)}, "factors must be positive"),
        ({"chunk": 0}, "chunk must be at least 1"),
    ]
    for change, message in refused:
        with pytest.raises(ValueError, match=message):
            text_losses(Tiny(), UNSEEN, device="cpu", **change)
    labels = torch.where(UNSEEN == 3, 5, -100)
    with pytest.raises(
        ValueError, match="labels of text must be from 0 to 4, as the model has logits, got 5"
    ):
        text_losses(Tiny(), UNSEEN, labels=labels, device="cpu")
    with pytest.raises(ValueError, match=r"text must be tokens from 0 to 4, as .* logits, got 6"):
        text_losses(Tiny(), UNSEEN + 2, device="cpu")


# --- in several processes -----------------------------------------------------------------------

SCRIPT = """
import sys
import torch
from lightning_fabric import Fabric
from curse_of_memory.training import fit_stream
from tests.training.test_streams import SMALL, TEXT, UNSEEN, Tiny

fabric = Fabric(accelerator="cpu", devices=2, strategy="ddp")
fabric.launch()
options = SMALL | {"rows": 4, "validation_rows": 2, "average_from": 20}
options.pop("device")
for steps in (24, 36):  # stops, and goes on from its checkpoint
    model = Tiny()
    found = fit_stream(
        model, TEXT, UNSEEN, fabric=fabric, checkpoint=sys.argv[1] + "/run.pt", **options | {"steps": steps}
    )
weights = torch.cat([p.detach().flatten() for p in model.parameters()])
torch.save([weights, found.history.to_dict("list")], f"{sys.argv[1]}/rank{fabric.global_rank}.pt")
"""


@pytest.mark.slow
def test_two_processes_train_as_one_does(tmp_path):
    pytest.importorskip("lightning_fabric")
    script = tmp_path / "train.py"
    script.write_text(SCRIPT)
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, script, tmp_path], check=True, env=environment, capture_output=True, timeout=300
    )
    model = Tiny()
    options = small({"rows": 4, "validation_rows": 2, "average_from": 20, "steps": 36})
    expected = fit_stream(model, TEXT, UNSEEN, **options)
    known = torch.cat([p.detach().flatten() for p in model.parameters()])
    for rank in (0, 1):
        found, history = torch.load(tmp_path / f"rank{rank}.pt")
        torch.testing.assert_close(found, known, rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(pd.DataFrame(history), expected.history, rtol=1e-9, equal_nan=True)
