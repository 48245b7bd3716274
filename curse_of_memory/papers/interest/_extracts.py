"""Titles that are cut out of their abstracts: what a summary has to be better than, and what it can reach."""

from collections.abc import Sequence

import pandas as pd

from curse_of_memory.measure.rouge_scores import REPEATS, longest_common, rouge
from curse_of_memory.tools import checks

__all__ = ["LEADS", "WINDOW", "best_window", "extracts", "lead_name", "means"]

LEADS = (15, 20, 30, 40)  # characters from the start of an abstract
WINDOW = 20  # of the best window
EVERY = 2  # characters from one window to the next
SEARCHED = 200  # pairs whose best window is looked for
WINDOW_NAME = f"best window of {WINDOW} characters"


def lead_name(length: int) -> str:
    """Return what the first characters of an abstract are called in a table."""
    return f"first {length} characters"


def best_window(text: str, title: str, length: int = WINDOW, every: int = EVERY) -> str:
    """Return the window of a text whose ROUGE-L with a title is largest, the first of such.

    Parameters
    ----------
    text, title : str
        Compared in lower case and without spaces, as ROUGE is.
    length, every : int
        Characters of the window, and from one start to the next; a shorter text is the window.

    Examples
    --------
    >>> best_window("a study of memory in networks", "memory", 6, every=1)
    'memory'
    """
    checks.positive_int("length", length)
    text, title = ("".join(some.lower().split()) for some in (text, title))
    starts = range(0, max(1, len(text) - length + 1), checks.positive_int("every", every))
    # of windows of one length the F1 grows with what they share
    return max((text[k : k + length] for k in starts), key=lambda window: longest_common(window, title))


def means(summaries: Sequence[str], titles: Sequence[str]) -> pd.DataFrame:
    """Return mean ROUGE times 100, one row for each way to count: ``repeats, rouge_1, rouge_2, rouge_l``."""
    rows = [{"repeats": way, **(100 * rouge(summaries, titles, repeats=way).mean())} for way in REPEATS]
    return pd.DataFrame(rows)


def extracts(abstracts: Sequence[str], titles: Sequence[str]) -> pd.DataFrame:
    """Return ROUGE of the first characters of abstracts, and of the best windows, which know the title.

    Columns are ``name, titles`` and those of :func:`means`.
    """
    some = range(min(SEARCHED, len(titles)))
    windows = [best_window(abstracts[k], titles[k]) for k in some]
    tables = [
        means([text[:length] for text in abstracts], titles).assign(
            name=lead_name(length), titles=len(titles)
        )
        for length in LEADS
    ]
    found = means(windows, titles[: len(windows)])
    tables.append(found.assign(name=WINDOW_NAME, titles=len(windows)))
    return pd.concat(tables, ignore_index=True)
