"""Precision of recurrences: that of their weights, under autocast, too, and float32 for half precision.

A rounding error of a step is carried on by all later ones. With eigenvalue 1 − 1/τ, errors of size eps add up
to about eps √(τ/2), or eps τ where they agree in sign: in bfloat16, eps = 2⁻⁸, after 256 steps nothing may be
right. So weights and inputs in bfloat16 or float16 are converted to float32, and only the outputs are rounded
to the short dtype. States stay in float32 from one chunk to the next.
"""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn._torch_private import own_weights
from curse_of_memory.protocols import Outputs

__all__ = ["SHORT", "first_weight", "in_own_precision", "under_autocast", "widened"]

SHORT = (torch.float16, torch.bfloat16)
"""Dtypes of half precision."""

Method = TypeVar("Method", bound=Callable)


def first_weight(layer: nn.Module) -> Tensor:
    """Return one weight of the `layer`, whose dtype and device its inputs must have."""
    for weight in own_weights(layer):
        if weight is not None:
            return weight
    return next(layer.parameters())  # takes longer than all other looks at an input


def under_autocast(device: str) -> bool:
    """Return whether autocast rounds on a type of `device`, of which tensors without numbers know nothing."""
    return device != "meta" and torch.is_autocast_enabled(device)


def widened(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return `weights` by name, with those in float16 and bfloat16 converted to float32."""
    return {name: w.float() if w.dtype in SHORT else w for name, w in weights.items()}


def in_own_precision(method: Method) -> Method:
    """Return the method without autocast, with inputs in the dtype of the weights, or float32 for short ones.

    Parameters
    ----------
    method : callable
        ``method(layer, x, ...)`` with `x` of shape ``(batch, time, channel)``, which widens the weights.
    """

    @functools.wraps(method)
    def wrapped(layer: nn.Module, x: Tensor, *arguments, **options):
        device, dtype = x.device.type, first_weight(layer).dtype
        rounded = under_autocast(device)
        with torch.autocast(device, enabled=False) if rounded else contextlib.nullcontext():
            if dtype not in SHORT:
                return method(layer, x.to(dtype), *arguments, **options)
            answer = method(layer, x.to(dtype).float(), *arguments, **options)
            if isinstance(answer, Outputs):
                return Outputs(answer.y.to(dtype), answer.last)
            return answer.to(dtype)

    return cast(Method, wrapped)
