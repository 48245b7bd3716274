"""Texts of characters, of which each next one is predicted: enwik8, and a book of PG-19.

Texts.      enwik8 is the first 10⁸ bytes of an English Wikipedia of 2006; its public split is 90 : 5 : 5.
            What is read is the whole file where somebody has it, else its first four million bytes, split
            alike. PG-19 are books of Project Gutenberg; read is number 10146, the first one of its test part,
            without what Gutenberg has put before and after it, and split alike.

Characters. Bytes, numbered by how often the training part has them; those that it has not are one more.
"""

import functools
import hashlib
import re

import numpy as np
import torch

from curse_of_memory.tasks import grammar
from curse_of_memory.tasks.archives import text_of, unpacked, zipped
from curse_of_memory.tasks.data_files import FILES, fetch, fetch_form
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tools import checks

__all__ = ["ENWIK8", "PG19", "TEXTS", "Characters", "without_licence"]

SHARES = {"train": (0, 90), "validation": (90, 95), "test": (95, 100)}  # in per cent of the bytes
START = re.compile(r"^\*\*\* ?START OF TH[^*]*\*\*\*\s*$", re.M)
END = re.compile(r"^\*\*\* ?END OF TH", re.M)
MADE_LINES = 12_000  # of the stand-ins


def without_licence(text: str, name: str = "the text") -> str:
    r"""Return a book of Project Gutenberg without what stands before its start mark and after its end mark.

    Parameters
    ----------
    text : str
        With any line breaks.
    name : str
        What it is called in error messages.

    Returns
    -------
    str
        With line breaks ``\n``, and without blanks at both ends.

    Raises
    ------
    ValueError, TypeError
        If it has not both marks, in this order, or is no text.

    Examples
    --------
    >>> without_licence("by\n*** START OF THE EBOOK A ***\n\nOnce.\n\n*** END OF THE EBOOK A ***\nof")
    'Once.'
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a text, got {checks.shown(text)}")
    lines = text.replace("\r\n", "\n").replace("\r", "\n")
    start, end = START.search(lines), END.search(lines)
    if start is None or end is None or end.start() < start.end():
        raise ValueError(
            f"{name} must have the start mark and the end mark of Project Gutenberg, in this order"
        )
    return lines[start.end() : end.start()].strip()


def _part(content: bytes, split: str) -> bytes:
    """Return the bytes of a part."""
    first, end = (len(content) * share // 100 for share in SHARES[split])
    return content[first:end]


def _enwik8(split: str) -> bytes:
    ((name, path),) = fetch_form("enwik8").items()
    if name.endswith(".zip"):  # of which no checksum is published, but of what is in it
        content = zipped(path, "enwik8")
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != FILES["enwik8"]["enwik8"].checksum:
            raise ValueError(f"{path} must hold the published enwik8, and holds another file of that name")
        return _part(content, split)
    return _part(unpacked(path) if name.endswith(".gz") else path.read_bytes(), split)


def _pg19(split: str) -> bytes:
    path = fetch(FILES["pg19"]["10146.txt"])
    return _part(without_licence(text_of(path.read_bytes(), str(path)), str(path)).encode(), split)


@functools.cache
def _sentences() -> bytes:
    """Return the whole stand-in; all parts of a text are asked for."""
    words = np.array(grammar.WORDS)[grammar.lines(MADE_LINES, seed=0)].tolist()
    return " ".join(words).removesuffix(" <eos>").replace(" <eos> ", "\n").encode()


def _made(split: str) -> bytes:
    return _part(_sentences(), split)


ENWIK8: DataSet[bytes] = DataSet("enwik8", "enwik8", "sentences of a grammar", _enwik8, _made)
"""The first bytes of Wikipedia, and what stands in for them."""

PG19: DataSet[bytes] = DataSet("pg19", "a book of PG-19", "sentences of a grammar", _pg19, _made)
"""A book, and what stands in for it."""

TEXTS = {"enwik8": ENWIK8, "pg19": PG19}
"""The texts by name."""


class Characters:
    """A part of a text as one long stream of numbered characters.

    Parameters
    ----------
    text : {'enwik8', 'pg19'}
        Which text.
    split : {'train', 'validation', 'test'}
        The first 90 % of its bytes, the next 5 %, or the last 5 %.
    size : int, optional
        So many characters from the start of the part; all unless given, or where it has fewer.
    data : {'real', 'stand-in', 'auto'}
        The published text; sentences of :mod:`curse_of_memory.tasks.grammar`; or the first where it can be
        had and else the second.

    Attributes
    ----------
    tokens : Tensor of shape ``(size,)``
        The characters, int64, each a number below `vocabulary`.
    vocabulary : int
        How many there are: the bytes of the whole training part, and one for all others.
    whole : bool
        Whether the text was read as published, and not its first bytes only.
    stand_in : str
        What stands in for what; empty for the real text.

    Raises
    ------
    ValueError, TypeError
        For an unknown text or split, a bad number, a file with a wrong checksum, or a book without its marks.
    FileNotFoundError
        If the file is neither on this machine nor can be downloaded; says where it was looked for.

    Examples
    --------
    >>> text = Characters("enwik8", "validation", size=500, data="stand-in")
    >>> text.tokens.shape, text.vocabulary < 60
    (torch.Size([500]), True)
    >>> text.said(text.encode("the man"))
    'the man'
    """

    def __init__(
        self, text: str = "enwik8", split: str = "train", *, size: int | None = None, data: str = "real"
    ):
        self.text = checks.one_of("text", text, TEXTS)
        self.split = checks.one_of("split", split, SHARES)
        source = TEXTS[text].source(data)
        self.stand_in = TEXTS[text].note(source)
        training = np.frombuffer(TEXTS[text].content("train", source), np.uint8)
        counts = np.bincount(training, minlength=256)
        order = np.lexsort((np.arange(256), -counts))  # of two as frequent, the smaller byte is first
        self.bytes = order[: int((counts > 0).sum())].astype(np.uint8)
        self.vocabulary = len(self.bytes) + 1
        self._number = np.full(256, self.vocabulary - 1)
        self._number[self.bytes] = np.arange(len(self.bytes))
        content = training
        if split != "train":
            content = np.frombuffer(TEXTS[text].content(split, source), np.uint8)
        if size is not None:
            content = content[: checks.positive_int("size", size)]
        if not content.size:
            raise ValueError(f"the {split} part of {text} must have characters, and has none")
        self.tokens = torch.from_numpy(self._number[content])
        self.whole = bool(self.stand_in == "" and (text == "pg19" or len(training) == 90_000_000))

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        return (
            f"Characters({self.text!r}, {self.split!r}, characters={len(self)}, vocabulary={self.vocabulary}"
            f"{', stand-in' if self.stand_in else ''})"
        )

    def encode(self, text: str) -> torch.Tensor:
        """Return the numbers of the bytes of a `text`, ``(bytes,)``."""
        if not isinstance(text, str):
            raise TypeError(f"text must be a text, got {checks.shown(text)}")
        try:
            content = text.encode()
        except UnicodeEncodeError as error:  # a half of a pair
            raise ValueError(f"text must be one that UTF-8 can write, got {checks.shown(text)}") from error
        return torch.from_numpy(self._number[np.frombuffer(content, np.uint8)])

    def said(self, tokens: torch.Tensor) -> str:
        """Return the text of numbered characters; what the training part has not is shown as ``?``."""
        numbers = np.asarray(tokens)
        if numbers.dtype.kind not in "iu" and numbers.size:
            raise TypeError(f"tokens must be whole numbers, got {checks.shown(tokens)}")
        if numbers.size and not 0 <= numbers.min() <= numbers.max() < self.vocabulary:
            raise ValueError(
                f"tokens must be from 0 to {self.vocabulary - 1}, got {numbers.min()} to {numbers.max()}"
            )
        known = np.append(self.bytes, np.uint8(ord("?")))
        return known[numbers.astype(np.int64)].tobytes().decode("utf-8", errors="replace")
