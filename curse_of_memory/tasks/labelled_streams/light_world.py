"""The world of LIGHT: rooms with exits, and who is in them; read from its published map, or made.

Source.     ``complex_world.json`` of facebookresearch/LIGHT, ``scripts/examples``, as it was on 4 September
            2020: 36 rooms, 18 agents.
"""

import json
import re
from dataclasses import dataclass

import numpy as np

from curse_of_memory.tasks.data_files import FILES, fetch
from curse_of_memory.tasks.data_sets import DataSet
from curse_of_memory.tools import checks

__all__ = ["LIGHT", "World", "part_of", "words_of"]

FILE = "complex_world_2020-09-04.json"
MADE_ROOMS, MADE_AGENTS, MADE_WORDS = 36, 18, 40
KINDS = ("hall", "cave", "tower", "garden", "cellar", "bridge", "mill", "chapel")
TRADES = ("baker", "smith", "miller", "weaver", "fisher", "hunter", "carter", "mason")
FILLER = (
    "old",
    "dark",
    "stone",
    "wooden",
    "quiet",
    "narrow",
    "cold",
    "bright",
    "dusty",
    "high",
    "low",
    "wall",
)


@dataclass(frozen=True)
class World:
    """Rooms of a text world with the ways between them, and the agents in them.

    Attributes
    ----------
    rooms : tuple of str
        Names, each one word.
    descriptions : tuple of tuple of str
        Words that describe each room.
    exits : tuple of tuple of int
        Which rooms can be gone to from each; ways lead in both directions.
    agents : tuple of str
        Names, each one word; the first one is who sees.
    places : tuple of int
        Room of each agent at first.
    """

    rooms: tuple[str, ...]
    descriptions: tuple[tuple[str, ...], ...]
    exits: tuple[tuple[int, ...], ...]
    agents: tuple[str, ...]
    places: tuple[int, ...]


def words_of(text: str) -> tuple[str, ...]:
    """Return the words and marks of a `text`, in lower case; anything else is refused by a TypeError."""
    if not isinstance(text, str):
        raise TypeError(f"text must be a text, got {checks.shown(text)}")
    return tuple(re.findall(r"[a-z0-9'-]+|[^\sa-z0-9'-]", text.lower()))


def _name(text: str) -> str:
    """Return a name as one word."""
    return "_".join(text.lower().split())


def _read(part: str) -> World:
    """Return the published world."""
    path = fetch(FILES["light"][FILE])
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        nodes, keys = content["nodes"], content["rooms"]
        number = {key: i for i, key in enumerate(keys)}
        return World(
            tuple(_name(nodes[key]["name"]) for key in keys),
            tuple(words_of(nodes[key]["desc"]) for key in keys),
            tuple(tuple(number[other] for other in nodes[key]["neighbors"]) for key in keys),
            tuple(_name(nodes[key]["name"]) for key in content["agents"]),
            tuple(number[nodes[key]["container_node"]["target_id"]] for key in content["agents"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no map of LIGHT: {type(error).__name__}: {error}") from None


def _made(part: str) -> World:
    """Return a made world of the same size: a tree of rooms with some more ways, and random words."""
    generator = np.random.default_rng(0)
    ways: list[set[int]] = [set() for _ in range(MADE_ROOMS)]
    pairs = [(i, int(generator.integers(i))) for i in range(1, MADE_ROOMS)]
    pairs += [tuple(generator.choice(MADE_ROOMS, 2, replace=False).tolist()) for _ in range(3)]
    for a, b in pairs:
        ways[a].add(b)
        ways[b].add(a)
    described = tuple(
        tuple(generator.choice(FILLER, int(generator.integers(5, MADE_WORDS))).tolist())
        for _ in range(MADE_ROOMS)
    )
    return World(
        tuple(f"{KINDS[i % len(KINDS)]}_{i // len(KINDS)}" for i in range(MADE_ROOMS)),
        described,
        tuple(tuple(sorted(way)) for way in ways),
        tuple(f"{TRADES[i % len(TRADES)]}_{i // len(TRADES)}" for i in range(MADE_AGENTS)),
        tuple(generator.integers(0, MADE_ROOMS, MADE_AGENTS).tolist()),
    )


LIGHT: DataSet[World] = DataSet("light", "the world of LIGHT", "a made world of the same size", _read, _made)
"""The published world, and a made one of as many rooms and agents."""


def part_of(world: World, rooms: int, agents: int) -> World:
    """Return the `rooms` nearest to the first one, and the first `agents`, each in a room of these.

    Parameters
    ----------
    world : World
    rooms, agents : int
        How many, at least one and two.

    Raises
    ------
    ValueError, TypeError
        If the world has not so many, it is none, or a number is below that or no whole number.
    """
    if not isinstance(world, World):
        raise TypeError(f"world must be a World, got {checks.shown(world)}")
    checks.positive_int("rooms", rooms)
    checks.whole_number("agents", agents, least=2)
    for name, count, most in (("rooms", rooms, len(world.rooms)), ("agents", agents, len(world.agents))):
        if count > most:
            raise ValueError(f"{name} must be at most {most}, all of this world, got {count}")
    near = [0]
    for room in near:  # grows while it is read: nearest first
        near += [other for other in world.exits[room] if other not in near]
    if len(near) < rooms:
        raise ValueError(f"rooms must be at most {len(near)}, those that can be reached, got {rooms}")
    kept = near[:rooms]
    number = {room: i for i, room in enumerate(kept)}
    return World(
        tuple(world.rooms[room] for room in kept),
        tuple(world.descriptions[room] for room in kept),
        tuple(tuple(number[other] for other in world.exits[room] if other in number) for room in kept),
        world.agents[:agents],
        tuple(number.get(place, i % rooms) for i, place in enumerate(world.places[:agents])),
    )
