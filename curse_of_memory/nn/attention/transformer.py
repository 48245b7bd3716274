"""Transformers of causal self-attention, pre-norm or post-norm, for real inputs and for tokens.

Equation.   A block adds attention A and a feed-forward part F(x) = W₂ σ(W₁ x + b₁) + b₂ to what it reads,

                pre-norm:    x ← x + A(N x),     x ← x + F(N x)          (and one more N before the readout)
                post-norm:   x ← N(x + A(x)),    x ← N(x + F(x)),

            N the layer norm, each with weights of its own; the readout is ŷ = C x + c at every step.

Algorithm.  Blocks in turn, each with the cache of its attention (``causal_attention``), whose length says at
            which position a chunk starts. With a law of forgetting, blocks have the memories that are alive
            (``remembering``).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn.attention.block import Block
from curse_of_memory.nn.attention.causal_attention import Cache, CausalSelfAttention
from curse_of_memory.nn.attention.positions import ALL_POSITIONS, waves, waves_at
from curse_of_memory.nn.attention.remembered import RememberedByAll
from curse_of_memory.nn.attention.remembering import Reading, drawn_cut
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.activations import FEEDFORWARD
from curse_of_memory.nn.building.many_models import (
    affine,
    looked_up,
    normed,
    of_each_model,
    one_by_one,
    weights_of_part,
    without_dropout,
)
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.nn.forgetting.frozen import frozen_at
from curse_of_memory.nn.forgetting.law import Law, block_for, law_of_each
from curse_of_memory.nn.forgetting.store import KeptKeys, KeptStates
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["NORM_PLACES", "CausalTransformer"]

NORM_PLACES = ("pre", "post")


class CausalTransformer(Streaming[tuple[Cache | KeptStates | KeptKeys, ...]]):
    """Transformer of causal self-attention for real inputs or tokens, with a linear readout at every step.

    Parameters
    ----------
    width : int
        Channels of the blocks.
    layers, heads : int
        Number of blocks, and of heads in each; heads divide the width.
    feedforward : int, optional
        Inner width of the feed-forward parts; 4 · width unless given.
    input_size, output_size : int
        Channels of x and ŷ. The output has `vocabulary` channels (logits) for tokens unless said otherwise.
    vocabulary : int, optional
        Number of tokens; x then is ``(batch, time)`` of tokens 0 … vocabulary − 1.
    positions : {'none', 'sinusoidal', 'learnt', 'rotary', 'block'}
        "none": the causal mask only. "sinusoidal", "learnt": waves, or learnt vectors, are added to the input
        of the first block. "rotary": queries and keys are rotated by angles that grow in time. "block", with
        a law of forgetting: a learnt vector for each of the last `block` ages, shared by heads and layers,
        whose product with the query is added to the scores; older memories have no position.
    horizon : int, optional
        Steps of the longest sequence; for learnt positions, which need it, and for no others.
    norm : {'pre', 'post'}
        Whether a layer norm comes before each part of a block, or after its sum with the input.
    activation : {'gelu', 'relu'}
        σ of the feed-forward parts.
    dropout : float
        Probability of dropping attention weights and channels, in training mode.
    attention_bias : bool
        Whether the maps to q, k, v and back have biases.
    scaled_residuals : bool
        Divide the weights of both maps of a block whose output is added to a residual by √(2 · layers) at
        first; for pre-norm.
    forgetting : Law or sequence of Law, optional
        How memories are forgotten (:mod:`curse_of_memory.nn.forgetting`): the same law for each layer, or
        a list with one for each. Layers take copies.
    sees_itself, zero_memories, block, kept, deletes
        Of all attentions, as for :class:`.CausalSelfAttention`, with a law of forgetting.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, an unknown name, an odd width for waves or rotations, learnt positions without a
        horizon, a horizon without learnt positions, or an option of laws of forgetting without one.

    Notes
    -----
    "Attention is all you need" (1706.03762) with the decoder's mask and without encoder. Weights are torch's:
    uniform between ±1/√(inputs of the map), embeddings and learnt positions standard normal.

    The transformer of Expire-Span (2105.06548) is the one with ``activation="relu"``,
    ``attention_bias=False``, ``positions="block"``, ``sees_itself=False``, ``zero_memories=block``, and with
    ``scaled_residuals=True`` if it is pre-norm. Layout of weights, for those of its public code:

    =====================================================  ==================================================
    here                                                   what it is
    =====================================================  ==================================================
    ``embed.weight`` ``(vocabulary, width)``               embedding of tokens
    ``places_back.weight`` ``(width / heads, block)``      learnt positions; column block − s has the age s
    ``blocks.l.attention.project.weight``                  rows of Q, then K, then V, ``(3 width, width)``
    ``blocks.l.attention.out.weight``                      map of the heads back, ``(width, width)``
    ``blocks.l.attention.forgetting.predictor``            w ``(1, width)`` and b ``(1,)`` of spans
    ``blocks.l.widen``, ``blocks.l.narrow``                both maps of the feed-forward part
    ``blocks.l.norms.0``, ``blocks.l.norms.1``            norms of the attention and the feed-forward part
    ``last_norm``, ``readout``                             norm of a pre-norm transformer, and its readout
    =====================================================  ==================================================

    One layer by itself is ``blocks[l].remember(x, state, Reading(positions=places_back.weight))``, of
    ``nn.attention.remembering``. α is ``price`` of the law. A pre-norm model without the last norm has
    ``last_norm = nn.Identity()``. The public code adds 1e-8 to the sum of the weights of a row, which makes
    answers smaller by the share that 1e-8 is of Σ m a: 1e-8 in most rows, and more where all that is seen is
    at the end of its ramp.

    Examples
    --------
    >>> CausalTransformer(16, layers=2, heads=4)(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    >>> CausalTransformer(16, vocabulary=50, positions="rotary")(torch.zeros(8, 100, dtype=int)).shape
    torch.Size([8, 100, 50])
    """

    def __init__(
        self,
        width: int,
        layers: int = 1,
        *,
        heads: int = 1,
        feedforward: int | None = None,
        input_size: int = 1,
        output_size: int | None = None,
        vocabulary: int | None = None,
        positions: str = "none",
        horizon: int | None = None,
        norm: str = "pre",
        activation: str = "gelu",
        dropout: float = 0.0,
        attention_bias: bool = True,
        scaled_residuals: bool = False,
        forgetting: Law | Sequence[Law] | None = None,
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
        self.width = checks.positive_int("width", width)
        checks.positive_int("layers", layers)
        laws = law_of_each(forgetting, layers)
        at_once = block_for(laws, block)
        checks.flag("attention_bias", attention_bias)
        feedforward = 4 * width if feedforward is None else checks.positive_int("feedforward", feedforward)
        self.positions = checks.one_of("positions", positions, ALL_POSITIONS)
        self.norm = checks.one_of("norm", norm, NORM_PLACES)
        checks.one_of("activation", activation, FEEDFORWARD)
        if (self.positions == "learnt") != (horizon is not None):
            raise ValueError(
                f"horizon must be given for learnt positions, and only for them, got {horizon!r}"
            )
        if horizon is not None:
            checks.positive_int("horizon", horizon)
        if self.positions == "sinusoidal" and width % 2:
            raise ValueError(f"width must be even for sinusoidal positions, got {width}")
        if self.positions == "block" and forgetting is None:
            raise ValueError("positions may be 'block' with a law of forgetting only; see forgetting")
        if checks.flag("scaled_residuals", scaled_residuals) and norm != "pre":
            raise ValueError("scaled_residuals must be False for post-norm, whose sums are normalised")
        self.input_size = checks.positive_int("input_size", input_size)
        outputs = vocabulary or 1 if output_size is None else checks.positive_int("output_size", output_size)
        self.output_size = outputs
        with seeded(seed):
            if vocabulary is None:
                self.embed = nn.Linear(input_size, width, **DRAWN)
            else:
                self.embed = nn.Embedding(checks.positive_int("vocabulary", vocabulary), width, **DRAWN)
            self.places = None if horizon is None else nn.Embedding(horizon, width, **DRAWN)
            attentions = [
                CausalSelfAttention(
                    width,
                    heads,
                    rotary=positions == "rotary",
                    bias=attention_bias,
                    dropout=dropout,
                    forgetting=law,
                    sees_itself=sees_itself,
                    zero_memories=zero_memories,
                    block=at_once,
                    kept=kept,
                    deletes=deletes,
                    **DRAWN,
                )
                for law in laws
            ]
            self.blocks = nn.ModuleList(
                Block(attention, feedforward, activation, norm, dropout) for attention in attentions
            )
            self.last_norm = nn.LayerNorm(width, **DRAWN) if norm == "pre" else nn.Identity()
            self.readout = nn.Linear(width, self.output_size, **DRAWN)
            self.places_back = None
            if positions == "block":
                self.places_back = nn.Embedding(width // heads, at_once, **DRAWN)
        if scaled_residuals:
            with torch.no_grad():
                for part in cast(Iterable[Block], self.blocks):
                    for weight in (part.attention.out.weight, part.narrow.weight, part.narrow.bias):
                        weight.div_(math.sqrt(2 * layers))
        self.dropout = nn.Dropout(dropout)
        place(self, device, dtype)

    def get_input_embeddings(self) -> nn.Module:
        """Return the map of inputs into the network: ``nn.Embedding`` for tokens, else ``nn.Linear``."""
        return self.embed

    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, or tokens."""
        if self._attention.forgetting is None:
            return self.run(x).y
        return self._remember(x, None, cut=drawn_cut(self, self._laws), keep=False).y

    @property
    def _attention(self) -> CausalSelfAttention:
        """The attention of the first block."""
        return cast(Block, self.blocks[0]).attention

    def run(
        self, x: Tensor, state: Sequence[Cache | KeptStates | KeptKeys] | None = None
    ) -> Outputs[tuple[Cache | KeptStates | KeptKeys, ...]]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``, or tokens of shape ``(batch, time)``
            One step is a chunk, too.
        state : sequence of Cache, KeptStates or KeptKeys, optional
            Keys and values of all steps before, or memories that are alive, for each block; none at the
            start.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the caches with this chunk in them.
            With a law of forgetting these are memories, cut off from their gradients: a gradient ends where
            the chunk begins, as in Transformer-XL.

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, the state is none of this model, or the sequence is longer than learnt
            positions.

        Examples
        --------
        >>> model, x = CausalTransformer(8, seed=0, positions="sinusoidal"), torch.ones(1, 10, 1)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:], atol=1e-6)
        True
        """
        if self._attention.forgetting is not None:
            remembered = self.remember(x, state)
            assert remembered.last is not None
            return Outputs(remembered.y, remembered.last)
        inputs.state_of_each(state, len(self.blocks), "blocks")
        if not all(isinstance(cache, Cache) for cache in state or ()):
            got = checks.shown(state)
            raise TypeError(f"state must hold a Cache for each of {len(self.blocks)} blocks, got {got}")
        caches = cast(Sequence[Cache] | None, state)
        if isinstance(self.embed, nn.Linear):
            return cast(Outputs, self._run_sequence(x, caches))
        self._check_tokens(x)
        return cast(Outputs, self._run(x, caches))

    @property
    def forgets(self) -> bool:
        """Whether there is a law of forgetting."""
        return self._attention.forgetting is not None

    def remember(
        self,
        x: Tensor,
        state: Sequence[Cache | KeptStates | KeptKeys] | None = None,
        *,
        cut: float | None = None,
    ) -> RememberedByAll:
        """Return what :meth:`run` does, with the price of memory, live memories and spans of all layers.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``, or tokens of shape ``(batch, time)``
            A chunk of any length.
        state : sequence of KeptStates or KeptKeys, optional
            Memories of the steps before, for each block.
        cut : float, optional
            The share u at which spans are cut, in [0, 1]. If not given, it is drawn in training mode, for
            laws that want it.

        Raises
        ------
        ValueError, TypeError
            If there is no law of forgetting, a shape does not fit, or a state is none of this model.
        """
        if self._attention.forgetting is None:
            raise ValueError("remember() needs a law of forgetting: this transformer forgets nothing")
        if cut is not None:
            if not 0 <= checks.real("cut", cut) <= 1:
                raise ValueError(f"cut must be a share from 0 to 1, got {cut!r}")
        else:
            cut = drawn_cut(self, self._laws)
        inputs.state_of_each(state, len(self.blocks), "blocks")
        return self._remember(x, cast(Sequence[KeptStates | KeptKeys] | None, state), cut=cut)

    def frozen_at(self, reference: Tensor) -> AbstractContextManager[None]:
        """Return a context inside which memories are forgotten as for `reference`, whatever is read.

        See :func:`curse_of_memory.nn.forgetting.frozen_at`.
        """
        return frozen_at(self, reference)

    def start(self, batch: int) -> tuple[KeptStates, ...]:
        """Return the state of `batch` sequences before their first step, with a law of forgetting.

        With :func:`.replace_rows` some rows of a state begin anew.
        """
        return tuple(block.attention.start(batch) for block in cast(Iterable[Block], self.blocks))

    @property
    def _laws(self) -> list[Law]:
        blocks = cast(Iterable[Block], self.blocks)
        return [block.attention.forgetting for block in blocks if block.attention.forgetting is not None]

    def _remember(
        self,
        x: Tensor,
        state: Sequence[KeptStates | KeptKeys] | None,
        *,
        cut: float | None = None,
        keep: bool = True,
    ) -> RememberedByAll:
        reading = Reading(cut=cut, keep=keep)
        if self.places_back is not None:
            reading = reading._replace(positions=self.places_back.weight)
        if isinstance(self.embed, nn.Linear):
            return self._remember_sequence(x, state, reading)
        self._check_tokens(x)
        return self._remember_blocks(x, state, reading)

    def _check_tokens(self, x: Tensor) -> None:
        """Refuse what are no tokens of the embedding."""
        assert isinstance(self.embed, nn.Embedding)
        inputs.tokens(x, self.embed.weight)

    def _embedded(self, x: Tensor) -> Tensor:
        return inputs.rows_of(self.embed, x) if isinstance(self.embed, nn.Embedding) else self.embed(x)

    @inputs.guarded
    def _remember_sequence(
        self, x: Tensor, state: Sequence[KeptStates | KeptKeys] | None, reading: Reading
    ) -> RememberedByAll:
        return self._remember_blocks(x, state, reading)

    def _remember_blocks(
        self, x: Tensor, state: Sequence[KeptStates | KeptKeys] | None, reading: Reading
    ) -> RememberedByAll:
        blocks = list(cast(Iterable[Block], self.blocks))
        state = self.start(len(x)) if state is None else state
        known = []
        z = self.dropout(self._placed_at(self._embedded(x), state[0]))
        for block, before in zip(blocks, state, strict=True):
            z, remembered = block.remember(z, before, reading)
            known.append(remembered)
        return RememberedByAll(
            self.readout(self.last_norm(z)),
            tuple(one.last for one in known) if reading.keep else None,
            torch.stack([one.price for one in known]).sum(),
            torch.stack([one.live for one in known]),
            tuple(one.spans for one in known),
        )

    def _placed_at(self, z: Tensor, state: KeptStates | KeptKeys) -> Tensor:
        """Return the embedded inputs plus their positions, which follow on those that each row has read."""
        if self.positions != "sinusoidal" and self.places is None:
            return z
        if not isinstance(state, KeptStates | KeptKeys):
            raise TypeError(f"state must be memories (KeptStates or KeptKeys), got {checks.shown(state)}")
        at = state.steps[:, None] + torch.arange(z.shape[1], device=z.device)
        if self.places is None:
            return z + waves_at(at, self.width, z)
        self._check_horizon(int(at.max()) + 1 if at.numel() else 0)
        return z + self.places(at)

    @inputs.guarded
    def _run_sequence(self, x: Tensor, state: Sequence[Cache] | None) -> Outputs[tuple[Cache, ...]]:
        return self._run(x, state)

    def _run(self, x: Tensor, state: Sequence[Cache] | None) -> Outputs[tuple[Cache, ...]]:
        past = 0 if state is None else state[0].keys.shape[2]
        z = self.dropout(self._placed(self._embedded(x), past))
        last = []
        blocks = cast(Iterable[Block], self.blocks)
        for block, before in zip(blocks, state or [None] * len(self.blocks), strict=True):
            z, after = block.run(z, before)
            last.append(after)
        return Outputs(self.readout(self.last_norm(z)), tuple(last))

    def _placed(self, z: Tensor, past: int) -> Tensor:
        """Return the embedded inputs plus their positions, the first of which is `past`."""
        steps = z.shape[1]
        if self.positions == "sinusoidal":
            return z + waves(past, steps, self.width, z)
        if self.places is not None:
            self._check_horizon(past + steps)
            return z + self.places.weight[past : past + steps]
        return z

    def _check_horizon(self, end: int) -> None:
        """Refuse a sequence that goes on to a step `end` for which no position was learnt."""
        if self.places is not None and end > len(self.places.weight):
            raise ValueError(
                f"x must end before learnt position {len(self.places.weight)}, but goes on to {end}"
            )

    @property
    def architecture(self) -> tuple:
        """All that :meth:`run_many` uses of this model but weights: positions, norm, σ, heads, dropout."""
        first = cast(Block, self.blocks[0])
        own = self.positions, self.norm, isinstance(self.embed, nn.Embedding)
        whole = type(self), *own, first.activation, first.attention.heads, self.dropout.p
        if first.attention.forgetting is None:
            return whole
        return *whole, *(block.attention.architecture for block in cast(Iterable[Block], self.blocks))

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many models that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, input_size)``, or tokens of shape ``(batch, time)``
            Inputs without a past, shared by the models; with a model in front for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, output_size)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, a weight is missing, or there is dropout in training mode.
        """
        without_dropout(self, self.dropout.p)
        if isinstance(self.embed, nn.Embedding):
            p, x = inputs.many_of_tokens(self, parameters, x)
            if self._laws:
                return one_by_one(self, p, x, 2).to(parameters["readout.weight"].dtype)
            z = looked_up(p["embed.weight"], of_each_model(p, x, 2))
        else:
            p, x = inputs.many_models(self, parameters, x)
            if self._laws:
                return one_by_one(self, p, x).to(parameters["readout.weight"].dtype)
            z = affine(p, "embed", of_each_model(p, x))
        if self.positions == "sinusoidal":
            z = z + waves(0, z.shape[2], self.width, z)
        elif self.places is not None:
            z = z + p["places.weight"][:, None, : z.shape[2]]
        for i, block in enumerate(cast(Iterable[Block], self.blocks)):
            z = block.many(weights_of_part(p, f"blocks.{i}"), z)
        y = affine(p, "readout", normed(self.last_norm, p, "last_norm", z))
        return y.to(parameters["readout.weight"].dtype)
