"""What no figure can be made of is refused before anything is computed: by every figure, by the name."""

import importlib
import inspect
import math
import pkgutil
import typing
from collections.abc import Sequence

import numpy as np
import pytest

from curse_of_memory import papers
from curse_of_memory.report.figure import figure_data

FIGURES = {
    function.figure_name: function
    for module in pkgutil.walk_packages(papers.__path__, "curse_of_memory.papers.")
    for _, function in inspect.getmembers(importlib.import_module(module.name), callable)
    if hasattr(function, "figure_name")
}
ARGUMENTS = [
    (figure, name, parameter.annotation)
    for figure, function in FIGURES.items()
    for name, parameter in inspect.signature(function).parameters.items()
]
LISTS = {int: [3, 3], float: [0.5, 0.5], str: ["a", "a"]}
WRONG = {
    int: (True, 2.0, -1, "3", None),
    float: (True, math.nan, "x", None),
    str: (3, True),
    bool: (1, "yes"),
}


def refuses(figure, name, value):
    with pytest.raises((TypeError, ValueError), match=rf"^{name} must ") as refusal:
        FIGURES[figure](**{name: value})
    assert "\n" not in str(refusal.value)
    return refusal.type


@pytest.mark.parametrize(("figure", "name", "kind"), ARGUMENTS)
def test_every_argument_is_checked_before_anything_is_computed(figure, name, kind):
    if typing.get_origin(kind) is not Sequence:
        for value in WRONG[kind]:
            refuses(figure, name, value)
        return
    (entry,) = typing.get_args(kind)
    assert refuses(figure, name, []) is ValueError
    assert refuses(figure, name, LISTS[entry]) is ValueError
    for value in (*([wrong] for wrong in WRONG[entry]), "abc", 3):
        refuses(figure, name, value)


@figure_data("a/b", title="", source="")
def allowed(
    *,
    powers: Sequence[float] = (0,),
    rates: Sequence[float] = (1,),
    widths: Sequence[int] = (1,),
    power: float = 0,
    width: int = 1,
    seed: int = 0,
    device: str = "cpu",
):
    raise KeyError("computed")


@pytest.mark.parametrize(
    "arguments",
    [
        {"powers": [-1, math.inf, -math.inf], "rates": np.array([0.5, 2]), "widths": np.arange(1, 4)},
        {"power": -2, "width": np.int32(3), "seed": 2**63 - 1},
        {"seed": 0, "rates": (0.1,)},
    ],
)
def test_what_has_a_meaning_is_computed(arguments):
    with pytest.raises(KeyError, match="computed"):
        allowed(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rates": [0.1, 0.0]}, "rates must be positive, got 0.0"),
        ({"rates": [math.inf]}, "rates must be finite, got inf"),
        ({"rates": [1, 1.0]}, "rates must hold different values, got 1.0 twice"),
        ({"powers": [math.nan]}, "powers must be finite, got nan"),
        ({"powers": np.array([])}, "powers must not be empty"),
        ({"power": math.inf}, "power must be finite, got inf"),
        ({"widths": [0]}, "widths must be at least 1, got 0"),
        ({"widths": 3}, "widths must be a list, got 3"),
        ({"seed": True}, "seed must be a whole number, got True"),
        ({"seed": -1}, "seed must not be negative, got -1"),
        ({"device": None}, "device must be a text, got None"),
    ],
)
def test_refusals_name_the_argument(arguments, message):
    with pytest.raises((TypeError, ValueError), match=message):
        allowed(**arguments)
