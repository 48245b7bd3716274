"""What the panels of the memory of laws say, to rounding; and that the formulas are those of attention."""

import numpy as np
import pytest
import torch

from curse_of_memory.papers.expire_span import memory_of_laws as figure
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.theory.expiry import life

EPS = np.finfo(float).eps
SMALL = {"window": 5, "span": 6.5, "adaptive_span": 3.0, "ramp": 3, "horizon": 30, "start": 110}


@pytest.fixture(scope="module")
def laws():
    return figure.data(**SMALL, device="cpu")


def test_measured_memories_are_the_closed_forms_to_rounding(laws):
    both = groups(laws.table, ["panel", "curve"])
    assert len(both) == 3 + 5 + 4 + 3
    for curves in both.values():
        exact, seen = rows(curves, kind="theory").y.to_numpy(), rows(curves, kind="measured").y.to_numpy()
        # a sum of at most 140 weights, each of them an exponential of a logarithm of at most 40
        assert (np.abs(seen - exact) <= (140 + 40) * EPS * exact + EPS * exact.max()).all()
    assert laws.headline["largest difference from the closed form"] < 180 * EPS


def test_a_date_ends_memory_and_no_date_does_not(laws):
    for name, last in {
        "window": 4,
        "window and sinks": 4,
        "adaptive span": life(3.0, 3),
        "span of its own": life(6.5, 3),
    }.items():
        seen = rows(laws.table, panel="dated", curve=name, kind="measured")
        assert seen.x[seen.y > EPS].max() == last
        assert seen.y.sum() == pytest.approx(1 if "sinks" not in name else 5 / 9)
    undated = rows(laws.table, panel="undated", kind="measured")
    assert (undated.y > 0).all()
    assert rows(undated, curve="a sink").y.to_numpy()[8:] == pytest.approx(1 / 9)
    rate = np.diff(np.log(rows(undated, curve="gates").y))
    assert rate == pytest.approx(np.log(0.85))


def test_held_and_free_memories_differ_where_input_moves_its_date(laws):
    modes = {
        name: one.y.to_numpy()
        for name, one in groups(rows(laws.table, panel="modes", kind="measured"), "curve").items()
    }
    held, free = modes["span, held"], modes["span, free"]
    longer = life(100 / (1 + np.exp(-np.log(6.5 / 93.5) - 1)), 3)
    assert np.flatnonzero(held > EPS).max() == life(6.5, 3) < longer == np.flatnonzero(free).max()
    assert (modes["gates, free"][:5] > modes["gates, held"][:5]).all()


def test_stacks_reach_their_steps_and_not_one_more(laws):
    for name, steps in {"0.5": 3, "3.9, 2.5": 11, "3.9, 1.5, 3.5": 13}.items():
        assert laws.headline[f"reach of layers of spans {name}"] == steps
        assert laws.headline[f"reach of layers of spans {name}, measured"] == steps
        seen = rows(laws.table, panel="stack", curve=name, kind="measured")
        assert len(seen) == steps + 1 + figure.BEYOND
        assert not seen.y[seen.x > steps].any()


@pytest.mark.parametrize(("gate", "own", "before"), [(0.8, 0.8, 0), (0.8, 0.4, 7), (0.99, 0.5, 3)])
def test_the_weight_of_a_gated_memory_is_that_of_products_of_gates(gate, own, before):
    gates = np.full(before + 20, gate)
    gates[before] = own
    for s in range(20):
        t = before + s
        weights = np.array([np.prod(gates[i + 1 : t + 1]) for i in range(t + 1)])
        exact = weights[before] / weights.sum()
        assert figure.gate_kernel(gate, own, np.array([s]), before) == pytest.approx(exact, rel=1e-13)


@pytest.mark.parametrize("step", [40, 41, 43])
def test_a_compressed_memory_counts_in_full_then_by_a_quarter_and_then_not(step):
    """Memories and means are listed one by one: groups of four, of which six are means."""
    W = 9
    for s in range(45):
        t, weights = step + s, {}
        for newest in range(3, t + 5, 4):
            members = [i for i in range(newest - 3, newest + 1) if i <= t]
            if t - newest <= W:
                weights |= {(i,): 1.0 for i in members}
            elif t - newest <= W + 24:
                weights[tuple(members)] = 1.0
        mine = sum(1 / len(group) for group in weights if step in group) / len(weights)
        assert figure.compressive_kernel(W, np.array([s]), step) == pytest.approx(mine, rel=1e-14)


def test_attention_with_equal_scores_takes_the_mean():
    x = torch.randn(1, 9, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mean = x[0, :, 0].cumsum(0) / torch.arange(1, 10)
    torch.testing.assert_close(figure.equal_scores(None)(x)[0, :, 0], mean, rtol=0, atol=1e-15)


def test_axes_say_what_they_are(laws):
    drawn = figure.plot(laws)
    assert [axis.get_title(loc="left")[:3] for axis in drawn.axes] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.axes)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"gate": 1.0}, "gate must be below 1"),
        ({"span": 100.0}, "span must be below 100 steps"),
        ({"adaptive_span": 0.0}, "adaptive_span must be positive"),
        ({"start": 50}, "start must be at least 103, so that memories expire before"),
        ({"window": 0}, "window must"),
        ({"horizon": 0}, "horizon must"),
    ],
)
def test_bad_input_is_refused(bad, message):
    with pytest.raises(ValueError, match=message):
        figure.data(**(SMALL | bad), device="cpu")
