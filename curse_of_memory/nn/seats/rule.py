"""Rules of eviction that look at the weights of attention, which no law of ages and states can."""

import torch
from torch import Tensor

from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.tools import checks

__all__ = ["HeavyHitters", "Rule"]


class Rule(Law):
    """Base of rules that choose after each pass which memories of a cache stay, by the weights they had.

    Rules by age alone are laws: :class:`.Window` and :class:`.Sinks` of ``nn.forgetting``.
    """

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return zero for each memory, ``(batch, memory, 1)``: no weight was seen yet."""
        return states.new_zeros(*states.shape[:2], 1)

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return zero for all memories that are kept."""
        return notes.new_zeros(len(ages), 1, queries, ages.shape[1])

    def weighed(self, notes: Tensor, weights: Tensor) -> Tensor:
        """Return the notes of memories after a pass.

        Parameters
        ----------
        notes : Tensor of shape ``(batch, memory, 1)``
            Before it.
        weights : Tensor of shape ``(batch, memory)``
            What each got from all queries and heads of the pass, summed.
        """
        return notes

    def keeps(self, ages: Tensor, notes: Tensor) -> Tensor:
        """Return which memories stay, ``(batch, memory)`` of bool.

        Parameters
        ----------
        ages : Tensor of shape ``(batch, memory)``
            Of each for the next query, >= 1; below zero there is no memory.
        notes : Tensor of shape ``(batch, memory, 1)``
        """
        raise NotImplementedError(f"{type(self).__name__} must say keeps(ages, notes)")


class HeavyHitters(Rule):
    """Rule by which the latest memories stay, and of older ones those with the largest weights so far (H2O).

    Parameters
    ----------
    heavy : int
        H >= 1: of all that are older, those stay whose weights of attention, summed over the queries that saw
        them, are the largest.
    recent : int
        W >= 1, the latest; a step that sees itself is one of them.

    Raises
    ------
    ValueError, TypeError
        If a number is below one or no whole number.

    Notes
    -----
    "H2O: Heavy-Hitter Oracle" (2306.14048). Weights are summed over the heads of a layer, which keep the
    same memories; there each head keeps its own. It acts after each forward pass: within one, all see the
    new steps.
    """

    def __init__(self, heavy: int, recent: int):
        super().__init__()
        self.heavy = checks.positive_int("heavy", heavy)
        self.recent = checks.positive_int("recent", recent)

    def weighed(self, notes: Tensor, weights: Tensor) -> Tensor:
        """Return the sum of all weights that memories have had."""
        return notes + weights[..., None].to(notes.dtype)

    def keeps(self, ages: Tensor, notes: Tensor) -> Tensor:
        """Return which are among the W latest, or the H heaviest of the others."""
        recent = (ages > 0) & (ages < self.recent)  # the next query is the W-th
        older = (ages > 0) & ~recent
        weight = notes[..., 0].masked_fill(~older, -torch.inf)
        heaviest = torch.zeros_like(older)
        chosen = weight.topk(min(self.heavy, weight.shape[1]), dim=1).indices
        heaviest.scatter_(1, chosen, True)
        return recent | (older & heaviest)

    def extra_repr(self) -> str:
        """Return H and W for printing."""
        return f"heavy={self.heavy}, recent={self.recent}"
