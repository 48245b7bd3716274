"""Causal convolutions (ρ ∗ x)_k = Σ_{s≤k} ρ_s x_{k−s}, and kernels as values at the lags."""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from curse_of_memory.theory.targets.lagged import lagged

__all__ = ["filtered", "lag_values"]


def lag_values(
    name: str, rho: Callable[[np.ndarray], ArrayLike] | ArrayLike, horizon: int, dt: float
) -> np.ndarray:
    """Return the values ``(horizon,)`` of a kernel at the lags 0, dt, …; `name` is what errors call it."""
    values = rho(dt * np.arange(horizon)) if callable(rho) else rho
    array = lagged(name, values, dt).values.copy()  # torch takes no reversed view
    if array.size != horizon:
        raise ValueError(f"{name} must have one value per lag, horizon={horizon}, got {array.size}")
    return array


def filtered(rho: np.ndarray | Tensor, x: Tensor) -> Tensor:
    """Return ρ ∗ x along the last axis of `x`, as long as `x`, by zero-padded FFT.

    `rho` has shape ``(time,)``, and `x` ``(..., time)`` with the same number of steps.
    """
    steps = x.shape[-1]
    rho = torch.as_tensor(rho, dtype=x.dtype, device=x.device)
    spectrum = torch.fft.rfft(x, 2 * steps) * torch.fft.rfft(rho, 2 * steps)
    return torch.fft.irfft(spectrum, 2 * steps)[..., :steps]
