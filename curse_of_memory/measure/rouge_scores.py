"""ROUGE on characters: how much of a summary is in a reference, and of the reference in the summary.

Equation.   With c the number of n-grams that a summary and its reference share, P = c / (n-grams of the
            summary) and R = c / (n-grams of the reference),

                F1 = 2 P R / (P + R),        0 where nothing is shared.

            ROUGE-L has the length of the longest common subsequence in the place of c, and characters in that
            of n-grams.

Counting.   An n-gram that is repeated counts as often as it occurs, and is shared as often as it occurs in
            both: so do ``rouge-score`` and ``rouge`` 1.0.0. Or it counts once, in either text and in c: so do
            ``rouge-chinese`` and the other versions of ``rouge``. The published tables of T5-PEGASUS are by
            ``rouge``, of which version they do not say. Its ROUGE-L, from 1.0.0 on, is another one: of the
            different characters of a longest common subsequence, over the different ones of either text.

Source.     Lin (2004), ROUGE: a package for automatic evaluation of summaries.
"""

from collections import Counter
from collections.abc import Iterable

import pandas as pd

from curse_of_memory.tools import checks

__all__ = ["REPEATS", "longest_common", "rouge"]

REPEATS = ("all", "once")
"""Ways to count n-grams that are repeated."""


def rouge(summaries: Iterable[str], references: Iterable[str], *, repeats: str = "all") -> pd.DataFrame:
    """Return ROUGE-1, ROUGE-2 and ROUGE-L of each summary, as F1 of characters.

    Texts are lower-cased, and spaces of any kind are left out. An empty summary, or one that shares nothing,
    has 0; a text of one character has no pair, and ROUGE-2 of 0. This is for Chinese: texts in English, which
    share most of their letters, get high numbers, and are compared word by word elsewhere, as by
    ``rouge-score``.

    Parameters
    ----------
    summaries, references : iterable of str
        As many of both, in the same order.
    repeats : {'all', 'once'}
        Whether an n-gram counts as often as it occurs, or once.

    Returns
    -------
    pandas.DataFrame
        One row a pair, with columns ``rouge_1, rouge_2, rouge_l`` in [0, 1]; tables have means, times 100.

    Raises
    ------
    ValueError
        For other numbers of both, none, an empty reference, or an unknown way to count.
    TypeError
        For a text in the place of several, or what is no text.

    Examples
    --------
    >>> rouge(["abab"], ["ab c"]).round(4).values.tolist()  # two of four and three; ab of three pairs and two
    [[0.5714, 0.4, 0.5714]]
    >>> rouge(["abab"], ["ab c"], repeats="once").round(4).values.tolist()
    [[0.8, 0.5, 0.5714]]
    """
    checks.one_of("repeats", repeats, REPEATS)
    own, others = _texts("summaries", summaries), _texts("references", references)
    if len(own) != len(others) or not others:
        raise ValueError(
            "summaries and references must be as many of both, at least one, "
            f"got {len(own)} and {len(others)}"
        )
    rows = []
    for place, (summary, reference) in enumerate(zip(own, others, strict=True)):
        if not reference:
            raise ValueError(f"references must not be empty, and number {place} is")
        shared = [_shared(summary, reference, n, repeats) for n in (1, 2)]
        shared.append((longest_common(summary, reference), len(summary), len(reference)))
        rows.append([2 * both / max(1, a + b) for both, a, b in shared])  # 2 P R / (P + R)
    return pd.DataFrame(rows, columns=["rouge_1", "rouge_2", "rouge_l"])


def _texts(name: str, texts: Iterable[str]) -> list[str]:
    """Return texts without spaces, in lower case."""
    return ["".join(text.lower().split()) for text in checks.texts(name, texts)]


def _shared(summary: str, reference: str, n: int, repeats: str) -> tuple[int, int, int]:
    """Return how many n-grams are in both, in the summary and in the reference."""
    own, other = (Counter(text[k : k + n] for k in range(len(text) - n + 1)) for text in (summary, reference))
    if repeats == "once":
        return len(own.keys() & other.keys()), len(own), len(other)
    return (own & other).total(), own.total(), other.total()


def longest_common(a: str, b: str) -> int:
    """Return the length of the longest subsequence of two texts.

    By bits (Hyyrö, 2004): after each character of `b` the zeros of a number of len(a) bits are the places of
    `a` at which the longest common subsequence with what was read of `b` grows by one.

    Examples
    --------
    >>> longest_common("abcbdab", "bdcaba")
    4
    """
    places: dict[str, int] = {}
    for place, character in enumerate(a):
        places[character] = places.get(character, 0) | 1 << place
    mask = rows = (1 << len(a)) - 1
    for character in b:
        hit = rows & places.get(character, 0)
        rows = (rows + hit | rows - hit) & mask
    return len(a) - rows.bit_count()
