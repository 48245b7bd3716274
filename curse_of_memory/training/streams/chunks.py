"""What a model answers to a chunk of a stream: logits, the next state, and what its memories cost."""

from typing import Any, NamedTuple

from torch import Tensor, nn

from curse_of_memory.nn.building.inputs import NotFiniteError
from curse_of_memory.protocols import can_run_chunks, remembers
from curse_of_memory.training.charges import not_a_number

__all__ = ["ChunkAnswer", "Chunks", "answer_chunk", "check_run"]


class ChunkAnswer(NamedTuple):
    """The answer of a model to a chunk.

    Attributes
    ----------
    y : Tensor of shape ``(rows, time, token)``
        Logits.
    last : state
        What the next chunk goes on from.
    price : Tensor of shape ``()``, or None
        What memory costs, of a model that remembers.
    live : Tensor of shape ``(layers, rows, time)``, or None
        How many memories each step sees.
    spans : tuple of Tensor of shape ``(rows, time)``, or None
        For each layer, for how long each step is kept; none where its law has no spans.
    lost : bool
        Whether there is no answer, because numbers have become NaN or infinite in between: logits and price
        are NaN then, single numbers that depend on all weights.
    """

    y: Tensor
    last: Any
    price: Tensor | None = None
    live: Tensor | None = None
    spans: tuple[Tensor | None, ...] = ()
    lost: bool = False


class Chunks(nn.Module):
    """A model as processes call it: its answer to a chunk that follows on a state."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, state: Any) -> ChunkAnswer:
        """Return the answer of the model to a chunk `x` that follows on `state`, or that it is lost."""
        try:
            return answer_chunk(self.model, x, state)
        except NotFiniteError:
            # in this form, so that other processes do not wait for the gradients of this one
            nan = not_a_number(self.parameters())
            return ChunkAnswer(nan, state, nan if remembers(self.model) else None, lost=True)


def check_run(model: nn.Module) -> None:
    """Refuse a `model` that cannot read chunks of a text."""
    if not (can_run_chunks(model) or remembers(model)):
        raise TypeError(f"model must have run(x, state), got {type(model).__name__}")


def answer_chunk(model: nn.Module, x: Tensor, state: Any) -> ChunkAnswer:
    """Return the answer of a `model` to a chunk `x` that follows on `state`."""
    if not remembers(model):
        assert can_run_chunks(model)  # as check_run has seen
        answer = model.run(x, state)
        if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], Tensor)):
            what = type(answer).__name__
            raise TypeError(f"run(x, state) of model must return logits and a state, got {what}")
        return ChunkAnswer(*answer)
    known = model.remember(x, state)
    live, spans = known.live.detach(), known.spans
    several = (spans,) if spans is None or isinstance(spans, Tensor) else spans
    return ChunkAnswer(
        known.y,
        known.last,
        known.price,
        live if live.ndim == 3 else live[None],
        tuple(None if one is None else one.detach() for one in several),
    )
