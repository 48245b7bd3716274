"""Compiled loops flush subnormal numbers to zero, in any thread, and leave its mode as it was."""

import sys

import pytest
import torch

from curse_of_memory.nn import LEM
from curse_of_memory.nn.recurrence.compiled import threads
from curse_of_memory.nn.recurrence.compiled.subnormals import FLUSHED

pytestmark = pytest.mark.skipif(FLUSHED == 0, reason="this processor has no such mode")


def flushes() -> bool:
    return sys.float_info.min / 2 == 0


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("error", [None, ZeroDivisionError, KeyboardInterrupt])
def test_the_mode_is_set_and_restored_in_every_thread(two_threads, error):
    large = torch.zeros(1 << 18)  # worth a second thread
    inside = []

    def loop(first, last, array):
        inside.append(flushes())
        if error is not None:
            raise error

    if error is None:
        threads.over_batch(loop, 8, large)
    else:
        with pytest.raises(error):
            threads.over_batch(loop, 8, large)
    assert inside
    assert all(inside)
    assert not flushes()
    assert not threads._pool(1).submit(flushes).result()


def test_a_mode_that_was_set_before_stays():
    assert torch.set_flush_denormal(True)
    try:
        threads.over_batch(lambda *_: None, 1, torch.zeros(1))
        assert flushes()
    finally:
        torch.set_flush_denormal(False)


def without(monkeypatch):
    monkeypatch.setattr(threads, "with_subnormals_flushed", lambda loop, *arguments: loop(*arguments))


def subnormal(t: torch.Tensor) -> torch.Tensor:
    return (t != 0) & (t.abs() < torch.finfo(t.dtype).tiny)


def draw(dtype, *shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


@pytest.mark.parametrize(
    ("dtype", "dt", "time"),
    [(torch.float32, 1.0, 300), (torch.float32, 0.44, 1000), (torch.float64, 1.0, 2350)],
)
def test_values_and_gradients_are_the_same_but_for_what_is_subnormal(monkeypatch, dtype, dt, time):
    layer = LEM(8, dt=dt, input_size=2, seed=0).to(dtype)
    x = draw(dtype, 5, time, 2, seed=1).requires_grad_()

    def results():
        y, last = layer.run(x)
        return y, last, *torch.autograd.grad(y[:, -1].sum(), [x, *layer.parameters()])

    flushed = results()
    without(monkeypatch)
    kept = results()
    assert torch.equal(flushed[0], kept[0])
    assert torch.equal(flushed[1], kept[1])
    assert subnormal(kept[2]).any()  # or else there is nothing to see here
    for one, other in zip(flushed[2:], kept[2:], strict=True):
        assert not subnormal(one).any()
        info = torch.finfo(dtype)
        # an adjoint that is flushed has lost less than the smallest number at each unit and step
        torch.testing.assert_close(one, other, rtol=10 * info.eps, atol=1e6 * info.tiny)


def test_states_that_stand_still_in_padding_are_the_same(monkeypatch):
    """The gates there are 10⁻³⁰⁴, and what comes back through them is subnormal in float64."""
    layer = LEM(4, dt=0.3, input_size=2, output_size=None, seed=0, dtype=torch.float64)
    x = draw(torch.float64, 3, 30, 2, seed=2).requires_grad_()
    lengths = [3, 30, 11]

    def results():
        y, last = layer.run(x, lengths=lengths)
        return y, last, *torch.autograd.grad(last.square().sum(), [x, *layer.parameters()])

    flushed = results()
    without(monkeypatch)
    for one, other in zip(flushed, results(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-15, atol=1e-300)
