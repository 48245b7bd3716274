"""Any module: what it answers with, what it reads, and how its memory decays."""

import itertools
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from curse_of_memory.measure import memory_function, memory_report
from curse_of_memory.measure.memory import PROBES
from curse_of_memory.nn import RNN
from curse_of_memory.theory.decay import decay
from tests.devices import DEVICES

EPS = {torch.float32: float(np.finfo(np.float32).eps), torch.float64: float(np.finfo(float).eps)}
DTYPES = [torch.float32, torch.float64]
V, E = 12, 3


class Answer(nn.Module):
    """The model that a function is."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class Tokens(nn.Module):
    """A model of tokens: embedding, recurrence, readout."""

    def __init__(self, recurrence=None, vocabulary=V, width=E):
        super().__init__()
        torch.manual_seed(3)
        self.words = nn.Embedding(vocabulary, width)
        self.recurrence = recurrence or nn.GRU(width, 5, batch_first=True)

    def forward(self, tokens):
        return self.recurrence(self.words(tokens))


class Library(Tokens):
    """One that says what its embedding is, and answers with an object, as models of transformers do."""

    def get_input_embeddings(self):
        return self.words

    def forward(self, tokens):
        return SimpleNamespace(last_hidden_state=super().forward(tokens)[0], logits=None)


def gru(channels=1, **options):
    torch.manual_seed(0)
    return nn.GRU(channels, 4, batch_first=True, **options)


# --- what models answer with ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: (y, "state"),
        lambda y: [y],
        lambda y: SimpleNamespace(last_hidden_state=y, logits=-y),
        lambda y: SimpleNamespace(logits=y),
        lambda y: {"last_hidden_state": None, "logits": y},
    ],
)
def test_the_sequence_is_found_in_what_the_model_answers(wrap):
    plain = Answer(lambda x: x.cumsum(1))
    wrapped = Answer(lambda x: wrap(x.cumsum(1)))
    assert memory_function(wrapped, 5).values.tolist() == memory_function(plain, 5).values.tolist()


def test_output_chooses_another_sequence():
    model = Answer(lambda x: (x, {"far": torch.cat([torch.zeros_like(x[:, :2]), x[:, :-2]], 1)}))
    assert memory_function(model, 4, probe="impulse").values.tolist() == [1, 0, 0, 0]
    far = memory_function(model, 4, probe="impulse", output=lambda answer: answer[1]["far"])
    assert far.values.tolist() == [0, 0, 1, 0]


@pytest.mark.parametrize("probe", PROBES)
def test_many_channels_in_and_out(probe):
    """16 outputs of 3 inputs, with a closed form: |Σ_i ± ρ_i| in the Euclidean norm of outputs."""
    model = RNN(6, input_size=3, output_size=16, seed=0, dtype=torch.float64)
    kernel = model.kernel(400).detach().numpy()
    corners = itertools.product((1.0, -1.0), repeat=3)
    exact = np.max([np.linalg.norm(kernel @ np.array(x), axis=-1) for x in corners], axis=0)
    found = memory_function(model, 20, probe=probe, closed_form=False, warmup=380)
    far = exact[380:400] if probe == "reversed" else 0
    np.testing.assert_allclose(found, exact[:20], rtol=0, atol=np.max(far) + 1e-11)


# --- tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("probe", PROBES)
def test_tokens_are_probed_by_their_embedding(probe, dtype, device):
    """At radius 1 the inputs are tokens: the memory is that of token sequences, fed as such."""
    model = Tokens().to(dtype)
    horizon, wait, token = 6, 9, 2
    found = memory_function(
        model, horizon, probe=probe, embedding="words", token=token, warmup=wait, device=device
    )
    assert found.attrs["inputs"] == V - 1
    assert found.attrs["exact"] is False
    first = wait if probe == "reversed" else 0
    on = {"heaviside": slice(None), "impulse": slice(0, 1), "reversed": slice(0, wait)}[probe]
    sup = np.zeros(horizon)
    weight = model.words.weight.detach()
    for other in set(range(V)) - {token}:
        ids = torch.full((2, first + horizon), token)
        ids[0, on] = other
        with torch.no_grad():
            y, _ = model(ids)
        answer = (y[0] - y[1]).double().numpy() / (weight[other] - weight[token]).abs().max().item()
        if probe != "impulse":
            answer = np.diff(answer, axis=0, prepend=0 * answer[:1])
        sup = np.maximum(sup, np.linalg.norm(answer[first:], axis=1))
    np.testing.assert_allclose(found, sup, rtol=0, atol=64 * EPS[dtype])
    assert sup[0] > 0.01


def test_a_model_that_names_its_embedding_needs_no_keyword():
    by_itself = memory_function(Library(), 6)
    by_name = memory_function(Tokens(), 6, embedding="words")
    model = Tokens()
    by_module = memory_function(model, 6, embedding=model.words)
    np.testing.assert_array_equal(by_itself, by_name)
    np.testing.assert_array_equal(by_itself, by_module)


def test_a_linear_model_of_tokens_has_the_memory_of_its_kernel():
    recurrence = RNN(4, input_size=E, output_size=2, bias=False, seed=0, dtype=torch.float64)
    model = Tokens(recurrence).double()
    kernel = recurrence.kernel(10).detach().numpy()
    words = model.words.weight.detach().numpy()
    directions = np.delete(words - words[0], 0, 0)
    directions /= np.abs(directions).max(1, keepdims=True)
    exact = np.linalg.norm(kernel @ directions.T, axis=1).max(1)
    for radii in ([1.0], [7.0, 0.3]):
        found = memory_function(model, 10, embedding="words", radii=radii)
        np.testing.assert_allclose(found, exact, rtol=0, atol=1e-13)


def test_tokens_of_a_large_vocabulary_are_sampled():
    model = Tokens(vocabulary=100)
    everything = memory_function(model, 8, embedding="words")
    some, again, other = (memory_function(model, 8, embedding="words", draws=5, seed=s) for s in (0, 0, 2))
    assert (everything.attrs["inputs"], some.attrs["inputs"]) == (99, 5)
    np.testing.assert_array_equal(some, again)
    assert (some != other).any()
    assert (some <= everything * (1 + 1e-5)).all()


def test_hooks_are_gone_afterwards_also_after_an_error():
    model = Tokens(Answer(lambda x: x[:, -1]))
    with pytest.raises(ValueError, match="with shape"):
        memory_function(model, 5, embedding="words")
    assert not model.words._forward_hooks


# --- chunks, precision, noise -------------------------------------------------------------------


@settings(derandomize=True, deadline=None, max_examples=10)
@given(chunk=st.integers(1, 9), probe=st.sampled_from(PROBES))
def test_chunks_change_nothing(chunk, probe):
    model = gru(channels=3).double()
    whole = memory_function(model, 10, probe=probe)
    parts = memory_function(model, 10, probe=probe, chunk=chunk)
    np.testing.assert_allclose(parts, whole, rtol=0, atol=64 * EPS[torch.float64])


def test_no_pass_has_more_sequences_than_asked_for():
    seen = []

    def spy(x):
        seen.append(x.shape[:2])
        return x

    memory_function(Answer(spy), 5, input_size=7, chunk=4)
    assert max(rows for rows, _ in seen) == 5  # four inputs and the zero input
    seen.clear()
    memory_function(Answer(spy), 5000, input_size=6)
    assert max(rows * steps for rows, steps in seen) <= 2**15 + 5000


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("probe", PROBES)
def test_the_noise_floor_is_where_float32_leaves_float64(probe, device):
    for model in (gru(), RNN(8, activation="tanh", seed=1), nn.LSTM(1, 8, num_layers=2, batch_first=True)):
        single = memory_function(model, 80, probe=probe, device=device)
        double = memory_function(model, 80, probe=probe, dtype=torch.float64, device=device)
        gap = np.abs(single - double).max().item()
        # what counts for decay() is ten floors up, and a floor that were far too high would hide memory
        assert gap < 10 * single.attrs["noise_floor"]
        assert single.attrs["noise_floor"] < 1e-4 * single.max()
        assert double.attrs["noise_floor"] < 1e-7 * single.attrs["noise_floor"]


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_noise_floor_is_at_least_the_rounding_of_the_answer(dtype):
    found = memory_function(
        Answer(lambda x: x + 1000.0), 5, dt=0.5, probe="impulse", radii=[2.0], dtype=dtype
    )
    assert found.attrs["noise_floor"] == pytest.approx(1002 * EPS[dtype] / (0.5 * 2.0), rel=1e-6)


def test_measuring_in_float64_gives_back_the_same_buffers():
    model = nn.Sequential(nn.Linear(1, 1))
    model[0].register_buffer("scale", torch.ones(3))
    scale = model[0].scale
    memory_function(model, 3, dtype=torch.float64)
    assert model[0].scale is scale


def test_measuring_in_float64_gives_back_the_same_float32_weights():
    model = gru()
    before = {name: p for name, p in model.named_parameters()}
    values = {name: p.detach().clone() for name, p in before.items()}
    pointers = {name: p.data_ptr() for name, p in before.items()}
    assert memory_function(model, 5, dtype=torch.float64).attrs["noise_floor"] < 1e-14
    for name, p in model.named_parameters():
        assert p is before[name]
        assert p.data_ptr() == pointers[name]
        assert torch.equal(p, values[name])


def test_the_noise_of_a_closed_form_is_its_rounding():
    model = RNN(3, diagonal=True, seed=0)
    found = memory_function(model, 10)
    assert found.attrs["noise_floor"] == EPS[torch.float32] * found.max().item()
    assert found.attrs["causal"] is True


def test_progress_shows_a_bar_only_when_asked(capfd):
    memory_function(gru(), 5)
    assert capfd.readouterr().err == ""
    memory_function(gru(), 5, progress=True)
    assert "heaviside" in capfd.readouterr().err


# --- causality and other refusals ---------------------------------------------------------------


def encoder(**options):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, dim_feedforward=8, **options)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


@pytest.mark.parametrize(
    ("model", "channels"),
    [
        (encoder(batch_first=True), 4),
        (gru(bidirectional=True), 1),
        (Answer(lambda x: x.flip(1)), 1),
        (Answer(lambda x: x.roll(-1, 1)), 1),
        (Answer(lambda x: x - x.mean(1, keepdim=True)), 1),
    ],
)
def test_models_that_answer_before_the_input_are_refused(model, channels):
    with pytest.raises(ValueError, match="model is not causal"):
        memory_function(model, 8, input_size=channels)
    found = memory_function(model, 8, input_size=channels, causal=False)
    assert found.attrs["causal"] is False


def test_models_that_wait_for_the_input_are_causal():
    for model in (
        gru(),
        Answer(lambda x: x.roll(1, 1) * 0),
        nn.Identity(),
        RNN(2, activation="relu", seed=0),
    ):
        assert memory_function(model, 8).attrs["causal"] is True
    assert memory_function(nn.Identity(), 1).attrs["causal"] is True


class TwiceEmbedded(Tokens):
    def forward(self, tokens):
        return self.words(tokens) + self.words(tokens)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: memory_function(nn.GRU(1, 4), 5), ValueError, "build GRU with batch_first=True"),
        (
            lambda: memory_function(encoder(), 5, input_size=4),
            ValueError,
            "build TransformerEncoder with batch_first=True",
        ),
        (
            lambda: memory_function(Answer(lambda x: x.cumsum(0)), 5),
            ValueError,
            "model mixes the sequences of a batch",
        ),
        (
            lambda: memory_function(Answer(lambda x: "y"), 5),
            TypeError,
            "model answers with str, not with a tensor",
        ),
        (lambda: memory_function(Answer(lambda x: ()), 5), TypeError, "model answers with tuple"),
        (
            lambda: memory_function(gru(), 5, output=lambda y: None),
            TypeError,
            r"output\(\) returns NoneType, not with a tensor",
        ),
        (lambda: memory_function(Tokens(), 5), TypeError, "name its embedding: embedding='words'"),
        (lambda: memory_function(Tokens(), 5, embedding="word"), ValueError, "did you mean 'words'"),
        (
            lambda: memory_function(Tokens(), 5, embedding=nn.Embedding(3, 2)),
            ValueError,
            "embedding must be a part of the model",
        ),
        (
            lambda: memory_function(Tokens(), 5, embedding="recurrence"),
            TypeError,
            r"embedding must have a weight \(tokens, width\), got GRU",
        ),
        (lambda: memory_function(Library(), 5, token=V), ValueError, f"token must be 0 to {V - 1}"),
        (lambda: memory_function(TwiceEmbedded(), 5, embedding="words"), ValueError, "but is used 2 times"),
        (
            lambda: memory_function(Answer(lambda x: torch.full_like(x, math.nan)), 5),
            ValueError,
            "NaN or infinity from lag 0 on",
        ),
        (lambda: memory_function(gru(), 5, chunk=0), ValueError, "chunk must be at least 1"),
        (lambda: memory_function(gru(), 5, draws=0), ValueError, "draws must be at least 1"),
        (
            lambda: memory_function(nn.Conv1d(1, 2, 3, padding="same"), 5),
            ValueError,
            r"model does not answer inputs of shape .*to have 1 channels",
        ),
        (lambda: memory_report({}, 5), ValueError, "models must not be empty"),
        (lambda: memory_report({"GRU": gru()}), ValueError, "horizon must be given to measure 'GRU'"),
    ],
)
def test_bad_models_are_refused_in_one_clear_line(call, kind, message):
    with pytest.raises(kind, match=message) as caught:
        call()
    assert "\n" not in str(caught.value)


def test_complex_weights_are_not_converted():
    model = Answer(lambda x: x)
    model.register_buffer("poles", torch.ones(2, dtype=torch.complex64))
    with pytest.raises(TypeError, match="dtype must be None for a model with complex weights"):
        memory_function(model, 5, dtype=torch.float64)
    assert memory_function(model, 5).values.tolist() == [1, 0, 0, 0, 0]


# --- how it decays ------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.05, 0.3, 1.0])
@pytest.mark.parametrize("closed_form", [True, False])
def test_a_model_made_of_one_mode_decays_at_its_rate(rate, closed_form):
    model = RNN.from_exponential_sum(rates=[rate], coefficients=[1.0], dt=0.5)
    fit = decay(memory_function(model, 200, closed_form=closed_form))
    assert fit.kind == "exponential"
    # measured values are off by the noise at least ten times below them, closed forms by rounding
    assert fit.rate == pytest.approx(rate, rel=1e-9 if closed_form else 1e-2)
    assert fit.half_life == pytest.approx(math.log(2) / rate, rel=1e-6)
    assert fit.confidence > 0.8


def test_an_average_remembers_like_a_power_and_a_sum_forever():
    average = Answer(lambda x: x.cumsum(1) / torch.arange(1, 1 + x.shape[1], dtype=x.dtype)[:, None])
    fit = decay(memory_function(average, 200, probe="impulse", dtype=torch.float64))
    assert (fit.kind, fit.effective_horizon) == ("polynomial", math.inf)
    assert fit.exponent == pytest.approx(1, rel=1e-3)
    assert decay(memory_function(Answer(lambda x: x.cumsum(1)), 50)).kind == "none"


def test_the_report_is_the_decay_of_each_memory():
    models = {"GRU": gru(), "delay": nn.Identity(), "tokens": Library()}
    table = memory_report(models, horizon=60, probe="impulse")
    assert list(table.index) == list(models)
    for name, model in models.items():
        memory = memory_function(model, 60, probe="impulse")
        fit, row = decay(memory), table.loc[name]
        assert row.decay == fit.kind
        assert row.half_life == fit.half_life
        assert row.confidence == fit.confidence
        assert row.parameters == sum(p.numel() for p in model.parameters())
        assert row["last"] == memory[-1] / memory.max()
        assert row.noise_floor == memory.attrs["noise_floor"] / memory.max()
    measured = {name: memory_function(model, 60, probe="impulse") for name, model in models.items()}
    assert memory_report(measured).equals(table)
    assert math.isnan(table.rate["delay"])
