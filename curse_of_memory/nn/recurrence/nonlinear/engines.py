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

__all__ = ["COUNT", "Options", "backward", "forward", "operator"]

COMPILED = (torch.float32, torch.float64)
COUNT = 7  # of the tensors of a recurrence


class Options(NamedTuple):
    """Settings of a recurrence.

    Attributes
    ----------
    cell : Cell
        What a step does.
    diagonal : bool
        Whether W is.
    models : int or None
        How many there are; None: not batched.
    answers : bool
        Whether there are outputs; else they are those of no step, and the last states are all there is.
    """

    cell: Cell
    diagonal: bool
    models: int | None
    answers: bool = True


def forward(
    options: Options, x: Tensor, *tensors: Tensor | None, keeps: bool = True
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """Return outputs, last states, and, if it `keeps` them, the tensors that :func:`backward` needs.

    After `x` the `tensors` are W, U, b, C, the initial states and dt of ``nonlinear.recurrence``, the last
    with one number for every unit and state.
    """
    arguments = _arranged(options, x, *tensors)
    y, last, kept = _engine(x).forward(options.cell, *arguments, answers=options.answers, keeps=keeps)
    return (y[0], last[0], kept) if options.models is None else (y, last, kept)


def backward(options: Options, tensors, kept, dy: Tensor, dlast: Tensor, wants_x: bool, wants_dt: bool):
    """Return the gradients of the seven `tensors`: None where there is none, or x's or dt's is not wanted."""
    if options.models is None:
        dy, dlast = dy[None], dlast[None]
    arguments = _arranged(options, *tensors)
    engine, wants = _engine(tensors[0]), (wants_x, wants_dt)
    dx, dW, dU, dC, dinitial, ddt = engine.backward(options.cell, arguments, kept, dy, dlast, *wants)
    gradients = dx, dW[..., 0] if options.diagonal else dW, dU[..., 1:], dU[..., 0], dC, dinitial, ddt
    return tuple(_shared(g, t) for g, t in zip(gradients, tensors, strict=True))


def _engine(x: Tensor):
    return loops if on_cpu(x) and x.dtype in COMPILED else ops


def _arranged(options: Options, x, W, U, b, C, initial, dt) -> tuple[Tensor, ...]:
    """Return the tensors as the engines read them: see ``loops.forward``."""
    cell, diagonal, models, _ = options
    if b is None:
        b = x.new_zeros(U.shape[-2])
    if C is None:
        C = x.new_zeros(0, U.shape[-2] // len(cell.activations))
    if initial is None:
        initial = x.new_zeros(x.shape[-3], cell.states * C.shape[-1])
    count = 1 if models is None else models
    W = W[..., None] if diagonal else W
    W, U, b, C, initial = (t.expand(count, *t.shape[-2:]) for t in (W, U, b[..., None], C, initial))
    dt = dt.expand(count, dt.shape[-1])
    return x if x.ndim == 4 else x[None], W, torch.cat([b, U], -1), C, initial, dt


def _shared(gradient: Tensor | None, tensor: Tensor | None) -> Tensor | None:
    """Return the gradient of a tensor: the sum over the models, where all share it."""
    if gradient is None or tensor is None or gradient.ndim == tensor.ndim:
        return gradient if tensor is not None else None
    return gradient.sum(0) if len(gradient) > 1 else gradient[0]


# --- operators ------------------------------------------------------------------------------------------


def operator(options: Options, *tensors: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return outputs and last states, as one operator; arguments as for :func:`forward`."""
    cell, diagonal, models, answers = options
    return _forward_operator(_text(cell), diagonal, -1 if models is None else models, answers, *tensors)


def _text(cell: Cell) -> str:
    """Return a cell as text, which operators can be given and exported programs can keep."""
    return ";".join(
        f"{s.source},{s.target},{'+'.join(s.computes)},{'+'.join(map(str, s.reads))}" for s in cell.stages
    )


@lru_cache
def _options(text: str, diagonal: bool, models: int, answers: bool) -> Options:
    stages = []
    for stage in text.split(";"):
        source, target, computes, reads = stage.split(",")
        names = tuple(computes.split("+")) if computes else ()
        stages.append(Stage(int(source), int(target), names, tuple(map(int, reads.split("+")))))
    return Options(Cell(tuple(stages)), diagonal, None if models < 0 else models, answers)


@torch.library.custom_op("curse_of_memory::recurrence", mutates_args=())
def _forward_operator(
    cell: str,
    diagonal: bool,
    models: int,
    answers: bool,
    x: Tensor,
    recurrent: Tensor,
    inputs: Tensor,
    bias: Tensor | None,
    readout: Tensor | None,
    initial: Tensor | None,
    dt: Tensor,
) -> tuple[Tensor, Tensor]:
    options = _options(cell, diagonal, models, answers)
    y, last, _ = forward(options, x, recurrent, inputs, bias, readout, initial, dt, keeps=False)
    return y.contiguous(), last.contiguous()


@_forward_operator.register_fake
def _(cell, diagonal, models, answers, x, recurrent, inputs, bias, readout, initial, dt):
    stepped = _options(cell, diagonal, models, answers).cell
    m = recurrent.shape[-1] // (len(stepped.activations) if diagonal else 1)
    leading = () if models < 0 else (models,)
    batch, time, _ = x.shape[-3:]
    y = x.new_empty(*leading, batch, time if answers else 0, m if readout is None else readout.shape[-2])
    return y, x.new_empty(*leading, batch, stepped.states * m)


@torch.library.custom_op("curse_of_memory::recurrence_backward", mutates_args=())
def _backward_operator(
    cell: str,
    diagonal: bool,
    models: int,
    answers: bool,
    tensors: list[Tensor],
    which: list[int],
    dy: Tensor,
    dlast: Tensor,
    wanted: list[int],
) -> list[Tensor]:
    options, given = _options(cell, diagonal, models, answers), dict(zip(which, tensors, strict=True))
    arguments = given[0], *(given.get(i) for i in range(1, COUNT))
    _, _, kept = forward(options, *arguments)
    gradients = backward(options, arguments, kept, dy, dlast, 0 in wanted, COUNT - 1 in wanted)
    chosen = (gradients[i] for i in wanted)
    return [gradient.contiguous() for gradient in chosen if gradient is not None]  # none is None


@_backward_operator.register_fake
def _(cell, diagonal, models, answers, tensors, which, dy, dlast, wanted):
    return [t.new_empty(t.shape) for i, t in zip(which, tensors, strict=True) if i in wanted]


def _keep(ctx, inputs, output):
    ctx.options, tensors = inputs[:-COUNT], inputs[-COUNT:]
    ctx.which = [i for i, t in enumerate(tensors) if t is not None]
    ctx.save_for_backward(*(t for t in tensors if t is not None))


def _gradients(ctx, dy: Tensor, dlast: Tensor):
    needed = ctx.needs_input_grad[-COUNT:]
    wanted = [i for i in ctx.which if needed[i]]
    gradients = _backward_operator(
        *ctx.options, list(ctx.saved_tensors), ctx.which, dy.contiguous(), dlast.contiguous(), wanted
    )
    of = dict(zip(wanted, gradients, strict=True))
    return *[None] * len(ctx.options), *(of.get(i) for i in range(COUNT))


_forward_operator.register_autograd(_gradients, setup_context=_keep)
