"""Parts of layers for many models at once: affine maps, norms and tables, one of each model.

Weights have a leading dimension ``model``, and so have sequences, ``(model, batch, time, channel)``: a map of
channels is one batched product.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = [
    "affine",
    "by_vmap",
    "looked_up",
    "normed",
    "of_each_model",
    "one_by_one",
    "weights_of_part",
    "without_dropout",
]

Weights = Mapping[str, Tensor]


def weights_of_part(weights: Weights, part: str) -> dict[str, Tensor]:
    """Return the `weights` of a `part`, such as ``"blocks.0"``, by their names in it.

    Examples
    --------
    >>> list(weights_of_part({"embed.weight": torch.zeros(1), "readout.weight": torch.zeros(1)}, "embed"))
    ['weight']
    """
    start = f"{part}."
    return {name.removeprefix(start): w for name, w in weights.items() if name.startswith(start)}


def of_each_model(weights: Weights, x: Tensor, ndim: int = 3) -> Tensor:
    """Return sequences with a model in front: those of `x`, or `x` of `ndim` dimensions for each model."""
    return x.expand(len(next(iter(weights.values()))), *x.shape) if x.ndim == ndim else x


def affine(weights: Weights, part: str, x: Tensor) -> Tensor:
    """Return W x + b of every model, by its `weights` ``part.weight`` and, if there is one, ``part.bias``."""
    flat, W = x.flatten(1, -2), weights[f"{part}.weight"].mT
    bias = weights.get(f"{part}.bias")
    y = torch.bmm(flat, W) if bias is None else torch.baddbmm(bias[:, None], flat, W)
    return y.unflatten(1, x.shape[1:-1])


def normed(norm: nn.Module, weights: Weights, part: str, x: Tensor) -> Tensor:
    """Return what the layer norm or identity `norm` answers of every model, by its `weights`."""
    if isinstance(norm, nn.Identity):
        return x
    assert isinstance(norm, nn.LayerNorm)  # whoever has others takes by_vmap
    shape = -1, *[1] * (x.ndim - 2), x.shape[-1]
    gain, shift = (weights[f"{part}.{name}"].view(shape) for name in ("weight", "bias"))
    return torch.addcmul(shift, nn.functional.layer_norm(x, x.shape[-1:], eps=norm.eps), gain)


def looked_up(table: Tensor, tokens: Tensor) -> Tensor:
    """Return the rows that `tokens` ``(model, batch, time)`` name of a `table` ``(model, row, channel)``."""
    models, rows, _ = table.shape
    first = torch.arange(models, device=tokens.device).view(-1, 1, 1) * rows
    return nn.functional.embedding(tokens + first, table.flatten(0, 1))


def without_dropout(layer: nn.Module, probability: float) -> None:
    """Refuse a `layer` that drops channels in training: many models at once have no random numbers."""
    if layer.training and probability:
        raise ValueError(f"dropout must be 0 to run many models at once in training, got {probability:g}")


def by_vmap(layer: nn.Module, weights: Weights, x: Tensor) -> Tensor:
    """Return what any `layer` answers with the `weights` of every model, by :func:`torch.func.vmap`."""
    return torch.func.vmap(
        lambda own, x: torch.func.functional_call(layer, own, (x,)), in_dims=(0, None if x.ndim == 3 else 0)
    )(dict(weights), x)


def one_by_one(layer: nn.Module, weights: Weights, x: Tensor, ndim: int = 3) -> Tensor:
    """Return what a `layer` answers with the `weights` of every model, one after the other.

    For layers that do by their numbers one thing or another, such as to delete what is dead.
    """
    inputs = of_each_model(weights, x, ndim)
    models = range(len(inputs))
    return torch.stack(
        [
            torch.func.functional_call(layer, {name: w[i] for name, w in weights.items()}, (inputs[i],))
            for i in models
        ]
    )
