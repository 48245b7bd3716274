"""Audit of ROUGE as summaries in Chinese are scored: repeated n-grams count each time, or once."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.measure.rouge_scores import rouge
from curse_of_memory.papers.audit._table import Headings, Row, both_ways, printed
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import curve, rows
from curse_of_memory.tasks import Summaries
from curse_of_memory.tools import checks

__all__ = ["data", "plot"]

HEADINGS = Headings(
    "rouge-score, on characters",
    "rouge 1.0.1, rouge-chinese",
    "every occurrence",
    "each n-gram once",
)
WAYS = {"all": HEADINGS.as_paper, "once": HEADINGS.as_code}
SCORES = {"rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L"}
SEEN = re.compile(r"[a-z0-9]")  # what the tokenizer of rouge-score leaves of a text in lower case


@figure_data(
    title="Audit: how ROUGE counts",
    source="rouge-score, rouge, rouge-chinese; tables of T5-PEGASUS are by the second, its version unnamed",
)
def data(
    *,
    length: int = 20,
    lengths: Sequence[int] = (5, 10, 15, 20, 25, 30, 40, 50, 60),
    pairs: int = 1000,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Score the first characters of abstracts as titles, by both ways of counting.

    The table of disagreements is of the first `length` characters, the curves of all `lengths`. Columns:
    ``panel, curve, kind, x, y``; a panel is a score, a curve a way of counting. Nothing is drawn at random,
    and all is computed on the CPU.
    """
    task = Summaries("train", size=pairs, data=data)
    own = _scores(task, checks.positive_int("length", length))
    curves = []
    for k in sorted({checks.positive_int("lengths", k) for k in lengths}):
        for (name, way), value in _scores(task, k).items():
            curves.append(curve([k], [value], panel=SCORES[name], curve=WAYS[way], kind="exact"))
    fact = "n-grams that are repeated", "as often as in both texts", "once"
    found = [
        Row(*fact, f"{label} of the first {length} characters (%)", own[name, "all"], own[name, "once"])
        for name, label in SCORES.items()
    ]
    leads = _leads(task, length)
    found.append(
        Row(
            "the longest common subsequence", "all of its characters",
            "rouge from 1.0.0 on: its different ones, over those of either text",
            f"ROUGE-L of the first {length} characters (%)", own["rouge_l", "all"],
            100 * float(np.mean([_of_different(*pair) for pair in zip(leads, task.titles, strict=True)])),
        )
    )  # fmt: skip
    titles = "".join("".join(task.titles).lower().split())
    seen = 100 * len(SEEN.findall(titles)) / len(titles)
    found.append(
        Row(
            "tokens", "characters, by a tokenizer of one's own", "rouge-score as it is: a to z and digits",
            "characters of the titles that are seen (%)", 100.0, seen,
        )
    )  # fmt: skip
    gap = own["rouge_1", "once"] - own["rouge_1", "all"]
    message = (
        f"The first {length} characters of {len(task)} abstracts, as their titles: ROUGE-1, -2 and -L "
        f"{_three(own, 'all')} where every occurrence counts, {_three(own, 'once')} where each n-gram counts "
        f"once. ROUGE-1 differs by {gap:.2f} points for the same texts."
    )
    table = pd.concat(curves, ignore_index=True)
    return Findings(
        table, message, both_ways(found, HEADINGS), {}, printed(found, HEADINGS), stand_in=task.stand_in
    )


def _scores(task: Summaries, length: int) -> dict[tuple[str, str], float]:
    """Return mean scores times 100 of the first characters, by score and way of counting."""
    leads = _leads(task, length)
    scored = {way: rouge(leads, task.titles, repeats=way) for way in WAYS}
    return {(name, way): float(100 * np.mean(scored[way][name])) for name in SCORES for way in WAYS}


def _leads(task: Summaries, length: int) -> list[str]:
    return [text[:length] for text in task.abstracts]


def _of_different(summary: str, reference: str) -> float:
    """Return ROUGE-L as ``rouge`` has it: of sets of characters, all pairs of sentences together."""
    own, other = (
        [part for part in "".join(text.lower().split()).split(".") if part] for text in (summary, reference)
    )
    common = set().union(*(_common(first, second) for first in other for second in own))
    sizes = len(set().union(*own)) + len(set().union(*other))
    return 2 * len(common) / max(1, sizes)


def _common(reference: str, summary: str) -> set[str]:
    """Return the different characters of the longest common subsequence which ``rouge`` takes of several."""
    longest = np.zeros((len(reference) + 1, len(summary) + 1), int)
    for i, left in enumerate(reference, 1):
        for j, right in enumerate(summary, 1):
            longer = max(longest[i - 1, j], longest[i, j - 1])
            longest[i, j] = longest[i - 1, j - 1] + 1 if left == right else longer
    found, i, j = set(), len(reference), len(summary)
    while i and j:
        if reference[i - 1] == summary[j - 1]:
            i, j = i - 1, j - 1
            found.add(reference[i])
        elif longest[i - 1, j] > longest[i, j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def _three(scores: dict[tuple[str, str], float], way: str) -> str:
    return " / ".join(f"{scores[name, way]:.2f}" for name in SCORES)


def plot(data: FigureData) -> Figure:
    """Draw each score against how many characters are taken, by both ways of counting."""
    looks = plotting.looks(WAYS.values())
    with plotting.style():
        figure, axes = plotting.canvas(len(SCORES), width=12, height=4.2, sharey=True)
        for axis, score in zip(axes, SCORES.values(), strict=True):
            for way, look in looks.items():
                own = rows(data.table, panel=score, curve=way)
                plotting.measured(
                    axis, own.x, own.y, look, joined="-", hollow=way == WAYS["once"], ms=7, label=way
                )
            axis.set(title=score, xlabel="first characters of the abstract")
        axes[0].set_ylabel("F1 (%)")
        plotting.joined_legend(figure, axes, ncols=2)
        plotting.say_stand_in(figure, data.stand_in)
    return figure
