"""How the public code of IAT (2305.19190) measures memory and makes transformer targets, in small."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Convolution", "DecoderTeacher", "saved_query", "second_difference", "single_step", "torch_seed"]

WIDTH, HEADS, FEEDFORWARD, DROPOUT = 16, 1, 32, 0.1  # of the teacher; the dropout is torch's default


@contextmanager
def torch_seed(seed: int) -> Iterator[None]:
    """Seed torch's own generator on the CPU inside this context, and leave it as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def single_step(model: nn.Module, horizon: int, seed: int) -> tuple[np.ndarray, float]:
    """Return |y_{t+1} − y_t| under one constant normal input x, t = 0 … `horizon` − 1, and |x|_∞.

    So the code measures memory: no supremum over inputs, no division by |x|_∞ or by the time step, and the
    first difference is that of the second step.
    """
    x = np.random.default_rng(seed).standard_normal(getattr(model, "input_size", 1))
    dtype = next((p.dtype for p in model.parameters()), torch.float64)
    steps = torch.from_numpy(np.tile(x, (1, horizon + 1, 1))).to(dtype)
    with torch.no_grad():
        y = model(steps)[0]
    return torch.linalg.vector_norm(y.diff(dim=0), dim=1).double().numpy(), float(np.abs(x).max())


def second_difference(model: nn.Module, horizon: int) -> np.ndarray:
    """Return |y_{t+2} − 2 y_{t+1} + y_t| for a constant input of 0.1, t < 4 `horizon`.

    So the generator of the linear functionals measures memory: that is the derivative of ρ.
    """
    with torch.no_grad():
        y = model(torch.full((1, 4 * horizon + 2, 1), 0.1, dtype=torch.float64))[0, :, 0]
    return y.diff(n=2).abs().numpy()


def saved_query(model: nn.Module, horizon: int, seed: int) -> np.ndarray:
    """Return |y_t| for a query of zeros, in training mode: what the filter task saves as its memory.

    The code answers the query first, and sets its first entry to one afterwards.
    """
    mode = model.training
    with torch_seed(seed), torch.no_grad():
        y = model.train()(torch.zeros(1, horizon, 1, dtype=torch.float64))
    model.train(mode)
    return torch.linalg.vector_norm(y[0], dim=1).numpy()


class Convolution(nn.Module):
    """y_k = Σ_s ρ_s x_{k−s} for inputs ``(batch, time, 1)``, with the values `rho` of shape ``(time,)``."""

    def __init__(self, rho: np.ndarray):
        super().__init__()
        self.rho: Tensor
        self.register_buffer("rho", torch.from_numpy(rho.copy()))

    def forward(self, x: Tensor) -> Tensor:
        """Return y, as long as `x`, which has at most as many steps as ρ."""
        steps = x.shape[1]
        padded = nn.functional.pad(x.mT, (steps - 1, 0))
        return nn.functional.conv1d(padded, self.rho[:steps].flip(0)[None, None]).mT


class DecoderTeacher(nn.Module):
    """One decoder layer of torch with random weights between linear maps, which attends to its own input.

    Parameters
    ----------
    as_published : bool
        As the filter task of the code has it: inputs ``(batch, time, channel)`` reach a layer that reads
        (time, batch, channel), so that it attends to the sequences of the batch at one and the same time;
        dropout of 0.1, since the layer is left in training mode. Otherwise the same weights attend
        to past and present, without dropout.
    seed : int
        Of the weights.
    """

    def __init__(self, as_published: bool, seed: int):
        super().__init__()
        self.as_published = as_published
        with torch_seed(seed):
            self.readin = nn.Linear(1, WIDTH)
            self.layer = nn.TransformerDecoderLayer(
                WIDTH,
                HEADS,
                FEEDFORWARD,
                dropout=DROPOUT if as_published else 0.0,
                batch_first=not as_published,
            )
            self.readout = nn.Linear(WIDTH, 1)
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, 1)`` to the same shape."""
        z = self.readin(x)
        if self.as_published:
            return self.readout(self.layer(z, z))
        past = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device, dtype=x.dtype)
        return self.readout(self.layer(z, z, tgt_mask=past, memory_mask=past))
