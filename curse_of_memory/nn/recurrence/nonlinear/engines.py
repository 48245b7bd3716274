"""Chooses between the compiled loops and torch's operations, and wraps both for torch's compilers.

On the CPU the engine is ``loops``; elsewhere, and for dtypes that are not compiled, it is
``ops``. For torch's compilers, which cannot look into either, both ways are operators of which they
know the shapes. The one forwards keeps nothing: the one backwards goes forwards once more.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from curse_of_memory.nn.recurrence.compiled.threads import on_cpu
from curse_of_memory.nn.recurrence.nonlinear import loops, ops
from curse_of_memory.nn.recurrence.nonlinear.cells import Cell, Stage

__all__ = ["Options", "backward", "forward", "operator"]

COMPILED = (torch.float32, torch.float64)


class Options(NamedTuple):
    """Settings of a recurrence: cell, dt, whether W is diagonal, and how many models (None: not batched)."""

    cell: Cell
    dt: float
    diagonal: bool
    models: int | None


def forward(
    options: Options, x: Tensor, *tensors: Tensor | None
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return outputs, last states, and the tensors that :func:`backward` needs.

    After `x` the `tensors` are W, U, b, C and the initial states of ``nonlinear.recurrence``.
    """
    arguments = _arranged(options, x, *tensors)
    y, last, kept = _engine(x).forward(options.cell, options.dt, *arguments)
    return (y[0], last[0], kept) if options.models is None else (y, last, kept)


def backward(options: Options, tensors, kept, dy: Tensor, dlast: Tensor, wants_x: bool):
    """Return the gradients of the six `tensors`: None where a tensor is None, or x's if it is not wanted."""
    if options.models is None:
        dy, dlast = dy[None], dlast[None]
    arguments = _arranged(options, *tensors)
    engine, cell = _engine(tensors[0]), options.cell
    dx, dW, dU, dC, dinitial = engine.backward(cell, options.dt, arguments, kept, dy, dlast, wants_x)
    gradients = dx, dW[..., 0] if options.diagonal else dW, dU[..., 1:], dU[..., 0], dC, dinitial
    return tuple(_shared(g, t) for g, t in zip(gradients, tensors, strict=True))


def _engine(x: Tensor):
    return loops if on_cpu(x) and x.dtype in COMPILED else ops


def _arranged(options: Options, x, W, U, b, C, initial) -> tuple[Tensor, ...]:
    """Return the tensors as the engines read them: see ``loops.forward``."""
    cell, _, diagonal, models = options
    if b is None:
        b = x.new_zeros(U.shape[-2])
    if C is None:
        C = x.new_zeros(0, U.shape[-2] // len(cell.activations))
    if initial is None:
        initial = x.new_zeros(x.shape[-3], cell.states * C.shape[-1])
    count = 1 if models is None else models
    W = W[..., None] if diagonal else W
    W, U, b, C, initial = (t.expand(count, *t.shape[-2:]) for t in (W, U, b[..., None], C, initial))
    return x if x.ndim == 4 else x[None], W, torch.cat([b, U], -1), C, initial


def _shared(gradient: Tensor | None, tensor: Tensor | None) -> Tensor | None:
    """Return the gradient of a tensor: the sum over the models, where all share it."""
    if gradient is None or tensor is None or gradient.ndim == tensor.ndim:
        return gradient if tensor is not None else None
    return gradient.sum(0) if len(gradient) > 1 else gradient[0]


# --- operators ------------------------------------------------------------------------------------------


def operator(options: Options, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return outputs and last states, as one operator; arguments as for :func:`forward`."""
    cell, dt, diagonal, models = options
    return _forward_operator(_text(cell), dt, diagonal, -1 if models is None else models, *tensors)


def _text(cell: Cell) -> str:
    """Return a cell as text, which operators can be given and exported programs can keep."""
    return ";".join(
        f"{s.source},{s.target},{'+'.join(s.computes)},{'+'.join(map(str, s.reads))}" for s in cell.stages
    )


@lru_cache
def _options(text: str, dt: float, diagonal: bool, models: int) -> Options:
    stages = []
    for stage in text.split(";"):
        source, target, computes, reads = stage.split(",")
        names = tuple(computes.split("+")) if computes else ()
        stages.append(Stage(int(source), int(target), names, tuple(map(int, reads.split("+")))))
    return Options(Cell(tuple(stages)), dt, diagonal, None if models < 0 else models)


@torch.library.custom_op("curse_of_memory::recurrence", mutates_args=())
def _forward_operator(
    cell: str,
    dt: float,
    diagonal: bool,
    models: int,
    x: Tensor,
    recurrent: Tensor,
    inputs: Tensor,
    bias: Tensor | None,
    readout: Tensor | None,
    initial: Tensor | None,
) -> tuple[Tensor, Tensor]:
    options = _options(cell, dt, diagonal, models)
    y, last, _ = forward(options, x, recurrent, inputs, bias, readout, initial)
    return y.contiguous(), last.contiguous()


@_forward_operator.register_fake
def _(cell, dt, diagonal, models, x, recurrent, inputs, bias, readout, initial):
    stepped = _options(cell, dt, diagonal, models).cell
    m = recurrent.shape[-1] // (len(stepped.activations) if diagonal else 1)
    leading = () if models < 0 else (models,)
    batch, time, _ = x.shape[-3:]
    y = x.new_empty(*leading, batch, time, m if readout is None else readout.shape[-2])
    return y, x.new_empty(*leading, batch, stepped.states * m)


@torch.library.custom_op("curse_of_memory::recurrence_backward", mutates_args=())
def _backward_operator(
    cell: str,
    dt: float,
    diagonal: bool,
    models: int,
    tensors: list[Tensor],
    which: list[int],
    dy: Tensor,
    dlast: Tensor,
    wants_x: bool,
) -> list[Tensor]:
    options, given = _options(cell, dt, diagonal, models), dict(zip(which, tensors, strict=True))
    arguments = given[0], *(given.get(i) for i in range(1, 6))
    _, _, kept = forward(options, *arguments)
    gradients = backward(options, arguments, kept, dy, dlast, wants_x)
    wanted = (gradients[i] for i in which if i or wants_x)
    return [gradient.contiguous() for gradient in wanted if gradient is not None]  # none is None


@_backward_operator.register_fake
def _(cell, dt, diagonal, models, tensors, which, dy, dlast, wants_x):
    return [t.new_empty(t.shape) for i, t in zip(which, tensors, strict=True) if i or wants_x]


def _keep(ctx, inputs, output):
    *ctx.options, x, W, U, b, C, initial = inputs
    tensors = x, W, U, b, C, initial
    ctx.which = [i for i, t in enumerate(tensors) if t is not None]
    ctx.save_for_backward(*(t for t in tensors if t is not None))


def _gradients(ctx, dy: Tensor, dlast: Tensor):
    wants_x = ctx.needs_input_grad[4]
    gradients = _backward_operator(
        *ctx.options, list(ctx.saved_tensors), ctx.which, dy.contiguous(), dlast.contiguous(), wants_x
    )
    of = dict(zip([i for i in ctx.which if i or wants_x], gradients, strict=True))
    return None, None, None, None, *(of.get(i) for i in range(6))


_forward_operator.register_autograd(_gradients, setup_context=_keep)
