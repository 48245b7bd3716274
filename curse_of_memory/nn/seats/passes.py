"""One forward pass through a model with a law of forgetting: its attention, and what it tells."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn.forgetting.asked import (
    charge_said,
    last_ages_said,
    log_mask_said,
    refuse_masks,
    spans_said,
)
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.store import PADDING
from curse_of_memory.nn.seats.cache_layer import Memories, MemoryLayer
from curse_of_memory.nn.seats.rule import Rule

__all__ = ["NAME", "Attended", "Call", "Pass", "attend"]

NAME = "curse_of_memory"
"""What the attention function is registered as, and the argument in which a :class:`Call` gets to it."""

UNKNOWN = ("softcap", "s_aux", "position_bias", "sliding_window")


class Attended(NamedTuple):
    """What queries had before them in one attention, for those who ask what was dropped.

    Attributes
    ----------
    layer : int
        Number of the attention.
    scores : Tensor of shape ``(batch, heads, query, memory)``
        q · k, scaled, without log m.
    log_mask : Tensor of shape ``(batch, heads or 1, query, memory)``
        log m of the law.
    seen : Tensor of bool, shape ``(batch, 1, query, memory)``
        Where there is a memory, dropped or not, that is not younger than the query.
    kept : Tensor of bool, shape ``(batch, heads or 1, query, memory)``
        Which of them the query attended to.
    values : Tensor of shape ``(batch, heads, memory, channel)``
    """

    layer: int
    scores: Tensor
    log_mask: Tensor
    seen: Tensor
    kept: Tensor
    values: Tensor


@dataclass
class Pass:
    """One forward pass of a decoder.

    Attributes
    ----------
    born : Tensor of bool, shape ``(batch, time)``, or None
        Which steps are no padding; None if none is.
    cut : float or None
        The share at which spans are cut in this pass.
    watch : callable or None
        Is told what every attention had before it (:class:`Attended`).
    with_gradient : bool
        Whether gradients were asked for when it began.
    charges, live, spans : dict from int to Tensor
        By layer: the price of each sequence, summed over its queries; how many memories each query saw; the
        spans of the memories that were written.
    steps : int
        How many steps it had that are no padding.
    """

    born: Tensor | None
    cut: float | None
    watch: Callable[[Attended], None] | None
    with_gradient: bool
    charges: dict[int, Tensor] = field(default_factory=dict)
    live: dict[int, Tensor] = field(default_factory=dict)
    spans: dict[int, Tensor] = field(default_factory=dict)
    steps: int = 0


class Call(NamedTuple):
    """What an attention function is told of one call beyond queries, keys and values.

    Attributes
    ----------
    now : Pass
    layer : int
        Number of the attention.
    law : Law
    notes, ages : Tensor
        Of the memories that are written by this call, ``(batch, time, note)`` and ``(batch, time)``.
    store : MemoryLayer or None
        Where memories of earlier calls are, and those of this one will be.
    """

    now: Pass
    layer: int
    law: Law
    notes: Tensor
    ages: Tensor
    store: MemoryLayer | None


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Return the answers of an attention with a law of forgetting, as the interface of transformers has them.

    Parameters
    ----------
    module : torch.nn.Module
        The attention.
    query, key, value : Tensor of shape ``(batch, heads, time, channel)``
        Keys and values of all memories, those of this call last; several heads of queries may share theirs.
    attention_mask : None
        Padding is known by ages.
    scaling : float, optional
        Of scores.
    dropout : float
        Probability with which a weight is dropped.
    **kwargs
        One of them is the :class:`Call`.

    Raises
    ------
    RuntimeError, ValueError
        If there is no such call, or the model wants of attention what is not there with log m.
    """
    call = kwargs.get(NAME)
    if not isinstance(call, Call):
        raise RuntimeError(
            f"the attention {NAME!r} is for models with a law of forgetting: see add_expire_span"
        )
    for name in UNKNOWN:
        if kwargs.get(name) is not None:
            raise ValueError(f"model must have attention without {name}, which does not go with log m")
    if attention_mask is not None:
        raise ValueError("attention_mask must be (batch, time): masks of pairs do not go with ages")
    now, law, store = call.now, call.law, call.store
    steps = query.shape[2]
    memories = None if store is None else store.memories
    notes, ages = (call.notes, call.ages) if memories is None else (memories.notes, memories.ages)
    used = notes if now.cut is None else law.shortened(notes, now.cut)
    log_mask = log_mask_said(law, ages, used, steps, query.shape[1])
    seen = ages[:, None, None, :] + torch.arange(steps, device=ages.device)[:, None] >= 0
    kept = seen & (log_mask > -torch.inf)
    if memories is not None:
        kept = kept & ~memories.dropped[:, None, None, :]
    refuse_masks(law, log_mask.masked_fill(~seen, 0.0))
    empty = ~kept.any(-1, keepdim=True)
    # softmax of nothing is NaN: padding, which sees nothing, answers zero
    bias = log_mask.to(query.dtype).masked_fill(~kept, -torch.inf).masked_fill(empty, 0.0)
    shared = query.shape[1] // key.shape[1]
    if shared > 1:
        key, value = key.repeat_interleave(shared, 1), value.repeat_interleave(shared, 1)
    answer = nn.functional.scaled_dot_product_attention(query, key, value, bias, dropout, scale=scaling)
    answer = answer.masked_fill(empty, 0.0)

    _tell(call, ages, used, kept)
    rule = law if isinstance(law, Rule) else None
    if now.watch is not None or (rule is not None and memories is not None):
        scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
        if now.watch is not None:
            now.watch(Attended(call.layer, scores, log_mask, seen, kept, value))
        if rule is not None and memories is not None:
            weights = (scores + bias).softmax(-1).masked_fill(empty, 0.0)
            memories = memories._replace(notes=rule.weighed(notes, weights.sum((1, 2))))
    if store is not None and memories is not None:
        store.settle(memories, steps, _alive(law, memories, ages + steps))
    return answer.transpose(1, 2).contiguous(), None


def _tell(call: Call, ages: Tensor, notes: Tensor, kept: Tensor) -> None:
    """Write down the price, live memories and spans of one attention; once, if it is called anew backward."""
    now, law, steps = call.now, call.law, kept.shape[2]
    born = None if now.born is None else now.born.to(kept.device)  # layers may lie on several devices
    charge = _charged(law, ages, notes, steps, born)
    if call.layer in now.live:
        return
    live = kept.any(1).sum(-1)
    now.live[call.layer] = live if born is None else live.masked_fill(~born, 0)
    if charge is not None:
        now.charges[call.layer] = charge
    spans = spans_said(law, call.notes)
    if spans is not None:
        now.spans[call.layer] = spans if born is None else spans.masked_fill(~born, torch.nan)


def _charged(law: Law, ages: Tensor, notes: Tensor, steps: int, born: Tensor | None) -> Tensor | None:
    """Return the price of memory of each sequence, without queries that are padding at its end."""
    if born is None or bool(born[:, -1].all()):
        return charge_said(law, ages, notes, steps)
    trailing = born.flip(1).long().argmax(1).masked_fill(~born.any(1), steps)
    charge = notes.new_zeros(len(notes))
    for spare in trailing.unique().tolist():
        rows = (trailing == spare).nonzero()[:, 0]
        some = charge_said(law, ages[rows], notes[rows], steps - spare)
        if some is None:
            return None
        charge = charge.index_add(0, rows, some)
    return charge


def _alive(law: Law, memories: Memories, ages: Tensor) -> Tensor:
    """Return which memories a later query may see, ``(batch, memory)``, by their `ages` for the next one."""
    there = (ages > 0) & ~memories.dropped
    if isinstance(law, Rule):
        return law.keeps(ages.masked_fill(~there, PADDING), memories.notes) & there
    last = last_ages_said(law, memories.notes)
    return there if last is None else there & (ages <= last)
