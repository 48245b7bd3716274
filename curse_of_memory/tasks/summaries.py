"""Abstracts and their titles, which encoder-decoders learn to write: CSL, or somebody's own file.

CSL is a collection of Chinese abstracts; of its part for summarising, two files of a thousand pairs are
public in a size that can be kept. No training file is: its ``dev`` is what is trained on here, and its
``test`` what is measured on.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.tasks import made_abstracts
from curse_of_memory.tasks.data_files import FILES, fetch
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.pair_files import Pair, pairs_of, read_pairs
from curse_of_memory.tasks.sampling import Batch
from curse_of_memory.tasks.vocabularies.vocabulary import Vocabulary, cut
from curse_of_memory.tools import checks

__all__ = ["CSL", "EncodedSummaries", "Summaries"]

PARTS = {"train": "dev", "test": "test"}  # what is read for what
COLUMNS = {"columns": 3, "abstract_column": 1, "title_column": 2}  # the first one says what to do
MADE = 1000  # pairs of each part of the stand-in, as of the real one


def _read(split: str) -> list[Pair]:
    path = fetch(FILES["csl"][f"{PARTS[split]}.tsv"])
    return pairs_of(path.read_bytes(), str(path), **COLUMNS)


@cache
def _all_made() -> list[Pair]:
    """Return the pairs of all parts of the stand-in, drawn together, so that no two are alike."""
    return made_abstracts.pairs(MADE * len(PARTS), seed=0)


def _made(split: str) -> list[Pair]:
    first = MADE * list(PARTS).index(split)
    return _all_made()[first : first + MADE]


CSL = DataSet("csl", "CSL", "abstracts of a made language", _read, _made)
"""CSL's pairs, with their stand-in."""


@dataclass(frozen=True)
class EncodedSummaries:
    """Pairs as numbers, for ``fit`` and for models that read source and target in one tensor.

    Attributes
    ----------
    batch : Batch
        Inputs ``(pair, source_length + target_length)``: the source, filled up with pads, and then what the
        decoder reads: the start mark and all of the target but its last step, filled up with pads. Targets
        ``(pair, target_length)``: the title, its end mark, and −100, which losses leave out. All int64.
    source_length, target_length : int
        Tokens of the longest, marks among them: the encoder reads the first `source_length` of the inputs.
    cut_sources, cut_targets : int
        How many had more tokens and were cut; all end with the end mark.
    unknown_sources, unknown_targets : int
        How many tokens of what is left are unknown.
    """

    batch: Batch
    source_length: int
    target_length: int
    cut_sources: int
    cut_targets: int
    unknown_sources: int
    unknown_targets: int


class Summaries:
    """Write the title of a Chinese abstract: CSL (Li et al. 2022, 2209.05034).

    There is no training file small enough to be kept: the published ``dev`` is trained on, and ``test`` is
    measured on. No text is in both, and none is there twice.

    Parameters
    ----------
    split : {'train', 'test'}
        The 1000 pairs of ``dev``, or those of ``test``.
    abstract_length, title_length : int, optional
        So many characters of each are kept; all unless given. Real abstracts have 209 on average, 95 % at
        most 410 and one 1215; real titles 19, 30 and 50.
    size : int, optional
        So many pairs, the first ones; all unless given, or where there are fewer.
    data : {'real', 'stand-in', 'auto'}
        The published files; pairs of :mod:`curse_of_memory.tasks.made_abstracts`, as many; or the first where
        they can be had and else the second.

    Attributes
    ----------
    abstracts, titles : tuple of str
        The texts, as they are published, and as many of their characters as are kept.
    cut_abstracts, cut_titles : int
        How many were longer.
    left_out : int
        How many pairs there are beyond `size`.
    origin : str
        What the pairs are: ``"dev of CSL, in place of a training set"``, or the name of a file.
    stand_in : str
        What stands in for what; empty for real pairs.

    Raises
    ------
    ValueError, TypeError
        For an unknown split, bad numbers, or a file with a wrong checksum.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Examples
    --------
    >>> from curse_of_memory.tasks.vocabularies import CharacterVocabulary
    >>> task = Summaries("train", abstract_length=64, title_length=30, size=100, data="stand-in")
    >>> len(task), task.cut_titles
    (100, 0)
    >>> vocabulary = CharacterVocabulary([*task.abstracts, *task.titles])
    >>> encoded = task.encoded(vocabulary)  # fit(model, encoded.batch) trains on them
    >>> encoded.batch.inputs.shape, encoded.batch.targets.shape  # 64 + 1 and 30 + 1, with the end marks
    (torch.Size([100, 96]), torch.Size([100, 31]))
    >>> vocabulary.decode(encoded.batch.targets[0]) == task.titles[0]
    True
    """

    def __init__(
        self,
        split: str = "train",
        *,
        abstract_length: int | None = None,
        title_length: int | None = None,
        size: int | None = None,
        data: str = "real",
    ):
        self.split = checks.one_of("split", split, PARTS)
        _check_lengths(abstract_length, title_length, size)
        source = CSL.source(data)
        self.stand_in = CSL.note(source)
        name = f"{PARTS[split]} of {'CSL' if not self.stand_in else 'the stand-in'}"
        self.origin = f"{name}, in place of a training set" if split == "train" else name
        self._keep(CSL.content(split, source), size, abstract_length, title_length)

    @classmethod
    def from_file(
        cls,
        path: str | Path,
        *,
        abstract_column: int,
        title_column: int,
        abstract_length: int | None = None,
        title_length: int | None = None,
        size: int | None = None,
    ) -> "Summaries":
        """Return the pairs of somebody's own file, such as the training set of CSL or LCSTS.

        Parameters
        ----------
        path : str or Path
            A text in UTF-8, a pair a line, with tabs between its columns and no line of headings.
        abstract_column, title_column : int
            Where abstract, or content, and title stand, counted from 0: CSL's files have them in 1 and 2,
            those of T5-PEGASUS in 1 and 0.
        abstract_length, title_length, size : int, optional
            As for :class:`Summaries`.

        Raises
        ------
        ValueError, TypeError
            For bad numbers, what is no such text, or a line with another number of columns, an empty abstract
            or an empty title; says which.
        FileNotFoundError
            If there is no such file.
        """
        _check_lengths(abstract_length, title_length, size)
        pairs = read_pairs(path, abstract_column=abstract_column, title_column=title_column)
        task = cls.__new__(cls)
        task.split, task.stand_in, task.origin = "train", "", str(path)
        task._keep(pairs, size, abstract_length, title_length)
        return task

    def _keep(
        self, pairs: Sequence[Pair], size: int | None, abstract_length: int | None, title_length: int | None
    ) -> None:
        self.abstract_length, self.title_length = abstract_length, title_length
        abstracts, titles = zip(*pairs[:size], strict=True)
        self.left_out = len(pairs) - len(titles)
        self.abstracts: tuple[str, ...] = tuple(text[:abstract_length] for text in abstracts)
        self.titles: tuple[str, ...] = tuple(text[:title_length] for text in titles)
        self.cut_abstracts = _changed(abstracts, self.abstracts)
        self.cut_titles = _changed(titles, self.titles)

    def __len__(self) -> int:
        return len(self.titles)

    def __repr__(self) -> str:
        lengths = f"abstract_length={self.abstract_length}, title_length={self.title_length}"
        return f"Summaries({self.origin!r}, pairs={len(self)}, {lengths})"

    def encoded(
        self,
        vocabulary: Vocabulary,
        *,
        source_length: int | None = None,
        target_length: int | None = None,
    ) -> EncodedSummaries:
        """Return the pairs as numbers of a `vocabulary`.

        Parameters
        ----------
        vocabulary : Vocabulary
            Of characters, or of a model.
        source_length, target_length : int, optional
            Tokens of each, marks among them; longer ones are cut, and counted. Unless given, where this task
            has cut its texts, as many as their characters and marks are, so that pairs for training and for
            measuring have one length; else as many as the longest has.

        Raises
        ------
        TypeError
            For what is no vocabulary, or no number.
        ValueError
            For a length that has no room for a token between the marks.
        """
        if not isinstance(vocabulary, Vocabulary):
            raise TypeError(f"vocabulary must be a Vocabulary, got {checks.shown(vocabulary)}")
        marks = 2 if vocabulary.opened else 1
        sources = _Rows(
            "source_length", self.abstracts, vocabulary.source, source_length, self.abstract_length, marks
        )
        targets = _Rows("target_length", self.titles, vocabulary.target, target_length, self.title_length, 1)
        answers = targets.filled(IGNORED)
        read = targets.filled(vocabulary.pad)
        read = np.concatenate([np.full((len(self), 1), vocabulary.start), read[:, :-1]], axis=1)
        inputs = np.concatenate([sources.filled(vocabulary.pad), read], axis=1)
        return EncodedSummaries(
            Batch(torch.from_numpy(inputs), torch.from_numpy(answers)),
            source_length=sources.length,
            target_length=targets.length,
            cut_sources=sources.were_cut,
            cut_targets=targets.were_cut,
            unknown_sources=sources.count(vocabulary.unknown),
            unknown_targets=targets.count(vocabulary.unknown),
        )


class _Rows:
    """Texts as rows of tokens with their marks, none of more than `length`."""

    def __init__(
        self,
        name: str,
        texts: Sequence[str],
        encode: Callable[[str], list[int]],
        length: int | None,
        characters: int | None,
        marks: int,
    ):
        if length is not None:
            checks.whole_number(name, length, least=1 + marks)
        whole = [encode(text) for text in texts]
        longest = max(map(len, whole)) if characters is None else characters + marks
        self.length = longest if length is None else length
        self.rows = [cut(row, self.length) for row in whole]
        self.were_cut = _changed(whole, self.rows)

    def filled(self, value: int) -> np.ndarray:
        """Return the rows as an array ``(pair, length)``, filled up with a value."""
        full = np.full((len(self.rows), self.length), value)
        for place, row in enumerate(self.rows):
            full[place, : len(row)] = row
        return full

    def count(self, token: int) -> int:
        return sum(row.count(token) for row in self.rows)


def _changed(before: Sequence, after: Sequence) -> int:
    """Return how many are not what they were."""
    return sum(one != other for one, other in zip(before, after, strict=True))


def _check_lengths(abstract_length: int | None, title_length: int | None, size: int | None) -> None:
    for name, number in (
        ("abstract_length", abstract_length),
        ("title_length", title_length),
        ("size", size),
    ):
        if number is not None:
            checks.positive_int(name, number)
