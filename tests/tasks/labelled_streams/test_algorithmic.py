"""Programs are run by an interpreter of their words alone."""

import re

import pytest
import torch

from curse_of_memory.tasks.labelled_streams import NOT_ASKED, Algorithmic


def run(words):
    """Values that are printed, and how long ago they were assigned, by step."""
    values, assigned, printed, start = {}, {}, {}, 0
    for t, word in enumerate(words):
        if word != ";":
            continue
        statement, at, start = words[start:t], start, t + 1
        if statement[0] == "print":
            printed[t] = values[statement[1]], t - assigned[statement[1]]
            continue
        if statement[0] == "if":
            _, name, sign, bound, _, *statement = statement
            if not (values[name] < int(bound) if sign == "<" else values[name] > int(bound)):
                continue
        match statement:
            case [name, "=", value]:
                values[name], assigned[name] = int(value), at + 2
            case [name, "++"]:
                values[name] += 1
            case [name, "--"]:
                values[name] -= 1
        assert 1 <= values[name] <= 10
    return printed


@pytest.mark.parametrize("variables", [1, 3, 5])
def test_printed_values_are_those_of_the_program(variables):
    task = Algorithmic(variables, statements=30)
    stream = task.stream(8000, seed=1)
    printed = run(task.text(stream))
    asked = stream.asked.nonzero()[:, 0].tolist()
    assert asked == list(printed)
    assert len(asked) > 250
    assert [label + 1 for label in stream.labels[asked].tolist()] == [printed[t][0] for t in asked]
    assert stream.ages[asked].tolist() == [printed[t][1] for t in asked]
    assert (stream.labels[~stream.asked] == NOT_ASKED).all()
    assert len(stream.labels[asked].unique()) == 10
    assert len(stream.inputs.unique()) == task.vocabulary  # every kind of statement


def test_streams_are_seeded():
    task = Algorithmic()
    assert torch.equal(task.stream(300, seed=2).inputs, task.stream(300, seed=2).inputs)
    assert not torch.equal(task.stream(300, seed=2).inputs, task.stream(300, seed=3).inputs)
    assert torch.equal(task.stream(300, seed=2).labels, task.stream(3000, seed=2).labels[:300])
    assert Algorithmic(statements=10**12).stream(20, seed=0).inputs.shape == (20,)
    assert repr(eval(repr(task), {"Algorithmic": Algorithmic})) == repr(task)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Algorithmic(6), "variables must be at most 5, got 6"),
        (lambda: Algorithmic(0), "variables must be"),
        (lambda: Algorithmic(statements=0), "statements must be"),
        (lambda: Algorithmic().stream(0, seed=0), "steps must be"),
    ],
)
def test_ill_numbers_are_refused_in_one_line(call, message):
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
