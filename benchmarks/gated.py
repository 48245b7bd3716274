"""Rows of the two-state gated cell: forward and backward, losses on the last step, subnormal numbers."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks import peers_jax, plain
from benchmarks.rows import Case, Row, draws, same
from curse_of_memory.nn.recurrence.compiled import threads
from curse_of_memory.nn.recurrence.compiled.subnormals import subnormals_flushed
from curse_of_memory.nn.recurrence.nonlinear import engines, loops
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED
from curse_of_memory.nn.recurrence.nonlinear.recurrence import recurrence

# what else is asked of rows of the gated cell
SMALL = "wanted, too: nn.LSTM takes at least 0.83 of our time"
FEW_LANES = "wanted of two cores: 64 sequences at a time, as it was once, take at least 1.5 of our time"
SUBNORMAL = (
    "processors differ: where subnormal numbers are slow, five to eight times; where they are not, nothing"
)
MEMORY = "wanted: ours below 1000 MB"


def gated(batch: int, time: int, width: int, goal: float, against: str = "", note: str = "") -> Row:
    """A forward and backward pass of the two-state gated cell, beside torch's fused LSTM of its size."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        normal = draws(device, torch.float32)
        x, weight = normal(B, T, 1), normal(B, T, m)
        shapes = [(4 * m, m), (4 * m, 1), (4 * m,)]
        parameters = [normal(*shape, scale=m**-0.5).requires_grad_() for shape in shapes]
        torch.manual_seed(0)
        fused = {kind: kind(1, m, batch_first=True).to(device) for kind in (nn.LSTM, nn.GRU)}

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
            f"nn.{kind.__name__}": way(lambda x, layer=layer: layer(x)[0], list(layer.parameters()))
            for kind, layer in fused.items()
        }
        if batch < 64:
            others["64 sequences at a time"] = in_tiles_of_64
        if width > 400:
            others["the way by torch's products"] = by_torch

        def loss(engine):
            run = engine.gated()

            def of(W, U, b, x, weight):
                y = run(W, U, b, x)
                return (y * weight).sum() / (B * T), y

            return of

        def forward():
            with torch.no_grad():
                recurrence(GATED, x, *parameters)

        by_jax = peers_jax.graded(device, loss, parameters, [x, weight], ours, forward=forward)
        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=6 * B * T * 4 * m * (m + 1),
            traffic=4 * B * T * (2 * m + 2),
            dtype=torch.float32,
            others=others,
            peers={peers_jax.SCAN: by_jax},
            note=note,
        )

    name = f"two-state gated cell, B {batch}, T {time}, h {width}, float32, forward+backward"
    return Row(name, "eager time loop", goal, make, against=against)


def _of_last_step(device: str, batch: int, time: int, width: int):
    """Return inputs, targets, and the weights and the loss of a gated cell that reads out one number."""
    normal = draws(device, torch.float32)
    x, target = normal(batch, time, 2), normal(batch, 1)
    shapes = [(4 * width, width), (4 * width, 2), (4 * width,), (1, width)]
    parameters = [normal(*shape, scale=width**-0.5).requires_grad_() for shape in shapes]

    def step(answer):
        loss = (answer - target).square().mean()
        return [loss.detach(), *torch.autograd.grad(loss, parameters)]

    return x, target, parameters, step


def _last_by_jax(device, parameters, x, target, dt, ours):
    """Return what prepares the same in JAX, which carries nothing but the state."""

    def loss(engine):
        run = engine.gated(dt=dt, last_only=True)

        def of(W, U, b, C, x, target):
            error = ((run(W, U, b, x) @ C.T - target) ** 2).mean()
            return error, error

        return of

    return peers_jax.graded(device, loss, parameters, [x, target], ours)


def last_step(batch: int, time: int, width: int, dt: float) -> Row:
    """A loss on the last step alone against one on all steps: gradients come from the end, and vanish."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, target, parameters, step = _of_last_step(device, B, T, m)
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
            peers={peers_jax.SCAN: _last_by_jax(device, parameters, x, target, dt, alone)},
            others={"all answers, of which the loss takes the last,": sliced},
        )

    name = f"two-state gated cell, loss on the last step, B {batch}, T {time}, h {width}, dt {dt}, float32"
    return Row(name, "the same with a loss on all steps", 0.91, make)


def adding(batch: int, time: int, width: int) -> Row:
    """A training step of the adding problem: two channels, a loss on the last step; time and peak memory."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, target, parameters, step = _of_last_step(device, B, T, m)
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
            peers={peers_jax.SCAN: _last_by_jax(device, parameters, x, target, 0.01, ours)},
            note=MEMORY,
        )

    name = f"adding problem, gated cell, B {batch}, T {time}, h {width}, float32, forward+backward"
    return Row(name, "eager time loop", 1.7, make, memory=True)


def flushed(layer: str, batch: int, time: int, width: int) -> Row:
    """A training step whose gradients vanish, with subnormal numbers flushed to zero and with them kept."""

    def make(device: str, small: bool) -> Case:
        B, T, m = (3, 12, 4) if small else (batch, time, width)
        x, _, parameters, step = _of_last_step(device, B, T, m)
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
