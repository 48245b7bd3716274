"""Random stacks forget exponentially: c₀ against a line of its own and against the theory."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.experiments.random_models import agreement
from curse_of_memory.experiments.random_stacks import STACKS
from curse_of_memory.measure import linearised_rate
from curse_of_memory.papers.ssm_universality import exponential_decay as figure

SMALL = {"width": 8, "seeds": 3, "layers": (1, 2)}


@pytest.fixture(scope="module")
def data():
    return figure.data(**SMALL, models=("RNN", "LSTM", "SSM"))


def test_slopes_are_those_of_the_theory(data):
    """The rest of the spectrum shifts a slope on a window; by how much was seen with twenty models."""
    assert agreement(data.table).ratio.between(0.8, 1.2).all()
    assert (agreement(data.table).r2 > 0.95).all()


def test_c0_is_the_rate_of_the_square(data):
    model = STACKS["LSTM"](8, 1, 0)
    with torch.no_grad():
        y = model(torch.ones(1, 121, 1, dtype=torch.float64))[0, :, 0]
    rows = data.table.query("model == 'LSTM' and layers == 1")
    rate = rows[rows.seed == 0]
    assert rate.predicted.item() == 2 * linearised_rate(model, (1.0,))
    squares = y.diff().numpy() ** 2
    # a line of its own, from a third to two thirds of the way to the noise
    some = slice(20, 40)
    line = np.polyfit(np.arange(20, 40), np.log(squares[some]), 1)
    assert rate.rate.item() == pytest.approx(-line[0], rel=0.2)
    curves = rows[rows.panel == "memory"].dropna(subset=["low"])
    assert (curves.low <= curves["median"]).all()
    assert (curves["median"] <= curves.high).all()


def test_the_spread_is_over_the_models(data, expect_spread):
    lines = data.table.query("panel == 'rate' and model == 'SSM' and layers == 1")
    expect_spread(data, "R², SSM, layers 1", lines.r2.dropna())
    assert set(data.spread) == set(data.headline)


def test_models_without_a_rate_are_in_no_median_and_no_spread(data, expect_spread):
    table = data.table.copy()
    (gone, *rest) = table.query("panel == 'rate' and model == 'RNN' and layers == 1").index
    table.loc[gone, "rate"] = math.nan
    expect_spread(figure._decay_findings(table), "c₀ per step, RNN, layers 1", table.rate[rest])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"models": ("RNNs",)}, "did you mean 'RNN'"),
        ({"seeds": 0}, "seeds must be at least 1"),
        ({"layers": (0,)}, "layers must be at least 1"),
        ({"width": 0}, "width must be at least 1"),
        ({"horizon": 0}, "must be at least 1"),
    ],
    ids=str,
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        figure.data(**({"models": ("RNN",), "layers": (1,)} | arguments))


def test_pictures_are_drawn_of_much_and_of_little(data):
    figure.plot(data)
    figure.plot(figure.data(models=("RNN",), layers=(1,), seeds=1, width=1, horizon=8))
