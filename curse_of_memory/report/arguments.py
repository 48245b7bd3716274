"""What a figure may be asked to compute: its arguments, checked by their annotations before anything runs."""

import inspect
import math
import typing
from collections.abc import Mapping, Sequence

from curse_of_memory.tools import checks

__all__ = ["check_arguments"]


ANY_SIGN = ("power", "powers", "gains", "shears")
INFINITE = ("powers",)  # a weight of power infinity is the limit of the others; it may be said in words


def check_arguments(signature: inspect.Signature, arguments: Mapping[str, object]) -> None:
    """Refuse what no figure can be made of, before anything is computed.

    Numbers are positive, and are no NaN and no booleans; those named in ``ANY_SIGN`` may have any sign, and
    those in ``INFINITE`` may be infinite. A seed may be 0. A list has entries, all different.

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
        kind = signature.parameters[name].annotation
        if typing.get_origin(kind) is Sequence:
            checks.several(name, value, _CHECKS[typing.get_args(kind)[0]])
        else:
            _CHECKS[kind](name, value)


def _whole(name: str, value: int) -> int:
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


_CHECKS = {int: _whole, float: _number, str: _text, bool: _truth}
