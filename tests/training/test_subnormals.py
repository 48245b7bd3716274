"""Inside the context torch takes subnormal numbers as zero; afterwards everything is as it was."""

import sys
import threading

import pytest
import torch

from curse_of_memory.nn import RNN
from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.training import fit, sweep


def flushes() -> bool:
    return sys.float_info.min / 2 == 0


@pytest.fixture(autouse=True)
def not_flushed():
    assert not flushes()
    yield
    torch.set_flush_denormal(False)


def halves(count: int = 1 << 20) -> torch.Tensor:
    """The bits of many numbers that are subnormal, in as many threads as torch uses."""
    return (torch.full((count,), torch.finfo(torch.float32).tiny) / 2).view(torch.int32)


def test_inside_subnormals_are_zero_and_afterwards_not():
    with subnormals_flushed():
        assert flushes()
        assert not halves().any()
        with subnormals_flushed():
            assert flushes()
        assert flushes()  # the outer one is not at its end
    assert not flushes()
    assert halves().all()


def test_an_error_ends_it_too():
    with pytest.raises(ZeroDivisionError), subnormals_flushed():
        _ = 1 / 0
    assert not flushes()


def test_threads_that_torch_starts_do_not_keep_the_mode():
    """A thread has its own helpers of torch, so in a new one they are started here, two of them."""
    found = []

    def work():
        with subnormals_flushed():
            found.append(halves())
        found.append(halves())

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    finally:
        torch.set_num_threads(before)
    inside, after = found
    assert not inside.any()
    assert after.all()


class Watched(RNN):
    """A network that notes whether subnormals are flushed when it is trained."""

    def forward(self, x):
        seen.append(flushes())
        return super().forward(x)

    def run_many(self, parameters, x):
        seen.append(flushes())
        return super().run_many(parameters, x)


seen: list[bool] = []


@pytest.mark.parametrize("many", [False, True])
def test_training_flushes_and_leaves_the_mode_as_it_was(many):
    seen.clear()
    task = LinearFunctional(lambda t: 0.5**t, horizon=8)
    settings = {"steps": 2, "batch_size": 4, "validate_every": 1, "device": "cpu"}
    if many:
        sweep([Watched(4, seed=0)], task, **settings)
    else:
        fit(Watched(4, seed=0), task, **settings)
    assert seen[-1]
    assert not flushes()
