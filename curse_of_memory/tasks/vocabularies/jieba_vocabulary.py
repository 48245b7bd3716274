"""The vocabulary of T5-PEGASUS: words of Chinese, characters and pieces of others."""

from collections.abc import Sequence
from pathlib import Path

from curse_of_memory.tasks.archives import text_of
from curse_of_memory.tasks.vocabularies.vocabulary import UNKNOWN_SIGN, Vocabulary, check_marks, checked_text
from curse_of_memory.tasks.vocabularies.word_cutting import JiebaThenBert, is_chinese
from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require
from curse_of_memory.tools.files import whole_file

__all__ = ["JiebaVocabulary"]

FILE = "vocab.txt"
CONTINUED = "##"  # before a piece that goes on with a word
LONGEST = 200  # characters of a word, in the code that T5-PEGASUS was trained with; a longer one is unknown


class JiebaVocabulary(Vocabulary):
    r"""The words of a folder's ``vocab.txt``, into which jieba cuts texts; the rest goes by BERT's rule.

    Texts are normalised as by BERT, that is, without control characters, in lower case and without accents;
    jieba cuts them, its hidden Markov model off; a word of the vocabulary is one token, any other is cut into
    characters and pieces. So does the code that T5-PEGASUS was trained with, in which a decoder starts with
    ``[CLS]`` and ends with ``[SEP]``, whatever the config of a port to PyTorch says. The tokenizer of
    transformers for such a folder, ``BertTokenizer``, knows nothing of jieba.

    Parameters
    ----------
    folder : str or Path
        Has ``vocab.txt``: a token a line, in the order of their numbers, in UTF-8. Of a token that is there
        twice the last line counts, as for BERT.
    pad, start, end, unknown : str
        What the marks are called in it. They are no words of a text, even if a text spells them. A start mark
        that is another one than `pad` stands before a source, too.
    lower : bool
        Whether texts are read in lower case and without accents.

    Attributes
    ----------
    words : tuple of str
        All tokens in the order of their numbers.

    Raises
    ------
    ValueError, TypeError
        For a bad argument, marks that are alike or are not in the vocabulary, or what is no text in UTF-8.
    FileNotFoundError
        If there is no such folder or no ``vocab.txt`` in it.
    ModuleNotFoundError
        If ``tokenizers``, which comes with transformers, or jieba is not installed; says which extra has it.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "模型", "记", "忆", "t", "##5"]
    >>> _ = (folder / "vocab.txt").write_text("\n".join(tokens), encoding="utf-8")
    >>> vocabulary = JiebaVocabulary(folder)
    >>> [vocabulary.words[n] for n in vocabulary.encode("T5模型的记忆")]
    ['t', '##5', '模型', '[UNK]', '记', '忆']
    >>> vocabulary.source("模型"), vocabulary.target("模型")
    ([2, 4, 3], [4, 3])
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        pad: str = "[PAD]",
        start: str = "[CLS]",
        end: str = "[SEP]",
        unknown: str = "[UNK]",
        lower: bool = True,
    ):
        self.words, place = _read(folder)
        self._lower = checks.flag("lower", lower)
        self._number = {word: number for number, word in enumerate(self.words)}
        marks = {"pad": pad, "start": start, "end": end, "unknown": unknown}
        for name, mark in marks.items():
            if not isinstance(mark, str) or mark not in self._number:
                raise ValueError(f"{name} must be a token of {place}, which has no {checks.shown(mark)}")
        check_marks(pad, start, end, unknown)
        self.pad, self.start, self.end, self.unknown = (self._number[mark] for mark in marks.values())
        self.opened = self.start != self.pad
        self._build()

    def _build(self) -> None:
        """Make the tokenizer, which cannot be written to a file with a pre-tokenizer of one's own."""
        require("models", "tokenizers")
        require("chinese", "jieba")
        from tokenizers import Tokenizer
        from tokenizers.models import WordPiece
        from tokenizers.normalizers import BertNormalizer
        from tokenizers.pre_tokenizers import PreTokenizer

        unknown = self.words[self.unknown]
        self._tokenizer = Tokenizer(
            WordPiece(self._number, unk_token=unknown, max_input_chars_per_word=LONGEST)
        )
        self._tokenizer.normalizer = BertNormalizer(handle_chinese_chars=False, lowercase=self._lower)
        self._tokenizer.pre_tokenizer = PreTokenizer.custom(JiebaThenBert(self._number.keys()))

    def __getstate__(self) -> dict:
        return {name: value for name, value in vars(self).items() if name != "_tokenizer"}

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._build()

    def __len__(self) -> int:
        return len(self.words)

    def __repr__(self) -> str:
        return f"JiebaVocabulary(numbers={len(self)})"

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a `text`, without marks."""
        return self._tokenizer.encode(checked_text(text), add_special_tokens=False).ids

    def save(self, folder: str | Path) -> None:
        """Write ``vocab.txt`` into a `folder`, which is made if need be, for :class:`JiebaVocabulary`."""
        if not isinstance(folder, str | Path):
            raise TypeError(f"folder must name a folder, got {checks.shown(folder)}")
        with whole_file(Path(folder) / FILE) as draft:
            draft.write_text("".join(f"{word}\n" for word in self.words), encoding="utf-8", newline="\n")

    def _said(self, numbers: Sequence[int]) -> str:
        """Return tokens one after the other, with a blank where two words would grow together."""
        said = ""
        for number in numbers:
            known = number < len(self.words) and number != self.unknown
            token = self.words[number] if known else UNKNOWN_SIGN
            if token.startswith(CONTINUED) and token != CONTINUED:
                said += token.removeprefix(CONTINUED)
            else:
                said += f" {token}" if said and _grows(said[-1]) and _grows(token[:1]) else token
        return said


def _grows(character: str) -> bool:
    """Return whether a character would grow together with another such one: letters that are not Chinese."""
    return character.isalnum() and not is_chinese(character)


def _read(folder: str | Path) -> tuple[tuple[str, ...], Path]:
    """Return the tokens of a folder's vocabulary, and where they stand."""
    if not isinstance(folder, str | Path):
        raise TypeError(f"folder must name a folder, got {checks.shown(folder)}")
    place = Path(folder).expanduser() / FILE
    if not place.is_file():
        raise FileNotFoundError(
            f"folder must have the file {FILE!r} in it, and {checks.shown(str(folder))} has none"
        )
    text = text_of(place.read_bytes(), str(place)).removeprefix("\ufeff")
    words = [line.removesuffix("\r") for line in text.split("\n")]
    if not words[-1]:
        words.pop()
    return tuple(words), place
