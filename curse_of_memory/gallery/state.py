"""The state of a figure, kept in a file beside the figures: its origin, its preset, and its files.

A state file may come from an older version or from elsewhere, or have been merged by hand. One that is not
exactly a state counts as none, so that the figure is made anew.
"""

import json
from collections.abc import Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.figure_files import own_files
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.origin import Origin
from curse_of_memory.gallery.parameters import plain_values
from curse_of_memory.tools.files import plain_folder, read_json, whole_file

__all__ = ["State", "read_state", "write_state"]

LARGEST = 1_000_000  # bytes; a state has a few thousand


@dataclass(frozen=True)
class State:
    """The origin, preset and files of one figure.

    Attributes
    ----------
    origin : Origin
        What it was made from.
    preset : str
        The name of the preset it was made with.
    overrides : dict
        The parameters that were set over the preset.
    files : dict
        Its files, by name without folder, with their checksums.
    leaving : tuple of str
        Files of the figure that was there before which this one has not.
    published : bool
        Whether all files have come to their place and those that leave are gone. If not, what stands there
        may be partly this figure and partly the one before.
    seconds : float
        What computing it took, when it was made last; its record has what it took when it changed last.
    """

    origin: Origin
    preset: str
    overrides: dict[str, Any]
    files: dict[str, str]
    leaving: tuple[str, ...] = ()
    published: bool = True
    seconds: float = 0.0


def read_state(out: Path, notebook: Notebook) -> State | None:
    """Return the state of a notebook's figure in `out`; None if there is no valid state file."""
    try:
        content = read_json(_place(out, notebook), LARGEST)
        return _state(content, own_files(notebook))
    except (OSError, ValueError, TypeError):
        return None


def write_state(out: Path, notebook: Notebook, state: State) -> None:
    """Write the state of a notebook's figure to its file.

    Raises
    ------
    OSError, ValueError
        If it cannot be written, or would be through a link.
    """
    place = _place(out, notebook)
    plain_folder(out, place.parent)
    with whole_file(place) as draft:
        draft.write_text(json.dumps(asdict(state), indent=1) + "\n", encoding="utf-8")


def _place(out: Path, notebook: Notebook) -> Path:
    return out / ".batch" / "state" / f"{notebook.name}.json"


def _state(content: Any, own: Collection[str]) -> State:
    """Return the state that a file holds; TypeError if it is invalid, or names files of other figures."""
    types = {
        "origin": dict,
        "preset": str,
        "overrides": dict,
        "files": dict,
        "leaving": list,
        "published": bool,
        "seconds": float,
    }
    if not isinstance(content, dict) or content.keys() != types.keys():
        raise TypeError("a state has other fields")
    if not all(isinstance(content[field], expected) for field, expected in types.items()):
        raise TypeError("a field of a state has another type")
    if not plain_values(content["overrides"]):
        raise TypeError("parameters are numbers, texts, and lists of these")
    if not content["files"] or not all(isinstance(digest, str) for digest in content["files"].values()):
        raise TypeError("a figure has files with checksums")
    if not all(file in own for file in (*content["files"], *content["leaving"])):
        raise TypeError("a figure has no such file")
    origin, leaving = Origin.read(content["origin"]), tuple(content["leaving"])
    return State(**{**content, "origin": origin, "leaving": leaving})
