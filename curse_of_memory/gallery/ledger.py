"""The ledger: every figure and table of every paper, and how far it is reproduced.

What the papers show is data (``inventory.csv``); every status and number is computed.
"""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.results import Result
from curse_of_memory.gallery.standing import FULL_SCALE, Standing, standing

__all__ = [
    "STATUSES",
    "Entry",
    "Item",
    "Paper",
    "Section",
    "read_inventory",
    "read_papers",
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
class Paper:
    """One paper; `folder` is where its notebooks are."""

    key: str
    title: str
    authors: str
    venue: str
    arxiv: str
    folder: str


@dataclass(frozen=True)
class Item:
    """One figure or table of a paper; `notebook` and `needs` may be empty.

    So may `stand_in`: what the notebook has in place of models or data of the paper that cannot be had here.
    """

    paper: str
    key: str
    title: str
    notebook: str
    needs: str
    source: str
    stand_in: str = ""


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
    def result(self) -> Result | None:
        """What the figure says of itself."""
        return self.standing.result


@dataclass(frozen=True)
class Section:
    """The entries of one paper, or, where `paper` is None, those that no paper has."""

    paper: Paper | None
    entries: list[Entry]


def _rows(file: str, row: type) -> list:
    """Read a data file of this package; the columns are the fields of `row`."""
    text = resources.files(__package__).joinpath(file).read_text(encoding="utf-8")
    return [row(**{f.name: line[f.name] for f in fields(row)}) for line in csv.DictReader(text.splitlines())]


def read_papers() -> list[Paper]:
    """Return the papers in the order in which they are shown."""
    return _rows("papers.csv", Paper)


def read_inventory() -> list[Item]:
    """Return every figure and table of every paper."""
    return _rows("inventory.csv", Item)


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


def statuses(found: Mapping[str, Standing]) -> dict[str, str]:
    """Return the status of every notebook's figure, from how they stand, by name."""
    stand_ins = {item.notebook: bool(item.stand_in) for item in read_inventory()}
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
    inventory: Iterable[Item], notebooks: Mapping[str, Notebook], found: Mapping[str, Standing]
) -> list[Section]:
    """Return what the ledger says, by paper; what no paper has comes last.

    Parameters
    ----------
    inventory, notebooks
        What there should be, and what there is.
    found : mapping
        From `standings`.
    """
    inventory = list(inventory)

    def entry(item: Item) -> Entry:
        one = found.get(item.notebook, Standing())
        state = status(one, item.needs, own=not item.paper, stand_in=bool(item.stand_in))
        return Entry(item, notebooks.get(item.notebook), one, state)

    by_paper = [
        Section(paper, [entry(item) for item in inventory if item.paper == paper.key])
        for paper in read_papers()
    ]
    named = {item.notebook for item in inventory}
    own = []
    for name, notebook in notebooks.items():
        if name not in named:
            message = result.message if (result := found[name].result) else ""
            own.append(entry(Item("", notebook.title, message, name, "", "")))
    return [*by_paper, Section(None, own)] if own else by_paper
