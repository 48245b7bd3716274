"""Times of updates: who is compared, in which turns, and what becomes of them; no test is about a time."""

import itertools

import numpy as np
import pandas as pd
import pytest
import torch

from curse_of_memory.papers.lem import training_time

CHEAP = ("EigenWorms", "FitzHugh-Nagumo")


@pytest.fixture(scope="module")
def timed():
    return training_time.data(tasks=CHEAP, longest=3, pairs=2, device="cpu")


def test_every_turn_is_in_the_table(timed):
    table = timed.table
    others = list(training_time.MODELS)[1:]
    assert set(table.task) == set(CHEAP)
    for model in others:
        pairs = table[table.model == model].groupby("task").pair.apply(list)
        assert pairs.to_dict() == {task: [0, 1] for task in CHEAP}
    assert (table.steps == 3).all()
    assert (table.seconds > 0).all()


def test_a_ratio_is_of_the_two_times_of_a_turn(timed):
    own = timed.table.reset_index(drop=True)
    lem, other = own[own.index % 2 == 0].reset_index(), own[own.index % 2 == 1].reset_index()
    assert (lem.model == "LEM").all()
    assert (lem.ratio == 1).all()
    assert "LEM" not in set(other.model)
    np.testing.assert_array_equal(other.ratio, other.seconds / lem.seconds)


def test_times_are_those_of_the_processor_in_turns(monkeypatch):
    """A clock that ticks at each look: every work then takes one tick, and the turns can be seen."""
    ticks = itertools.count()
    monkeypatch.setattr(training_time.time, "process_time", lambda: float(next(ticks)))
    ran = []
    original = training_time._update

    def noted(model, *rest):
        update = original(model, *rest)
        return lambda: (ran.append(type(model).__name__), update())[1]

    monkeypatch.setattr(training_time, "_update", noted)
    found = training_time.data(tasks=("FitzHugh-Nagumo",), longest=2, pairs=1, device="cpu")
    assert ran == ["LEM", "LSTM", "GRU", "NaiveLEM", "LEM", "LSTM", "LEM", "GRU", "LEM", "NaiveLEM"]
    assert (found.table.seconds == 1).all()
    assert set(found.headline.values()) == {1.0}


@pytest.mark.parametrize("task", training_time.SIZES)
def test_the_plain_loop_is_lem(task):
    size = training_time.SIZES[task]
    fast, plain = (training_time.MODELS[name](size).double() for name in ("LEM", "plain loop"))
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 7, size.inputs)))
    torch.testing.assert_close(fast(x), plain(x), rtol=1e-12, atol=1e-12)
    gradients = [
        torch.autograd.grad(model(x).square().sum(), list(model.parameters())) for model in (fast, plain)
    ]
    torch.testing.assert_close(*gradients, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("task", training_time.SIZES)
def test_models_of_a_task_have_its_sizes(task):
    size = training_time.SIZES[task]
    counts = {
        name: sum(p.numel() for p in make(size).parameters()) for name, make in training_time.MODELS.items()
    }
    m, h, o = size.inputs, size.width, size.outputs
    assert counts["LEM"] == counts["LSTM"] == counts["plain loop"] == 4 * h * (m + h) + 8 * h + o * (h + 1)
    assert counts["GRU"] == 3 * h * (m + h) + 6 * h + o * (h + 1)


def test_an_update_is_a_step_of_adam_on_the_mean_square():
    """The first step of Adam moves each weight by the learning rate, against the sign of its gradient."""
    size = training_time.Size(batch=3, horizon=4, inputs=2, width=4, outputs=1, dt=0.5)
    model, twin = training_time.MODELS["LEM"](size), training_time.MODELS["LEM"](size)
    training_time._update(model, size, 4, seed=5)()
    x = torch.from_numpy(np.random.default_rng(5).standard_normal((3, 4, 2))).float()
    gradients = torch.autograd.grad(twin(x)[:, -1].square().mean(), list(twin.parameters()))
    for p, q, g in zip(model.parameters(), twin.parameters(), gradients, strict=True):
        moved = (p - q).detach()
        clear = g.abs() > 1e-4
        torch.testing.assert_close(moved[clear], -1e-3 * g[clear].sign(), rtol=1e-3, atol=0)


def test_what_is_said_is_what_is_in_the_table():
    turns = [
        ("a", "LSTM", 2.0),
        ("a", "LSTM", 3.0),
        ("a", "LSTM", 2.5),
        ("b", "LSTM", 0.5),
        ("b", "GRU", 4.0),
    ]
    table = pd.DataFrame(turns, columns=["task", "model", "ratio"])
    table["seconds"] = 1.0
    found = training_time._findings(table)
    assert found.headline["a: time of LSTM over that of LEM"] == 2.5
    assert "LSTM from 0.5 to 2.5, GRU from 4 to 4" in found.message
    assert "within 40%" in found.message


def test_there_is_a_mark_for_each_ratio(timed):
    (axis,) = training_time.plot(timed).axes
    assert len(axis.get_xticklabels()) == len(CHEAP)
    assert {"LEM", "LSTM / LEM", "GRU / LEM", "plain loop / LEM"} == set(axis.get_legend_handles_labels()[1])


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="tasks must be one of"):
        training_time.data(tasks=("PTB",), device="cpu")
    with pytest.raises(ValueError, match="pairs must be at least 1"):
        training_time.data(pairs=0, device="cpu")
