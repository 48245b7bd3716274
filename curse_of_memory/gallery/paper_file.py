"""One file ``paper.yaml``: what a paper shows, which notebooks reproduce it, and at which sizes.

Such a file is ::

    key: INTEREST                    # short, in the ledger
    title: Improve Long-term Memory Learning Through Rescaling the Error Temporally
    authors: Wang, Yan
    venue: "2023"
    arxiv: "2307.11462"
    order: 1                         # papers are shown by increasing order
    figures:                         # all that the paper shows, also what has no notebook
      - figure: Memory-bias figure   # what the paper calls it
        shows: Bias of the time-weighted error at every lag
        notebook: memory_bias        # if there is one; of another folder: theory/lemmas
        needs: data                  # to run it: data, GPU, or no such line
        stand_in: small models       # in place of what cannot be had here, if there is such
        source: figure data published by the authors
    presets:                         # by preset and notebook, the parameters that are not the defaults
      paper:
        memory_bias: {horizon: 64}
      tiny:                          # at which the tests run a notebook that takes long
        copying: {width: 4, steps: 10}
    sizes:                           # by notebook, whose the parameters of the preset paper are
      memory_bias: the authors' figure
    costs:                           # by notebook, how its work grows with its parameters: see `estimates`
      memory_bias: horizon * len(powers)

A folder of notebooks that belong to no paper has ``paper: false``, a title, presets and costs.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.core_yaml import read_yaml
from curse_of_memory.gallery.scales import DEFAULTS
from curse_of_memory.tools.checks import near_match, shown
from curse_of_memory.tools.files import read_file

__all__ = ["DESCRIPTION", "NEEDS", "Content", "Item", "Paper", "Presets", "read_paper"]

DESCRIPTION = "paper.yaml"
LARGEST = 1_000_000  # bytes of one file
NEEDS = ("data", "GPU")

Presets = dict[str, dict[str, dict[str, Any]]]

# the fields of a paper, and of one figure
PAPER = {"key": str, "title": str, "authors": str, "venue": str, "arxiv": str, "order": int, "figures": list}
FIGURE = {"figure": str, "shows": str, "source": str}
FIGURE_OPTIONAL = {"notebook": str, "needs": str, "stand_in": str}


@dataclass(frozen=True)
class Paper:
    """A paper: how it is cited, and the folder of its notebooks, modules and figures.

    Attributes
    ----------
    folder : str
        Where its notebooks, its modules and its figures are.
    key : str
        Its short name.
    title, authors, venue, arxiv : str
        As they are printed.
    order : int
        The papers are shown by increasing `order`.
    """

    folder: str
    key: str
    title: str
    authors: str
    venue: str
    arxiv: str
    order: int = 0


@dataclass(frozen=True)
class Item:
    """One figure or table of a paper.

    Attributes
    ----------
    paper, key : str
        The key of the paper, and what the paper calls the figure.
    title : str
        What it shows.
    notebook : str
        The notebook that reproduces it; empty if there is none.
    needs : str
        What running that needs: ``data``, ``GPU`` or nothing.
    source : str
        From where it is known.
    stand_in : str
        What the notebook has in place of models or data of the paper that cannot be had here; mostly empty.
    """

    paper: str
    key: str
    title: str
    notebook: str
    needs: str
    source: str
    stand_in: str = ""


@dataclass(frozen=True)
class Content:
    """What one file says; notebooks are named with their folder.

    Attributes
    ----------
    title : str
        Of the folder.
    paper : Paper or None
        None for a folder that belongs to no paper.
    items : list of Item
        What the paper shows.
    presets : dict
        From preset to notebook to parameter to value.
    costs, sizes : dict
        By notebook, how its work grows with its parameters, and whose those of the preset ``paper`` are.
    """

    title: str
    paper: Paper | None
    items: list[Item]
    presets: Presets
    costs: dict[str, str]
    sizes: dict[str, str]


# the files of a package are read again and again, by every command and every figure that asks for its paper
_parsed = lru_cache(maxsize=64)(read_yaml)


def read_paper(path: Path, folder: str) -> Content:
    """Return the content of the file `path`, of the folder of that name.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is invalid; the message names the entry.
    """
    content = _mapping("", deepcopy(_parsed(read_file(path, LARGEST))))
    is_paper = content.pop("paper", True)
    if not isinstance(is_paper, bool):
        raise ValueError(f"paper must be true or false, got {shown(is_paper)}")
    presets = _presets(folder, content.pop("presets", None))
    costs = _by_notebook("costs", "a formula", folder, content.pop("costs", None))
    sizes = _by_notebook("sizes", "a text", folder, content.pop("sizes", None)) if is_paper else {}
    _check_fields("", content, PAPER if is_paper else {"title": str}, {})
    if not is_paper:
        return Content(content["title"], None, [], presets, costs, sizes)
    figures = content.pop("figures")
    items = [_item(content["key"], folder, number, entry) for number, entry in enumerate(figures, start=1)]
    names = [item.key for item in items]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"figures: {shown(double)} stands there twice")
    return Content(content["title"], Paper(folder=folder, **content), items, presets, costs, sizes)


def _item(paper: str, folder: str, number: int, entry: Any) -> Item:
    where = f"figures, entry {number}"
    fields = _mapping(where, entry)
    if isinstance(name := fields.get("figure"), str) and name.isprintable():
        where = f"{where} ({name})"
    _check_fields(where, fields, FIGURE, FIGURE_OPTIONAL)
    if (needs := fields.get("needs", "")) not in ("", *NEEDS):
        raise ValueError(f"{where}: needs must be one of {', '.join(NEEDS)}; got {shown(needs)}")
    notebook = fields.get("notebook", "")
    return Item(
        paper=paper,
        key=fields["figure"],
        title=fields["shows"],
        notebook=f"{folder}/{notebook}" if notebook and "/" not in notebook else notebook,
        needs=needs,
        source=fields["source"],
        stand_in=fields.get("stand_in", ""),
    )


def _presets(folder: str, content: Any) -> Presets:
    presets: Presets = {}
    for preset, notebooks in _mapping("presets", content).items():
        where = f"presets, {preset}"
        if preset == DEFAULTS:
            raise ValueError(f"{where}: these are the defaults of the notebooks, and are not set here")
        presets[preset] = {}
        for stem, values in _mapping(where, notebooks).items():
            if "/" in stem:
                raise ValueError(f"{where}: {stem} must be a notebook of this folder, without the folder")
            presets[preset][f"{folder}/{stem}"] = _mapping(f"{where}, {stem}", values)
    return presets


def _by_notebook(field: str, what: str, folder: str, content: Any) -> dict[str, str]:
    """Return the texts of a `field`, by notebook; `what` they are says an error."""
    texts = {}
    for stem, text in _mapping(field, content).items():
        if "/" in stem:
            raise ValueError(f"{field}: {stem} must be a notebook of this folder, without the folder")
        if not isinstance(text, str):
            raise ValueError(f"{field}, {stem}: expected {what}, got {shown(text)}")
        if not text.strip() or not text.isprintable():
            raise ValueError(f"{field}, {stem} must be one line that can be printed, got {shown(text)}")
        texts[f"{folder}/{stem}"] = text
    return texts


def _check_fields(
    where: str, content: Mapping[str, Any], required: Mapping[str, type], optional: Mapping[str, type]
) -> None:
    """Refuse a mapping with an unknown field, without a required one, or with one of another type."""
    place = f"{where}: " if where else ""
    fields = {**required, **optional}
    for name, value in content.items():
        if name not in fields:
            hint = near_match(name, fields) or f"; there are {', '.join(fields)}"
            raise ValueError(f"{place}unknown field {shown(name)}{hint}")
        if type(value) is not fields[name]:
            word = {str: "a text", int: "a whole number", list: "a list"}[fields[name]]
            raise ValueError(f"{place}{name} must be {word}, got {shown(value)}")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"{place}{name} must be one line that can be printed, got {shown(value)}")
    for name in required:
        if isinstance(value := content.get(name, ""), str) and not value.strip():
            raise ValueError(f"{place}{name} is missing")


def _mapping(where: str, value: Any) -> dict[str, Any]:
    """Return `value` as a mapping with words for keys; an empty entry is an empty mapping."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: expected a mapping, got {shown(value)}".removeprefix(": "))
    for key in value:
        if not (isinstance(key, str) and key.strip() and key.isprintable()):
            raise ValueError(f"{where}: expected a mapping from words, got {shown(key)}".removeprefix(": "))
    return dict(value)
