"""The papers: their figures, the notebooks that reproduce these, and the presets of parameters.

All of it is data, one file a paper: ``papers/<folder>/paper.yaml`` in this package, of which
:mod:`.paper_file` says what is in it; the paper's notebooks and figures lie in folders of the same name. An
invalid file stops its own paper and no other.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import PACKAGE, Notebook, printable
from curse_of_memory.gallery.paper_file import DESCRIPTION, NEEDS, Item, Paper, Presets, read_paper
from curse_of_memory.gallery.parameters import resolve
from curse_of_memory.gallery.scales import DEFAULTS, check_folder
from curse_of_memory.tools.checks import near_match, shown

__all__ = ["DESCRIPTION", "NEEDS", "PAPERS", "Catalogue", "Item", "Paper", "read_catalogue"]

PAPERS = PACKAGE / "papers"


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
    sizes : mapping of str to str
        By notebook, a sentence: whose the parameters of the preset ``paper`` are, the paper's or ours.
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
    presets: Presets = field(default_factory=lambda: {DEFAULTS: {}})
    costs: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, str] = field(default_factory=dict)
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
    folders, troubles, presets, costs, sizes = {}, {}, Catalogue().presets, {}, {}
    read: list[tuple[Paper, list[Item]]] = []
    modules: set[str] = set()
    for path in sorted(papers.glob(f"[!._]*/{DESCRIPTION}")):
        folder = printable(path.parent.name)
        modules |= {f"{folder}/{printable(file.stem)}" for file in path.parent.glob("[!._]*.py")}
        try:
            check_folder(folder)
            if folder != path.parent.name:
                raise ValueError("the folder has a name that cannot be printed")
            content = read_paper(path, folder)
            paper = content.paper
            if paper and (double := next((p.folder for p, _ in read if p.key == paper.key), None)):
                raise ValueError(f"key {shown(paper.key)} is that of {double}, too")
        except (OSError, ValueError) as error:
            troubles[folder] = f"{papers.name}/{folder}/{DESCRIPTION}: {' '.join(str(error).split())}"
            continue
        folders[folder] = content.title
        costs |= content.costs
        sizes |= content.sizes
        if paper:
            read.append((paper, content.items))
        for preset, values in content.presets.items():
            presets.setdefault(preset, {}).update(values)
    read.sort(key=lambda one: one[0].order)
    return Catalogue(
        folders=folders,
        papers=tuple(paper for paper, _ in read),
        items=tuple(item for _, items in read for item in items),
        presets=presets,
        costs=costs,
        sizes=sizes,
        modules=frozenset(modules),
        troubles=troubles,
    )


def _not_taken(notebook: Notebook, values: Mapping[str, Any]) -> Iterator[str]:
    """Yield why a notebook cannot take the values of a preset."""
    for key, value in values.items():
        try:
            resolve(notebook.name, notebook.parameters, {key: value})
        except (TypeError, ValueError) as error:
            yield str(error)
