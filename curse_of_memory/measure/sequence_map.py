"""Any module as one thing: a map from sequences ``(batch, time, channel)`` to sequences."""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from curse_of_memory import checks
from curse_of_memory.measure.probing import first_float

__all__ = ["SequenceMap", "sequence_of"]

STEPS_AT_ONCE = 2**15  # of all sequences of one forward pass together, unless `chunk` says how many
SEQUENCES = ("last_hidden_state", "logits")  # what outputs of `transformers` models call theirs


def sequence_of(answer: object, choose: Callable | None = None) -> Tensor:
    """Return the sequence in what a model answers.

    That is ``choose(answer)``; or the answer, if it is a tensor; or its ``last_hidden_state``, else its
    ``logits``, as attribute or key; or its first member, if it is a tuple or list.
    """
    found = answer if choose is None else choose(answer)
    if choose is None and not isinstance(answer, Tensor):
        for name in SEQUENCES:
            value = answer.get(name) if isinstance(answer, dict) else getattr(answer, name, None)
            if isinstance(value, Tensor):
                return value
        if isinstance(answer, tuple | list) and answer:
            found = answer[0]
    if not isinstance(found, Tensor):
        whose = f"model answers with {type(answer).__name__}" if choose is None else "output() returns "
        whose += "" if choose is None else type(found).__name__
        raise TypeError(f"{whose}, not with a tensor: choose the sequence in it by output=lambda answer: ...")
    return found


class SequenceMap:
    """The map that a module is, for inputs that are added to a baseline.

    The baseline is the zero input, or for a model of tokens one token again and again: inputs then are
    added to its embedding. Used inside :func:`probing`.

    Parameters
    ----------
    model : torch.nn.Module
        Reads ``(batch, time, channel)``, or tokens ``(batch, time)``.
    channels : int or None
        Of the input; the model's ``input_size`` unless given, else 1. Tokens: width of the embedding.
    output : callable or None
        Picks the sequence out of the model's answer; see :func:`sequence_of`.
    embedding : str, torch.nn.Module or None
        The embedding of a model of tokens, or its name; what ``get_input_embeddings()`` returns, if the
        model has that, unless given.
    token : int
        The token of the baseline.
    dtype : torch.dtype or None
        That :func:`probing` holds the model in.
    chunk : int or None
        Sequences per forward pass.
    progress : bool
        Show a bar over passes.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        channels: int | None = None,
        output: Callable | None = None,
        embedding: str | nn.Module | None = None,
        token: int = 0,
        dtype: torch.dtype | None = None,
        chunk: int | None = None,
        progress: bool = False,
    ):
        _refuse_time_first(model)
        self.model, self.output, self.progress, self._dtype = model, output, progress, dtype
        self.chunk = None if chunk is None else checks.positive_int("chunk", chunk)
        self.embedding = _embedding(model, embedding)
        if self.embedding is not None:
            self.vocabulary, channels = self.embedding.weight.shape
            if isinstance(token, bool) or not 0 <= token < self.vocabulary:
                raise ValueError(f"token must be 0 to {self.vocabulary - 1}, got {token!r}")
        elif channels is None:
            channels = getattr(model, "input_size", 1)
        self.token = token
        self.channels = checks.positive_int("input_size", channels)

    @property
    def dtype(self) -> torch.dtype:
        """The precision that the model computes in."""
        known = first_float(self.model) if self._dtype is None else None
        return self._dtype or (torch.get_default_dtype() if known is None else known.dtype)

    @property
    def eps(self) -> float:
        """The relative rounding of that precision."""
        return torch.finfo(self.dtype).eps

    def directions(self, tokens: np.ndarray) -> Tensor:
        """Return what the embedding makes of `tokens` less what of the baseline's, in float64 on the CPU."""
        ids = torch.as_tensor(np.append(tokens, self.token), device=self.embedding.weight.device)
        embedded = self.embedding(ids[None])[0].detach().double().cpu()
        return embedded[:-1] - embedded[-1]

    def __call__(self, x: Tensor) -> Tensor:
        """Return the answer ``(batch, time, output)`` to inputs `x` added to the baseline."""
        answer = self._continuous(x) if self.embedding is None else self._embedded(x)
        y = sequence_of(answer, self.output)
        if y.ndim != 3 or y.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"model must map (batch, time, channel) to (batch, time, channel), but answers "
                f"{tuple(x.shape)} with shape {tuple(y.shape)}"
            )
        return y

    def passes(self, count: int, length: int, label: str) -> Iterator[slice]:
        """Yield which of `count` sequences of `length` steps go into each forward pass."""
        rows = self.chunk or max(1, STEPS_AT_ONCE // length)
        for start in tqdm(range(0, count, rows), desc=label, leave=False, disable=not self.progress):
            yield slice(start, start + rows)

    def _continuous(self, x: Tensor):
        try:
            return self.model(x)
        except (RuntimeError, TypeError, IndexError) as error:
            names = [n for n, part in self.model.named_modules() if isinstance(part, nn.Embedding)]
            if not names:
                raise
            raise TypeError(
                f"model does not read sequences of {self.channels} channel(s); if it reads tokens, name "
                f"its embedding: embedding={names[0]!r}"
            ) from error

    def _embedded(self, x: Tensor):
        calls = 0

        def add(_module, _inputs, embedded: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            if embedded.shape != x.shape:
                raise ValueError(
                    f"embedding must answer tokens {tuple(x.shape[:2])} with shape {tuple(x.shape)}, "
                    f"got {tuple(embedded.shape)}"
                )
            return embedded + x

        hook = self.embedding.register_forward_hook(add)
        try:
            answer = self.model(torch.full(x.shape[:2], self.token, device=x.device))
        finally:
            hook.remove()
        if calls != 1:
            raise ValueError(f"embedding must be used once in a forward pass, but is used {calls} times")
        return answer


def _embedding(model: nn.Module, embedding: str | nn.Module | None) -> nn.Module | None:
    """Return the embedding meant, or None for a model that reads numbers."""
    if embedding is None:
        found = model.get_input_embeddings() if hasattr(model, "get_input_embeddings") else None
        return found if isinstance(found, nn.Embedding) else None
    if isinstance(embedding, str):
        parts = dict(model.named_modules())
        embedding = parts[checks.one_of("embedding", embedding, [name for name in parts if name])]
    if not any(part is embedding for part in model.modules()):
        raise ValueError("embedding must be a part of the model, or the name of one")
    weight = getattr(embedding, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim != 2:
        raise TypeError(f"embedding must have a weight (tokens, width), got {type(embedding).__name__}")
    return embedding


def _refuse_time_first(model: nn.Module) -> None:
    first = model.layers[0].self_attn if isinstance(model, nn.TransformerEncoder) else model
    first = first.self_attn if isinstance(first, nn.TransformerEncoderLayer) else first
    if getattr(first, "batch_first", True) is False:
        name = type(model).__name__
        raise ValueError(f"model reads (time, batch, channel): build {name} with batch_first=True")
