"""What vocabularies have in common: marks, sources and targets with them, and texts of what a model says."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from numbers import Integral

from torch import Tensor

from curse_of_memory.tools import checks

__all__ = ["UNKNOWN_SIGN", "Vocabulary", "check_marks", "checked_text", "cut"]

UNKNOWN_SIGN = "\ufffd"
"""What stands in texts for tokens that are none of a vocabulary; no text to compare it with has it."""


class Vocabulary(ABC):
    """Numbers of tokens, and the marks by which a model knows where a text starts and ends.

    One of one's own has to say how many numbers there are, ``encode`` and ``_said``, and to set the marks.

    Attributes
    ----------
    pad : int
        What fills up texts of differing lengths.
    start : int
        What a decoder reads first.
    end : int
        What follows the last token of a text.
    unknown : int
        What stands for tokens that are none of the vocabulary.
    opened : bool
        Whether a source has the start mark, too, as for BERT; else the end mark alone, as for T5.
    """

    pad: int
    start: int
    end: int
    unknown: int
    opened: bool

    @abstractmethod
    def __len__(self) -> int:
        """Return how many numbers there are, marks among them."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a `text`, without marks."""

    @abstractmethod
    def _said(self, numbers: Sequence[int]) -> str:
        """Return the text of numbers, none of which is a mark but the unknown one."""

    @property
    def marks(self) -> tuple[int, int, int]:
        """The numbers of pad, end and start, as :class:`curse_of_memory.nn.encoder_decoder.Marks`."""
        return self.pad, self.end, self.start

    def source(self, text: str, length: int | None = None) -> list[int]:
        """Return a `text` as an encoder reads it, with marks.

        Parameters
        ----------
        text : str
            Which one.
        length : int, optional
            So many tokens at most, marks among them; the end mark is always the last one.
        """
        return cut([*([self.start] if self.opened else []), *self.encode(text), self.end], length)

    def target(self, text: str, length: int | None = None) -> list[int]:
        """Return a `text` as a decoder should say it, with the end mark.

        Parameters
        ----------
        text, length
            As for :meth:`source`.
        """
        return cut([*self.encode(text), self.end], length)

    def decode(self, numbers: Iterable[int] | Tensor) -> str:
        """Return the text of what a model says, or of a row of labels.

        That is all before the first end mark; a start mark at the beginning, pads, and negative numbers,
        which are labels that do not count, are left out.

        Parameters
        ----------
        numbers : iterable of int, or Tensor of shape ``(time,)``
            One row. What is unknown, or above all numbers of the vocabulary, is shown as U+FFFD.
        """
        row = _row(numbers)
        if row and row[0] == self.start:
            row = row[1:]
        if self.end in row:
            row = row[: row.index(self.end)]
        return self._said([number for number in row if number >= 0 and number not in (self.pad, self.start)])

    def unknown_in(self, texts: Iterable[str]) -> int:
        """Return how many tokens of some `texts` are unknown."""
        return sum(self.encode(text).count(self.unknown) for text in checks.texts("texts", texts))


def cut(row: list[int], length: int | None) -> list[int]:
    """Return at most `length` tokens of a text with its end mark, of which this is always the last one."""
    if length is None or len(row) <= checks.whole_number("length", length, least=2):
        return row
    return [*row[: length - 1], row[-1]]


def check_marks(pad: object, start: object, end: object, unknown: object, *, where: str = "") -> None:
    """Refuse marks that are alike, but for a start that is `pad` or `end`; say `where` they are from."""
    if end == pad:
        raise ValueError(f"end must be another mark than pad{where}, got {end!r} twice")
    if unknown in (pad, start, end):
        raise ValueError(f"unknown must be a mark of its own{where}, got {unknown!r} twice")


def checked_text(text: str) -> str:
    """Return a text if it is one that can be written, that is, without halves of letters."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a text, got {checks.shown(text)}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise ValueError(f"text must be in Unicode, got {half!r} in it, half of a letter") from None
    return text


def _row(numbers: Iterable[int] | Tensor) -> list[int]:
    if isinstance(numbers, str) or not isinstance(numbers, Iterable | Tensor):
        raise TypeError(f"numbers must be whole numbers, got {checks.shown(numbers)}")
    row = numbers.tolist() if isinstance(numbers, Tensor) else list(numbers)
    if not isinstance(row, list) or not all(isinstance(one, Integral) for one in row):
        raise TypeError("numbers must be one row of whole numbers, got rows or other things")
    return [int(one) for one in row]
