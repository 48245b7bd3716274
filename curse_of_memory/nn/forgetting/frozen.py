"""Laws of forgetting whose spans and gates are held at those of a reference input, whatever is read.

What a law notes of a memory (a span, a gate) is read off its state. So another input changes two things: what
is remembered, and for how long. With the notes of a reference held, the second stays as it is.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.store import PADDING

__all__ = ["frozen_at"]


@contextlib.contextmanager
def frozen_at(model: nn.Module, reference: Tensor) -> Iterator[None]:
    """Inside this context, all laws of a `model` note of each step what they do at `reference`.

    Parameters
    ----------
    model : torch.nn.Module
        With attentions that have laws of forgetting among its parts, such as a transformer.
    reference : Tensor
        What the model reads, of one sequence: ``(1, time, channel)``, or tokens ``(1, time)``. Inside the
        context sequences may have so many steps at most.

    Raises
    ------
    TypeError
        If no part of the model is a law of forgetting.
    ValueError
        If the reference is not one sequence of at least one step, or one that is read inside is longer.

    Notes
    -----
    With spans of the reference, attention is linear in what is written at old steps if scores are equal; else
    scores still react. Spans that are no notes of memories, as of :class:`.AdaptiveSpan`, never react.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> from curse_of_memory.nn.forgetting import ExpireSpan
    >>> attention = CausalSelfAttention(4, forgetting=ExpireSpan(10, 2), sees_itself=False)
    >>> _ = nn.init.ones_(attention.forgetting.predictor.weight)
    >>> rest, x = torch.zeros(1, 6, 4), torch.ones(1, 6, 4)
    >>> free, spans = attention.remember(x).spans, attention.remember(rest).spans
    >>> with frozen_at(attention, rest):
    ...     held = attention.remember(x).spans
    >>> torch.equal(held, spans), torch.equal(free, spans)
    (True, False)
    """
    laws = [part for part in model.modules() if isinstance(part, Law)] if isinstance(model, nn.Module) else []
    if not laws:
        raise TypeError(f"model must have a law of forgetting, but {type(model).__name__} has none")
    if (
        not isinstance(reference, Tensor)
        or reference.ndim < 2
        or len(reference) != 1
        or not reference.numel()
    ):
        raise ValueError("reference must be one sequence of at least one step, (1, time, channel)")
    tables = [_Table(law) for law in laws]
    try:
        for law, table in zip(laws, tables, strict=True):
            law.notes = table.write
        with torch.no_grad():
            model(reference)
        for law, table in zip(laws, tables, strict=True):
            law.notes = table.read
        yield
    finally:
        for law in laws:
            vars(law).pop("notes", None)  # that of its class comes back


class _Table:
    """What a law notes of each step of the reference."""

    def __init__(self, law: Law):
        self.of_class = law.notes
        self.first = 0
        self.rows: Tensor | None = None

    def write(self, states: Tensor, steps: Tensor) -> Tensor:
        notes = self.of_class(states, steps)
        if notes.shape[1]:
            if self.rows is None:
                self.first, self.rows = int(steps[0, 0]), notes[0]
            else:
                self.rows = torch.cat([self.rows, notes[0]])
        return notes

    def read(self, states: Tensor, steps: Tensor) -> Tensor:
        if self.rows is None:  # a part that the model does not use
            return self.of_class(states, steps)
        row = (steps - self.first).masked_fill(steps > -PADDING // 2, 0)  # what is no memory
        if row.numel() and int(row.max()) >= len(self.rows):
            raise ValueError(
                f"x must end before step {len(self.rows) + self.first}, where the reference ends, "
                f"but goes on to {int(row.max()) + self.first}"
            )
        return self.rows[row].to(states.dtype)
