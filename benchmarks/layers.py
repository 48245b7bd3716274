"""Rows of diagonal SSM layers: kernel and convolution, forward and backward, time and peak memory."""

import math

import torch

from benchmarks import peers_jax, plain
from benchmarks.rows import Case, Row, draws, same
from curse_of_memory.nn import S4D


def plain_layer(model: S4D, x: torch.Tensor) -> torch.Tensor:
    """Run the layer from its weights: zero-order hold, the Vandermonde matrix, and FFTs."""
    assert model.frequency is not None
    assert model.log_step is not None
    eigenvalues = torch.complex(-model.recurrent_weight.exp(), model.frequency)
    steps = model.log_step.exp()[:, None]
    held = torch.expm1(steps * eigenvalues) / eigenvalues
    coefficients = held * torch.view_as_complex(model.output_weight)
    return plain.ssm(x, torch.exp(steps * eigenvalues), coefficients)


def layer(batch: int, channels: int, time: int, modes: int = 64) -> Row:
    """Return a row for `modes` conjugate pairs per channel."""

    def make(device: str, small: bool) -> Case:
        B, H, L, N = (2, 3, 20, 4) if small else (batch, channels, time, modes)
        normal = draws(device, torch.float32)
        x, weight = normal(B, L, H), normal(B, L, H)
        model = S4D(H, 2 * N, skip=False, seed=0, dtype=torch.float32, device=device)

        def way(run):
            def step():
                y = run(x)
                loss = (y * weight).sum() / (B * L)
                return [y.detach(), *torch.autograd.grad(loss, list(model.parameters()))]

            return step

        loop, ours = way(lambda x: plain_layer(model, x)), way(model)

        def loss(engine):
            def of(weights, frequency, readout, log_step, x, weight):
                y = engine.s4d(weights, frequency, readout, log_step, x)
                return (y * weight).sum() / (B * L), y

            return of

        def forward():
            with torch.no_grad():
                model(x)

        names = ("recurrent_weight", "frequency", "output_weight", "log_step")
        parameters = [model.get_parameter(name) for name in names]

        def in_order():
            answer, *gradients = ours()
            by_name = dict(zip((name for name, _ in model.named_parameters()), gradients, strict=True))
            return [answer, *(by_name[name] for name in names)]

        by_jax = peers_jax.graded(device, loss, parameters, [x, weight], in_order, forward=forward)
        transforms = 2.5 * 2 * L * math.log2(2 * L) * H * (4 * B + 3)
        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=3 * 4 * H * N * L + transforms,
            traffic=4 * B * L * H * 4,
            dtype=torch.float32,
            peers={peers_jax.FFT: by_jax},
        )

    name = f"diagonal SSM layer, B {batch}, H {channels}, L {time}, N {modes}, float32, forward+backward"
    return Row(name, "Vandermonde materialised", 2, make, memory=True)


ROWS = [layer(128, 64, 784), layer(8, 256, 1024)]
