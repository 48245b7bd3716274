"""Rows of nonlinear recurrences: forward and backward, alone and as a sweep, and the gated cell."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks import plain
from benchmarks.rows import Case, Row, draws, same
from curse_of_memory.nn.recurrence.compiled import threads
from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.nn.recurrence.nonlinear import engines, loops
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED, euler_cell
from curse_of_memory.nn.recurrence.nonlinear.recurrence import recurrence

# why rows fall short, as profiles have it
ALONE = (
    "torch's threads wait for the next product in a loop, on the cores that ours want: with "
    "OMP_WAIT_POLICY=PASSIVE ours is faster, and the plain way slower; the way back repeats the one "
    "forwards, which is quicker than to keep its values"
)
SWEEP = (
    "plain: one model, times 16; the way back repeats the one forwards; what is left are σ, the products "
    "and, at small m, transposing inputs and outputs between sequences and lanes"
)
# what else is asked of rows of the gated cell
SMALL = "wanted, too: nn.LSTM takes at least 0.83 of our time"
FEW_LANES = "wanted of two cores: 64 sequences at a time, as it was once, take at least 1.5 of our time"
SUBNORMAL = (
    "processors differ: where subnormal numbers are slow, five to eight times; where they are not, nothing"
)
MEMORY = "wanted: ours below 1000 MB"
SIGMA = {"tanh": torch.tanh, "hardtanh": nn.functional.hardtanh}


def euler(activation: str, width: int, goal: float, *, diagonal: bool = False, models: int = 1) -> Row:
    """A forward and backward pass of h ← h + dt σ(W h + U x + b), of one model or per model of a sweep."""

    def make(device: str, small: bool) -> Case:
        m, T, B, M = (3, 12, 8, min(models, 2)) if small else (width, 100, 512, models)
        normal, dt = draws(device, torch.float64), 0.1
        x, y = normal(B, T, 1), normal(B, T, 1)
        shapes = [(m,) if diagonal else (m, m), (m, 1), (m,), (1, m)]
        leading = (M,) if M > 1 else ()
        parameters = [normal(*leading, *shape, scale=0.3).requires_grad_() for shape in shapes]
        cell = euler_cell(activation)

        def plain_run(x, W, U, b, C):
            return plain.rnn(x, W, U, b, C, SIGMA[activation], dt=dt, diagonal=diagonal)

        def plain_one(i=0):
            own = [p[i].detach().requires_grad_() for p in parameters] if leading else parameters
            return plain.training_step(plain_run, own, x, y)

        def fast():
            W, U, b, C = parameters
            y_hat = recurrence(cell, x, W, U, b, C, dt=dt, diagonal=diagonal).y
            losses = (y_hat - y).square().mean((-3, -2, -1))
            return [losses.detach(), *torch.autograd.grad(losses.sum(), parameters)]

        def agree():
            if not leading:
                return plain_one(), fast()
            return [torch.stack(one) for one in zip(*map(plain_one, range(M)), strict=True)], fast()

        slab, answer = normal(B, m), normal(*leading, B, T, 1).requires_grad_()

        def values():
            for _ in range(M * T):
                SIGMA[activation](slab)

        def forward():
            with torch.no_grad():
                W, U, b, C = parameters
                recurrence(cell, x, W, U, b, C, dt=dt, diagonal=diagonal)

        def loss():
            torch.autograd.grad((answer - y).square().mean((-3, -2, -1)).sum(), answer)

        per_unit = 3 if diagonal else m + 2
        return Case(
            plain=plain_one,
            fast=fast,
            agree=agree,
            times=M,
            flops=M * 6 * B * T * m * per_unit,
            traffic=M * 8 * B * T * 4,
            others={"the way forwards": forward, "σ of all states, by torch,": values, "the loss": loss},
            note=SWEEP if leading else ALONE,
        )

    kind = "diagonal" if diagonal else "dense"
    sweep = f", per model in a sweep of {models}" if models > 1 else ""
    name = f"{activation} RNN {kind}, B 512, T 100, m {width}, forward+backward{sweep}"
    return Row(name, "eager time loop", goal, make)


def gated(batch: int, time: int, width: int, goal: float, against: str = "", note: str = "") -> Row:
    """A forward and backward pass of the two-state gated cell, beside torch's fused LSTM of its size."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        normal = draws(device, torch.float32)
        x, weight = normal(B, T, 1), normal(B, T, m)
        shapes = [(4 * m, m), (4 * m, 1), (4 * m,)]
        parameters = [normal(*shape, scale=m**-0.5).requires_grad_() for shape in shapes]
        torch.manual_seed(0)
        fused = nn.LSTM(1, m, batch_first=True).to(device)

        def way(run, wanted):
            def step():
                y = run(x)
                return [y.detach(), *torch.autograd.grad((y * weight).sum() / (B * T), wanted)]

            return step

        loop = way(lambda x: plain.gated(x, *parameters), parameters)
        ours = way(lambda x: recurrence(GATED, x, *parameters).y, parameters)

        def in_tiles_of_64():
            chosen, loops.lanes_of = loops.lanes_of, lambda batch, width: 64
            try:
                ours()
            finally:
                loops.lanes_of = chosen

        def by_torch():
            compiled, engines.COMPILED = engines.COMPILED, ()
            try:
                ours()
            finally:
                engines.COMPILED = compiled

        others: dict[str, Callable[[], object]] = {
            "nn.LSTM": way(lambda x: fused(x)[0], list(fused.parameters()))
        }
        if batch < 64:
            others["64 sequences at a time"] = in_tiles_of_64
        if width > 400:
            others["the way by torch's products"] = by_torch
        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=6 * B * T * 4 * m * (m + 1),
            traffic=4 * B * T * (2 * m + 2),
            dtype=torch.float32,
            others=others,
            note=note,
        )

    name = f"two-state gated cell, B {batch}, T {time}, h {width}, float32, forward+backward"
    return Row(name, "eager time loop", goal, make, against=against)


def _of_last_step(device: str, batch: int, time: int, width: int):
    """Return inputs, and the parameters and the loss of a gated cell with a readout of one number."""
    normal = draws(device, torch.float32)
    x, target = normal(batch, time, 2), normal(batch, 1)
    shapes = [(4 * width, width), (4 * width, 2), (4 * width,), (1, width)]
    parameters = [normal(*shape, scale=width**-0.5).requires_grad_() for shape in shapes]

    def step(answer):
        loss = (answer - target).square().mean()
        return [loss.detach(), *torch.autograd.grad(loss, parameters)]

    return x, parameters, step


def last_step(batch: int, time: int, width: int, dt: float) -> Row:
    """A loss on the last step alone against one on all steps: gradients come from the end, and vanish."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, parameters, step = _of_last_step(device, B, T, m)
        W, U, b, C = parameters

        def of_all():
            return step(recurrence(GATED, x, W, U, b, C, dt=dt).y[..., 0])

        def sliced():
            return step(recurrence(GATED, x, W, U, b, C, dt=dt).y[:, -1])

        def alone():
            return step(recurrence(GATED, x, W, U, b, C, dt=dt, last_only=True).y[:, 0])

        return Case(
            plain=of_all,
            fast=alone,
            agree=same(sliced, alone),
            dtype=torch.float32,
            others={"all answers, of which the loss takes the last,": sliced},
        )

    name = f"two-state gated cell, loss on the last step, B {batch}, T {time}, h {width}, dt {dt}, float32"
    return Row(name, "the same with a loss on all steps", 0.91, make)


def adding(batch: int, time: int, width: int) -> Row:
    """A training step of the adding problem: two channels, a loss on the last step; time and peak memory."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, parameters, step = _of_last_step(device, B, T, m)
        W, U, b, C = parameters

        def loop():
            return step(plain.gated(x, W, U, b, dt=0.01)[:, -1] @ C.T)

        def ours():
            return step(recurrence(GATED, x, W, U, b, C, dt=0.01, last_only=True).y[:, 0])

        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=6 * B * T * 4 * m * (m + 2),
            dtype=torch.float32,
            note=MEMORY,
        )

    name = f"adding problem, gated cell, B {batch}, T {time}, h {width}, float32, forward+backward"
    return Row(name, "eager time loop", 1.7, make, memory=True)


def flushed(layer: str, batch: int, time: int, width: int) -> Row:
    """A training step whose gradients vanish, with subnormal numbers flushed to zero and with them kept."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, parameters, step = _of_last_step(device, B, T, m)
        W, U, b, C = parameters
        torch.manual_seed(0)
        fused = nn.LSTM(2, m, batch_first=True).to(device)
        with torch.no_grad():  # gradients vanish slowly then, and are subnormal for long
            fused.get_parameter("bias_ih_l0")[m : 2 * m] = 1.0
        wanted = list(fused.parameters())

        def of_cell():
            return step(recurrence(GATED, x, W, U, b, C, dt=0.44, last_only=True).y[:, 0])

        def of_lstm():
            y = fused(x)[0][:, -1]
            return [y.detach(), *torch.autograd.grad(y.mean(), wanted)]

        work = of_cell if layer == "gated cell" else of_lstm

        def kept():
            chosen = threads.with_subnormals_flushed
            threads.with_subnormals_flushed = lambda loop, *arguments: loop(*arguments)
            try:
                return work()
            finally:
                threads.with_subnormals_flushed = chosen

        def gone():
            with subnormals_flushed():
                return work()

        return Case(plain=kept, fast=gone, agree=same(kept, gone), dtype=torch.float32, note=SUBNORMAL)

    name = f"subnormals flushed, {layer}, loss on the last step, B {batch}, T {time}, h {width}, float32"
    return Row(name, "subnormals kept", 1.0, make)


ROWS = [
    *(euler("tanh", m, 4) for m in (8, 16, 64)),
    *(euler("tanh", m, 15, models=16) for m in (8, 16, 64)),
    *(euler("hardtanh", m, 8, diagonal=True) for m in (8, 16, 64)),
    gated(32, 1000, 16, 1.0, against="nn.LSTM"),
    gated(128, 784, 128, 1.7),
    gated(8, 17_984, 32, 15, note=SMALL),
    gated(50, 2000, 128, 1.5, against="64 sequences at a time", note=FEW_LANES),
    gated(128, 20, 512, 1.0, against="the way by torch's products"),
    last_step(50, 1000, 128, 0.44),
    adding(50, 10_000, 128),
    flushed("gated cell", 50, 1000, 128),
    flushed("nn.LSTM", 50, 784, 128),
]
