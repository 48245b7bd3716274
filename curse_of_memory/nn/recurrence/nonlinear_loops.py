"""Compiled loops for the cells of ``nonlinear_cells``, forwards and backwards, on the CPU.

Equation.   The step of a cell: values s_i = σ_i(W_i h + U_i x_k + b_i), then the updates h ← F(h, s). With p
            the adjoint of the states,

                δ_i = σ_i' (∂F/∂s_i)ᵀ p_target,   p_target ← (∂F/∂h)ᵀ p_target,   p_source ← p_source + W_iᵀ
                δ_i,

            through the stages in reverse order. Then dL/dW = Σ δ hᵀ, dL/dU = Σ δ xᵀ and dL/db = Σ δ.

Algorithm.  LANES sequences go side by side: all arrays of a tile end with an axis of that fixed length, over
            which the processor computes many numbers per instruction. Time goes in segments so short that a
            tile's states and values stay in the cache. The way forwards keeps nothing but the states at the
            starts of the segments; the way backwards computes each segment once more from there, runs the
            adjoint through it, and takes the weights' gradients as one product over all steps and lanes of
            the segment. That costs one more way forwards, and saves arrays of (state, time, batch) that would
            go through memory several times. Gradients are added up per tile: they do not depend on the number
            of threads.

Arrays.     h (length + 1, states · m, LANES): slot 0 is before the segment, slot s + 1 after its step s.
            a (length, values · m, LANES): preactivations, then values, then δ, each written over the last.
            v (length, columns of U, LANES): a row of ones for the bias, the inputs, and rows of zeros.
            g (length, outputs, LANES): what comes back from the outputs.
"""

import numba
import numpy as np
import torch
from torch import Tensor

from curse_of_memory.nn.recurrence import nonlinear_cells, nonlinear_lanes, vector_math
from curse_of_memory.nn.recurrence.compile_cache import drop_stale
from curse_of_memory.nn.recurrence.nonlinear_cells import Cell
from curse_of_memory.nn.recurrence.nonlinear_lanes import (
    ACTIVATION_CODES,
    LANES,
    activate,
    add_diagonal_product,
    add_outer,
    add_product,
    dot,
    move,
    move_back,
    rows,
    set_affine,
    slope,
)
from curse_of_memory.nn.recurrence.threads import over_batch
from curse_of_memory.nn.recurrence.vector_math import OPTIONS

__all__ = ["backward", "forward"]

# numbers of a tile and a segment, so that they stay in a cache of the second level, and bounds on its steps
CACHED = 1 << 15
SHORTEST, LONGEST = 8, 128

drop_stale(__file__, nonlinear_cells, nonlinear_lanes, vector_math)


# --- one segment ------------------------------------------------------------------------------------


@numba.njit(**OPTIONS)
def _run(steps, stages, codes, dt, U, W, v, h, a):
    """Go through the steps of a segment: fill h and a."""
    m = len(U) // len(codes)
    block = m * LANES
    h_flat, a_flat = h.reshape(len(h), -1), a.reshape(len(a), -1)
    for s in range(steps):
        set_affine(U[:, :2], v[s, 1], a[s])
        add_product(U[:, 2:], v[s, 2:], a[s])
        for k in range(len(stages)):
            source, moved, target, start, end, first, second = stages[k]
            read = h[s + moved, source * m : (source + 1) * m]
            if W.shape[1] < m:
                for i in range(start, end):
                    add_diagonal_product(W[i * m : (i + 1) * m], read, a[s, i * m : (i + 1) * m])
            else:
                add_product(W[start * m : end * m], read, a[s, start * m : end * m])
            for i in range(start, end):
                activate(codes[i], a_flat[s, i * block : (i + 1) * block])
            old = h_flat[s, target * block : (target + 1) * block]
            new = h_flat[s + 1, target * block : (target + 1) * block]
            one = a_flat[s, first * block : (first + 1) * block]
            two = a_flat[s, second * block : (second + 1) * block]
            move(old, new, one, two, second != first, dt)


@numba.njit(**OPTIONS)
def _step_back(stages, codes, dt, Wt, a, p, h_flat, a_flat, p_flat, d, e):
    """Take the adjoint p back through one step; a gets δ. h, a, p as vectors, too; d, e are to work in."""
    m = len(a) // len(codes)
    block = m * LANES
    for k in range(len(stages) - 1, -1, -1):
        source, _, target, start, end, first, second = stages[k]
        through = p_flat[target * block : (target + 1) * block]
        old = h_flat[target * block : (target + 1) * block]
        one = a_flat[first * block : (first + 1) * block]
        two = a_flat[second * block : (second + 1) * block]
        move_back(through, d, e, old, one, two, second != first, dt)
        slope(codes[first], one, d)
        if second != first:
            slope(codes[second], two, e)
        back = p[source * m : (source + 1) * m]
        if len(Wt) < m:
            for i in range(start, end):
                add_diagonal_product(Wt[:, i * m : (i + 1) * m].T, a[i * m : (i + 1) * m], back)
        else:
            add_product(Wt[:, start * m : end * m], a[start * m : end * m], back)


@numba.njit(**OPTIONS)
def _weight_gradients(steps, stages, v, h, a, dU, dW):
    """Add the gradients of a segment: each a product over its steps and lanes."""
    m = h.shape[1] // len(stages)
    delta = rows(a, 0, steps, 0, a.shape[1])
    add_outer(delta, rows(v, 0, steps, 0, v.shape[1]), dU)
    for k in range(len(stages)):
        source, moved, _, start, end, _, _ = stages[k]
        read = rows(h, moved, steps, source * m, (source + 1) * m)
        if dW.shape[1] < m:
            for i in range(start * m, end * m):
                dW[i, 0] += dot(delta[i], read[i % m])
        else:
            add_outer(delta[start * m : end * m], read, dW[start * m : end * m])


# --- between the arrays of the caller, (batch, time, channel), and tiles -------------------------------


@numba.njit(**OPTIONS)
def _load(x, b, k, steps, rows):
    """Copy x[b + lane, k + step, row] to rows[step, row, lane]; lanes past the batch repeat the last one."""
    for n in range(LANES):
        sequence = x[min(b + n, len(x) - 1)]
        for s in range(steps):
            for i in range(x.shape[2]):
                rows[s, i, n] = sequence[k + s, i]


@numba.njit(**OPTIONS)
def _store(rows, b, k, steps, y):
    """Copy rows[step, row, lane] to y[b + lane, k + step, row], for the lanes within the batch."""
    for n in range(min(LANES, len(y) - b)):
        for s in range(steps):
            for i in range(y.shape[2]):
                y[b + n, k + s, i] = rows[s, i, n]


@numba.njit(**OPTIONS)
def _forward(first, last, stages, codes, dts, x, U, W, C, initial, y, final, starts):
    """Run the tiles `first` … `last` − 1; write outputs, last states, and states at the segments' starts.

    Of the cell, `stages`, `codes` and `dts` come from ``_tables``. Shapes: `x` (models or 1, batch,
    time, inputs); `U` (models, values · m, 1 for the bias, inputs, zeros); `W` (models, values · m, m, or
    1 for diagonals); `C` (models, outputs, or 0 for the state itself, m); `initial` and `final` (models,
    batch, 1, states · m); `y` (models, batch, time, outputs); `starts` (tiles, segments, states · m, LANES).
    """
    time = x.shape[2]
    segments, size = starts.shape[1:3]
    tiles, length = len(starts) // len(U), -(-time // max(segments, 1))
    h = np.empty((length + 1, size, LANES), x.dtype)
    a = np.empty((length, U.shape[1], LANES), x.dtype)
    v = np.zeros((length, U.shape[2], LANES), x.dtype)
    v[:, 0] = 1
    g = np.empty((length, C.shape[1], LANES), x.dtype)
    for tile in range(first, last):
        model, b = tile // tiles, tile % tiles * LANES
        _load(initial[model], b, 0, 1, h)
        for segment in range(segments):
            k = segment * length
            steps = min(length, time - k)
            starts[tile, segment] = h[0]
            _load(x[model % len(x)], b, k, steps, v[:, 1:])
            _run(steps, stages, codes, dts[0], U[model], W[model], v, h, a)
            if C.shape[1]:
                g[:] = 0
                for s in range(steps):
                    add_product(C[model], h[s + 1], g[s])
                _store(g, b, k, steps, y[model])
            else:
                _store(h[1:], b, k, steps, y[model])
            h[0] = h[steps]
        _store(h, b, 0, 1, final[model])


@numba.njit(**OPTIONS)
def _backward(
    first, last, stages, codes, dts, x, U, W, C, Ut, Wt, Ct, starts, dy, dfinal, dx, dinitial, dU, dW, dC
):
    """Run the adjoint of ``_forward`` through the tiles `first` … `last` − 1; write the gradients.

    `stages`, `codes`, `dts`, `x`, `U`, `W`, `C` and `starts` are as there, `Ut`, `Wt`, `Ct` the transposes.
    `dy` and `dfinal` come in; `dx` (models, batch, time, inputs, or 0 if unwanted) and `dinitial` go out; and
    `dU`, `dW`, `dC` get one gradient per tile where the weights have one per model.
    """
    batch, time = x.shape[1:3]
    segments, size = starts.shape[1:3]
    tiles, length = len(starts) // len(U), -(-time // max(segments, 1))
    m = size // len(stages)
    h = np.empty((length + 1, size, LANES), x.dtype)
    a = np.empty((length, U.shape[1], LANES), x.dtype)
    v = np.zeros((length, U.shape[2], LANES), x.dtype)
    v[:, 0] = 1
    g = np.empty((length, dy.shape[3], LANES), x.dtype)
    back = np.empty((length, U.shape[2] if dx.shape[3] else 0, LANES), x.dtype)
    p = np.empty((1, size, LANES), x.dtype)
    d, e = np.empty(m * LANES, x.dtype), np.empty(m * LANES, x.dtype)
    h_flat, a_flat, p_flat = h.reshape(len(h), -1), a.reshape(len(a), -1), p.reshape(-1)
    for tile in range(first, last):
        model, b = tile // tiles, tile % tiles * LANES
        inside = min(LANES, batch - b)
        _load(dfinal[model], b, 0, 1, p)
        p[:, :, inside:] = 0
        for segment in range(segments - 1, -1, -1):
            k = segment * length
            steps = min(length, time - k)
            h[0] = starts[tile, segment]
            _load(x[model % len(x)], b, k, steps, v[:, 1:])
            _load(dy[model], b, k, steps, g)
            g[:, :, inside:] = 0
            _run(steps, stages, codes, dts[0], U[model], W[model], v, h, a)
            for s in range(steps - 1, -1, -1):
                if C.shape[1]:
                    add_product(Ct[model], g[s], p[0])
                else:
                    p[0, :m] += g[s]
                _step_back(stages, codes, dts[0], Wt[model], a[s], p[0], h_flat[s], a_flat[s], p_flat, d, e)
            if dx.shape[3]:
                back[:] = 0
                for s in range(steps):
                    add_product(Ut[model], a[s], back[s])
                _store(back[:, 1:], b, k, steps, dx[model])
            _weight_gradients(steps, stages, v, h, a, dU[tile], dW[tile])
            if C.shape[1]:
                add_outer(rows(g, 0, steps, 0, g.shape[1]), rows(h, 1, steps, 0, m), dC[tile])
        _store(p, b, 0, 1, dinitial[model])


# --- the cell and its tensors, as the loops read them ---------------------------------------------------


def _tables(cell: Cell, dt: float, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Return the stages, one row each, with a single value that is read twice; codes of activations; dt."""
    table = [
        (stage.source, moved, stage.target, start, end, stage.reads[0], stage.reads[-1])
        for stage, moved, (start, end) in zip(cell.stages, cell.moved_before, cell.blocks, strict=True)
    ]
    codes = [ACTIVATION_CODES[name] for name in cell.activations]
    return torch.tensor(table), torch.tensor(codes), torch.tensor([dt], dtype=dtype)


def forward(cell: Cell, dt: float, x: Tensor, W: Tensor, U: Tensor, C: Tensor, initial: Tensor):
    """Return outputs, last states and what :func:`backward` wants to be kept.

    Parameters
    ----------
    cell, dt
        As for ``nonlinear.recurrence``.
    x, W, U, C, initial : Tensor
        Of shapes (models or 1, batch, time, inputs), (models, q m, m, or 1 for diagonals), (models, q m,
        columns) with a column for the bias, columns for the inputs and columns of zeros, 2 + 4 n in all,
        (models, outputs, or 0 for the state itself, m) and (models, batch, states · m).
    """
    (_, batch, time, _), (models, values, _) = x.shape, U.shape
    size = initial.shape[-1]
    length = max(SHORTEST, min(LONGEST, CACHED // (LANES * (size + values))))
    tiles = models * -(-batch // LANES)
    starts = x.new_empty(tiles, -(-time // length), size, LANES)
    y = x.new_empty(models, batch, time, C.shape[1] or size // cell.states)
    last = x.new_empty(models, batch, 1, size)
    arrays = [t.contiguous() for t in (x, U, W, C, initial[:, :, None])]
    over_batch(_forward, tiles, *_tables(cell, dt, x.dtype), *arrays, y, last, starts)
    return y, last[:, :, 0], (starts,)


def backward(cell: Cell, dt: float, arguments, kept, dy: Tensor, dlast: Tensor, wants_x: bool):
    """Return the gradients of the tensors among the arguments of :func:`forward`.

    Parameters
    ----------
    cell, dt
        As there.
    arguments, kept : tuple of Tensor
        x, W, U, C, initial; and the third result of :func:`forward`.
    dy, dlast : Tensor
        Gradients of its other results.
    wants_x : bool
        Whether the one of x is wanted, too; else it is None.
    """
    (x, W, U, C, initial), (starts,) = arguments, kept
    (_, batch, time, inputs), models, tiles = x.shape, len(U), len(starts)
    transposed = [t.mT.contiguous() for t in (U, W, C)]
    arrays = [t.contiguous() for t in (x, U, W, C, *transposed, starts, dy, dlast[:, :, None])]
    dx = x.new_empty(models, batch, time, inputs if wants_x else 0)
    dinitial = x.new_empty(models, batch, 1, initial.shape[-1])
    per_tile = [x.new_zeros(tiles, *t.shape[1:]) for t in (U, W, C)]
    over_batch(_backward, tiles, *_tables(cell, dt, x.dtype), *arrays, dx, dinitial, *per_tile)
    dU, dW, dC = (t.unflatten(0, (models, tiles // models)).sum(1) for t in per_tile)
    if len(x) < models:
        dx = dx.sum(0, keepdim=True)
    return dx if wants_x else None, dW, dU, dC, dinitial[:, :, 0]
