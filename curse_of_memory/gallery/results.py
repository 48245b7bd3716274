"""The ``.json`` beside a figure: what was found, and what the paper printed."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook

__all__ = ["FILES", "Result", "find_result", "read_result"]

# a figure is json + csv + (png, pdf), a table json + csv + (md, tex), drawn or not
FILES = ("png", "pdf", "md", "tex", "csv", "json")

FIELDS = {
    "name": str,
    "title": str,
    "message": str,
    "parameters": dict,
    "versions": dict,
    "device": str,
    "seconds": (int, float),
    "headline": dict,
    "paper": dict,
    "source": str,
    "created": str,
}


@dataclass(frozen=True)
class Result:
    """What a notebook reports; the fields are those of its ``.json``."""

    name: str
    title: str
    message: str
    parameters: dict[str, Any]
    versions: dict[str, str]
    device: str
    seconds: float
    headline: dict[str, Any]
    paper: dict[str, Any]
    source: str
    created: str

    def comparison(self) -> list[tuple[str, str, str]]:
        """Return (label, ours, paper) rows in the order of our numbers; a dash where one is missing."""
        labels = list(self.headline) + [label for label in self.paper if label not in self.headline]
        return [
            (label, readable(self.headline.get(label)), readable(self.paper.get(label))) for label in labels
        ]


def read_result(path: Path, name: str) -> Result:
    """Read the result of notebook `name`.

    Raises
    ------
    ValueError
        If the file is not JSON, lacks a field, or belongs to another notebook.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path.name} of {name} is not JSON: {error}") from None
    content = content if isinstance(content, dict) else {}
    for field, kind in FIELDS.items():
        if field not in content:
            raise ValueError(f"{path.name} of {name} lacks {field!r}")
        if not isinstance(content[field], kind):
            raise ValueError(f"{field!r} in {path.name} of {name} has the wrong type: {content[field]!r}")
    if content["name"] != name:
        raise ValueError(f"{path.name} of {name} says it is of {content['name']!r}")
    return Result(**{field: content[field] for field in FIELDS})


def find_result(out: Path, notebook: Notebook) -> Result | None:
    """Return the result of a notebook whose figure is in `out`, else None."""
    path = out / notebook.folder / f"{notebook.stem}.json"
    return read_result(path, notebook.name) if path.is_file() else None


def readable(value: Any) -> str:
    """Return a number with four significant digits, anything else as it is; a dash for nothing."""
    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
