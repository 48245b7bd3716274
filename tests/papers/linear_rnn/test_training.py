"""Training curves: the flow, the descent that follows it, and the floor under Lorenz-96."""

import numpy as np
import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.papers.linear_rnn import training
from curse_of_memory.theory.plateau.exact_loss import exact_loss
from curse_of_memory.theory.plateau.gradient_flow import gradient_flow


@pytest.fixture(scope="module")
def found():
    return training.data(
        seeds=4,
        terms=8,
        descent_steps=5000,
        lorenz_horizon=20,
        steps=60,
        batch_size=32,
        samples=64,
        width=6,
    )


def panel(data, name, kind):
    return data.table[(data.table.panel == name) & (data.table.kind == kind)]


def test_the_airy_target_waits_and_the_exponentials_do_not(found):
    waits = [found.headline[f"{name}: longest wait, mean factor"] for name in ("exponential sum", "Airy")]
    assert waits[0] < 2
    assert waits[1] > 3


def test_the_spread_is_over_the_runs(found, expect_spread):
    runs = panel(found, "Lorenz-96", "training")
    ends = runs[runs.step == 60].loss
    expect_spread(found, "Lorenz-96: loss at the end, mean of the runs", ends)
    label = "Airy: longest wait, mean factor"
    assert found.spread[label].high == found.headline["Airy: longest wait, largest factor"]
    assert found.spread[label].low <= found.headline[label]
    assert [spread.runs for spread in found.spread.values()] == [4, 4, 4]


def test_losses_fall_along_the_flow(found):
    for name in ("exponential sum", "Airy"):
        flow = panel(found, name, "flow")
        assert flow.groupby("seed").ngroups == 4
        for _, run in flow.groupby("seed"):
            assert (np.diff(run.loss) <= 1e-7).all()  # the solver's relative error of a step is 1e-8


def test_the_exponential_sum_is_learnt_and_airy_is_not(found):
    ends = {
        name: panel(found, name, "flow").groupby("seed").loss.last() for name in ("exponential sum", "Airy")
    }
    assert (ends["exponential sum"] < 1e-3).all()
    assert (ends["Airy"] > 0.5).all()


def test_descent_follows_the_flow_up_to_its_learning_rate():
    """Euler's steps along the flow: half the learning rate, half the gap at the same time."""
    rho, horizon, time = training.exponentials(), 20.0, 4.0
    flow = gradient_flow(rho, 4, seed=0, horizon=horizon, time_limit=time, tolerance=1e-10)
    energy = exact_loss(rho, horizon=horizon).energy
    gaps = []
    for rate in (0.02, 0.01):
        steps = round(time / rate)
        last = training._descent(rho, flow, horizon, rate, steps).iloc[-1]
        assert last.step == steps
        gaps.append(abs(last.loss - float(flow.loss[-1]) / energy))
    assert gaps[0] < 0.02
    assert gaps[0] / gaps[1] == pytest.approx(2, rel=0.1)


def test_flow_curves_are_the_flow_at_the_steps():
    rho = training.exponentials()
    flow = gradient_flow(rho, 2, seed=0, horizon=20.0, time_limit=10.0)
    curve = training._flow_curve(flow, 2.0, 0.1, 100)
    assert curve.step.iloc[-1] == 100
    assert curve.loss.iloc[-1] == pytest.approx(float(flow.loss[-1]) / 2.0, rel=1e-12)


@pytest.mark.parametrize(
    ("loss", "factor"),
    [
        ([1.0, 0.5, 0.495, 0.1], 25.0),  # waits from 2 to 50
        ([1.0, 0.8, 0.6, 0.1], 1.0),  # never
        ([1.0, 0.5, 0.1, 0.1], 1.0),  # has arrived: nothing to come
        ([0.5, 0.5, 0.5, 0.5], 1.0),
    ],
)
def test_waiting_factors(loss, factor):
    assert training.waiting_factor(np.array([1.0, 2.0, 50.0, 60.0]), np.array(loss)) == factor


def test_waits_before_the_first_time_do_not_count():
    assert training.waiting_factor(np.array([0.01, 0.5, 2.0]), np.array([1.0, 1.0, 0.1])) == 1.0


def test_no_linear_network_is_below_the_floor(found):
    floor = panel(found, "Lorenz-96", "floor").loss.iloc[0]
    runs = panel(found, "Lorenz-96", "training")
    assert runs.groupby("seed").ngroups == 4
    assert runs.loss.min() >= floor
    assert floor > 0
    first, last = runs.groupby("step").loss.mean().iloc[[0, -1]]
    assert last < first


def test_the_floor_of_what_a_linear_network_with_bias_says_is_rounding():
    model = RNN(3, seed=0, dtype=torch.float64)
    with torch.no_grad():
        model.get_parameter("bias").copy_(torch.tensor([0.3, -0.2, 0.1]))
        x = torch.from_numpy(np.random.default_rng(0).standard_normal((16, 7, 1)))
        y = model(x)
    assert training.linear_floor(x[..., 0].numpy(), y[..., 0].numpy()) < 1e-24
    y[..., 0] += 0.1 * x[..., 0] ** 2
    assert training.linear_floor(x[..., 0].numpy(), y[..., 0].numpy()) > 1e-4


def test_axes_say_what_they_are(found):
    figure = training.plot(found)
    for axis in figure.axes:
        assert axis.get_xlabel() == "training step"
        assert axis.get_ylabel()
        assert axis.lines


def test_arguments_are_checked():
    with pytest.raises(ValueError, match="seeds must be at least 1"):
        training.data(seeds=0)
    with pytest.raises(ValueError, match="stretch must be positive"):
        training.data(stretch=-1.0)
