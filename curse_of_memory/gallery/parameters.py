"""The parameters of notebooks: read from their declarations, and values checked against these.

papermill itself lets an unknown parameter pass with a log line, and reads declarations by a regular
expression. Here a declaration is parsed as Python, and values are checked before a kernel starts.
"""

import ast
import io
import math
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from curse_of_memory.gallery.core_yaml import read_yaml
from curse_of_memory.tools.checks import near_match, one_of

__all__ = [
    *("COMMON", "Parameter", "plain_values", "preset_of", "read_parameters", "read_value", "resolve"),
]

SCALARS = {"int": int, "float": float, "str": str, "bool": bool}
TYPES = [*SCALARS, "list", *(f"list[{scalar}]" for scalar in SCALARS)]

# what every notebook declares: the type, and the default where it is the same in all
COMMON = {"seed": ("int", None), "device": ("str", "auto"), "output_dir": ("str", "")}
# set through --out, so that a batch knows where its figures are
RESERVED = "output_dir"
WORDS = ("inf", "-inf", "nan")  # floats that JSON and YAML have no other simple words for


@dataclass(frozen=True)
class Parameter:
    """One declared parameter, ``name: type = default  # help``."""

    name: str
    type: str
    default: Any
    help: str

    def accept(self, value: Any) -> Any:
        """Return `value` as the declared type.

        Raises
        ------
        TypeError
            If it is of another type.
        """
        inner = self.type.removeprefix("list").strip("[]") if self.type.startswith("list") else None
        if inner is None:
            return self._scalar(self.type, value)
        if not isinstance(value, list):
            raise TypeError(f"{self.name} must be a {self.type}, got {value!r}")
        if inner:
            return [self._scalar(inner, item) for item in value]
        if not plain_values({self.name: value}):
            raise TypeError(f"{self.name} must hold numbers and texts, got {value!r}")
        return value

    def _scalar(self, scalar: str, value: Any) -> Any:
        if scalar == "float" and (value in WORDS or type(value) is int):
            try:
                value = float(value)
            except OverflowError:
                raise TypeError(f"{self.name} must be float, got a number too large for one") from None
        if type(value) is not SCALARS[scalar]:
            part = "hold " if self.type.startswith("list") else "be "
            raise TypeError(f"{self.name} must {part}{scalar}, got {value!r}")
        return value


def read_parameters(code: str) -> dict[str, Parameter]:
    """Return the parameters that the code of a cell declares, by name.

    Raises
    ------
    ValueError, TypeError, SyntaxError
        If a statement is not ``name: type = literal`` or the literal is not of that type.

    Examples
    --------
    >>> read_parameters("horizon: int = 64  # number of time steps")["horizon"]
    Parameter(name='horizon', type='int', default=64, help='number of time steps')
    """
    tree = ast.parse(code)  # first, since what is not Python has no tokens, either
    comments = {
        token.start[0]: token.string.lstrip("# ").strip()
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.COMMENT
    }
    declared: dict[str, Parameter] = {}
    for node in tree.body:
        try:
            if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value):
                raise ValueError
            name, annotation = node.target.id, ast.unparse(node.annotation)
            default = ast.literal_eval(node.value)
        except (ValueError, TypeError):
            text = ast.unparse(node).splitlines()[0]
            raise ValueError(f"{text!r} is not of the form 'name: type = literal  # help'") from None
        one_of(f"the type of {name}", annotation, TYPES)
        if name in declared:
            raise ValueError(f"{name} is declared twice")
        draft = Parameter(name, annotation, default, comments.get(node.end_lineno or 0, ""))
        # an int default of a float parameter is what Python itself would allow
        declared[name] = Parameter(name, annotation, draft.accept(default), draft.help)
    return declared


def read_value(parameter: Parameter, text: str) -> Any:
    """Return the value that a text from the command line has for a parameter; for a ``str``, the text itself.

    Raises
    ------
    TypeError
        If the text is no value of the declared type.
    """
    if parameter.type == "str":
        return text
    try:
        value = read_yaml(text)
    except ValueError:
        raise TypeError(f"{parameter.name} must be {parameter.type}, got {text!r}") from None
    return parameter.accept(value)


def preset_of(presets: Mapping[str, Mapping], preset: str) -> Mapping[str, Mapping]:
    """Return the preset of this name: parameters and values by notebook.

    Raises
    ------
    ValueError
        If there is no such preset.
    """
    return presets[one_of("preset", preset, presets)]


def resolve(name: str, declared: Mapping[str, Parameter], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return `values` for the notebook `name`, each as the type that the notebook declares.

    A text from the command line must pass `read_value` first.

    Raises
    ------
    ValueError
        If a parameter is not declared, or may not be set.
    TypeError
        If a value is of another type.
    """
    accepted = {}
    for key, value in values.items():
        parameter = declared_as(name, declared, key)
        try:
            accepted[key] = parameter.accept(value)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
    return accepted


def declared_as(name: str, declared: Mapping[str, Parameter], key: str) -> Parameter:
    """Return the declaration of parameter `key` of notebook `name`.

    Raises
    ------
    ValueError
        If it is not declared, or may not be set; the message says which one is near.
    """
    if key == RESERVED:
        raise ValueError(f"{RESERVED} cannot be set; the batch chooses it (see --out)")
    if key not in declared:
        hint = near_match(key, declared) or f"; it has {', '.join(k for k in declared if k != RESERVED)}"
        raise ValueError(f"unknown parameter {key!r} for {name}{hint}")
    return declared[key]


def plain_values(values: Mapping[str, Any]) -> bool:
    """Return whether all values can be those of parameters: bool, int, float, str, or lists of these."""
    entries = (e for value in values.values() for e in (value if isinstance(value, list) else [value]))
    return all(isinstance(entry, int | float | str) for entry in entries)


def same_value(first: Any, second: Any) -> bool:
    """Return whether two values are equal, where 1 equals 1.0 and not True, and NaN equals NaN."""
    if isinstance(first, bool) != isinstance(second, bool):
        return False
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same_value, first, second))
    if isinstance(first, float) and isinstance(second, float) and math.isnan(first):
        return math.isnan(second)
    return first == second
