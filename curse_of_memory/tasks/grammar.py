"""The stand-in for texts: sentences with agreement over long distances, whose entropy is known exactly.

A line is a heading and some sentences::

    = Gulen = Gulen of the films ( as the nustish balos busk ) barks the falo . the luros kusk Gulen . <eos>

A verb has the number of its subject, whatever nouns stand between them (``Gulen … barks``); a bracket is
closed as it was opened; a name is that of the heading. All else is drawn independently, with the
probabilities below, and every draw can be told from the words. So the entropy of a line is the sum of those
of its draws, and no model of the text, whatever it remembers, has a smaller loss than
:func:`entropy_per_word`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product

import numpy as np

__all__ = ["WORDS", "entropy_per_word", "lines"]

# probabilities of what a sentence may have
STOPS = 0.25  # after a sentence, that it is the last of its line
NAMED, NAMED_OBJECT = 0.25, 0.3  # that the subject, the object is the name of the heading
ADJECTIVE = 0.4  # before a noun
PHRASES = (0.3, 0.25, 0.2, 0.15, 0.1)  # 0, 1, … phrases between subject and verb, a noun in each
ASIDE = 0.3  # a clause in brackets, with a subject and a verb of its own
LAUGH = 0.02  # at the end


def _made_up(first: Iterable[str], *syllables: str) -> tuple[str, ...]:
    """Return the real words `first`, and the combinations of syllables after them."""
    return (*first, *map("".join, product(*(part.split() for part in syllables))))


PREPOSITIONS = ("of", "near", "with", "under", "behind")
NAMES = _made_up((), "Ba De Fo Gu Ka Li Mo Nu Pa Re", "ra len ni tto sha mu ki vor del zan")
ADJECTIVES = _made_up(("good", "bad"), "b d f g k l m n p r", "al em or ust ind", "y ish")
NOUNS = _made_up(("film", "story"), "b d f g k l m n p r", "a e o u", "ro mo lo no do")
VERBS = _made_up(("hold", "find"), "b d f g k l m n p r", "ark ell ift omp usk olt end ink arn ush")
SIGNS = ("<eos>", "=", ".", ",", "the", "as", "(", ")", "[", "]", "ha")


@dataclass(frozen=True)
class _Kind:
    """Words of one kind: the number of the first, how many there are, and in how many forms each."""

    first: int
    count: int
    forms: int = 1
    share: np.ndarray = field(init=False, repr=False, compare=False)

    def __post_init__(self):
        weights = 1 / (np.arange(self.count) + 2)
        object.__setattr__(self, "share", weights / weights.sum())

    def drawn(self, random: np.random.Generator, size: int) -> np.ndarray:
        """Return words drawn by frequency, in their first form; the other form follows each."""
        return self.first + self.forms * random.choice(self.count, size, p=self.share)


WORDS = (
    *SIGNS,
    *PREPOSITIONS,
    *NAMES,
    *ADJECTIVES,
    *(form for noun in NOUNS for form in (noun, f"{noun}s")),
    *(form for verb in VERBS for form in (f"{verb}s", verb)),
)
"""All words; of nouns and verbs the singular comes before the plural."""

SIGN = {word: number for number, word in enumerate(SIGNS)}
ABSENT = -1


def _kinds() -> tuple[_Kind, ...]:
    kinds, first = [], len(SIGNS)
    for words, forms in ((PREPOSITIONS, 1), (NAMES, 1), (ADJECTIVES, 1), (NOUNS, 2), (VERBS, 2)):
        kinds.append(_Kind(first, len(words), forms))
        first += forms * len(words)
    return tuple(kinds)


PREPOSITION, NAME, ADJECTIVE_WORD, NOUN, VERB = _kinds()


def lines(count: int, *, seed: int) -> np.ndarray:
    """Return the words of `count` lines, one after the other, as places in ``WORDS``.

    Parameters
    ----------
    count : int
        How many lines, of some 60 words each.
    seed : int
        Names the draws.
    """
    random = np.random.default_rng(seed)
    sentences = random.geometric(STOPS, count)  # of each line
    line = np.repeat(np.arange(count), sentences)
    last = np.cumsum(sentences) - 1
    draw = _Draws(random, NAME.drawn(random, count)[line])
    first_of_line, last_of_line = np.zeros((2, len(line)), bool)
    first_of_line[last - sentences + 1], last_of_line[last] = True, True
    heading = [
        draw.sign("=", first_of_line),
        draw.only(draw.name, first_of_line),
        draw.sign("=", first_of_line),
    ]
    columns = [*heading, *draw.sentence(), draw.sign("<eos>", last_of_line)]
    words = np.stack(columns, axis=1)
    return words[words != ABSENT]


class _Draws:
    """The words of many sentences at a time: a column has one of every sentence, or none."""

    def __init__(self, random: np.random.Generator, name: np.ndarray):
        self.random, self.name, self.all = random, name, np.ones(len(name), bool)

    def happens(self, probability: float) -> np.ndarray:
        return self.random.random(len(self.name)) < probability

    def only(self, words: np.ndarray, where: np.ndarray) -> np.ndarray:
        return np.where(where, words, ABSENT)

    def sign(self, word: str, where: np.ndarray) -> np.ndarray:
        return np.where(where, SIGN[word], ABSENT)

    def word(self, kind: _Kind, where: np.ndarray, plural: np.ndarray | int = 0) -> np.ndarray:
        return self.only(kind.drawn(self.random, len(where)) + plural, where)

    def noun(self, where: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        """Return columns of ``the``, perhaps an adjective, and a noun; and where this is plural."""
        plural = self.happens(0.5)
        columns = [
            self.sign("the", where),
            self.word(ADJECTIVE_WORD, where & self.happens(ADJECTIVE)),
            self.word(NOUN, where, plural),
        ]
        return columns, plural

    def sentence(self) -> list[np.ndarray]:
        named = self.happens(NAMED)
        subject, plural = self.noun(~named)
        columns = [self.only(self.name, named), *subject]
        phrases = self.random.choice(len(PHRASES), len(self.name), p=PHRASES)
        for place in range(1, len(PHRASES)):
            there = phrases >= place
            columns += [self.word(PREPOSITION, there), *self.noun(there)[0]]
        columns += self.aside(self.happens(ASIDE))
        columns.append(self.word(VERB, self.all, plural & ~named))
        named = self.happens(NAMED_OBJECT)
        columns += [self.only(self.name, named), *self.noun(~named)[0]]
        laughs = self.happens(LAUGH)
        return [*columns, self.sign(",", laughs), self.sign("ha", laughs), self.sign(".", self.all)]

    def aside(self, where: np.ndarray) -> list[np.ndarray]:
        round_ = self.happens(0.5)
        noun, plural = self.noun(where)
        opening, closing = (
            np.where(round_, self.sign(one, where), self.sign(other, where)) for one, other in ("([", ")]")
        )
        return [opening, self.sign("as", where), *noun, self.word(VERB, where, plural), closing]


def entropy_per_word() -> float:
    """Return the entropy of the text in nats per word: the smallest loss that a model of it can have.

    It is the entropy of all draws of a line over the mean number of its words. A model that reads pieces of
    the text, or forgets, loses more.
    """
    noun = _coin(ADJECTIVE) + ADJECTIVE * _of(ADJECTIVE_WORD.share) + np.log(2) + _of(NOUN.share)
    noun_words = 2 + ADJECTIVE
    verb = _of(VERB.share)
    phrases = float(np.arange(len(PHRASES)) @ PHRASES)
    draws = [
        _coin(NAMED) + (1 - NAMED) * noun,
        _of(np.array(PHRASES)) + phrases * (_of(PREPOSITION.share) + noun),
        _coin(ASIDE) + ASIDE * (np.log(2) + noun + verb),
        verb,
        _coin(NAMED_OBJECT) + (1 - NAMED_OBJECT) * noun,
        _coin(LAUGH),
        _coin(STOPS),
    ]
    words = [
        NAMED + (1 - NAMED) * noun_words,
        phrases * (1 + noun_words),
        ASIDE * (4 + noun_words),
        1,
        NAMED_OBJECT + (1 - NAMED_OBJECT) * noun_words,
        2 * LAUGH,
        1,
    ]
    sentences = 1 / STOPS
    return float((_of(NAME.share) + sentences * sum(draws)) / (4 + sentences * sum(words)))


def _of(share: np.ndarray) -> float:
    """Return the entropy of a draw with these probabilities, in nats."""
    return float(-share @ np.log(share))


def _coin(probability: float) -> float:
    return _of(np.array([probability, 1 - probability]))
