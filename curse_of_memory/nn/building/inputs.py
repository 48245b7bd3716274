"""Checks of the inputs and states of layers, and the rule that NaN and inf spread forwards in time only.

NaN or inf at step k leaves unknown what a layer answers from step k on; what it has answered before stays
known. A loop over steps gives just that. An FFT, a product with a mask, and a backward pass, where a gradient
of zero meets a NaN, would spread the NaN over all steps. So layers compute with zeros in its place, and then
set to NaN every output and state that it reaches: those of its own sequence, from its own step on. Outputs
before it, and their gradients by inputs and weights, are as if it were not there.
"""

import functools
import math
from collections.abc import Callable, Mapping
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn._torch_private import is_traced, is_transformed
from curse_of_memory.nn.building.own_precision import first_weight, under_autocast, widened
from curse_of_memory.tools import checks

__all__ = [
    "NotFiniteError",
    "all_finite",
    "dropout_probability",
    "guarded",
    "initial_state",
    "many_models",
    "many_of_tokens",
    "nan_where",
    "refuse_nan",
    "rows_of",
    "sequence",
    "state_of_each",
    "tensor",
    "tokens",
]


Method = TypeVar("Method", bound=Callable)


def sequence(layer: nn.Module, x: Tensor) -> Tensor:
    """Return `x` if `layer` can take it as ``(batch, time, layer.input_size)``; refuse it otherwise.

    Raises
    ------
    TypeError
        If it is no tensor, or not real numbers of the dtype of the weights. Under autocast, which rounds as
        it sees fit, any real dtype will do.
    ValueError
        If its shape or device is another one.
    RuntimeError
        Under ``torch.jit.trace``, which would keep the sizes of this one batch.
    """
    shape = f"(batch, time, {layer.input_size})"
    tensor("x", x, f"shape {shape}")
    if x.ndim != 3 or x.shape[-1] != layer.input_size:
        raise ValueError(f"x must have shape {shape}, got {tuple(x.shape)}")
    weight = first_weight(layer)
    if weight.is_complex():
        raise TypeError(f"weights of {type(layer).__name__} must be real, got {weight.dtype}")
    if not x.is_floating_point():
        raise TypeError(f"x must be real numbers of dtype {weight.dtype}, got {x.dtype}")
    if x.dtype != weight.dtype and not under_autocast(x.device.type):
        raise TypeError(f"x must have the dtype of the weights, {weight.dtype}, got {x.dtype}")
    _same_device("x", x, weight)
    return x


def many_models(
    layer: nn.Module, parameters: Mapping[str, Tensor], x: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Return stacked `parameters` and `x` of a ``run_many``, checked, in the precision to compute in.

    They are refused unless they are the weights of `layer` and inputs of it.

    Raises
    ------
    TypeError
        If `x` is no tensor.
    ValueError
        If it is not ``(batch, time, layer.input_size)``, or with one such per model, or a weight is missing.
    """
    shape = f"(batch, time, {layer.input_size})"
    tensor("x", x, f"shape {shape}, or with a model in front")
    if x.ndim not in (3, 4) or x.shape[-1] != layer.input_size:
        raise ValueError(f"x must have shape {shape}, or with a model in front, got {tuple(x.shape)}")
    return _all_weights(layer, parameters), widened({"x": x})["x"]


def many_of_tokens(
    layer: nn.Module, parameters: Mapping[str, Tensor], x: Tensor
) -> tuple[dict[str, Tensor], Tensor]:
    """Return what :func:`many_models` does for tokens `x`, ``(batch, time)`` or with one such per model."""
    tensor("x", x, "tokens of shape (batch, time), or with a model in front")
    if x.ndim not in (2, 3):
        raise ValueError(f"x must be tokens (batch, time), or with a model in front, got {tuple(x.shape)}")
    return _all_weights(layer, parameters), x


def _all_weights(layer: nn.Module, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the `parameters` that are weights of `layer`, in the precision to compute in."""
    names = [name for name, _ in layer.named_parameters()]
    if missing := [name for name in names if name not in parameters]:
        raise ValueError(f"parameters must hold all weights of the layer, but {missing[0]!r} is missing")
    return widened({name: parameters[name] for name in names})


def tokens(x: Tensor, table: Tensor) -> Tensor:
    """Return `x` if it is ``(batch, time)`` of row numbers of the embedding `table`; refuse it otherwise."""
    tensor("x", x, "tokens of shape (batch, time)")
    if x.ndim != 2:
        raise ValueError(f"x must be tokens of shape (batch, time), got {tuple(x.shape)}")
    if x.dtype not in (torch.int32, torch.int64):
        raise TypeError(f"x must be tokens of dtype torch.int64, got {x.dtype}")
    _same_device("x", x, table)
    return x


def rows_of(embed: nn.Embedding, x: Tensor) -> Tensor:
    """Return the rows of an embedding for checked tokens `x`; refuse numbers that it has not."""
    try:
        return embed(x)
    except IndexError:
        raise IndexError(f"x must be tokens from 0 to {embed.num_embeddings - 1}") from None


def initial_state(state: Tensor | None, shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return the initial `state`, zeros if None; refuse one of another `shape`, dtype or device than `like`.

    A state in half precision is converted to the precision that layers compute in.
    """
    if state is None:
        return like.new_zeros(shape)
    tensor("state", state, f"shape {shape}")
    if state.shape != shape:
        raise ValueError(f"state must have shape {shape}, got {tuple(state.shape)}")
    if state.dtype in (torch.float16, torch.bfloat16):
        state = state.to(like.dtype)
    if state.dtype != like.dtype:
        raise TypeError(f"state must have dtype {like.dtype}, got {state.dtype}")
    _same_device("state", state, like)
    return state


def state_of_each(state, count: int, parts: str) -> None:
    """Refuse the `state` of a model unless it is None or holds one state for each of `count` `parts`."""
    if state is None:
        return
    if not isinstance(state, tuple | list):
        raise TypeError(f"state must be a tuple of the states of {count} {parts}, got {type(state).__name__}")
    if len(state) != count:
        raise ValueError(f"state must hold one for each of {count} {parts}, got {len(state)}")


def tensor(name: str, value, expected: str) -> None:
    """Refuse a `value` that is not a tensor; `expected` says which shape is wanted."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, {expected}; got {type(value).__name__}")
    if not torch.compiler.is_compiling() and is_traced():
        raise RuntimeError("torch.jit.trace would keep the sizes of one batch: use torch.export instead")


def _same_device(name: str, value: Tensor, weight: Tensor) -> None:
    if value.device != weight.device:
        raise ValueError(f"{name} must be on the device of the weights, {weight.device}, got {value.device}")


def dropout_probability(p: float) -> float:
    """Return `p` as a float if 0 <= p < 1; refuse it otherwise."""
    if not 0 <= checks.real("dropout", p) < 1:
        raise ValueError(f"dropout must be at least 0 and below 1, got {p!r}")
    return float(p)


# --- NaN and inf ----------------------------------------------------------------------------------------


def guarded(method: Method) -> Method:
    """Return a method ``(layer, x, ...)`` whose x is checked, and whose NaN and inf spread forwards only.

    Parameters
    ----------
    method : callable
        Returns a tensor ``(batch, time, channel)`` or ``(batch, channel)``, or ``Outputs``, or another named
        tuple of ``y``, ``last`` and more.
    """

    @functools.wraps(method)
    def wrapped(layer: nn.Module, x: Tensor, *arguments, **options):
        sequence(layer, x)
        if all_finite(x):
            return method(layer, x, *arguments, **options)
        finite = x.isfinite()
        lost = (~finite).any(-1)
        # who reads from both ends has seen it at every step
        reached = lost.any(1, keepdim=True).expand_as(lost) if _both_ways(layer) else lost.cumsum(1) > 0
        answer = method(layer, x.where(finite, 0), *arguments, **options)
        if not isinstance(answer, Tensor):  # Outputs, or such with more in them
            reached_y = reached if answer.y.ndim == 3 else reached[:, -1]
            last = _state_nan_where(reached[:, -1], answer.last)
            return answer._replace(y=nan_where(reached_y, answer.y), last=last)
        return nan_where(reached if answer.ndim == 3 else reached[:, -1], answer)

    return cast(Method, wrapped)


def _both_ways(layer: nn.Module) -> bool:
    return getattr(layer, "bidirectional", False) is True


def all_finite(*tensors: Tensor) -> bool:
    """Whether the tensors are known to be free of NaN and inf.

    Looking costs a pass over the numbers on the CPU. Elsewhere it would wait for the device, and in what
    torch traces or transforms there is nothing to look at: then it is not known.
    """
    if all(t.numel() == 0 for t in tensors):
        return True
    if torch.compiler.is_compiling():
        return False
    for t in tensors:
        ordinary = type(t) in (Tensor, nn.Parameter) and t.device.type == "cpu"
        if not ordinary or is_transformed(t):
            return False
        if not math.isfinite(t.detach().sum().item()):  # an overflow costs a second look, no more
            return False
    return True


def nan_where(reached: Tensor, y: Tensor) -> Tensor:
    """Return `y` with NaN where `reached`, a mask of its first dimensions; gradients pass unchanged."""
    unknown = y.new_zeros(()).expand(reached.shape).masked_fill(reached, torch.nan)
    return y + unknown.reshape(*reached.shape, *[1] * (y.ndim - reached.ndim))


class NotFiniteError(ValueError):
    """Numbers are NaN or infinite where a layer needs finite ones; in a training, it has diverged."""


def refuse_nan(name: str, t: Tensor) -> None:
    """Refuse a tensor with NaN or inf in it, where there are numbers to look at.

    Raises
    ------
    NotFiniteError
        If one is found. In what torch traces or transforms nobody looks.
    """
    if torch.compiler.is_compiling() or is_transformed(t) or t.device.type == "meta" or all_finite(t):
        return
    if not t.isfinite().all():
        raise NotFiniteError(f"{name} must be finite numbers, got NaN or inf")


def _state_nan_where(reached: Tensor, state):
    """Return a state, whose tensors have the batch in front, with NaN in the sequences that are `reached`."""
    if isinstance(state, Tensor):
        numbers = state.is_floating_point() or state.is_complex()
        return nan_where(reached, state) if numbers and state.shape[:1] == reached.shape else state
    if isinstance(state, tuple | list):
        members = [_state_nan_where(reached, member) for member in state]
        return type(state)(*members) if hasattr(state, "_fields") else type(state)(members)
    return state
