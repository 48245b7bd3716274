"""The papers: their figures, the notebooks that reproduce these, and the presets of parameters.

All of it is data, one file a paper: ``papers/<folder>/paper.yaml`` in this package; the paper's notebooks and
figures lie in folders of the same name. An invalid file stops its own paper and no other. Such a file is ::

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
    costs:                           # by notebook, how its work grows with its parameters: see `estimates`
      memory_bias: horizon * len(powers)

A folder of notebooks that belong to no paper has ``paper: false``, a title, and presets.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.core_yaml import read_yaml
from curse_of_memory.gallery.notebooks import PACKAGE, Notebook, printable
from curse_of_memory.gallery.parameters import resolve
from curse_of_memory.gallery.scales import check_folder
from curse_of_memory.tools.checks import near_match, shown
from curse_of_memory.tools.files import read_file

__all__ = ["DESCRIPTION", "PAPERS", "Catalogue", "Item", "Paper", "read_catalogue"]

PAPERS = PACKAGE / "papers"
DESCRIPTION = "paper.yaml"
LARGEST = 1_000_000  # bytes of one file
NEEDS = ("data", "GPU")

Presets = dict[str, dict[str, dict[str, Any]]]

# the fields of a file, of which a folder that is no paper has the last three only, and those of one figure
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
class Catalogue:
    """The content of all files ``paper.yaml``.

    Attributes
    ----------
    folders : mapping of str to str
        The title of every folder of notebooks, also of those that are no paper.
    papers : tuple of Paper
        In the order in which they are shown.
    items : tuple of Item
        Every figure and table of every paper.
    presets : mapping
        From preset to notebook to parameter to value. The preset ``fast`` is there always: it is the defaults
        of the notebooks.
    costs : mapping of str to str
        By notebook, a formula of its parameters: how its work grows with them.
    modules : frozenset of str
        The modules of figures, ``<folder>/<figure>``: the Python files in the folders, save those that begin
        with an underscore.
    troubles : mapping of str to str
        What is wrong with an invalid file, in one line, by folder; with presets that a notebook cannot take,
        by that notebook.
    """

    folders: Mapping[str, str] = field(default_factory=dict)
    papers: tuple[Paper, ...] = ()
    items: tuple[Item, ...] = ()
    presets: Presets = field(default_factory=lambda: {"fast": {}})
    costs: Mapping[str, str] = field(default_factory=dict)
    modules: frozenset[str] = frozenset()
    troubles: Mapping[str, str] = field(default_factory=dict)

    def mark_broken(self, notebooks: Mapping[str, Notebook]) -> dict[str, Notebook]:
        """Return the notebooks; those of a folder with an invalid file are marked as broken.

        So are those that cannot take a preset, if the catalogue was held against them.
        """

        def marked(notebook: Notebook) -> Notebook:
            trouble = self.troubles.get(notebook.folder, self.troubles.get(notebook.name, ""))
            return replace(notebook, trouble=trouble) if trouble and not notebook.trouble else notebook

        return {name: marked(notebook) for name, notebook in notebooks.items()}

    def held_against(self, notebooks: Mapping[str, Notebook]) -> "Catalogue":
        """Return the catalogue with the troubles of presets: unknown notebooks and parameters, other types.

        Parameters
        ----------
        notebooks : mapping
            All of the project, by name. The presets of a broken one are not looked at.
        """
        troubles: dict[str, list[str]] = {}
        for preset, chosen in self.presets.items():
            for name, values in chosen.items():
                if name not in notebooks:
                    hint = near_match(name, notebooks)
                    said = f"preset {preset!r} sets parameters of unknown notebook {name!r}{hint}"
                    troubles.setdefault(name.partition("/")[0], []).append(said)
                elif not notebooks[name].trouble:
                    for said in _not_taken(notebooks[name], values):
                        troubles.setdefault(name, []).append(f"preset {preset!r}: {said}")
        found = {name: "; ".join(said) for name, said in troubles.items()}
        return replace(self, troubles={**found, **self.troubles})


def read_catalogue(papers: Path | None = None) -> Catalogue:
    """Return the content of the files ``paper.yaml`` in the folders of `papers`; invalid ones are only named.

    Parameters
    ----------
    papers : Path, optional
        The folder of the papers; without one it is that of this package.

    Raises
    ------
    OSError
        If the folder cannot be listed.
    """
    papers = papers or PAPERS
    folders, troubles, presets, costs = {}, {}, Catalogue().presets, {}
    read: list[tuple[Paper, list[Item]]] = []
    modules: set[str] = set()
    for path in sorted(papers.glob(f"[!._]*/{DESCRIPTION}")):
        folder = printable(path.parent.name)
        modules |= {f"{folder}/{printable(file.stem)}" for file in path.parent.glob("[!._]*.py")}
        try:
            check_folder(folder)
            if folder != path.parent.name:
                raise ValueError("the folder has a name that cannot be printed")
            title, paper, items, own, grows = _read(path, folder)
            if paper and (double := next((p.folder for p, _ in read if p.key == paper.key), None)):
                raise ValueError(f"key {shown(paper.key)} is that of {double}, too")
        except (OSError, ValueError) as error:
            troubles[folder] = f"{papers.name}/{folder}/{DESCRIPTION}: {' '.join(str(error).split())}"
            continue
        folders[folder] = title
        costs |= grows
        if paper:
            read.append((paper, items))
        for preset, values in own.items():
            presets.setdefault(preset, {}).update(values)
    read.sort(key=lambda one: one[0].order)
    return Catalogue(
        folders=folders,
        papers=tuple(paper for paper, _ in read),
        items=tuple(item for _, items in read for item in items),
        presets=presets,
        costs=costs,
        modules=frozenset(modules),
        troubles=troubles,
    )


def _read(path: Path, folder: str) -> tuple[str, Paper | None, list[Item], Presets, dict[str, str]]:
    """Return the content of one file: the title, the paper if it is one, its figures, presets and costs.

    Raises
    ------
    OSError, ValueError
        If it cannot be read, or is invalid; the message names the entry.
    """
    content = _mapping("", read_yaml(read_file(path, LARGEST)))
    is_paper = content.pop("paper", True)
    if not isinstance(is_paper, bool):
        raise ValueError(f"paper must be true or false, got {shown(is_paper)}")
    presets = _presets(folder, content.pop("presets", None))
    costs = _costs(folder, content.pop("costs", None))
    required = PAPER if is_paper else {"title": str}
    _check_fields("", content, required, {})
    if not is_paper:
        return content["title"], None, [], presets, costs
    figures = content.pop("figures")
    items = [_item(content["key"], folder, number, entry) for number, entry in enumerate(figures, start=1)]
    names = [item.key for item in items]
    if double := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"figures: {shown(double)} stands there twice")
    return content["title"], Paper(folder=folder, **content), items, presets, costs


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
        if preset in Catalogue().presets:
            raise ValueError(f"{where}: these are the defaults of the notebooks, and are not set here")
        presets[preset] = {}
        for stem, values in _mapping(where, notebooks).items():
            if "/" in stem:
                raise ValueError(f"{where}: {stem} must be a notebook of this folder, without the folder")
            presets[preset][f"{folder}/{stem}"] = _mapping(f"{where}, {stem}", values)
    return presets


def _costs(folder: str, content: Any) -> dict[str, str]:
    costs = {}
    for stem, formula in _mapping("costs", content).items():
        if "/" in stem:
            raise ValueError(f"costs: {stem} must be a notebook of this folder, without the folder")
        if not isinstance(formula, str):
            raise ValueError(f"costs, {stem}: expected a formula, got {shown(formula)}")
        costs[f"{folder}/{stem}"] = formula
    return costs


def _not_taken(notebook: Notebook, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a notebook cannot take the values of a preset."""
    for key, value in values.items():
        try:
            resolve(notebook.name, notebook.parameters, {key: value})
        except (TypeError, ValueError) as error:
            yield str(error)


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
