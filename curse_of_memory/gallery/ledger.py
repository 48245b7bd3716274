"""The ledger: every figure and table of every paper, and how far it is reproduced.

What the papers show is data (``inventory.csv``); every status and number is computed.
"""

import contextlib
import csv
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from curse_of_memory.files import whole_file
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import COMMON, Parameter, resolve, same_value
from curse_of_memory.gallery.results import Result, find_result

__all__ = [
    "Item",
    "Paper",
    "ledger_text",
    "read_inventory",
    "read_papers",
    "status",
    "statuses",
    "write_ledger",
]

REPRODUCED, STAND_IN = "reproduced", "shown on a stand-in"
STATUSES = (
    *(REPRODUCED, f"{REPRODUCED} at reduced scale", STAND_IN, f"{STAND_IN} at reduced scale"),
    *("needs data", "needs GPU", "not yet"),
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


def status(
    notebook: Notebook | None,
    result: Result | None,
    full_scale: Mapping,
    needs: str = "",
    *,
    own: bool = False,
    stand_in: bool = False,
) -> str:
    """Return how far a figure is reproduced.

    Parameters
    ----------
    notebook, result
        The notebook and what its last run found, where there are such.
    full_scale : mapping
        What the preset ``paper`` sets for the notebook; the other parameters keep their defaults.
    needs : str
        What running it needs: ``data``, ``GPU`` or nothing.
    own : bool
        Whether no paper has the figure, so that there is nothing to reproduce.
    stand_in : bool
        Whether other models or data stand in for those of the paper.
    """
    if notebook is None or result is None:
        return f"needs {needs}" if needs else "not yet"
    declared = notebook.parameters
    # what no preset sets need not be among what the figure was computed from, and what every notebook
    # has says nothing about scale
    wanted = {k: p.default for k, p in declared.items() if k in result.parameters and k not in COMMON}
    wanted |= resolve(notebook.name, declared, full_scale)
    agrees = all(_used(declared[key], result.parameters.get(key), value) for key, value in wanted.items())
    word = "ours" if own else STAND_IN if stand_in else REPRODUCED
    return word if agrees else f"{word} at reduced scale"


def statuses(
    notebooks: Mapping[str, Notebook], full_scale: Mapping[str, Mapping], out: Path
) -> dict[str, str]:
    """Return the status of every notebook's figure in `out`."""
    stand_ins = {item.notebook: bool(item.stand_in) for item in read_inventory()}

    def one(name: str, notebook: Notebook) -> str:
        kind = {"own": name not in stand_ins, "stand_in": stand_ins.get(name, False)}
        return status(notebook, find_result(out, notebook), full_scale.get(name, {}), **kind)

    return {name: one(name, notebook) for name, notebook in notebooks.items()}


def ledger_text(
    inventory: Iterable[Item], notebooks: Mapping[str, Notebook], full_scale: Mapping[str, Mapping], out: Path
) -> str:
    """Return the ledger in Markdown; figures that no paper has stand at the end as ours."""
    inventory = list(inventory)
    results = {name: find_result(out, notebook) for name, notebook in notebooks.items()}
    tally: Counter[str] = Counter()

    def row(item: Item) -> str:
        notebook, result = notebooks.get(item.notebook), results.get(item.notebook)
        full = full_scale.get(item.notebook, {})
        kind = {"own": not item.paper, "stand_in": bool(item.stand_in)}
        state = status(notebook, result, full, item.needs, **kind)
        if item.paper:
            tally[state] += 1
        compared = result.comparison() if result else []
        cells = (
            item.key,
            f"{item.title}; here on {item.stand_in}" if item.stand_in else item.title,
            item.notebook if notebook else "—",
            state,
            _values((label, paper) for label, _, paper in compared if paper != "—"),
            _values((label, ours) for label, ours, _ in compared if ours != "—"),
        )
        return _line(cells)

    sections = []
    heading = ("figure or table", "what it shows", "notebook", "status", "paper", "ours")
    head = [_line(heading), "|---" * len(heading) + "|"]
    for paper in read_papers():
        rows = [row(item) for item in inventory if item.paper == paper.key]
        link = f"[{paper.arxiv}](https://arxiv.org/abs/{paper.arxiv})"
        about = f"{paper.title}. {paper.authors}. {paper.venue}, arXiv {link}."
        sections += [f"## {paper.key}", "", about, "", *head, *rows, ""]
    named = {item.notebook for item in inventory}
    own = [
        row(Item("", notebook.stem, notebook.title, name, "", ""))
        for name, notebook in notebooks.items()
        if name not in named
    ]
    if own:
        sections += ["## Ours", "", "What no paper shows.", "", *head, *own, ""]

    counts = "; ".join(f"{state}: {tally[state]}" for state in STATUSES if tally[state])
    top = [
        "# Ledger",
        "",
        "Every figure and table of the papers. Written by `curse-of-memory figures`; not edited by hand.",
        "",
        f"{tally.total()} figures and tables; {counts}.",
        "",
    ]
    return "\n".join(top + sections)


def _used(parameter: Parameter, reported: Any, value: Any) -> bool:
    """Return whether a result reports `value`; JSON has no infinity, so that it may be a word there."""
    with contextlib.suppress(TypeError):
        reported = parameter.accept(reported)
    return same_value(reported, value)


def write_ledger(notebooks: Mapping[str, Notebook], full_scale: Mapping[str, Mapping], out: Path) -> None:
    """Write ``ledger.md`` into `out`."""
    with whole_file(out / "ledger.md") as draft:
        draft.write_text(ledger_text(read_inventory(), notebooks, full_scale, out), encoding="utf-8")


def _values(pairs: Iterable[tuple[str, str]]) -> str:
    return "; ".join(f"{label}: {value}" for label, value in pairs) or "—"


def _line(cells: Iterable[str]) -> str:
    """Return a row of a Markdown table; what has a meaning there is escaped."""
    escaped = (" ".join(cell.split()).replace("|", "\\|").replace("<", "&lt;") for cell in cells)
    return f"| {' | '.join(escaped)} |"
