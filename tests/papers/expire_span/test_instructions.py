"""Instructions in a text world: what is known in sight, tiny trainings, and the stand-in of the world."""

import numpy as np
import pytest

from curse_of_memory.papers.expire_span import instructions
from curse_of_memory.papers.expire_span.instructions import SIGHT, guessing_by_receiver
from curse_of_memory.report.long_table import rows
from curse_of_memory.tasks.labelled_streams import Instructions


def tiny_data(*, rooms=3, agents=4, words=4000, data="stand-in"):
    return instructions.data(
        rooms=rooms,
        agents=agents,
        words=words,
        data=data,
        windows=[9],
        width=8,
        block=8,
        max_span=32,
        ramp=4,
        batch_size=4,
        updates=20,
        tried_steps=800,
        seeds=1,
    )


@pytest.fixture(scope="module")
def tiny():
    return tiny_data()


def test_the_line_is_what_is_in_sight_of_all_layers(tiny):
    """Counted question by question: one that is out of sight is answered by the most frequent sender."""
    stream = Instructions(3, 4, descriptions=False, data="stand-in").stream(4000, seed=(0, 9))
    asked = [(int(r), int(s), int(a)) for r, s, a in zip(*stream, strict=True) if s >= 0]
    by_receiver = {}
    for receiver, sender, _ in asked:
        by_receiver.setdefault(receiver, []).append(sender)
    wrong = sum(len(some) - max(some.count(one) for one in some) for some in by_receiver.values())
    guessing = wrong / len(asked)
    assert guessing_by_receiver(stream) == pytest.approx(guessing, abs=1e-12)
    line = rows(tiny.table, law=SIGHT)
    expected = [np.mean([age > 2 * window for *_, age in asked]) * guessing for window in line.live]
    assert line.error.to_numpy() == pytest.approx(expected, abs=1e-12)
    assert line.error.iloc[0] == pytest.approx(guessing, abs=1e-12)
    assert line.error.iloc[-1] == 0


def test_spans_and_windows_are_trained(tiny):
    trained = tiny.table[tiny.table.law != SIGHT]
    assert set(trained.law) == {"Expire-Span", "window"}
    assert rows(trained, law="window").live.iloc[0] == pytest.approx(9, abs=0.1)
    assert ((trained.error >= 0) & (trained.error <= 1)).all()


def test_a_made_world_is_called_a_stand_in(tiny):
    assert "made world" in tiny.stand_in
    assert "Stand-in data" in instructions.plot(tiny).get_suptitle()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"agents": 3}, "agents must be"),
        ({"rooms": 1000}, "rooms must be at most 36"),
        ({"words": 5}, "words must be enough for a question, got 5"),
        ({"data": "other"}, "data must be"),
    ],
    ids=lambda part: next(iter(part)) if isinstance(part, dict) else "",
)
def test_what_cannot_be_asked_is_refused_in_one_line(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        tiny_data(**options)
    assert "\n" not in str(caught.value)
