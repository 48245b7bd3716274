"""How fast the memory of a model has to decay: the slowest mode at its fixed point.

A model reads a constant input x from step 0 on and settles at a fixed point h* of its state map F(h, x).
Close to it what is left goes by the powers of J = ∂F/∂h(h*, x): almost every memory decays like e^{−βt} with

    β = −log ρ(J),      ρ the spectral radius;      x as the step says, or x = 0 after an impulse.

A layer of a stack reads those below it and none above: J is block triangular, and β is the smallest of the
rates of the layers. For a layer that is linear in time, J is its recurrent matrix and β = −max Re λ.
"""

import math
from collections.abc import Sequence

import torch
from torch import nn

from curse_of_memory.measure.probing import probing
from curse_of_memory.protocols import Modal, SequenceLayer, can_run_chunks
from curse_of_memory.tools import checks

__all__ = ["linearised_rate"]

STEPS, CHUNKS = 200, 50  # steps towards the fixed point at a time, and how many times
SETTLED = 1e-13  # change of a state in one step


def linearised_rate(model: nn.Module, inputs: Sequence[float]) -> float:
    """Return the decay rate β = −log ρ(∂F/∂h) per step at the fixed point, least over constant `inputs`.

    Where all that a model remembers are diagonal modes, J has their multipliers at every point.

    Parameters
    ----------
    model : torch.nn.Module
        With diagonal modes in it, parts that have ``multipliers()``; or of one input channel, with
        ``run(x, state)`` and real states ``(batch, state)``: then it is done in float64 on the CPU, and the
        model is left as it was.
    inputs : sequence of float
        Constant inputs x.

    Returns
    -------
    float
        NaN if the state does not settle.

    Raises
    ------
    TypeError, ValueError
        For bad inputs, or a model that has neither modes nor states.

    Examples
    --------
    >>> from curse_of_memory.nn import RNN
    >>> slow = RNN.from_exponential_sum(rates=[0.1, 0.5], coefficients=[1.0, 1.0])
    >>> round(linearised_rate(slow, [0.0]), 9)
    0.1
    """
    constants = checks.finite_array("inputs", inputs, ndim=1).tolist()
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {checks.shown(model)}")
    module, modes = model, [part for part in model.modules() if checks.fulfils(part, Modal)]
    if modes:
        with torch.no_grad():
            return min(-math.log(part.multipliers()[0].abs().max().item()) for part in modes)
    if not can_run_chunks(model):
        raise TypeError(f"model must have diagonal modes, or run(x, state), got {type(model).__name__}")
    with probing(module, "cpu", dtype=torch.float64, gradients=True):
        return min(_rate(model, x) for x in constants)


def _rate(model: SequenceLayer, x: float) -> float:
    constant = torch.full((1, STEPS, 1), x, dtype=torch.float64)
    fixed = None
    for _ in range(CHUNKS):
        with torch.no_grad():
            fixed = model.run(constant, fixed).last
            moved = model.run(constant[:, :1], fixed).last
        if (moved - fixed).abs().max() <= SETTLED:
            break
    else:
        return math.nan
    size = fixed.shape[1]
    # the Jacobian in one call: row i of a batch of copies is asked for the derivative of its entry i
    copies = fixed.repeat(size, 1).requires_grad_()
    after = model.run(constant[:, :1].expand(size, -1, -1), copies).last
    (jacobian,) = torch.autograd.grad(after.diagonal().sum(), copies)
    return -math.log(torch.linalg.eigvals(jacobian).abs().max().item())
