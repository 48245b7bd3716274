"""The origin of a figure: parameters, code, data, device and versions; two origins can be compared."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from curse_of_memory.gallery.notebooks import Notebook, code_of
from curse_of_memory.gallery.own_paths import own_files
from curse_of_memory.gallery.parameters import plain_values
from curse_of_memory.tools.data_sources import STAND_IN
from curse_of_memory.tools.versions import numeric_versions

__all__ = ["DataError", "Machine", "Origin", "origin"]


SHOWN = 3  # of the changed files


class DataError(ValueError):
    """A data set that a notebook needs is unknown, or its folder or a file that is named does not exist."""


def _has_all(name: str, download: bool) -> bool:
    return True


@dataclass(frozen=True)
class Machine:
    """What the gallery is given, as it needs torch: names of devices, and files of data sets.

    Attributes
    ----------
    device : callable
        From the parameter `device` of a notebook to the name of the device.
    data : callable
        From the name of a data set to its files that are read here, with their checksums.
    has : callable
        From the name of a data set to whether it is here, or comes if a download may be tried; so it is with
        every set unless said otherwise.
    """

    device: Callable[[str], str]
    data: Callable[[str], Mapping[str, str]]
    has: Callable[[str, bool], bool] = _has_all


@dataclass(frozen=True)
class Origin:
    """Everything that decides the content of a figure.

    Attributes
    ----------
    parameters : dict
        All parameters of the notebook, by name.
    code : str
        Checksum of the notebook's code.
    package : dict
        The files of the package that the notebook uses, with their checksums.
    data : dict
        The files of data that are read, with their checksums, or the data sets that others stand in for; and
        the files and folders that parameters name, by these, with theirs.
    device : str
        The name of the GPU, or ``cpu``.
    versions : dict
        The versions of the packages that compute and draw.
    """

    parameters: dict[str, Any]
    code: str
    package: dict[str, str]
    data: dict[str, str]
    device: str
    versions: dict[str, str]

    @classmethod
    def read(cls, content: Any) -> Self:
        """Return the origin that a state file holds.

        Raises
        ------
        TypeError
            If it is none.
        """
        types = {
            "code": str,
            "package": dict,
            "device": str,
            "parameters": dict,
            "data": dict,
            "versions": dict,
        }
        if not isinstance(content, dict) or content.keys() != types.keys():
            raise TypeError("an origin has other fields")
        if not all(isinstance(content[field], expected) for field, expected in types.items()):
            raise TypeError("a field of an origin has another type")
        if not plain_values(content["parameters"]):
            raise TypeError("parameters are numbers, texts, and lists of these")
        texts = [text for field in ("package", "data", "versions") for text in content[field].values()]
        if not all(isinstance(text, str) for text in texts):
            raise TypeError("checksums and versions are texts")
        return cls(**content)

    def same_as(self, other: "Origin") -> bool:
        """Return whether two origins are equal, as they are written down."""
        return all(_text(getattr(self, f.name)) == _text(getattr(other, f.name)) for f in fields(self))

    def differences(self, now: "Origin") -> list[str]:
        """Return in what the origin `now` differs from this one, a few words each; empty if in nothing."""
        versions = [
            f"{name} {self.versions.get(name, 'none')}, now {now.versions.get(name, 'none')}"
            for name in _changed(self.versions, now.versions)
        ]
        changed = {
            "parameters": list(_changed(self.parameters, now.parameters)),
            "code of the package": _some(list(_changed(self.package, now.package))),
            "data": list(_changed(self.data, now.data)),
            "device": [f"{self.device}, now {now.device}"] if self.device != now.device else [],
            "versions": versions,
        }
        reasons = [f"{what} ({', '.join(names)})" for what, names in changed.items() if names]
        return reasons if self.code == now.code else ["code of the notebook", *reasons]


def origin(
    notebook: Notebook, values: Mapping[str, Any], package: Mapping[str, str], machine: Machine
) -> Origin:
    """Return the origin that the figure of a notebook would have if it was made now.

    Parameters
    ----------
    notebook : Notebook
        Its code counts, its texts and outputs do not.
    values : mapping
        The parameters that are set; the others have their defaults.
    package : mapping
        The files of the package that the notebook uses, with their checksums.
    machine : Machine
        Where it would be made.

    Raises
    ------
    ValueError
        If the machine lacks the device; a `DataError` if a data set is unknown or has no folder, or a file or
        folder that a parameter names is not there.
    """
    defaults = {name: parameter.default for name, parameter in notebook.parameters.items()}
    parameters = {**defaults, **values}
    data: dict[str, str] = {}
    for name in notebook.needs_data:
        try:
            data |= {name: STAND_IN} if parameters.get("data") == STAND_IN else machine.data(name)
        except (ValueError, OSError) as error:
            raise DataError(f"{notebook.name} needs the data {name!r}: {error}") from None
    try:
        data |= own_files(notebook, parameters)
    except (ValueError, OSError) as error:
        raise DataError(f"{notebook.name}: {error}") from None
    return Origin(
        parameters=parameters,
        code=hashlib.sha256(code_of(notebook).encode()).hexdigest(),
        package=dict(package),
        data=data,
        device=machine.device(parameters.get("device", "auto")),
        versions=numeric_versions(),
    )


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _changed(then: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names whose values differ in two mappings, or that only one of them has."""
    for name in sorted(then.keys() | now.keys()):
        if name not in then or name not in now or _text(then[name]) != _text(now[name]):
            yield name


def _some(names: list[str]) -> list[str]:
    """Return the names; of many the first, and how many more there are."""
    return names if len(names) <= SHOWN else [*names[:SHOWN], f"and {len(names) - SHOWN} more"]
