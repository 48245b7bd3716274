"""What an attention, or a whole transformer, with a law of forgetting answers, and what it remembers."""

from typing import NamedTuple

from torch import Tensor

from curse_of_memory.nn.forgetting.store import KeptKeys, KeptStates

__all__ = ["Remembered", "RememberedByAll"]


class Remembered(NamedTuple):
    """What an attention answers, and what it remembers.

    Attributes
    ----------
    y : Tensor of shape ``(batch, time, width)``
        The answers.
    last : KeptStates, KeptKeys or None
        The memories after the last step, cut off from their gradients; None where nobody asked for them.
    price : Tensor of shape ``()``
        The mean price of memory of a step: differentiable, and to be added to the loss.
    live : Tensor of shape ``(batch, time)``
        Whole numbers: how many memories each step sees, in one head at least.
    spans : Tensor of shape ``(batch, time)``, or None
        For how many steps each step will be remembered, if the law has spans. Not cut by training.
    """

    y: Tensor
    last: KeptStates | KeptKeys | None
    price: Tensor
    live: Tensor
    spans: Tensor | None


class RememberedByAll(NamedTuple):
    """What a transformer answers, and what its layers remember.

    Attributes
    ----------
    y : Tensor of shape ``(batch, time, output_size)``
        The answers.
    last : tuple of KeptStates or KeptKeys, or None
        The memories of every layer after the last step, cut off from their gradients.
    price : Tensor of shape ``()``
        The mean price of memory of a step, summed over layers: differentiable, and to be added to the loss.
    live : Tensor of shape ``(layers, batch, time)``
        Whole numbers: how many memories each step sees in each layer.
    spans : tuple of Tensor of shape ``(batch, time)``, or None
        For each layer, for how many steps each step will be remembered, if its law has spans.
    """

    y: Tensor
    last: tuple[KeptStates | KeptKeys, ...] | None
    price: Tensor
    live: Tensor
    spans: tuple[Tensor | None, ...]
