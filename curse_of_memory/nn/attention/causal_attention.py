"""Causal self-attention: every step looks at itself and at the past, in whole sequences or in chunks.

Equation.   One head of width w answers at step t

                a_t = Σ_{s ≤ t} softmax_s(q_t · k_s / √w) v_s,     q = Q x, k = K x, v = V x (plus biases);

            several heads work side by side on w = width / heads channels each, and y_t = O [a^{(1)}_t … ].
            The memory has no fixed end: every past step is weighed by what it holds.

            With a law of forgetting (``nn.forgetting``), log m_ts <= 0 is added to the scores, and only
            memories with m > 0 are kept; steps may not see themselves, s < t.

Algorithm.  ``scaled_dot_product_attention`` of torch. For streaming, keys and values of all past steps are
            kept: the cache grows by one row a step, and a step costs in proportion. With a law of forgetting
            sequences are read in blocks, and the dead are deleted after each (``nn.attention.remembering``).
"""

import copy
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn.attention.positions import rotated
from curse_of_memory.nn.attention.remembered import Remembered
from curse_of_memory.nn.attention.remembering import Reading, drawn_cut, remember, start_of
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.many_models import affine, of_each_model, one_by_one, without_dropout
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.nn.forgetting.asked import last_ages_said, notes_said, try_law
from curse_of_memory.nn.forgetting.frozen import frozen_at
from curse_of_memory.nn.forgetting.law import Law, PoolingLaw, block_for
from curse_of_memory.nn.forgetting.store import KeptKeys, KeptStates
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["Cache", "CausalSelfAttention"]

KEPT = ("states", "keys")


class Cache(NamedTuple):
    """Keys and values of all past steps: the state of an attention.

    Attributes
    ----------
    keys, values : Tensor of shape ``(batch, heads, steps so far, width / heads)``
        Rotary keys are rotated already.
    """

    keys: Tensor
    values: Tensor


class CausalSelfAttention(Streaming[Cache | KeptStates | KeptKeys]):
    """Softmax attention of every step to itself and to the past, with one or more heads.

    Parameters
    ----------
    width : int
        Channels of x and y.
    heads : int
        Number of heads, a divisor of `width`.
    rotary : bool
        Rotate queries and keys by their position; heads must have an even width then.
    bias : bool
        Whether the maps to q, k, v and to the output have biases.
    dropout : float
        Probability with which an attention weight is dropped, in training mode.
    forgetting : Law, optional
        How memories are forgotten, one of :mod:`curse_of_memory.nn.forgetting` or of your own. The layer
        takes a copy.
    sees_itself : bool
        Whether a step is among the memories that it looks at. May be False with a law of forgetting only.
    zero_memories : int
        With a law of forgetting: how many zero vectors are memories before the first step. Without any, a
        first step that does not see itself sees nothing, and answers zero.
    block : int, optional
        With a law of forgetting: how many steps are read at a time, at most the longest span. It changes the
        time and room that this takes, and nothing else. 128 unless given, or the longest span if it is less.
    kept : {'states', 'keys'}
        With a law of forgetting: what a state holds of memories. "states", for training: keys and spans of
        old memories are computed again with the weights at that time. "keys", for inference: keys, values
        and spans, computed once. May be changed later.
    deletes : bool, optional
        Whether dead memories are deleted, which changes no answer. Unless given they are, if the law says
        when they die.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a width that the heads do not divide, a dropout outside of [0, 1), or an option
        that is for laws of forgetting, without one; if a law that has no date of death is to delete.

    Notes
    -----
    "Attention is all you need" (Vaswani et al., 1706.03762), section 3.2. The rows of the map ``project``
    are Q, K and V, in this order, as in torch's ``MultiheadAttention``.

    Examples
    --------
    >>> attention = CausalSelfAttention(8, heads=2)
    >>> attention(torch.zeros(4, 50, 8)).shape
    torch.Size([4, 50, 8])
    """

    def __init__(
        self,
        width: int,
        heads: int = 1,
        *,
        rotary: bool = False,
        bias: bool = True,
        dropout: float = 0.0,
        forgetting: Law | None = None,
        sees_itself: bool = True,
        zero_memories: int = 0,
        block: int | None = None,
        kept: str = "states",
        deletes: bool | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.input_size = checks.positive_int("width", width)
        self.heads = checks.positive_int("heads", heads)
        if width % heads:
            raise ValueError(f"heads must divide width = {width}, got {heads}")
        self.rotary, bias = checks.flag("rotary", rotary), checks.flag("bias", bias)
        if self.rotary and width // heads % 2:
            raise ValueError(f"width / heads must be even for rotary positions, got {width // heads}")
        self.dropout = inputs.dropout_probability(dropout)
        self.sees_itself = checks.flag("sees_itself", sees_itself)
        self.zero_memories = checks.whole_number("zero_memories", zero_memories, least=0)
        self.kept = checks.one_of("kept", kept, KEPT)
        if forgetting is None and (not sees_itself or zero_memories or deletes is not None):
            raise ValueError(
                "forgetting must be a law where sees_itself, zero_memories or deletes is given; "
                "without one every step sees itself and the whole past"
            )
        if forgetting is not None and not isinstance(forgetting, Law):
            raise TypeError(f"forgetting must be a law of forgetting, got {checks.shown(forgetting)}")
        if self.rotary and isinstance(forgetting, PoolingLaw):
            raise ValueError(f"rotary must be False with {type(forgetting).__name__}: a mean has no position")
        self.block = block_for([forgetting], block)
        with seeded(seed):
            self.project = nn.Linear(width, 3 * width, bias=bias, **DRAWN)
            self.out = nn.Linear(width, width, bias=bias, **DRAWN)
            self.forgetting = copy.deepcopy(forgetting)
            if self.forgetting is not None:
                self.forgetting.attach(width, heads, 0 if sees_itself else 1)
        self.deletes = self._may_delete(deletes)
        place(self, device, dtype)
        if self.forgetting is not None:
            try_law(self.forgetting, width, heads, self.project.weight.device, self.project.weight.dtype)

    def _may_delete(self, deletes: bool | None) -> bool:
        """Return whether dead memories are deleted; refuse it to a law that never says when they are."""
        law = self.forgetting
        if law is None:
            return False
        # of two sequences with three memories, so that a wrong shape is seen
        states, steps = torch.zeros(2, 3, self.input_size, **DRAWN), torch.arange(3).expand(2, 3)
        dated = last_ages_said(law, notes_said(law, states, steps)) is not None
        if deletes is None:
            return dated
        if checks.flag("deletes", deletes) and not dated:
            raise ValueError(f"deletes must be False: by {type(law).__name__} memories never die")
        return deletes

    def forward(self, x: Tensor) -> Tensor:
        """Return the answers to whole sequences `x`; both have shape ``(batch, time, width)``."""
        if self.forgetting is None:
            return self.run(x).y
        return self._remembering(x, None, Reading(cut=drawn_cut(self, [self.forgetting]), keep=False)).y

    def run(
        self, x: Tensor, state: Cache | KeptStates | KeptKeys | None = None
    ) -> Outputs[Cache | KeptStates | KeptKeys]:
        """Return the answers to a chunk of time, ``(batch, time, width)``, that sees itself and the past.

        Returns
        -------
        Outputs
            ``y`` of the shape of `x`, and ``last``: the :class:`Cache` with this chunk in it, or with a law
            of forgetting the memories that are alive. These are cut off from their gradients: a gradient
            ends where the chunk begins.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or a state is none of this layer.
        """
        if self.forgetting is None:
            return cast(Outputs, self._run(x, cast(Cache | None, state)))
        remembered = self.remember(x, cast(KeptStates | KeptKeys | None, state))
        assert remembered.last is not None
        return Outputs(remembered.y, remembered.last)

    @property
    def forgets(self) -> bool:
        """Whether there is a law of forgetting."""
        return self.forgetting is not None

    def remember(self, x: Tensor, state: KeptStates | KeptKeys | None = None) -> Remembered:
        """Return what :meth:`run` does, with the price of memory, and how many memories each step sees.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, width)``
            A chunk of time, of any length.
        state : KeptStates or KeptKeys, optional
            Memories of the steps before.

        Raises
        ------
        ValueError, TypeError
            If there is no law of forgetting, a shape does not fit, or a state is none of this layer.
        """
        if self.forgetting is None:
            raise ValueError("remember() needs a law of forgetting: this attention forgets nothing")
        return self._remembering(x, state, Reading(cut=drawn_cut(self, [self.forgetting])))

    def frozen_at(self, reference: Tensor) -> AbstractContextManager[None]:
        """Return a context inside which memories are forgotten as for `reference`, whatever is read.

        See :func:`curse_of_memory.nn.forgetting.frozen_at`.
        """
        return frozen_at(self, reference)

    def start(self, batch: int) -> KeptStates:
        """Return the state of `batch` sequences before their first step, with a law of forgetting."""
        if self.forgetting is None:
            raise ValueError("start() needs a law of forgetting: this attention starts with None")
        return start_of(self, checks.positive_int("batch", batch))

    @inputs.guarded
    def _remembering(self, x: Tensor, state: KeptStates | KeptKeys | None, reading: Reading) -> Remembered:
        return remember(self, x, state, reading)

    @inputs.guarded
    def _run(self, x: Tensor, state: Cache | None = None) -> Outputs[Cache]:
        batch, steps, width = x.shape
        shape = batch, steps, 3, self.heads, width // self.heads
        q, k, v = self.project(x).view(shape).permute(2, 0, 3, 1, 4)
        if state is not None and not isinstance(state, Cache):
            raise TypeError(f"state must be a Cache of keys and values, got {type(state).__name__}")
        past = 0 if state is None else state.keys.shape[2]
        if self.rotary:
            q, k = rotated(q, past), rotated(k, past)
        if state is not None:
            expected = (batch, self.heads, past, width // self.heads)
            if state.keys.shape != expected or state.values.shape != expected:
                got = tuple(state.keys.shape), tuple(state.values.shape)
                raise ValueError(f"state must hold keys and values of shape {expected}, got {got}")
            k, v = torch.cat([state.keys, k], 2), torch.cat([state.values, v], 2)
        mask = None
        if past and steps > 1:  # one step sees everything; without a past torch has a faster way
            mask = torch.ones(steps, past + steps, dtype=torch.bool, device=x.device).tril(past)
        a = nn.functional.scaled_dot_product_attention(
            q, k, v, mask, self.dropout if self.training else 0.0, is_causal=past == 0
        )
        return Outputs(self.out(a.transpose(1, 2).reshape(x.shape)), Cache(k, v))

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this layer beside weights: class, heads, rotary or not, dropout."""
        if self.forgetting is None:
            return type(self), self.heads, self.rotary, self.dropout
        own = self.sees_itself, self.zero_memories, self.forgetting.architecture
        return type(self), self.heads, self.rotary, self.dropout, *own

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many layers that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, width)`` or ``(model, batch, time, width)``
            Inputs without a past, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, width)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, a weight is missing, or there is dropout in training mode.
        """
        without_dropout(self, self.dropout)
        p, x = inputs.many_models(self, parameters, x)
        if self.forgetting is not None:
            return one_by_one(self, p, x).to(parameters["project.weight"].dtype)
        x = of_each_model(p, x)
        models, batch, steps, width = x.shape
        shape = models * batch, steps, 3, self.heads, width // self.heads
        q, k, v = affine(p, "project", x).view(shape).permute(2, 0, 3, 1, 4)
        if self.rotary:
            q, k = rotated(q, 0), rotated(k, 0)
        a = nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        y = affine(p, "out", a.transpose(1, 2).reshape(x.shape))
        return y.to(parameters["project.weight"].dtype)
