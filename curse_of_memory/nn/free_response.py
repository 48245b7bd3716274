"""What is left of a state of a linear network after a number of steps."""

import torch
from torch import Tensor

__all__ = ["free_response"]


def free_response(recurrence: Tensor, start: Tensor, horizon: int, dt: float) -> Tensor:
    """Return (I + dt W)ˢ h for s < horizon.

    Parameters
    ----------
    recurrence : Tensor of shape ``(m,)`` or ``(m, m)``
        W, per unit time; a vector is a diagonal.
    start : Tensor of shape ``(m, columns)``
        States h to start from.
    horizon : int
        Number of steps, the start among them.
    dt : float
        Time step.

    Returns
    -------
    Tensor of shape ``(horizon, m, columns)``

    Examples
    --------
    >>> free_response(torch.tensor([-0.5]), torch.tensor([[8.0]]), 3, dt=1.0).flatten().tolist()
    [8.0, 4.0, 2.0]
    """
    if recurrence.ndim == 1:
        exponents = torch.arange(horizon, device=start.device)
        return ((1 + dt * recurrence) ** exponents[:, None])[..., None] * start
    states = [start]
    for _ in range(horizon - 1):
        states.append(states[-1] + dt * recurrence @ states[-1])
    return torch.stack(states)
