"""Instructions: what is asked can be read off the text, and the world is the published one."""

import itertools
import json
import re

import pytest
import torch

from curse_of_memory.tasks.data_files import FILES, VARIABLE, available, find
from curse_of_memory.tasks.labelled_streams import LIGHT, NOT_ASKED, Instructions, part_of, words_of
from curse_of_memory.tasks.labelled_streams.light_world import FILE

needs_world = pytest.mark.skipif(not available("light"), reason="the world of LIGHT is not here")
SMALL = {"rooms": 12, "agents": 8, "descriptions": False}


def read_off(words, agents):
    """Labels and ages, from the words of the text alone."""
    messages, asked = {}, {}
    for t in range(len(words)):
        if words[t : t + 5] == [words[t], "says", "can", "you", "tell"] and len(words) > t + 9:
            sender, receiver = words[t], words[t + 6]
            assert words[t + 9] == sender
            messages[receiver] = sender, t + 9
        if words[t : t + 3] == ["you", "tell", "the"] and words[t - 1] != "can" and len(words) > t + 3:
            receiver = words[t + 3]
            sender, named = messages.pop(receiver)
            asked[t + 3] = sender, t + 3 - named
    assert {*messages} <= {*agents}
    return asked


@pytest.mark.parametrize("options", [SMALL, {}], ids=["small", "whole"])
@pytest.mark.parametrize("data", ["stand-in", pytest.param("real", marks=needs_world)])
def test_senders_are_those_of_the_text(data, options):
    task = Instructions(data=data, **options)
    stream = task.stream(40_000, seed=1)
    asked = read_off(task.text(stream), task.world.agents)
    where = stream.asked.nonzero()[:, 0].tolist()
    assert where == [t for t in asked]
    assert [task.words[label] for label in stream.labels[where].tolist()] == [asked[t][0] for t in where]
    assert stream.ages[where].tolist() == [asked[t][1] for t in where]
    assert (stream.labels[~stream.asked] == NOT_ASKED).all()
    assert len(where) > (400 if options else 50)


def test_streams_are_seeded():
    task = Instructions(data="stand-in", **SMALL)
    assert torch.equal(task.stream(500, seed=2).inputs, task.stream(500, seed=2).inputs)
    assert not torch.equal(task.stream(500, seed=2).inputs, task.stream(500, seed=3).inputs)
    assert task.stream(1, seed=0).inputs.shape == (1,)


def test_who_walks_is_where_the_ways_lead():
    task = Instructions(data="stand-in", **SMALL)
    world, words = task.world, task.text(task.stream(20_000, seed=4))
    visited = [
        world.rooms.index(words[t + 4])
        for t in range(len(words) - 5)
        if words[t : t + 4] == ["you", "are", "in", "the"]
    ]
    assert len(visited) > 500
    assert all(b in world.exits[a] for a, b in itertools.pairwise(visited))
    assert set(visited) == set(range(12))


@needs_world
def test_the_world_is_the_published_one():
    world = LIGHT.read("world")
    assert (len(world.rooms), len(world.agents)) == (36, 18)
    assert len(set(world.rooms)) == 36
    assert len(set(world.agents)) == 18
    assert sum(map(len, world.exits)) / 36 == pytest.approx(2.11, abs=0.005)
    assert all(a in world.exits[b] for a, exits in enumerate(world.exits) for b in exits)
    with find(FILES["light"][FILE]).open(encoding="utf-8") as file:
        content = json.load(file)
    room = content["nodes"][content["rooms"][1]]
    assert world.descriptions[1] == words_of(room["desc"])


def test_the_stand_in_has_the_size_of_the_world():
    world = LIGHT.make("world")
    assert (len(world.rooms), len(world.agents)) == (36, 18)
    assert len({*world.rooms, *world.agents}) == 54
    assert all(a in world.exits[b] for a, exits in enumerate(world.exits) for b in exits)
    assert len(part_of(world, 36, 18).rooms) == 36  # all can be reached
    note = "a made world of the same size, in place of the world of LIGHT"
    assert Instructions(data="stand-in").stand_in == note


def test_words_are_cut_at_marks():
    assert words_of("It's dark, very-dark!") == ("it's", "dark", ",", "very-dark", "!")


def damaged(folder, text):
    path = folder / FILES["light"][FILE].path
    path.parent.mkdir()
    path.write_text(text)


def test_another_file_is_refused_by_its_checksum(tmp_path, monkeypatch):
    damaged(tmp_path, "{}")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(ValueError, match="is not the published file") as caught:
        Instructions()
    assert "\n" not in str(caught.value)
    assert FILE in str(caught.value)


BAD = {
    "too many rooms": (lambda: Instructions(37, data="stand-in"), "rooms must be at most 36"),
    "too many agents": (lambda: Instructions(agents=19, data="stand-in"), "agents must be at most 18"),
    "two agents": (lambda: Instructions(agents=2, data="stand-in"), "agents must be"),
    "no rooms": (lambda: Instructions(0, data="stand-in"), "rooms must be"),
    "nowhere to go": (lambda: Instructions(1, 4, data="stand-in"), "rooms must be at least 2, got 1"),
    "a part without rooms": (lambda: part_of(LIGHT.make("world"), 0, 3), "rooms must be at least 1, got 0"),
    "a part of fractions": (lambda: part_of(LIGHT.make("world"), 2.5, 3), "rooms must be a whole number"),
    "negative agents": (lambda: part_of(LIGHT.make("world"), 3, -3), "agents must be at least 2, got -3"),
    "a part of nothing": (lambda: part_of(None, 3, 3), "world must be a World, got None"),
    "words of nothing": (lambda: words_of(None), "text must be a text, got None"),
    "no choice": (lambda: Instructions(descriptions=None, data="stand-in"), "descriptions must be"),
    "other data": (lambda: Instructions(data="made"), "data must be one of"),
    "no steps": (lambda: Instructions(data="stand-in").stream(-1, seed=0), "steps must be"),
}


@pytest.mark.parametrize("what", BAD)
def test_ill_numbers_are_refused_in_one_line(what):
    call, message = BAD[what]
    with pytest.raises((ValueError, TypeError), match=re.escape(message)) as caught:
        call()
    assert "\n" not in str(caught.value)
