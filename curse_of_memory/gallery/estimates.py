"""What making a figure will take: told from what it took with other parameters, and from how its work grows.

How the work of a notebook grows with its parameters is declared once, as ``costs`` of its ``paper.yaml``: a
formula in them, of which only ratios count. In it a parameter that is a list stands in ``len``, ``sum`` or
``max``, and true counts as 1.
"""

import ast
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from curse_of_memory.gallery.figure_files import find_record
from curse_of_memory.gallery.notebooks import Notebook
from curse_of_memory.gallery.parameters import Parameter
from curse_of_memory.gallery.placement import all_parameters, same_figure
from curse_of_memory.gallery.publication import Job
from curse_of_memory.gallery.scales import PLACES
from curse_of_memory.gallery.state import read_state
from curse_of_memory.tools.checks import near_match, shown

__all__ = [
    *("check_cost", "cost", "ending_within", "estimated", "full_scale_estimate", "in_words"),
    "read_duration",
]

START = 8.0  # seconds until a kernel has imported what a notebook uses
SUMS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}
OF_LISTS: dict[str, Callable[[Collection], float]] = {"len": len, "sum": sum, "max": max}
UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86400, "y": 31_557_600}
DURATION = re.compile(rf"([\d.]+) *({'|'.join(UNITS)})")


def cost(formula: str, parameters: Mapping[str, Any]) -> float:
    """Return the value of a cost, in units that no one knows.

    Raises
    ------
    ValueError
        If the formula is none, names what is no parameter, or has no positive value.

    Examples
    --------
    >>> cost("sum(widths) * (steps + 10)", {"widths": [2, 4], "steps": 90})
    600.0
    """
    try:
        value = float(_value(ast.parse(formula, mode="eval").body, parameters))
    except (SyntaxError, TypeError, ArithmeticError, RecursionError, MemoryError):
        raise ValueError(f"{shown(formula)} is no formula of numbers and lists of numbers") from None
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{shown(formula)} is {value:g} for the parameters given; a cost is positive")
    return value


def check_cost(formula: str, declared: Mapping[str, Parameter]) -> None:
    """Refuse a cost that is no formula of declared parameters.

    Raises
    ------
    ValueError
        If it is none; as `cost` raises it for the defaults.
    """
    cost(formula, {name: parameter.default for name, parameter in declared.items()})


def estimated(job: Job, formula: str, folders: Iterable[Path]) -> float | None:
    """Return the seconds that a job will take, its kernel's start included; None if there is no telling.

    The clock of the figure itself decides, if it was made with the same parameters in one of the folders;
    else the first other one, and the ratio of the costs.

    Parameters
    ----------
    job : Job
        What would be run.
    formula : str
        The cost of its notebook; empty if none is declared.
    folders : iterable of Path
        Folders of figures, the nearest first.
    """
    clocks = (clock for folder in folders for clock in _clocks(folder, job.notebook))
    return _scaled(clocks, job.origin.parameters, formula)


def full_scale_estimate(
    notebook: Notebook, values: Mapping[str, Any], formula: str, figures: Path
) -> float | None:
    """Return the seconds that a notebook will take at full scale, by the records of `figures` alone.

    None if there is no telling. It is the same wherever these figures are, and what a stand-in for data took
    says nothing.

    Parameters
    ----------
    notebook : Notebook
    values : mapping
        The parameters of the preset ``paper``.
    formula : str
        The cost of the notebook; empty if none is declared.
    figures : Path
        The folder of figures.
    """
    if notebook.trouble:
        return None
    try:
        asked = all_parameters(notebook, values)
    except (TypeError, ValueError):  # a preset that it cannot take, which `check` says
        return None
    clocks = (clock for place in PLACES.values() for clock in _recorded(figures / place, notebook, real=True))
    return _scaled(clocks, asked, formula)


def _scaled(
    clocks: Iterable[tuple[float, dict[str, Any]]], asked: Mapping[str, Any], formula: str
) -> float | None:
    """Return the seconds with the parameters `asked`, by clocks read with these or others."""
    first = None
    for seconds, parameters in clocks:
        if same_figure(parameters, asked):
            return START + seconds
        first = first or (seconds, parameters)
    if first is None or not formula:
        return None
    try:
        return START + first[0] * cost(formula, asked) / cost(formula, first[1])
    except ValueError:
        return None


def ending_within(seconds: float, estimates: Mapping[str, float | None], workers: int) -> list[str]:
    """Return the names of what ends within so many seconds by these estimates, the shortest first.

    What has no estimate is not among them. The work is shared by so many `workers`.

    Examples
    --------
    >>> ending_within(60, {"a": 50, "b": 5, "c": None, "d": 61}, workers=1)
    ['b', 'a']
    >>> ending_within(60, {"a": 50, "b": 55}, workers=2)
    ['a', 'b']
    """
    chosen, total = [], 0.0
    known = {name: one for name, one in estimates.items() if one is not None}
    for name in sorted(known, key=lambda name: known[name]):
        total += known[name]
        if known[name] > seconds or total > seconds * workers:
            break
        chosen.append(name)
    return chosen


def in_words(seconds: float | None) -> str:
    """Return a duration as people say it, to two digits.

    Examples
    --------
    >>> in_words(8.2), in_words(95), in_words(5400), in_words(250_000), in_words(6.3e9), in_words(None)
    ('8 s', '1.6 min', '1.5 h', '2.9 d', '200 y', '?')
    """
    if seconds is None:
        return "?"
    unit = next((unit for unit, size in reversed(UNITS.items()) if seconds >= size), "s")
    value = seconds / UNITS[unit]
    return f"{value:.0f} {unit}" if value >= 10 or unit == "s" else f"{value:.1f} {unit}"


def read_duration(text: str) -> float:
    """Return the seconds of a duration such as ``90s``, ``20min``, ``2h`` or ``1.5 d``.

    Raises
    ------
    ValueError
        If it is none, or is not positive.

    Examples
    --------
    >>> read_duration("90s"), read_duration("20min"), read_duration("1.5 h")
    (90.0, 1200.0, 5400.0)
    """
    match = DURATION.fullmatch(text.strip())
    try:
        seconds = float(match[1]) * UNITS[match[2]] if match else 0.0
    except ValueError:
        seconds = 0.0
    if seconds <= 0:
        raise ValueError(f"a duration must be like 90s, 20min, 2h or 1d, got {text!r}")
    return seconds


def _clocks(folder: Path, notebook: Notebook) -> Iterable[tuple[float, dict[str, Any]]]:
    """Yield what making a figure took and with which parameters: here, and where its record was written."""
    if (state := read_state(folder, notebook)) and state.seconds:
        yield state.seconds, state.origin.parameters
    yield from _recorded(folder, notebook)


def _recorded(
    folder: Path, notebook: Notebook, *, real: bool = False
) -> Iterable[tuple[float, dict[str, Any]]]:
    """Yield what making a figure took by its record, and with which parameters, if there is one.

    If it is to be of `real` data, none of a stand-in.
    """
    try:
        record = find_record(folder, notebook)
        if record and not (real and record.stand_in):
            known = {name: v for name, v in record.parameters.items() if name in notebook.parameters}
            yield record.seconds, all_parameters(notebook, known)
    except (TypeError, ValueError):  # it is spoilt, which `list` says
        return


def _value(node: ast.expr, parameters: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number):
            return number
        case ast.Name(id=name):
            if name not in parameters:
                raise ValueError(
                    f"a cost names {name!r}, which is no parameter{near_match(name, parameters)}"
                )
            value = parameters[name]
            if not isinstance(value, bool | int | float):
                raise TypeError
            return value
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in SUMS:
            first, second = _value(left, parameters), _value(right, parameters)
            if isinstance(sign, ast.Pow) and abs(second) > 100:
                raise ArithmeticError
            return SUMS[type(sign)](float(first), float(second))
        case ast.Call(func=ast.Name(id=name), args=[ast.Name(id=of)], keywords=[]) if name in OF_LISTS:
            if of not in parameters:
                raise ValueError(f"a cost names {of!r}, which is no parameter{near_match(of, parameters)}")
            if not isinstance(parameters[of], list):
                raise TypeError
            return OF_LISTS[name](parameters[of])
    raise TypeError
