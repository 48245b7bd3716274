"""How ROUGE counts: the same texts by both ways, against numbers of the libraries."""

import re

import pytest

from curse_of_memory.papers.audit import rouge_counting
from curse_of_memory.tasks import Summaries, available


def both(found, quantity):
    (row,) = (row for row in found.printed.to_dict("records") if quantity in row["number"])
    return row["every occurrence"], row["each n-gram once"]


@pytest.fixture(scope="module")
def small():
    return rouge_counting.data(lengths=[5, 20], pairs=60, data="stand-in", device="cpu")


def test_the_libraries_say_the_same_of_the_first_characters():
    """Their scores of all 1000 pairs, by rouge-score and rouge-chinese on characters without spaces."""
    if not available("csl"):
        pytest.skip("CSL is not here")
    found = rouge_counting.data(lengths=[20], data="real", device="cpu")
    assert both(found, "ROUGE-1") == ("37.81", "39.04")
    assert both(found, "ROUGE-2") == ("26.92", "27.11")
    assert both(found, "ROUGE-L") == ("33.45", "33.45")
    assert float(both(found, "that are seen")[1]) < 10


def test_only_repeated_characters_tell_the_ways_apart(small):
    score = small.table.set_index(["panel", "curve", "x"]).y
    every, once = score.xs("every occurrence", level="curve"), score.xs("each n-gram once", level="curve")
    assert every["ROUGE-L"].tolist() == once["ROUGE-L"].tolist()
    assert (every["ROUGE-1"] != once["ROUGE-1"]).any()
    headline = small.headline[
        "n-grams that are repeated: ROUGE-1 of the first 20 characters (%), each n-gram once"
    ]
    assert headline == once["ROUGE-1", 20]


def test_what_the_tokenizer_of_rouge_score_sees(small):
    from rouge_score import tokenizers

    titles = Summaries("train", size=60, data="stand-in").titles
    tokens = tokenizers.DefaultTokenizer().tokenize(" ".join(titles))
    share = 100 * len("".join(tokens)) / len(re.sub(r"\s", "", "".join(titles)))
    assert both(small, "that are seen") == ("100", f"{share:.4g}")


@pytest.mark.filterwarnings("error")
def test_the_picture_has_both_ways_in_every_panel(small):
    figure = rouge_counting.plot(small)
    assert [len(axis.lines) for axis in figure.axes] == [2, 2, 2]
    assert "Stand-in" in figure.get_suptitle()


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="length must be at least 1"):
        rouge_counting.data(length=0)
    with pytest.raises(ValueError, match="data must be one of"):
        rouge_counting.data(data="csl")
