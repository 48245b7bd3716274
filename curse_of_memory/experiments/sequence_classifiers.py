"""What the tables of image classification share: how good a classifier is on a split."""

import torch
from torch import nn

from curse_of_memory.tasks import SequentialImages

__all__ = ["measured"]


@torch.no_grad()
def measured(model: nn.Module, images: SequentialImages) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy of the logits of `model` over all `images` of a split."""
    device, loss, correct = next(model.parameters()).device, 0.0, 0
    for x, classes in images.batches(500, device=device, dtype=torch.float32):
        logits = model(x)
        loss += nn.functional.cross_entropy(logits, classes, reduction="sum").item()
        correct += (logits.argmax(1) == classes).sum().item()
    return loss / len(images), correct / len(images)
