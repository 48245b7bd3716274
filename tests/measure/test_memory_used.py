"""The memory used on random inputs, against closed forms."""

import numpy as np
import pytest
import torch

from curse_of_memory.measure import SequenceMap, memory_function, memory_used
from curse_of_memory.nn import RNN


def test_memory_used_is_the_memory_of_a_linear_model():
    model = RNN(3, seed=1, dtype=torch.float64)
    measured = memory_used(model, 20, samples=4).values
    closed = model.kernel(20).detach().flatten().numpy()
    # the same products in another order, 20 steps of 3 states
    assert np.abs(measured - closed).max() < 60 * np.finfo(float).eps * np.abs(closed).max()


def test_memory_used_is_the_regression_of_the_answer_on_the_inputs():
    class Cubic(torch.nn.Module):
        def forward(self, x):
            return x**3 + 2 * x.roll(1, 1)

    # Stein: E x³ x = 3, E ∂x³/∂x = 3 E x² with a standard error of 3 √(2/n)
    measured = memory_used(Cubic(), 3, samples=4000, seed=2).values
    assert abs(measured[0] - 3) < 5 * 3 * np.sqrt(2 / 4000)
    assert measured[1:].tolist() == pytest.approx([2, 0], abs=1e-6)


def test_it_is_a_density_per_unit_time():
    model = RNN(3, seed=1, dt=0.25, dtype=torch.float64)
    used, closed = memory_used(model, 20, samples=2), memory_function(model, 20)
    assert used.attrs["dt"] == 0.25
    np.testing.assert_array_equal(used.lag, closed.lag)
    np.testing.assert_allclose(np.abs(used), closed, rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (torch.nn.Linear(2, 1), {}, "shape"),
        (SequenceMap(torch.nn.Linear(2, 1), input_size=2), {}, "model must read numbers of one channel"),
        (torch.nn.Linear(1, 2), {}, "model must answer with one real channel, got 2"),
        (torch.nn.Embedding(5, 1), {}, "model"),
        (torch.nn.Dropout(0.5), {"horizon": 0}, "horizon must be at least 1"),
        (torch.nn.Dropout(0.5), {"samples": 0}, "samples must be at least 1"),
        (torch.nn.Dropout(0.5), {"dt": -1.0}, "dt must be positive"),
    ],
)
def test_bad_input_is_refused(model, options, message):
    with pytest.raises((TypeError, ValueError), match=message):
        memory_used(model, **({"horizon": 5, "samples": 2} | options))
