"""The ``.json`` beside a figure: what was found, and what the paper printed."""

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.tools.files import is_plain_file, read_json

__all__ = ["FILES", "Result", "Row", "find_result", "own_files", "read_result"]

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
LARGEST = 1_000_000  # bytes; the record of a figure has some thousands


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


def own_files(notebook: Notebook) -> tuple[str, ...]:
    """Return the names that a figure's files can have, without the folder: no others are its own."""
    return tuple(f"{notebook.stem}.{suffix}" for suffix in FILES)


def read_result(path: Path, name: str) -> Result:
    """Read the result of notebook `name`.

    Raises
    ------
    ValueError
        If the file cannot be read or is not JSON, lacks a field or has one of another type, or belongs to
        another notebook.
    """
    what = f"{path.name} of {name}"
    try:
        content = read_json(path, LARGEST)
    except OSError as error:
        raise ValueError(f"{what} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from None
    content = content if isinstance(content, dict) else {}
    for field, kind in FIELDS.items():
        if field not in content:
            raise ValueError(f"{what} lacks {field!r}")
        if not isinstance(content[field], kind) or isinstance(content[field], bool):
            raise ValueError(f"{field!r} in {what} has the wrong type: {_short(content[field])}")
    if not math.isfinite(content["seconds"]):
        raise ValueError(f"'seconds' in {what} is {content['seconds']}")
    for label, spread in content["spread"].items():
        if not isinstance(spread, dict) or spread.keys() != {"low", "high", "runs"}:
            raise ValueError(f"'spread' in {what} lacks low, high or runs of {label!r}")
    parts: dict[str, Callable[[Any], bool]] = {
        "headline": _is_number,
        "paper": _is_number,
        "spread": lambda spread: all(map(_is_number, spread.values())),
        "versions": lambda version: isinstance(version, str),
        "parameters": lambda value: all(
            entry is None or _is_scalar(entry) for entry in (value if isinstance(value, list) else [value])
        ),
    }
    for field, is_one in parts.items():
        for label, value in content[field].items():
            if not is_one(value):
                raise ValueError(f"{label!r} of {field!r} in {what} has the wrong type: {_short(value)}")
    if content["name"] != name:
        raise ValueError(f"{what} says it is of {content['name']!r}")
    return Result(**{field: content[field] for field in FIELDS})


def find_result(out: Path, notebook: Notebook) -> Result | None:
    """Return the result of a notebook whose figure is in `out`, else None.

    Raises
    ------
    ValueError
        As `read_result` does, and if the record is no plain file.
    """
    path = out / notebook.folder / f"{notebook.stem}.json"
    if not os.path.lexists(path):
        return None
    if not is_plain_file(path):
        raise ValueError(f"{path.name} of {notebook.name} is no file, but a link or a folder")
    return read_result(path, notebook.name)


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _is_number(value: Any) -> bool:
    """Return whether `value` is a number, or a word in place of one."""
    return _is_scalar(value) and not isinstance(value, bool)


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} of many levels"
    return text if len(text) <= 60 else f"{text[:57]}..."


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
