"""The figure of the characters of the Penn Treebank: what it has that words have not."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("agg")

from curse_of_memory.experiments.ngrams import ngram_losses
from curse_of_memory.papers.lem import ptb_characters as figure
from curse_of_memory.tasks.penn_treebank import PennTreebank

SMALL: dict[str, Any] = {
    "tokens": 3000,
    "validation_tokens": 300,
    "test_tokens": 400,
    "width": 8,
    "embedding": 3,
}
SMALL |= {"rows": 5, "chunk": 10, "steps": 10, "validate_every": 5, "order": 2, "seeds": 1, "device": "cpu"}


def test_bits_per_character_stand_beside_those_of_ngrams():
    found = figure.data(data="stand-in", **SMALL)
    text = PennTreebank("characters", size=3000, data="stand-in")
    losses = ngram_losses(text.tokens, text.part("test", 400).tokens, text.vocabulary, 2)
    label = "frequencies alone: test bits per character"
    assert found.headline[label] == pytest.approx(losses[0] / math.log(2))
    tokens = text.vocabulary
    assert found.table.loc[found.table.model == "LEM"].weights.unique().tolist() == [
        tokens * 3 + 4 * 8 * (3 + 8) + 4 * 8 + tokens * 8 + tokens
    ]
    at_start = found.table.loc[found.table.epoch == 0].validation
    np.testing.assert_allclose(at_start, math.log2(tokens), rtol=0.15)  # it knows nothing yet
    assert (
        "Reduced scale, sizes of the public code in brackets: 3000 characters (5 017 482), " in found.message
    )
    assert "spelt" in figure.plot(found).get_suptitle()
    assert found.paper == {}


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="embedding"):
        figure.data(embedding=0)
