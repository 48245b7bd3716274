"""What a model in training is charged for its memories, and that no price is lost unseen."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.inputs import NotFiniteError
from curse_of_memory.nn.forgetting import Law
from curse_of_memory.protocols import remembers

__all__ = ["Charged", "ChargedAnswer", "check_charged", "forgets_by_law", "laws_of", "not_a_number"]


class ChargedAnswer(NamedTuple):
    """What a model answers in training, and what its memories cost.

    Attributes
    ----------
    answer : object
        As the model gives it; None if it is lost, because numbers have become NaN or infinite in between.
    price : Tensor of shape ``()``, or None
        None of a model that does not remember.
    """

    answer: object
    price: Tensor | None


class Charged(nn.Module):
    """A model with a law of forgetting as processes call it: its answer to whole sequences, and the price."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> ChargedAnswer:
        """Return the answer to `x`, in training that of ``remember``; then it may be lost."""
        if not self.training:
            return ChargedAnswer(self.model(x), None)
        weights = list(self.parameters())
        if not remembers(self.model):
            try:
                return ChargedAnswer(self.model(x), None)
            except NotFiniteError:
                return ChargedAnswer(None, None)
        try:
            known = self.model.remember(x, None)
        except NotFiniteError:
            return ChargedAnswer(None, not_a_number(weights))
        return ChargedAnswer(known.y, known.price)


def laws_of(model: nn.Module) -> list[Law]:
    """Return the laws of forgetting in a `model`."""
    return [part for part in model.modules() if isinstance(part, Law)]


def forgets_by_law(model: nn.Module) -> bool:
    """Return whether a `model` remembers, or has a law of forgetting inside."""
    return remembers(model) or bool(laws_of(model))


def check_charged(model: nn.Module) -> None:
    """Refuse a `model` with a law whose price nobody would see."""
    if remembers(model):
        return
    for law in laws_of(model):
        if law.is_priced:
            raise ValueError(
                f"model must have remember(x, state), or the price of its {type(law).__name__} would be lost"
            )


def not_a_number(weights: Iterable[Tensor]) -> Tensor:
    """Return NaN, as a number that depends on all `weights` that are trained."""
    return torch.nan * torch.stack([p.sum().real for p in weights if p.requires_grad]).sum()
