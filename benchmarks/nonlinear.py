"""Rows of nonlinear recurrences: forward and backward, alone and as a sweep, and the gated cell."""

import torch
from torch import nn

from benchmarks import plain
from benchmarks.rows import Case, Row, draws, same
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


def gated(batch: int, time: int, width: int, goal: float, against: str = "") -> Row:
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
        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=6 * B * T * 4 * m * (m + 1),
            traffic=4 * B * T * (2 * m + 2),
            dtype=torch.float32,
            others={"nn.LSTM": way(lambda x: fused(x)[0], list(fused.parameters()))},
        )

    name = f"two-state gated cell, B {batch}, T {time}, h {width}, float32, forward+backward"
    return Row(name, "eager time loop", goal, make, against=against)


ROWS = [
    *(euler("tanh", m, 4) for m in (8, 16, 64)),
    *(euler("tanh", m, 15, models=16) for m in (8, 16, 64)),
    *(euler("hardtanh", m, 8, diagonal=True) for m in (8, 16, 64)),
    gated(32, 1000, 16, 0.5, against="nn.LSTM"),
    gated(128, 784, 128, 1.7),
]
