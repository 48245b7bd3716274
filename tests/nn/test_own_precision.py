import pytest
import torch

from curse_of_memory.nn import RNN, S4D, SSM, SequenceStack

LAYERS = [
    lambda: RNN(4, input_size=3, seed=0, diagonal=True),
    lambda: RNN(4, input_size=3, seed=0, activation="tanh"),
    lambda: SSM(4, input_size=3, seed=0),
    lambda: S4D(3, seed=0),
]


@pytest.mark.parametrize("build", LAYERS)
def test_autocast_does_not_reach_a_recurrence(build):
    layer = build()
    x = torch.randn(2, 30, 3, generator=torch.Generator().manual_seed(0))
    expected = layer(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer(x)
        rounded = layer(x.bfloat16())
    assert found.dtype == rounded.dtype == torch.float32
    assert torch.equal(found, expected)
    assert torch.equal(rounded, layer(x.bfloat16().float()))
    found.sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())


def test_around_it_autocast_is_what_it_was():
    stack = SequenceStack(lambda width: RNN(8, input_size=width, output_size=width), width=4, seed=0)
    seen = []
    stack.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        stack(torch.ones(2, 5, 1)).sum().backward()
    assert seen == [torch.bfloat16]  # the decoder is a product, rounded as asked for
