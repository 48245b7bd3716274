"""The notebooks of the project: found, read and selected by name.

They are read as plain JSON, so that listing and checking them does not wait for Jupyter.
"""

import os
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from curse_of_memory.gallery.parameters import Parameter, read_parameters
from curse_of_memory.gallery.scales import check_folder
from curse_of_memory.tools.checks import near_match
from curse_of_memory.tools.files import read_file, read_json

__all__ = [
    *("PACKAGE", "SHIPPED", "Notebook", "code_of", "find_clone", "find_notebooks", "find_root"),
    *("printable", "read_notebook", "select", "source"),
]

DISTRIBUTION = "curse-of-memory"
PACKAGE = Path(__file__).resolve().parents[1]
SHIPPED = (
    PACKAGE / "gallery" / "shipped"
)  # where a wheel has the notebooks and presets; a clone has none there
LARGEST = 100_000_000  # bytes of a notebook; those of the project have less than two million


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
    trouble : str
        Why it cannot be run, in one line, if it is broken; it has no cells then. Else empty.
    """

    name: str
    path: Path
    content: dict = field(repr=False, compare=False)
    trouble: str = ""

    @property
    def folder(self) -> str:
        """The paper's folder; empty for a notebook at the top level."""
        return self.name.rpartition("/")[0]

    @property
    def stem(self) -> str:
        """The name without the folder; the figure's files are called so, too."""
        return self.name.rpartition("/")[2]

    @property
    def flat_name(self) -> str:
        """The name with its slash escaped, as the name of a folder of its own."""
        return quote(self.name, safe="")

    @property
    def code_cells(self) -> list[dict]:
        """The code cells, in order."""
        return [cell for cell in self.content["cells"] if cell["cell_type"] == "code"]

    @property
    def needs_data(self) -> list[str]:
        """The data sets it reads, by name."""
        return self.content["metadata"].get("needs_data", [])

    @property
    def paths(self) -> list[str]:
        """The parameters that name a file or folder of whoever runs it, such as weights."""
        return self.content["metadata"].get("paths", [])

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
            ``name: type = literal  # help``; or if the notebook is broken.
        """
        if self.trouble:
            raise ValueError(self.trouble)
        cells = [c for c in self.code_cells if "parameters" in c.get("metadata", {}).get("tags", [])]
        if len(cells) != 1:
            raise ValueError(f"{self.name} must have one cell tagged 'parameters', it has {len(cells)}")
        try:
            return read_parameters(source(cells[0]))
        except (SyntaxError, TypeError, ValueError, RecursionError, MemoryError) as error:
            raise ValueError(f"{self.name}, parameters cell: {error}") from None

    def link_from(self, folder: Path) -> str:
        """Return the relative path from `folder` to the file; empty if `folder` is outside the project.

        From there the path would show folders of this machine.
        """
        root = self.path.parents[self.name.count("/") + 1].resolve()
        if not folder.resolve().is_relative_to(root):
            return ""
        return Path(os.path.relpath(self.path.resolve(), folder.resolve())).as_posix()


def source(cell: Mapping) -> str:
    """Return the text of a cell, which the file stores as one string or as a list of lines."""
    text = cell["source"]
    return text if isinstance(text, str) else "".join(text)


def find_clone(start: Path | None = None) -> Path | None:
    """Return the clone of this project that `start` lies in, else that of the package, else None.

    A folder is one if its ``pyproject.toml`` has the name of this project, and if the package that is running
    now is the one in it: notebooks are run with, and written by, their own code only.

    Raises
    ------
    ValueError
        If `start` lies in a clone, but the package that is running is another.
    """
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents, *PACKAGE.parents):
        if (folder / "notebooks").is_dir() and _distribution(folder / "pyproject.toml") == DISTRIBUTION:
            if (folder / PACKAGE.name).resolve() != PACKAGE:
                raise ValueError(
                    f"{folder} is a clone of {DISTRIBUTION}, but the package that runs is {PACKAGE}; install "
                    "the clone (pip install --editable), or leave it"
                )
            return folder
    return None


def find_root(start: Path | None = None) -> Path:
    """Return the folder that has ``notebooks/``: the clone (`find_clone`), else the one in the package.

    Raises
    ------
    ValueError
        As `find_clone` does.
    FileNotFoundError
        If there is neither.
    """
    root = find_clone(start) or SHIPPED
    if not (root / "notebooks").is_dir():
        raise FileNotFoundError(f"the package in {PACKAGE} came without notebooks; run this inside a clone")
    return root


def _distribution(pyproject: Path) -> Any:
    """Return the name of the project that a file declares; None if none."""
    try:
        return tomllib.loads(read_file(pyproject, 1_000_000))["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def read_notebook(path: Path, name: str) -> Notebook:
    """Read one notebook file.

    Raises
    ------
    ValueError
        If the file is not a version 4 notebook, or its parameters cannot be read.
    """
    try:
        content = read_json(path, LARGEST)
        sound = _is_notebook(content)
    except OSError as error:
        raise ValueError(f"{name} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"{name} is not a notebook: {error}") from None
    if not sound:
        raise ValueError(f"{name} is not a notebook of format version 4")
    notebook = Notebook(name, path, content)
    _ = notebook.parameters
    return notebook


def _is_notebook(content: Any) -> bool:
    """Return whether the content of a file has all parts of a notebook that are used here."""

    def is_text(text: Any) -> bool:
        return isinstance(text, str) or _texts(text)

    def is_output(output: Any) -> bool:
        if not isinstance(output, dict) or not isinstance(output.get("output_type"), str):
            return False
        data = output.get("data", {})
        return (
            is_text(output.get("text", ""))
            and isinstance(output.get("name", ""), str)
            and isinstance(data, dict)
            and all(is_text(value) for kind, value in data.items() if kind.startswith("text/"))
        )

    def is_cell(cell: Any) -> bool:
        if not isinstance(cell, dict):
            return False
        metadata, outputs = cell.get("metadata", {}), cell.get("outputs", [])
        return (
            isinstance(cell.get("cell_type"), str)
            and is_text(cell.get("source"))
            and isinstance(metadata, dict)
            and _texts(metadata.get("tags", []))
            and isinstance(outputs, list)
            and all(map(is_output, outputs))
        )

    return (
        isinstance(content, dict)
        and content.get("nbformat") == 4
        and isinstance(content.get("metadata"), dict)
        and isinstance(content["metadata"].get("kernelspec", {}), dict)
        and _texts(content["metadata"].get("needs_data", []))
        and _texts(content["metadata"].get("paths", []))
        and isinstance(content.get("cells"), list)
        and all(map(is_cell, content["cells"]))
    )


def _texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)


def printable(name: str) -> str:
    r"""Return the name of a file as it can be printed in one line, with escapes where it cannot.

    Examples
    --------
    >>> printable("interest/memory_bias"), printable("a\nb")
    ('interest/memory_bias', 'a\\nb')
    """
    return name if name.isprintable() else ascii(name)[1:-1]


def find_notebooks(root: Path) -> dict[str, Notebook]:
    """Return the notebooks of the project by name, sorted, without Jupyter's checkpoints.

    A notebook that cannot be read has no cells, and its attribute ``trouble`` says why.
    """
    base = root / "notebooks"
    notebooks = {}
    for path in sorted(base.rglob("*.ipynb")):
        relative = path.relative_to(base).with_suffix("")
        if not any(part.startswith(".") for part in relative.parts):
            name = printable(relative.as_posix())
            try:
                check_folder(name.partition("/")[0] if "/" in name else "")
                if name != relative.as_posix():
                    raise ValueError(f"{name} has a name that cannot be printed")
                notebooks[name] = read_notebook(path, name)
            except ValueError as error:
                nothing = {"cells": [], "metadata": {}}
                notebooks[name] = Notebook(name, path, nothing, trouble=" ".join(str(error).split()))
    return notebooks


def select(notebooks: Mapping[str, Notebook], names: Iterable[str] = ()) -> list[Notebook]:
    """Return the notebooks that `names` select: notebooks, or all of a folder; all notebooks without a name.

    A path as the shell completes it (``notebooks/interest/memory_bias.ipynb``) is a name, too.

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
    """Return the code cells of a notebook as one text."""
    return "\n# %%\n".join(source(cell) for cell in notebook.code_cells)
