"""The figure of the words of the Penn Treebank: equal weights, selection, n-grams, and when the README is."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import torch

mpl.use("agg")

from curse_of_memory.experiments.ngrams import ngram_losses
from curse_of_memory.experiments.token_models import CELLS, Dropouts
from curse_of_memory.papers.lem import _penn_treebank as shared
from curse_of_memory.papers.lem import ptb_words as figure
from curse_of_memory.papers.lem._comparison import selected
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.tasks.penn_treebank import PennTreebank
from curse_of_memory.training import text_losses

SMALL: dict[str, Any] = {"tokens": 3000, "vocabulary": 30, "validation_tokens": 300, "test_tokens": 400}
SMALL |= {"width": 8, "rows": 5, "chunk": 10, "steps": 20, "validate_every": 10, "average_from": 12}
SMALL |= {"order": 3, "seeds": 2, "device": "cpu"}
SETTINGS: shared.Settings = {
    "width": 8,
    "embedding": None,
    "dropouts": Dropouts(0.1, 0.1, 0.1),
    "rows": 5,
    "chunk": 10,
    "steps": 20,
    "validate_every": 10,
    "learning_rate": 0.01,
    "penalty": 1e-5,
    "clip": 4.0,
    "average_after": 2,
    "average_from": 12,
    "device": "cpu",
}


@pytest.fixture(scope="module")
def words():
    return figure.data(data="stand-in", **SMALL)


@pytest.fixture(scope="module")
def texts():
    train = PennTreebank("words", size=3000, vocabulary=30, data="stand-in")
    return shared.texts_of(train, 300, 400)


def test_every_training_is_selected_by_its_validation(words):
    assert words.table.groupby("model", sort=False).seed.unique().map(list).to_dict() == {
        c: [0, 1] for c in CELLS
    }
    ends = selected(words.table)
    assert len(ends) == 6
    for _, end in ends.iterrows():
        own = words.table.query("model == @end.model and seed == @end.seed")
        assert end.validation == own.validation.min()
        assert own.test.notna().sum() == 1
        assert 0.8 <= end.factor <= 1
    lem = ends.loc[ends.model == "LEM"].test
    assert words.headline["LEM: test perplexity"] == pytest.approx(np.median(lem))
    assert words.spread["LEM: test perplexity"].runs == 2


def test_models_have_as_many_weights(texts):
    count = {cell: number_of_weights(shared.made(cell, texts.vocabulary, SETTINGS, 0)) for cell in CELLS}
    assert count["LEM"] == count["LSTM"] == 30 * 8 + 30 + 4 * 8 * (8 + 8) + 4 * 8
    wider = shared.made("GRU", texts.vocabulary, {**SETTINGS, "width": 9}, 0)
    assert abs(count["GRU"] - count["LEM"]) <= abs(number_of_weights(wider) - count["LEM"])


def test_the_test_part_is_read_with_the_factor_that_the_validation_has_chosen(texts, monkeypatch):
    asked = []

    def noted(network, text, **options):
        asked.append((network, text, options))
        return text_losses(network, text, **options)

    monkeypatch.setattr(shared, "text_losses", noted)
    table = shared.run("LSTM", 0, texts, shared.WORDS, SETTINGS)
    (network, first, options), (_, second, chosen) = asked
    assert torch.equal(first, texts.validation)
    assert torch.equal(second, texts.test)
    losses = text_losses(network, texts.validation, **options)
    assert chosen["factors"] == (options["factors"][int(np.argmin(losses))],)
    end = table.dropna(subset="test").iloc[0]
    assert end.factor == chosen["factors"][0]
    assert end.test == pytest.approx(
        math.exp(text_losses(network, texts.test, factors=(end.factor,), device="cpu")[0])
    )
    assert shared.CHARACTERS.value(math.log(8)) == pytest.approx(3)


def test_frequencies_and_ngrams_stand_beside_them(words, texts):
    losses = np.exp(ngram_losses(texts.train, texts.test, 30, 3))
    assert words.headline["frequencies alone: test perplexity"] == pytest.approx(losses[0])
    best = int(np.argmin(ngram_losses(texts.train, texts.validation, 30, 3)))
    assert words.headline[f"{best + 1}-grams: test perplexity"] == pytest.approx(losses[best])
    assert words.printed.model.tolist() == [*CELLS, "frequencies alone", "2-grams", "3-grams"]


def test_a_reduced_scale_and_a_stand_in_are_said(words):
    assert words.message.startswith("Stand-in data")
    assert "in brackets: 3000 words (929 589), 30 of them told apart (10 000), " in words.message
    assert words.paper == {}
    above = figure.plot(words).get_suptitle()
    assert "Reduced scale" in above
    assert "in place of the Penn Treebank, words" in above


def test_the_readme_stands_beside_the_whole_recipe_on_the_text_alone(words, texts):
    label = "LEM: test perplexity"
    whole = {"tokens": 929_589, "vocabulary": 10_000, "width": 256, "steps": 200_000}
    for stand_in, full, paper in (("", True, {label: 72.8}), ("", False, {}), ("grammar", True, {})):
        given = texts._replace(stand_in=stand_in)
        scale = whole if full else whole | {"steps": 199_999}
        found = shared.findings(words.table, given, shared.WORDS, 2, scale)
        assert found.paper == paper
        assert found.printed is not None
        assert ("README of the public code" in set(found.printed.model)) == bool(paper)
        assert found.message.startswith("Reduced scale") == (not full)
    assert shared.scale_of(shared.WORDS, whole | {"steps": 300_000}) == ""
    assert shared.scale_of(shared.WORDS, whole | {"steps": 199_999}).endswith("199 999 updates (200 000)")


@pytest.mark.parametrize("name", ["validation_tokens", "test_tokens"])
def test_a_part_of_one_token_is_refused_before_anything_is_trained(name):
    train = PennTreebank("words", size=50, vocabulary=5, data="stand-in")
    with pytest.raises(ValueError, match=f"{name} must be at least 2, got 1"):
        shared.texts_of(train, **{"validation_tokens": 9, "test_tokens": 9, name: 1})
