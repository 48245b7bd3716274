"""Checks of arguments, shared by all: each returns the checked value, or refuses it in one line.

Errors name the argument and what was expected; a check and an assignment are one line.
"""

import difflib
import inspect
import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

import numpy as np

__all__ = [
    "finite_array",
    "first_line",
    "flag",
    "fulfilling",
    "fulfils",
    "function",
    "near_match",
    "non_negative",
    "one_of",
    "positive",
    "positive_int",
    "real",
    "seed",
    "seeds",
    "several",
    "shown",
    "texts",
    "whole_number",
]

BELOW = 2**63  # what sizes of arrays and the generators of numpy and torch take

P = TypeVar("P")


def shown(value: object) -> str:
    """Return the repr of `value` for an error message: on one line, shortened to 80 characters or so."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message; the name of its class where it has none."""
    return (str(error) or type(error).__name__).splitlines()[0]


def real(name: str, value: object, *, endless: bool = False) -> float:
    """Return `value` as a float; NaN, infinities, what no float holds and non-numbers are refused.

    With `endless` a float may be ``math.inf``.
    """
    if endless and isinstance(value, float) and value == math.inf:
        return math.inf
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} must be a real number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name} must be finite, got {shown(value)}")
    return number


def positive(name: str, value: object, *, endless: bool = False) -> float:
    """Return `value` as a float greater than zero; with `endless` it may be ``math.inf``."""
    if (number := real(name, value, endless=endless)) <= 0:
        raise ValueError(f"{name} must be positive, got {value!r}")
    return number


def non_negative(name: str, value: object) -> float:
    """Return `value` as a float not below zero."""
    if (number := real(name, value)) < 0:
        raise ValueError(f"{name} must not be negative, got {value!r}")
    return number


def positive_int(name: str, value: object) -> int:
    """Return `value` as an int of at least one."""
    return whole_number(name, value, least=1)


def flag(name: str, value: object) -> bool:
    """Return `value` as a bool if it is one; words and numbers are refused."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be True or False, got {shown(value)}")
    return bool(value)


def seed(name: str, value: object) -> int:
    """Return `value` as an int that any generator takes for a seed: 0 to 2⁶³ − 1."""
    return whole_number(name, value, least=0)


def whole_number(name: str, value: object, least: int) -> int:
    """Return `value` as an int from `least`, which is 0 or more, to 2⁶³ − 1."""
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} must be a whole number, got {shown(value)}")
    if value < least:
        expected = f"be at least {least}" if least else "not be negative"
        raise ValueError(f"{name} must {expected}, got {shown(value)}")
    if (number := int(value)) >= BELOW:
        raise ValueError(f"{name} must be below 2^63, got {shown(value)}")
    return number


def seeds(name: str, value: int | Sequence[int]) -> tuple[int, ...]:
    """Return `value`, a seed or a sequence of them such as ``(seed, step)``, as a tuple of checked ints."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray):
        return (seed(name, value),)
    if len(value) == 0:
        raise ValueError(f"{name} must not be empty")
    return tuple(seed(name, one) for one in value)


def finite_array(name: str, values: object, ndim: int | None = None, *, infinite: bool = False) -> np.ndarray:
    """Return `values` as a non-empty float64 array without NaN, and without infinities unless `infinite`.

    `ndim`, where given, is the number of dimensions the array must have. Masked entries, complex numbers,
    objects, text and tensors that require gradients are refused: reading them would lose what they say.
    """
    if np.ma.is_masked(values):
        raise ValueError(f"{name} must have no masked entries, got {np.ma.count_masked(values)}")
    if getattr(values, "requires_grad", False):
        raise TypeError(f"{name} must not require gradients, which numpy does not keep: give its .detach()")
    try:
        array = np.asarray(values)
    except Exception as error:  # ragged lists, tensors of another device, whatever a class of its own raises
        reason = str(error).partition("\n")[0]
        what = type(values).__name__
        raise TypeError(f"{name} must be an array of real numbers, got {what}: {reason}") from None
    if array.dtype.kind not in "biuf":
        what = f"{type(values).__name__} of {array.dtype}"
        raise TypeError(f"{name} must be an array of real numbers, got {what}")
    array = array.astype(float, copy=False)
    if ndim is not None and array.ndim != ndim:
        raise ValueError(f"{name} must have {ndim} dimension(s), got shape {array.shape}")
    if array.size == 0:
        raise ValueError(f"{name} must not be empty")
    if infinite and np.isnan(array).any():
        raise ValueError(f"{name} must be numbers, but holds NaN")
    if not (infinite or np.isfinite(array).all()):
        raise ValueError(f"{name} must be finite, but holds NaN or infinity")
    return array


def several(name: str, values: Sequence, check: Callable) -> list:
    """Return a list of different values, at least one of them, each returned by ``check(name, value)``.

    A text is no list of its letters. 1 and 1.0 are one value.
    """
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray):
        raise TypeError(f"{name} must be a list, got {shown(values)}")
    if len(values) == 0:
        raise ValueError(f"{name} must not be empty")
    checked = []
    for value in values:
        if (new := check(name, value)) in checked:
            raise ValueError(f"{name} must hold different values, got {shown(value)} twice")
        checked.append(new)
    return checked


def texts(name: str, values: Iterable[str]) -> list[str]:
    """Return texts as a list, which may be empty; one text is not several of its letters."""
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        got = "one text" if isinstance(values, str) else shown(values)
        raise TypeError(f"{name} must be a sequence of texts, got {got}")
    listed = list(values)
    for place, text in enumerate(listed):
        if not isinstance(text, str):
            raise TypeError(f"{name} must be texts, and number {place} is {shown(text)}")
    return listed


def function(name: str, value: Callable) -> Callable:
    """Return `value` if it can be called and is no class."""
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"{name} must be callable, got {shown(value)}")
    return value


def near_match(word: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean 'x'?)"`` for the closest known word, or an empty string."""
    close = difflib.get_close_matches(str(word), [str(k) for k in known], n=1, cutoff=0.6)
    return f" (did you mean {close[0]!r}?)" if close else ""


def one_of(name: str, value: str, options: Iterable[str]) -> str:
    """Return `value` if it is one of `options`; otherwise name them all and the near match."""
    options = list(options)
    if not isinstance(value, str) or value not in options:
        listing = ", ".join(repr(o) for o in options)
        near = near_match(value, options) if isinstance(value, str) else ""
        raise ValueError(f"{name} must be one of {listing}; got {shown(value)}{near}")
    return value


def fulfils(value: object, protocol: type[P]) -> TypeGuard[P]:
    """Return whether `value` is an object, no class, that has the methods and attributes of a `protocol`.

    Unlike ``isinstance`` this looks where the object itself looks, so that wrappers with ``__getattr__``
    count, and demands that methods can be called.
    """
    if isinstance(value, type):
        return False
    asked = _members(protocol)
    have = {name: getattr(value, name, None) for name in asked}
    return all(callable(have[name]) if called else have[name] is not None for name, called in asked.items())


def fulfilling(name: str, value: object, protocol: type[P], what: str, *, instead: str = "") -> P:
    """Return `value` if it fulfils a `protocol`.

    Parameters
    ----------
    name : str
        The argument, for the message of the TypeError that is raised otherwise.
    value : object
        What was passed.
    protocol : type
        A class derived from ``typing.Protocol``.
    what : str
        What such a thing is called in plain words, such as ``"a task"``.
    instead : str
        Advice at the end of the message.
    """
    if fulfils(value, protocol):
        return value
    asked = [f"{member}()" if called else member for member, called in _members(protocol).items()]
    advice = f"; {instead}" if instead else ""
    raise TypeError(f"{name} must be {what} with {' and '.join(asked)}, got {shown(value)}{advice}")


def _members(protocol: type) -> dict[str, bool]:
    """Return the public names that a protocol asks for, and whether each is a method."""
    members: dict[str, bool] = {}
    for base in reversed(protocol.__mro__):
        if base in (Protocol, Generic, object):
            continue
        own: dict[str, Any] = dict.fromkeys(inspect.get_annotations(base)) | vars(base)
        members |= {name: inspect.isfunction(value) for name, value in own.items() if name[0] != "_"}
    return members
