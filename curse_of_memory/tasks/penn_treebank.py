"""The Penn Treebank as one long text, of words or of characters, of which each next one is predicted.

Its files may be read for research and not be given away: nothing here prints or keeps a word of them.
"""

import copy
from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks import grammar
from curse_of_memory.tasks.archives import named_member_of, opened_tar, text_of, unpacked
from curse_of_memory.tasks.data_files import FILES, fetch, find
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tools import checks

__all__ = ["LEVELS", "PTB_CHARACTERS", "PTB_WORDS", "PennTreebank"]

PARTS = {"train": "train", "validation": "valid", "test": "test"}
UNKNOWN, END_OF_LINE, BLANK = "<unk>", "<eos>", "_"
MADE_LINES = {"train": 4000, "validation": 320, "test": 360}  # of the stand-ins: a quarter of the real texts


def _read(level: str, split: str) -> list[str]:
    """Return the tokens of a part, with ``<eos>`` at the end of each line."""
    files = FILES[f"ptb_{level}"]
    name = f"ptb.{'char.' if level == 'characters' else ''}{PARTS[split]}.txt"
    packed = files[f"{name}.gz"]
    path = find(packed)
    if path is not None:
        raw = unpacked(path)
    else:
        path = fetch(files["archive"], packed)
        with opened_tar(path) as archive:
            raw = named_member_of(archive, f"./simple-examples/data/{name}")
    return _tokens(text_of(raw, f"{name} of {path}"))


def _tokens(text: str) -> list[str]:
    """Return the tokens of all lines; a blank that follows the last line break is no line."""
    lines = text.split("\n")
    if not lines[-1].strip():
        lines.pop()
    return [token for line in lines for token in (*line.split(), END_OF_LINE)]


def _made(level: str, split: str) -> list[str]:
    """Return the tokens of a part of a stand-in: lines of a grammar, those of each part drawn anew."""
    drawn = grammar.lines(MADE_LINES[split], seed=list(PARTS).index(split))
    words = np.array(grammar.WORDS)[drawn].tolist()
    return words if level == "words" else _spelt(words)


def _spelt(words: Sequence[str]) -> list[str]:
    """Return words as their characters, with ``_`` between two of them, as the published files have it."""
    ends = np.array([word == END_OF_LINE for word in words])
    starts = np.concatenate([[True], ends[:-1]])
    spelt: list[str] = []
    for word, first, last in zip(words, starts, ends, strict=True):
        if last:
            spelt.append(word)
        else:
            spelt += word if first else (BLANK, *word)
    return spelt


PTB_WORDS, PTB_CHARACTERS = (
    DataSet(
        f"ptb_{level}",
        f"the Penn Treebank, {level}",
        f"sentences of a grammar{spelt}",
        lambda split, level=level: _read(level, split),
        lambda split, level=level: _made(level, split),
    )
    for level, spelt in (("words", ""), ("characters", ", spelt"))
)
"""The two texts, each with its stand-in."""

LEVELS = {"words": PTB_WORDS, "characters": PTB_CHARACTERS}
"""The two texts by what their tokens are."""


class PennTreebank:
    """The Penn Treebank as Mikolov prepared it, a part of it as one long text of numbered tokens.

    Parameters
    ----------
    level : {'words', 'characters'}
        What the tokens are: 929 589, 73 760 and 82 430 of 10 000 words in the three parts, or 5 017 482,
        393 042 and 442 423 of 50 characters; with one ``<eos>`` for each line.
    split : {'train', 'validation', 'test'}
        The published parts.
    size : int, optional
        So many tokens from the start of the part; all unless given, or where it has fewer.
    vocabulary : int, optional
        Of words only, how many are told apart: the most frequent of the whole training part, the first to
        appear counting as the more frequent of two, and ``<unk>``, which all others are. All unless given,
        and of the stand-in where it has fewer.
    data : {'real', 'stand-in', 'auto'}
        The published text; sentences of :mod:`curse_of_memory.tasks.grammar`, spelt for characters, a quarter
        as many; or the first where it can be had and else the second.

    Attributes
    ----------
    tokens : Tensor of shape ``(size,)``
        The text, int64, each token a number below `vocabulary`.
    vocabulary : int
        How many tokens there are.
    stand_in : str
        What stands in for what; empty for the real text.

    Raises
    ------
    ValueError, TypeError
        For an unknown level or split, bad numbers, a vocabulary that there is not, a file with a wrong
        checksum, a part without tokens, or one that has tokens which the training part has not.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    Source: Mikolov et al. 2010 and 2012 (``simple-examples``); read for research only.

    Examples
    --------
    >>> text = PennTreebank("characters", "test", size=1000, data="stand-in")
    >>> text.tokens.shape, text.vocabulary < 50
    (torch.Size([1000]), True)
    """

    def __init__(
        self,
        level: str,
        split: str = "train",
        *,
        size: int | None = None,
        vocabulary: int | None = None,
        data: str = "real",
    ):
        data_set = LEVELS[checks.one_of("level", level, LEVELS)]
        self.level, self.split = level, checks.one_of("split", split, PARTS)
        if size is not None:
            checks.positive_int("size", size)
        if vocabulary is not None:
            checks.positive_int("vocabulary", vocabulary)
            if level != "words":
                raise ValueError(f"vocabulary must be None for {level}, all of which are told apart")
        self._source = data_set.source(data)
        self.stand_in = data_set.note(self._source)
        training = data_set.content("train", self._source)
        known = [token for token, _ in Counter(training).most_common()]
        if vocabulary is not None:
            known = [UNKNOWN, *(word for word in known if word != UNKNOWN)]
            if vocabulary > len(known) and not self.stand_in:
                raise ValueError(f"vocabulary must be at most {len(known)}, got {vocabulary}")
        self.vocabulary = len(known[:vocabulary])
        self._number = {token: place if place < self.vocabulary else 0 for place, token in enumerate(known)}
        own = training if split == "train" else data_set.content(split, self._source)
        self.tokens = self._encoded(own, split, size)

    def part(self, split: str, size: int | None = None) -> "PennTreebank":
        """Return another part, or `size` tokens of it, with the numbers of this one.

        Parameters
        ----------
        split, size
            As for :class:`PennTreebank`, which this spares to read the training part once more.
        """
        if size is not None:
            checks.positive_int("size", size)
        other = copy.copy(self)
        other.split = checks.one_of("split", split, PARTS)
        other.tokens = self._encoded(LEVELS[self.level].content(split, self._source), split, size)
        return other

    def _encoded(self, tokens: Sequence[str], split: str, size: int | None) -> Tensor:
        """Return the numbers ``(size,)`` of the tokens of a part: 0 for words that are not told apart."""
        what = f"the {split} part of {LEVELS[self.level].title}"
        if not tokens:
            raise ValueError(f"{what} must have tokens, got none")
        number = self._number
        if strange := set(tokens).difference(number):
            raise ValueError(
                f"{what} must have no tokens that the training part lacks, got {len(strange)} of them"
            )
        few = tokens[:size]
        return torch.from_numpy(np.fromiter((number[token] for token in few), np.int64, len(few)))

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"PennTreebank({self.level!r}, {self.split!r}, vocabulary={self.vocabulary}, "
            f"tokens={len(self)}{', stand-in' if self.stand_in else ''})"
        )
