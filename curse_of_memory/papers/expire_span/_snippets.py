"""A piece of a text with a name in it, the same with other words in its place, and kinds of characters."""

import re
from collections import Counter
from typing import NamedTuple

import numpy as np
import torch

from curse_of_memory.tasks import Characters
from curse_of_memory.tools import checks

__all__ = ["KINDS", "Snippet", "kinds_of", "letters_of", "places_of_word", "snippet_of", "tokens_of"]

LEAD = 30  # characters before the name, at most
KINDS: dict[str, str] = {
    "names": r"(?<=[a-z] )[A-Z][a-z]+",
    "other words": r"\b[a-z]+\b",
    "digits": r"[0-9]",
    "blanks": r" ",
    "brackets": r"[\[\]{}<>|=]",
    "new lines": r"\n",
}
"""Kinds of characters by name, and their patterns; a name is a capitalised word after another one."""


class Snippet(NamedTuple):
    """A piece of a text, and others that differ in one word.

    Attributes
    ----------
    before : str
        What stands before it.
    name : str
        The word that is exchanged.
    versions : dict from str to str
        The piece by the word that stands in it; the first one is as it stands in the text.
    """

    before: str
    name: str
    versions: dict[str, str]


def letters_of(part: Characters) -> str:
    """Return the bytes of a part of a text as as many letters; those beyond 127 are no letters of it."""
    known = np.append(part.bytes, np.uint8(ord("?")))
    return known[part.tokens.numpy()].tobytes().decode("latin-1")


def tokens_of(part: Characters, letters: str) -> torch.Tensor:
    """Return the numbers of the bytes that :func:`letters_of` has made `letters` of, one for each."""
    number = np.full(256, part.vocabulary - 1)
    number[part.bytes] = np.arange(len(part.bytes))
    return torch.from_numpy(number[np.frombuffer(letters.encode("latin-1"), np.uint8)])


def places_of_word(word: str, text: str) -> list[int]:
    """Return where a word begins in a text that is not a part of a longer one.

    Examples
    --------
    >>> places_of_word("Anna", "Anna and Annabel, [[Anna]]")
    [0, 20]
    """
    return [match.start() for match in re.finditer(rf"(?<!\w){re.escape(word)}(?!\w)", text)]


def snippet_of(text: str, name: str, others: tuple[str, ...], before: int, shown: int) -> Snippet:
    """Return the first piece of a text that has a name after a word in small letters, and once more.

    Parameters
    ----------
    text : str
    name : str
        Where there is no such piece, the first capitalised word that has one takes its place; and others
        that of the `others`: the most frequent words in small letters that are as long.
    others : tuple of str
        Words that are put where the name stands, as long as it.
    before, shown : int
        How many characters stand before the piece at least, and how many it has.

    Raises
    ------
    ValueError
        If another word is not as long as the name or not of ASCII letters, the name is no word, or none has
        such a piece.

    Examples
    --------
    >>> said = "they say that Anna saw what Anna had, and other things"
    >>> snippet_of(said, "Anna", ("many",), before=0, shown=32).versions
    {'Anna': 'they say that Anna saw what Anna', 'many': 'they say that many saw what many'}
    """
    if not re.fullmatch(r"\w+", name):
        raise ValueError(f"name must be one word, got {checks.shown(name)}")
    for other in others:
        if len(other) != len(name):
            raise ValueError(f"others must be as long as name = {name!r}, got {checks.shown(other)}")
        if not other.isascii():
            raise ValueError(f"others must be of ASCII letters, one byte each, got {checks.shown(other)}")
    for pattern in (re.escape(name), "[A-Z][a-z]{3,}"):
        for match in re.finditer(rf"(?<=[a-z] )(?:{pattern})(?=[ ,.])", text):
            first = text.rfind(" ", 0, max(0, match.start() - LEAD)) + 1
            piece = text[first : first + shown]
            word = match.group()
            places = places_of_word(word, piece)
            plain = piece.isascii() and piece.replace("\n", " ").isprintable()
            if first < before or len(piece) < shown or len(places) < 2 or not plain:
                continue
            words = others if word == name else _as_long(text, len(word), len(others))
            versions = {one: _exchanged(piece, places, one) for one in (word, *words)}
            return Snippet(text[first - before : first], word, versions)
    raise ValueError(f"test_characters must have a name twice in {shown} characters; read more of the text")


def _exchanged(piece: str, places: list[int], word: str) -> str:
    """Return a piece with a word in these places, as long as what stood there."""
    for place in places:
        piece = piece[:place] + word + piece[place + len(word) :]
    return piece


def _as_long(text: str, letters: int, count: int) -> tuple[str, ...]:
    """Return the most frequent words in small letters of so many letters."""
    counts = Counter(re.findall(rf"\b[a-z]{{{letters}}}\b", text))
    return tuple(word for word, _ in counts.most_common(count))


def kinds_of(text: str) -> dict[str, np.ndarray]:
    r"""Return the places of the characters of each kind.

    Examples
    --------
    >>> {kind: places.tolist() for kind, places in kinds_of("at Ur 4\n").items() if len(places)}
    {'names': [3, 4], 'other words': [0, 1], 'digits': [6], 'blanks': [2, 5], 'new lines': [7]}
    """
    return {
        kind: np.array([k for match in re.finditer(pattern, text) for k in range(*match.span())], np.int64)
        for kind, pattern in KINDS.items()
    }
