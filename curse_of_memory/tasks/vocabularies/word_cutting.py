"""Words of Chinese texts: jieba cuts them, and what is no word of a vocabulary is cut on by BERT's rule.

Source.     The tokenizer of T5-PEGASUS (ZhuiyiTechnology): jieba without its hidden Markov model; a word of
            the vocabulary is one token, any other is tokenized as BERT does: Chinese characters and
            punctuation are words of their own, blanks separate, and the rest is cut into the longest pieces
            there are.
"""

import threading
import unicodedata
import warnings
from collections.abc import Collection, Iterator
from functools import cache
from itertools import groupby

from curse_of_memory.tools.extras import require

__all__ = ["JiebaThenBert", "bert_words", "jieba_words"]

# blocks of Chinese characters, as BERT has them
CHINESE = (
    *((0x4E00, 0x9FFF), (0x3400, 0x4DBF), (0x20000, 0x2A6DF), (0x2A700, 0x2B73F), (0x2B740, 0x2B81F)),
    *((0x2B820, 0x2CEAF), (0xF900, 0xFAFF), (0x2F800, 0x2FA1F)),
)
SIGNS = ((33, 47), (58, 64), (91, 96), (123, 126))  # of ASCII, those that Unicode does not call so among them

_LOADING = threading.Lock()


def jieba_words(text: str) -> list[str]:
    """Return the words into which jieba cuts a `text`, its hidden Markov model off; nothing of it is lost.

    Its dictionary, which takes a second to read, is read once in a process. jieba's own state is not used:
    words that others have added to it change nothing here. It leaves no cache file, and says nothing.

    Parameters
    ----------
    text : str
        Any text.

    Raises
    ------
    ModuleNotFoundError
        If jieba is not installed; says which extra has it.
    """
    with _LOADING:
        cutter = _cutter()
    return cutter.lcut(text, HMM=False)


@cache
def _cutter():
    require("chinese", "jieba")
    with warnings.catch_warnings():  # it is written for older versions of Python, which tell it so
        warnings.simplefilter("ignore")
        import jieba

        cutter = jieba.Tokenizer()
        # what its initialize() does, but for a file in the temporary folder that everybody shares
        cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
        cutter.initialized = True
    return cutter


def is_chinese(character: str) -> bool:
    """Return whether BERT takes a character for a Chinese one."""
    return any(first <= ord(character) <= last for first, last in CHINESE)


def is_sign(character: str) -> bool:
    """Return whether BERT takes a character for punctuation."""
    return unicodedata.category(character)[0] == "P" or any(a <= ord(character) <= b for a, b in SIGNS)


def bert_words(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the words of a `text` begin and end by BERT's rule, before they are cut into pieces.

    Parameters
    ----------
    text : str
        Any text.

    Examples
    --------
    >>> text = "记忆 of T5."
    >>> [text[a:b] for a, b in bert_words(text)]
    ['记', '忆', 'of', 'T5', '.']
    """

    def part(place: int) -> int:
        if text[place].isspace():
            return -2
        return place if is_chinese(text[place]) or is_sign(text[place]) else -1

    for what, places in groupby(range(len(text)), part):
        if what != -2:
            first, *others = places
            yield first, (others or [first])[-1] + 1


class JiebaThenBert:
    """A pre-tokenizer of the library ``tokenizers``: words of a vocabulary whole, all else by BERT's rule.

    Parameters
    ----------
    known : collection of str
        Words of the vocabulary.
    """

    def __init__(self, known: Collection[str]):
        self.known = known

    def pre_tokenize(self, text) -> None:
        """Cut a ``tokenizers.PreTokenizedString`` in place."""
        text.split(lambda _, piece: [piece[a:b] for a, b in self.cut(str(piece))])

    def cut(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where the words of a `text` begin and end."""
        place = 0
        for word in jieba_words(text):
            end = place + len(word)
            if word in self.known:
                yield place, end
            else:
                yield from ((place + a, place + b) for a, b in bert_words(word))
            place = end
