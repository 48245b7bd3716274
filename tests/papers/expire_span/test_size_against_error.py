"""Size against error: floors are exact, trainings are what they say, and committed numbers hold the claim."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curse_of_memory.papers.expire_span import size_against_error
from curse_of_memory.papers.expire_span.size_against_error import FLOOR, needed_window
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.labelled_streams import Corridor, Portal

FIGURES = Path(__file__).parents[3] / "figures"


def tiny_data(tasks, **options):
    return size_against_error.data(
        tasks=tasks, width=8, batch_size=4, block=8, ramp=4, seeds=1, tried_steps=1600, **options
    )


OTHERS = {"adaptive span": 1e-2, "sinks": 7.0, "compressive memory": 7.0, "forget gate": 1e-4}


@pytest.fixture(scope="module")
def tiny():
    return tiny_data(["corridor 12", "portal 20"], updates=2, window_shares=[1.0], price=1e-3, others=True)


def test_lines_are_the_floors_of_windows(tiny):
    for name, task, layers in (
        ("corridor 12", Corridor(12), 2),
        ("portal 20", Portal(3, longest=5, shortest=2), 3),
    ):
        floor = rows(tiny.table, task=name, law=FLOOR)
        expected = [task.age_law.floor(layers * int(window)) for window in floor.value]
        assert floor.error.tolist() == expected
        assert floor.error.iloc[-1] == 0 < floor.error.iloc[-2]
        assert (floor.live == floor.value).all()


def test_every_law_is_trained_on_every_task(tiny):
    trained = tiny.table[tiny.table.law != FLOOR]
    laws = {"Expire-Span", "window", *OTHERS}
    assert {name: set(some.law) for name, some in groups(trained, "task").items()} == dict.fromkeys(
        ["corridor 12", "portal 20"], laws
    )
    windows = rows(trained, law="window")
    assert windows.value.tolist() == [7.0, 7.0]  # ages of 13 in two layers, and of 20 in three
    # each row begins with eight zero vectors: windows are full from the first step on
    assert windows.live.to_numpy() == pytest.approx([7, 7], abs=1e-9)
    assert ((trained.error >= 0) & (trained.error <= 1)).all()
    portal = rows(trained, task="portal 20").set_index("law")
    assert portal.value[list(OTHERS)].to_dict() == pytest.approx(OTHERS)
    # four in the window, three means of seven steps, and up to six steps more until their group is old
    assert 7 <= portal.live["compressive memory"] <= 13


def test_needed_windows_are_the_least(tiny):
    law = Corridor(200).age_law
    for error in (0.0, 0.02, 0.1, 0.4):
        window = needed_window(law, error, 2)
        assert law.floor(2 * window) <= error + 1e-12
        assert law.floor(2 * (window - 1)) > error
    trained = tiny.table[tiny.table.law != FLOOR]
    one = rows(trained, task="portal 20", law="window").iloc[0]
    assert one.needed == needed_window(Portal(3, longest=5, shortest=2).age_law, one.error, 3)


@pytest.mark.parametrize(
    "name", ["corridor", "corridor nine", "corridor 9", "corridor ١٢", "portal 45", "maze 20", ""]
)
def test_other_tasks_are_refused(name):
    with pytest.raises(ValueError, match="tasks must be") as caught:
        tiny_data([name])
    assert "\n" not in str(caught.value)


def claimed(path):
    return pytest.mark.skipif(not path.is_file(), reason=f"{path.name} was not made at that scale")


FULL = FIGURES / "full_scale" / "expire_span" / "size_against_error.csv"


@claimed(FULL)
@pytest.mark.parametrize(("task", "times"), [("corridor 600", 5), ("corridor 200", 2)])
def test_spans_live_on_a_part_of_the_least_window(task, times):
    """In the median seed a window needs so many times the memories, and trained windows keep to the floor."""
    own = rows(pd.read_csv(FULL), task=task)
    ratio = (own.needed / own.live)[own.law != FLOOR]
    assert len(rows(own, law="Expire-Span")) >= 3
    assert np.median(ratio[own.law == "Expire-Span"]) >= times
    within_luck(own, task, json.loads(FULL.with_suffix(".json").read_text())["parameters"]["tried_steps"])


def within_luck(table, name, steps):
    """Windows have the errors of their floor at least, but for four standard errors of so few questions."""
    task = Corridor(int(name.split()[1]))
    windows = rows(table, law="window")
    assert len(windows) >= 3
    for window, error in zip(windows.value, windows.error, strict=True):
        floor = task.age_law.floor(2 * int(window))
        assert error >= floor - 4 * np.sqrt(floor * (1 - floor) / (steps * task.asked_share))


def test_the_figure_shows_more_memory_than_a_window_has():
    """The committed numbers of the fast preset: every seed, with the error that it has."""
    own = pd.read_csv(FIGURES / "expire_span" / "size_against_error.csv")
    ratio = (own.needed / own.live)[own.law == "Expire-Span"]
    assert ratio.median() > 1
    within_luck(own, "corridor 60", 32_000)
