"""A law of forgetting in a model of transformers: its hooks, what the last pass tells, and its way out."""

import copy
import inspect
import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.own_precision import SHORT
from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.asked import last_ages_said, notes_said, try_law
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.store import PADDING
from curse_of_memory.nn.seats.cache_layer import adopted, layers_of
from curse_of_memory.nn.seats.decoder import Decoder, decoder_of
from curse_of_memory.nn.seats.passes import NAME, Attended, Call, Pass, attend
from curse_of_memory.tools import checks

__all__ = ["SETTINGS", "SUBMODULE", "Seat"]

SUBMODULE = "forgetting"
"""What the law of each attention is called in it."""

SETTINGS = "expire_span"
"""Where the configuration of a model keeps the settings of its spans."""

_numbers = itertools.count()


class Seat:
    """The laws of forgetting of all attentions of a model, and what its last forward pass tells of them.

    :func:`.add_expire_span` and :func:`.eviction.apply` make it.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        A decoder, with or without a readout. Its attentions get the laws as parts of theirs, named
        ``forgetting``: optimisers, devices and ``save_pretrained`` know of them.
    law : callable
        Returns a law of forgetting, of which each attention takes one.
    lossy : bool
        Whether the law is no part of the model, but makes it forget what it would have used.
    settings : dict, optional
        What the configuration of the model keeps of it, as ``expire_span``.

    Raises
    ------
    TypeError, ValueError
        If the model cannot take a law, or has one.

    Attributes
    ----------
    model : transformers.PreTrainedModel
    laws : list of Law
        Of each layer.
    lossy : bool
        As given.
    deletes : bool
        Whether caches that are made from now on free the dead. If not, these are masked: the same answers.
    watch : callable or None
        Is told what every attention had before it in each pass.

    Notes
    -----
    *Configuration.* The model gets a copy of its own: other models that were made from it stay as they are.
    Give the whole model, which is what is saved, and not its decoder alone.

    *Ages.* A step sees itself, at age 0, where m = 1; a memory with the span e is seen at the ages 0 to
    R − 1 + ⌈e⌉. Ages count all steps between, those that are padding, too.

    *Padding.* Steps that ``attention_mask`` leaves out are no memories, and answer zero to nobody.

    *Caches.* Where transformers makes a cache, or is given an empty ``DynamicCache``, it gets layers that
    keep memories until they die; :meth:`cache` makes one. As in any cache of transformers, keys keep their
    graph unless gradients are off.

    *Attention.* All goes through ``scaled_dot_product_attention``, which hands out no weights: see `watch`.
    """

    def __init__(
        self, model: Any, law: Callable[[], Law], *, lossy: bool = False, settings: dict | None = None
    ):
        if getattr(getattr(model, "config", None), "_attn_implementation", None) == NAME:
            raise ValueError("model has a law of forgetting already: remove() that first")
        self._decoder: Decoder = decoder_of(model)
        self.model, self.lossy, self.deletes = model, lossy, True
        self.watch: Callable[[Attended], None] | None = None
        self._number = next(_numbers)
        self._signature = inspect.signature(self._decoder.module.forward)
        self._last: Pass | None = None
        self._before = model.config._attn_implementation
        self.laws: list[Law] = []
        for attention in self._decoder.attentions.values():
            weight = next(attention.parameters())
            own = law()
            own.attach(self._decoder.width, self._decoder.heads, 0)
            try_law(own, self._decoder.width, self._decoder.heads, **DRAWN)
            # a span in bfloat16 is off by steps
            own.to(weight.device, torch.float32 if weight.dtype in SHORT else weight.dtype)
            own.train(attention.training)
            self.laws.append(own)
        self._put_in()
        if settings is not None:
            setattr(model.config, SETTINGS, settings)

    def _put_in(self) -> None:
        from transformers.modeling_utils import AttentionInterface

        AttentionInterface.register(NAME, attend)
        copies: dict = {}
        copy.deepcopy(self.model.config, copies)
        for part in self.model.modules():  # other models may share the configuration
            if id(vars(part).get("config")) in copies:
                part.config = copies[id(part.config)]
        self.model.set_attn_implementation(NAME)
        self._hooks = [self._decoder.module.register_forward_pre_hook(self._begin, with_kwargs=True)]
        for i, attention in enumerate(self._decoder.attentions.values()):
            attention.add_module(SUBMODULE, self.laws[i])
            hook = attention.register_forward_pre_hook(partial(self._read, i), with_kwargs=True)
            self._hooks.append(hook)

    @property
    def is_in_place(self) -> bool:
        """Whether the laws are in the model: until :meth:`remove`."""
        return bool(self._hooks)

    def remove(self) -> None:
        """Give the model back as it was before; caches of this seat cannot be used any more.

        Once it is removed nothing is done: another seat may be there.
        """
        if not self.is_in_place:
            return
        for hook in self._hooks:
            hook.remove()
        self._hooks = []
        for attention in self._decoder.attentions.values():
            if hasattr(attention, SUBMODULE):
                delattr(attention, SUBMODULE)
        if self.model.config._attn_implementation == NAME:
            self.model.set_attn_implementation(self._before)
        if hasattr(self.model.config, SETTINGS):
            delattr(self.model.config, SETTINGS)

    def cache(self) -> Any:
        """Return an empty cache for ``past_key_values``, which keeps memories until they die."""
        return adopted(None, self._number, len(self.laws), not self.deletes)

    def _begin(self, module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Before the decoder: see to its cache and its padding, and say what holds for all layers."""
        bound = self._signature.bind_partial(*args, **kwargs)
        given = {**bound.arguments}
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                given |= given.pop(name, {})
        use_cache = given.get("use_cache")
        if use_cache is None:
            use_cache = getattr(module.config, "use_cache", False)
        if getattr(module, "gradient_checkpointing", False) and module.training:
            use_cache = False
        cache = given.get("past_key_values")
        if cache is not None or use_cache:
            cache = adopted(cache, self._number, len(self.laws), not self.deletes)
            given["past_key_values"] = cache
        words = given.get("input_ids") if given.get("input_ids") is not None else given.get("inputs_embeds")
        steps = 0 if words is None else words.shape[1]
        read = 0 if cache is None else cache.get_seq_length()
        born = _born(given.get("attention_mask"), read, steps)
        if born is None and cache is None:
            _refuse_packed(given.get("position_ids"))
        cut = None
        if module.training and any(law.shortens for law in self.laws):
            cut = float(torch.rand(()))
        count = 0 if words is None else words.shape[0] * steps if born is None else int(born.sum())
        self._last = Pass(born, cut, self.watch, torch.is_grad_enabled(), steps=count)
        given[NAME] = self._last
        return (), given

    def _read(self, layer: int, attention: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        """Before an attention: let its law read the states of which keys and values will be made."""
        from transformers.cache_utils import Cache

        now = kwargs.get(NAME)
        if not isinstance(now, Pass):
            raise RuntimeError(
                f"{type(attention).__name__} must be called by its decoder, which says the padding"
            )
        states = kwargs["hidden_states"] if "hidden_states" in kwargs else args[0]
        cache = next((part for part in (*args, *kwargs.values()) if isinstance(part, Cache)), None)
        store: Any = None if cache is None else cache.layers[layer]  # a MemoryLayer
        batch, steps = states.shape[:2]
        born = torch.ones(batch, steps, dtype=torch.bool, device=states.device)
        if now.born is not None:
            born = now.born.to(states.device).expand(batch, steps)
        before = born.new_zeros(batch, dtype=torch.int64)
        if store is not None:
            before = store.started(batch, before)
        at = before[:, None] + born.cumsum(1) - 1
        law = self.laws[layer]
        notes = _noted(law, states, at)
        ages = -torch.arange(steps, device=states.device).expand(batch, steps)
        ages = ages.masked_fill(~born, PADDING)
        if store is not None:
            store.announce(notes, ages, before + born.sum(1))
        return args, {**kwargs, NAME: Call(now, layer, law, notes, ages, store)}

    @property
    def _told(self) -> Pass:
        if self._last is None or len(self._last.live) < len(self.laws):
            raise RuntimeError("model must have answered since it got its law of forgetting: call it first")
        return self._last

    def price(self) -> Tensor:
        """Return the price of memory of the last pass, ``()``: differentiable, to be added to the loss.

        Returns
        -------
        Tensor
            α times what :mod:`curse_of_memory.theory.expiry.price` says, as a mean over steps that are no
            padding, summed over layers; zero where memory is free. Its gradient says how long spans are, its
            value does not: see :meth:`spans`.

        Raises
        ------
        RuntimeError
            If there was no pass, or its gradient was lost in reentrant checkpoints.
        """
        last = self._told
        if not last.charges:
            return torch.zeros((), device=next(iter(last.live.values())).device)
        charges = [charge.sum() for charge in last.charges.values()]
        if last.with_gradient and not any(charge.requires_grad for charge in charges):
            learns = any(weight.requires_grad for law in self.laws for weight in law.parameters())
            if learns:
                raise RuntimeError(
                    "price has no gradient: gradient checkpointing must have use_reentrant=False"
                )
        return torch.stack([charge.to(charges[0].device) for charge in charges]).sum() / max(last.steps, 1)

    def live(self) -> Tensor:
        """Return how many memories each step of the last pass saw, ``(layers, batch, time)``; 0: padding."""
        last = self._told
        return torch.stack([last.live[i].cpu() for i in range(len(self.laws))])

    def spans(self) -> list[Tensor]:
        """Return the spans of the memories that the last pass wrote, ``(batch, time)`` for each layer.

        Returns
        -------
        list of Tensor
            In steps, not cut by training, NaN for padding; empty if the law has no spans.
        """
        last = self._told
        return [last.spans[i] for i in sorted(last.spans)]

    def deaths(self, cache: Any) -> list[Tensor]:
        """Return the step from which on each memory of a `cache` is not seen, for each layer.

        Known when a memory is written, and the same ever after.

        Parameters
        ----------
        cache : transformers.Cache
            Of this model.

        Returns
        -------
        list of Tensor
            Of shape ``(batch, memory)``, whole numbers: steps from the first on, padding among them; −1 where
            there is no memory.

        Raises
        ------
        ValueError
            If it is of another model, or the law sets no date.
        """
        dates, ever = [], torch.iinfo(torch.int64).max // 2
        layers = layers_of(adopted(cache, self._number, len(self.laws), False))
        for law, layer in zip(self.laws, layers, strict=True):
            if layer.memories is None:
                raise ValueError("cache must have been read into: it has no memories yet")
            last, ages = last_ages_said(law, layer.memories.notes), layer.memories.ages
            if last is None:
                raise ValueError(f"by {type(law).__name__} memories have no date of death")
            dates.append((layer.read + 1 + last.clamp(max=ever) - ages).masked_fill(ages <= 0, -1))
        return dates

    def state_dict(self) -> dict[str, Tensor]:
        """Return the weights of all laws, by their names in the decoder."""
        return {
            f"{path}.{SUBMODULE}.{name}": weight.detach()
            for path, law in zip(self._decoder.attentions, self.laws, strict=True)
            for name, weight in law.state_dict().items()
        }

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take the weights of all laws, as :meth:`state_dict` has them.

        Parameters
        ----------
        state : mapping from str to Tensor
            It may have other weights, too, and names may begin with those of what is around the decoder.

        Raises
        ------
        ValueError
            If a weight is missing, or of another shape; then none is taken.
        """
        own, taken = self.state_dict(), {}
        with torch.no_grad():
            for name, weight in own.items():
                new = [key for key in state if key == name or key.endswith(f".{name}")]
                if len(new) != 1:
                    raise ValueError(f"state must have one weight {name}, got {len(new)}")
                if state[new[0]].shape != weight.shape:
                    got = tuple(state[new[0]].shape)
                    raise ValueError(f"state must have {name} of shape {tuple(weight.shape)}, got {got}")
                taken[name] = state[new[0]]
            for name, weight in taken.items():
                own[name].copy_(weight)


def _noted(law: Law, states: Tensor, at: Tensor) -> Tensor:
    """Return the notes of a law of `states`, in the precision of its weights, and at least in float32."""
    weight = next(law.parameters(), None)
    dtype = states.dtype if weight is None else weight.dtype
    if weight is None and dtype in SHORT:
        dtype = torch.float32
    with torch.autocast(states.device.type, enabled=False):
        return notes_said(law, states.to(dtype), at)


def _born(mask: Any, read: int, steps: int) -> Tensor | None:
    """Return which of the `steps` that follow on those that were `read` are no padding; None if all are."""
    if mask is None:
        return None
    if not isinstance(mask, Tensor) or mask.ndim != 2:
        raise ValueError(f"attention_mask must be (batch, time), got {checks.shown(mask)}")
    if mask.shape[1] >= read + steps:
        born = mask[:, read : read + steps].bool()
    elif mask.shape[1] == steps:
        born = mask.bool()
    else:
        raise ValueError(f"attention_mask must have {read + steps} steps, got {mask.shape[1]}")
    return None if bool(born.all()) else born


def _refuse_packed(position_ids: Any) -> None:
    """Refuse several sequences in one row, told apart by their positions alone."""
    if isinstance(position_ids, Tensor) and position_ids.ndim == 2 and (position_ids.diff(dim=1) != 1).any():
        raise ValueError("position_ids must go on by one: sequences packed into one row are not told apart")
