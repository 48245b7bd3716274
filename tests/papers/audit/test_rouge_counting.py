"""How ROUGE counts: the same texts by both ways, against numbers of the libraries."""

import re

import pytest

from curse_of_memory.papers.audit import rouge_counting
from curse_of_memory.tasks import Summaries, available


def both(found, quantity):
    row = next(row for row in found.printed.to_dict("records") if quantity in row["number"])
    return row["every occurrence"], row["each n-gram once"]


def of_rouge(found):
    return found.printed.loc["the longest common subsequence", "each n-gram once"]


@pytest.fixture(scope="module")
def small():
    return rouge_counting.data(lengths=[5, 20], pairs=60, data="stand-in", device="cpu")


def test_the_libraries_say_the_same_of_the_first_characters():
    """Their scores of all 1000 pairs, by rouge-score and rouge-chinese on characters without spaces.

    And ROUGE-L of rouge 1.0.0, which is that of 1.0.1: 34.642.
    """
    if not available("csl"):
        pytest.skip("CSL is not here")
    found = rouge_counting.data(lengths=[20], data="real", device="cpu")
    assert both(found, "ROUGE-1") == ("37.81", "39.04")
    assert both(found, "ROUGE-2") == ("26.92", "27.11")
    assert both(found, "ROUGE-L") == ("33.45", "33.45")
    assert of_rouge(found) == "34.64"
    assert float(both(found, "that are seen")[1]) < 10


@pytest.mark.parametrize(
    ("summary", "reference", "score"),
    [
        ("aab", "ab", 1.0),  # where ROUGE-L is 2 · 2 / 5
        ("aab", "ba", 0.5),  # of either length one is taken
        ("模型.记忆", "记忆模型", 1.0),  # two sentences, of which each has one word of the reference
        ("", "ab", 0.0),
        ("AB c", "abc", 1.0),
        ("a", "b", 0.0),
    ],
)
def test_the_rouge_l_of_rouge_is_of_different_characters(summary, reference, score):
    """As rouge 1.0.1 says of these, which adds 1e-8 to a denominator, and refuses the empty one."""
    assert rouge_counting._of_different(summary, reference) == pytest.approx(score, abs=1e-12)


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
