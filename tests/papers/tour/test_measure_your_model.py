"""The notebook that measures models of torch and transformers: small, and without a network."""

import socket
from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from curse_of_memory.measure import memory_function
from curse_of_memory.papers.tour import measure_your_model as own
from curse_of_memory.theory.decay import decay

small = partial(own.data, horizon=40, width=8, layers=1, vocabulary=6, samples=1)


@pytest.fixture(scope="module")
def data():
    return small()


def test_it_needs_no_network_and_says_nothing(monkeypatch, capfd):
    def refuse(*_):
        raise AssertionError("nothing is to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    small()
    printed = capfd.readouterr()
    assert printed.out + printed.err == ""


def test_every_model_has_its_curves(data):
    assert list(data.table.model.unique()) == ["LSTM", "GRU", "Transformer", "Mamba", "GPT-2"]
    assert (data.table.groupby("model").size() == 40).all()
    assert np.isfinite(data.table.drop(columns="law").select_dtypes("number")).all(axis=None)
    assert (data.table.noise_floor > 0).all()
    assert all(name in data.message for name in data.table.model.unique())


def test_the_report_is_that_of_the_measured_models(data):
    report = own.report(data)
    curve = data.table[data.table.model == "GRU"]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.nn.LSTM(1, 8, batch_first=True)
        gru = torch.nn.GRU(1, 8, batch_first=True)
    fit = decay(memory_function(gru, 40, probe="impulse"))
    assert report.loc["GRU", "decay"] == fit.kind == "exponential"
    assert report.loc["GRU", "rate"] == pytest.approx(fit.rate, rel=1e-3)
    assert report.loc["GRU", "parameters"] == sum(p.numel() for p in gru.parameters())
    drawn = curve.dropna(subset="law")
    np.testing.assert_allclose(drawn.law, fit(drawn.lag.to_numpy()), rtol=1e-3)


def test_attention_without_positions_averages_and_gates_forget(data):
    report = own.report(data)
    assert report.loc["Transformer", "decay"] == "polynomial"
    # M(t) is 1/(1 + t) of what attention takes over, plus the residual of the same step at lag 0
    assert report.loc["Transformer", "exponent"] == pytest.approx(1, abs=0.25)
    assert set(report.loc[["LSTM", "GRU"], "decay"]) == {"exponential"}


def test_the_causal_transformer_is_causal_for_any_length():
    model = own.MaskedEncoder(8, layers=1)
    for horizon in (2, 9):
        assert memory_function(model, horizon).attrs["causal"] is True


def test_the_seed_draws_the_weights_and_leaves_the_generator_alone(data):
    state = torch.get_rng_state()
    other = small(seed=1)
    assert torch.equal(torch.get_rng_state(), state)
    assert (other.table.memory != data.table.memory).any()


def test_float64_has_less_noise(data):
    double = small(precision="float64")
    assert (double.table.noise_floor < 1e-6 * data.table.noise_floor).all()
    with pytest.raises(ValueError, match="precision must be one of 'float32', 'float64'"):
        small(precision="float16")


def test_axes_say_what_they_are(data):
    figure = own.plot(data)
    for axis in figure.axes:
        assert axis.get_xlabel()
        assert axis.get_title(loc="left")
    plt.close(figure)


def test_a_law_is_told_where_the_horizon_decides(data):
    report = own.report(data)
    decided = report.index[report.confidence >= 0.5]
    assert set(decided) < set(report.index)  # else this shows nothing
    drawn = data.table.dropna(subset="law").model.unique()
    assert set(drawn) <= set(decided)
    for name in report.index.difference(decided):
        assert f"{name} " in data.message.split("does not decide for ")[1].replace(".", " ")
