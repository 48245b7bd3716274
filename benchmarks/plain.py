"""The plain ways: eager torch, as one writes it first. What the engine is measured against."""

import torch
from torch import Tensor, nn


def rnn(x, W, U, b, C, sigma, *, dt=1.0, diagonal=False) -> Tensor:
    """Run h ← h + dt σ(W h + U x + b), ŷ = C h, one step after the other."""
    drive = x @ U.T + b
    h = drive.new_zeros(len(x), U.shape[0])
    states = []
    for v in drive.unbind(1):
        h = h + dt * sigma((h * W if diagonal else h @ W.T) + v)
        states.append(h)
    return torch.stack(states, 1) @ C.T


def linear_diagonal(x, W, U, b, C, *, dt=1.0) -> Tensor:
    """Run the linear one."""
    return rnn(x, W, U, b, C, lambda a: a, dt=dt, diagonal=True)


def gated(x, W, U, b, *, dt=1.0) -> Tensor:
    """Run the two-state gated cell of "Long Expressive Memory" (2110.04744); blocks of W as in ``GATED``."""
    m = W.shape[1]
    drive = x @ U.T + b
    first, last = W[: 3 * m].T, W[3 * m :].T
    y = z = drive.new_zeros(len(x), m)
    outputs = []
    for v in drive.unbind(1):
        rate_y, rate_z, goal_z = (y @ first + v[:, : 3 * m]).chunk(3, 1)
        z = z + dt * torch.sigmoid(rate_z) * (torch.tanh(goal_z) - z)
        y = y + dt * torch.sigmoid(rate_y) * (torch.tanh(z @ last + v[:, 3 * m :]) - y)
        outputs.append(y)
    return torch.stack(outputs, 1)


def ssm(x, multipliers, coefficients) -> Tensor:
    """Run a diagonal SSM over ``(batch, time, channel)``: Vandermonde matrix written out, then FFT."""
    time = x.shape[1]
    powers = multipliers[..., None] ** torch.arange(time, device=x.device)
    kernel = 2 * torch.einsum("hn,hnl->hl", coefficients, powers).real
    spectrum = torch.fft.rfft(x.mT, 2 * time) * torch.fft.rfft(kernel, 2 * time)
    return torch.fft.irfft(spectrum, 2 * time)[..., :time].mT


def training_step(run, parameters, x, y) -> list[Tensor]:
    """Return the mean squared error of ``run(x, *parameters)`` and its gradients."""
    loss = nn.functional.mse_loss(run(x, *parameters), y)
    return [loss.detach(), *torch.autograd.grad(loss, parameters)]


@torch.no_grad()
def perturbed_error(run, parameters, directions, beta, x, y) -> Tensor:
    """Return the mean squared error of one draw: the weights moved by β along their directions."""
    moved = [p + beta * d for p, d in zip(parameters, directions, strict=True)]
    return nn.functional.mse_loss(run(x, *moved), y)
