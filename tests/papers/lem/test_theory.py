"""What the panels of the theorems on LEM say, in numbers."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.nn import GRU, LEM, LSTM
from curse_of_memory.papers.lem import _theorems
from curse_of_memory.papers.lem import theory as figure

LENGTHS = (10, 100, 1000)


@pytest.fixture(scope="module")
def theorems():
    return figure.data(networks=8, lengths=LENGTHS, widths=(4, 16, 64), seeds=2, device="cpu")


def curve(data, panel, kind, name=None):
    table = data.table[(data.table.panel == panel) & (data.table.kind == kind)]
    return table if name is None else table[table.curve == name]


def test_states_are_within_their_bound_and_near_it(theorems):
    for dt in (1, 0.1, 0.01):
        marks = curve(theorems, "states", "measured", f"{dt:g}")
        bound = 1 - (1 - dt) ** marks.x.to_numpy()
        assert (marks.y <= bound * (1 + 1e-12)).all()
        assert (marks.y >= 0.7 * bound).all()


def test_jacobians_use_a_share_of_the_allowed_growth(theorems):
    used = curve(theorems, "growth", "measured").y
    assert used.max() == theorems.headline["largest share of the allowed growth used"]
    assert 0.1 < used.max() <= 1


def test_steps_are_off_by_their_first_order_term(theorems):
    line, marks = (curve(theorems, "flow", kind) for kind in ("theory", "measured"))
    off = np.abs(marks.y.to_numpy() / line.y.to_numpy() - 1)
    assert off[-1] < 2e-3
    # what is left is of the order of the step: it halves with it
    np.testing.assert_allclose(off[-3:-1] / off[-2:], 2, rtol=0.1)


def test_gradients_last_over_as_many_steps_as_one_likes_if_these_are_small(theorems):
    bound = {
        name: curve(theorems, "lengths", "theory", name).y.to_numpy() for name in ("lower", "norm", "upper")
    }
    scaled, least = (
        curve(theorems, "lengths", "measured", name).y.to_numpy() for name in ("1/N", "least gain")
    )
    assert (bound["norm"] <= scaled).all()
    assert (scaled <= bound["upper"]).all()
    assert (bound["lower"] <= least).all()
    assert scaled[-1] == pytest.approx(scaled[-2], rel=0.03)
    fixed = curve(theorems, "lengths", "measured", "1").y.to_numpy()
    assert fixed[-1] < 1e-100
    assert theorems.headline["norm over N = 1000 steps, dt = 1"] == fixed[-1]


def test_the_jacobian_is_what_differences_see():
    layer = LEM(3, dt=0.3, output_size=None, seed=0, dtype=torch.float64)
    x, state = torch.linspace(-1, 1, 5, dtype=torch.float64)[None, :, None], torch.full((1, 6), 0.2).double()
    J, h = _theorems.jacobian(layer, x, state)[0], 1e-6
    for i in range(6):
        by = h * torch.eye(6, dtype=torch.float64)[i : i + 1]
        with torch.no_grad():
            slope = (layer.run(x, state + by).last - layer.run(x, state - by).last)[0] / (2 * h)
        torch.testing.assert_close(J[:, i], slope, rtol=0, atol=1e-9)


def test_errors_of_frozen_gates_fall_with_the_exponential_of_the_bias(theorems):
    line, marks = (curve(theorems, "gates", kind) for kind in ("theory", "measured"))
    bound = np.interp(marks.x, line.x, np.log(line.y))
    assert (np.log(marks.y) <= bound).all()
    middle = marks[(marks.x >= 8) & (marks.x <= 24)]
    assert np.polyfit(middle.x, np.log(middle.y), 1)[0] == pytest.approx(-1, abs=0.02)


def test_wider_networks_are_nearer_to_the_pendulum(theorems):
    once, all_steps = (curve(theorems, "pendulum", "measured", name).y.to_numpy() for name in ("one", "all"))
    growth = sum(1.1**k for k in range(20))
    assert (np.diff(once) < 0).all()
    assert once[-1] < 0.02
    assert (all_steps <= growth * once * (1 + 1e-12)).all()
    np.testing.assert_allclose(curve(theorems, "pendulum", "theory").y, growth * once, rtol=1e-12)


def test_a_lipschitz_constant_of_the_pendulum_is_the_one_that_is_used():
    random = np.random.default_rng(0)
    torque = random.uniform(-0.5, 0.5, 10_000)
    here, there = random.uniform(-1.6, 1.6, (2, 10_000, 2))
    apart = np.abs(_theorems._pendulum(here, torque) - _theorems._pendulum(there, torque)).max(-1)
    assert (apart <= 1.1 * np.abs(here - there).max(-1)).all()


def test_time_constants_are_those_of_the_gates(theorems):
    for dt in (1, 0.1, 0.01):
        marks = curve(theorems, "constants", "measured", f"{dt:g}")
        gate = dt / (1 + np.exp(-marks.x.to_numpy()))
        np.testing.assert_allclose(marks.y, -1 / np.log1p(-gate), rtol=1e-5)  # ten steps of a rate of 1e-8


def test_small_steps_remember_and_large_ones_and_an_lstm_forget(theorems):
    last = {name: theorems.headline[f"gradient at lag 100, {name}"] for name in ("LSTM", "GRU")}
    for dt in ("1", "0.1", "0.01"):
        last[dt] = theorems.headline[f"gradient at lag 100, LEM, dt = {dt}"]
    assert max(last["LSTM"], last["GRU"]) < 1e-19 < last["1"] < 1e-11
    assert 1e-5 < last["0.1"] < 1e-2
    flat = curve(theorems, "gradient", "measured", "0.01").groupby("x").y.median()
    assert 0.1 < flat.iloc[-1] / flat.iloc[0] < 10


def test_memory_is_the_gradient_where_both_are_small(theorems):
    # near the origin a network is linear; inputs are of size one, and so alike in order only
    memory, gradient = (
        curve(theorems, p, "measured", "0.01").sort_values(["seed", "x"]).y.to_numpy()
        for p in ("memory", "gradient")
    )
    assert np.abs(np.log10(np.median(memory / gradient))) < 0.5


def test_models_have_equally_many_weights():
    models = figure._models(32)
    counts = {name: sum(p.numel() for p in make(0).parameters()) for name, make in models.items()}
    assert counts["1"] == counts["0.01"] == counts["LSTM"] == 4 * 32 * 33 + 8 * 32 + 33
    assert counts["GRU"] == pytest.approx(counts["LSTM"], rel=0.01)
    kinds = {name: type(make(0)) for name, make in models.items()}
    assert (kinds["0.1"], kinds["LSTM"], kinds["GRU"]) == (LEM, LSTM, GRU)


def test_marks_beyond_a_bound_are_counted(theorems):
    assert "none is beyond" in theorems.message
    assert figure._beyond(theorems.table)[0] == 0
    wrong = theorems.table.copy()
    measured = wrong.kind == "measured"
    wrong.loc[measured & wrong.panel.isin(["states", "growth"]), "y"] += 2
    changed = (measured & wrong.panel.isin(["states", "growth"])).sum()
    assert figure._beyond(wrong)[0] == changed


def test_axes_say_what_they_are(theorems):
    drawn = figure.plot(theorems)
    titles = [axis.get_title(loc="left")[:3] for axis in drawn.axes]
    assert titles == [f"({letter})" for letter in "abcdefghi"]
    assert all(axis.get_xlabel() and axis.get_ylabel() for axis in drawn.axes)
    (legend,) = drawn.legends
    assert {"LSTM", "GRU", "proven here"} <= {text.get_text() for text in legend.get_texts()}


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="lengths must be at least 1"):
        figure.data(lengths=(0,), device="cpu")
    with pytest.raises(ValueError, match="seed must"):
        figure.data(seed=-1, device="cpu")
    assert math.isfinite(_theorems.eta(LEM(2, seed=0)))


def test_jacobians_of_chunks_are_multiplied(monkeypatch):
    layer = LEM(3, dt=0.3, output_size=None, seed=0, dtype=torch.float64)
    x = torch.linspace(-1, 1, 20, dtype=torch.float64).reshape(2, 10, 1)
    state = torch.linspace(-0.9, 0.9, 12, dtype=torch.float64).reshape(2, 6)
    whole = _theorems.jacobian(layer, x, state)
    monkeypatch.setattr(_theorems, "CHUNK", 3)
    torch.testing.assert_close(_theorems.jacobian(layer, x, state), whole, rtol=1e-12, atol=0)
