"""The ``.json`` beside a figure: what was found, and what the paper printed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook

__all__ = ["FILES", "Result", "Row", "find_result", "read_result"]

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
    "spread": dict,
    "paper": dict,
    "source": str,
    "created": str,
}
NOTHING = "—"


@dataclass(frozen=True)
class Row:
    """One number as it is shown: ours, its range over the seeds, the paper's; a dash where there is none."""

    label: str
    ours: str
    over_seeds: str
    paper: str


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
    spread: dict[str, dict[str, Any]]
    paper: dict[str, Any]
    source: str
    created: str

    def comparison(self) -> list[Row]:
        """Return the numbers in the order of ours; those that only the paper has come last."""
        labels = list(self.headline) + [label for label in self.paper if label not in self.headline]
        return [
            Row(
                label=label,
                ours=readable(self.headline.get(label)),
                over_seeds=readable_spread(self.spread.get(label)),
                paper=readable(self.paper.get(label)),
            )
            for label in labels
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
    for label, spread in content["spread"].items():
        if not isinstance(spread, dict) or spread.keys() != {"low", "high", "runs"}:
            raise ValueError(f"'spread' in {path.name} of {name} lacks low, high or runs of {label!r}")
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
        return NOTHING
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def readable_spread(spread: Mapping[str, Any] | None) -> str:
    """Return the smallest and the largest of a number over seeds, and in brackets how many these are.

    Examples
    --------
    >>> readable_spread({"low": 0.0034, "high": 0.0063, "runs": 3})
    '0.0034 to 0.0063 (3)'
    >>> readable_spread({"low": 0.00341234, "high": 0.00341239, "runs": 3})
    '0.003412 (all 3)'
    """
    if spread is None:
        return NOTHING
    low, high, runs = readable(spread["low"]), readable(spread["high"]), spread["runs"]
    if low == "nan":  # both ends are, as soon as one run diverged
        return f"nan (some of {runs})"
    return f"{low} (all {runs})" if low == high else f"{low} to {high} ({runs})"
