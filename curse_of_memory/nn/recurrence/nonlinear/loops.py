"""Compiled loops for the cells of ``cells``, forwards and backwards, on the CPU.

Equation.   The step of a cell: values s_i = σ_i(W_i h + U_i x_k + b_i), then the updates h ← F(h, s). With p
            the adjoint of the states,

                δ_i = σ_i' (∂F/∂s_i)ᵀ p_target,   p_target ← (∂F/∂h)ᵀ p_target,   p_source ← p_source + W_iᵀ
                δ_i,

            through the stages in reverse order. Then dL/dW = Σ δ hᵀ, dL/dU = Σ δ xᵀ and dL/db = Σ δ.

Algorithm.  Some sequences, the lanes of a tile, go side by side: all arrays of a tile end with an axis of
            that length, over which the processor computes many numbers per instruction. Many lanes make more
            use of a weight that is loaded; few leave less of a small batch empty, and more threads busy. Time
            goes in segments so short that a tile's states and values stay in the cache. The way forwards
            keeps nothing but the states at the starts of the segments; the way backwards computes each
            segment once more from there, runs the adjoint through it, and takes the weights' gradients as one
            product over all steps and lanes of the segment. That costs one more way forwards, and saves
            arrays of (state, time, batch), which take longer to get from the system, to write and to read
            again. Gradients are added up per tile: they do not depend on the number of threads. dL/d(dt) = Σ
            p_target ∂F/∂(dt) is added up on the way, if it is wanted. Where only the last states are read,
            there are no arrays of outputs: their time is zero then.

Arrays.     h (length + 1, states · m, lanes): slot 0 is before the segment, slot s + 1 after its step s.
            a (length, values · m, lanes): preactivations, then values, then δ, each written over the last.
            v (length, 1 + inputs, lanes): a row of ones for the bias, and the inputs.
            g (length, outputs, lanes): what comes back from the outputs.
            All have one more row where their number would be even.
"""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.threads import over_batch
from curse_of_memory.nn.recurrence.compiled.vector_math import OPTIONS, SMALL
from curse_of_memory.nn.recurrence.nonlinear.cells import Cell
from curse_of_memory.nn.recurrence.nonlinear.lanes import (
    ACTIVATION_CODES,
    activate,
    add_diagonal_outer,
    add_diagonal_product,
    add_step_gradient,
    move,
    move_back,
    slope,
)
from curse_of_memory.nn.recurrence.nonlinear.products import (
    HEIGHT,
    add_outer,
    add_packed,
    add_product,
    pack,
    set_product,
    workspace,
)

__all__ = ["backward", "forward"]

# numbers of a tile and a segment, so that they stay in a cache of the second level; and bounds on its steps,
# the lower one times the lanes, since a sum over both at once is the faster the more there are
CACHED = 1 << 15
SHORTEST, LONGEST = 512, 128

WORTH_PACKING = 8  # steps

# lanes of a tile; how much slower few of them are, and from which width on that is much
FEW, MANY = 16, 64
SLOWER, WIDE = 1.2, 256


# --- one segment ------------------------------------------------------------------------------------


@compiled(**SMALL)
def _pack_all(stages, W, P, Q):
    """Pack the rows of W for each stage into P, and their transpose into Q; where these have room."""
    m, first = W.shape[1], 0
    for k in range(len(stages)):
        rows = W[stages[k, 3] * m : stages[k, 4] * m]
        if len(P):
            pack(rows, P[first : first + len(rows) // HEIGHT])
        if len(Q):
            pack(rows.T, Q[k * (m // HEIGHT) : (k + 1) * (m // HEIGHT)])
        first += len(rows) // HEIGHT


@compiled(**SMALL)
def _run(steps, stages, codes, dt, U, W, P, v, h, a):
    """Go through the steps of a segment: fill h and a. dt has a number for each lane, too; P is W, packed."""
    m = len(U) // len(codes)
    block = m * a.shape[2]
    a_flat, h_flat, dt_flat = a.reshape(len(a), -1), h.reshape(len(h), -1), dt.reshape(-1)
    for s in range(steps):
        set_product(U, v[s], a[s])
        packed = 0
        for k in range(len(stages)):
            source, moved, target, start, end, first, second = stages[k]
            read = h[s + moved, source * m : (source + 1) * m]
            if W.shape[1] < m:
                for i in range(start, end):
                    add_diagonal_product(W[i * m : (i + 1) * m, 0], read, a[s, i * m : (i + 1) * m])
            else:
                rows = W[start * m : end * m]
                blocks = P[packed : packed + len(rows) // HEIGHT]
                add_packed(blocks, rows, read, a[s, start * m : end * m])
                packed += len(blocks)
            for i in range(start, end):
                activate(codes[i], a_flat[s, i * block : (i + 1) * block])
            all_of = slice(target * block, (target + 1) * block)
            one = a_flat[s, first * block : (first + 1) * block]
            two = a_flat[s, second * block : (second + 1) * block]
            move(h_flat[s, all_of], h_flat[s + 1, all_of], one, two, second != first, dt_flat[all_of])


@compiled(**SMALL)
def _run_back(steps, answered, stages, codes, dt, W, Q, C, h, a, g, p, d, e, ddt):
    """Take the adjoint p back through the steps of a segment; a gets δ. d and e are to work in.

    Q is Wᵀ, packed. If outputs were `answered`, g is what comes back from them. The gradient of dt is added
    to ddt, if that has a place for it.
    """
    m = len(W) // len(codes)
    block = m * a.shape[2]
    a_flat, h_flat, g_flat = a.reshape(len(a), -1), h.reshape(len(h), -1), g.reshape(len(g), -1)
    p_flat, d_flat, e_flat = p.reshape(-1), d.reshape(-1)[:block], e.reshape(-1)[:block]
    dt_flat = dt.reshape(-1)
    for s in range(steps - 1, -1, -1):
        if answered and len(C):
            add_product(C.T, g[s], p[:m])
        elif answered:
            for n in range(block):
                p_flat[n] += g_flat[s, n]
        for k in range(len(stages) - 1, -1, -1):
            source, _, target, start, end, first, second = stages[k]
            if len(ddt):
                rows = slice(target * m, (target + 1) * m)
                one, two = a[s, first * m : (first + 1) * m], a[s, second * m : (second + 1) * m]
                add_step_gradient(p[rows], h[s, rows], one, two, second != first, ddt[rows])
            all_of = slice(target * block, (target + 1) * block)
            ones = a_flat[s, first * block : (first + 1) * block]
            twos = a_flat[s, second * block : (second + 1) * block]
            adjoint, old, step = p_flat[all_of], h_flat[s, all_of], dt_flat[all_of]
            move_back(adjoint, d_flat, e_flat, old, ones, twos, second != first, step)
            slope(codes[first], ones, d_flat)
            if second != first:
                slope(codes[second], twos, e_flat)
            back = p[source * m : (source + 1) * m]
            if W.shape[1] < m:
                for i in range(start, end):
                    add_diagonal_product(W[i * m : (i + 1) * m, 0], a[s, i * m : (i + 1) * m], back)
            else:
                blocks = Q[k * (m // HEIGHT) : (k + 1) * (m // HEIGHT)]
                add_packed(blocks, W[start * m : end * m].T, a[s, start * m : end * m], back)


@compiled(**SMALL)
def _multiply(steps, W, h, a):
    """Write W h to a for all steps."""
    for s in range(steps):
        set_product(W, h[s], a[s])


@compiled(**SMALL)
def _weight_gradients(steps, stages, values, v, h, a, dU, dW):
    """Add the gradients of a segment: each a product over its steps and lanes."""
    m = len(dU) // values
    add_outer(a[:steps], v, dU, 0, 0)
    for k in range(len(stages)):
        source, moved, _, start, end, _, _ = stages[k]
        if dW.shape[1] < m:
            for i in range(start, end):
                for s in range(steps):
                    share, read = a[s, i * m : (i + 1) * m], h[s + moved, source * m : (source + 1) * m]
                    add_diagonal_outer(share, read, dW[i * m : (i + 1) * m, 0])
        else:
            add_outer(a[:steps], h[moved:], dW[start * m : end * m], start * m, source * m)


# --- between the arrays of the caller, (batch, time, channel), and tiles -------------------------------


@compiled(**SMALL)
def _load(x, b, k, steps, rows):
    """Copy x[b + lane, k + step, row] to rows[step, row, lane]; lanes past the batch repeat the last one."""
    for s in range(steps):
        for n in range(rows.shape[2]):
            values = x[min(b + n, len(x) - 1), k + s]
            for i in range(len(values)):
                rows[s, i, n] = values[i]


@compiled(**SMALL)
def _store(rows, b, k, steps, y):
    """Copy rows[step, row, lane] to y[b + lane, k + step, row], for the lanes within the batch."""
    for s in range(steps):
        for n in range(min(rows.shape[2], len(y) - b)):
            values = y[b + n, k + s]
            for i in range(len(values)):
                values[i] = rows[s, i, n]


@compiled(**SMALL)
def _spread(numbers, rows):
    """Write each of the numbers to all lanes of its row."""
    for i in range(len(numbers)):
        rows[i, :] = numbers[i]


@compiled(**SMALL)
def _segment(lanes, rows):
    """Return the steps of a segment for so many lanes, and rows of h and a together."""
    return max(SHORTEST // lanes, min(LONGEST, CACHED // (lanes * rows)))


@compiled(**SMALL)
def _blocks(time, stages, W):
    """Return how many blocks W is packed into: none if it is diagonal, or there are few steps."""
    m, count = W.shape[2], 0
    if m == 1 or time < WORTH_PACKING:
        return 0
    for k in range(len(stages)):
        count += (stages[k, 4] - stages[k, 3]) * m // HEIGHT
    return count


@compiled(**OPTIONS)
def _forward(first, last, stages, codes, x, U, W, C, initial, dt, y, final, starts):
    """Run the tiles `first` … `last` − 1; write outputs, last states, and states at the segments' starts.

    Of the cell, `stages` and `codes` come from ``_tables``. Shapes: `x` (models or 1, batch, time, inputs);
    `U` (models, values · m, bias and inputs); `W` (models, values · m, m, or 1 for diagonals); `C` (models,
    outputs, or 0 for the state itself, m); `initial` and `final` (models, batch, 1, states · m); `dt`
    (models, states · m); `y` (models, batch, time, or 0 if unwanted, outputs); `starts` (tiles, segments, or
    0 if unwanted, states · m, lanes).
    """
    time, dtype = x.shape[2], x.dtype
    size, lanes = starts.shape[2:]
    tiles, length = len(starts) // len(U), _segment(lanes, size + U.shape[1])
    h, a = workspace(length + 1, size, lanes, dtype), workspace(length, U.shape[1], lanes, dtype)
    v, g = workspace(length, U.shape[2], lanes, dtype), workspace(length, C.shape[1], lanes, dtype)
    dt_of = workspace(1, size, lanes, dtype)[0]
    P = np.empty((_blocks(time, stages, W), HEIGHT * W.shape[2]), dtype)
    v[:, 0] = 1
    for tile in range(first, last):
        model, b = tile // tiles, tile % tiles * lanes
        if tile == first or b == 0:
            _pack_all(stages, W[model], P, P[:0])
        _load(initial[model], b, 0, 1, h)
        _spread(dt[model], dt_of)
        for k in range(0, time, length):
            steps = min(length, time - k)
            if starts.shape[1]:
                starts[tile, k // length] = h[0, :size]
            _load(x[model % len(x)], b, k, steps, v[:, 1:])
            _run(steps, stages, codes, dt_of, U[model], W[model], P, v, h, a)
            if y.shape[2] and C.shape[1]:
                _multiply(steps, C[model], h[1:], g)
                _store(g, b, k, steps, y[model])
            elif y.shape[2]:
                _store(h[1:], b, k, steps, y[model])
            h[0] = h[steps]
        _store(h, b, 0, 1, final[model])


@compiled(**OPTIONS)
def _backward(first, last, stages, codes, x, U, W, C, dt, starts, dy, dfinal, dx, dinitial, dU, dW, dC, ddt):
    """Run the adjoint of ``_forward`` through the tiles `first` … `last` − 1; write the gradients.

    `stages`, `codes`, `x`, `U`, `W`, `C`, `dt` and `starts` are as there. `dy` and `dfinal` come in; `dx`
    (models, batch, time, inputs, or 0 if unwanted) and `dinitial` go out; and `dU`, `dW`, `dC` and `ddt`
    (tiles, states · m, or 0 if unwanted) get one gradient per tile where the weights have one per model.
    """
    (batch, time), dtype = x.shape[1:3], x.dtype
    segments, size, lanes = starts.shape[1:]
    tiles, length = len(starts) // len(U), _segment(lanes, size + U.shape[1])
    m, answered = size // len(stages), dy.shape[2] > 0
    h, a = workspace(length + 1, size, lanes, dtype), workspace(length, U.shape[1], lanes, dtype)
    v, g = workspace(length, U.shape[2], lanes, dtype), workspace(length, dy.shape[3], lanes, dtype)
    v[:, 0] = 1
    back, p = workspace(length, dx.shape[3], lanes, dtype), workspace(1, size, lanes, dtype)
    d, e = workspace(1, m, lanes, dtype)[0], workspace(1, m, lanes, dtype)[0]
    dt_of = workspace(1, size, lanes, dtype)[0]
    packed = _blocks(time, stages, W)
    P = np.empty((packed, HEIGHT * m), dtype)
    Q = np.empty((len(stages) * (m // HEIGHT) if packed else 0, HEIGHT * W.shape[1]), dtype)
    for tile in range(first, last):
        model, b = tile // tiles, tile % tiles * lanes
        if tile == first or b == 0:
            _pack_all(stages, W[model], P, Q)
        inside = min(lanes, batch - b)
        _load(dfinal[model], b, 0, 1, p)
        p[:, :, inside:] = 0
        _spread(dt[model], dt_of)
        for segment in range(segments - 1, -1, -1):
            k = segment * length
            steps = min(length, time - k)
            h[0, :size] = starts[tile, segment]
            _load(x[model % len(x)], b, k, steps, v[:, 1:])
            if answered:
                _load(dy[model], b, k, steps, g)
                g[:, :, inside:] = 0
            _run(steps, stages, codes, dt_of, U[model], W[model], P, v, h, a)
            _run_back(
                steps, answered, stages, codes, dt_of, W[model], Q, C[model], h, a, g, p[0], d, e, ddt[tile]
            )
            if dx.shape[3]:
                _multiply(steps, U[model, :, 1:].T, a, back)
                _store(back, b, k, steps, dx[model])
            _weight_gradients(steps, stages, len(codes), v, h, a, dU[tile], dW[tile])
            if answered and C.shape[1]:
                add_outer(g[:steps], h[1:], dC[tile], 0, 0)
        _store(p, b, 0, 1, dinitial[model])


# --- the cell and its tensors, as the loops read them ---------------------------------------------------


@lru_cache
def _tables(cell: Cell) -> tuple[Tensor, Tensor]:
    """Return the stages, one row each, with a single value that is read twice; codes of activations."""
    table = [
        (stage.source, moved, stage.target, start, end, stage.reads[0], stage.reads[-1])
        for stage, moved, (start, end) in zip(cell.stages, cell.moved_before, cell.blocks, strict=True)
    ]
    codes = [ACTIVATION_CODES[name] for name in cell.activations]
    return torch.tensor(table), torch.tensor(codes)


def lanes_of(batch: int, width: int) -> int:
    """Return how many sequences of a `batch` go side by side, for so many units.

    FEW keep two threads busy from 17 sequences on. MANY are faster by themselves: a little for narrow cells,
    by half for wide ones. It does not depend on the number of threads, so that sums do not either.
    """
    if batch <= 2 * FEW or (batch < 2 * MANY and width < WIDE):
        return FEW
    return MANY if _padded(batch, MANY) <= SLOWER * _padded(batch, FEW) else FEW


def _padded(batch: int, lanes: int) -> int:
    return -(-batch // lanes) * lanes


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

    Parameters
    ----------
    cell : Cell
        As for ``nonlinear.recurrence``.
    x, W, U, C, initial, dt : Tensor
        Of shapes (models or 1, batch, time, inputs), (models, q m, m, or 1 for diagonals), (models, q m,
        1 + inputs) with a column for the bias, (models, outputs, or 0 for the state itself, m), (models,
        batch, states · m) and (models, states · m).
    answers, keeps : bool
        Whether outputs are wanted, and whether there is a way back. Without the first, outputs are those of
        no step; without the second, nothing is kept.
    """
    (_, batch, time, _), (models, rows, _) = x.shape, U.shape
    size = initial.shape[-1]
    lanes = lanes_of(batch, size // cell.states)
    tiles = models * -(-batch // lanes)
    segments = -(-time // _segment(lanes, size + rows)) if keeps else 0
    starts = x.new_empty(tiles, segments, size, lanes)
    y = x.new_empty(models, batch, time if answers else 0, C.shape[1] or size // cell.states)
    last = x.new_empty(models, batch, 1, size)
    arrays = [t.contiguous() for t in (x, U, W, C, initial[:, :, None], dt)]
    over_batch(_forward, tiles, *_tables(cell), *arrays, y, last, starts)
    return y, last[:, :, 0], (starts,)


def backward(cell: Cell, arguments, kept, dy: Tensor, dlast: Tensor, wants_x: bool, wants_dt: bool):
    """Return the gradients of the tensors among the arguments of :func:`forward`; x has one per model.

    Parameters
    ----------
    cell : Cell
        As there.
    arguments, kept : tuple of Tensor
        x, W, U, C, initial, dt; and the third result of :func:`forward`.
    dy, dlast : Tensor
        Gradients of its other results.
    wants_x, wants_dt : bool
        Whether those of x and dt are wanted, too; else they are None.
    """
    (x, W, U, C, initial, dt), tiles = arguments, len(kept[0])
    (_, batch, time, inputs), models = x.shape, len(U)
    arrays = [t.contiguous() for t in (x, U, W, C, dt, *kept, dy, dlast[:, :, None])]
    dx = x.new_empty(models, batch, time, inputs if wants_x else 0)
    dinitial = x.new_empty(models, batch, 1, initial.shape[-1])
    per_tile = [x.new_zeros(tiles, *t.shape[1:]) for t in (U, W, C, dt if wants_dt else dt[:, :0])]
    over_batch(_backward, tiles, *_tables(cell), *arrays, dx, dinitial, *per_tile)
    dU, dW, dC, ddt = (t.unflatten(0, (models, tiles // models)).sum(1) for t in per_tile)
    return dx if wants_x else None, dW, dU, dC, dinitial[:, :, 0], ddt if wants_dt else None
