"""Nonlinear recurrences over whole sequences: outputs, last states and gradients.

Equation.   A cell (``cells``) moves states h by values σ(W h + U x_k + b); the outputs are
            ŷ_k = C h_k, or h_k itself, read after the step. With one state and an Euler step,

                h_k = h_{k−1} + dt σ(W h_{k−1} + U x_k + b),      ŷ_k = C h_k.

Algorithm.  On the CPU the compiled loops of ``loops``; elsewhere those of ``ops``, made
            of torch's operations. In both the way backwards is derived by hand: its time loop takes the
            adjoint of the states along and nothing else, and the gradients of the weights are products over
            time and batch.

Second derivatives, forward-mode derivatives, and whatever runs inside a transformation of ``torch.func``
torch derives by itself from the naive loop: they work, at the cost of the naive loop.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd import forward_ad

from curse_of_memory.nn._torch_private import is_transformed
from curse_of_memory.nn.building.activations import ACTIVATIONS
from curse_of_memory.nn.recurrence.nonlinear import engines
from curse_of_memory.nn.recurrence.nonlinear.cells import Cell, moved
from curse_of_memory.nn.recurrence.nonlinear.engines import Options
from curse_of_memory.protocols import Outputs

__all__ = ["naive_recurrence", "recurrence"]


def naive_recurrence(
    cell: Cell,
    x: Tensor,
    recurrent: Tensor,
    inputs: Tensor,
    bias: Tensor | None = None,
    readout: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    dt: float | Tensor = 1.0,
    diagonal: bool = False,
    kept: Tensor | None = None,
) -> Outputs[Tensor]:
    """Return what :func:`recurrence` returns for the same arguments, one step after the other.

    The naive form of the equation, which the fast one must equal: `cell`, `x`, `recurrent`, `inputs`, `bias`,
    `readout`, `initial`, `dt` and `diagonal` are those of :func:`recurrence`. What that one cannot: `kept`,
    ``(batch, m)``, multiplies state 0 where W does, and nowhere else, such as a mask of dropout.
    """
    sizes = _sizes(cell, x, recurrent, inputs, bias, readout, initial, dt, diagonal)
    m = sizes.width
    if isinstance(dt, Tensor) and dt.ndim:
        steps = (dt if dt.ndim == 1 else dt[:, None]).split(m, -1)
    else:
        steps = (dt,) * cell.states
    drive = x @ _over_time(inputs).mT
    if bias is not None:
        drive = drive + (bias if bias.ndim == 1 else bias[:, None, None])
    if initial is None:
        initial = drive.new_zeros(*sizes.leading, x.shape[-3], cell.states * m)
    blocks = [slice(start * m, end * m) for start, end in cell.blocks]
    drives = [(drive if len(blocks) == 1 else drive[..., rows]).unbind(-2) for rows in blocks]
    if diagonal:
        weights = [(recurrent if recurrent.ndim == 1 else recurrent[:, None])[..., rows] for rows in blocks]
    else:
        weights = [recurrent[..., rows, :].mT for rows in blocks]
    states = list(initial.split(m, -1))
    outputs = []
    for k in range(x.shape[-2]):
        states = _step(cell, [d[k] for d in drives], weights, states, steps, diagonal, kept)
        outputs.append(states[0])
    y = torch.stack(outputs, -2) if outputs else drive[..., :m] + 0 * initial[..., None, :m]
    return Outputs(y if readout is None else y @ _over_time(readout).mT, torch.cat(states, -1))


def _over_time(weight: Tensor) -> Tensor:
    """Return a weight that broadcasts against ``(batch, time, channel)``, its models, if any, in front."""
    return weight if weight.ndim == 2 else weight[:, None]


def _step(cell, drives, weights, states, steps, diagonal, kept) -> list[Tensor]:
    """Go once through the stages; drives and weights have one item per stage, states and steps per state."""
    states, values = list(states), []
    for stage, drive, weight in zip(cell.stages, drives, weights, strict=True):
        h, count = states[stage.source], len(stage.computes)
        if kept is not None and stage.source == 0:
            h = kept * h
        if count:
            recurrent = (h if count == 1 else torch.cat([h] * count, -1)) * weight if diagonal else h @ weight
            preactivations = (recurrent + drive).chunk(count, -1) if count > 1 else (recurrent + drive,)
            values += [ACTIVATIONS[name](a) for name, a in zip(stage.computes, preactivations, strict=True)]
        read = [values[i] for i in stage.reads]
        states[stage.target] = moved(states[stage.target], read, steps[stage.target])
    return states


def recurrence(
    cell: Cell,
    x: Tensor,
    recurrent: Tensor,
    inputs: Tensor,
    bias: Tensor | None = None,
    readout: Tensor | None = None,
    initial: Tensor | None = None,
    *,
    dt: float | Tensor = 1.0,
    diagonal: bool = False,
    last_only: bool = False,
) -> Outputs[Tensor]:
    """Return the outputs and last states of a cell that has run over whole sequences.

    Any of the tensors may have a leading dimension ``model``: several models of one size then run as one, and
    those without it are shared. The CPU works on a few sequences of one model at a time, whose states stay in
    its cache, so that a sweep needs little more memory than its inputs and outputs.

    Parameters
    ----------
    cell : Cell
        What a step does: ``euler_cell(activation)``, ``GATED``, or one's own. It computes q values per unit.
    x : Tensor of shape ``(batch, time, input)``
        The inputs.
    recurrent : Tensor of shape ``(q m, m)``, or ``(q m,)`` if diagonal
        W: one block of m rows for each value, in the order of the cell.
    inputs : Tensor of shape ``(q m, input)``
        U.
    bias : Tensor of shape ``(q m,)``, optional
        b.
    readout : Tensor of shape ``(output, m)``, optional
        C; without it the output state itself is returned, m channels. With it the states need no memory.
    initial : Tensor of shape ``(batch, states · m)``, optional
        The states before the first step, one after the other; zero if none are given.
    dt : float, or Tensor of shape ``()`` or ``(states · m,)``
        Time step, or one for every unit and state, the states one after the other.
    diagonal : bool
        The blocks of W are diagonal matrices, of which the diagonals are given.
    last_only : bool
        Return the output after the last step alone, of shape ``(batch, 1, output)``. On the CPU there are no
        arrays over time then but the inputs, and some states from which the way back starts.

    Returns
    -------
    Outputs
        ``y`` and ``last``; the last states of one chunk of time are the `initial` of the next. Differentiable
        in all tensors, to any order; overflowing states show as inf or NaN, as in the naive loop.

    Raises
    ------
    ValueError, TypeError
        If shapes or dtypes do not agree.

    Examples
    --------
    >>> from curse_of_memory.nn.recurrence.nonlinear.cells import euler_cell
    >>> one = torch.ones(1, 1)
    >>> recurrence(euler_cell("hardtanh"), torch.full((1, 4, 1), 0.5), -one, one).y.flatten().tolist()
    [0.5, 0.5, 0.5, 0.5]
    """
    tensors = x, recurrent, inputs, bias, readout, initial
    traced = torch.compiler.is_compiling()
    if not traced and any(isinstance(t, Tensor) and _transformed(t) for t in (*tensors, dt)):
        outputs = naive_recurrence(cell, *tensors, dt=dt, diagonal=diagonal)
        width = outputs.last.shape[-1] // cell.states
        return _only_last(outputs.last, width, readout) if last_only else outputs
    sizes = _sizes(cell, *tensors, dt, diagonal)
    options = Options(cell, diagonal, sizes.models, not last_only)
    steps = _steps(dt, x, cell.states * sizes.width)
    if last_only:
        tensors = x, recurrent, inputs, bias, None, initial
    if traced:
        outputs = Outputs(*engines.operator(options, *tensors, steps))
    else:
        wanted = any(t is not None and t.requires_grad for t in (*tensors, steps))
        keeps = wanted and torch.is_grad_enabled()
        outputs = Outputs(*_Recurrence.apply(options, keeps, *tensors, steps))
    return _only_last(outputs.last, sizes.width, readout) if last_only else outputs


def _only_last(last: Tensor, width: int, readout: Tensor | None) -> Outputs[Tensor]:
    """Return the output of the last states, and them."""
    y = last[..., None, :width]
    return Outputs(y if readout is None else y @ _over_time(readout).mT, last)


def _steps(dt: float | Tensor, x: Tensor, count: int) -> Tensor:
    """Return dt for every unit and state, `count` numbers, with a model in front if it has one."""
    if not isinstance(dt, Tensor):
        return x.new_full((count,), dt)
    return dt if dt.ndim else dt.expand(count)


def _transformed(t: Tensor) -> bool:
    """Whether torch.func or forward-mode differentiation is at work on a tensor."""
    return is_transformed(t) or forward_ad.unpack_dual(t).tangent is not None


class _Sizes(NamedTuple):
    models: int | None
    width: int

    @property
    def leading(self) -> tuple[int, ...]:
        return () if self.models is None else (self.models,)


def _sizes(cell, x, recurrent, inputs, bias, readout, initial, dt, diagonal) -> _Sizes:
    """Return the number of models, None for one without its dimension, and m; refuse what does not fit."""
    values = len(cell.activations)
    m = recurrent.shape[-1] // (values if diagonal else 1)
    channels, batch = x.shape[-1], x.shape[-3] if x.ndim > 2 else None
    expected = {
        "x": (x, (batch, x.shape[-2] if x.ndim > 1 else None, channels)),
        "recurrent": (recurrent, (values * m,) if diagonal else (values * m, m)),
        "inputs": (inputs, (values * m, channels)),
        "bias": (bias, (values * m,)),
        "readout": (readout, (readout.shape[-2] if readout is not None and readout.ndim > 1 else None, m)),
        "initial": (initial, (batch, cell.states * m)),
    }
    if isinstance(dt, Tensor):
        expected["dt"] = (dt, (cell.states * m,) if dt.ndim else ())
    models = None
    for name, (tensor, shape) in expected.items():
        if tensor is None:
            continue
        leading = tensor.shape[: tensor.ndim - len(shape)]
        fits = tensor.shape[len(leading) :] == shape and len(leading) <= 1
        if not fits or models not in (None, *leading, models):
            raise ValueError(f"{name} must have shape {shape}, or (model, ...), got {tuple(tensor.shape)}")
        if leading:
            if models is not None and leading[0] != models:
                raise ValueError(f"{name} must be for {models} models as x or W is, got {leading[0]}")
            models = leading[0]
        if tensor.dtype != x.dtype:
            raise TypeError(f"{name} must have the dtype of x, {x.dtype}, got {tensor.dtype}")
    return _Sizes(models, m)


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx, options: Options, keeps: bool, *tensors):
        y, last, kept = engines.forward(options, *tensors, keeps=keeps)
        ctx.options = options
        ctx.save_for_backward(*tensors, *kept)
        return y, last

    @staticmethod
    def backward(ctx, dy, dlast):
        saved = ctx.saved_tensors  # once: a checkpoint gives them out once
        tensors, kept = saved[: engines.COUNT], saved[engines.COUNT :]
        if torch.is_grad_enabled():
            return None, None, *_derived_by_torch(ctx.options, tensors, dy, dlast)
        wants_x, *_, wants_dt = ctx.needs_input_grad[2:]
        return None, None, *engines.backward(ctx.options, tensors, kept, dy, dlast, wants_x, wants_dt)


def _derived_by_torch(
    options: Options, tensors: tuple, dy: Tensor, dlast: Tensor
) -> tuple[Tensor | None, ...]:
    """Return the gradients by way of the naive loop, so that they have derivatives themselves."""
    # derivatives by each argument alone, should one depend on another
    x, recurrent, inputs, dt = (tensors[i].view_as(tensors[i]) for i in (0, 1, 2, -1))
    bias, readout, initial = (None if t is None else t.view_as(t) for t in tensors[3:-1])
    arguments = x, recurrent, inputs, bias, readout, initial, dt
    wanted = [t for t in arguments if t is not None and t.requires_grad]
    results = naive_recurrence(options.cell, *arguments[:-1], dt=dt, diagonal=options.diagonal)
    of, by = (results, (dy, dlast)) if options.answers else (results.last, dlast)
    gradients = iter(torch.autograd.grad(of, wanted, by, create_graph=True, allow_unused=True))
    return tuple(next(gradients) if t is not None and t.requires_grad else None for t in arguments)
