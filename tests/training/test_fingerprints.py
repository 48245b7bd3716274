"""Fingerprints: equal in every process, and different for whatever can make a difference."""

import copy
import functools
import math
import operator
import os
import subprocess
import sys
import threading
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory import nn as layers
from curse_of_memory import tasks
from curse_of_memory.nn import RNN, SSM
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tasks.teacher import TeacherFilter, random_rnn
from curse_of_memory.training.fingerprints import Fingerprints, NoFingerprintError


def covered(module):
    top = module.partition(".")[0]
    return top in sys.stdlib_module_names or top in ("numpy", "torch", "pandas", "curse_of_memory", "joblib")


def taken(value, **settings):
    return Fingerprints(covered, **settings).of(value)


Pair = namedtuple("Pair", "a b")
GLOBAL = 3
CHANGED = [0]


@dataclass
class Plain:
    a: int
    b: float = 1.0

    def times(self, x):
        return self.a * x


class Kept:
    def __init__(self, a):
        self.a = a

    @functools.cached_property
    def slow(self):
        return self.a**2


def uses_global(x):
    return x + GLOBAL


def calls_another(x):
    return uses_global(x) + 1


def closes_over(y):
    return lambda x, z=1: x + y + z


def parameter(value, **options):
    return nn.Parameter(torch.tensor(value), **options)


ARRAY = np.arange(6.0).reshape(2, 3)
DIFFERENT = {
    "numbers of every type": [
        0,
        0.0,
        -0.0,
        False,
        None,
        "0",
        b"0",
        0j,
        np.int64(0),
        np.float64(0),
        np.float32(0),
    ],
    "special numbers": [math.nan, math.inf, -math.inf, 1e-320, np.nan * np.float32(1)],
    "containers": [[1, 2], (1, 2), {1, 2}, frozenset({1, 2}), {1: 2}, [[1], 2], [1, [2]], Pair(1, 2), []],
    "order": [{"a": 1, "b": 2}, {"b": 2, "a": 1}, OrderedDict(a=1, b=2), [1, 2], [2, 1]],
    "arrays": [
        *(ARRAY, ARRAY.T, ARRAY.ravel(), ARRAY.astype("f4"), ARRAY.astype(">f8"), np.asfortranarray(ARRAY)),
        *(ARRAY.astype("i8"), ARRAY.tolist(), ARRAY.astype(object), ARRAY[:, ::2], ARRAY + 1e-12),
    ],
    "tensors": [
        *(
            torch.zeros(2),
            torch.zeros(2, dtype=torch.float64),
            torch.zeros(1, 2),
            torch.zeros(2).requires_grad_(),
        ),
        *(parameter([0.0, 0.0]), np.zeros(2, "f4"), torch.zeros(2, dtype=torch.int32), torch.zeros(2) + 1e-9),
        *(torch.zeros(2, dtype=torch.complex64), torch.zeros(2, dtype=torch.bfloat16), torch.zeros(4)[::2]),
    ],
    "tables": [
        pd.DataFrame({"a": [1, 2]}),
        pd.DataFrame({"a": [1.0, 2.0]}),
        pd.DataFrame({"b": [1, 2]}),
        pd.DataFrame({"a": [1, 2]}, index=[1, 2]),
        pd.Series([1, 2], name="a"),
    ],
    "functions": [
        *(
            closes_over(1),
            closes_over(2),
            uses_global,
            calls_another,
            operator.add,
            operator.sub,
            lambda x: x,
        ),
        *(lambda x: x + 1, lambda x: x + 1.0, lambda x=1: x, functools.partial(uses_global, 1)),
        *(functools.partial(uses_global, 1.0), Plain(1).times, Plain(2).times, math.sin, np.sin, len),
    ],
    "objects": [Plain(1), Plain(1, 2.0), Plain(True), Kept(1), Kept(2), Plain, Kept, Path("a"), slice(1, 2)],
    "models": [
        *(RNN(2, seed=0), RNN(2, seed=1), RNN(3, seed=0), RNN(2, seed=0, activation="tanh")),
        *(RNN(2, seed=0).double(), RNN(2, seed=0).eval(), SSM(2, seed=0), nn.ReLU()),
    ],
    "tasks": [
        *(LinearFunctional(lambda t: 0.5**t, 8), LinearFunctional(lambda t: 0.25**t, 8)),
        *(LinearFunctional(lambda t: 0.5**t, 9), tasks.Copying(2, 3), tasks.Copying(2, 4)),
        *(TeacherFilter(random_rnn(3, seed=s), 5) for s in (0, 1)),
    ],
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_whatever_makes_a_difference_has_another_fingerprint(what):
    values = DIFFERENT[what]
    assert len({taken(value) for value in values}) == len(values)
    assert len({taken([value, 1]) for value in values}) == len(values)  # inside of something, too


EQUAL = {
    "strings": lambda: ["aa", "aaZ"[:2]],
    "sets": lambda: [{"a", "b", "c"}, set("cba")],
    "NaN": lambda: [[math.nan], [float("nan")]],
    "aliases": lambda: [[ARRAY, ARRAY], [ARRAY, ARRAY.copy()]],
    "closures": lambda: [closes_over(1), closes_over(1)],
    "models": lambda: [RNN(2, seed=0), RNN(2, seed=0)],
    "objects": lambda: [Plain(1), Plain(1)],
    "dtypes": lambda: [np.dtype("f8"), np.dtype("float64")],
}


@pytest.mark.parametrize("what", EQUAL)
def test_equal_values_have_equal_fingerprints(what):
    first, second = EQUAL[what]()
    assert taken(first) == taken(second)


def test_answers_that_are_kept_do_not_count():
    fresh, asked = Kept(3), Kept(3)
    assert asked.slow == 9
    assert taken(fresh) == taken(asked)


def test_that_its_objects_were_copied_changes_no_class():
    class Fresh:
        def __init__(self):
            self.a = 1

    before = taken(Fresh)
    copy.deepcopy(Fresh())
    assert "__slotnames__" in vars(Fresh)  # what copying left there
    assert taken(Fresh) == before


def test_what_a_function_names_counts_however_deep(monkeypatch):
    before = taken(calls_another)
    monkeypatch.setattr(sys.modules[__name__], "GLOBAL", 3.0)
    assert taken(calls_another) != before
    monkeypatch.setattr(sys.modules[__name__], "GLOBAL", 3)
    assert taken(calls_another) == before
    monkeypatch.setattr(sys.modules[__name__], "uses_global", lambda x: x)
    assert taken(calls_another) != before


def test_what_holds_itself_has_a_fingerprint():
    def ring(length):
        values = [None] * length
        values[-1] = values
        return values

    assert taken(ring(2)) == taken(ring(2)) != taken(ring(3))

    def again(n):
        return again(n - 1) if n else 0

    assert taken(again) == taken(again)


def sets_a_global(x):
    global GLOBAL
    GLOBAL = x


def imports_a_stranger(x):
    import stranger

    return stranger


UNKNOWN = {
    "a lock": threading.Lock(),
    "a generator": (i for i in range(3)),
    "a function that sets a global": sets_a_global,
    "a function that imports what is not covered": imports_a_stranger,
    "a module that is not covered": pytest,
    "a tensor that remembers": torch.ones(1, requires_grad=True) * 2,
    "a sparse tensor": torch.zeros(2).to_sparse(),
    "a lambda over a lock": closes_over(threading.Lock()),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_cannot_be_followed_has_none(what):
    with pytest.raises(NoFingerprintError):
        taken(UNKNOWN[what])
    with pytest.raises(NoFingerprintError):
        taken({"inside": [UNKNOWN[what]]})


def test_depth_is_refused_in_one_line():
    deep = []
    for _ in range(10_000):
        deep = [deep]
    with pytest.raises(NoFingerprintError, match="too many levels"):
        taken(deep)


@pytest.mark.parametrize("at", [0, 1_000_000, 3_999_999])
def test_a_large_tensor_that_torch_has_written_to_is_gone_through_again(at):
    large = torch.zeros(4_000_000)
    known = {}
    before = taken(large, large=known)
    assert taken(large, large=known) == before == taken(large)
    large[at] = 1.0
    assert taken(large, large=known) != before
    assert taken(large, large=known) == taken(large)


@pytest.mark.slow
def test_another_process_finds_the_same(tmp_path):
    code = (
        "import sys; sys.path.insert(0, {root!r})\n"
        "from tests.training import test_fingerprints as t\n"
        "print([t.taken(v) for what in ('functions', 'models', 'tasks') for v in t.DIFFERENT[what]])"
    )
    root = str(Path(__file__).parents[2])
    told = subprocess.run(
        [sys.executable, "-c", code.format(root=root)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "1"},  # here it is another one, or random
    ).stdout
    here = [taken(value) for what in ("functions", "models", "tasks") for value in DIFFERENT[what]]
    assert told == f"{here}\n"


@pytest.mark.parametrize(
    "build", [lambda: RNN(3, seed=0), lambda: SSM(3, seed=0), lambda: layers.S4D(3, 4, seed=0)]
)
def test_a_model_that_has_answered_is_what_it_was_aside_of_its_weights(build):
    """Else no training of it would have a checkpoint."""
    model = build()
    tensors = list(model.state_dict(keep_vars=True).values())
    before = taken(model, aside=tensors), taken(model)
    model(torch.randn(2, 5, getattr(model, "input_size", 1))).sum().backward()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(1.0)
    assert taken(model, aside=tensors) == before[0]
    assert taken(model) != before[1]


def test_a_teacher_that_has_answered_is_what_it_was():
    task = TeacherFilter(random_rnn(3, seed=0), 5, normalized=True)
    before = taken(task)
    task.sample(4, seed=1, dtype=torch.float32)
    assert taken(task) == before
