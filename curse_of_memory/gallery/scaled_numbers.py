"""The numbers of a figure at full scale beside the reduced ones and the paper's."""

from dataclasses import dataclass

from curse_of_memory.gallery.standing import FigureStanding
from curse_of_memory.report.record import NOTHING, ComparedNumber

__all__ = ["ScaledNumber", "scaled_numbers"]

ABSENT = ComparedNumber("", NOTHING, NOTHING, NOTHING)


@dataclass(frozen=True)
class ScaledNumber:
    """A number as texts: the paper's, and at each scale ours and its range over the seeds; else a dash."""

    label: str
    paper: str
    full: str
    full_over_seeds: str
    reduced: str
    reduced_over_seeds: str


def scaled_numbers(figure: FigureStanding) -> list[ScaledNumber]:
    """Return the numbers of a figure at both scales, those that full scale has not last."""
    full: dict[str, ComparedNumber] = {}
    reduced: dict[str, ComparedNumber] = {}
    for one in figure.scales():
        rows = {row.label: row for row in one.record.comparison()} if one.record else {}
        if one.full:
            full = rows | full
        else:
            reduced = rows | reduced
    numbers = []
    for label in dict.fromkeys([*full, *reduced]):
        large, small = full.get(label, ABSENT), reduced.get(label, ABSENT)
        paper = large.paper if label in full else small.paper
        numbers.append(ScaledNumber(label, paper, large.ours, large.over_seeds, small.ours, small.over_seeds))
    return numbers
