"""The notebooks of a project: where they are, what they are called, what can be set in them.

Notebooks are read as plain JSON: listing and checking them should not wait for Jupyter.
"""

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from curse_of_memory.checks import near_match
from curse_of_memory.gallery.parameters import Parameter, read_parameters

__all__ = ["Notebook", "code_of", "find_notebooks", "find_root", "read_notebook", "select", "source"]


@dataclass(frozen=True)
class Notebook:
    """One notebook file.

    Attributes
    ----------
    name : str
        Path below ``notebooks/`` without suffix, such as ``interest/memory_bias``.
    path : Path
        The file.
    content : dict
        Its JSON.
    """

    name: str
    path: Path
    content: dict = field(repr=False, compare=False)

    @property
    def folder(self) -> str:
        """The paper's folder; empty for a notebook at the top level."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The name without the folder, which the figure's files carry."""
        return self.name.rpartition("/")[2]

    @property
    def code_cells(self) -> list[dict]:
        """The code cells, in order."""
        return [cell for cell in self.content["cells"] if cell["cell_type"] == "code"]

    @cached_property
    def title(self) -> str:
        """The first heading, or the stem where there is none."""
        for cell in self.content["cells"]:
            if cell["cell_type"] == "markdown":
                for line in source(cell).splitlines():
                    if line.startswith("# ") and (title := line[2:].strip()):
                        return title
        return self.stem

    @cached_property
    def parameters(self) -> dict[str, Parameter]:
        """What the cell tagged ``parameters`` declares, by name.

        Raises
        ------
        ValueError
            If there is not exactly one such cell, or a line of it is not
            ``name: type = literal  # help``.
        """
        cells = [c for c in self.code_cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        if len(cells) != 1:
            raise ValueError(f"{self.name} must have one cell tagged 'parameters', it has {len(cells)}")
        try:
            return read_parameters(source(cells[0]))
        except (SyntaxError, TypeError, ValueError) as error:
            raise ValueError(f"{self.name}, parameters cell: {error}") from None

    def link_from(self, folder: Path) -> str:
        """Return the way from `folder` to the file; empty outside the project.

        From there it would lead through the folders of this machine.
        """
        root = self.path.parents[self.name.count("/") + 1].resolve()
        if not folder.resolve().is_relative_to(root):
            return ""
        return Path(os.path.relpath(self.path.resolve(), folder.resolve())).as_posix()


def source(cell: Mapping) -> str:
    """Return the text of a cell, which the format stores as one string or as lines."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def find_root(start: Path | None = None) -> Path:
    """Return the project's folder: upward from `start`, else from the package's own place.

    Raises
    ------
    FileNotFoundError
        If no folder on the way holds ``notebooks/`` and ``pyproject.toml``.
    """
    start = (start or Path.cwd()).resolve()
    package = Path(__file__).resolve().parents[1]
    for folder in (start, *start.parents, *package.parents):
        if (folder / "notebooks").is_dir() and (folder / "pyproject.toml").is_file():
            return folder
    raise FileNotFoundError(
        f"no project found: neither {start} nor the package lies below a folder with notebooks/ "
        "and pyproject.toml; run this inside a clone of the repository"
    )


def read_notebook(path: Path, name: str) -> Notebook:
    """Read one notebook file.

    Raises
    ------
    ValueError
        If the file is not a version 4 notebook.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{name} is not a notebook: {error}") from None
    if not isinstance(content, dict) or content.get("nbformat") != 4 or "cells" not in content:
        raise ValueError(f"{name} is not a notebook of format version 4")
    return Notebook(name, path, content)


def find_notebooks(root: Path) -> dict[str, Notebook]:
    """Return the notebooks of the project by name, sorted, checkpoints left out."""
    base = root / "notebooks"
    found = {}
    for path in sorted(base.rglob("*.ipynb")):
        relative = path.relative_to(base).with_suffix("")
        if not any(part.startswith(".") for part in relative.parts):
            name = relative.as_posix()
            found[name] = read_notebook(path, name)
    return found


def select(notebooks: Mapping[str, Notebook], names: Iterable[str] = ()) -> list[Notebook]:
    """Return the notebooks meant by `names`: notebook names or folders; all where none is given.

    A path as the shell completes it (``notebooks/interest/memory_bias.ipynb``) is a name too.

    Raises
    ------
    ValueError
        If a name is neither; the message says which one is near.
    """
    folders = {n.folder for n in notebooks.values() if n.folder}
    chosen: dict[str, Notebook] = {}
    for given in names:
        name = given.removesuffix(".ipynb").removeprefix("./").removeprefix("notebooks/").rstrip("/")
        if name in notebooks:
            chosen[name] = notebooks[name]
        elif name in folders:
            chosen |= {n.name: n for n in notebooks.values() if n.folder == name}
        else:
            known = [*notebooks, *folders]
            # people remember the last part of a name
            hint = near_match(name, known) or near_match(name, [n.stem for n in notebooks.values()])
            raise ValueError(f"unknown notebook or paper {given!r}{hint}")
    return list(chosen.values()) if names else list(notebooks.values())


def code_of(notebook: Notebook) -> str:
    """Return the code of a notebook as one text: what decides what it computes."""
    return "\n# %%\n".join(source(cell) for cell in notebook.code_cells)
