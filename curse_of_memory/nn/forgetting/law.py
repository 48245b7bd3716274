"""What a law of forgetting says of memories: how much each counts for a query, and when it is dead for good.

Equation.   A law has a mask 0 <= m(query, memory) <= 1, and attention weighs the value v_i of a memory by

                m_ti e^{s_ti} / Σ_j m_tj e^{s_tj}  =  softmax_i(s_ti + log m_ti) ,

            with scores s_ti = q_t · k_i / √w. That is all that forgetting is: log m <= 0 is added to scores.

Ages.       A memory that was written at step i has the age s = t − i for the query at t, in whole steps.
            Where a law is asked for a block of queries, it is given the ages for the first of them: those of
            memories of the block itself are 0, −1, …, and count from the query on that is their own.
"""

import copy
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.tools import checks

__all__ = ["Law", "Means", "PoolingLaw", "ages_at_queries", "block_for", "law_of_each"]

_BLOCK = 128


class Law(nn.Module):
    """Base of all laws of forgetting: one of your own says :meth:`log_mask`, and maybe :meth:`last_ages`.

    One law belongs to one attention, which makes its weights for its own width and heads by :meth:`attach`;
    a transformer takes a copy for each of its layers.

    Attributes
    ----------
    first_age : int
        Age of the youngest memory that a query sees: 0 if a step sees itself, else 1.
    max_span : int or None
        L, the limit of its spans in steps, if it has spans.
    limit_of_blocks : str
        Name of the number that attention must not exceed by the steps that it reads at a time.

    Examples
    --------
    Memories of even age only, none of them older than eight steps:

    >>> class Even(Law):
    ...     def log_mask(self, ages, notes, queries):
    ...         age = ages_at_queries(ages, queries)
    ...         return torch.zeros(age.shape).masked_fill((age % 2 == 1) | (age > 8), -torch.inf)
    ...
    ...     def last_ages(self, notes):
    ...         return torch.full(notes.shape[:2], 8)
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> CausalSelfAttention(4, forgetting=Even())(torch.ones(1, 20, 4)).shape
    torch.Size([1, 20, 4])
    """

    first_age: int = 1
    max_span: int | None = None
    limit_of_blocks = "max_span"

    def attach(self, width: int, heads: int, first_age: int) -> None:
        """Make what the law learns for an attention of `width` channels and `heads` heads."""
        self.first_age = first_age

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return the numbers that the law keeps of each memory, ``(batch, memory, note)``; none unless said.

        Parameters
        ----------
        states : Tensor of shape ``(batch, memory, width)``
            What keys and values are made of.
        steps : Tensor of shape ``(batch, memory)``
            Whole numbers: the step of its sequence at which each was written.
        """
        return states.new_zeros(*states.shape[:2], 0)

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return log m for a block of queries, ``(batch, heads or 1, query, memory)``; −inf is dead.

        Parameters
        ----------
        ages : Tensor of shape ``(batch, memory)``
            Whole numbers: the age of each memory for the first query of the block.
        notes : Tensor of shape ``(batch, memory, note)``
            Of each memory; the last `queries` of them are those of the block itself.
        queries : int
            How many steps the block has.

        Notes
        -----
        What it says of memories that are younger than `first_age` is not looked at.
        """
        raise NotImplementedError(f"{type(self).__name__} must say log_mask(ages, notes, queries)")

    def last_ages(self, notes: Tensor) -> Tensor | None:
        """Return the largest age at which each memory may have m > 0, ``(batch, memory)``, in whole steps.

        It is dead for good from the age after that on. None, if memories never die, as unless said otherwise.
        With one that is too small answers depend on where blocks end.

        The `notes` are those of all stored memories in the order in which they were written. So where later
        steps decide, a law may say zero once they have, and until then an age that is never reached.
        """
        return None

    def full_ages(self, notes: Tensor) -> Tensor | None:
        """Return an age up to which each memory has m = 1 for all heads, ``(batch, memory)``, in whole steps.

        It may be below zero. None, if the law does not say, as unless said otherwise. With it a block asks
        :meth:`log_mask` of those memories alone of which m may differ from one.
        """
        return None

    def shortened(self, notes: Tensor, share: float | Tensor) -> Tensor:
        """Return the `notes` of memories whose spans are cut for training; as they are unless said."""
        return notes

    @property
    def shortens(self) -> bool:
        """Whether spans are cut at random in training."""
        return False

    def charge(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor | None:
        """Return the price of memory of a block of queries, ``(batch,)``; None if memory is free."""
        return None

    @property
    def is_priced(self) -> bool:
        """Whether memory costs anything: :meth:`charge` is there, and no attribute ``price`` is zero."""
        return type(self).charge is not Law.charge and bool(getattr(self, "price", 1.0))

    def spans(self, notes: Tensor) -> Tensor | None:
        """Return the span of each memory, ``(batch, memory)``, in steps; None if the law has none."""
        return None

    @property
    def architecture(self) -> tuple:
        """The law without the values of its weights: two of equal architecture have the same m."""
        settings = {k: v for k, v in vars(self).items() if not k.startswith("_") and k != "training"}
        return type(self), tuple(sorted(settings.items()))


class Means(NamedTuple):
    """New memories that are means of others.

    Attributes
    ----------
    members : Tensor of bool, shape ``(batch, mean, memory)``
        Which memories each is the mean of.
    ages : Tensor of shape ``(batch, mean)``
        Their ages for the next query; where there is none, one below zero.
    """

    members: Tensor
    ages: Tensor


class PoolingLaw(Law):
    """Base of laws by which means of memories take the place of these when they die."""

    def means(self, ages: Tensor, notes: Tensor, read: Tensor, queries: int) -> Means:
        """Return the means that memories leave which die in the next block; as many in every row.

        Parameters
        ----------
        ages, notes
            Of all stored memories, as for :meth:`log_mask`.
        read : Tensor of shape ``(batch,)``
            How many steps of each sequence were read.
        queries : int
            How many steps the next block has.
        """
        raise NotImplementedError(f"{type(self).__name__} must say means(ages, notes, read, queries)")

    def means_at(self, ages: Tensor, steps: Tensor) -> Tensor:
        """Return which stored memories are means, ``(batch, memory)``, by their ages and steps."""
        raise NotImplementedError(f"{type(self).__name__} must say means_at(ages, steps)")

    def notes_of_means(self, notes: Tensor) -> Tensor:
        """Return what is noted of a mean, ``(note,)``, of the dtype of `notes`."""
        raise NotImplementedError(f"{type(self).__name__} must say notes_of_means(notes)")


def ages_at_queries(ages: Tensor, queries: int) -> Tensor:
    """Return the age of every memory for every query of a block, ``(batch, 1, query, memory)``.

    Parameters
    ----------
    ages : Tensor of shape ``(batch, memory)``
        For the first query.
    queries : int
        How many there are.

    Examples
    --------
    >>> ages_at_queries(torch.tensor([[2, 1, 0]]), 2).tolist()
    [[[[2, 1, 0], [3, 2, 1]]]]
    """
    return ages[:, None, None, :] + torch.arange(queries, device=ages.device)[:, None]


def law_of_each(forgetting: Law | Sequence[Law] | None, layers: int) -> list[Any]:
    """Return a law for each of the `layers`: copies of one, or those that were given, or None for each."""
    if forgetting is None:
        return [None] * layers
    if isinstance(forgetting, Law):
        return [copy.deepcopy(forgetting) for _ in range(layers)]
    if not isinstance(forgetting, list | tuple) or not all(isinstance(law, Law) for law in forgetting):
        raise TypeError(f"forgetting must be a law of forgetting, or a list of them, got {forgetting!r:.60}")
    if len(forgetting) != layers:
        raise ValueError(f"forgetting must be one law for each of {layers} layers, got {len(forgetting)}")
    return [copy.deepcopy(law) for law in forgetting]


def block_for(laws: Sequence[Law | None], block: int | None) -> int:
    """Return how many steps attentions with these laws read at a time: `block`, or what suits their spans.

    Raises
    ------
    ValueError, TypeError
        If `block` is no whole number from one to the limit of all spans.
    """
    steps = _BLOCK if block is None else checks.positive_int("block", block)
    for law in laws:
        limit = None if law is None else getattr(law, law.limit_of_blocks)
        if law is not None and limit is not None and limit < steps:
            if block is not None:
                raise ValueError(f"{law.limit_of_blocks} must be at least block = {steps}, got {limit}")
            steps = limit
    return steps
