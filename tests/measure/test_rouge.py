"""ROUGE on characters: against two libraries that count in different ways, and by definition."""

import random
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import rouge_chinese
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer

from curse_of_memory.measure import rouge
from curse_of_memory.measure.rouge_scores import longest_common

TYPES = ["rouge1", "rouge2", "rougeL"]
some = st.text(alphabet="ab 光谱C。", max_size=12)
filled = some.filter(lambda text: text.strip())


def of_google(summaries, references):
    """`rouge-score`, which gets each character as a token."""
    characters = SimpleNamespace(tokenize=lambda text: list("".join(text.lower().split())))
    scorer = rouge_scorer.RougeScorer(TYPES, tokenizer=characters)
    pairs = zip(references, summaries, strict=True)
    return [[scorer.score(*pair)[name].fmeasure for name in TYPES] for pair in pairs]


def of_chinese(summaries, references):
    """`rouge-chinese`, which gets characters with blanks between them, and adds 1e-8 to denominators."""
    scorer = rouge_chinese.Rouge()
    spaced = [
        [" ".join("".join(text.lower().split())) for text in texts] for texts in (summaries, references)
    ]
    scores = scorer.get_scores(*spaced)
    return [[score[name]["f"] for name in ("rouge-1", "rouge-2", "rouge-l")] for score in scores]


def made(count, seed=0):
    """Pairs with repeated characters, of one character at least, some without anything in common."""
    draw = random.Random(seed)
    letters = "的一是不了在人有我他这中大来上国abcAB 。，"
    texts = ["".join(draw.choices(letters, k=draw.randint(1, 40))).strip() or "x" for _ in range(2 * count)]
    return texts[:count], texts[count:]


def test_a_thousand_pairs_are_as_two_libraries_have_them():
    summaries, references = made(1000)
    # two rounded divisions more or less
    np.testing.assert_allclose(rouge(summaries, references), of_google(summaries, references), atol=1e-15)
    once = rouge(summaries, references, repeats="once")
    np.testing.assert_allclose(once, of_chinese(summaries, references), atol=1e-6)
    assert (once - rouge(summaries, references)).abs().to_numpy().max() > 0.1  # it matters


@settings(deadline=None, max_examples=60)
@given(summary=some, reference=filled)
def test_any_pair_is_as_the_library_has_it(summary, reference):
    np.testing.assert_allclose(rouge([summary], [reference]), of_google([summary], [reference]), atol=1e-15)
    if summary.strip():
        once = rouge([summary], [reference], repeats="once")
        np.testing.assert_allclose(once, of_chinese([summary], [reference]), atol=1e-6)


@settings(deadline=None, max_examples=60)
@given(a=some, b=some)
def test_the_longest_common_subsequence_is_that_of_the_table(a, b):
    table = np.zeros((len(a) + 1, len(b) + 1), int)
    for i, left in enumerate(a, 1):
        for j, right in enumerate(b, 1):
            longer = max(table[i - 1, j], table[i, j - 1])
            table[i, j] = table[i - 1, j - 1] + 1 if left == right else longer
    assert longest_common(a, b) == longest_common(b, a) == table[-1, -1]


def test_empty_one_and_repeated_characters():
    assert rouge([""], ["a"]).to_numpy().tolist() == [[0.0, 0.0, 0.0]]
    assert rouge(["a"], ["A"]).to_numpy().tolist() == [[1.0, 0.0, 1.0]]
    # four of a against two: 2 · 2 / 6; pairs 2 · 1 / 4; each once they are the same
    np.testing.assert_allclose(rouge(["aaaa"], ["aa"]), [[2 / 3, 1 / 2, 2 / 3]])
    np.testing.assert_allclose(rouge(["aaaa"], ["aa"], repeats="once"), [[1, 1, 2 / 3]])


def test_texts_may_come_one_by_one():
    texts = ["abab", "c"]
    one_by_one = rouge((text for text in texts), iter(["ab c", "c"]))
    pd.testing.assert_frame_equal(one_by_one, rouge(texts, ["ab c", "c"]))
    with pytest.raises(ValueError, match="as many of both, at least one, got 2 and 1"):
        rouge(iter(texts), iter(["c"]))


@pytest.mark.parametrize(
    ("summaries", "references", "message"),
    [
        (["a"], [], "as many of both, at least one, got 1 and 0"),
        ([], [], "as many of both, at least one, got 0 and 0"),
        (["a", "b"], ["a", " "], "references must not be empty, and number 1 is"),
        ("a", ["a"], "summaries must be a sequence of texts, got one text"),
        (["a"], [3], "references must be texts, and number 0 is 3"),
    ],
)
def test_bad_input_is_refused_in_one_line(summaries, references, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rouge(summaries, references)
    with pytest.raises(ValueError, match="repeats must be one of 'all', 'once'"):
        rouge(["a"], ["a"], repeats="twice")
