"""Object Collision: floors of the published sizes, and tiny trainings."""

import pytest

from curse_of_memory.papers.expire_span import object_collision
from curse_of_memory.papers.expire_span.object_collision import PRINTED, SIGHT
from curse_of_memory.report.long_table import rows


@pytest.fixture(scope="module")
def tiny():
    return object_collision.data(
        motion=200_000,
        width=8,
        block=8,
        max_span=32,
        ramp=4,
        batch_size=2,
        steps=2,
        seeds=1,
        windows=[8],
        others=True,
        tried_steps=800,
    )


def test_floors_are_those_of_the_published_sizes(tiny):
    for limit, floor in zip(PRINTED, (37.0, 30.0, 20.0), strict=True):
        found = tiny.headline[f"published sizes, {limit // 1024}k tokens in sight, else guessed: error"]
        # a fortieth of the steps of the simulations that gave these numbers, which were within .2
        assert 100 * found == pytest.approx(floor, abs=2.5)
        assert tiny.paper[f"published sizes, L = {limit // 1024}k tokens: error"] == PRINTED[limit]


def test_floors_fall_and_trainings_are_there(tiny):
    for panel in ("published", "small"):
        line = rows(tiny.table, panel=panel, law=SIGHT)
        assert (line.error.diff().dropna() <= 0).all()
        assert line.error.max() <= 0.75
    small = rows(tiny.table, panel="small")
    others = {"adaptive span": 3e-3, "sinks": 8.0, "compressive memory": 8.0, "forget gate": 1e-4}
    assert set(small.law) == {SIGHT, "Expire-Span", "window", *others}
    values = small.set_index("law").value
    assert values[list(others)].to_dict() == pytest.approx(others)
    assert rows(small, law="window").live.iloc[0] == pytest.approx(8, abs=1e-9)
    assert set(small.falling.dropna()) <= {0.0, 1.0}
    assert f"of {len(others) + 2} trainings were best at their last look" in tiny.message
    # table 4 of the paper
    assert tiny.paper["published sizes, compressive memory: error"] == 0.638
    assert tiny.paper["published sizes, adaptive span: error"] == 0.598


def test_windows_have_room_for_sinks():
    with pytest.raises(
        ValueError, match="windows must have a middle one above 4, the number of sinks, got 4"
    ):
        object_collision.data(motion=3000, windows=[4], others=True, seeds=1)
