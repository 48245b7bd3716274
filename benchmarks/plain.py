"""The plain ways: eager torch, as one writes it first. What the engine is measured against."""

import math

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


def _of_all_memories(attention, states, x) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return q of a block, k and v of all memories, and the mask m of Expire-Span, zero for what is later."""
    law, memories, block = attention.forgetting, states.shape[1], x.shape[1]
    h = torch.cat([states, x], 1)
    q = x @ attention.project.weight[: x.shape[2]].T
    k, v = (h @ attention.project.weight[x.shape[2] :].T).chunk(2, -1)
    q, k, v = (one.unflatten(-1, (attention.heads, -1)).transpose(1, 2) for one in (q, k, v))
    age = memories + torch.arange(block, device=x.device)[:, None] - torch.arange(h.shape[1], device=x.device)
    spans = law.max_span * torch.sigmoid(law.predictor(h))[:, None, None, :, 0]
    m = (1 + (spans - age) / law.ramp).clamp(0, 1).masked_fill(age < 1, 0)
    return q, k, v, m


def masked_attention(attention, states, x) -> Tensor:
    """Attend to all memories as the paper of Expire-Span writes it: softmax, times m, divided by the sum."""
    q, k, v, m = _of_all_memories(attention, states, x)
    a = (q @ k.mT / math.sqrt(q.shape[-1])).masked_fill(m == 0, -torch.inf).softmax(-1) * m
    return ((a / a.sum(-1, keepdim=True)) @ v).transpose(1, 2).flatten(2) @ attention.out.weight.T


def biased_attention(attention, states, x) -> Tensor:
    """Attend to all memories by ``scaled_dot_product_attention`` with log m."""
    q, k, v, m = _of_all_memories(attention, states, x)
    dead = m == 0
    bias = m.masked_fill(dead, 1).log().masked_fill(dead, -torch.inf)
    a = nn.functional.scaled_dot_product_attention(q, k, v, bias)
    return a.transpose(1, 2).flatten(2) @ attention.out.weight.T
