"""Classifiers of sequences: what is measured of them on a split."""

import pytest
import torch

from curse_of_memory.experiments.sequence_classifiers import loss_and_accuracy
from curse_of_memory.nn import SequenceStack
from curse_of_memory.nn.state_space.s4d import S4D
from curse_of_memory.tasks import SequentialImages, available

needs_mnist = pytest.mark.skipif(not available("mnist"), reason="no MNIST files on this machine")


@needs_mnist
def test_losses_are_means_over_all_images():
    images = SequentialImages("mnist", "test", row_by_row=True, size=30)
    model = SequenceStack(
        lambda inside: S4D(inside, 6), 4, input_size=images.input_size, output_size=10, pooling="mean", seed=0
    )
    loss, accuracy = loss_and_accuracy(model, images)
    with torch.no_grad():
        x, y = next(images.batches(30, dtype=torch.float32))
        logits = model(x)
    assert loss == pytest.approx(torch.nn.functional.cross_entropy(logits, y).item(), rel=1e-5)
    assert accuracy == (logits.argmax(1) == y).double().mean().item()
