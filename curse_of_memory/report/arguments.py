"""The check of a figure's arguments, by their annotations and names, before anything is computed."""

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from curse_of_memory.tools import checks

__all__ = ["check_arguments"]


ANY_SIGN = ("power", "powers", "gains", "shears")
FROM_ZERO = ("abstract_column", "title_column")  # places that are counted from 0
INFINITE = ("powers",)  # p of the weights t^p, whose limit is p = inf; also as the words "inf" and "-inf"


def check_arguments(signature: inspect.Signature, arguments: Mapping[str, Any]) -> None:
    """Raise an error, naming the argument, if one is not of its annotated type or out of range.

    Whole numbers are at least 1, `seed` and those called as in ``FROM_ZERO`` at least 0. Floats are positive
    and finite; those called as in ``ANY_SIGN`` may have any sign, those as in ``INFINITE`` may be infinite. A
    sequence has at least one entry, and none twice.

    Parameters
    ----------
    signature : inspect.Signature
        Of the function that computes the figure; its annotations are ``int``, ``float``, ``str``, ``bool``
        and ``Sequence`` of these.
    arguments : mapping
        By name.

    Raises
    ------
    TypeError, ValueError
        Naming the argument and what was expected.
    """
    for name, value in arguments.items():
        annotation = signature.parameters[name].annotation
        if typing.get_origin(annotation) is Sequence:
            checks.several(name, value, _CHECKS[typing.get_args(annotation)[0]])
        else:
            _CHECKS[annotation](name, value)


def _whole(name: str, value: int) -> int:
    if name in FROM_ZERO:
        return checks.whole_number(name, value, least=0)
    if name == "seed" and type(value) is int and value <= 0:
        return int(checks.non_negative(name, value))
    return checks.positive_int(name, value)


def _number(name: str, value: float) -> float:
    if name in INFINITE and value in (math.inf, -math.inf, "inf", "-inf"):
        return float(value)
    return checks.real(name, value) if name in ANY_SIGN else checks.positive(name, value)


def _text(name: str, value: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} must be a text, got {value!r}")
    return value


def _truth(name: str, value: bool) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be True or False, got {value!r}")
    return value


_CHECKS: dict[type, Callable[[str, Any], object]] = {int: _whole, float: _number, str: _text, bool: _truth}
