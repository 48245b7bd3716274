"""Corridor, portal and distant copy: what is asked was seen, and its age has the law that is claimed."""

import math
import re

import numpy as np
import pytest
import torch

from curse_of_memory.tasks.labelled_streams import (
    NOT_ASKED,
    AgeLaw,
    Corridor,
    DistantCopy,
    Portal,
    law_of_ages,
)

TASKS = {
    "corridor": Corridor(12, shortest=2, colours=3, noise=2),
    "corridor of one length": Corridor(5, shortest=5),
    "copy": DistantCopy(9, shortest=3, length=2, symbols=3, noise=1),
    "portal": Portal(3, longest=4, shortest=1),
    "portal of one room": Portal(1, longest=2, shortest=2, noise=1),
}


@pytest.mark.parametrize("name", TASKS)
def test_streams_are_seeded_and_of_the_length_asked_for(name):
    task = TASKS[name]
    one, again, other = (task.stream(301, seed=seed) for seed in (3, 3, (3, 1)))
    assert all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    assert not torch.equal(one.inputs, other.inputs)
    for part in one:
        assert part.shape == (301,)
        assert part.dtype == torch.int64
    assert 0 <= one.inputs.min() <= one.inputs.max() < task.vocabulary
    assert torch.equal(one.labels != NOT_ASKED, one.ages >= 0)
    assert torch.equal(one.asked, one.ages >= 0)
    assert task.stream(1, seed=0).inputs.shape == (1,)


def test_a_short_stream_of_a_long_walk_is_short():
    assert torch.equal(Portal(3).stream(40, seed=1).labels, Portal(3).stream(400, seed=1).labels[:40])
    assert Portal(100_000).stream(50, seed=0).inputs.shape == (50,)


@pytest.mark.parametrize("name", ["corridor", "corridor of one length", "copy"])
def test_what_is_asked_is_the_input_of_its_age(name):
    stream = TASKS[name].stream(5000, seed=1)
    asked = stream.asked.nonzero()[:, 0]
    assert len(asked) > 300
    assert torch.equal(stream.inputs[asked - stream.ages[asked]], stream.labels[asked])


def replayed(task, inputs):
    """Right exits as they can be read off a walk through the portals: label and age of every step."""
    labels, ages = [NOT_ASKED] * len(inputs), [-1] * len(inputs)
    known, left = {}, {}
    at = None  # the room that was left last, and the step and token of its exit
    for t, token in enumerate(inputs):
        if token <= task.goal:
            if at is not None:
                room, step, way = at
                onward = token == room + 1
                known[room], left[room] = way if onward else 1 - way, step
            if token == task.goal:
                known, left, at = {}, {}, None
                continue
            if token in known:
                labels[t], ages[t] = known[token], t - left[token]
            here = token
        elif token in task.exits:
            at = here, t, task.exits.index(token)
    return labels, ages


@pytest.mark.parametrize("name", ["portal", "portal of one room"])
def test_right_exits_of_portals_can_be_read_off_the_walk(name):
    task = TASKS[name]
    stream = task.stream(6000, seed=2)
    labels, ages = replayed(task, stream.inputs.tolist())
    assert stream.labels.tolist() == labels
    assert stream.ages.tolist() == ages
    assert stream.asked.sum() > 300
    assert stream.labels[stream.asked].double().mean() == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize("name", TASKS)
def test_drawn_ages_have_the_law_of_the_closed_form(name):
    task = TASKS[name]
    stream = task.stream(200_000, seed=4)
    drawn, law = law_of_ages(stream.ages, task.age_law.guessing), task.age_law
    # Dvoretzky, Kiefer and Wolfowitz: in a thousand million draws of the n ages one is farther off. At most
    # six questions of an episode depend on each other, which is as if there were a sixth of them.
    n = int(stream.asked.sum()) / 6
    bound = math.sqrt(math.log(2e9) / (2 * n))
    for reach in range(len(law.chances)):
        assert abs(drawn.beyond(reach) - law.beyond(reach)) < bound
    assert law.chances.sum() == pytest.approx(1, abs=1e-14)


def test_shares_of_questions_are_one_in_an_episode():
    task = TASKS["corridor"]
    share = task.stream(200_000, seed=5).asked.double().mean().item()
    assert share == pytest.approx(task.asked_share, rel=0.02)  # 22 000 episodes of 9 ± 3.2 steps


@pytest.mark.parametrize("W", [1, 2, 5, 8, 20])
def test_no_guesser_with_a_window_is_better_than_the_floor(W):
    """The best answer of all from the last W steps, by counting what they say: what else is there to know."""
    task = Corridor(9, shortest=1, colours=2, noise=1)
    stream = task.stream(60_000, seed=6)
    right = np.zeros(2)
    for t in stream.asked.nonzero()[:, 0].tolist():
        seen = stream.inputs[max(0, t - W) : t].tolist()[::-1]
        colour = next((x for x in seen if x < 2), None)
        ends = task.door in seen and (colour is None or seen.index(task.door) < seen.index(colour))
        right += [colour == stream.labels[t] if colour is not None and not ends else 0.5, 1]
    error, n = 1 - right[0] / right[1], right[1]
    assert error == pytest.approx(task.age_law.floor(W), abs=6 * 0.5 / math.sqrt(n))


def test_floors_fall_from_guessing_to_zero():
    law = Corridor(200).age_law
    assert law.floor(0) == pytest.approx(0.5, abs=1e-15)
    assert law.floor(3) == pytest.approx(0.5, abs=1e-15)
    assert law.floor(128) == pytest.approx(0.5 * 73 / 198, rel=1e-13)  # lengths 128 to 200 of 198
    assert law.floor(201) == 0.0
    assert law.floor(10**9) == 0.0
    for error in (0.0, 0.01, 0.1, 0.3, 0.5, 0.9):
        D = law.least_reach(error)
        assert law.floor(D) <= error * (1 + 1e-9)
        assert D == 0 or law.floor(D - 1) > error
    assert law.quantile(1.0) == 201
    assert law.mean == pytest.approx(102.5)


BAD = {
    "a long corridor": (lambda: Corridor(5, shortest=6), "shortest must be at most longest = 5, got 6"),
    "one colour": (lambda: Corridor(5, colours=1), "colours must be"),
    "no noise": (lambda: Portal(2, noise=0), "noise must be"),
    "no rooms": (lambda: Portal(0), "rooms must be"),
    "an endless corridor": (lambda: Corridor(2**63 - 1), "longest must be at most 2^24"),
    "endless kinds of noise": (lambda: DistantCopy(5, noise=10**12), "noise must be at most 2^24"),
    "an endless copy": (lambda: DistantCopy(5, length=10**12), "length must be at most 2^24"),
    "endless rooms": (lambda: Portal(10**10), "rooms must be at most 2^24"),
    "ages that are fractions": (lambda: law_of_ages([1.5], 0.5), "ages must be whole numbers"),
    "ages that are words": (lambda: law_of_ages("abc", 0.5), "ages must be whole numbers"),
    "no ages": (lambda: law_of_ages(None, 0.5), "ages must be whole numbers"),
    "a long passage": (lambda: Portal(2, longest=3, shortest=4), "shortest must be at most longest = 3"),
    "a long text": (lambda: DistantCopy(3, shortest=4), "shortest must be at most longest = 3, got 4"),
    "one symbol": (lambda: DistantCopy(3, shortest=1, symbols=1), "symbols must be"),
    "no steps": (lambda: Corridor(5).stream(0, seed=0), "steps must be"),
    "no seed": (lambda: Portal(2).stream(10, seed=None), "seed must be"),
    "no chances": (lambda: AgeLaw([], 0.5), "chances must"),
    "chances of another sum": (lambda: AgeLaw([0.5, 0.4], 0.5), "chances must be at least zero, of the"),
    "negative chances": (lambda: AgeLaw([1.5, -0.5], 0.5), "chances must be at least zero"),
    "a large error": (lambda: AgeLaw([1.0], 1.5), "guessing must be an error of at most 1, got 1.5"),
    "nothing asked": (lambda: law_of_ages([-1, -1], 0.5), "ages must be asked at one step at least"),
    "a negative reach": (lambda: AgeLaw([1.0], 0.5).floor(-1), "reach must"),
    "no share": (lambda: AgeLaw([1.0], 0.5).quantile(0.0), "share must be above 0 and at most 1, got 0.0"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD)
def test_ill_numbers_are_refused_in_one_line(what):
    call, message = BAD[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", TASKS)
def test_tasks_are_printed_with_all_that_they_are_made_of(name):
    task = TASKS[name]
    copy = eval(repr(task), {"Corridor": Corridor, "DistantCopy": DistantCopy, "Portal": Portal})
    assert repr(copy) == repr(task)
    assert torch.equal(copy.stream(50, seed=0).inputs, task.stream(50, seed=0).inputs)
