"""Models of tokens as maps of numbers, which are added to the embedded sequence of one token."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.tools import checks

__all__ = ["Words", "embedding_of"]


class Words:
    """The embedding e of a model, and the token v₀ whose vector stands for the zero input.

    Parameters
    ----------
    embedding : torch.nn.Module
        From tokens ``(batch, time)`` to ``(batch, time, width)``, with a weight ``(tokens, width)``.
    token : int
        v₀.

    Raises
    ------
    TypeError, ValueError
        For an embedding without such a weight, or a token that it does not have.
    """

    def __init__(self, embedding: nn.Module, token: int):
        self.embedding, self.token = embedding, token
        self.count, self.width = _weight(embedding).shape
        if token >= self.count:
            raise ValueError(f"token must be 0 to {self.count - 1}, got {token!r}")

    def directions(self, tokens: np.ndarray) -> Tensor:
        """Return e(v) − e(v₀) of `tokens` v ``(token,)``, in float64 on the CPU, ``(token, width)``."""
        ids = torch.as_tensor(np.append(tokens, self.token), device=_weight(self.embedding).device)
        with torch.no_grad():
            embedded = self.embedding(ids[None])[0].detach().double().cpu()
        return embedded[:-1] - embedded[-1]

    def added(self, x: Tensor, read: Callable[[Tensor], object]) -> object:
        """Return a model's answer to v₀ at every step, with `x` added to the embedded sequence.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, width)``
            What is added.
        read : callable
            The model, from tokens ``(batch, time)`` to its answer.

        Raises
        ------
        ValueError
            For an embedding that is not used once, or answers in another shape.
        """
        calls = 0

        def add(_module, _inputs, embedded) -> Tensor:
            nonlocal calls
            calls += 1
            if getattr(embedded, "shape", None) != x.shape:
                got = tuple(embedded.shape) if isinstance(embedded, Tensor) else type(embedded).__name__
                tokens, wanted = tuple(x.shape[:2]), tuple(x.shape)
                raise ValueError(f"embedding must answer tokens {tokens} with shape {wanted}, got {got}")
            return embedded + x.to(embedded.dtype)

        hook = self.embedding.register_forward_hook(add)
        try:
            answer = read(torch.full(x.shape[:2], self.token, device=x.device))
        finally:
            hook.remove()
        if calls != 1:
            raise ValueError(f"embedding must be used once in a forward pass, but is used {calls} times")
        return answer


def embedding_of(model: nn.Module, embedding: str | nn.Module | None) -> nn.Module | None:
    """Return the embedding of `model` that is meant, or None for a model that reads numbers.

    Parameters
    ----------
    model : torch.nn.Module
        The whole.
    embedding : str or torch.nn.Module, optional
        A part of it, or the name of one; what ``model.get_input_embeddings()`` returns, if the model has
        that, unless given.
    """
    if embedding is None:
        own = getattr(model, "get_input_embeddings", None)
        part = own() if callable(own) else None
        return part if isinstance(part, nn.Embedding) else None
    if isinstance(embedding, str):
        named = dict(model.named_modules())
        embedding = named[checks.one_of("embedding", embedding, [name for name in named if name])]
    if not any(part is embedding for part in model.modules()):
        raise ValueError("embedding must be a part of the model, or the name of one")
    return embedding


def _weight(embedding: nn.Module) -> Tensor:
    weight = getattr(embedding, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise TypeError(f"embedding must have a weight (tokens, width), got {type(embedding).__name__}")
    return weight
