"""Products of matrices with states, for many sequences side by side.

Equation.   a ← a + W h for each lane, and G ← G + Σ δ hᵀ over steps and lanes.

Algorithm.  A block of the result, a few rows by a few vectors of the processor, is held in registers while
            the sum over columns, or over steps and lanes, runs: so a number that was loaded is used several
            times. A compiler does not find this form by itself in loops over arrays, where what was written
            may be read again. So the blocks are written in the compiler's own language (LLVM), as
            instructions for vectors of 64 bytes, which it divides where the processor's are shorter. Of wide
            matrices a few columns are taken at a time, whose states stay in the nearest cache. A matrix that
            is used at many steps is packed before, so that its numbers are read one after the other.

Sums over columns are taken in their order, those over lanes in no fixed order. W may be strided in any way,
as a transpose is; of all other arrays the last axis are the lanes, without gaps, and always whole vectors.
"""

import numpy as np
from llvmlite import ir
from numba import types

from curse_of_memory.nn.recurrence.compiled._numba_private import cgutils, intrinsic
from curse_of_memory.nn.recurrence.compiled.compile_cache import compiled
from curse_of_memory.nn.recurrence.compiled.vector_math import OPTIONS, SMALL

__all__ = ["HEIGHT", "add_outer", "add_packed", "add_product", "pack", "set_product", "workspace"]

VECTOR = 64  # bytes
COLUMNS = 128  # of W at a time
HEIGHT = 16  # rows of a block of a packed W
ROWS = 16  # of h at a time, in products over steps and lanes
FREE = ("contract",)  # a multiplication and an addition may become one instruction


class _Blocks:
    """Writes vector instructions that read and write numbers of arrays, in one function being compiled."""

    def __init__(self, context, builder, dtype):
        self.context, self.builder = context, builder
        self.number = context.get_value_type(dtype)
        self.width = VECTOR * 8 // dtype.bitwidth
        self.vector = ir.VectorType(self.number, self.width)

    def constant(self, value: int):
        """Return a whole number."""
        return self.context.get_constant(types.intp, value)

    def place(self, layout, array, *indices):
        """Return the address of ``array[indices]``."""
        return cgutils.get_item_pointer(self.context, self.builder, layout, array, indices)

    def load(self, place):
        """Return the vector at an address."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        return self.builder.load(place, align=self.number.get_abi_alignment(self.context.target_data))

    def store(self, value, place):
        """Write a vector to an address."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        self.builder.store(value, place, align=self.number.get_abi_alignment(self.context.target_data))

    def everywhere(self, number):
        """Return a vector of one number."""
        first = self.builder.insert_element(
            ir.Constant(self.vector, ir.Undefined), number, ir.Constant(ir.IntType(32), 0)
        )
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.width), None)
        return self.builder.shuffle_vector(first, first, zeros)

    def variable(self, value=None):
        """Return a variable that holds a vector, zero unless a value is given."""
        variable = cgutils.alloca_once(self.builder, self.vector)
        self.builder.store(ir.Constant(self.vector, None) if value is None else value, variable)
        return variable

    def add_multiplied(self, variable, one, other):
        """Add the product of two vectors to a variable."""
        product = self.builder.fmul(one, other, flags=FREE)
        total = self.builder.fadd(self.builder.load(variable), product, flags=FREE)
        self.builder.store(total, variable)

    def sum(self, vector):
        """Return the sum of a vector's numbers, halves first."""
        width = self.width
        while width > 1:
            width //= 2
            halves = [
                ir.Constant(ir.VectorType(ir.IntType(32), width), list(range(start, start + width)))
                for start in (0, width)
            ]
            low, high = (self.builder.shuffle_vector(vector, vector, half) for half in halves)
            vector = self.builder.fadd(low, high)
        return self.builder.extract_element(vector, ir.Constant(ir.IntType(32), 0))


@intrinsic
def _product_block(typing, rows, vectors, added, W, h, a, row, lane):
    """Write W h to `rows` rows of a from `row`, or add it if `added`.

    Of the lanes it takes as many as `vectors` vectors hold, from `lane` on.
    """
    count, wide, adds = rows.literal_value, vectors.literal_value, added.literal_value

    def write(context, builder, signature, values):
        layouts = signature.args[3:6]
        arrays = [
            context.make_array(k)(context, builder, v) for k, v in zip(layouts, values[3:6], strict=True)
        ]
        row, lane = values[6:]
        blocks = _Blocks(context, builder, layouts[1].dtype)
        of_W, of_h, of_a = (
            lambda *i, k=k, array=array: blocks.place(k, array, *i)
            for k, array in zip(layouts, arrays, strict=True)
        )
        rows = [builder.add(row, blocks.constant(r)) for r in range(count)]
        lanes = [builder.add(lane, blocks.constant(v * blocks.width)) for v in range(wide)]
        sums = [[blocks.variable(blocks.load(of_a(i, n)) if adds else None) for n in lanes] for i in rows]
        columns = cgutils.unpack_tuple(builder, arrays[0].shape)[1]
        with cgutils.for_range(builder, columns) as loop:
            states = [blocks.load(of_h(loop.index, n)) for n in lanes]
            for i, row_sums in zip(rows, sums, strict=True):
                weight = blocks.everywhere(builder.load(of_W(i, loop.index)))
                for variable, state in zip(row_sums, states, strict=True):
                    blocks.add_multiplied(variable, weight, state)
        for i, row_sums in zip(rows, sums, strict=True):
            for n, variable in zip(lanes, row_sums, strict=True):
                blocks.store(builder.load(variable), of_a(i, n))
        return context.get_dummy_value()

    return types.void(rows, vectors, added, W, h, a, types.intp, types.intp), write


@intrinsic
def _packed_block(typing, rows, vectors, P, h, a, block, within, start, columns, lane):
    """Add W h, for `columns` of W from `start` on, to `rows` rows of a; W is packed, see ``pack``.

    The rows are those of the `block` from its row `within` on; of the lanes it takes as many as `vectors`
    vectors hold, from `lane` on.
    """
    count, wide = rows.literal_value, vectors.literal_value

    def write(context, builder, signature, values):
        layouts = signature.args[2:5]
        arrays = [
            context.make_array(k)(context, builder, v) for k, v in zip(layouts, values[2:5], strict=True)
        ]
        block, within, start, columns, lane = values[5:]
        blocks = _Blocks(context, builder, layouts[1].dtype)
        of_P, of_h, of_a = (
            lambda *i, k=k, array=array: blocks.place(k, array, *i)
            for k, array in zip(layouts, arrays, strict=True)
        )
        height = blocks.constant(HEIGHT)
        first = builder.add(builder.mul(block, height), within)
        rows = [builder.add(first, blocks.constant(r)) for r in range(count)]
        lanes = [builder.add(lane, blocks.constant(v * blocks.width)) for v in range(wide)]
        sums = [[blocks.variable(blocks.load(of_a(i, n))) for n in lanes] for i in rows]
        with cgutils.for_range(builder, columns) as loop:
            column = builder.add(start, loop.index)
            states = [blocks.load(of_h(column, n)) for n in lanes]
            weights = of_P(block, builder.add(builder.mul(column, height), within))
            for r, row_sums in enumerate(sums):
                weight = blocks.everywhere(builder.load(builder.gep(weights, [blocks.constant(r)])))
                for variable, state in zip(row_sums, states, strict=True):
                    blocks.add_multiplied(variable, weight, state)
        for i, row_sums in zip(rows, sums, strict=True):
            for n, variable in zip(lanes, row_sums, strict=True):
                blocks.store(builder.load(variable), of_a(i, n))
        return context.get_dummy_value()

    return types.void(rows, vectors, P, h, a, *[types.intp] * 5), write


@intrinsic
def _outer_block(typing, rows, columns, d, h, G, first, second, row, column):
    """Add Σ d hᵀ over steps and lanes to `rows` rows from `row` and `columns` columns from `column` of G.

    The rows of d count from `first`, those of h from `second`.
    """
    high, wide = rows.literal_value, columns.literal_value

    def write(context, builder, signature, values):
        layouts = signature.args[2:5]
        arrays = [
            context.make_array(k)(context, builder, v) for k, v in zip(layouts, values[2:5], strict=True)
        ]
        first, second, row, column = values[5:]
        blocks = _Blocks(context, builder, layouts[0].dtype)
        of_d, of_h, of_G = (
            lambda *i, k=k, array=array: blocks.place(k, array, *i)
            for k, array in zip(layouts, arrays, strict=True)
        )

        def counted(start, count):
            return [builder.add(start, blocks.constant(i)) for i in range(count)]

        rows, columns = counted(row, high), counted(column, wide)
        d_rows = counted(builder.add(first, row), high)
        h_rows = counted(builder.add(second, column), wide)
        sums = [[blocks.variable() for _ in columns] for _ in rows]
        steps, _, lanes = cgutils.unpack_tuple(builder, arrays[0].shape)
        vectors = builder.udiv(lanes, blocks.constant(blocks.width))
        with cgutils.for_range(builder, steps) as step, cgutils.for_range(builder, vectors) as vector:
            n = builder.mul(vector.index, blocks.constant(blocks.width))
            left = [blocks.load(of_d(step.index, i, n)) for i in d_rows]
            right = [blocks.load(of_h(step.index, j, n)) for j in h_rows]
            for i, row_sums in zip(left, sums, strict=True):
                for j, variable in zip(right, row_sums, strict=True):
                    blocks.add_multiplied(variable, i, j)
        for i, row_sums in zip(rows, sums, strict=True):
            for j, variable in zip(columns, row_sums, strict=True):
                place = of_G(i, j)
                total = builder.fadd(builder.load(place), blocks.sum(builder.load(variable)))
                builder.store(total, place)
        return context.get_dummy_value()

    argument_types = (rows, columns, d, h, G)
    return types.void(*argument_types, types.intp, types.intp, types.intp, types.intp), write


@compiled(**SMALL)
def _set(W, h, a):
    rows, lanes, vector = len(W), a.shape[1], VECTOR // a.itemsize
    in_fours = lanes - lanes % (4 * vector)
    for lane in range(0, in_fours, 4 * vector):
        for i in range(0, rows - 3, 4):
            _product_block(4, 4, 0, W, h, a, i, lane)
        for i in range(rows - rows % 4, rows):
            _product_block(1, 4, 0, W, h, a, i, lane)
    for lane in range(in_fours, lanes, vector):
        for i in range(0, rows - 7, 8):
            _product_block(8, 1, 0, W, h, a, i, lane)
        for i in range(rows - rows % 8, rows):
            _product_block(1, 1, 0, W, h, a, i, lane)


@compiled(**SMALL)
def _add(W, h, a):
    rows, lanes, vector = len(W), a.shape[1], VECTOR // a.itemsize
    in_fours = lanes - lanes % (4 * vector)
    for lane in range(0, in_fours, 4 * vector):
        for i in range(0, rows - 3, 4):
            _product_block(4, 4, 1, W, h, a, i, lane)
        for i in range(rows - rows % 4, rows):
            _product_block(1, 4, 1, W, h, a, i, lane)
    for lane in range(in_fours, lanes, vector):
        for i in range(0, rows - 7, 8):
            _product_block(8, 1, 1, W, h, a, i, lane)
        for i in range(rows - rows % 8, rows):
            _product_block(1, 1, 1, W, h, a, i, lane)


@compiled(**SMALL)
def set_product(W, h, a):
    """Write W h to the first rows of a."""
    _set(W[:, :COLUMNS], h[:COLUMNS], a)
    for start in range(COLUMNS, W.shape[1], COLUMNS):
        _add(W[:, start : start + COLUMNS], h[start : start + COLUMNS], a)


@compiled(**SMALL)
def add_product(W, h, a):
    """Add W h to the first rows of a."""
    for start in range(0, W.shape[1], COLUMNS):
        _add(W[:, start : start + COLUMNS], h[start : start + COLUMNS], a)


@compiled(**SMALL)
def pack(W, P):
    """Write W to P as :func:`add_packed` reads it: whole blocks of HEIGHT rows, column by column."""
    for b in range(len(P)):
        for k in range(W.shape[1]):
            for r in range(HEIGHT):
                P[b, k * HEIGHT + r] = W[b * HEIGHT + r, k]


@compiled(**SMALL)
def add_packed(P, W, h, a):
    """Add W h to the first rows of a; the first of W are packed in P, as many as it has."""
    rows, columns, lanes, vector = len(P) * HEIGHT, W.shape[1], a.shape[1], VECTOR // a.itemsize
    in_fours = lanes - lanes % (4 * vector)
    for start in range(0, columns, COLUMNS):
        count = min(COLUMNS, columns - start)
        for lane in range(0, in_fours, 4 * vector):
            for i in range(0, rows, 4):
                _packed_block(4, 4, P, h, a, i // HEIGHT, i % HEIGHT, start, count, lane)
        for lane in range(in_fours, lanes, vector):
            for b in range(len(P)):
                _packed_block(HEIGHT, 1, P, h, a, b, 0, start, count, lane)
    if rows < len(W):
        add_product(W[rows:], h, a[rows:])


@compiled(**SMALL)
def add_outer(d, h, G, first, second):
    """Add Σ d hᵀ to G, for arrays (step, row, lane) whose rows count from `first` and `second`."""
    rows, columns = G.shape
    in_fours = columns - columns % 4
    for left in range(0, in_fours, ROWS):
        right = min(left + ROWS, in_fours)
        for i in range(0, rows - 3, 4):
            for j in range(left, right, 4):
                _outer_block(4, 4, d, h, G, first, second, i, j)
        for i in range(rows - rows % 4, rows):
            for j in range(left, right, 4):
                _outer_block(1, 4, d, h, G, first, second, i, j)
    for j in range(in_fours, columns):
        for i in range(0, rows - 3, 4):
            _outer_block(4, 1, d, h, G, first, second, i, j)
        for i in range(rows - rows % 4, rows):
            _outer_block(1, 1, d, h, G, first, second, i, j)


@compiled(**OPTIONS)
def workspace(steps, rows, lanes, dtype):
    """Return an empty array (step, row, lane) that starts where a vector of the processor does.

    It has an odd number of rows, one more than asked for if need be: or else the same row of many steps may
    lie where a cache has room for a few.
    """
    rows |= 1
    size = steps * rows * lanes
    numbers = np.empty(size + VECTOR, dtype)
    skipped = (-numbers.ctypes.data % VECTOR) // numbers.itemsize
    return numbers[skipped : skipped + size].reshape(steps, rows, lanes)
