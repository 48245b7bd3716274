"""The vocabulary that a folder of a model brings with it: mT5's pieces, or the words of T5-PEGASUS."""

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path

from curse_of_memory.tasks.archives import text_of
from curse_of_memory.tasks.vocabularies.jieba_vocabulary import FILE, JiebaVocabulary
from curse_of_memory.tasks.vocabularies.vocabulary import UNKNOWN_SIGN, Vocabulary, check_marks, checked_text
from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require

__all__ = ["FolderVocabulary", "load_vocabulary"]


def load_vocabulary(folder: str | Path) -> Vocabulary:
    """Return the vocabulary of a local folder of a model: of T5-PEGASUS where it has ``vocab.txt``.

    Parameters
    ----------
    folder : str or Path
        As for :class:`JiebaVocabulary`, if it has ``vocab.txt``, or else for :class:`FolderVocabulary`.
    """
    if isinstance(folder, str | Path) and (Path(folder).expanduser() / FILE).is_file():
        return JiebaVocabulary(folder)
    return FolderVocabulary(folder)


class FolderVocabulary(Vocabulary):
    """The tokens of a folder's own tokenizer, as transformers reads it, such as mT5's.

    Texts end with the end mark, and have no other mark: one that they spell is left out. Nothing is looked
    for on a hub.

    Parameters
    ----------
    folder : str or Path
        With ``tokenizer.json``, or other files of a tokenizer.
    start : int, optional
        Number of the mark that a decoder reads first. Unless given, what ``config.json`` of the folder has as
        ``decoder_start_token_id``, or else that of the padding, as for T5 and mT5.

    Raises
    ------
    ValueError, TypeError
        If transformers can read no tokenizer there, or this misses a mark, or has two that are alike.
    FileNotFoundError
        If there is no such folder.
    ModuleNotFoundError
        If transformers is not installed; says which extra has it.
    """

    opened = False

    def __init__(self, folder: str | Path, *, start: int | None = None):
        if not isinstance(folder, str | Path):
            raise TypeError(f"folder must name a folder, got {checks.shown(folder)}")
        if start is not None:
            checks.whole_number("start", start, least=0)
        require("models", "transformers")
        from transformers.models.auto.tokenization_auto import AutoTokenizer

        place = Path(folder).expanduser()
        if not place.is_dir():
            raise FileNotFoundError(f"folder must name a folder, got {checks.shown(str(folder))}")
        try:
            # or it asks in the terminal whether to run code that lies in the folder
            self._tokenizer = AutoTokenizer.from_pretrained(
                place, local_files_only=True, trust_remote_code=False
            )
        except Exception as error:  # of any kind: tokenizers has none of its own
            reason = checks.first_line(error)
            if any(place.glob("*.model")) and not (place / "tokenizer.json").is_file():
                reason += "; files of sentencepiece are read by the packages sentencepiece and protobuf"
            raise ValueError(
                f"folder must have a tokenizer, and {place} has none to read: {reason}"
            ) from None
        files = self._tokenizer.vocab_files_names.values()
        if files and not any((place / file).is_file() for file in ("tokenizer.json", *files)):
            # of which transformers makes a tokenizer that knows nothing
            raise ValueError(
                f"folder must have a tokenizer, and {place} has none of {', '.join(sorted(set(files)))}"
            )
        marks = {name: getattr(self._tokenizer, f"{name}_token_id") for name in ("pad", "eos", "unk")}
        for name, mark in marks.items():
            if mark is None:
                raise ValueError(f"folder must have a tokenizer with {name}_token, and {place} has none")
        self.pad, self.end, self.unknown = marks.values()
        start = _start_of(place) if start is None else start
        self.start = self.pad if start is None else start
        check_marks(self.pad, self.start, self.end, self.unknown, where=f" in the tokenizer of {place}")

    def __len__(self) -> int:
        return len(self._tokenizer)

    def __repr__(self) -> str:
        return f"FolderVocabulary(numbers={len(self)})"

    def encode(self, text: str) -> list[int]:
        """Return the numbers of the tokens of a `text`, without marks."""
        numbers = self._tokenizer.encode(checked_text(text), add_special_tokens=False)
        return [number for number in numbers if number not in self.marks]

    def _said(self, numbers: Sequence[int]) -> str:
        return "".join(self._pieces(numbers))

    def _pieces(self, numbers: Sequence[int]) -> Iterator[str]:
        for known, some in groupby(numbers, lambda number: number < len(self) and number != self.unknown):
            tokens = list(some)
            yield str(self._tokenizer.decode(tokens)) if known else UNKNOWN_SIGN * len(tokens)


def _start_of(folder: Path) -> int | None:
    """Return the number of the start mark that the configuration of a model has, if it has one."""
    place = folder / "config.json"
    if not place.is_file():
        return None
    config = json.loads(text_of(place.read_bytes(), str(place)))  # which transformers has read
    start = config.get("decoder_start_token_id")
    return start if isinstance(start, int) else None
