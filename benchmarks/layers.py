"""Rows of diagonal SSM layers: kernel and convolution, forward and backward, time and peak memory."""

import math

import torch

from benchmarks import plain
from benchmarks.rows import Case, Row, draws, same
from curse_of_memory.nn.recurrence.kernels import causal_convolution, modal_kernel


def layer(batch: int, channels: int, time: int, modes: int = 64) -> Row:
    """Return a row for `modes` conjugate pairs per channel."""

    def make(device: str, small: bool) -> Case:
        B, H, L, N = (2, 3, 20, 4) if small else (batch, channels, time, modes)
        normal = draws(device, torch.float32)
        x, weight = normal(B, L, H), normal(B, L, H)
        # S4D-Lin: decay 1/2 and frequencies π n, in steps of 0.001 to 0.1
        steps = torch.logspace(-3, -1, H, device=device)[:, None]
        rates = torch.complex(torch.full((N,), -0.5), math.pi * torch.arange(N)).to(device)
        multipliers = torch.exp(steps * rates).requires_grad_()
        coefficients = torch.complex(normal(H, N), normal(H, N)).requires_grad_()

        def way(run):
            def step():
                y = run(x, multipliers, coefficients)
                loss = (y * weight).sum() / (B * L)
                return [y.detach(), *torch.autograd.grad(loss, (multipliers, coefficients))]

            return step

        loop = way(plain.ssm)
        ours = way(lambda x, z, c: causal_convolution(modal_kernel(z, c, L, pairs=True), x))
        transforms = 2.5 * 2 * L * math.log2(2 * L) * H * (5 * B + 3)
        return Case(
            plain=loop,
            fast=ours,
            agree=same(loop, ours),
            flops=3 * 4 * H * N * L + transforms,
            traffic=4 * B * L * H * 4,
            dtype=torch.float32,
        )

    name = f"diagonal SSM layer, B {batch}, H {channels}, L {time}, N {modes}, float32, forward+backward"
    return Row(name, "Vandermonde materialised", 2, make, memory=True)


ROWS = [layer(128, 64, 784), layer(8, 256, 1024)]
