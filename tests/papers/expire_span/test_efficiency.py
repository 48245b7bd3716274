"""Counts of memories, operations and bytes by laws of forgetting; no test is about a time."""

import itertools

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from curse_of_memory.papers.expire_span import efficiency
from curse_of_memory.papers.expire_span._held import most_held
from curse_of_memory.report.long_table import rows

SMALL = {"limits": (32, 64), "width": 8, "heads": 2, "block": 16, "batch": 3, "device": "cpu"}
EXACT = {
    "Transformer-XL": [32, 64],
    "Compressive Transformer": [16 + 4, 32 + 8],
    "Adaptive-Span": [15 + 5, 15 + 10],
}
SIZES = efficiency.Sizes(8, 2, 16, 3)


@pytest.fixture(scope="module")
def found():
    return efficiency.data(**SMALL, turns=2)


@pytest.mark.parametrize(("law", "exact"), EXACT.items())
def test_memories_that_are_counted_are_those_of_the_closed_form(found, law, exact):
    counted, line = (rows(found.table, panel="memories", law=law, kind=k) for k in ("measured", "theory"))
    assert counted.y.tolist() == line.y.tolist() == exact


def test_the_fullest_row_of_expire_span_has_its_mean():
    limit, exact = 64, efficiency.memories_of("Expire-Span", 64, 3)
    counts = []
    for seed in range(40):
        layer = efficiency.layer_of("Expire-Span", limit, SIZES, seed)
        x = torch.randn(3, limit + 16, 8, generator=torch.Generator().manual_seed(seed))
        state = layer.remember(x).last
        assert state is not None
        counts.append(state.ages.shape[1])
    assert abs(np.mean(counts) - exact) < 4 * np.std(counts) / np.sqrt(len(counts))


def test_operations_are_those_that_torch_counts():
    """Of a batch that reads so many memories; an adaptive span, whose products are all written out."""
    layer = efficiency.layer_of("Adaptive-Span", 64, SIZES)
    x = torch.randn(3, 16, 8, requires_grad=True)
    state = layer.remember(torch.randn(3, 80, 8)).last
    assert state is not None
    with FlopCounterMode(display=False) as counter:
        layer.remember(x, state).y.sum().backward()  # the counter takes no autograd.grad by a leaf
    assert counter.get_total_flops() == efficiency.operations(state.ages.shape[1], SIZES)


def test_what_is_held_is_at_least_what_must_be(found):
    for law in efficiency.LAWS:
        held, least = (rows(found.table, panel="room", law=law, kind=k) for k in ("measured", "theory"))
        counted = rows(found.table, panel="memories", law=law, kind="measured").y
        assert (held.y.to_numpy() >= [efficiency.room(law, n, SIZES) for n in counted]).all()
        assert len(least) == 2


def test_bytes_are_counted_from_birth_to_end():
    """By hand: four kilobytes a tensor; views are none, and the dead make room."""

    def chain():
        y = torch.ones(1000)
        for _ in range(5):
            y = y + 1  # the old one lives until the new one is there
        return y[:10]

    assert most_held(chain) == 8000
    assert most_held(lambda: [torch.ones(1000) for _ in range(5)]) == 20_000
    given = torch.ones(1000)
    assert most_held(lambda: given.view(10, 100)) == 0
    assert most_held(lambda: given.mul_(2)) == 0


def test_times_are_taken_in_turns(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr(efficiency.time, "process_time", lambda: float(next(ticks)))
    found = efficiency.data(**SMALL, turns=3)
    times = rows(found.table, panel="time", kind="measured")
    assert (times.y == 1).all()
    assert len(times) == 3 * 2 * len(efficiency.LAWS)
    in_turn = [law for law in efficiency.LAWS for _ in range(2)]
    assert times.law[: len(in_turn)].tolist() == in_turn
    lines = rows(found.table, panel="time", kind="theory")
    assert lines.y.max() == 1  # the most operations have the best rate


def test_the_table_has_the_scales_of_the_paper_beside_ours(found):
    assert list(found.printed.index) == list(efficiency.LAWS)
    assert found.printed.loc["Expire-Span", "Object Collision, ms"] == "130"
    assert found.printed.loc["Transformer-XL", "PG-19, GB"] == "-"
    assert found.paper["time over that of Transformer-XL, Expire-Span"] == pytest.approx(408 / 649)


def test_every_law_has_marks_and_a_line(found):
    figure = efficiency.plot(found)
    assert len(figure.axes) == 3
    for axis in figure.axes:
        assert set(efficiency.LAWS) <= set(axis.get_legend_handles_labels()[1])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="heads must be even"):
        efficiency.data(heads=3, width=9, device="cpu")
    with pytest.raises(ValueError, match="limits must be multiples of 8 steps, at least two blocks = 128"):
        efficiency.data(limits=(16,), device="cpu")
    with pytest.raises(ValueError, match="law must be one of"):
        efficiency.memories_of("FoX", 16, 2)
