"""One block of a transformer: attention and a feed-forward part, each with norm and residual connection."""

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from curse_of_memory.nn.attention.causal_attention import Cache, CausalSelfAttention
from curse_of_memory.nn.attention.remembered import Remembered
from curse_of_memory.nn.attention.remembering import Reading, remember
from curse_of_memory.nn.building.activations import ACTIVATIONS
from curse_of_memory.nn.building.many_models import affine, normed, weights_of_part
from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.store import KeptKeys, KeptStates
from curse_of_memory.protocols import Outputs

__all__ = ["Block"]


class Block(nn.Module):
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

    def remember(
        self, x: Tensor, state: KeptStates | KeptKeys | None, reading: Reading
    ) -> tuple[Tensor, Remembered]:
        """Return the output of the block, and what its attention remembers of its input."""
        first, second = self.norms
        if self.norm == "pre":
            known = remember(self.attention, x, state, reading._replace(norm=first))
            x = x + self.dropout(known.y)
            return x + self._feedforward(second(x)), known
        known = remember(self.attention, x, state, reading)
        x = first(x + self.dropout(known.y))
        return second(x + self._feedforward(x)), known

    def run(self, x: Tensor, state: Cache | None) -> Outputs[Cache]:
        """Return the output of the block to a chunk of time, without a law of forgetting."""
        first, second = self.norms
        if self.norm == "pre":
            a, last = cast(Outputs[Cache], self.attention.run(first(x), state))
            x = x + self.dropout(a)
            return Outputs(x + self._feedforward(second(x)), last)
        a, last = cast(Outputs[Cache], self.attention.run(x, state))
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
