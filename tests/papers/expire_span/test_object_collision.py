"""Object Collision: floors of the published sizes, and tiny trainings."""

import pytest

from curse_of_memory.papers.expire_span import object_collision
from curse_of_memory.papers.expire_span.object_collision import FLOOR, PRINTED
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
        found = tiny.headline[f"published sizes, {limit // 1024}k tokens: least error of one layer"]
        # a fortieth of the steps of the simulations that gave these numbers, which were within .2
        assert 100 * found == pytest.approx(floor, abs=2.5)
        assert tiny.paper[f"published sizes, L = {limit // 1024}k tokens: error"] == PRINTED[limit]


def test_floors_fall_and_trainings_are_there(tiny):
    for panel in ("published", "small"):
        floor = rows(tiny.table, panel=panel, law=FLOOR)
        assert (floor.error.diff().dropna() <= 0).all()
        assert floor.error.max() <= 0.75
    small = rows(tiny.table, panel="small")
    others = {"adaptive span": 3e-3, "sinks": 8.0, "compressive memory": 8.0, "forget gate": 1e-4}
    assert set(small.law) == {FLOOR, "Expire-Span", "window", *others}
    values = small.set_index("law").value
    assert values[list(others)].to_dict() == pytest.approx(others)
    assert rows(small, law="window").live.iloc[0] == pytest.approx(8, abs=1e-9)
