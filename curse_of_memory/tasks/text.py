"""WikiText-2 as a stream of words, of which each next one is predicted."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.tasks import grammar
from curse_of_memory.tasks.archives import text_of, unpacked, zipped
from curse_of_memory.tasks.data_files import FILES, fetch, find
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tasks.sampling import Batch, drawn_by, moved
from curse_of_memory.tools import checks

__all__ = ["WIKITEXT2", "WikiText2"]

PARTS = {"train": "train", "validation": "valid", "test": "test"}
UNKNOWN, END_OF_LINE = "<unk>", "<eos>"
MADE_LINES = {"train": 9000, "validation": 900, "test": 900}  # of the stand-in: a quarter of the real text


def _read(split: str) -> list[str]:
    """Return the words of a part, with ``<eos>`` at the end of each line."""
    files = FILES["wikitext2"]
    name = f"wiki.{PARTS[split]}.tokens"
    packed = files[f"{name}.gz"]
    path = find(packed)
    if path is not None:
        raw = unpacked(path)
    else:
        path = fetch(files["archive"], packed)
        raw = zipped(path, f"wikitext-2/{name}")
    return text_of(raw, f"{name} of {path}").replace("\n", f" {END_OF_LINE} ").split()


def _made(split: str) -> list[str]:
    """Return the words of a part of the stand-in: lines of a grammar, those of each part drawn anew."""
    words = grammar.lines(MADE_LINES[split], seed=list(PARTS).index(split))
    return np.array(grammar.WORDS)[words].tolist()


WIKITEXT2 = DataSet("wikitext2", "WikiText-2", "sentences of a grammar", _read, _made)
"""WikiText-2, with its stand-in."""


class WikiText2:
    """Predict each next word of WikiText-2 (Merity et al. 2016, 1609.07843).

    Parameters
    ----------
    split : {'train', 'validation', 'test'}
        The published parts: 2 088 628, 217 646 and 245 569 words, with one ``<eos>`` for each line.
    vocabulary : int, optional
        How many words are told apart: ``<unk>``, which is 0, and the most frequent words of the training set;
        the first to appear counts as the more frequent of two. All of them unless given, and of the stand-in
        where it has fewer.
    sequence_length : int
        Words in a sequence.
    data : {'real', 'stand-in', 'auto'}
        The published text; sentences of :mod:`curse_of_memory.tasks.grammar`, some 500 000 and twice 50 000
        words; or the first where it can be had and else the second.

    Raises
    ------
    ValueError, TypeError
        For an unknown split, bad numbers, a larger vocabulary than there are words, or a file with a wrong
        checksum.
    FileNotFoundError
        If the files are neither on this machine nor can be downloaded; says where they were looked for.

    Notes
    -----
    The attribute `stand_in` says what stands in for what, and is empty for the real text.

    Examples
    --------
    >>> task = WikiText2("train", vocabulary=1000, sequence_length=35)  # doctest: +SKIP
    >>> x, y = task.sample(20, seed=0)  # doctest: +SKIP
    >>> x.shape, bool((x[:, 1:] == y[:, :-1]).all())  # doctest: +SKIP
    (torch.Size([20, 35]), True)
    """

    def __init__(
        self,
        split: str = "train",
        *,
        vocabulary: int | None = None,
        sequence_length: int = 64,
        data: str = "real",
    ):
        self.split = checks.one_of("split", split, PARTS)
        self.horizon = checks.positive_int("sequence_length", sequence_length)
        source = WIKITEXT2.source(data)
        self.stand_in = WIKITEXT2.note(source)
        training = WIKITEXT2.content("train", source)
        frequent = [word for word, _ in Counter(training).most_common() if word != UNKNOWN]
        self.words = [UNKNOWN, *frequent]
        if vocabulary is not None:
            if checks.positive_int("vocabulary", vocabulary) > len(self.words) and not self.stand_in:
                raise ValueError(f"vocabulary must be at most {len(self.words)}, got {vocabulary}")
            self.words = self.words[:vocabulary]
        self.vocabulary = self.output_size = len(self.words)
        self._number = {word: number for number, word in enumerate(self.words)}
        self.tokens = self.encode(training if split == "train" else WIKITEXT2.content(split, source))
        if len(self.tokens) <= self.horizon:
            raise ValueError(f"sequence_length must be below {len(self.tokens)}, got {self.horizon}")

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"WikiText2({self.split!r}, vocabulary={self.vocabulary}, sequence_length={self.horizon}, "
            f"words={len(self)}{', stand-in' if self.stand_in else ''})"
        )

    def encode(self, words: Sequence[str]) -> Tensor:
        """Return the numbers ``(len(words),)`` of words; those outside the vocabulary are ``<unk>``, 0."""
        number = self._number
        return torch.from_numpy(np.fromiter((number.get(w, 0) for w in words), np.int64, len(words)))

    def sample(
        self,
        size: int,
        *,
        seed: int | Sequence[int],
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Batch:
        """Draw `size` pieces of the stream, anywhere in it; equal seeds give equal ones on every device.

        Parameters
        ----------
        size : int
            Number of pieces.
        seed : int or sequence of int
            Names the draw, e.g. ``(seed, step)``.
        device, dtype
            Of the tensors returned. The dtype, that of the model's weights, is not for words: they are int64.

        Returns
        -------
        Batch
            Words and, for each of them, the next one, both ``(size, sequence_length)``.
        """
        checks.positive_int("size", size)
        last = len(self) - self.horizon  # exclusive: the word after the piece is a target
        starts = drawn_by(seed).integers(0, last, size)
        return self._pieces(torch.from_numpy(starts), device)

    def batches(
        self,
        size: int,
        *,
        seed: int | Sequence[int] | None = None,
        device: torch.device | str = "cpu",
    ) -> Iterator[Batch]:
        """Yield the stream once, in pieces that follow each other; less than a piece may be left at the end.

        Parameters
        ----------
        size : int
            Pieces in a batch; the last batch may have fewer.
        seed : int or sequence of int, optional
            Names the order of the pieces; as in the text, if none is given.
        device
            Of the tensors.

        Yields
        ------
        Batch
            As :meth:`sample` returns them.
        """
        checks.positive_int("size", size)
        starts = np.arange(0, len(self) - self.horizon, self.horizon)
        if seed is not None:
            starts = drawn_by(seed).permutation(starts)
        for some in torch.from_numpy(starts).split(size):
            yield self._pieces(some, device)

    def _pieces(self, starts: Tensor, device: torch.device | str) -> Batch:
        pieces = moved(self.tokens[starts[:, None] + torch.arange(self.horizon + 1)], device)
        return Batch(pieces[:, :-1], pieces[:, 1:])
