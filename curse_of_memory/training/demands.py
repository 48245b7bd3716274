"""Checks of what training is given: a model, its answers, the value of a loss, and watched numbers."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from curse_of_memory.measure.answers import sequence_of
from curse_of_memory.measure.guards import check_map
from curse_of_memory.measure.refusals import in_one_line
from curse_of_memory.training.untouched import untouched

__all__ = ["check_answers", "numbers_by_name", "real_number", "trained_dtype"]


def trained_dtype(model: nn.Module) -> torch.dtype:
    """Return the real dtype of the weights of `model`; refuse a model that cannot be trained."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    weights = list(model.parameters())
    if not weights:
        raise ValueError(f"model has no weights to train: {type(model).__name__}")
    if any(nn.parameter.is_lazy(p) for p in weights):
        raise ValueError("model has weights without a shape: call it once before it is trained")
    if not any(p.requires_grad for p in weights):
        raise ValueError(f"model has no weights to train: all {len(weights)} tensors are frozen")
    for p in weights:
        if p.is_floating_point() or p.is_complex():
            return p.dtype.to_real()
    raise TypeError("model has whole numbers for weights, which cannot be trained")


def check_answers(
    model: nn.Module,
    x: Tensor,
    output: Callable | None,
    device: torch.device,
    *,
    ask: Callable[[Tensor], Any] | None = None,
) -> None:
    """Refuse a `model` that in evaluation is random, keeps state or mixes sequences: it is tried on `x`.

    It is called, unless there is another way to `ask` it.
    """

    def answer(x: Tensor) -> Tensor:
        try:
            whole = (ask or model)(x.clone())
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # of any kind: it is a stranger's
            refusal = TypeError if isinstance(error, TypeError) else ValueError
            dtype = str(x.dtype).removeprefix("torch.")
            raise refusal(
                f"model does not answer inputs of the task, shape {tuple(x.shape)}, {dtype}: "
                f"{in_one_line(error)}"
            ) from error
        y = sequence_of(whole, output)
        if y.ndim == 0 or len(y) != len(x):
            raise ValueError(
                f"model must answer {len(x)} sequences with as many answers, got {tuple(y.shape)}"
            )
        return y

    if x.ndim < 2:
        return
    dtype = trained_dtype(model)
    eps = torch.finfo(dtype).eps
    if x.is_floating_point():  # a Fabric may have shortened the weights, and does so with inputs
        x = x.to(dtype)
    with untouched(model, device), torch.no_grad():
        model.eval()
        check_map(answer, x, eps=eps, sequences=False)


def real_number(error: Tensor, name: str = "loss") -> Tensor:
    """Return the value of a loss, or of what else is called `name`, as a scalar, if it is one real number."""
    if not isinstance(error, Tensor) or error.numel() != 1:
        what = f"shape {tuple(error.shape)}" if isinstance(error, Tensor) else type(error).__name__
        raise TypeError(f"{name} must return one number as a tensor, got {what}")
    if error.is_complex():
        raise TypeError(
            f"{name} must return a real number, got a complex one: take |e|², or the real part of the "
            "answers by output=lambda answer: answer.real"
        )
    return error.reshape(())


def numbers_by_name(who: str, seen: Mapping[str, float], taken: Sequence[str]) -> dict[str, float]:
    """Return what `who` returned as floats by name; refuse names that are `taken` and what is no number."""
    if not isinstance(seen, Mapping):
        raise TypeError(f"{who} must return numbers by name, got {type(seen).__name__}")
    for name, number in seen.items():
        if not isinstance(name, str) or name in taken:
            raise ValueError(f"{who} must not name a number {name!r}, which is a column of the history")
        try:
            float(number)
        except (TypeError, ValueError, RuntimeError):
            raise TypeError(
                f"{who} must return numbers by name, got {type(number).__name__} for {name!r}"
            ) from None
    return {name: float(number) for name, number in seen.items()}
