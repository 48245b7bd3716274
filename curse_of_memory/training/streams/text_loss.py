"""The loss per token of a model on a whole text, read in rows through which its state is handed on."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from curse_of_memory.protocols import can_run_chunks
from curse_of_memory.tools import checks, devices
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.carried import CarriedState
from curse_of_memory.training.streams.rows import IGNORED, checked_text, side_by_side

__all__ = ["check_run", "losses_of_rows", "run_chunk", "text_losses", "token_loss"]

Chunks = Callable[[Tensor, Any], tuple[Tensor, Any]]


def check_run(model: nn.Module) -> None:
    """Refuse a `model` that cannot read chunks of a text."""
    if not can_run_chunks(model):
        raise TypeError(f"model must have run(x, state), got {type(model).__name__}")


def run_chunk(model: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Return the answer of a `model` to a chunk `x` that follows on `state`, and the next state."""
    assert can_run_chunks(model)  # as check_run has seen
    return model.run(x, state)


def token_loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy in nats of `targets` ``(rows, time)`` and `logits` ``(rows, time, token)``."""
    if logits.ndim != 3 or logits.shape[:2] != targets.shape:
        raise ValueError(
            f"model must answer tokens {tuple(targets.shape)} with logits (rows, time, token), "
            f"got {tuple(logits.shape)}"
        )
    wide = torch.promote_types(logits.dtype, torch.float32)
    return nn.functional.cross_entropy(
        logits.to(wide).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )


def text_losses(
    model: nn.Module,
    text: Tensor,
    *,
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
    text : Tensor of shape ``(tokens,)``
        Whole numbers. All but the first are predicted.
    rows : int
        Pieces that are read side by side, each from a state at rest: one is the text as it stands.
    chunk : int
        Steps that are read at a time, which changes nothing but time and memory.
    factors : sequence of float
        By which logits are multiplied, such as 0.9: inverse temperatures of the softmax.
    device : str or torch.device
        ``"auto"`` is CUDA where there is one.

    Returns
    -------
    list of float
        As many as there are factors.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, what is no text, or a model that answers otherwise.

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
    text = checked_text("text", text)
    checks.positive_int("chunk", chunk)
    if checks.positive_int("rows", rows) >= len(text):
        raise ValueError(f"rows must be below {len(text)}, the number of tokens, got {rows}")
    several = checks.several("factors", factors, checks.positive)
    place = OneProcess(devices.resolve_device(device))
    modes = {part: part.training for part in model.modules()}
    model.to(place.device).eval()
    try:
        with devices.full_precision():
            pieces = side_by_side(text, rows)
            return losses_of_rows(functools.partial(run_chunk, model), pieces, chunk, place, several)
    finally:
        for part, mode in modes.items():
            part.training = mode


@torch.no_grad()
def losses_of_rows(
    run: Chunks, rows: Sequence[Tensor], chunk: int, place: OneProcess, factors: Sequence[float] = (1.0,)
) -> list[float]:
    """Return the losses per token on rows of a text, for each factor of the logits.

    Parameters
    ----------
    run : callable
        Returns logits and the next state for tokens and a state.
    rows : pair of tensors
        Tokens and the next ones, ``(rows, time)``, this process's share of them.
    chunk : int
        Steps that are read at a time.
    place : OneProcess
        Where they are evaluated.
    factors : sequence of float
        By which logits are multiplied.
    """
    inputs, targets = rows
    carried, sums = CarriedState(), [0.0] * len(factors)
    for start in range(0, inputs.shape[1], chunk):
        x, y = (part[:, start : start + chunk].to(place.device) for part in (inputs, targets))
        logits, last = run(x, carried.state(lambda: None))
        carried.hand_on(last)
        for k, factor in enumerate(factors):
            scaled = logits if factor == 1 else factor * logits
            sums[k] += token_loss(scaled, y, "sum").item()
    counted = place.mean(_number((targets != IGNORED).sum().item()))
    return [place.mean(_number(total)) / counted for total in sums]


def _number(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)
