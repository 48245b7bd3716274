"""Classifiers of sequences: their cross-entropy and accuracy on a split of images."""

import torch
from torch import nn

from curse_of_memory.tasks import SequentialImages

__all__ = ["loss_and_accuracy"]


@torch.no_grad()
def loss_and_accuracy(model: nn.Module, images: SequentialImages) -> tuple[float, float]:
    """Return the mean cross-entropy, in nats, and the accuracy of a classifier over all images of a split.

    Parameters
    ----------
    model : torch.nn.Module
        Maps images ``(batch, time, channel)`` to logits ``(batch, class)``.
    images : SequentialImages
        The split.
    """
    device, loss, correct = next(model.parameters()).device, 0.0, 0
    for x, classes in images.batches(500, device=device, dtype=torch.float32):
        logits = model(x)
        loss += nn.functional.cross_entropy(logits, classes, reduction="sum").item()
        correct += (logits.argmax(1) == classes).sum().item()
    return loss / len(images), correct / len(images)
