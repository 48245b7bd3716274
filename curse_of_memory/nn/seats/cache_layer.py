"""A layer of a transformers cache that keeps memories for as long as they are alive."""

from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from curse_of_memory.nn.forgetting.store import PADDING, alive_columns
from curse_of_memory.tools import checks

if TYPE_CHECKING:
    from transformers.cache_utils import Cache

__all__ = ["Memories", "MemoryLayer", "adopted", "layers_of"]


class Memories(NamedTuple):
    """Keys and values of one attention, and what is known of each.

    Attributes
    ----------
    keys, values : Tensor of shape ``(batch, heads, memory, channel)``
    notes : Tensor of shape ``(batch, memory, note)``
        What the law keeps of each.
    ages : Tensor of shape ``(batch, memory)``
        For the next query, >= 1; below zero there is no memory.
    dropped : Tensor of bool, shape ``(batch, memory)``
        Which are dead, though they are still here.
    """

    keys: Tensor
    values: Tensor
    notes: Tensor
    ages: Tensor
    dropped: Tensor

    def joined(self, later: "Memories") -> "Memories":
        """Return these and `later` ones."""
        keys, values = torch.cat([self.keys, later.keys], 2), torch.cat([self.values, later.values], 2)
        rest = (torch.cat(both, 1) for both in zip(self[2:], later[2:], strict=True))
        return Memories(keys, values, *rest)

    def columns(self, chosen: Tensor) -> "Memories":
        """Return those of the `chosen` columns of each row, ``(batch, memory)``."""
        of_heads = chosen[:, None, :, None]
        keys, values = (
            part.gather(2, of_heads.expand(-1, part.shape[1], -1, part.shape[3])) for part in self[:2]
        )
        notes = self.notes.gather(1, chosen[..., None].expand(-1, -1, self.notes.shape[2]))
        return Memories(keys, values, notes, self.ages.gather(1, chosen), self.dropped.gather(1, chosen))

    def rows(self, chosen: Tensor) -> "Memories":
        """Return those of the `chosen` rows, which may be repeated or left out."""
        return Memories(*(part.index_select(0, chosen.to(part.device)) for part in self))


class MemoryLayer:
    """Keys and values of the memories of one attention that are alive, for each sequence its own.

    Rows are padded on the left to the fullest. Positions stay true: rotary keys keep their own, and the
    length of the sequence is that of all steps, not of those that are kept. transformers takes it for a layer
    of its own once it is registered as one (:func:`adopted`).

    Parameters
    ----------
    owner : int
        Number of the seat whose model fills it.
    retains : bool
        Whether dead memories stay in it, marked as dropped, for those who ask what they would have changed.

    Attributes
    ----------
    memories : Memories or None
        All that are here; None before the first step.
    keys, values : Tensor or None
        Of these.
    steps : Tensor of shape ``(batch,)``, or None
        How many steps of each sequence were read, padding left out.
    read : int
        How many steps were read, padding among them.
    """

    is_sliding = False
    is_compileable = False
    is_croppable = False
    supports_early_init = False

    def __init__(self, owner: int, retains: bool = False):
        self.owner, self.retains = owner, retains
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.memories: Memories | None = None
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.steps: Tensor | None = None
        self.read = 0
        self.is_initialized = False
        self._announced: tuple[Tensor, Tensor, Tensor] | None = None

    def _hold(self, memories: Memories) -> None:
        self.memories = memories
        self.keys, self.values = memories.keys, memories.values

    def started(self, batch: int, none: Tensor) -> Tensor:
        """Return how many steps of each sequence of a `batch` were read; `none`, if it begins."""
        if self.steps is None:
            return none
        if len(self.steps) != batch:
            raise ValueError(f"past_key_values has {len(self.steps)} sequences, but the batch has {batch}")
        return self.steps

    def announce(self, notes: Tensor, ages: Tensor, steps: Tensor) -> None:
        """Take notes, ages and steps so far of a chunk, whose keys and values come next."""
        self._announced = notes, ages, steps

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Return the keys and values of all memories, with those of a chunk at the end.

        Raises
        ------
        RuntimeError
            If nobody announced the chunk: another model calls.
        """
        if self._announced is None:
            raise RuntimeError("past_key_values belongs to a model with a law of forgetting, not to this one")
        notes, ages, self.steps = self._announced
        self._announced = None
        self.is_initialized = True
        new = Memories(key_states, value_states, notes, ages, torch.zeros_like(ages, dtype=torch.bool))
        memories = new if self.memories is None else self.memories.joined(new)
        self._hold(memories)
        return memories.keys, memories.values

    def settle(self, memories: Memories, queries: int, alive: Tensor) -> None:
        """Take `memories` back after `queries` steps, and free those that are not `alive` then.

        Parameters
        ----------
        memories : Memories
            As they were for the first of these steps.
        queries : int
            How many steps have passed.
        alive : Tensor of bool, shape ``(batch, memory)``
            Which may be seen by a later query.
        """
        self.read += queries
        ages = memories.ages + queries
        if self.retains:
            self._hold(memories._replace(ages=ages, dropped=memories.dropped | ~alive))
            return
        memories = memories._replace(ages=ages.masked_fill(~alive, PADDING))
        columns = alive_columns(alive)
        self._hold(memories if columns is None else memories.columns(columns))

    def get_seq_length(self) -> int:
        """Return how many steps were read, dead ones and padding among them: the position of the next."""
        return self.read

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the sizes of a mask of all steps, dead ones among them."""
        return self.read + query_length, 0

    def get_max_length(self) -> int:
        """Return −1: there is no limit."""
        return -1

    def _choose_rows(self, rows: Tensor) -> None:
        if self.memories is not None and self.steps is not None:
            self._hold(self.memories.rows(rows))
            self.steps = self.steps.index_select(0, rows.to(self.steps.device))

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Go on with other rows, as beams do."""
        self._choose_rows(beam_idx)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        if self.steps is not None:
            self._choose_rows(torch.arange(len(self.steps)).repeat_interleave(repeats))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keep some rows."""
        if self.steps is not None:
            rows = torch.as_tensor(indices)
            self._choose_rows(rows.nonzero()[:, 0] if rows.dtype == torch.bool else rows)

    def crop(self, tokens_to_remove: int) -> None:
        """Refuse to go back in time: who died since then is gone.

        Raises
        ------
        ValueError
            Unless nothing is to be removed.
        """
        if tokens_to_remove:
            raise ValueError(
                "past_key_values cannot go back: memories that died are gone (assisted generation)"
            )


def _columns_of(part: Tensor, columns: Tensor) -> Tensor:
    """Return chosen memories ``(batch, memory)`` of keys or values of all heads."""
    return part.gather(2, columns[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3]))


def adopted(cache: object, owner: int, layers: int, retains: bool) -> "Cache":
    """Return the `cache` of a model with a law of forgetting; an empty dynamic one gets layers of memories.

    Parameters
    ----------
    cache : transformers.Cache, or None
        What a model is called with.
    owner : int
        Number of the seat that asks.
    layers : int
        How many the model has.
    retains : bool
        For layers that are made here.

    Raises
    ------
    TypeError, ValueError
        If it belongs to another model, or has keys of which nobody knows when they die.
    """
    from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

    CacheLayerMixin.register(MemoryLayer)
    fresh: list[Any] = [MemoryLayer(owner, retains) for _ in range(layers)]
    if cache is None:
        return Cache(layers=fresh)
    if not isinstance(cache, Cache):
        raise TypeError(f"past_key_values must be a DynamicCache, got {checks.shown(cache)}")
    own = layers_of(cache)
    if own:
        if any(layer.owner != owner for layer in own) or len(own) != layers:
            raise ValueError("past_key_values belongs to another model: begin with a cache of this one")
        return cache
    if type(cache) is not DynamicCache or cache.offloading:
        raise TypeError(f"past_key_values must be a DynamicCache, got {type(cache).__name__}")
    if cache.get_seq_length():
        raise ValueError("past_key_values must begin empty: nobody knows when its keys die")
    # in place, since `generate` holds this very object
    cache.layers[:] = fresh
    cache.layer_class_to_replicate = None
    return cache


def layers_of(cache: "Cache") -> list[MemoryLayer]:
    """Return the layers of memories of a `cache` that was :func:`adopted`."""
    layers: list[Any] = cache.layers
    return [layer for layer in layers if isinstance(layer, MemoryLayer)]
