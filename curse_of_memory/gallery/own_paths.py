"""Files and folders of whoever runs a notebook, such as weights, which its parameters name.

Which parameters these are, the notebook says by ``paths`` in its metadata. A path is meant from the folder in
which the command is called, and kernels run elsewhere; and what lies there decides the figure as data do.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.tools.files import checksum_of_all

__all__ = ["from_anywhere", "own_files"]


def from_anywhere(notebook: Notebook, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of parameters, of which those that are paths lead there from every folder."""
    return {
        name: str(Path(value).expanduser().absolute()) if value and name in notebook.paths else value
        for name, value in values.items()
    }


def own_files(notebook: Notebook, parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the checksums of what is named, by parameter; nothing of those that are empty.

    Raises
    ------
    FileNotFoundError
        If there is neither file nor folder; it names the parameter.
    OSError
        If it cannot be read.
    """
    named = {name: Path(parameters[name]).expanduser() for name in notebook.paths if parameters.get(name)}
    for name, path in named.items():
        if not (path.is_file() or path.is_dir()):
            raise FileNotFoundError(
                f"{name} must name a file or a folder, and there is none at {str(path)!r}"
            )
    return {name: f"sha256:{checksum_of_all(path)}" for name, path in named.items()}
