"""SequenceMap: any torch module as a map from sequences ``(batch, time, channel)`` to sequences."""

import contextlib
import inspect
import itertools
import numbers
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.measure.guards import EARLY, ROWS, check_map
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.refusals import failure, positions, refuse_time_first
from curse_of_memory.measure.tokens import Words, embedding_of
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import stream

__all__ = ["SequenceMap", "unwrapped"]

STEPS, BYTES = 2**15, 2**25  # of sequences that a model is tried on, and of its answers
LONG, BEGINNING = 2**12, 2**11  # steps of a sequence that takes long to be tried whole, and of what is tried
INPUT_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


class SequenceMap:
    """A torch module as a map from sequences to sequences: which inputs it reads, which output counts.

    Every measurement takes one in place of a module; a module alone is ``SequenceMap(module)``. The module is
    not changed. Of modules that torch has wrapped (``torch.compile``, ``DataParallel``) the one inside is
    meant, which computes the same.

    Parameters
    ----------
    model : torch.nn.Module
        Reads numbers ``(batch, time, channel)``, or tokens ``(batch, time)``. It may be scripted or
        traced, without weights or with several precisions of them, complex, or work in place: inputs are
        copies, its own for every call. (Dynamic quantisation looks at a whole batch, and is refused.)
    output : callable, optional
        Chooses the tensor in what the model answers. Unless given, that is the answer itself, or its
        ``last_hidden_state`` or ``logits`` (models of transformers), or the first member of a tuple.
    embedding : str or torch.nn.Module, optional
        The embedding of a model of tokens, or its name in the model; what ``get_input_embeddings()`` returns,
        if the model has that, unless given. Numbers then are added to what it makes of the token `token`,
        again and again.
    input_size : int, optional
        Channels of the input; the model's attribute ``input_size`` unless given, else 1. For tokens, the
        width of the embedding.
    token : int
        The token that inputs are added to.
    causal : bool
        Refuse a model whose answer comes before the input. With False it is taken as it is.
    tried : bool
        Measurements first try a map on a few sequences, see :meth:`check`. With True it is taken at its word:
        it, or another of the same architecture, has been tried before.

    Raises
    ------
    TypeError, ValueError
        For what is no module, reads time first by its own word, or has no such embedding or token.

    Examples
    --------
    >>> gru = SequenceMap(nn.GRU(3, 8, batch_first=True))  # answers (sequence, state)
    >>> gru(torch.zeros(2, 20, 3)).shape
    torch.Size([2, 20, 8])
    >>> gru.check(torch.randn(4, 20, 3))
    True
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        output: Callable | None = None,
        embedding: str | nn.Module | None = None,
        input_size: int | None = None,
        token: int = 0,
        causal: bool = True,
        tried: bool = False,
    ):
        if not isinstance(model, nn.Module):
            raise TypeError(f"model must be a torch.nn.Module or a SequenceMap, got {type(model).__name__}")
        if output is not None and not callable(output):
            raise TypeError(f"output must be a function of the model's answer, got {type(output).__name__}")
        model = unwrapped(model)
        refuse_time_first(model)
        self.model, self.output, self.causal = model, output, causal
        self.tried = checks.flag("tried", tried)
        part = embedding_of(model, embedding)
        token = checks.whole_number("token", token, least=0)
        self.words = None if part is None else Words(part, token)
        own = getattr(model, "input_size", 1) if input_size is None else input_size
        self.input_size = checks.positive_int("input_size", own if self.words is None else self.words.width)

    @classmethod
    def of(cls, model: "nn.Module | SequenceMap", **options) -> "SequenceMap":
        """Return `model` if it is a map already, and ``SequenceMap(model, **options)`` otherwise.

        Options other than their defaults beside a map are refused: it has its own.
        """
        if not isinstance(model, SequenceMap):
            return cls(model, **options)
        defaults = inspect.signature(cls).parameters
        twice = [name for name, value in options.items() if value is not defaults[name].default]
        if twice:
            raise ValueError(f"{twice[0]} must be given to the SequenceMap, not beside it")
        return model

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the numbers that the model reads: of its first real or complex weight.

        That of the real part of a complex one; of buffers, where there are no weights, as in a quantised
        model; and else torch's own.
        """
        return next(iter(self._dtypes()), torch.get_default_dtype())

    @property
    def eps(self) -> float:
        """The relative rounding error of :attr:`dtype`."""
        return torch.finfo(self.dtype).eps

    @property
    def kernel(self) -> Callable[[int], Tensor] | None:
        """The model's own memory as a function of the horizon, if it is linear and gives one; else None."""
        own: Callable[[int], Tensor] | None = getattr(self.model, "kernel", None)
        return own if self.is_linear and callable(own) else None

    @property
    def is_linear(self) -> bool:
        """Whether the model says so (by an attribute ``is_linear``), and its own answer is the one meant."""
        return getattr(self.model, "is_linear", None) is True and self.output is None

    def dt(self, given: float | None) -> float:
        """Return the time step `given`, or the model's attribute ``dt`` if that is a number, or 1."""
        own = getattr(self.model, "dt", 1.0)
        if given is None and (isinstance(own, bool) or not isinstance(own, numbers.Real)):
            shape = f"{type(own).__name__} of shape {tuple(own.shape)}" if isinstance(own, Tensor) else own
            raise TypeError(f"dt must be given: the model's own dt is no number, but {shape}")
        return checks.positive("dt", own if given is None else given)

    def __call__(self, x: Tensor) -> Tensor:
        """Return the answer ``(batch, time, output)`` to `x`.

        Parameters
        ----------
        x : torch.Tensor
            Numbers ``(batch, time, input_size)``, added to the baseline of a model of tokens; or tokens.
        """
        y = self.answer(x)
        self._demand_sequences(x, y)
        return y

    def answer(self, x: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the tensor in the model's answer to `x`, of any shape, with other `parameters` if given."""

        def run(*inputs):
            with _weights(self.model, parameters) as model:
                return model(*inputs)

        if self.words is None or _is_whole(x):
            y = sequence_of(self._read(x, run), self.output)
        else:
            y = sequence_of(self.words.added(x, lambda tokens: self._read(tokens, run)), self.output)
        if _is_whole(y):
            raise TypeError(f"model answers with {y.dtype}, where real or complex numbers are needed")
        return y

    def check(self, x: Tensor, y: Tensor | None = None) -> bool:
        """Return whether the model is causal; refuse one that is random, keeps state or mixes sequences.

        A few sequences are tried, with changes that must not show; see
        :func:`curse_of_memory.measure.guards.check_map` for which, and what counts as a change. The model is
        held in evaluation mode where it is, and left as it was; torch's random numbers are not touched.

        Parameters
        ----------
        x : torch.Tensor
            A few inputs as the model reads them, on its device: numbers ``(batch, time, channel)`` or tokens
            ``(batch, time)``, best of four sequences or more that differ. The first 16 are
            tried, fewer if their answers are large; of sequences of over 4096 steps the first 2048 steps.
        y : torch.Tensor, optional
            What the model should answer them with. Where that is no sequence of the same length, such as one
            class for each, neither has the model's answer to be, and nothing is asked of causality.

        Returns
        -------
        bool
            Whether the model is causal (True, too, where its answer is no sequence, or it was `tried`).

        Raises
        ------
        ValueError
            For a model that answers in another shape, is random in evaluation mode, keeps state from one
            call to the next, mixes the sequences of a batch, or (unless ``causal=False``) is not causal.
        """
        if self.tried:
            return True
        x = x[:ROWS].detach()
        sequences = y is None or (y.ndim > 1 and y.shape[1] == x.shape[1] and (y.ndim > 2 or _is_whole(y)))
        with probing(self.model, None):
            first = self.answer(x[:3])
            if sequences:
                self._demand_sequences(x[:3], first)
            elif first.ndim == 0 or len(first) != min(3, len(x)):
                raise ValueError(
                    f"model must answer every sequence of a batch, but answers {tuple(x[:3].shape)} with "
                    f"shape {tuple(first.shape)}"
                )
            read = x.dtype if x.is_floating_point() else self.dtype
            eps = max(torch.finfo(dtype).eps for dtype in (read, first.dtype))
            if sequences and x.shape[1] > LONG:
                x, first = x[:, :BEGINNING], first[:, :BEGINNING]
            rows = min(BYTES // (8 * max(1, first[0].numel())), STEPS // x.shape[1])
            x = x[: max(4, rows)]
            causal = check_map(self.answer, x, eps=eps, sequences=sequences)
        if self.causal and not causal:
            raise ValueError(EARLY)
        return causal

    def trial(self, count: int, length: int, sizes: np.ndarray, seed: int) -> Tensor:
        """Return `count` random inputs ``(count, length, input_size)``, real-valued, in float64 on the CPU.

        Their sizes run through `sizes`; for a model of tokens they are multiples of differences of two.
        """
        random = stream("sequences that a map is tried on", seed)
        scale = np.resize(sizes, count)[:, None, None]
        if self.words is None:
            return torch.from_numpy(scale * random.standard_normal((count, length, self.input_size)))
        tokens = random.integers(0, self.words.count, count * length)
        directions = self.words.directions(tokens).reshape(count, length, self.input_size)
        return directions * torch.from_numpy(scale * random.standard_normal((count, length, 1)))

    def _demand_sequences(self, x: Tensor, y: Tensor) -> None:
        if y.ndim != 3 or y.shape[:2] != x.shape[:2]:
            raise ValueError(
                f"model must map (batch, time, channel) to (batch, time, channel), but answers "
                f"{tuple(x.shape)} with shape {tuple(y.shape)}"
            )

    def _dtypes(self) -> Iterator[torch.dtype]:
        """Yield the real precisions of weights, then of buffers, that inputs can have."""
        for t in itertools.chain(self.model.parameters(), self.model.buffers()):
            real = t.dtype.to_real() if t.is_complex() else t.dtype
            if real in INPUT_DTYPES:
                yield real

    def _other_dtypes(self, x: Tensor) -> Iterator[torch.dtype]:
        """Yield the other dtypes in which the model may read `x`."""
        if x.is_floating_point():
            yield from (dtype for dtype in dict.fromkeys(self._dtypes()) if dtype is not x.dtype)
            if any(p.is_complex() for p in self.model.parameters()):
                yield x.dtype.to_complex()

    def _read(self, x: Tensor, run: Callable):
        words = None if self.words is None else self.words.embedding
        if limit := positions(self.model, words, x.shape[1]):
            raise ValueError(limit)
        first: Exception | None = None
        for dtype in itertools.chain([x.dtype], self._other_dtypes(x)):
            try:
                return run(x.to(dtype, copy=True, memory_format=torch.contiguous_format))
            except torch.OutOfMemoryError:
                raise
            except Exception as error:  # of any kind: it is a stranger's
                first = first or error
        assert first is not None  # of the dtypes tried there is one at least
        raise failure(self, x, first) from first


@contextlib.contextmanager
def _weights(model: nn.Module, parameters: Mapping[str, Tensor] | None) -> Iterator[Callable]:
    """Yield a function that calls `model` with other weights; scripted modules get them for a while."""
    if parameters is None:
        yield model
    elif not isinstance(model, torch.jit.ScriptModule):
        yield lambda *x: torch.func.functional_call(model, dict(parameters), x)
    else:
        own = {name: (p, p.data) for name, p in model.named_parameters()}
        try:
            for name, w in parameters.items():
                own[name][0].data = w
            yield model
        finally:
            for p, data in own.values():
                p.data = data


def _is_whole(y: Tensor) -> bool:
    return not (y.is_floating_point() or y.is_complex())


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the module inside ``torch.compile`` and ``DataParallel``, or the `model` itself."""
    while True:
        inner = getattr(model, "_orig_mod", None)  # torch.compile
        if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner = model.module
        if not isinstance(inner, nn.Module):
            return model
        model = inner
