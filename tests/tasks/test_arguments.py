"""Every argument of every task is checked where it is given, and what tasks are given stays as it was."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from curse_of_memory.tasks import (
    Adding,
    AttentionApproximation,
    Copying,
    FitzHughNagumo,
    HeartRate,
    LinearFunctional,
    Lorenz96,
    PennTreebank,
    Pointwise,
    SequentialImages,
    TeacherFilter,
    VolterraFunctional,
    WikiText2,
    random_rnn,
    random_transformer,
)

FOUR = [1.0, 0.5, 0.25, 0.125]
# how each task is made from keywords, with values that are right
MAKE = {
    "adding": (Adding, {"horizon": 4}),
    "neuron": (FitzHughNagumo, {"horizon": 4}),
    "linear": (LinearFunctional, {"rho": FOUR, "horizon": 4}),
    "volterra": (VolterraFunctional, {"horizon": 4, "first": FOUR}),
    "attention": (AttentionApproximation, {"channels": 2, "horizon": 4}),
    "copying": (Copying, {"memory_length": 2, "blank": 3}),
    "lorenz": (Lorenz96, {"horizon": 4}),
    "pointwise": (Pointwise, {"function": torch.sin, "horizon": 4}),
    "teacher": (TeacherFilter, {"model": random_rnn(4, 0), "horizon": 4}),
    "rnn": (random_rnn, {"width": 4, "seed": 0}),
    "transformer": (random_transformer, {"width": 4, "heads": 1, "feedforward": 4, "seed": 0}),
    "images": (SequentialImages, {"name": "mnist"}),
    "text": (WikiText2, {}),
    "heart": (HeartRate, {}),
    "treebank": (PennTreebank, {"level": "words", "data": "stand-in"}),
}
FILES_OF = {"images": "small_mnist", "text": "small_wikitext", "heart": "small_bidmc"}
COUNTS = {
    "adding": ["horizon"],
    "neuron": ["horizon"],
    "linear": ["horizon"],
    "volterra": ["horizon"],
    "attention": ["channels", "horizon", "heads"],
    "copying": ["memory_length", "blank", "symbols"],
    "lorenz": ["horizon", "sites", "substeps"],
    "pointwise": ["horizon", "channels"],
    "teacher": ["horizon", "input_size"],
    "rnn": ["width", "input_size", "output_size"],
    "transformer": ["width", "heads", "feedforward", "input_size", "output_size"],
    "images": ["size"],
    "text": ["vocabulary", "sequence_length"],
    "heart": ["samples", "averaged"],
    "treebank": ["size", "vocabulary"],
}
NUMBERS = {
    "linear": ["dt", "variance"],
    "volterra": ["dt", "variance"],
    "attention": ["variance"],
    "lorenz": ["dt", "variance"],
    "teacher": ["variance"],
}
SEEDS = {
    "attention": ["seed"],
    "rnn": ["seed"],
    "transformer": ["seed"],
    "images": ["permuted", "split_seed"],
    "heart": ["patients_seed"],
}
FLAGS = {
    "attention": ["projected"],
    "teacher": ["normalized"],
    "images": ["row_by_row"],
    "heart": ["normalised"],
}
WORDS = {
    "linear": ["inputs"],
    "copying": ["encoding", "targets"],
    "rnn": ["activation"],
    "images": ["name", "split"],
    "text": ["split"],
    "heart": ["division", "data"],
    "treebank": ["level", "split", "data"],
}
ILL = {
    "count": (COUNTS, [0, -1, 1.5, True, "3", [3]]),
    "number": (NUMBERS, [0.0, -1.0, math.nan, math.inf, True, "x", [1.0]]),
    "seed": (SEEDS, [-1, 0.5, True, "x", 2**63, [1]]),
    "flag": (FLAGS, [1, "yes", [True]]),
    "word": (WORDS, ["", "x", 3, [1]]),
}
CASES = [
    (task, name, value)
    for table, values in ILL.values()
    for task, names in table.items()
    for name in names
    for value in values
]
MORE = [
    ("adding", "horizon", 1),
    ("linear", "rho", "x"),
    ("linear", "rho", [1.0, math.nan, 0.0, 0.0]),
    ("linear", "rho", [1j, 0, 0, 0]),
    ("linear", "rho", [1.0]),
    ("volterra", "first", "x"),
    ("volterra", "second", [[1.0]]),
    ("lorenz", "forcing", math.nan),
    ("lorenz", "forcing", "x"),
    ("lorenz", "observed", 8),
    ("lorenz", "observed", -1),
    ("lorenz", "observed", 2.0),
    ("lorenz", "observed", True),
    ("lorenz", "sites", 3),
    ("pointwise", "low", math.nan),
    ("pointwise", "low", 2.0),
    ("pointwise", "high", "x"),
    ("pointwise", "function", 3),
    ("pointwise", "function", torch.sum),
    ("teacher", "model", "x"),
    ("attention", "heads", 3),
    ("heart", "samples", 4001),
    ("heart", "averaged", 3),
]


@pytest.mark.parametrize(("task", "name", "value"), CASES + MORE)
def test_an_ill_argument_is_refused_by_its_name_in_one_line(task, name, value, request):
    if task in FILES_OF:
        request.getfixturevalue(FILES_OF[task])
    make, right = MAKE[task]
    with pytest.raises((TypeError, ValueError)) as refusal:
        make(**(right | {name: value}))
    assert "\n" not in str(refusal.value)
    assert name in str(refusal.value)


@pytest.mark.parametrize("seed", [-1, 0.5, True, "x", None, (), (0, -1), (0, 0.5), (0, True), 2**63])
@pytest.mark.parametrize("task", [t for t in MAKE if t not in ("rnn", "transformer", "treebank")])
def test_an_ill_seed_of_a_batch_is_refused(task, seed, request):
    if task in FILES_OF:
        request.getfixturevalue(FILES_OF[task])
    make, right = MAKE[task]
    with pytest.raises((TypeError, ValueError), match=r"^seed must"):
        make(**right).sample(2, seed=seed)


def test_public_seeds_are_those_of_numpy():
    task = LinearFunctional(FOUR, 4)
    for seed in (3, (3, 1), [3, 1], np.int64(3), np.array([3, 1])):
        draws = np.random.default_rng(seed).standard_normal((2, 4, 1))
        assert np.array_equal(task.sample(2, seed=seed, dtype=torch.float64).inputs, draws)


# --- code that works in place, and teachers that are no maps --------------------------------------


def test_what_works_in_place_leaves_inputs_as_they_are():
    class Doubled(nn.Module):
        def __init__(self, in_place):
            super().__init__()
            self.in_place = in_place

        def forward(self, x):
            return x.mul_(2.0) if self.in_place else x * 2.0

    pairs = [
        (Pointwise(lambda x: x.mul_(2.0), 4), Pointwise(lambda x: x * 2.0, 4)),
        (TeacherFilter(Doubled(True), 4), TeacherFilter(Doubled(False), 4)),
    ]
    for task, twin in pairs:
        for mine, other in zip(task.sample(3, seed=0), twin.sample(3, seed=0), strict=True):
            assert torch.equal(mine, other)

    def second(s, r):
        s *= 0.5
        return s + r

    expected = VolterraFunctional(4, second=lambda s, r: 0.5 * s + r)
    assert np.array_equal(VolterraFunctional(4, second=second).second, expected.second)


@pytest.mark.parametrize("kind", ["random", "keeps state"])
@pytest.mark.parametrize("normalized", [False, True])
def test_a_teacher_that_is_no_map_is_refused(kind, normalized):
    class Spoiled(nn.Module):
        calls = 0

        def forward(self, x):
            self.calls += 1
            return x + (torch.randn_like(x) if kind == "random" else self.calls)

    with pytest.raises(ValueError, match="model must answer alike at every call"):
        TeacherFilter(Spoiled(), 4, normalized=normalized)
