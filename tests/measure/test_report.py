"""The report of memories: its intervals, whether they are settled, its words and its picture."""

import math
import pickle

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from curse_of_memory.measure import memory_function, memory_report
from curse_of_memory.nn import RNN
from curse_of_memory.theory.decay import decay_intervals, settling


def lstm(longest: int = 50, width: int = 16, seed: int = 2) -> nn.LSTM:
    """Return an LSTM whose forget gates remember for 1 to `longest` steps."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.LSTM(1, width, batch_first=True)
        forget = torch.log(1 + (longest - 1) * torch.rand(width))
    with torch.no_grad():
        network.bias_ih_l0.zero_()
        network.bias_hh_l0.zero_()
        network.bias_hh_l0[: 2 * width] = torch.cat([-forget, forget])
    return network


def modes(*rates: float) -> RNN:
    return RNN.from_exponential_sum(rates=list(rates), coefficients=[1.0] * len(rates))


def test_a_model_of_one_mode_is_known_exactly():
    row = memory_report({"one": modes(0.05)}, horizon=120).loc["one"]
    # weights are float32: the rate that they stand for is off by half an ulp of 1 − 0.05
    assert row.rate_low == pytest.approx(0.05, rel=1e-6)
    assert row.rate_high - row.rate_low < 1e-12
    assert row.half_life_high - row.half_life_low < 1e-5  # the noise floor told is that of float32
    assert row.effective_horizon_low == row.effective_horizon_high == row.effective_horizon
    assert row.settled


@pytest.mark.parametrize("rate", [0.03, 0.1, 0.3])
def test_rounding_stays_within_the_intervals(rate):
    """Probed in float32, the values are off by what the noise floor says."""
    row = memory_report({"one": modes(rate)}, horizon=200, closed_form=False).loc["one"]
    assert row.rate_low <= rate <= row.rate_high
    assert row.half_life_low <= math.log(2) / rate <= row.half_life_high
    horizon = math.ceil(math.log(100) / rate) - 1
    assert row.effective_horizon_low <= horizon <= row.effective_horizon_high


def test_an_lstm_is_polynomial_at_100_steps_and_exponential_at_400():
    memory = memory_function(lstm(), 800, dtype=torch.float64)
    table = memory_report({str(n): memory[:n] for n in (100, 400, 800)})
    assert list(table.decay) == ["polynomial", "exponential", "exponential"]
    assert list(table.settled) == [False, False, True]
    said = "the law changes from exponential (up to lag 70) to polynomial (up to lag 99): measure longer"
    assert table.remark["100"] == said
    assert table.remark["400"].startswith(
        "the law changes from polynomial (up to lag 199) to exponential (up"
    )


def test_the_columns_are_what_theory_says_of_the_curve():
    memory = memory_function(nn.GRU(1, 8, batch_first=True), 60, probe="impulse")
    row = memory_report({"GRU": memory}, level=0.5, share=0.9).loc["GRU"]
    answer = decay_intervals(memory, level=0.5, share=0.9)
    for name in ("rate", "exponent", "half_life", "effective_horizon"):
        low, high = getattr(answer, name) or (math.nan, math.nan)
        assert np.array_equal([row[f"{name}_low"], row[f"{name}_high"]], [low, high], equal_nan=True)
    assert (row.settled, row.remark) == (settling(memory).settled, settling(memory).remark)


def test_the_words_name_the_level_the_inputs_and_what_to_do():
    told = memory_report({"a": lstm(), "b": modes(0.1)}, horizon=100, share=0.95, level=0.8).told()
    lines = told.splitlines()
    assert lines[0].startswith("a: polynomial, exponent 2.")
    assert "95 % of it within lag" in lines[1]
    assert lines[1].endswith("(80 % intervals; the largest over 2 inputs)")
    assert lines[2].startswith("    the law changes from exponential (up to lag 70) to polynomial")
    assert lines[3:] == [
        "b: exponential, rate 0.1",
        "    half-life 6.93, 95 % of it within lag 29 (80 % intervals)",
        "    settled: the same law up to lag 49 and up to lag 99",
    ]


def test_what_lasts_longer_than_was_measured_is_said_so():
    told = memory_report({"a": modes(0.001)}, horizon=50).told()
    assert "more than half of the maximum left at the last lag, 49, less than 99 % of it within the" in told


def test_what_is_not_decided_is_not_called_long():
    """Of 0.9^t at most a hundredth of a per cent is left at lag 99, whatever is known of its law."""
    memory = memory_function(modes(-np.log(0.9)), 100)
    memory.attrs["noise_floor"] = 0.5
    told = memory_report({"a": memory}).told()
    assert "more than half" not in told
    assert "half-life not decided, not decided within which lag 99 % of it is" in told


def test_the_sign_of_a_memory_does_not_matter():
    memory = memory_function(modes(0.1), 50)
    one, other = (memory_report({"a": sign * memory}).loc["a"] for sign in (1.0, -1.0))
    assert one["last"] == other["last"] == pytest.approx(np.exp(-4.9))
    assert one["noise_floor"] == other["noise_floor"]


def test_a_memory_that_is_refused_is_named():
    memories = {"a": memory_function(modes(0.1), 20), "b": memory_function(modes(0.1), 20) * np.nan}
    with pytest.raises(ValueError, match=r"models\['b'\]: memory must be finite"):
        memory_report(memories)


def test_a_share_is_told_to_its_digits():
    told = memory_report({"a": modes(0.1)}, horizon=400, share=0.9999999).told()
    assert "99.99999 % of it within" in told


def test_a_report_is_a_table_and_what_is_cut_out_is_a_plain_one():
    report = memory_report({"a": modes(0.1), "b": modes(0.2)}, horizon=50)
    assert isinstance(report, pd.DataFrame)
    assert type(report.loc[["a"]]) is type(report.round(3)) is pd.DataFrame
    assert report.effective_horizon.idxmax() == "a"
    again = pickle.loads(pickle.dumps(report))
    assert again.equals(report)
    assert again.told() == report.told()


def test_it_draws_itself_on_axes_that_it_returns():
    report = memory_report(
        {"a": modes(0.1), "b": lstm(), "zero": memory_function(modes(0.1), 20) * 0}, horizon=50
    )
    figure, axes = plt.subplots()
    before = dict(plt.rcParams)
    try:
        assert report.plot(ax=axes) is axes
        assert dict(plt.rcParams) == before
        assert axes.get_xlabel() == "lag $t$ (steps)"
        assert axes.get_yscale() == "log"
        labels = [text.get_text() for text in axes.get_legend().get_texts()]
        assert labels[:3] == [f"{name}: {kind}" for name, kind in report.decay.items()]
        assert labels[3:] == ["fitted law", "interval of the lag with 99 % before it"]
        law = next(line for line in axes.lines if line.get_linestyle() == "-" and line.get_marker() == "None")
        assert np.allclose(law.get_ydata(), np.exp(-0.1 * law.get_xdata()))
        own = memory_report({"a": memory_function(modes(0.1), 50, dt=0.5)}).plot()
        assert own.figure is not figure
        assert own.get_xlabel() == "lag $t$ (time units)"
    finally:
        plt.close("all")
