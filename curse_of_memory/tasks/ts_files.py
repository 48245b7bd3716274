"""The format ``.ts`` of the archives of time series (UEA, UCR, TSER), read as arrays.

A file whose header does not fit its data is refused in one line that names the file, the line of the file,
and what was expected there.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from curse_of_memory.tools import checks

__all__ = ["SeriesFile", "read_ts"]


class SeriesFile(NamedTuple):
    """What a file of time series holds.

    Attributes
    ----------
    series : list of ndarray
        Each ``(time, channel)`` in float64, of its own length; NaN where a value is missing.
    labels : ndarray or None
        Of each series the name of its class, or a number to be predicted; None where the file has neither.
    classes : tuple of str
        The names of the classes, as the header has them; empty where labels are numbers or there are none.
    """

    series: list[np.ndarray]
    labels: np.ndarray | None
    classes: tuple[str, ...]


class _UnfitError(ValueError):
    """What was expected in a line, and what is there; whoever reads the file adds its name."""


def read_ts(path: str | Path) -> SeriesFile:
    """Return the time series of a ``.ts`` file.

    Lines ``@word value`` are its header, until ``@data``; each line after it is one series: channels between
    colons, values between commas, ``?`` for one that is missing, and last the class or the target. Empty
    lines, and those that begin with ``#`` or ``%``, say nothing.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ValueError
        If header and data do not fit, or for series with time stamps, which are not read.
    OSError
        If there is no such file.
    """
    number, words, header, read = 0, {}, None, []
    try:
        with Path(path).open("rb") as lines:  # decoded one by one, so that it is known which is no text
            for number, raw in enumerate(lines, 1):  # noqa: B007  (used in the refusals below)
                if not (line := raw.decode("utf-8").strip()) or line[0] in "#%":
                    continue
                if header is not None:
                    series, label = header.read(line)
                    header = header.settled(series)
                    read.append((series, label))
                elif line.lower() == "@data":
                    header = _header(words)
                else:
                    _read_word(line, words)
        if not read:
            raise _UnfitError(
                f"expected {'@data' if header is None else 'a series'}, got the end of the file"
            )
    except UnicodeDecodeError:
        raise ValueError(f"{path}, line {number}: expected text in UTF-8") from None
    except _UnfitError as unfit:
        raise ValueError(f"{path}, line {number}: {unfit}") from None
    assert header is not None  # for a series was read
    labels = np.array([label for _, label in read]) if header.labelled else None
    return SeriesFile([series for series, _ in read], labels, header.classes)


FLAGS = ("timestamps", "missing", "univariate", "equallength", "targetlabel")
COUNTS = ("dimensions", "serieslength")
DIGITS = 18  # of a count: so that it is below 2⁶³
WORDS = ("problemname", *FLAGS, *COUNTS, "dimension", "classlabel")


def _read_word(line: str, words: dict[str, list[str]]) -> None:
    """Add a line of the header to the `words` that came before it."""
    name, *values = line.split()
    word = name[1:].lower()
    if name[0] != "@" or word not in WORDS:
        known = ", ".join(f"@{known}" for known in (*WORDS, "data"))
        raise _UnfitError(f"expected one of {known}; got {checks.shown(name)}")
    word = "dimensions" if word == "dimension" else word
    if word in words and word != "problemname":  # some have an old name, too
        raise _UnfitError(f"expected each word of the header once, got {name} twice")
    if word in FLAGS and [value.lower() for value in values] not in (["true"], ["false"]):
        raise _UnfitError(f"expected {name} true or false, got {checks.shown(' '.join(values))}")
    if word in COUNTS and not (len(values) == 1 and _is_count(values[0])):
        raise _UnfitError(f"expected {name} and a whole number from 1, got {checks.shown(' '.join(values))}")
    if word == "classlabel" and not _are_classes(values):
        raise _UnfitError(
            f"expected {name} false, or true and different classes, got {checks.shown(' '.join(values))}"
        )
    words[word] = values


def _is_count(text: str) -> bool:
    return text.isdecimal() and len(text) <= DIGITS and int(text) > 0


def _are_classes(values: list[str]) -> bool:
    first, names = (values[0].lower() if values else ""), values[1:]
    return first == "false" or (first == "true" and len(names) == len(set(names)) > 0)


@dataclass(frozen=True)
class _Header:
    """What the header says of every series; None and the empty tuple where it says nothing."""

    channels: int | None
    length: int | None
    equal: bool
    missing: bool
    classes: tuple[str, ...]
    targets: bool

    @property
    def labelled(self) -> bool:
        return self.targets or bool(self.classes)

    def settled(self, series: np.ndarray) -> "_Header":
        """Return the header with what the first series says where it says nothing itself."""
        if self.channels is not None and (self.length is not None or not self.equal):
            return self
        length = len(series) if self.equal else None
        return _Header(
            series.shape[1], self.length or length, self.equal, self.missing, self.classes, self.targets
        )

    def read(self, line: str) -> tuple[np.ndarray, str | float]:
        """Return the series of a line, and its label."""
        texts = line.split(":")
        label = self._label(texts.pop().strip()) if self.labelled else ""
        if len(texts) != (self.channels or max(1, len(texts))):
            also = " and a label" if self.labelled else ""
            raise _UnfitError(
                f"expected {self.channels} channels{also} between colons, got {len(texts)}{also}"
            )
        channels = [self._values(text) for text in texts]
        lengths = {len(values) for values in channels}
        if len(lengths) > 1:
            raise _UnfitError(f"expected channels of one length, got {sorted(lengths)} values")
        if self.length not in (None, *lengths):
            raise _UnfitError(f"expected {self.length} values in each channel, got {len(channels[0])}")
        return np.array(channels).T, label

    def _label(self, text: str) -> str | float:
        if not self.targets:
            if text not in self.classes:
                known = ", ".join(self.classes)
                raise _UnfitError(
                    f"expected one of the classes {checks.shown(known)}, got {checks.shown(text)}"
                )
            return text
        if not math.isfinite(target := _number(text)):
            raise _UnfitError(f"expected a number as target, got {checks.shown(text)}")
        return target

    def _values(self, text: str) -> list[float]:
        values = [_number(value) for value in text.split(",")]
        if not self.missing and any(map(math.isnan, values)):
            raise _UnfitError("expected no missing value, as the header says, got ? or NaN")
        return values


def _number(text: str) -> float:
    """Return the number of a text, NaN for one that is missing."""
    try:
        number = math.nan if text.strip() == "?" else float(text)
    except ValueError:
        number = math.inf
    if math.isinf(number) or "_" in text:
        raise _UnfitError(f"expected a finite number or ?, got {checks.shown(text)}")
    return number


def _header(words: Mapping[str, list[str]]) -> _Header:
    """Return what all `words` of a header come to, of which some may be left out."""

    def flag(word: str) -> bool | None:
        return words[word][0].lower() == "true" if word in words else None

    def count(word: str) -> int | None:
        return int(words[word][0]) if word in words else None

    if flag("timestamps"):
        raise _UnfitError("expected series without time stamps, got @timestamps true")
    channels, univariate = count("dimensions"), flag("univariate")
    if univariate and channels not in (None, 1):
        raise _UnfitError(f"expected one channel, as @univariate true says, got @dimensions {channels}")
    equal = flag("equallength")
    length = None if equal is False else count("serieslength")
    classes = tuple(words["classlabel"][1:]) if flag("classlabel") else ()
    targets = bool(flag("targetlabel"))
    if classes and targets:
        raise _UnfitError("expected classes or targets, got @classlabel true and @targetlabel true")
    channels = 1 if univariate else channels
    return _Header(channels, length, bool(equal), flag("missing") is not False, classes, targets)
