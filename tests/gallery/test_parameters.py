import math

import pytest

from curse_of_memory.gallery.core_yaml import read_yaml
from curse_of_memory.gallery.parameters import (
    Parameter,
    preset_of,
    read_parameters,
    read_value,
    resolve,
    same_value,
)


def parameter(kind, default=None):
    return Parameter("x", kind, default, "")


def test_declarations_are_read_with_type_default_and_help():
    code = """
# a comment of its own
widths: list[int] = [
    2,  # not help
    4,
]  # hidden widths
label: str = "a=b # c"  # text with signs
rate: float = 1
"""
    found = read_parameters(code)
    assert found["widths"] == Parameter("widths", "list[int]", [2, 4], "hidden widths")
    assert found["label"] == Parameter("label", "str", "a=b # c", "text with signs")
    assert found["rate"] == Parameter("rate", "float", 1.0, "")
    assert type(found["rate"].default) is float


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 3", "not of the form"),
        ("x: int", "not of the form"),
        ("x: int = 2 * 3", "not of the form"),
        ("import os", "not of the form"),
        ("x: int | None = None", "the type of x must be one of"),
        ("x: flaot = 1.0", "did you mean 'float'"),
        ("x: int = 1.5", "x must be int, got 1.5"),
        ("x: list[int] = [1, 'a']", "x must hold int, got 'a'"),
        ("x: int = 1\nx: int = 2", "declared twice"),
    ],
)
def test_other_declarations_are_refused(code, message):
    with pytest.raises((ValueError, TypeError), match=message.replace("|", r"\|")):
        read_parameters(code)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "12", 12),
        ("float", "3", 3.0),
        ("int", "017", 17),  # YAML 1.1 takes it for an octal number, 15
        ("int", "0o17", 15),
        ("float", "inf", math.inf),
        ("str", "2001-02-03", "2001-02-03"),
        ("list", "[190:20:30, 2001-02-03, no, 010]", ["190:20:30", "2001-02-03", "no", 10]),
        ("float", "1e-3", 1e-3),  # YAML alone would take this for a word
        ("float", ".inf", math.inf),
        ("bool", "true", True),
        ("str", "off", "off"),  # YAML alone would take this for False
        ("str", "7", "7"),
        ("list", "[1, a]", [1, "a"]),
        ("list[float]", "[1, 2e-2]", [1.0, 0.02]),
    ],
)
def test_typed_values(kind, text, value):
    read = read_value(parameter(kind), text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("int", "1.0"),
        ("int", "true"),
        ("float", "fast"),
        ("float", "true"),
        ("bool", "1"),
        ("list", "3"),
        ("list[int]", "[1, 2.5]"),
        ("int", "[unclosed"),
        ("int", "190:20:30"),  # to YAML 1.1 a number of seconds
        ("int", "1_000"),
        ("int", "2001-02-03"),
        ("int", "9" * 5000),
        ("int", "[" * 5000),
        ("float", "9" * 400),
        ("float", "1e400"),
        ("float", "'0.5'"),
        ("bool", "yes"),
        ("list", "[[1]]"),
        ("list", "[null]"),
        ("list", "[{a: 1}]"),
        ("list[int]", "[true]"),
        ("list[float]", "[" + "9" * 400 + "]"),
        ("int", "&a [*a]"),
        ("list", "&a [*a]"),
        ("list", "!!timestamp 2001-02-03"),
    ],
)
def test_values_of_another_type_are_refused(kind, text):
    with pytest.raises(TypeError, match=r"x must (be|hold)"):
        read_value(parameter(kind), text)


def test_unknown_parameters_are_refused_with_the_near_one():
    declared = {"horizon": Parameter("horizon", "int", 1, ""), "output_dir": parameter("str")}
    message = r"unknown parameter 'horizn' for a/b \(did you mean 'horizon'\?\)"
    with pytest.raises(ValueError, match=message):
        resolve("a/b", declared, {"horizn": 3})
    with pytest.raises(ValueError, match=r"it has horizon$"):
        resolve("a/b", declared, {"zzz": 3})
    with pytest.raises(ValueError, match="see --out"):
        resolve("a/b", declared, {"output_dir": "x"})


def test_a_preset_is_one_there_is():
    presets = {"fast": {}, "paper": {"a/b": {"horizon": 64}, "c": {}}}
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        preset_of(presets, "papr")
    assert preset_of(presets, "paper") == presets["paper"]


# from the tables of the core schema, sections 10.2.1 and 10.3.2 of YAML 1.2.2
@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("null", None), ("Null", None), ("~", None), ("", None), ("nULL", "nULL")),
        *(("true", True), ("True", True), ("FALSE", False), ("tRUE", "tRUE"), ("yes", "yes"), ("off", "off")),
        *(("0", 0), ("-19", -19), ("+12", 12), ("0o7", 7), ("0x3A", 58), ("017", 17), ("0b11", "0b11")),
        *(
            ("0.", 0.0),
            ("-0.0", -0.0),
            (".5", 0.5),
            ("+12e03", 12000.0),
            ("-2E+05", -200000.0),
            ("1e-3", 0.001),
        ),
        *((".inf", math.inf), ("-.Inf", -math.inf), ("+.INF", math.inf), ("inf", "inf"), ("nan", "nan")),
        *(("12:30:45", "12:30:45"), ("2001-12-14", "2001-12-14"), ("1_000", "1_000"), ("0o8", "0o8")),
        *(('"017"', "017"), ("!!str 017", "017"), ("<<", "<<"), ("=", "="), ("1e", "1e"), (".", ".")),
    ],
)
def test_yaml_is_that_of_the_core_schema(text, value):
    found = read_yaml(f"- {text}")[0]
    assert found == value
    assert type(found) is type(value)
    assert math.isnan(read_yaml("[.nan]")[0])


def test_same_value():
    assert same_value([1, 2.0], [1.0, 2])
    assert same_value(math.nan, math.nan)
    assert not same_value([1, 2], [1])
    assert not same_value(1, 2)
    assert not same_value(1, True)
