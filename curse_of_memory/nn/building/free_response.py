"""Free response of a linear network: the states that follow on one without input.

Equation.   h_s = Aˢ h,  A = I + dt W,  s = 0 … T − 1.

Algorithm.  Diagonal W: powers of numbers. Full W: the first L = 8 states by doubling, h_{L+s} = A^L h_s, and
            with A⁸ whole blocks of eight from the block before: few large products, not many small ones.
"""

import torch
from torch import Tensor

__all__ = ["free_response"]

BLOCK = 8  # a power of two


def free_response(recurrence: Tensor, start: Tensor, horizon: int, dt: float) -> Tensor:
    """Return the states (I + dt W)ˢ h for s < horizon, which follow on h = `start` without input.

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
    m = len(start)
    power = torch.eye(m, dtype=start.dtype, device=start.device) + dt * recurrence
    block = start[:, None]  # (m, step, columns)
    while block.shape[1] < min(horizon, BLOCK):
        block = torch.cat([block, _through(power, block)], 1)
        power = power @ power
    blocks = [block]
    for _ in range(block.shape[1], horizon, block.shape[1]):
        blocks.append(_through(power, blocks[-1]))
    return torch.cat(blocks, 1)[:, :horizon].movedim(1, 0)


def _through(power: Tensor, states: Tensor) -> Tensor:
    """Return `power` times each of the `states`, ``(m, step, columns)``, as one product."""
    return (power @ states.flatten(1)).unflatten(1, states.shape[1:])
