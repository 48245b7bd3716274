"""The text that stands in, held against a reader that knows the grammar and takes it word by word."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from curse_of_memory.tasks import grammar

LINES = 4000


def text(count=LINES, seed=0):
    return np.array(grammar.WORDS)[grammar.lines(count, seed=seed)].tolist()


class Reader:
    """Reads a text word by word: refuses what the grammar does not allow, and adds up −log probabilities."""

    def __init__(self, words):
        self.words, self.place, self.cost = words, 0, 0.0
        self.far = Counter()  # of main verbs: whether the noun before them has their number
        self.near = None

    def next(self, *allowed):
        word = self.words[self.place]
        assert not allowed or word in allowed, self.words[max(0, self.place - 20) : self.place + 1]
        self.place += 1
        return word

    def sees(self, *words):
        return self.words[self.place] in words

    def pays(self, probability):
        self.cost -= math.log(probability)

    def happens(self, probability, event):
        self.pays(probability if event else 1 - probability)
        return event

    def one_of(self, words):
        """Read a word whose frequency falls with its place."""
        rank = words.index(self.next(*words))
        self.pays(1 / (rank + 2) / sum(1 / (k + 2) for k in range(len(words))))

    def ends(self, words, singular, plural):
        """Read a word of two forms; return whether it is plural."""
        word = self.words[self.place]
        plain = word.removesuffix("s")
        self.words[self.place] = plain
        self.one_of(words)
        self.words[self.place - 1] = word
        assert word in (plain + singular, plain + plural)
        return word == plain + plural

    def noun(self):
        self.next("the")
        if self.happens(grammar.ADJECTIVE, self.sees(*grammar.ADJECTIVES)):
            self.one_of(grammar.ADJECTIVES)
        self.near = self.ends(grammar.NOUNS, "", "s")
        self.pays(0.5)
        return self.near

    def thing(self, name, probability):
        """Read the name of the heading or a noun; return whether it is plural."""
        if self.happens(probability, self.sees(*grammar.NAMES)):
            self.next(name)
            self.near = False
            return False
        return self.noun()

    def verb(self, plural):
        assert self.ends(grammar.VERBS, "s", "") == plural

    def sentence(self, name):
        plural = self.thing(name, grammar.NAMED)
        phrases = 0
        while self.sees(*grammar.PREPOSITIONS):
            self.one_of(grammar.PREPOSITIONS)
            self.noun()
            phrases += 1
        self.pays(grammar.PHRASES[phrases])
        if self.happens(grammar.ASIDE, self.sees("(", "[")):
            self.pays(0.5)
            closing = {"(": ")", "[": "]"}[self.next()]
            self.next("as")
            self.verb(self.noun())
            self.next(closing)
        self.far[self.near == plural] += 1
        self.verb(plural)
        self.thing(name, grammar.NAMED_OBJECT)
        if self.happens(grammar.LAUGH, self.sees(",")):
            self.next(",")
            self.next("ha")
        self.next(".")

    def line(self):
        """Read a line; return what it costs and how many words it has."""
        cost, place = self.cost, self.place
        self.next("=")
        name = self.words[self.place]
        self.one_of(grammar.NAMES)
        self.next("=")
        self.sentence(name)
        while not self.happens(grammar.STOPS, self.sees("<eos>")):
            self.sentence(name)
        self.next("<eos>")
        return self.cost - cost, self.place - place


@pytest.fixture(scope="module")
def read():
    """The reader at the end of a text, and cost and length of every line."""
    reader = Reader(text())
    lines = np.array([reader.line() for _ in range(LINES)])
    assert reader.place == len(reader.words)
    return reader, lines


def test_the_entropy_is_what_a_reader_that_knows_the_grammar_pays_per_word(read):
    costs, lengths = read[1].T
    rest = costs - grammar.entropy_per_word() * lengths  # of mean zero
    assert abs(rest.mean()) < 4 * rest.std() / math.sqrt(LINES)
    # which would see an error of two hundredths of a nat per word
    assert 4 * rest.std() / math.sqrt(LINES) < 0.02 * lengths.mean()


def test_who_looks_at_the_nearest_noun_is_wrong_about_the_verb_in_a_third_of_the_sentences(read):
    """Half of the nouns that come between are of the other number: after a phrase, or in brackets."""
    between = 1 - grammar.PHRASES[0] * (1 - grammar.ASIDE)
    share = read[0].far[False] / read[0].far.total()
    assert share == pytest.approx(between / 2, abs=4 * math.sqrt(0.25 / read[0].far.total()))


def test_who_knows_frequencies_or_the_word_before_pays_more(read):
    words = read[0].words
    single, pairs = Counter(words), Counter(pairwise(words))

    def entropy(counts):
        share = np.array(list(counts.values())) / counts.total()
        return -(share @ np.log(share))

    # of the counts, which are below the truth
    assert entropy(single) > grammar.entropy_per_word() + 1.5
    assert entropy(pairs) - entropy(single) > grammar.entropy_per_word() + 0.1


def test_a_seed_names_the_text():
    assert text(50) == text(50)
    assert text(50) != text(50, seed=1)


def test_words_are_told_apart_by_their_kind():
    assert len(set(grammar.WORDS)) == len(grammar.WORDS)
    assert {"the", "film", "good", "bad", "ha"} <= set(grammar.WORDS)
    counts = Counter(text())
    assert set(counts) <= set(grammar.WORDS)
    assert len(counts) > 0.9 * len(grammar.WORDS)
