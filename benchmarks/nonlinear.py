"""Rows of nonlinear recurrences: forward and backward, alone and as a sweep."""

from collections.abc import Callable

import torch
from torch import nn

from benchmarks import peers_jax, plain
from benchmarks.rows import Case, Row, draws
from curse_of_memory.nn.recurrence.nonlinear.cells import euler_cell
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

        fused: dict[str, Callable[[], object]] = {}
        if activation == "tanh" and not diagonal:
            fused["nn.RNN (h ← tanh, without a step)"] = _fused(m, M, x, y, device)
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

        by_jax = peers_jax.graded(
            device,
            lambda engine: peers_jax.squared_error(engine, activation, dt=dt, diagonal=diagonal),
            parameters,
            [x, y],
            fast,
            models=M > 1,
            forward=forward,
        )
        per_unit = 3 if diagonal else m + 2
        return Case(
            plain=plain_one,
            fast=fast,
            agree=agree,
            times=M,
            flops=M * 6 * B * T * m * per_unit,
            traffic=M * 8 * B * T * 4,
            others={"the way forwards": forward, "σ of all states, by torch,": values, "the loss": loss}
            | fused,
            peers={peers_jax.SWEEP if leading else peers_jax.SCAN: by_jax},
            note=SWEEP if leading else ALONE,
        )

    kind = "diagonal" if diagonal else "dense"
    sweep = f", per model in a sweep of {models}" if models > 1 else ""
    name = f"{activation} RNN {kind}, B 512, T 100, m {width}, forward+backward{sweep}"
    return Row(name, "eager time loop", goal, make)


def _fused(width: int, models: int, x: torch.Tensor, y: torch.Tensor, device: str) -> Callable[[], object]:
    """Return the training step of torch's fused tanh network with a readout, of one model after the other."""
    pairs = []
    for _ in range(models):
        torch.manual_seed(0)
        pairs.append((nn.RNN(1, width, batch_first=True), nn.Linear(width, 1)))
    layers = nn.ModuleList(layer.to(device, x.dtype) for pair in pairs for layer in pair)

    def steps():
        for run, read in zip(layers[::2], layers[1::2], strict=True):
            loss = nn.functional.mse_loss(read(run(x)[0]), y)
            torch.autograd.grad(loss, [*run.parameters(), *read.parameters()])

    return steps


ROWS = [
    *(euler("tanh", m, 4) for m in (8, 16, 64)),
    *(euler("tanh", m, 15, models=16) for m in (8, 16, 64)),
    *(euler("hardtanh", m, 8, diagonal=True) for m in (8, 16, 64)),
]
