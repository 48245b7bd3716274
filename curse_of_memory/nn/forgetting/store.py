"""The memories of one attention between two chunks of time: states, or keys and values, with their ages.

Every sequence of a batch has as many as are alive for it, in the order in which they were written; rows are
padded on the left to the fullest. What is kept are states, so that keys, values and spans of old memories are
made by the weights as they are now, which learn from them; or, for inference, keys, values and notes.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = ["PADDING", "KeptKeys", "KeptStates", "choose_rows", "replace_rows", "rows_of"]

PADDING = -(2**40)
"""Age of what is no memory: no query will ever see it."""


class KeptStates(NamedTuple):
    """States of the memories of an attention that are alive.

    Attributes
    ----------
    states : Tensor of shape ``(batch, memory, width)``
        What the attention read, before the norm of a pre-norm block.
    ages : Tensor of shape ``(batch, memory)``
        Whole numbers: the age of each for the next query, >= 1; below zero there is no memory.
    steps : Tensor of shape ``(batch,)``
        Whole numbers: how many steps of each sequence were read.
    """

    states: Tensor
    ages: Tensor
    steps: Tensor


class KeptKeys(NamedTuple):
    """Keys and values of the memories of an attention that are alive, for inference.

    Attributes
    ----------
    keys, values : Tensor of shape ``(batch, heads, memory, width / heads)``
        Rotary keys are rotated already.
    notes : Tensor of shape ``(batch, memory, note)``
        What the law of forgetting keeps of each, such as its span.
    ages : Tensor of shape ``(batch, memory)``
        Whole numbers: the age of each for the next query, >= 1; below zero there is no memory.
    steps : Tensor of shape ``(batch,)``
        Whole numbers: how many steps of each sequence were read.
    """

    keys: Tensor
    values: Tensor
    notes: Tensor
    ages: Tensor
    steps: Tensor


Store = TypeVar("Store", bound=KeptStates | KeptKeys)


def rows_of(index: Tensor | Sequence[int], batch: int) -> Tensor:
    """Return numbers of rows of a state, checked.

    Raises
    ------
    TypeError, ValueError
        If they are no whole numbers in one row, or one is not from 0 to `batch` − 1.
    """
    try:
        rows = torch.as_tensor(index)
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"rows must be a list of whole numbers, got {checks.shown(index)}") from None
    whole = not (rows.is_floating_point() or rows.is_complex() or rows.dtype == torch.bool)
    if rows.ndim != 1 or (rows.numel() and not whole):
        raise TypeError(f"rows must be a list of whole numbers, got {checks.shown(index)}")
    rows = rows.long()
    if rows.numel() and not 0 <= int(rows.min()) <= int(rows.max()) < batch:
        raise ValueError(f"rows must be from 0 to {batch - 1}, got {checks.shown(index)}")
    return rows


def choose_rows(state, rows: Tensor | Sequence[int]):
    """Return the state of the chosen rows of a batch, in their order; rows may be repeated or left out.

    Parameters
    ----------
    state : KeptStates, KeptKeys, Cache, or tuple of them
        Of one attention, or of all blocks of a transformer.
    rows : sequence of int, or Tensor
        Numbers of rows of the batch: as for beams that go on from others.

    Raises
    ------
    TypeError, ValueError
        If `rows` are no numbers of rows, or `state` is none.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalTransformer
    >>> from curse_of_memory.nn.forgetting import Window
    >>> model = CausalTransformer(8, 2, vocabulary=5, forgetting=Window(4))
    >>> state = model.run(torch.zeros(3, 10, dtype=int)).last
    >>> choose_rows(state, [2, 0, 0, 1])[0].states.shape
    torch.Size([4, 3, 8])
    """
    if isinstance(state, tuple) and not hasattr(state, "_fields"):
        return tuple(choose_rows(part, rows) for part in state)
    if not isinstance(state, tuple) or not all(isinstance(part, Tensor) for part in state):
        raise TypeError(f"state must be one that a layer has returned, got {checks.shown(state)}")
    batch = len(state[0])
    chosen = rows_of(rows, batch).to(state[0].device)
    return type(state)(*(part[chosen] for part in state))  # pyright: ignore[reportCallIssue]  # a named tuple


def replace_rows(state, rows: Tensor | Sequence[int], fresh):
    """Return a `state` in which some rows are those of another.

    Parameters
    ----------
    state : KeptStates, KeptKeys, or tuple of them
        Of a batch.
    rows : sequence of int, or Tensor
        Which rows of it go.
    fresh : of the type of `state`
        Has a row for each of them, or one for all: such as a start, for a document that begins.

    Raises
    ------
    TypeError, ValueError
        If `rows` are no numbers of rows, or the states do not fit each other.
    """
    if isinstance(state, tuple) and not hasattr(state, "_fields"):
        if not isinstance(fresh, tuple) or len(fresh) != len(state):
            raise ValueError(f"fresh must have the states of {len(state)} layers, as state has")
        return tuple(replace_rows(old, rows, new) for old, new in zip(state, fresh, strict=True))
    if type(fresh) is not type(state) or not isinstance(state, KeptStates | KeptKeys):
        raise TypeError(f"fresh must be a state as {type(state).__name__}, got {type(fresh).__name__}")
    batch = len(state.ages)
    chosen = rows_of(rows, batch).to(state.ages.device)
    if len(chosen) != len(set(chosen.tolist())):
        raise ValueError(f"rows must differ where they are replaced, got {checks.shown(rows)}")
    if len(fresh.ages) not in (1, len(chosen)):
        raise ValueError(f"fresh must have {len(chosen)} rows, or one, got {len(fresh.ages)}")
    memories = max(state.ages.shape[1], fresh.ages.shape[1])
    parts = []
    for kept, other in zip(padded(state, memories), padded(fresh, memories), strict=True):
        if kept.shape[1:] != other.shape[1:] or kept.dtype != other.dtype:
            raise ValueError("fresh must be a state of the same layer")
        part = kept.clone()
        part[chosen] = other
        parts.append(part)
    return trimmed(type(state)(*parts))


def padded(store: Store, memories: int) -> Store:
    """Return the `store` with room for more `memories`, on the left."""
    more = memories - store.ages.shape[1]
    if not more:
        return store
    parts = {}
    for name, part in store._asdict().items():
        if name == "ages":
            parts[name] = torch.nn.functional.pad(part, (more, 0), value=PADDING)
        elif name == "steps":
            parts[name] = part
        else:
            parts[name] = torch.nn.functional.pad(part, (0, 0, more, 0))
    return type(store)(**parts)


def trimmed(store: Store) -> Store:
    """Return the `store` without columns in which no row has a memory."""
    count = int((store.ages > 0).sum(1).max()) if store.ages.numel() else 0
    spare = store.ages.shape[1] - count
    parts = {
        name: part if name == "steps" else part[:, spare:] if name == "ages" else part[..., spare:, :]
        for name, part in store._asdict().items()
    }
    return type(store)(**parts)


def alive_columns(alive: Tensor) -> Tensor | None:
    """Return which memories stay, ``(batch, fullest row)``: the living of each row, padded on the left.

    Parameters
    ----------
    alive : Tensor of bool, shape ``(batch, memory)``

    Returns
    -------
    Tensor of int or None
        Columns in their order; None if all may stay where they are.
    """
    if not alive.numel():
        return None
    fullest = int(alive.sum(1).max())
    if fullest == alive.shape[1] and not (alive[:, :-1] & ~alive[:, 1:]).any():
        return None
    return last_columns(alive, fullest)


def last_columns(alive: Tensor, count: int) -> Tensor:
    """Return so many columns of each row, ``(batch, count)``: the living in their order, after dead ones."""
    return alive.to(torch.uint8).argsort(stable=True, dim=1)[:, alive.shape[1] - count :]


def columns_of(part: Tensor, columns: Tensor) -> Tensor:
    """Return of a store's `part`, ``(batch, ..., memory, channel)``, for each row its `columns` of memories.

    Parameters
    ----------
    part : Tensor of shape ``(batch, memory, channel)`` or ``(batch, heads, memory, channel)``
    columns : Tensor of shape ``(batch, chosen)``
        Whole numbers.
    """
    *rows, memories, _ = part.shape
    first = torch.arange(math.prod(rows), device=part.device).view(rows) * memories
    index = first[..., None] + (columns if len(rows) == 1 else columns[:, None])
    # whole rows are copied so, ten times as fast as by gather, which looks up every number
    return part.flatten(0, -2).index_select(0, index.flatten()).unflatten(0, index.shape)
