"""The ledger: every figure and table of every paper, and how far it is reproduced.

What the papers show is data (``inventory.csv``); every status and number is computed.
"""

import contextlib
import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import COMMON, Parameter, resolve, same_value
from curse_of_memory.gallery.results import Result, find_result

__all__ = [
    "STATUSES",
    "Entry",
    "Item",
    "Paper",
    "Section",
    "preset_used",
    "read_inventory",
    "read_papers",
    "sections",
    "status",
    "statuses",
]

FULL_SCALE, DEFAULTS, CUSTOM = "paper", "fast", "custom"

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


@dataclass(frozen=True)
class Entry:
    """One line of the ledger: a figure or table, and what became of it.

    `preset` and `status` are those of :func:`preset_used` and :func:`status`; `reduced` names the parameters
    that are not those of full scale. `item` has no paper where none shows the figure.
    """

    item: Item
    notebook: Notebook | None
    result: Result | None
    preset: str
    status: str
    reduced: tuple[str, ...]


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


def preset_used(
    notebook: Notebook | None, result: Result | None, presets: Mapping[str, Mapping[str, Mapping]]
) -> str:
    """Return the preset whose parameters a result was computed with, as its own record says.

    The paper's wins where several agree, which they do where there is nothing to scale. ``custom`` is a scale
    that no preset has; the text is empty where there is no result.
    """
    if notebook is None or result is None:
        return ""
    for preset in dict.fromkeys((FULL_SCALE, DEFAULTS, *presets)):
        if not _other_than(preset, notebook, result, presets):
            return preset
    return CUSTOM


def _other_than(
    preset: str, notebook: Notebook, result: Result, presets: Mapping[str, Mapping[str, Mapping]]
) -> tuple[str, ...]:
    """Return the parameters a result was computed with that are not those of a preset."""
    values = presets.get(preset, {}).get(notebook.name, {})
    declared = notebook.parameters
    # what no preset sets need not be among what the figure was computed from, and what every notebook
    # has says nothing about scale
    wanted = {k: p.default for k, p in declared.items() if k in result.parameters and k not in COMMON}
    wanted |= resolve(notebook.name, declared, values)
    return tuple(
        key for key, value in wanted.items() if not _used(declared[key], result.parameters.get(key), value)
    )


def _used(parameter: Parameter, reported: Any, value: Any) -> bool:
    """Return whether a result reports `value`; JSON has no infinity, so that it may be a word there."""
    with contextlib.suppress(TypeError):
        reported = parameter.accept(reported)
    return same_value(reported, value)


def status(preset: str, needs: str = "", *, own: bool = False, stand_in: bool = False) -> str:
    """Return how far a figure is reproduced.

    Parameters
    ----------
    preset : str
        What it was made with, from :func:`preset_used`; empty where it was not made.
    needs : str
        What running it needs: ``data``, ``GPU`` or nothing.
    own : bool
        Whether no paper has the figure, so that there is nothing to reproduce.
    stand_in : bool
        Whether other models or data stand in for those of the paper.
    """
    if not preset:
        return f"needs {needs}" if needs else "not yet"
    word = "ours" if own else STAND_IN if stand_in else REPRODUCED
    return word if preset == FULL_SCALE else f"{word} at reduced scale"


def statuses(
    notebooks: Mapping[str, Notebook], presets: Mapping[str, Mapping[str, Mapping]], out: Path
) -> dict[str, str]:
    """Return the status of every notebook's figure in `out`."""
    stand_ins = {item.notebook: bool(item.stand_in) for item in read_inventory()}

    def one(name: str, notebook: Notebook) -> str:
        preset = preset_used(notebook, find_result(out, notebook), presets)
        return status(preset, own=name not in stand_ins, stand_in=stand_ins.get(name, False))

    return {name: one(name, notebook) for name, notebook in notebooks.items()}


def sections(
    inventory: Iterable[Item],
    notebooks: Mapping[str, Notebook],
    presets: Mapping[str, Mapping[str, Mapping]],
    out: Path,
) -> list[Section]:
    """Return what the ledger says of the figures in `out`, by paper; what no paper has comes last."""
    inventory = list(inventory)
    results = {name: find_result(out, notebook) for name, notebook in notebooks.items()}

    def entry(item: Item) -> Entry:
        notebook, result = notebooks.get(item.notebook), results.get(item.notebook)
        preset = preset_used(notebook, result, presets)
        state = status(preset, item.needs, own=not item.paper, stand_in=bool(item.stand_in))
        reduced = _other_than(FULL_SCALE, notebook, result, presets) if preset else ()
        return Entry(item, notebook, result, preset, state, reduced)

    found = [
        Section(paper, [entry(item) for item in inventory if item.paper == paper.key])
        for paper in read_papers()
    ]
    named = {item.notebook for item in inventory}
    own = []
    for name, notebook in notebooks.items():
        if name not in named:
            message = result.message if (result := results[name]) else ""
            own.append(entry(Item("", notebook.title, message, name, "", "")))
    return [*found, Section(None, own)] if own else found
