"""Characters as tokens, those of training texts by how often they occur."""

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import count, islice

from curse_of_memory.tasks.vocabularies.vocabulary import UNKNOWN_SIGN, Vocabulary, check_marks, checked_text
from curse_of_memory.tools import checks

__all__ = ["CharacterVocabulary"]


class CharacterVocabulary(Vocabulary):
    """The characters of training texts, the most frequent first, numbered beside the marks of a model.

    Parameters
    ----------
    texts : iterable of str
        Training texts: abstracts and titles.
    size : int, optional
        So many characters at most are told apart; all unless given.
    least : int
        How often a character must occur in the texts to be told apart.
    pad, end, unknown : int
        Numbers of these marks in the config of the model; as of T5 unless given. Characters have the others,
        in order, the first to appear counting as the more frequent of two.
    start : int, optional
        Number of the mark that a decoder reads first; that of `pad` unless given, as for T5.

    Attributes
    ----------
    characters : tuple of str
        Those that are told apart, by their frequency.
    counts : dict of str to int
        How often each character of the texts occurs, whether it is told apart or not; by frequency.
    rare : int
        How many different characters of the texts are not told apart.

    Raises
    ------
    ValueError, TypeError
        For what are no texts, texts without characters, bad numbers, or marks that are alike: `end` must not
        be `pad`, and `unknown` none of the others.

    Examples
    --------
    >>> vocabulary = CharacterVocabulary(["abacab", "ab"], least=2)
    >>> vocabulary.characters, vocabulary.rare, len(vocabulary)  # c occurs once; there are three marks
    (('a', 'b'), 1, 5)
    >>> vocabulary.target("bac"), vocabulary.decode([0, 4, 3, 2, 1, 0])
    ([4, 3, 2, 1], 'ba�')
    """

    opened = False

    def __init__(
        self,
        texts: Iterable[str],
        *,
        size: int | None = None,
        least: int = 1,
        pad: int = 0,
        end: int = 1,
        unknown: int = 2,
        start: int | None = None,
    ):
        if size is not None:
            checks.positive_int("size", size)
        checks.positive_int("least", least)
        self.pad, self.end = checks.whole_number("pad", pad, 0), checks.whole_number("end", end, 0)
        self.unknown = checks.whole_number("unknown", unknown, 0)
        self.start = self.pad if start is None else checks.whole_number("start", start, 0)
        check_marks(self.pad, self.start, self.end, self.unknown)
        counted = Counter("".join(checks.texts("texts", texts)))
        if not counted:
            raise ValueError("texts must have characters, got none")
        self.counts: dict[str, int] = dict(counted.most_common())
        often = [character for character, times in self.counts.items() if times >= least]
        self.characters = tuple(often[:size])
        self.rare = len(self.counts) - len(self.characters)
        marks = {self.pad, self.end, self.unknown, self.start}
        numbers = list(islice((n for n in count() if n not in marks), len(self.characters)))
        self._number = dict(zip(self.characters, numbers, strict=True))
        self._character = dict(zip(numbers, self.characters, strict=True))
        self._size = 1 + max(*marks, *numbers)

    def __len__(self) -> int:
        return self._size

    def __repr__(self) -> str:
        return (
            f"CharacterVocabulary(characters={len(self.characters)}, rare={self.rare}, numbers={len(self)})"
        )

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the characters of a `text`, without marks."""
        return [self._number.get(character, self.unknown) for character in checked_text(text)]

    def _said(self, numbers: Sequence[int]) -> str:
        return "".join(self._character.get(number, UNKNOWN_SIGN) for number in numbers)
