"""Recurrences under autocast: they keep the precision of their weights.

A rounding error of a step is carried on by all later ones. With eigenvalue 1 − 1/τ, errors of size eps add up
to about eps √(τ/2), or eps τ where they agree in sign: in bfloat16, eps = 2⁻⁸, 256 steps can be lost.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = ["in_own_precision"]


def in_own_precision(method: Callable) -> Callable:
    """Return a method of inputs and state that runs without autocast, in the dtype of the layer's weights.

    Parameters
    ----------
    method : callable
        ``method(layer, x, ...)`` with `x` of shape ``(batch, time, channel)``.
    """

    @functools.wraps(method)
    def wrapped(layer: nn.Module, x: Tensor, *arguments, **options):
        kind = x.device.type
        if not torch.is_autocast_enabled(kind):
            return method(layer, x, *arguments, **options)
        with torch.autocast(kind, enabled=False):
            return method(layer, x.to(next(layer.parameters()).dtype), *arguments, **options)

    return wrapped
