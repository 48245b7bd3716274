"""The two ways of every row give the same numbers; how long they take is nobody's test."""

import functools
import re
import time

import numpy as np
import pytest
import torch

from benchmarks import forgetting, growth, rows, table, timing
from benchmarks.all_rows import ROWS
from tests.devices import DEVICES


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_plain_and_the_fast_way_give_the_same_numbers(row, device):
    plain, fast = row.make(device, True).agree()
    assert len(plain) == len(fast) > 0
    for expected, found in zip(plain, fast, strict=True):
        # sums of at most a few hundred numbers of the size of the largest
        scale = expected.abs().max().item()
        torch.testing.assert_close(
            found.cpu(), expected.cpu(), rtol=0, atol=500 * torch.finfo(expected.dtype).eps * scale
        )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_is_timed_runs(row, device):
    case = row.make(device, True)
    for way in (case.plain, case.fast, *case.others.values()):
        way()
    assert case.times >= 1
    assert case.flops + case.traffic >= 0


def test_names_tell_rows_apart():
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_ratios_are_those_of_the_turns(monkeypatch):
    clock = iter(np.cumsum(np.arange(1000.0)))
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    monkeypatch.setattr(timing, "_seconds", lambda way, repeats, device: way())
    slow, quick = iter([8.0] * 2 + [8.0, 6.0, 9.0]), iter([2.0] * 2 + [2.0, 2.0, 3.0])
    found = timing.take_turns({"slow": lambda: next(slow), "quick": lambda: next(quick)}, 0.0)
    assert found.seconds == {"slow": 8.0, "quick": 2.0}
    assert found.ratios["quick"].tolist() == [4.0, 3.0, 3.0]


def test_the_slope_of_a_power_is_its_exponent():
    lengths = np.array(growth.LENGTHS, float)
    assert growth.slope(lengths, 3e-6 * lengths**1.1) == pytest.approx(1.1, rel=1e-12)


def test_time_grows_by_memories_that_are_dead_and_alive():
    for goal, works in forgetting.growing("cpu", small=True).values():
        assert goal > 0
        assert len(works) == 3
        for work in works.values():
            work()


@pytest.fixture
def made(monkeypatch):
    """A table of a machine that is known, whose rows take no time."""
    machine = timing.Machine({torch.float32: 1e10, torch.float64: 1e10}, 1e10)
    monkeypatch.setattr(timing, "SHORTEST", 0.0)
    monkeypatch.setattr(table, "measure_machine", lambda *_: machine)
    return functools.partial(table.Table, "cpu", 0.0, small=True)


def test_a_line_of_the_table_has_all_columns(made):
    row = next(row for row in ROWS if "gated" in row.name)
    small = rows.Row("work", "plain way", 2, row.make, against="nn.LSTM")
    line = table._line(small, made())
    assert line.count(" | ") == len(table.COLUMNS) - 1
    assert "nn.LSTM takes" in line


def test_a_row_has_reached_what_it_wants_of_others_too(made, monkeypatch):
    row = next(row for row in ROWS if row.wanted)
    found = timing.Timing({"plain": 8.0, "ours": 1.0}, {"plain": np.ones(3), "ours": np.full(3, 8.0)})
    other = next(iter(row.wanted))
    monkeypatch.setattr(table, "take_turns", lambda *_: found)
    for ratio, reached in ((4.0, "yes"), (2.0, "50%")):
        # the other way takes so many times our time
        found.ratios[other] = np.full(3, 8.0 / ratio)
        one = rows.Row("work", "plain way", 8, row.make, wanted={other: 4.0})
        assert f"| {reached} |" in table._line(one, made())


def test_what_fails_or_takes_too_long_is_named_and_the_rest_is_there(made):
    def fails(device: str, small: bool) -> rows.Case:
        raise RuntimeError("no\nkernel")

    def sleeps(device: str, small: bool) -> rows.Case:
        time.sleep(60)
        raise AssertionError

    short = made(longest=0.05)
    assert re.match(r"failed 0\.0 s a: RuntimeError: no kernel$", short.add(rows.Row("a", "", 1, fails)))
    assert re.match(r"left 0\.\d s b$", short.add(rows.Row("b", "", 1, sleeps)))
    good = next(row for row in ROWS if row.name.startswith("linear RNN"))
    case = good.make("cpu", True)
    quick = rows.Row("c", "", 1, lambda *_: rows.Case(case.plain, case.fast, case.agree))
    over = made(limit=0.0)
    assert over.add(quick) == "left 0.0 s c"
    there = made()
    assert there.add(quick).startswith("done")
    assert "| c |" in there.text()
    assert "- a: RuntimeError: no kernel" in short.text()
    assert "- b\n" in short.text()
