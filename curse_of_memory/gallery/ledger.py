"""The ledger as data: the status of every figure and table of every paper.

What the papers show is read from the catalogue; every status and number is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from curse_of_memory.gallery.catalogue import Catalogue, Item, Paper
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.scales import FULL_SCALE
from curse_of_memory.gallery.standing import FigureStanding, best_standing
from curse_of_memory.report.record import Record

__all__ = [
    "STATUSES",
    "Entry",
    "Section",
    "sections",
    "standings",
    "status",
    "statuses",
]

REPRODUCED, STAND_IN, INCOMPLETE = "reproduced", "shown on a stand-in", "incomplete"
STATUSES = (
    *(REPRODUCED, f"{REPRODUCED} at reduced scale", STAND_IN, f"{STAND_IN} at reduced scale"),
    *(INCOMPLETE, "needs data", "needs GPU", "not yet"),
)


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: a figure or table of a paper, or one of ours.

    Attributes
    ----------
    item : Item
        What the paper shows; without a paper if the figure is ours.
    notebook : Notebook or None
        The one that makes the figure, if there is one.
    standing : FigureStanding
        The record of the figure, and at which scale it was made.
    status : str
        From :func:`status`.
    left : float or None
        The seconds that full scale would take, if it was not made and that can be told.
    """

    item: Item
    notebook: Notebook | None
    standing: FigureStanding
    status: str
    left: float | None = None

    @property
    def record(self) -> Record | None:
        """The record of the figure; None if there is none."""
        return self.standing.record


@dataclass(frozen=True)
class Section:
    """The entries of one paper; if `paper` is None, our own figures.

    Attributes
    ----------
    paper : Paper or None
    entries : list of Entry
    sizes : mapping of str to str
        By notebook, without the folder: whose the sizes of full scale are.
    """

    paper: Paper | None
    entries: list[Entry]
    sizes: Mapping[str, str] = field(default_factory=dict)


def status(figure: FigureStanding, needs: str = "", *, own: bool = False, stand_in: bool = False) -> str:
    """Return the status of a figure: one of ``STATUSES``, or the same with ``ours`` for ``reproduced``.

    Parameters
    ----------
    figure : FigureStanding
        The record of the figure, and at which scale it was made.
    needs : str
        What running it needs: ``data``, ``GPU`` or nothing.
    own : bool
        Whether the figure is ours, not a paper's.
    stand_in : bool
        Whether other models stand in for those of the paper; that other data do, says the record.
    """
    if figure.trouble:
        return INCOMPLETE
    if not figure.preset:
        return f"needs {needs}" if needs else "not yet"
    stand_in = stand_in or bool(figure.record and figure.record.stand_in)
    word = STAND_IN if stand_in else "ours" if own else REPRODUCED
    whole = figure.preset == FULL_SCALE and not figure.data_part
    return word if whole else f"{word} at reduced scale"


def statuses(figures: Mapping[str, FigureStanding], items: Iterable[Item]) -> dict[str, str]:
    """Return the status of every notebook's figure, by name; `items` are the figures of the papers."""
    stand_ins = {item.notebook: bool(item.stand_in) for item in items}
    return {
        name: status(one, own=name not in stand_ins, stand_in=stand_ins.get(name, False))
        for name, one in figures.items()
    }


def standings(
    notebooks: Mapping[str, Notebook], presets: Mapping[str, Mapping[str, Mapping]], out: Path
) -> dict[str, FigureStanding]:
    """Return the standing of every notebook's figure in `out`, by name: the best, with the other scale."""
    return {name: best_standing(out, notebook, presets) for name, notebook in notebooks.items()}


def sections(
    catalogue: Catalogue,
    notebooks: Mapping[str, Notebook],
    figures: Mapping[str, FigureStanding],
    estimates: Mapping[str, float | None] | None = None,
) -> list[Section]:
    """Return the sections of the ledger: one for each paper, and last one for our own figures.

    Parameters
    ----------
    catalogue, notebooks
        The figures of the papers, and the notebooks there are.
    figures : mapping
        From `standings`.
    estimates : mapping, optional
        By notebook, the seconds that full scale would take where it was not made.
    """
    estimates = estimates or {}

    def entry(item: Item) -> Entry:
        one = figures.get(item.notebook, FigureStanding())
        state = status(one, item.needs, own=not item.paper, stand_in=bool(item.stand_in))
        return Entry(item, notebooks.get(item.notebook), one, state, estimates.get(item.notebook))

    by_paper = [
        Section(
            paper,
            [entry(item) for item in catalogue.items if item.paper == paper.key],
            {
                name.removeprefix(f"{paper.folder}/"): whose
                for name, whose in catalogue.sizes.items()
                if name.startswith(f"{paper.folder}/")
            },
        )
        for paper in catalogue.papers
    ]
    named = {item.notebook for item in catalogue.items}
    own = []
    for name, notebook in notebooks.items():
        if name not in named:
            message = record.message if (record := figures[name].record) else ""
            own.append(entry(Item("", notebook.title, message, name, "", "")))
    return [*by_paper, Section(None, own)] if own else by_paper
