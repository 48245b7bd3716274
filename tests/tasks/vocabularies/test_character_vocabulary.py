"""Characters as tokens: their numbers beside the marks, what is rare, and there and back."""

import pickle
import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from curse_of_memory.tasks.vocabularies import CharacterVocabulary

TEXTS = ["记忆的记忆", "模型 abc", "记"]


def test_the_most_frequent_come_first_and_of_two_the_first_to_appear():
    vocabulary = CharacterVocabulary(TEXTS)
    assert "".join(vocabulary.characters) == "记忆的模型 abc"
    assert list(vocabulary.counts.items())[:3] == [("记", 3), ("忆", 2), ("的", 1)]
    assert vocabulary.encode("记忆c") == [3, 4, 11]
    assert (len(vocabulary), vocabulary.rare) == (12, 0)
    assert repr(vocabulary) == "CharacterVocabulary(characters=9, rare=0, numbers=12)"


def test_rare_ones_are_counted_and_unknown():
    vocabulary = CharacterVocabulary(TEXTS, least=2)
    assert (vocabulary.characters, vocabulary.rare) == (("记", "忆"), 7)
    assert vocabulary.unknown_in(TEXTS) == sum(map(len, TEXTS)) - 5
    assert CharacterVocabulary(TEXTS, size=1).unknown_in(["记忆忆"]) == 2
    assert CharacterVocabulary(TEXTS, size=99).rare == 0
    assert vocabulary.unknown_in([]) == 0


@pytest.mark.parametrize(
    "marks",
    [{}, {"pad": 1, "end": 2, "unknown": 3, "start": 2}, {"pad": 5, "end": 0, "unknown": 40, "start": 2}],
)
def test_characters_have_the_numbers_that_no_mark_has(marks):
    vocabulary = CharacterVocabulary(TEXTS, **marks)
    numbers = vocabulary.encode("".join(vocabulary.characters))
    own = {vocabulary.pad, vocabulary.end, vocabulary.unknown, vocabulary.start}
    assert {name: getattr(vocabulary, name) for name in marks} == marks
    assert vocabulary.marks == (vocabulary.pad, vocabulary.end, vocabulary.start)
    assert numbers == sorted(set(range(41)) - own)[: len(numbers)]
    assert len(vocabulary) == 1 + max(own | set(numbers))
    for text in TEXTS:
        target = vocabulary.target(text)
        assert vocabulary.source(text) == target == [*vocabulary.encode(text), vocabulary.end]
        said = [vocabulary.start, *target, vocabulary.pad]  # as `generate` gives it
        assert vocabulary.decode(said) == vocabulary.decode(torch.tensor(said)) == text


@given(st.text(), st.text(min_size=1))
def test_there_and_back(text, known):
    vocabulary = CharacterVocabulary([known])
    back = vocabulary.decode(vocabulary.target(text))
    assert back == "".join(one if one in known else "\ufffd" for one in text)


def test_labels_that_do_not_count_and_numbers_that_mean_nothing():
    vocabulary = CharacterVocabulary(["ab"])
    assert vocabulary.decode([3, -100, 4, 0, 2, 99, 1, 3]) == "ab\ufffd\ufffd"
    assert vocabulary.decode([]) == vocabulary.decode([0]) == vocabulary.decode([1, 3]) == ""
    holes = CharacterVocabulary(["ab"], end=50)
    assert holes.decode([3, 30, 50]) == "b\ufffd"


def test_rows_are_cut_before_the_end_mark():
    vocabulary = CharacterVocabulary(["ab"])
    assert vocabulary.target("abab", 3) == [3, 4, 1]
    assert vocabulary.source("ab", 3) == [3, 4, 1]
    assert vocabulary.target("", 2) == [1]


def test_it_pickles():
    vocabulary = CharacterVocabulary(TEXTS, least=2, start=7)
    other = pickle.loads(pickle.dumps(vocabulary))
    assert other.source("记忆c") == vocabulary.source("记忆c")
    assert vars(other) == vars(vocabulary)


ILL = {
    "one text": (lambda: CharacterVocabulary("ab"), "texts must be a sequence of texts, got one text"),
    "no texts": (lambda: CharacterVocabulary([1]), "texts must be texts, and number 0 is 1"),
    "no characters": (lambda: CharacterVocabulary([""]), "texts must have characters, got none"),
    "no size": (lambda: CharacterVocabulary(["a"], size=0), "size must be at least 1"),
    "no count": (lambda: CharacterVocabulary(["a"], least=0), "least must be at least 1"),
    "a negative mark": (lambda: CharacterVocabulary(["a"], pad=-1), "pad must not be negative"),
    "no end": (lambda: CharacterVocabulary(["a"], end=0), "end must be another mark than pad, got 0 twice"),
    "unknown": (lambda: CharacterVocabulary(["a"], start=2), "unknown must be a mark of its own, got 2"),
    "bytes": (lambda: CharacterVocabulary(["a"]).encode(b"a"), "text must be a text, got b'a'"),
    "half a letter": (lambda: CharacterVocabulary(["a"]).encode("a\udfff"), "text must be in Unicode, got"),
    "nothing": (lambda: CharacterVocabulary(["a"]).decode([None]), "numbers must be one row of whole"),
    "two rows": (lambda: CharacterVocabulary(["a"]).decode([[3]]), "numbers must be one row"),
    "a matrix": (lambda: CharacterVocabulary(["a"]).decode(torch.ones(1, 2)), "numbers must be one row"),
    "a text": (lambda: CharacterVocabulary(["a"]).decode("a"), "numbers must be whole numbers, got 'a'"),
    "no room": (lambda: CharacterVocabulary(["a"]).target("aa", 1), "length must be at least 2"),
}  # fmt: skip


@pytest.mark.parametrize("what", ILL)
def test_ill_arguments_are_refused_in_one_line(what):
    call, message = ILL[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
