"""The linear memory that is nearest to a model, linear or not, on random inputs."""

import numpy as np
import torch
import xarray as xr
from torch import nn

from curse_of_memory.measure.guards import ROWS
from curse_of_memory.measure.probing import probing
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.theory.targets.lagged import lag_grid
from curse_of_memory.tools import checks
from curse_of_memory.tools.random_streams import stream

__all__ = ["memory_used"]


def memory_used(
    model: nn.Module | SequenceMap,
    horizon: int,
    *,
    samples: int,
    dt: float | None = None,
    seed: int = 0,
    device: torch.device | str = "auto",
) -> xr.DataArray:
    """Return the linear memory ρ̂_s = E ∂ŷ_T/∂x_{T−s} / dt over white standard normal inputs, s = 0 … T − 1.

    By Stein's lemma dt ρ̂_s = E ŷ_T x_{T−s}, so that no linear functional of the inputs is nearer to the last
    answer of the model in mean square; for a linear model it is its memory.

    Parameters
    ----------
    model : torch.nn.Module or SequenceMap
        Maps ``(batch, time, 1)`` to ``(batch, time, 1)``. Nothing is asked of causality but of a SequenceMap.
    horizon : int
        T, in steps.
    samples : int
        Sequences the mean is taken over.
    dt : float, optional
        Time step; the model's attribute ``dt`` unless given, else 1.
    seed : int
        Names the sequences.
    device : str or torch.device
        Where it is done, in evaluation mode; the model is left as it was.

    Returns
    -------
    xarray.DataArray over ``lag`` (time units)
        A density per unit time. Attributes: `dt` and `samples`.

    Raises
    ------
    ValueError, TypeError
        For bad numbers, a model of tokens or of several channels, one that cuts the gradient, and as
        :meth:`SequenceMap.check` does.

    Examples
    --------
    >>> memory_used(nn.Identity(), 3, samples=1).values.tolist()
    [1.0, 0.0, 0.0]
    """
    checks.positive_int("horizon", horizon)
    checks.positive_int("samples", samples)
    system = model if isinstance(model, SequenceMap) else SequenceMap(model, causal=False)
    if system.words is not None or system.input_size != 1:
        raise ValueError("model must read numbers of one channel")
    dt = system.dt(dt)
    draws = stream("memory used by a model", seed).standard_normal((samples, horizon, 1))
    with probing(system.model, device, gradients=True) as place:
        system.check(system.trial(ROWS, horizon, np.ones(1), seed).to(place, system.dtype))
        x = torch.from_numpy(draws).to(place, system.dtype).requires_grad_()
        last = system(x)[:, -1]
        if last.shape[1] != 1 or last.is_complex():
            raise ValueError(f"model must answer with one real channel, got {last.shape[1]} of {last.dtype}")
        if not last.requires_grad:
            raise TypeError("model cuts the gradient between its input and its answer (detach, or no_grad?)")
        (slope,) = torch.autograd.grad(last.sum(), x)
    values = slope.double().mean(0)[:, 0].flip(0).cpu().numpy() / dt
    if not np.isfinite(values).all():
        raise ValueError("model answers with NaN or infinity, or its gradient does: it is unstable")
    return lag_grid(values, dt, "memory").assign_attrs(dt=dt, samples=samples)
