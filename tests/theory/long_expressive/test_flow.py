"""The ODE of LEM against a closed form, and the limit and first order of the layer's own steps."""

import math

import numpy as np
import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.theory.long_expressive import Flow


def layer_and_flow(seed, width=3):
    layer = LEM(width, input_size=1, output_size=None, seed=seed, dtype=torch.float64)
    cell = layer.network.direction(0)
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(2)
        b = cell.input_bias + cell.recurrent_bias
        return layer, Flow(cell.recurrent_weight.numpy(), cell.input_weight.numpy(), b.numpy())


def last_state(layer, count, duration):
    """Return where `count` steps of the layer end, under the input sin 2t."""
    layer.network.direction(0).dt = duration / count
    t = torch.arange(1, count + 1, dtype=torch.float64) * (duration / count)
    with torch.no_grad():
        return layer.run(torch.sin(2 * t)[None, :, None]).last[0].numpy()


def test_a_unit_with_a_constant_goal_has_a_closed_form():
    G, g, T = math.tanh(0.7), 1 / (1 + math.exp(-0.3)), 2.5
    flow = Flow(np.zeros((4, 1)), np.zeros((4, 1)), np.array([0.3, 0.3, 0.7, 0.7]))
    end = flow.end(lambda t: [0.0], lambda t: [0.0], T)
    np.testing.assert_allclose(end.state, G * (1 - math.exp(-g * T)), rtol=1e-10)
    # (1 − gΔt)ⁿ = e^{−gT}(1 − g²TΔt/2 + O(Δt²))
    np.testing.assert_allclose(end.error, G * math.exp(-g * T) * g**2 * T / 2, rtol=1e-9)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_short_step_of_the_layer_goes_along_the_field(seed):
    layer, flow = layer_and_flow(seed)
    start, u, dt = torch.linspace(-0.9, 0.8, 6, dtype=torch.float64), 0.4, 1e-7
    layer.network.direction(0).dt = dt
    with torch.no_grad():
        moved = layer.run(torch.full((1, 1, 1), u, dtype=torch.float64), start[None]).last[0] - start
    np.testing.assert_allclose(flow.field(start.numpy(), np.array([u])), moved / dt, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_flow_is_the_limit_of_the_layer_and_its_error_what_is_missing_to_first_order(seed):
    layer, flow = layer_and_flow(seed)
    T, n = 3.0, 2000
    end = flow.end(lambda t: [math.sin(2 * t)], lambda t: [2 * math.cos(2 * t)], T)
    once, twice = (last_state(layer, count, T) for count in (n, 2 * n))
    np.testing.assert_allclose(2 * twice - once, end.state, atol=3 * (T / n) ** 2)
    # of (X − state)/Δt = E + O(Δt) the extrapolated values leave O(Δt²)
    per_step = [(x - end.state) / (T / count) for x, count in ((once, n), (twice, 2 * n))]
    np.testing.assert_allclose(2 * per_step[1] - per_step[0], end.error, atol=1e-5)
    assert np.abs(end.error).max() > 0.05


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 1)), np.ones((3, 1)), np.ones(3)), "W must have four blocks"),
        ((np.ones((4, 1)), np.ones((3, 1)), np.ones(4)), "V must have as many rows as W, 4, got 3"),
        ((np.ones((4, 1)), np.ones((4, 1)), np.ones(3)), "b must have one value for each row of W, 4, got 3"),
    ],
)
def test_bad_shapes_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        Flow(*arguments)
