import math

import pytest
import torch

from curse_of_memory.tasks import Pointwise


def test_targets_are_the_function_of_the_inputs():
    task = Pointwise(lambda x: torch.sin(3 * x), 7, low=-2.0, high=0.5, channels=2)
    x, y = task.sample(4, seed=0, dtype=torch.float64)
    assert x.shape == y.shape == (4, 7, 2)
    assert torch.equal(y, torch.sin(3 * x))


def test_inputs_are_uniform_in_the_range():
    N = 200_000
    x = Pointwise(torch.abs, 10, low=-3.0, high=5.0).sample(N // 10, seed=0, dtype=torch.float64).inputs
    assert x.min() >= -3
    assert x.max() < 5
    share = torch.histc(x, bins=8, min=-3, max=5) / N
    assert (share - 1 / 8).abs().max() < 5 * math.sqrt(1 / 8 / N)


def test_the_repr_tells_functions_apart():
    names = {repr(Pointwise(f, 3)) for f in (torch.sin, torch.cos, lambda x: torch.sin(1 * x))}
    assert len(names) == 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Pointwise(torch.sin, 3, low=1.0, high=1.0), "low must be below high"),
        (lambda: Pointwise(torch.log, 3), "function must be finite from -1 to 1"),
        (lambda: Pointwise(torch.sum, 3), r"keep the shape of a tensor \(101,\), got shape \(\)"),
        (lambda: Pointwise(lambda x: 1.0, 3), "got float"),
        (lambda: Pointwise(lambda x: torch.cumsum(x, 0).flip(0), 3), "element-wise"),
        (lambda: Pointwise(lambda x: x / x.norm(), 3), "element-wise"),
        (lambda: Pointwise(torch.sin, 0), "horizon must be at least 1"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
