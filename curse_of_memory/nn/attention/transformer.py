"""Transformers of causal self-attention, pre-norm or post-norm, for real inputs and for tokens.

Equation.   A block adds attention A and a feed-forward part F(x) = W₂ σ(W₁ x + b₁) + b₂ to what it reads,

                pre-norm:    x ← x + A(N x),     x ← x + F(N x)          (and one more N before the readout)
                post-norm:   x ← N(x + A(x)),    x ← N(x + F(x)),

            N the layer norm, each with weights of its own; the readout is ŷ = C x + c at every step.

Algorithm.  Blocks in turn, each with the cache of its attention (``causal_attention``), whose length says at
            which position a chunk starts.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn.attention.causal_attention import Cache, CausalSelfAttention
from curse_of_memory.nn.attention.positions import POSITIONS, waves
from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.activations import ACTIVATIONS, FEEDFORWARD
from curse_of_memory.nn.building.many_models import (
    affine,
    looked_up,
    normed,
    of_each_model,
    weights_of_part,
    without_dropout,
)
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["CausalTransformer"]

NORM_PLACES = ("pre", "post")


class _Block(nn.Module):
    """One block: attention and a feed-forward part, each with a norm and a residual connection."""

    def __init__(
        self, attention: CausalSelfAttention, feedforward: int, activation: str, norm: str, dropout: float
    ):
        super().__init__()
        width = attention.input_size
        self.attention = attention
        self.widen = nn.Linear(width, feedforward, **DRAWN)
        self.narrow = nn.Linear(feedforward, width, **DRAWN)
        self.norms = nn.ModuleList(nn.LayerNorm(width, **DRAWN) for _ in range(2))
        self.activation, self.norm, self.dropout = activation, norm, nn.Dropout(dropout)

    def run(self, x: Tensor, state: Cache | None) -> Outputs[Cache]:
        first, second = self.norms
        if self.norm == "pre":
            a, last = self.attention.run(first(x), state)
            x = x + self.dropout(a)
            return Outputs(x + self._feedforward(second(x)), last)
        a, last = self.attention.run(x, state)
        x = first(x + self.dropout(a))
        return Outputs(second(x + self._feedforward(x)), last)

    def many(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many blocks of this kind to ``(model, batch, time, width)``."""
        first, second = self.norms

        def attended(z: Tensor) -> Tensor:
            return self.attention.run_many(weights_of_part(weights, "attention"), z)

        def fed_forward(z: Tensor) -> Tensor:
            return affine(weights, "narrow", ACTIVATIONS[self.activation](affine(weights, "widen", z)))

        if self.norm == "pre":
            x = x + attended(normed(first, weights, "norms.0", x))
            return x + fed_forward(normed(second, weights, "norms.1", x))
        x = normed(first, weights, "norms.0", x + attended(x))
        return normed(second, weights, "norms.1", x + fed_forward(x))

    def _feedforward(self, x: Tensor) -> Tensor:
        sigma = ACTIVATIONS[self.activation]
        return self.dropout(self.narrow(self.dropout(sigma(self.widen(x)))))


class CausalTransformer(Streaming[tuple[Cache, ...]]):
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
    positions : {'none', 'sinusoidal', 'learnt', 'rotary'}
        "none": the causal mask only. "sinusoidal", "learnt": waves, or learnt vectors, are added to the input
        of the first block. "rotary": queries and keys are rotated by angles that grow in time.
    horizon : int, optional
        Steps of the longest sequence; for learnt positions, which need it, and for no others.
    norm : {'pre', 'post'}
        Whether a layer norm comes before each part of a block, or after its sum with the input.
    activation : {'gelu', 'relu'}
        σ of the feed-forward parts.
    dropout : float
        Probability of dropping attention weights and channels, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, an unknown name, an odd width for waves or rotations, learnt positions without a
        horizon, or a horizon without learnt positions.

    Notes
    -----
    "Attention is all you need" (1706.03762) with the decoder's mask and without encoder. Weights are torch's:
    uniform between ±1/√(inputs of the map), embeddings and learnt positions standard normal.

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
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = checks.positive_int("width", width)
        checks.positive_int("layers", layers)
        feedforward = 4 * width if feedforward is None else checks.positive_int("feedforward", feedforward)
        self.positions = checks.one_of("positions", positions, POSITIONS)
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
        self.input_size = checks.positive_int("input_size", input_size)
        outputs = vocabulary or 1 if output_size is None else checks.positive_int("output_size", output_size)
        self.output_size = outputs
        with seeded(seed):
            if vocabulary is None:
                self.embed = nn.Linear(input_size, width, **DRAWN)
            else:
                self.embed = nn.Embedding(checks.positive_int("vocabulary", vocabulary), width, **DRAWN)
            self.places = None if horizon is None else nn.Embedding(horizon, width, **DRAWN)
            attentions = (
                CausalSelfAttention(width, heads, rotary=positions == "rotary", dropout=dropout, **DRAWN)
                for _ in range(layers)
            )
            self.blocks = nn.ModuleList(
                _Block(attention, feedforward, activation, norm, dropout) for attention in attentions
            )
            self.last_norm = nn.LayerNorm(width, **DRAWN) if norm == "pre" else nn.Identity()
            self.readout = nn.Linear(width, self.output_size, **DRAWN)
        self.dropout = nn.Dropout(dropout)
        place(self, device, dtype)

    def get_input_embeddings(self) -> nn.Module:
        """Return the map of inputs into the network: ``nn.Embedding`` for tokens, else ``nn.Linear``."""
        return self.embed

    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, or tokens."""
        return self.run(x).y

    def run(self, x: Tensor, state: Sequence[Cache] | None = None) -> Outputs[tuple[Cache, ...]]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``, or tokens of shape ``(batch, time)``
            One step is a chunk, too.
        state : sequence of Cache, optional
            Keys and values of all steps before, for each block; none at the start.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the caches with this chunk in them.

        Raises
        ------
        ValueError
            If a shape does not fit, or the sequence is longer than learnt positions.

        Examples
        --------
        >>> model, x = CausalTransformer(8, seed=0, positions="sinusoidal"), torch.ones(1, 10, 1)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:], atol=1e-6)
        True
        """
        inputs.state_of_each(state, len(self.blocks), "blocks")
        if not all(isinstance(cache, Cache) for cache in state or ()):
            got = checks.shown(state)
            raise TypeError(f"state must hold a Cache for each of {len(self.blocks)} blocks, got {got}")
        if isinstance(self.embed, nn.Linear):
            return self._run_sequence(x, state)
        inputs.tokens(x, self.embed.weight)
        try:
            return self._run(x, state)
        except IndexError:
            raise IndexError(f"x must be tokens from 0 to {self.embed.num_embeddings - 1}") from None

    @inputs.guarded
    def _run_sequence(self, x: Tensor, state: Sequence[Cache] | None) -> Outputs[tuple[Cache, ...]]:
        return self._run(x, state)

    def _run(self, x: Tensor, state: Sequence[Cache] | None) -> Outputs[tuple[Cache, ...]]:
        past = 0 if state is None else state[0].keys.shape[2]
        z = self.dropout(self._placed(self.embed(x), past))
        last = []
        blocks = cast(Iterable[_Block], self.blocks)
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
            if past + steps > len(self.places.weight):
                longest = len(self.places.weight)
                raise ValueError(
                    f"x must end before learnt position {longest}, but goes on to {past + steps}"
                )
            return z + self.places.weight[past : past + steps]
        return z

    @property
    def architecture(self) -> tuple:
        """All that :meth:`run_many` uses of this model but weights: positions, norm, σ, heads, dropout."""
        first = cast(_Block, self.blocks[0])
        own = self.positions, self.norm, isinstance(self.embed, nn.Embedding)
        return type(self), *own, first.activation, first.attention.heads, self.dropout.p

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
            z = looked_up(p["embed.weight"], of_each_model(p, x, 2))
        else:
            p, x = inputs.many_models(self, parameters, x)
            z = affine(p, "embed", of_each_model(p, x))
        if self.positions == "sinusoidal":
            z = z + waves(0, z.shape[2], self.width, z)
        elif self.places is not None:
            z = z + p["places.weight"][:, None, : z.shape[2]]
        for i, block in enumerate(cast(Iterable[_Block], self.blocks)):
            z = block.many(weights_of_part(p, f"blocks.{i}"), z)
        y = affine(p, "readout", normed(self.last_norm, p, "last_norm", z))
        return y.to(parameters["readout.weight"].dtype)
