"""What a trained model says of a whole text or stream: its loss, its accuracy, and what it remembers."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from curse_of_memory.tools import checks, devices
from curse_of_memory.training.metrics import metric_of
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.chunks import answer_chunk, check_run
from curse_of_memory.training.streams.rows import side_by_side
from curse_of_memory.training.streams.stream import Stream, checked_stream
from curse_of_memory.training.streams.text_loss import check_targets, evaluated_rows, token_loss

__all__ = ["StreamEvaluation", "evaluate_stream", "text_losses"]


@dataclass(frozen=True)
class StreamEvaluation:
    """What a model says of a whole stream, in evaluation mode.

    Attributes
    ----------
    loss : float
        Cross-entropy per step that is asked, in nats.
    accuracy : float
        Share of these steps at which the right answer is the most probable.
    live : tuple of float
        The mean number of memories that a step sees, of each layer; empty if the model does not say.
    spans : tuple of float or None
        The mean number of steps for which a memory is kept, of each layer; None of a layer without spans.
    """

    loss: float
    accuracy: float
    live: tuple[float, ...]
    spans: tuple[float | None, ...]


def evaluate_stream(
    model: nn.Module,
    text: Tensor,
    *,
    labels: Tensor | None = None,
    rows: int = 1,
    chunk: int = 128,
    device: torch.device | str = "auto",
) -> StreamEvaluation:
    """Return the loss and accuracy of `model` on a whole stream, and what it remembers on the way.

    Parameters
    ----------
    model : torch.nn.Module
        As for :func:`curse_of_memory.training.fit_stream`. It is moved to `device`, and evaluated as if in
        evaluation mode.
    text : Tensor of shape ``(tokens,)``, or with labels also ``(steps, channel)``
        Whole numbers, or real vectors.
    labels : Tensor of shape ``(steps,)``, optional
        The answer to each step, −100 where nothing is asked; the next token unless given.
    rows : int
        Pieces that are read side by side, each from a state at rest: one is the text as it stands.
    chunk : int
        Steps that are read at a time, which changes nothing but time and memory.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.

    Returns
    -------
    StreamEvaluation

    Raises
    ------
    ValueError, TypeError
        For bad numbers, what is no stream, an answer of which the model has no logit, or a model that answers
        otherwise.

    Examples
    --------
    >>> from curse_of_memory.nn import CausalTransformer
    >>> from curse_of_memory.nn.forgetting import Window
    >>> model = CausalTransformer(8, 2, vocabulary=3, forgetting=Window(4), seed=0)
    >>> evaluate_stream(model, torch.arange(101) % 3, chunk=10, device="cpu").live
    (3.94, 3.94)
    """
    check_run(model)
    stream = checked_stream("text", text, labels, _dtype_of(model))
    _check_sizes(stream, rows, chunk)
    place = OneProcess(devices.resolve_device(device))
    accuracy = metric_of("accuracy", token_loss)
    with _in_evaluation(model, place.device):
        check_targets(model, place.device, text=stream)
        read = functools.partial(answer_chunk, model)
        pieces = side_by_side(stream, rows)
        (loss,), means, right = evaluated_rows(read, pieces, chunk, place, metric=accuracy)
    return StreamEvaluation(loss, right, means.live(place), means.spans(place))


def text_losses(
    model: nn.Module,
    text: Tensor,
    *,
    labels: Tensor | None = None,
    rows: int = 1,
    chunk: int = 128,
    factors: Sequence[float] = (1.0,),
    device: torch.device | str = "auto",
) -> list[float]:
    """Return the loss per token of `model` on a whole text, in nats, for each factor of its logits.

    Parameters
    ----------
    model : torch.nn.Module
        Has ``run(x, state)``, which returns logits ``(rows, time, token)`` and the next state. It is moved to
        `device`, and evaluated as if in evaluation mode.
    text : Tensor of shape ``(tokens,)``, or with labels also ``(steps, channel)``
        Whole numbers, of which all but the first are predicted; or real vectors.
    labels : Tensor of shape ``(steps,)``, optional
        What is asked in place of the next token, −100 where nothing is; the loss is one per step asked.
    rows : int
        Pieces that are read side by side, each from a state at rest: one is the text as it stands.
    chunk : int
        Steps that are read at a time, which changes nothing but time and memory.
    factors : sequence of float
        By which logits are multiplied, such as 0.9: inverse temperatures of the softmax, no two alike.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.

    Returns
    -------
    list of float
        As many as there are factors.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, what is no text, a token of which the model has no logit, or a model that answers
        otherwise.

    Examples
    --------
    >>> import math
    >>> from curse_of_memory.protocols import Outputs
    >>> class Even(nn.Module):  # all of three tokens are as likely
    ...     def run(self, x, state=None):
    ...         return Outputs(torch.zeros(*x.shape, 3), torch.zeros(len(x), 1))
    >>> losses = text_losses(Even(), torch.tensor([0, 2, 1, 1]), device="cpu")
    >>> math.isclose(losses[0], math.log(3), rel_tol=1e-6)
    True
    """
    check_run(model)
    stream = checked_stream("text", text, labels, _dtype_of(model))
    _check_sizes(stream, rows, chunk)
    several = checks.several("factors", factors, checks.positive)
    place = OneProcess(devices.resolve_device(device))
    with _in_evaluation(model, place.device):
        check_targets(model, place.device, text=stream)
        read = functools.partial(answer_chunk, model)
        return evaluated_rows(read, side_by_side(stream, rows), chunk, place, several)[0]


def _dtype_of(model: nn.Module) -> torch.dtype:
    """Return the dtype of the real numbers that a `model` reads."""
    weights = (p.dtype.to_real() for p in model.parameters() if p.is_floating_point() or p.is_complex())
    return next(weights, torch.get_default_dtype())


def _check_sizes(stream: Stream, rows: int, chunk: int) -> None:
    checks.positive_int("chunk", chunk)
    if checks.positive_int("rows", rows) > len(stream):
        most = f"below {len(stream) + 1}, the number of tokens"
        most = f"at most {len(stream)}, the number of steps" if stream.labelled else most
        raise ValueError(f"rows must be {most}, got {rows}")


@contextlib.contextmanager
def _in_evaluation(model: nn.Module, device: torch.device) -> Iterator[None]:
    """Have a `model` on the device, in evaluation mode and in full precision, inside this context."""
    modes = {part: part.training for part in model.modules()}
    model.to(device).eval()
    try:
        with devices.full_precision():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode
