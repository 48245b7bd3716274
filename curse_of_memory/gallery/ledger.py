"""The ledger: every figure and table of every paper, and how far it is reproduced.

What the papers show is data (the registry); every status and number is computed.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.registry import Item, Paper, Registry
from curse_of_memory.gallery.standing import FULL_SCALE, Standing, standing
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
    """One line of the ledger: a figure or table, and what became of it.

    `standing` says how its figure stands, `status` is that of :func:`status`. `item` has no paper where none
    shows the figure.
    """

    item: Item
    notebook: Notebook | None
    standing: Standing
    status: str

    @property
    def record(self) -> Record | None:
        """What the figure says of itself."""
        return self.standing.record


@dataclass(frozen=True)
class Section:
    """The entries of one paper, or, where `paper` is None, those that no paper has."""

    paper: Paper | None
    entries: list[Entry]


def status(found: Standing, needs: str = "", *, own: bool = False, stand_in: bool = False) -> str:
    """Return how far a figure is reproduced.

    Parameters
    ----------
    found : Standing
        How the figure stands.
    needs : str
        What running it needs: ``data``, ``GPU`` or nothing.
    own : bool
        Whether no paper has the figure, so that there is nothing to reproduce.
    stand_in : bool
        Whether other models or data stand in for those of the paper.
    """
    if found.trouble:
        return INCOMPLETE
    if not found.preset:
        return f"needs {needs}" if needs else "not yet"
    word = "ours" if own else STAND_IN if stand_in else REPRODUCED
    return word if found.preset == FULL_SCALE else f"{word} at reduced scale"


def statuses(found: Mapping[str, Standing], items: Iterable[Item]) -> dict[str, str]:
    """Return the status of every notebook's figure, by name, from how they stand and what the papers show."""
    stand_ins = {item.notebook: bool(item.stand_in) for item in items}
    return {
        name: status(one, own=name not in stand_ins, stand_in=stand_ins.get(name, False))
        for name, one in found.items()
    }


def standings(
    notebooks: Mapping[str, Notebook], presets: Mapping[str, Mapping[str, Mapping]], out: Path
) -> dict[str, Standing]:
    """Return how every notebook's figure stands in `out`, by name."""
    return {name: standing(out, notebook, presets) for name, notebook in notebooks.items()}


def sections(
    registry: Registry, notebooks: Mapping[str, Notebook], found: Mapping[str, Standing]
) -> list[Section]:
    """Return what the ledger says, by paper; what no paper has comes last.

    Parameters
    ----------
    registry, notebooks
        What there should be, and what there is.
    found : mapping
        From `standings`.
    """

    def entry(item: Item) -> Entry:
        one = found.get(item.notebook, Standing())
        state = status(one, item.needs, own=not item.paper, stand_in=bool(item.stand_in))
        return Entry(item, notebooks.get(item.notebook), one, state)

    by_paper = [
        Section(paper, [entry(item) for item in registry.items if item.paper == paper.key])
        for paper in registry.papers
    ]
    named = {item.notebook for item in registry.items}
    own = []
    for name, notebook in notebooks.items():
        if name not in named:
            message = record.message if (record := found[name].record) else ""
            own.append(entry(Item("", notebook.title, message, name, "", "")))
    return [*by_paper, Section(None, own)] if own else by_paper
