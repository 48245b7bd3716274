"""Weights to start the training of a recurrent network from."""

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.theory.reparameterization import Reparameterization

__all__ = ["initial_weights"]

SLOWEST_RATE, FASTEST_RATE = 0.01, 1.0  # decay rates per step: memories of 1 to 100 steps


def initial_weights(
    reparameterization: Reparameterization,
    hidden: int,
    input_size: int,
    output_size: int,
    diagonal: bool,
    dt: float,
) -> dict[str, Tensor]:
    """Draw weights, by torch's generator, whose decay rates are log-uniform between 0.01 and 1 per step.

    Parameters
    ----------
    reparameterization : Reparameterization
        f of W = f(w); it does not change the rates, but that they are cut at its largest one, if it has one.
    hidden, input_size, output_size : int
        Numbers of states m, of inputs and of outputs.
    diagonal : bool
        Whether W is diagonal. A full one has a random orthogonal basis.
    dt : float
        Time step.

    Returns
    -------
    dict of str to Tensor
        ``recurrent_weight``, ``input_weight``, ``output_weight``, and for a reparameterised full W ``basis``;
        in float64 on the CPU, so that neither device nor dtype changes the draw.

    Examples
    --------
    >>> from curse_of_memory.theory import reparameterization
    >>> weights = initial_weights(reparameterization.get("direct"), 4, 1, 2, True, 1.0)
    >>> {name: tuple(value.shape) for name, value in weights.items()}
    {'recurrent_weight': (4,), 'input_weight': (4, 1), 'output_weight': (2, 4)}
    """
    m = hidden
    span = np.log(FASTEST_RATE / SLOWEST_RATE)
    rates = SLOWEST_RATE * torch.exp(span * torch.rand(m, **DRAWN)) / dt
    fastest = reparameterization.fastest(dt)
    if fastest < FASTEST_RATE / dt:
        rates = rates.clamp(max=0.95 * fastest)
    input_weight = (2 * torch.rand(m, input_size, **DRAWN) - 1) / np.sqrt(m)
    output_weight = (2 * torch.rand(output_size, m, **DRAWN) - 1) / np.sqrt(m)
    weights = {"recurrent_weight": reparameterization.free_weight(-rates, dt)}
    if not diagonal:
        basis = torch.linalg.qr(torch.randn(m, m, **DRAWN)).Q
        if reparameterization.name == "direct":
            weights["recurrent_weight"] = -(basis.T * rates) @ basis
        else:
            weights["basis"] = basis
    return weights | {"input_weight": input_weight, "output_weight": output_weight}
