"""The adding problem: when errors are small for good, who is compared, and what the logs say."""

import dataclasses
import functools
import math

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem import adding
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.tasks import Adding

small = functools.partial(
    adding.data,
    lengths=(8, 4),
    beside_shortest=("LSTM", "GRU"),
    beside_longest=("chrono LSTM",),
    width=8,
    steps=6,
    steps_beside_longest=4,
    validate_every=2,
    samples=60,
    seeds=2,
    device="cpu",
)


@pytest.fixture(scope="module")
def added():
    return small()


def test_every_error_of_every_training_is_in_the_table(added):
    runs = added.table.groupby(["model", "horizon", "seed"]).step.apply(list)
    shorter = runs.index.get_level_values("model") == "chrono LSTM"
    assert runs[~shorter].apply(lambda steps: steps == [0, 2, 4, 6]).all()
    assert runs[shorter].apply(lambda steps: steps == [0, 2, 4]).all()
    trained = set(runs.index.droplevel("seed"))
    assert trained == {("LEM", 4), ("LEM", 8), ("LSTM", 4), ("GRU", 4), ("chrono LSTM", 8)}
    assert len(runs) == 2 * len(trained)


def test_errors_are_mean_squares_after_the_last_step(added):
    """Those of the start, of a set that fit draws: within five standard errors of a large one."""
    model = LEM(8, dt=0.5, input_size=2, seed=0)
    x, y = Adding(4).sample(20_000, seed=1)
    with torch.no_grad():
        squares = (model(x)[:, -1] - y).square().numpy()
    table = added.table
    start = table[(table.model == "LEM") & (table.horizon == 4) & (table.seed == 0)].error.iloc[0]
    assert abs(start - squares.mean()) < 5 * squares.std() / math.sqrt(60)


def test_small_steps_of_a_lem_learn_to_add_six_numbers():
    sizes = {"width": 12, "dt": 0.5, "learning_rate": 0.02, "batch_size": 32, "steps": 400}
    history = adding._errors(
        "LEM", 6, 0, **sizes, stop_below=0.008, validate_every=20, samples=200, device="cpu"
    )
    assert history.error.iloc[0] > 0.1 > 0.008 >= history.error.iloc[-1]
    assert adding.solved_from(history) <= 400


@pytest.mark.parametrize(
    ("errors", "step"),
    [
        ((0.2, 0.009, 0.02, 0.008, 0.001), 30),
        ((0.2, 0.2, 0.2, 0.2, 0.001), 40),
        ((0.001, 0.001, 0.001, 0.001, 0.001), 0),
        ((0.2, 0.001, 0.001, 0.001, 0.01), math.inf),
    ],
)
def test_an_error_is_small_from_where_it_stays_so(errors, step):
    assert adding.solved_from(pd.DataFrame({"step": range(0, 50, 10), "error": errors})) == step


def test_the_logs_are_solved_from_the_same_update_at_every_length():
    logs = adding.logs()
    assert logs.groupby("horizon").size().to_dict() == {2000: 300, 5000: 300, 10000: 300}
    solved = {horizon: adding.solved_from(log) for horizon, log in logs.groupby("horizon")}
    assert solved == {2000: 1900, 5000: 2000, 10000: 1900}
    # until then none is below what can be had without the first half of the inputs
    before = logs[logs.step <= 1400]
    assert (before.error > Adding(2000).loss_within(1000)).all()


def test_models_have_as_many_weights_and_chrono_initialisation_expects_the_length(monkeypatch):
    models = {}

    def asked(network, *_, **__):
        models[name] = network
        raise InterruptedError

    monkeypatch.setattr(adding, "fit", asked)
    for name in MODELS:
        with pytest.raises(InterruptedError):
            adding._errors(name, 1000, 3, 24, 0.5, 0.01, 2, 1, 0.0, 1, 2, "cpu")
    lem = number_of_weights(models["LEM"])
    assert lem == 4 * 24 * (24 + 2) + 8 * 24 + 25
    for model in models.values():
        assert number_of_weights(model) == pytest.approx(lem, rel=0.06)
    plain, chrono = models["LSTM"], models["chrono LSTM"]
    assert number_of_weights(plain) == number_of_weights(chrono) == lem
    gates, same = (dict(model.named_parameters())["network.bias_ih_l0"][24:48] for model in (chrono, plain))
    assert 3 < gates.max() <= math.log(999)
    assert same.abs().max() <= 24**-0.5


def test_what_is_said_is_what_is_in_the_table():
    falling = np.where(np.arange(10) < 7, 0.17, 0.004)
    table = pd.concat(
        [
            pd.DataFrame(
                {"model": name, "horizon": T, "seed": k, "step": range(0, 1000, 100), "error": errors}
            )
            for name, T, errors in (("LEM", 2000, falling), ("LEM", 50, falling), ("LSTM", 50, 0.17))
            for k in range(3)
        ],
        ignore_index=True,
    )
    found = adding._findings(table)
    updates = "updates until the error stays below 0.01"
    assert found.headline[f"LEM, T = 2000: {updates}"] == found.headline[f"LEM, T = 50: {updates}"] == 700
    assert found.headline[f"LSTM, T = 50: {updates}"] == adding.NEVER
    assert found.headline["LSTM, T = 50: error after the last update"] == pytest.approx(0.17)
    assert found.paper == {f"LEM, T = 2000: {updates}": 1900}
    assert "LEM at T = 50 from 700" in found.message
    assert "LSTM at T = 50 has 0.17 after 900" in found.message
    assert f"LSTM, T = 50: {updates}" not in found.spread


def test_the_log_of_the_same_length_is_drawn_beside_ours(added):
    assert [axis.get_title(loc="left")[:3] for axis in adding.plot(added).axes] == ["(a)", "(b)", "(c)"]
    table = added.table.replace({"horizon": {8: 2000}})
    drawn = adding.plot(dataclasses.replace(added, table=table))
    labels = [set(axis.get_legend_handles_labels()[1]) for axis in drawn.axes]
    assert "LEM, public log" in labels[1] - labels[0]
    assert "LEM, public logs" in labels[2]
    assert {"LEM", "LSTM", "GRU"} <= labels[0]


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="beside_shortest must be one of"):
        small(beside_shortest=("LEM",))
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        small(seeds=0)
