"""What the panels of the price of memory say, in numbers, at a small size."""

import math

import numpy as np
import pytest

from curse_of_memory.papers.expire_span import price_of_memory as figure
from curse_of_memory.report.long_table import rows

PRICES = (1e-1, 1e-3, 1e-5)


@pytest.fixture(scope="module")
def price():
    return figure.data(
        queries=400,
        batch=4,
        prices=PRICES,
        slow_shares=(0.05,),
        draws=300,
        trained_prices=(1e-3,),
        updates=60,
        steps=1500,
        device="cpu",
    )


def test_counted_queues_have_the_law_that_is_drawn(price):
    for name in figure.QUEUE:
        line = rows(price.table, panel="queue", curve=name, kind="theory")
        assert line.y.sum() == pytest.approx(1, abs=1e-5)
        mean = float((line.x * line.y).sum())
        for _, seen in rows(price.table, panel="queue", curve=name, kind="simulated").groupby("seed"):
            assert 3 * seen.y.sum() == pytest.approx(1)  # numbers by threes
            std = math.sqrt(float(((line.x - mean) ** 2 * line.y).sum()))
            assert abs(3 * float((seen.x * seen.y).sum()) - mean) < 5 * std / math.sqrt(400)


def test_headlines_are_exact_and_simulated_numbers_near_them(price):
    head = price.headline
    assert round(head["live memories, mean"], 3) == 75.125
    assert round(head["live memories, variance"], 2) == 26.45
    assert [round(head[f"best span at {alpha}"], 2) for alpha in ("0.001", "1e-05")] == [59.30, 105.34]
    std = math.sqrt(head["live memories, variance"])
    for name, errors in (("mean", 5), ("largest of 4", 5)):
        spread = price.spread[f"live memories, {name}, simulated"]
        assert spread.runs == 3
        assert abs(head[f"live memories, {name}"] - spread.low) < errors * std / math.sqrt(400)
        assert abs(head[f"live memories, {name}"] - spread.high) < errors * std / math.sqrt(400)


def test_trained_spans_are_within_a_step_of_the_best(price):
    for name in ("exponential", "polynomial"):
        line = rows(price.table, panel="span", curve=f"{name}, ramp")
        marks = rows(price.table, panel="span", curve=name, kind="descent")
        assert tuple(marks.x) == PRICES
        best = np.interp(np.log(marks.x), np.log(line.x), line.y)
        # the nearest minimum of the whole curve, of which there is one in a step at most
        assert (np.abs(marks.y - best) < 1.5).all()
        sharp = rows(price.table, panel="span", curve=f"{name}, sharp")
        assert (line.y.to_numpy() <= sharp.y.to_numpy()).all()


def test_attention_counts_the_live_memories_of_the_law(price):
    """At 1500 steps in a row of four rows, of which those nearer than 216 steps share memories."""
    std = math.sqrt(price.headline["live memories, variance"])
    for name in ("mean", "largest of 4"):
        counted = price.spread[f"live memories, {name}, counted"]
        exact = price.headline[f"live memories, {name}"]
        assert counted.runs == 3
        assert exact - 5 * std / math.sqrt(1500 / 216) < counted.low
        assert counted.high < exact + 5 * std / math.sqrt(1500 / 216)
    for _, seen in rows(price.table, panel="queue", kind="counted").groupby(["curve", "seed"]):
        assert 3 * seen.y.sum() == pytest.approx(1)


def test_trained_attention_has_the_best_span(price):
    spans = rows(price.table, panel="span", kind="trained")
    assert spans.seed.tolist() == [0.0, 1.0, 2.0]
    # mean pulls of batches are off by a half, and spans by as many 1/2λ = 10 steps, over the root of the
    # twenty last updates that the mean is taken of
    assert (np.abs(spans.y - price.headline["best span at 0.001"]) < 4 * 10 * 0.5 / math.sqrt(20)).all()


def test_errors_of_random_inputs_are_the_exact_ones(price):
    for name in ("exponential", "polynomial"):
        line = rows(price.table, panel="error", curve=f"{name}, ramp")
        marks = rows(price.table, panel="error", curve=name, kind="simulated")
        exact = np.exp(np.interp(np.log(marks.x), np.log(line.x), np.log(line.y)))
        # a mean of 300 squares of normal numbers, and up to one step between the span and its last query
        assert (np.abs(np.log(marks.y / exact)) < 5 * math.sqrt(2 / 300) + 0.2).all()
        sharp = rows(price.table, panel="error", curve=f"{name}, sharp")
        slope = np.polyfit(np.log(sharp.x.iloc[-9:]), np.log(sharp.y.iloc[-9:]), 1)[0]
        if name == "polynomial":
            assert slope == pytest.approx(-2, abs=0.1)


def test_windows_need_up_to_the_limit(price):
    line, limit = (rows(price.table, panel="saving", curve=c, kind="theory") for c in ("0.05", "0.05, limit"))
    marks = rows(price.table, panel="saving", kind="whole steps")
    assert (line.y.to_numpy() <= limit.y.to_numpy()).all()
    assert round(float(limit.y.iloc[0]), 2) == 14.49
    near = np.interp(np.log(marks.x), np.log(line.x), line.y)
    np.testing.assert_allclose(marks.y, near, rtol=0.06)


def test_axes_say_what_they_are(price):
    drawn = figure.plot(price)
    assert [axis.get_title(loc="left")[:3] for axis in drawn.axes] == ["(a)", "(b)", "(c)", "(d)"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.axes)
    legend = drawn.axes[0].get_legend()
    assert legend is not None
    labels = {text.get_text() for text in legend.get_texts()}
    assert labels == {"one query", "fullest of 4 rows"} | {
        f"{one}, by attention" for one in ("one query", "fullest of 4 rows")
    }


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"prices": (0.1, -1.0)}, "prices must be positive"),
        ({"slow_shares": (1.5,)}, "slow_shares must be below 1"),
        ({"queries": 0}, "queries must"),
        ({"steps": 0}, "steps must"),
        ({"updates": 0}, "updates must"),
        ({"trained_prices": (0.0,)}, "trained_prices must be positive"),
        ({"seeds": 0}, "seeds must"),
    ],
)
def test_bad_input_is_refused(bad, message):
    small = {"queries": 2, "batch": 2, "draws": 2, "prices": (0.1,), "updates": 1, "steps": 2}
    with pytest.raises(ValueError, match=message):
        figure.data(**(small | bad), device="cpu")
