"""Attention over the memories that a law of forgetting leaves alive, block by block.

Algorithm.  A sequence is read in blocks of M steps. The queries of a block attend to what is stored and to
            the block itself, in one call of ``scaled_dot_product_attention`` with the bias log m, the same
            for all heads if the law says so. After it, memories that no later query sees are deleted: for
            each sequence its own, and rows are padded to the fullest. What is deleted would have the weight
            zero, so answers and gradients are those of attention to everything, and do not depend on M.

Cost.       Of a block: its projections, and M times the memories that are alive.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn._torch_private import has_numbers
from curse_of_memory.nn.attention.answers import answered
from curse_of_memory.nn.attention.positions import rotated_to
from curse_of_memory.nn.attention.remembered import Remembered
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.own_precision import SHORT
from curse_of_memory.nn.forgetting.asked import charge_said, last_ages_said, notes_said, spans_said
from curse_of_memory.nn.forgetting.law import Law, PoolingLaw
from curse_of_memory.nn.forgetting.store import PADDING, KeptKeys, KeptStates, alive_columns, columns_of
from curse_of_memory.tools import checks

__all__ = ["Reading", "drawn_cut", "remember", "start_of"]


class Reading(NamedTuple):
    """How memories are read, by an attention that belongs to a block of a transformer.

    Attributes
    ----------
    norm : callable, optional
        What states go through before they are projected, such as the layer norm of a pre-norm block.
    positions : Tensor of shape ``(width / heads, steps)``, optional
        Learnt vectors p; q · p is added to the scores of memories of the ages from `steps` to 1, in this
        order. Older ones have no position, and neither has a step that sees itself.
    cut : float, optional
        The share u at which spans are cut in this pass.
    keep : bool
        Whether memories are asked for after the last step.
    """

    norm: Callable[[Tensor], Tensor] | None = None
    positions: Tensor | None = None
    cut: float | None = None
    keep: bool = True


class _Memories(NamedTuple):
    """What a pass works with: keys, values and notes, and the states too if they are to be kept."""

    keys: Tensor  # (batch, heads, memory, channel)
    values: Tensor
    notes: Tensor  # (batch, memory, note)
    ages: Tensor  # (batch, memory)
    states: Tensor | None  # (batch, memory, width)

    def joined(self, later: "_Memories") -> "_Memories":
        states = None
        if self.states is not None and later.states is not None:
            states = torch.cat([self.states, later.states], 1)
        return _Memories(
            torch.cat([self.keys, later.keys], 2),
            torch.cat([self.values, later.values], 2),
            torch.cat([self.notes, later.notes], 1),
            torch.cat([self.ages, later.ages], 1),
            states,
        )

    def chosen(self, columns: Tensor, ages: Tensor) -> "_Memories":
        """Return the memories of these `columns`, which have these `ages`."""
        states = None if self.states is None else columns_of(self.states, columns)
        keys, values = columns_of(self.keys, columns), columns_of(self.values, columns)
        return _Memories(keys, values, columns_of(self.notes, columns), ages, states)


def drawn_cut(layer: nn.Module, laws: Iterable[Law]) -> float | None:
    """Return the share u at which the spans of a pass are cut, drawn in training for `laws` that want it."""
    return float(torch.rand(())) if layer.training and any(law.shortens for law in laws) else None


def start_of(attention, batch: int) -> KeptStates:
    """Return the memories of an attention before the first step: its zero vectors, if it begins with any."""
    weight, count = attention.project.weight, attention.zero_memories
    ages = torch.arange(count, 0, -1, device=weight.device).expand(batch, count)
    steps = torch.zeros(batch, dtype=torch.int64, device=weight.device)
    return KeptStates(weight.new_zeros(batch, count, attention.input_size), ages, steps)


def remember(attention, x: Tensor, state: KeptStates | KeptKeys | None, reading: Reading) -> Remembered:
    """Return the answers of an attention with a law of forgetting to a chunk of time, and what it remembers.

    Parameters
    ----------
    attention : CausalSelfAttention
        Has a law of forgetting.
    x : Tensor of shape ``(batch, time, width)``
    state : KeptStates or KeptKeys, optional
        Memories of the steps before; :func:`start_of` without.
    reading : Reading

    Raises
    ------
    TypeError, ValueError
        If the state is no memory of this attention, or a state or note is NaN.
    """
    law: Law = attention.forgetting
    if state is None:
        state = start_of(attention, len(x))
    _check(attention, x, state)
    keeps_states = reading.keep and attention.kept == "states"
    if keeps_states and isinstance(state, KeptKeys):
        raise TypeError('state has keys and values, but this attention keeps states: set kept = "keys"')
    memories = _stored(attention, law, state, reading, keeps_states)
    # without numbers to decide by masks alone answer the same
    deletes = attention.deletes and all(has_numbers(t) for t in (x, *attention.parameters()))
    answers, lives, spans, charges = [], [], [], []
    read = state.steps
    blocks = x.split(attention.block, 1) if x.shape[1] > attention.block else (x,)
    for block in blocks:
        queries, own = _projected(attention, law, block, read, reading, keeps_states)
        steps = block.shape[1]
        if isinstance(law, PoolingLaw):
            memories = _with_means(law, memories, read, steps, reading.norm)
        if memories.notes.shape[2] != own.notes.shape[2]:
            raise ValueError(
                f"state must have {own.notes.shape[2]} notes of each memory, as {type(law).__name__} makes, "
                f"got {memories.notes.shape[2]}"
            )
        memories = memories.joined(own)
        used = memories.notes if reading.cut is None else law.shortened(memories.notes, reading.cut)
        dropout = attention.dropout if attention.training else 0.0
        y, live = answered(
            law, queries, memories.keys, memories.values, memories.ages, used, reading.positions, dropout
        )
        answers.append(attention.out(y.transpose(1, 2).flatten(2)))
        lives.append(live)
        if (own_spans := spans_said(law, own.notes)) is not None:
            spans.append(own_spans)
        if (charge := charge_said(law, memories.ages, used, steps)) is not None:
            charges.append(charge)
        read = read + steps
        memories = memories._replace(ages=memories.ages + steps)
        if deletes and block is not blocks[-1]:
            columns, ages = _alive(law, memories)
            memories = memories._replace(ages=ages) if columns is None else memories.chosen(columns, ages)
        elif not deletes and isinstance(law, PoolingLaw):  # a mean has the age of its last member
            memories = memories._replace(ages=memories.ages.masked_fill(~_living(law, memories), PADDING))
    last = _last(law, memories, read, deletes) if reading.keep else None
    price = torch.stack(charges).sum() / max(len(x) * x.shape[1], 1) if charges else x.new_zeros(())
    return Remembered(_in_time(answers), last, price, _in_time(lives), _in_time(spans) if spans else None)


def _in_time(parts: list[Tensor]) -> Tensor:
    """Return blocks one after the other; a single one is not copied."""
    return torch.cat(parts, 1) if len(parts) > 1 else parts[0]


def _check(attention, x: Tensor, state: KeptStates | KeptKeys) -> None:
    """Refuse what is no memory of this attention."""
    if not isinstance(state, KeptStates | KeptKeys):
        raise TypeError(f"state must be memories (KeptStates or KeptKeys), got {checks.shown(state)}")
    weight, count = attention.project.weight, state.ages.shape[-1]
    heads = attention.heads
    shapes = {
        "states": (len(x), count, attention.input_size),
        "keys": (len(x), heads, count, attention.input_size // heads),
        "values": (len(x), heads, count, attention.input_size // heads),
        "ages": (len(x), count),
        "steps": (len(x),),
    }
    for name, part in state._asdict().items():
        expected = shapes.get(name, (len(x), count, part.shape[-1] if isinstance(part, Tensor) else 0))
        inputs.tensor(f"state.{name}", part, f"shape {expected}")
        if part.shape != expected:
            raise ValueError(f"state must have {name} of shape {expected}, got {tuple(part.shape)}")
        if part.device != weight.device:
            raise ValueError(
                f"state must be on the device of the weights, {weight.device}, got {part.device}"
            )
        dtype = torch.float32 if name == "notes" and weight.dtype in SHORT else weight.dtype
        if name in ("ages", "steps"):
            if part.dtype != torch.int64:
                raise TypeError(f"state must have {name} of dtype torch.int64, got {part.dtype}")
        elif name == "notes" and not part.is_floating_point():  # a law may note whole numbers
            continue
        elif part.dtype != dtype and not torch.is_autocast_enabled(weight.device.type):
            raise TypeError(f"state must have {name} of dtype {dtype}, got {part.dtype}")
        else:
            inputs.refuse_nan(f"state must have memories of which the {name}", part)
    _check_ages(attention, state.ages, state.steps)


def _check_ages(attention, ages: Tensor, steps: Tensor) -> None:
    """Refuse ages that are not those of memories in the order in which they were written."""
    if torch.compiler.is_compiling() or not has_numbers(ages) or not ages.numel():
        return
    wrong = (ages == 0) | (ages > steps[:, None] + attention.zero_memories)
    if not isinstance(attention.forgetting, PoolingLaw):  # means stand before their members
        older, younger = ages[:, :-1], ages[:, 1:]
        wrong[:, 1:] |= (older > 0) & ((younger >= older) | (younger <= 0))
    if bool(wrong.any()):
        raise ValueError(
            "state must have ages from 1 to the steps that were read, which fall from left to right; "
            "below zero, and on the left, there is no memory"
        )


def _stored(
    attention, law: Law, state: KeptStates | KeptKeys, reading: Reading, keeps_states: bool
) -> _Memories:
    """Return what a state holds as keys, values and notes of the weights as they are now."""
    if isinstance(state, KeptKeys):
        return _Memories(state.keys, state.values, state.notes, state.ages, None)
    h = state.states if reading.norm is None else reading.norm(state.states)
    at = state.steps[:, None] - state.ages
    if isinstance(law, PoolingLaw) and reading.norm is not None:  # means are of what was normalised
        h = torch.where(law.means_at(state.ages, at)[..., None], state.states, h)
    weight, bias = attention.project.weight, attention.project.bias
    width = attention.input_size
    kv = nn.functional.linear(h, weight[width:], None if bias is None else bias[width:])
    k, v = _in_heads(kv, 2, attention.heads)
    if attention.rotary:
        k = rotated_to(k, at)
    notes = notes_said(law, h, at)
    if isinstance(law, PoolingLaw):
        notes = torch.where(law.means_at(state.ages, at)[..., None], law.notes_of_means(notes), notes)
    return _Memories(k, v, notes, state.ages, state.states if keeps_states else None)


def _with_means(
    law: PoolingLaw,
    memories: _Memories,
    read: Tensor,
    steps: int,
    norm: Callable[[Tensor], Tensor] | None,
) -> _Memories:
    """Return the memories with the means that some of them leave in the next block, on their left."""
    members, ages = law.means(memories.ages, memories.notes, read, steps)
    share = members.to(memories.keys.dtype) / members.sum(-1, keepdim=True).clamp(min=1)
    keys, values = (share[:, None] @ part for part in (memories.keys, memories.values))
    states = memories.states
    if states is not None:
        states = (share.to(states.dtype) @ (states if norm is None else norm(states))).detach()
    notes = law.notes_of_means(memories.notes).expand(*ages.shape, -1)
    return _Memories(keys, values, notes, ages, states).joined(memories)


def _in_heads(projected: Tensor, count: int, heads: int) -> list[Tensor]:
    """Return so many tensors ``(batch, heads, time, channel)`` that were ``projected`` side by side."""
    # unbound first: their gradients are put side by side in one copy
    return [part.transpose(1, 2) for part in projected.unflatten(-1, (count, heads, -1)).unbind(2)]


def _projected(
    attention, law: Law, x: Tensor, read: Tensor, reading: Reading, keeps_states: bool
) -> tuple[Tensor, _Memories]:
    """Return queries of a block, and the memories that it writes."""
    h = x if reading.norm is None else reading.norm(x)
    j = torch.arange(x.shape[1], device=x.device)
    at = read[:, None] + j
    q, k, v = _in_heads(attention.project(h), 3, attention.heads)
    if attention.rotary:
        q, k = rotated_to(q, at), rotated_to(k, at)
    ages = -j.expand(at.shape)
    return q, _Memories(k, v, notes_said(law, h, at), ages, x.detach() if keeps_states else None)


def _living(law: Law, memories: _Memories) -> Tensor:
    """Return which memories a later query may see."""
    last = last_ages_said(law, memories.notes)
    assert last is not None  # an attention whose law has no such age does not delete
    return (memories.ages <= last) & (memories.ages > 0)


def _alive(law: Law, memories: _Memories) -> tuple[Tensor | None, Tensor]:
    """Return the columns of memories that a later query may see, None for all, and the ages of these."""
    alive = _living(law, memories)
    # also where they stay, as padding of a shorter row: other weights would bring them back to life
    ages = memories.ages.where(alive, PADDING)
    columns = alive_columns(alive)
    return columns, ages if columns is None else ages.gather(1, columns)


def _last(law: Law, memories: _Memories, read: Tensor, deletes: bool) -> KeptStates | KeptKeys:
    """Return the memories that are alive as a state, cut off from their gradients."""
    columns, ages = _alive(law, memories) if deletes else (None, memories.ages)

    def kept(part: Tensor) -> Tensor:
        return part.detach() if columns is None else columns_of(part.detach(), columns)

    if memories.states is not None:
        return KeptStates(kept(memories.states), ages, read)
    return KeptKeys(kept(memories.keys), kept(memories.values), kept(memories.notes), ages, read)
