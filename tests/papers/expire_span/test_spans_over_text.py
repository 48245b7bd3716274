"""Spans over a text: the pieces differ in one word, kinds are told apart, and bits are those of the piece."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.papers.expire_span import spans_over_text
from curse_of_memory.papers.expire_span._snippets import KINDS, kinds_of, letters_of, snippet_of, tokens_of
from curse_of_memory.report.long_table import groups, rows

COMMITTED = Path(__file__).parents[3] / "figures" / "expire_span" / "spans_over_text.csv"
SAID = "and so it was. In the end the people of Anna saw what Anna had done, and it went on as many say"


def tiny(**options):
    arguments = {
        "width": 8, "block": 8, "max_span": 24, "ramp": 4, "batch_size": 4, "updates": 2, "warmup": 1,
        "falls_after": 1, "validation_characters": 60, "test_characters": 4000, "means_characters": 500,
        "before": 40, "shown": 70, "seeds": 2, "data": "stand-in", "device": "cpu",
    }  # fmt: skip
    return spans_over_text.data(**(arguments | options))


@pytest.fixture(scope="module")
def figure():
    return tiny()


def test_pieces_differ_in_the_name_alone():
    before, name, versions = snippet_of(SAID, "Anna", ("many", "Nana"), 5, 50)
    assert name == "Anna"
    assert list(versions) == ["Anna", "many", "Nana"]
    assert before + versions["Anna"] in SAID
    assert versions["Anna"].count("Anna") == 2
    assert len(before) == 5
    for word, piece in versions.items():
        assert len(piece) == 50
        assert piece.replace(word, "Anna") == versions["Anna"]


def test_without_the_name_the_first_that_is_there_takes_its_place():
    _, name, versions = snippet_of(SAID, "Portugal", ("province",), 5, 50)
    assert name == "Anna"
    assert list(versions)[1] in re.findall(r"\b[a-z]{4}\b", SAID)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"others": ["country"]}, "others must be as long as name = 'Portugal', got 'country'"),
        ({"test_characters": 60}, "test_characters must have a name twice in 70 characters"),
        ({"price": 0.0}, "price must be positive"),
        ({"name": "", "others": [""]}, "name must be one word, got ''"),
        ({"others": ["Żółwiami"]}, "others must be of ASCII letters"),
    ],
)
def test_bad_input_is_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        tiny(**options)
    assert "\n" not in str(caught.value)


def test_a_name_in_a_longer_word_stays():
    said = "and so it was, for all people of Anna saw Annabel, and Anna went away"
    versions = snippet_of(said, "Anna", ("many",), 0, len(said) - 4)[2]
    assert versions["many"].split()[-6:] == ["many", "saw", "Annabel,", "and", "many", "went"]


def test_letters_are_as_many_as_bytes_and_go_back_to_their_numbers():
    """Two bytes of é are two letters, and not four bytes when they are numbered again."""
    part: Any = SimpleNamespace(bytes=np.frombuffer("aé?".encode(), np.uint8), vocabulary=5)
    part.tokens = torch.tensor([0, 1, 2, 0, 1, 2, 3])
    letters = letters_of(part)
    assert letters.encode("latin-1").decode() == "aéaé?"
    assert torch.equal(tokens_of(part, letters), part.tokens)
    assert tokens_of(part, "b").tolist() == [4]  # what training has not


def test_kinds_are_apart():
    text = "In 1905, [[Albert Einstein]] said to Max\nthat it is so"
    kinds = kinds_of(text)
    letters = {kind: "".join(text[k] for k in places) for kind, places in kinds.items()}
    assert letters["names"] == "EinsteinMax"  # capitals that follow small letters
    assert letters["digits"] == "1905"
    assert letters["brackets"] == "[[]]"
    assert letters["other words"] == "saidtothatitisso"
    assert kinds["new lines"].tolist() == [text.index("\n")]
    every = np.concatenate(list(kinds.values()))
    assert len(set(every.tolist())) == len(every)


def test_the_table_has_every_layer_of_every_seed(figure):
    assert figure.message.startswith("Stand-in data")
    spans = rows(figure.table, panel="spans")
    assert spans.groupby(["seed", "layer", "version"]).size().tolist() == [70] * (2 * 2 * 3)
    assert ((spans.span > 0) & (spans.span < 24)).all()
    bits = rows(figure.table, panel="bits")
    assert len(bits) == 2 * 70
    assert (bits.bits > 0).all()
    assert (bits.cut_bits > 0).all()
    (name,) = set(bits.version)
    assert "".join(rows(bits, seed=0).character).count(name) >= 2
    kinds = set(rows(figure.table, panel="means").version)
    assert {"names", "other words", "blanks", "new lines"} <= kinds <= set(KINDS)


def test_what_stands_before_the_name_is_remembered_alike(figure):
    """Spans are told from the past alone."""
    bits = rows(figure.table, panel="bits", seed=0)
    piece = "".join(bits.character)
    first = piece.index(bits.version.iloc[0])
    spans = rows(figure.table, panel="spans", seed=0)
    ahead = spans[spans.place < first].groupby(["layer", "place"]).span
    assert (ahead.max() - ahead.min()).max() == pytest.approx(0, abs=1e-5)


def test_committed_spans_are_of_three_seeds():
    table = pd.read_csv(COMMITTED)
    means = groups(rows(table, panel="means"), "version")
    assert set(KINDS) == set(means)
    assert table.seed.nunique() >= 3
