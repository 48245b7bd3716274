"""Instructions in a text world: whoever is met may send a message to somebody, who is met much later.

Rules.      At each step of time all agents act in turn. The first one sees, and what it sees is the text. If
            it is where somebody is for whom it has a message, it tells it: that is when the sender is asked.
            Who else is in its room says, with the chance 26/101, that it wants to see the first one who is in
            another room and has no message waiting. Then the agent goes through any exit, with the chance
            50/101.

Source.     The task of instructions in "Not All Memories are Created Equal" (2105.06548); rules and chances
            are those of the simple agents in LIGHT, ``projects/longcontext`` of 2020, which are very likely
            those of the paper. What they say is ours.
"""

from collections.abc import Sequence

import numpy as np

from curse_of_memory.tasks.labelled_streams.light_world import LIGHT, part_of
from curse_of_memory.tasks.labelled_streams.stream import NOT_ASKED, LabelledStream, cut
from curse_of_memory.tasks.sampling import drawn_by
from curse_of_memory.tools import checks

__all__ = ["Instructions"]

SAYS, MOVES = 26 / 101, 50 / 101
SPOKEN = (
    *("you", "are", "is", "in", "the", "here", "arrives", "leaves", "says", "can", "tell", "that"),
    *("wants", "to", "see", "them", ".", "?", "!"),
)


class Instructions:
    """Stream of words from a walk through a world, with the question who sent a message, when it is told.

    Messages and their telling read ``fox says can you tell the smith that the fox wants to see them ?`` and,
    later, ``you tell the smith fox wants to see you !``. The answer ``fox`` is asked at ``smith``.

    Parameters
    ----------
    rooms, agents : int, optional
        How many of the world, at least two and three; all unless given. Rooms are those nearest to the first.
    descriptions : bool
        Whether a room is described when it is entered, or only named.
    data : {'real', 'stand-in', 'auto'}
        The published world of LIGHT; a made one; or the first where it can be had and else the second.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, or a file that is not the published one.
    FileNotFoundError
        If the file is neither on this machine nor can be downloaded; says where it was looked for.

    Notes
    -----
    Ages are counted in words, from the name of the sender in the message, which is its last word of use. The
    attribute `stand_in` says what stands in for what, and is empty for the published world.

    Examples
    --------
    >>> task = Instructions(rooms=12, agents=8, descriptions=False, data="stand-in")
    >>> stream = task.stream(1000, seed=0)
    >>> stream.inputs.shape, bool((stream.labels[stream.asked] < task.vocabulary).all())
    (torch.Size([1000]), True)
    """

    def __init__(
        self,
        rooms: int | None = None,
        agents: int | None = None,
        *,
        descriptions: bool = True,
        data: str = "real",
    ):
        source = LIGHT.source(data)
        self.stand_in = LIGHT.note(source)
        world = LIGHT.content("world", source)
        rooms = len(world.rooms) if rooms is None else checks.whole_number("rooms", rooms, least=2)
        agents = len(world.agents) if agents is None else checks.whole_number("agents", agents, least=3)
        self.world = part_of(world, rooms, agents)
        self.descriptions = checks.flag("descriptions", descriptions)
        described = {word for words in self.world.descriptions for word in words} if descriptions else set()
        names = [*self.world.agents, *self.world.rooms]
        self.words = [*names, *sorted({*SPOKEN, *described} - set(names))]
        self.vocabulary = len(self.words)

    def __repr__(self) -> str:
        return (
            f"Instructions(rooms={len(self.world.rooms)}, agents={len(self.world.agents)}, "
            f"descriptions={self.descriptions}, words={self.vocabulary}"
            f"{', stand-in' if self.stand_in else ''})"
        )

    def text(self, stream: LabelledStream) -> list[str]:
        """Return the words of a `stream`."""
        return [self.words[token] for token in stream.inputs.tolist()]

    def stream(self, steps: int, *, seed: int | Sequence[int]) -> LabelledStream:
        """Return the first `steps` words of an endless walk; equal seeds give equal ones.

        Parameters
        ----------
        steps : int
            Length of the stream, in words.
        seed : int or sequence of int
            Names the draw.
        """
        T = checks.positive_int("steps", steps)
        walk = _Walk(self, drawn_by(seed))
        while len(walk.text) < T:
            walk.step()
        labels, ages = np.full(len(walk.text), NOT_ASKED), np.full(len(walk.text), -1)
        for when, answer, age in walk.asked:
            labels[when], ages[when] = answer, age
        return cut(T, np.array(walk.text), labels, ages)


class _Walk:
    """The state of a world, and the text so far, as word numbers."""

    def __init__(self, task: Instructions, generator: np.random.Generator):
        self._task, self._world, self._generator = task, task.world, generator
        self._number = {word: i for i, word in enumerate(task.words)}
        self._places = list(task.world.places)
        self._messages: dict[int, tuple[int, int]] = {}  # by receiver: the sender, and when it was last named
        self.text: list[int] = []
        self.asked: list[tuple[int, int, int]] = []
        self._look_around()

    def step(self) -> None:
        """Let every agent act once."""
        for agent in range(len(self._places)):
            if agent == 0:
                self._deliver()
            elif self._places[agent] == self._places[0] and self._generator.random() < SAYS:
                self._send(agent)
            if self._generator.random() < MOVES:
                self._move(agent)

    def _say(self, words: str) -> None:
        self.text += [self._number[word] for word in words.split()]

    def _look_around(self) -> None:
        """Say where the first agent is, and who else is there."""
        room = self._places[0]
        self._say(f"you are in the {self._world.rooms[room]} .")
        if self._task.descriptions:
            self.text += [self._number[word] for word in self._world.descriptions[room]]
        for agent, place in enumerate(self._places):
            if agent and place == room:
                self._say(f"{self._world.agents[agent]} is here .")

    def _deliver(self) -> None:
        """Tell a message to the first one here who has one waiting."""
        names = self._world.agents
        for receiver, (sender, named) in sorted(self._messages.items()):
            if self._places[receiver] == self._places[0]:
                self._say(f"you tell the {names[receiver]}")
                when = len(self.text) - 1
                self.asked.append((when, self._number[names[sender]], when - named))
                self._say(f"{names[sender]} wants to see you !")
                del self._messages[receiver]
                return

    def _send(self, sender: int) -> None:
        """Say that the first one who can be sent for is wanted."""
        names, here = self._world.agents, self._places[0]
        for receiver in range(1, len(names)):
            if receiver != sender and receiver not in self._messages and self._places[receiver] != here:
                self._say(f"{names[sender]} says can you tell the {names[receiver]} that the {names[sender]}")
                self._messages[receiver] = sender, len(self.text) - 1
                self._say("wants to see them ?")
                return

    def _move(self, agent: int) -> None:
        """Let an agent go through any exit, and say what is seen of it."""
        exits = self._world.exits[self._places[agent]]
        if not exits:
            return
        name, here = self._world.agents[agent], self._places[0]
        before = self._places[agent]
        self._places[agent] = exits[int(self._generator.integers(len(exits)))]
        if agent == 0:
            self._look_around()
        elif before == here:
            self._say(f"{name} leaves .")
        elif self._places[agent] == here:
            self._say(f"{name} arrives .")
