"""The record of a figure, its ``.json``: one schema, which figures write and the gallery reads.

It has the name and the title of the figure, the sentence that it shows, the parameters, the headline numbers
with their spread over seeds and the paper's, and where, when and with which versions it was computed.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from curse_of_memory.tools.files import read_json

__all__ = [
    "NOTHING",
    "ComparedNumber",
    "Number",
    "Record",
    "Spread",
    "comparison",
    "read_record",
    "record_text",
    "spreads",
]

Number = float | int | str  # a word in place of one, such as "inf" or "none", is shown as it is

NOTHING = "—"
LARGEST = 1_000_000  # bytes of a file; the record of a figure has some thousands


@dataclass(frozen=True)
class Spread:
    """The smallest and the largest value of a number over `runs` runs that differ in their seed only.

    Examples
    --------
    >>> Spread.over([3.0, 1.0, 2.0])
    Spread(low=1.0, high=3.0, runs=3)
    """

    low: Number
    high: Number
    runs: Number

    @classmethod
    def over(cls, values: Iterable[float]) -> "Spread":
        """Return the spread of `values`, one of each run; both ends are NaN if a value is.

        Raises
        ------
        ValueError
            If there are no values.
        """
        numbers = [float(value) for value in values]
        if not numbers:
            raise ValueError("values must hold one number of each run, got none")
        if any(map(math.isnan, numbers)):
            return cls(math.nan, math.nan, len(numbers))
        return cls(min(numbers), max(numbers), len(numbers))


def spreads(runs: Mapping[str, Iterable[float]]) -> dict[str, Spread]:
    """Return the spread of each label's values, one of each run; labels with a single value are left out.

    Examples
    --------
    >>> spreads({"three seeds": [3.0, 1.0, 2.0], "one seed": [4.0]})
    {'three seeds': Spread(low=1.0, high=3.0, runs=3)}
    """
    values = {label: list(one_each) for label, one_each in runs.items()}
    return {label: Spread.over(one_each) for label, one_each in values.items() if len(one_each) > 1}


@dataclass(frozen=True)
class ComparedNumber:
    """A number as texts: ours, its range over the seeds, and the paper's; a dash where there is none."""

    label: str
    ours: str
    over_seeds: str
    paper: str


@dataclass(frozen=True)
class Record:
    """All that is known of a figure; the fields are those of its file.

    Attributes
    ----------
    name : str
        ``paper/figure``: the name of the notebook, too.
    title, source : str
        What it is, and where the paper shows it.
    message : str
        What the picture shows, in one sentence with the numbers of this run.
    parameters : mapping
        The arguments it was computed with, save `data`, of which `stand_in` says what came of it.
    headline, paper : mapping of str to Number
        Our numbers, by label, and the paper's.
    spread : mapping of str to Spread
        Of the headline numbers that average over seeds: the smallest and the largest.
    device : str
        Where it was computed: ``cpu``, or the name of the GPU.
    seconds : float
        How long that took, with the runs that were kept from earlier batches.
    versions : mapping of str to str
        Of the packages that compute and draw.
    created : str
        When, as ISO 8601 has it.
    stand_in : str
        What stands in for which data where the real ones could not be had; nothing is said of the paper's
        numbers then, and `paper` is empty. An empty text if the data are real, or none are read.
    stand_in_is_real : bool
        Whether what stands in are real data, too, of another set.
    data_part : str
        How much of the published data was read, if less than the paper's scale asks for; else empty.
    """

    name: str
    title: str
    message: str
    source: str
    parameters: Mapping[str, Any]
    headline: Mapping[str, Number]
    spread: Mapping[str, Spread]
    paper: Mapping[str, Number]
    device: str
    seconds: float
    versions: Mapping[str, str]
    created: str
    stand_in: str = ""
    stand_in_is_real: bool = False
    data_part: str = ""

    def comparison(self) -> list[ComparedNumber]:
        """Return our numbers beside the paper's; those that only the paper has come last."""
        return comparison(self.headline, self.spread, self.paper)


def comparison(
    headline: Mapping[str, Number],
    spread: Mapping[str, Spread],
    paper: Mapping[str, Number],
    *,
    digits: int = 4,
    counted: bool = True,
) -> list[ComparedNumber]:
    """Return our numbers beside the paper's; those that only the paper has come last.

    Parameters
    ----------
    headline, spread, paper
        As in a `Record`.
    digits : int
        Significant digits of a float.
    counted : bool
        Whether the range over the seeds says how many these are.
    """
    return [
        ComparedNumber(
            label=label,
            ours=_readable(headline.get(label), digits),
            over_seeds=_readable_spread(spread.get(label), digits, counted),
            paper=_readable(paper.get(label), digits),
        )
        for label in dict.fromkeys([*headline, *paper])
    ]


def record_text(record: Record) -> str:
    """Return the JSON of a record; infinities and NaN, which JSON lacks, become words.

    Raises
    ------
    ValueError
        If a field has a value that a record cannot have.
    """
    content = {field.name: getattr(record, field.name) for field in fields(record)}
    content["spread"] = {label: asdict(spread) for label, spread in record.spread.items()}
    content = {name: value for name, value in content.items() if value or name not in OPTIONAL}
    content = _plain(content)
    _checked(content, f"the record of {record.name}")
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def read_record(path: Path, name: str) -> Record:
    """Return the record in a file, which must be that of the figure `name`.

    Raises
    ------
    ValueError
        If the file cannot be read or is not JSON, lacks a field or has one of another type, or belongs to
        another figure.
    """
    what = f"{path.name} of {name}"
    try:
        content = read_json(path, LARGEST)
    except OSError as error:
        raise ValueError(f"{what} cannot be read: {error}") from None
    except ValueError as error:
        raise ValueError(f"{what} is not JSON: {error}") from None
    record = _checked(content if isinstance(content, dict) else {}, what)
    if record.name != name:
        raise ValueError(f"{what} says it is of {record.name!r}")
    return record


def _is_scalar(value: Any) -> bool:
    return isinstance(value, int | float | str)


def _is_number(value: Any) -> bool:
    return _is_scalar(value) and not isinstance(value, bool)


def _is_parameter(value: Any) -> bool:
    entries = value if isinstance(value, list) else [value]
    return all(entry is None or _is_scalar(entry) for entry in entries)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# of every field the type, and of a mapping what its values must be
SCHEMA: dict[str, tuple[type | tuple[type, ...], Callable[[Any], bool] | None]] = {
    "name": (str, None),
    "title": (str, None),
    "message": (str, None),
    "parameters": (dict, _is_parameter),
    "versions": (dict, _is_text),
    "device": (str, None),
    "seconds": ((int, float), None),
    "headline": (dict, _is_number),
    "spread": (dict, lambda spread: all(map(_is_number, spread.values()))),
    "paper": (dict, _is_number),
    "source": (str, None),
    "created": (str, None),
    "stand_in": (str, None),
    "stand_in_is_real": (bool, None),
    "data_part": (str, None),
}
OPTIONAL = {
    "stand_in": "",
    "stand_in_is_real": False,
    "data_part": "",
}  # fields that a file may lack, and what they are then


def _checked(content: Mapping[str, Any], what: str) -> Record:
    """Return the record with the fields of `content`; the message of a refusal begins with `what`."""
    content = {**OPTIONAL, **content}
    for field, (expected, _) in SCHEMA.items():
        if field not in content:
            raise ValueError(f"{what} lacks {field!r}")
        as_expected = isinstance(content[field], expected)
        if not as_expected or isinstance(content[field], bool) != (expected is bool):
            raise ValueError(f"{field!r} in {what} has the wrong type: {_short(content[field])}")
    if not math.isfinite(content["seconds"]):
        raise ValueError(f"'seconds' in {what} is {content['seconds']}")
    for label, spread in content["spread"].items():
        if not isinstance(spread, dict) or spread.keys() != {"low", "high", "runs"}:
            raise ValueError(f"'spread' in {what} lacks low, high or runs of {label!r}")
    for field, (_, is_one) in SCHEMA.items():
        for label, value in content[field].items() if is_one else ():
            if is_one and not is_one(value):
                raise ValueError(f"{label!r} of {field!r} in {what} has the wrong type: {_short(value)}")
    spread = {label: Spread(**ends) for label, ends in content["spread"].items()}
    return Record(**{**{field: content[field] for field in SCHEMA}, "spread": spread})


def _plain(value: Any) -> Any:
    """Return `value` in the types that JSON has; infinities and NaN, which it lacks, become words."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if hasattr(value, "tolist"):  # arrays, and their numbers
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value


def _readable(value: Number | None, digits: int) -> str:
    """Return a float with so many significant digits, anything else as it is; a dash for nothing."""
    if value is None:
        return NOTHING
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def _readable_spread(spread: Spread | None, digits: int, counted: bool) -> str:
    """Return the smallest and the largest of a number over seeds, and in brackets how many these are.

    Examples
    --------
    >>> _readable_spread(Spread(0.0034, 0.0063, 3), 4, True)
    '0.0034 to 0.0063 (3)'
    >>> _readable_spread(Spread(0.00341234, 0.00341239, 3), 4, True)
    '0.003412 (all 3)'
    """
    if spread is None:
        return NOTHING
    low, high = _readable(spread.low, digits), _readable(spread.high, digits)
    if not counted:
        return f"{low} to {high}"
    if low == "nan":  # both ends are, as soon as one run diverged
        return f"nan (some of {spread.runs})"
    return f"{low} (all {spread.runs})" if low == high else f"{low} to {high} ({spread.runs})"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__} of many levels"
    return text if len(text) <= 60 else f"{text[:57]}..."
