"""Gradients of recurrent weights, over weight and over bound: StableSSM (2311.14495), theorem 3.6.

A diagonal layer answers y = K ∗ x + D x in each channel, K the sum of its modes, so that a loss L has

    |∂L/∂w_n| = |Σ_{b,k} ∂L/∂y_{b,k} Σ_s ∂K_s/∂w_n x_{b,k−s}|
              <= G X Σ_s |∂K_s/∂w_n|  <=  G X |C_n| |f'(w_n)|/f(w_n)² ,

    G = Σ_{b,k} |∂L/∂y_{b,k}| ,      X = max_{b,k} |x_{b,k}| ,

with 2 |C_n| for a conjugate pair, and for an f of discrete time with Δ |f'|/(1 − |f|)² in place of |f'|/f².
G X |C_n| is the constant of the theorem, which does not depend on the map f.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from curse_of_memory.nn import S4D
from curse_of_memory.nn.state_space.ssm_modes import DiagonalModes
from curse_of_memory.theory.reparameterization import get

__all__ = ["Witness", "largest_ratio", "reach"]


def largest_ratio(layers: Iterable[DiagonalModes]) -> float:
    """Return the largest |∂L/∂w|/|w| of all recurrent weights that have a gradient, 0 if none has.

    A weight of zero counts if it has a gradient.

    Parameters
    ----------
    layers : iterable of DiagonalModes
        With the gradients of a backward pass.
    """
    ratios = [0.0]
    for layer in layers:
        weight = layer.recurrent_weight
        over = weight.grad.abs() / weight.detach().abs()
        ratios += over[weight.grad != 0].tolist()
    return max(ratios)


@torch.no_grad()
def reach(layer: S4D) -> Tensor:
    """Return |f'|/f² of every mode, or Δ |f'|/(1 − |f|)² for an f of discrete time, ``(channels, modes)``.

    It is infinite for a mode that does not decay, and zero where f' is: a weight that does nothing has no
    gradient.
    """
    f, w = get(layer.parameterization), layer.recurrent_weight.detach()
    if f.time == "discrete":
        gap = f.gap(w)
        depth = torch.minimum(gap, 2 - gap)  # 1 − |f|, without cancellation for f near 1
        clock = layer.dt * (layer.log_step.exp()[:, None] if layer.log_step is not None else 1)
    else:
        depth, clock = -f.f(w), 1
    slope = f.derivative(w).abs()
    sums = torch.where(depth > 0, clock * slope / depth**2, torch.inf)
    return torch.where(slope > 0, sums, 0)


class Witness:
    """What a layer has read in the last forward pass with a backward pass, and what the loss said to it.

    Parameters
    ----------
    layer : S4D
        Is watched from now on.

    Examples
    --------
    >>> layer = S4D(1, 2, parameterization="exp", initial="real", seed=0)
    >>> witness = Witness(layer)
    >>> layer(torch.ones(1, 10, 1)).sum().backward()
    >>> bool((layer.recurrent_weight.grad.abs() <= witness.constant() * reach(layer)).all())
    True
    """

    def __init__(self, layer: S4D):
        self.layer = layer
        self.largest_input = self.total_gradient = None
        layer.register_forward_hook(self._read)

    def _read(self, layer: S4D, inputs: Sequence[Tensor], y: Tensor) -> None:
        if y.requires_grad:  # not in a validation
            self.largest_input = inputs[0].detach().abs().amax((0, 1))
            y.register_hook(self._answered)

    def _answered(self, gradient: Tensor) -> None:
        self.total_gradient = gradient.abs().sum((0, 1))

    def constant(self) -> Tensor:
        """Return G X |C_n|, with 2 |C_n| for pairs, ``(channels, modes)``.

        Raises
        ------
        RuntimeError
            If there was no backward pass through the layer.
        """
        if self.total_gradient is None:
            raise RuntimeError("the layer has not been in a backward pass since it is watched")
        C = self.layer.output_weight.detach()
        size = 2 * C.square().sum(-1).sqrt() if self.layer.has_pairs else C.abs()
        return (self.total_gradient * self.largest_input)[:, None] * size
