"""Marked symbols: what a run measures, what the committed numbers say, and what is refused."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from curse_of_memory.papers.interest import marked_symbols
from curse_of_memory.report.long_table import rows

COMMITTED = Path(__file__).parents[3] / "figures/interest/marked_symbols.csv"
SMALL = {"length": 6, "marked": 3, "symbols": 4, "width": 16, "heads": 2, "updates": 20, "looks": 2}


@pytest.fixture(scope="module")
def found():
    return marked_symbols.data(powers=(0, 2), tried=64, seeds=2, device="cpu", **SMALL)


def test_every_step_is_measured_at_every_look(found):
    table = found.table
    assert table.groupby(["p", "seed"]).size().eq(2 * 3).all()
    assert sorted(table["update"].unique()) == [10, 20]
    assert table.right.between(0, 1).all()
    # random weights of small logits: near the logarithm of ten words, and of four that are ever right
    assert table.cross_entropy.between(0.2, 3.5).all()


def test_headline_numbers_are_those_of_the_table(found, expect_spread):
    last = found.table[(found.table["update"] == 20) & (found.table.p == 2)]
    tilt = (
        last[last.step == 3].set_index("seed").cross_entropy
        - last[last.step == 1].set_index("seed").cross_entropy
    )
    expect_spread(found, "p = 2: late minus early (nats)", tilt.tolist())
    assert found.headline["p = 2: late minus early (nats)"] == pytest.approx(tilt.median())
    # (1 + 4 + 9)² / (1 + 16 + 81)
    assert found.headline["p = 2: effective steps of 3"] == pytest.approx(2)


@pytest.mark.filterwarnings("error")
def test_the_picture_names_its_axes(found):
    figure = marked_symbols.plot(found)
    assert len(figure.axes) == 3
    assert all(axis.get_xlabel() and axis.get_ylabel() and axis.lines for axis in figure.axes)


def test_the_committed_numbers_tilt_with_the_power_by_more_than_their_spread():
    table = pd.read_csv(COMMITTED)
    third = int(table.step.to_numpy().max()) // 3
    last = rows(table, update=int(table["update"].to_numpy().max()))
    errors = last.pivot(index=["p", "seed"], columns="step", values="cross_entropy")
    tilt = (errors.iloc[:, -third:].mean(axis=1) - errors.iloc[:, :third].mean(axis=1)).unstack("seed")
    assert tilt.shape[1] >= 3
    for p in (1, 2):
        spread = max(np.ptp(tilt.loc[0]), np.ptp(tilt.loc[p]))
        assert tilt.loc[0].median() - tilt.loc[p].median() > spread


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"powers": ()}, "powers must not be empty"),
        ({"looks": 30}, "updates must be as many as looks = 30 at least, got 20"),
        ({"marked": 2}, "marked must be at least 3"),
        ({"marked": 7}, "marked must be at most length = 6"),
        ({"tried": 0}, "tried must be at least 1"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ],
)
def test_bad_arguments_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        marked_symbols.data(**(SMALL | wrong))
