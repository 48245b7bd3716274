"""Initial weights of recurrent networks, with decay rates from 0.01 to 1 per step."""

from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor

from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.theory.reparameterization import Reparameterization

__all__ = ["FASTEST_RATE", "SLOWEST_RATE", "InitialWeights", "initial_weights"]

SLOWEST_RATE, FASTEST_RATE = 0.01, 1.0  # decay rates per step: memories of 1 to 100 steps


class InitialWeights(NamedTuple):
    """Initial weights of a recurrent network of m states, in float64 on the CPU.

    Attributes
    ----------
    recurrent : Tensor of shape ``(m,)`` or ``(m, m)``
        w; a matrix is W itself.
    basis : Tensor of shape ``(m, m)``, or None
        P of W = Pᵀ diag(f(w)) P, if it is that.
    inputs : Tensor of shape ``(m, input)``
        U.
    outputs : Tensor of shape ``(output, m)``
        C.
    """

    recurrent: Tensor
    basis: Tensor | None
    inputs: Tensor
    outputs: Tensor


def initial_weights(
    reparameterization: Reparameterization,
    width: int,
    input_size: int,
    output_size: int,
    diagonal: bool,
    dt: float,
) -> InitialWeights:
    """Return weights drawn by torch's generator; their decay rates are log-uniform from 0.01 to 1 per step.

    Parameters
    ----------
    reparameterization : Reparameterization
        f of W = f(w). All have the same rates under one seed, but cut at the largest rate that f has.
    width, input_size, output_size : int
        Numbers of states m, of inputs and of outputs.
    diagonal : bool
        Whether W is diagonal. A full one has a random orthogonal basis.
    dt : float
        Time step.

    Returns
    -------
    InitialWeights
        In float64 on the CPU, so that neither device nor dtype changes the draw.

    Examples
    --------
    >>> from curse_of_memory.theory import reparameterization
    >>> weights = initial_weights(reparameterization.get("direct"), 4, 1, 2, True, 1.0)
    >>> weights.recurrent.shape, weights.inputs.shape, weights.outputs.shape
    (torch.Size([4]), torch.Size([4, 1]), torch.Size([2, 4]))
    """
    m = width
    span = np.log(FASTEST_RATE / SLOWEST_RATE)
    rates = SLOWEST_RATE * torch.exp(span * torch.rand(m, **DRAWN)) / dt
    fastest = reparameterization.fastest(dt)
    if fastest < FASTEST_RATE / dt:
        rates = rates.clamp(max=0.95 * fastest)
    input_weight = (2 * torch.rand(m, input_size, **DRAWN) - 1) / np.sqrt(m)
    output_weight = (2 * torch.rand(output_size, m, **DRAWN) - 1) / np.sqrt(m)
    recurrent = cast(Tensor, reparameterization.free_weight(-rates, dt))
    if diagonal:
        return InitialWeights(recurrent, None, input_weight, output_weight)
    basis = torch.linalg.qr(torch.randn(m, m, **DRAWN)).Q
    if reparameterization.name == "direct":
        return InitialWeights(-(basis.T * rates) @ basis, None, input_weight, output_weight)
    return InitialWeights(recurrent, basis, input_weight, output_weight)
