"""Nonlinear recurrences by torch's operations: for GPUs, and for dtypes that are not compiled.

Equation.   As in ``loops``.

Algorithm.  All shares of the inputs in one product before the loop. A step writes its values and states into
            arrays that were there before, with time in front. The way backwards takes the adjoint through
            time, writes the δ of a step, and afterwards multiplies them with the states, and with the inputs,
            in one product each.
"""

import torch
from torch import Tensor

from curse_of_memory.nn.building.activations import ACTIVATIONS
from curse_of_memory.nn.recurrence.nonlinear.cells import (
    SLOPES,
    Cell,
    moved,
    moved_adjoint,
    moved_by_dt,
)

__all__ = ["backward", "forward"]


def _block(t: Tensor, start: int, end: int, m: int) -> Tensor:
    return t[..., start * m : end * m]


def _with_one(x: Tensor) -> Tensor:
    """Return the inputs, time in front, after the one that U has a column for."""
    return torch.nn.functional.pad(x.movedim(2, 0), (1, 0), value=1.0)


def forward(
    cell: Cell,
    x: Tensor,
    W: Tensor,
    U: Tensor,
    C: Tensor,
    initial: Tensor,
    dt: Tensor,
    *,
    answers: bool = True,
    keeps: bool = True,
):
    """Return outputs, last states, and the tensors that :func:`backward` needs.

    The arguments `cell`, `x`, `W`, `U`, `C`, `initial`, `dt`, `answers` and `keeps` are those of
    ``loops.forward``.
    """
    m = initial.shape[-1] // cell.states
    a = _with_one(x) @ U.mT
    h = a.new_empty(len(a) + 1, *initial.shape)
    h[0] = initial
    for k in range(len(a)):
        for stage, was_moved, (start, end) in zip(cell.stages, cell.moved_before, cell.blocks, strict=True):
            share, read = (
                _block(a[k], start, end, m),
                _block(h[k + was_moved], stage.source, stage.source + 1, m),
            )
            weight = W[:, start * m : end * m]
            if W.shape[2] < m:
                share += read.tile(end - start) * weight.mT
            else:
                share += read @ weight.mT
            for i, name in zip(range(start, end), stage.computes, strict=True):
                value = _block(a[k], i, i + 1, m)
                value.copy_(ACTIVATIONS[name](value))
            old, new = (_block(h[j], stage.target, stage.target + 1, m) for j in (k, k + 1))
            values = [_block(a[k], i, i + 1, m) for i in stage.reads]
            new.copy_(moved(old, values, _block(dt[:, None], stage.target, stage.target + 1, m)))
    y = h[1 if answers else len(h) :, ..., :m]
    y = (y @ C.mT if C.shape[1] else y).movedim(0, 2).contiguous()
    return y, h[-1].clone(), (a, h) if keeps else ()


def backward(cell: Cell, arguments, kept, dy: Tensor, dlast: Tensor, wants_x: bool, wants_dt: bool):
    """Return what ``loops.backward`` returns for the same `cell`, `arguments`, and so on.

    The rest is what :func:`forward` kept (`kept`), what comes back (`dy`, `dlast`), `wants_x` and `wants_dt`.
    """
    (x, W, U, C, initial, dt), (a, h) = arguments, kept
    ddt = torch.zeros_like(dt) if wants_dt else None
    m = initial.shape[-1] // cell.states
    dy, p, delta = dy.movedim(2, 0), dlast.clone(), torch.empty_like(a)
    dh = dy @ C if C.shape[1] else dy
    stages = list(zip(cell.stages, cell.blocks, strict=True))
    for k in range(len(a) - 1, -1, -1):
        if len(dh):
            p[..., :m] += dh[k]
        for stage, (start, end) in reversed(stages):
            target = _block(p, stage.target, stage.target + 1, m)
            values = [_block(a[k], i, i + 1, m) for i in stage.reads]
            old = _block(h[k], stage.target, stage.target + 1, m)
            if ddt is not None:
                by_dt = moved_by_dt(target, old, values).sum(1)
                _block(ddt, stage.target, stage.target + 1, m).add_(by_dt)
            step = _block(dt[:, None], stage.target, stage.target + 1, m)
            through, adjoints = moved_adjoint(target, old, values, step)
            for i, value, adjoint in zip(stage.reads, values, adjoints, strict=True):
                _block(delta[k], i, i + 1, m).copy_(adjoint * SLOPES[cell.activations[i]](value))
            target.copy_(through)
            share, weight = _block(delta[k], start, end, m), W[:, start * m : end * m]
            source = _block(p, stage.source, stage.source + 1, m)
            if W.shape[2] < m:
                source += (share * weight.mT).unflatten(-1, (end - start, m)).sum(-2)
            else:
                source += share @ weight
    dW = torch.empty_like(W)
    for stage, was_moved, (start, end) in zip(cell.stages, cell.moved_before, cell.blocks, strict=True):
        read = _block(h[1:] if was_moved else h[:-1], stage.source, stage.source + 1, m)
        share = _block(delta, start, end, m)
        if W.shape[2] < m:
            gradient = (share * read.tile(end - start)).sum((0, 2))[..., None]
        else:
            gradient = _sum_of_products(share, read)
        dW[:, start * m : end * m] = gradient
    dU = _sum_of_products(delta, _with_one(x).expand(-1, len(U), -1, -1))
    dC = _sum_of_products(dy, h[1:, ..., :m]) if C.shape[1] and len(dy) else torch.zeros_like(C)
    dx = None
    if wants_x:
        dx = (delta @ U[..., 1:]).movedim(0, 2)
    return dx, dW, dU, dC, p, ddt


def _sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    """Return Σ left rightᵀ over time and batch, one product per model."""
    return torch.einsum("tmbi,tmbj->mij", left, right)
