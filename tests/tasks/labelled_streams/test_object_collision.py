"""Object Collision against its rules, one step at a time, and against what its published sizes give."""

import re

import numpy as np
import pytest
import torch

from curse_of_memory.tasks.labelled_streams import NOT_ASKED, ObjectCollision, law_of_ages

SMALL = ObjectCollision(grid=4, colours=2)


def test_what_is_asked_is_the_last_collision_of_the_pair_by_a_plain_loop():
    motion = SMALL.happen(4000, seed=1)
    last, latest = {}, None
    for t in range(4000):
        a, b = motion.cells[t]
        if (a == b).all():
            latest = tuple(motion.colours[t])
            last[latest] = t, 2 * (a[0] >= 2) + (a[1] >= 2)
        if motion.easy[t]:
            assert tuple(motion.asked[t]) == (latest or (-1, -1))
        when, quadrant = last.get(tuple(motion.asked[t]), (None, -1))
        assert motion.quadrants[t] == quadrant
        assert motion.ages[t] == (-1 if when is None else t - when)
    assert (motion.ages == 0).any()  # of the same step, too
    assert len(last) == 4


def test_particles_go_straight_on_inside_of_the_box():
    generator = np.random.default_rng(0)
    task = ObjectCollision(grid=6, speed=0.8)
    path = task._walk(20_000, generator)
    assert path.shape == (20_000, 2)
    assert path[1:].min() > 0
    assert path[1:].max() < 5
    steps = np.diff(path, axis=0)
    turns = np.flatnonzero(np.abs(np.diff(steps, axis=0)).max(1) > 1e-12)
    assert len(turns) < len(path) / 2
    # a particle turns only where the next step would leave the box
    ahead = path[turns + 1] + steps[turns]
    assert ((ahead <= 1e-9) | (ahead >= 5 - 1e-9)).any(1).all()


def test_halves_are_rounded_to_even_cells():
    assert np.rint([0.5, 1.5, 2.5, 3.5]).tolist() == [0, 2, 2, 4]  # as torch.round and Python do
    assert torch.round(torch.tensor([0.5, 1.5, 2.5, 3.5])).tolist() == [0, 2, 2, 4]
    motion = ObjectCollision(grid=3).happen(3000, seed=0)
    assert set(motion.cells.reshape(-1).tolist()) == {0, 1, 2}


def test_colours_are_drawn_anew_at_their_rate():
    colours = ObjectCollision(colours=5, new_colour=0.05).happen(200_000, seed=2).colours
    changed = (np.diff(colours, axis=0) != 0).mean()
    assert changed == pytest.approx(0.05 * 4 / 5, abs=6 * np.sqrt(0.04 / 400_000))  # one in five is the same
    assert np.bincount(colours.reshape(-1)).min() > 0.18 * 400_000


@pytest.fixture(scope="module")
def published():
    return ObjectCollision().happen(2_000_000, seed=0)


def test_numbers_of_the_published_sizes(published):
    """As measured on simulations of 5 million steps by the rules of the public code."""
    met = (published.cells[:, 0] == published.cells[:, 1]).all(1).mean()
    assert met == pytest.approx(0.0041, abs=0.0002)
    known = published.ages >= 0
    assert known.mean() > 0.995
    shares = np.bincount(published.quadrants[known]) / known.sum()
    assert np.abs(shares - 0.25).max() < 0.02
    easy, hard = published.ages[known & published.easy], published.ages[known & ~published.easy]
    assert np.median(easy) == pytest.approx(293, rel=0.05)
    assert np.quantile(easy, 0.99) < 2200
    assert np.median(hard) == pytest.approx(7030, rel=0.05)


FLOORS = {1000: 66.5, 4000: 51.7, 8000: 43.4, 16_000: 37.0, 32_000: 30.0, 64_000: 20.0}  # in per cent


@pytest.mark.parametrize(("tokens", "floor"), FLOORS.items())
def test_floors_by_window_are_those_of_the_published_sizes(published, tokens, floor):
    law = law_of_ages(published.ages, 0.75)
    # thousands of tokens may be 1000 or 1024 of them
    assert any(100 * law.floor(tokens * k // 8000) == pytest.approx(floor, abs=0.5) for k in (1000, 1024))


def test_a_floor_is_no_bound_for_who_sees_where_particles_were():
    """A rule that reads nothing but the oldest step in sight is below it."""
    motion, law = SMALL.happen(200_000, seed=5), SMALL.age_law(200_000, seed=5)
    quadrants = (2 * motion.cells[:, 0] >= SMALL.grid) @ [2, 1]
    for D in (16, 64):
        beyond = np.flatnonzero(motion.ages > D)
        wrong = (quadrants[beyond - D] != motion.quadrants[beyond]).mean()
        assert wrong < 0.75 - 3 * 0.43 / np.sqrt(len(beyond) / 10)  # as if ten questions were one
        assert law.beyond(D) * wrong < law.floor(D)


def test_quadrants_of_odd_grids_are_not_guessed_alike():
    """Of three rows the last is in one half, alone and half as wide: [1.5, 2] of [0, 2]."""
    task = ObjectCollision(grid=3, colours=1)
    stream, law = task.stream(8 * 50_000, seed=6), task.age_law(50_000, seed=6)
    answers = stream.labels[stream.asked]
    always_first = (answers != 0).double().mean().item()
    assert always_first < 0.6  # (3/4)² of the box is the first quadrant
    assert law.floor(0) < law.guessing == pytest.approx(always_first, abs=1e-12)
    assert SMALL.age_law(1000).guessing == 0.75


def test_many_colours_cost_no_more():
    motion = ObjectCollision(grid=2, colours=2**24).happen(300, seed=0)
    assert (motion.ages >= 0).any()


def test_tokens_are_those_of_the_public_code():
    task = ObjectCollision()
    motion, stream = task.happen(600, seed=3), task.stream(4800, seed=3)
    tokens, labels = stream.inputs.reshape(600, 8), stream.labels.reshape(600, 8)
    first, second = motion.cells[:, 0], motion.cells[:, 1]
    expected = [
        first[:, 0], 16 + first[:, 1], 32 + motion.colours[:, 0],
        second[:, 0], 16 + second[:, 1], 32 + motion.colours[:, 1],
        37 + motion.asked[:, 0], 37 + motion.asked[:, 1],
    ]  # fmt: skip
    assert np.array_equal(tokens, np.stack(expected, 1))
    assert (labels[:, :7] == NOT_ASKED).all()
    known = motion.ages >= 0
    assert np.array_equal(labels[:, 7], np.where(known, motion.quadrants, NOT_ASKED))
    assert np.array_equal(stream.ages.reshape(600, 8)[:, 7], np.where(known, 8 * motion.ages, -1))
    assert (tokens[motion.asked[:, 0] < 0, 6] == 36).all()
    assert (motion.asked[:, 0] < 0).any()
    assert task.vocabulary == 42


def test_vectors_say_the_same_as_tokens():
    task = ObjectCollision(grid=4, colours=2, form="vectors")
    motion, stream = task.happen(500, seed=4), task.stream(500, seed=4)
    assert stream.inputs.shape == (500, task.input_size) == (500, 26)
    assert set(stream.inputs.unique().tolist()) == {0.0, 1.0}
    groups = stream.inputs.split([4, 4, 2, 4, 4, 2, 3, 3], 1)
    said = [group.argmax(1).numpy() for group in groups]
    assert all((group.sum(1) == 1).all() for group in groups)
    first, second = motion.cells[:, 0], motion.cells[:, 1]
    expected = [
        *(first[:, 0], first[:, 1], motion.colours[:, 0]),
        *(second[:, 0], second[:, 1], motion.colours[:, 1]),
        *(1 + motion.asked[:, 0], 1 + motion.asked[:, 1]),
    ]
    assert np.array_equal(said, expected)
    assert torch.equal(stream.ages, torch.from_numpy(motion.ages))


def test_equal_seeds_give_equal_streams():
    for form in ("tokens", "vectors"):
        task = ObjectCollision(form=form)
        assert torch.equal(task.stream(100, seed=(1, 2)).inputs, task.stream(100, seed=(1, 2)).inputs)
        assert not torch.equal(task.stream(100, seed=1).inputs, task.stream(100, seed=2).inputs)


BAD = {
    "a grid of one": (lambda: ObjectCollision(1), "grid must be"),
    "no colours": (lambda: ObjectCollision(colours=0), "colours must be"),
    "no speed": (lambda: ObjectCollision(speed=0.0), "speed must be"),
    "a speed that leaves the box": (lambda: ObjectCollision(speed=17), "speed must be at most grid = 16"),
    "too many colours": (lambda: ObjectCollision(colours=2**25), "colours must be at most 2^24"),
    "an endless grid": (lambda: ObjectCollision(10**15), "grid must be at most 2^24"),
    "a large chance": (lambda: ObjectCollision(new_colour=1.1), "new_colour must be from 0 to 1, got 1.1"),
    "a negative share": (lambda: ObjectCollision(easy=-0.1), "easy must be from 0 to 1, got -0.1"),
    "another form": (lambda: ObjectCollision(form="words"), "form must be one of"),
    "no steps": (lambda: SMALL.stream(0, seed=0), "steps must be"),
}


@pytest.mark.parametrize("what", BAD)
def test_ill_numbers_are_refused_in_one_line(what):
    call, message = BAD[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
