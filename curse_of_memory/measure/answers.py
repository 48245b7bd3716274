"""The sequence in what a model answers with, which may be a tuple or an output of transformers."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

__all__ = ["in_double", "sequence_of"]

SEQUENCES = ("last_hidden_state", "logits")  # what outputs of `transformers` models call theirs


def sequence_of(answer: object, choose: Callable | None = None) -> Tensor:
    """Return the tensor in a model's `answer` that is the sequence.

    That is ``choose(answer)``; or the answer, if it is a tensor; or its ``last_hidden_state``, else its
    ``logits``, as attribute or key; or its first member, if it is a tuple or list.
    """
    chosen = answer if choose is None else choose(answer)
    if choose is None and not isinstance(answer, Tensor):
        for name in SEQUENCES:
            value = answer.get(name) if isinstance(answer, Mapping) else getattr(answer, name, None)
            if isinstance(value, Tensor):
                return value
        if isinstance(answer, tuple | list) and answer:
            chosen = answer[0]
    if not isinstance(chosen, Tensor):
        whose = f"model answers with {type(answer).__name__}" if choose is None else "output() returns "
        whose += "" if choose is None else type(chosen).__name__
        raise TypeError(f"{whose}, not with a tensor: choose the sequence in it by output=lambda answer: ...")
    return chosen


def in_double(y: Tensor) -> Tensor:
    """Return `y` in float64, or complex128 if it is complex."""
    return y.to(torch.complex128 if y.is_complex() else torch.float64)
