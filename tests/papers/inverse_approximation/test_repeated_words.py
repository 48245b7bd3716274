"""Figures 5 and 6 on stand-ins: under a repeated word an LSTM settles, a transformer with positions not."""

from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.experiments.language_models import trained_language_models, unigram_entropy, word_lstm
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.papers.inverse_approximation import repeated_words as iat
from curse_of_memory.tasks import available

small_data = partial(iat.data, repeats=40, vocabulary=12, width=8, steps=10, data="real", device="cpu")


@pytest.fixture(scope="module")
def small(text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iat, "WikiText2", text)
        return small_data(words=("a", "b"))


class Powers(nn.Module):
    """Logits (aⁿ, 0) after n words."""

    def forward(self, words):
        n = torch.arange(1, words.shape[1] + 1, dtype=torch.float64)
        return torch.stack([0.5**n, 0 * n], 1).expand(len(words), -1, -1)


def test_the_change_is_that_of_the_log_probabilities():
    found = iat.change_per_repeat(Powers(), 0, 6)
    logs = np.array([[0.5**n, 0.0] - np.log(np.exp(0.5**n) + 1) for n in range(1, 8)])
    expected = np.sqrt((np.diff(logs, axis=0) ** 2).mean(1))
    assert found.values == pytest.approx(expected, rel=1e-12)
    assert found.lag.values.tolist() == [1, 2, 3, 4, 5, 6]
    assert found.attrs["noise_floor"] == pytest.approx(np.finfo(float).eps * np.abs(logs).max())


@pytest.mark.parametrize(("positions", "changes"), [("none", False), ("rotary", False), ("sinusoidal", True)])
def test_only_positions_that_are_added_tell_equal_words_apart(positions, changes):
    """Equal words have equal values, and every average of them is the same."""
    model = CausalTransformer(16, 2, heads=2, vocabulary=9, positions=positions, seed=0, dtype=torch.float64)
    change = iat.change_per_repeat(model, 4, 50)
    # a few dozen roundings: norms, two layers, and the softmax of nine logits
    silent = change.values < 100 * change.attrs["noise_floor"]
    assert silent.all() if not changes else not silent.any()


def test_an_untrained_lstm_settles_and_a_transformer_does_not(small):
    found = iat.left_and_growing(small.table)
    assert (found.loc["LSTM"].left < 1e-3).all()
    assert (found.loc["transformer"].left > 0.1).all()
    assert found.loc["transformer"].growing.between(0.15, 0.85).all()
    laws = small.table[small.table.panel == "law"]
    assert list(laws.word) == ["a", "b"]
    assert (laws.rate > 0.1).all()
    assert (laws.r2 > 0.9).all()


def test_left_and_growing_are_what_they_say():
    change = [1.0, 0.5, 0.6, 0.25, 0.1, 0.2, 1e-20, 2e-20]
    table = pd.DataFrame({"repeats": range(1, 9), "change": change, "noise": 1e-16, "panel": "change"})
    found = iat.left_and_growing(table.assign(model="LSTM", word="a")).loc["LSTM", "a"]
    assert found.left == 2e-20
    assert found.growing == pytest.approx(2 / 5)


def test_the_language_models_learn(text):
    task, validation = text(sequence_length=20), text("validation", sequence_length=20)
    options = {"width": 8, "layers": 1, "positions": "learnt", "batch_size": 16, "seed": 0, "device": "cpu"}
    _, before = trained_language_models(task, validation, steps=1, learning_rate=1e-9, **options)
    models, after = trained_language_models(task, validation, steps=150, learning_rate=0.02, **options)
    unigram = unigram_entropy(task, validation)
    assert sorted(models) == ["LSTM", "transformer"]
    for name in models:
        # words are drawn independently: nobody does better than their frequencies
        assert abs(after[name] - unigram) < 0.15
        assert after[name] < before[name] - 0.1


def test_the_entropy_of_equal_frequencies_is_the_logarithm_of_their_number(text):
    task = text()
    task.tokens = torch.arange(12).repeat(5)
    assert unigram_entropy(task, text("validation")) == pytest.approx(np.log(12), rel=1e-12)


def test_a_seed_names_the_weights_of_the_lstm():
    first, again, other = (word_lstm(5, 4, 1, seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_stand_ins_are_called_so(small):
    assert "stand-in" in small.title
    assert small.message.startswith("Stand-ins trained here")
    figure = iat.plot(small)
    assert "Stand-ins" in figure.get_suptitle()
    assert all("repeats" in axis.get_xlabel() and axis.get_yscale() == "log" for axis in figure.axes)


def test_unknown_words_are_refused(monkeypatch, text):
    monkeypatch.setattr(iat, "WikiText2", text)
    with pytest.raises(ValueError, match=r"words must be among the 12 most frequent, got \['zebra'\]"):
        small_data(words=("a", "zebra"))


REAL = pytest.param(
    "real", marks=pytest.mark.skipif(not available("wikitext2"), reason="the files of wikitext2 are not here")
)


@pytest.mark.parametrize("source", [REAL, "stand-in"])
def test_on_whole_texts(source):
    options = {"vocabulary": 300, "width": 16, "repeats": 60, "steps": 20, "device": "cpu"}
    data = iat.data(words=("the", "film"), data=source, **options)
    found = iat.left_and_growing(data.table)
    assert (found.loc["LSTM"].left < 1e-2).all()
    assert (found.loc["transformer"].left > 0.1).all()
    title = iat.plot(data).get_suptitle()
    assert (f"Stand-in data: {data.stand_in}" in title) == (source == "stand-in")
    assert ("WikiText-2, not" in title) == (source == "real")


def test_the_words_of_the_full_scale_are_in_the_stand_in():
    words = ("the", "film", "good", "bad", "ha")
    options = {"width": 8, "repeats": 4, "steps": 1, "vocabulary": 10000, "data": "stand-in", "device": "cpu"}
    data = iat.data(words=words, **options)
    assert set(data.table.word) == set(words)
