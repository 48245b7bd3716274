"""Gradients of recurrent weights, over weight and over bound: StableSSM (2311.14495), theorem 3.6.

A diagonal layer answers y = K ∗ x + D x in each channel, K the sum of its modes, so that a loss L has

    |∂L/∂w_n| = |Σ_{b,k} ∂L/∂y_{b,k} Σ_s ∂K_s/∂w_n x_{b,k−s}|
              <= G X Σ_s |∂K_s/∂w_n|  <=  G X |C_n| |f'(w_n)|/f(w_n)² ,

    G = Σ_{b,k} |∂L/∂y_{b,k}| ,      X = max_{b,k} |x_{b,k}| ,

with 2 |C_n| for a conjugate pair, and for an f of discrete time with Δ |f'|/(1 − |f|)² in place of |f'|/f².
For an f of continuous time inputs are held over a step (zoh), so that K_s is an integral over step s: with
other discretisations the second inequality fails, first for modes that are fast against a step.
G X |C_n| is the constant of the theorem, which does not depend on the map f.
"""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

from curse_of_memory.nn import S4D
from curse_of_memory.nn.state_space.modes import DiagonalModes
from curse_of_memory.theory.reparameterization import get

__all__ = ["GradientBound", "largest_ratio", "reach"]


def largest_ratio(layers: Iterable[DiagonalModes]) -> float:
    """Return max |∂L/∂w|/|w| over the recurrent weights w of all layers with ∂L/∂w ≠ 0; 0 if there is none.

    It is infinite if one of them is zero.

    Parameters
    ----------
    layers : iterable of DiagonalModes
        With the gradients of a backward pass.
    """
    ratios = [0.0]
    for layer in layers:
        weight, gradient = layer.recurrent_weight.detach(), layer.recurrent_weight.grad
        if gradient is not None:
            ratios += (gradient.abs() / weight.abs())[gradient != 0].tolist()
    return max(ratios)


@torch.no_grad()
def reach(layer: S4D) -> Tensor:
    """Return |f'(w)|/f(w)² of every mode, Δ |f'|/(1 − |f|)² for f of discrete time: ``(channels, modes)``.

    The bound of Σ_s |∂K_s/∂w| over |C|: how far a weight reaches into the memory. Infinite for f >= 0, or
    |f| >= 1 in discrete time: a mode that does not decay; zero where f' is, since a weight that changes
    nothing has no gradient.

    Parameters
    ----------
    layer : S4D
        Of a discrete-time f, or with inputs held over a step.

    Raises
    ------
    ValueError
        For a layer with another discretisation, of which this is no bound.

    Examples
    --------
    >>> reach(S4D(1, 1, parameterization="inverse", initial="real", seed=0)).tolist()  # f = −1/w
    [[1.0]]
    """
    if layer.discretization not in (None, "zoh"):
        raise ValueError(f"layer must have discretization 'zoh', got {layer.discretization!r}")
    f, w = get(layer.parameterization), layer.recurrent_weight.detach()
    if f.time == "discrete":
        gap = f.gap(w)
        depth = torch.minimum(gap, 2 - gap)  # 1 − |f|, without cancellation for f near 1
        clock = layer.dt * (layer.log_step.exp()[:, None] if isinstance(layer.log_step, Tensor) else 1)
    else:
        depth, clock = -f.f(w), 1
    slope = f.derivative(w).abs()
    sums = torch.where(depth > 0, clock * slope / depth**2, torch.inf)
    return torch.where(slope > 0, sums, 0)


class GradientBound:
    """Records X and G of a layer's last pass, for the constant G X |C_n| of theorem 3.6.

    X is the largest |input| of each channel in the last forward pass that had gradients, G the sum of
    |∂L/∂y| over the batch and the steps in the backward pass after it. Passes without gradients, such as
    validations, change nothing.

    Parameters
    ----------
    layer : S4D
        Every pass through it is recorded from now on.

    Attributes
    ----------
    layer : S4D
        The same.
    largest_input : torch.Tensor of shape (channels,), or None
        X; None before the first forward pass.
    total_gradient : torch.Tensor of shape (channels,), or None
        G; None before the first backward pass.

    Examples
    --------
    >>> layer = S4D(1, 2, parameterization="exp", initial="real", seed=0)
    >>> bound = GradientBound(layer)
    >>> layer(torch.ones(1, 10, 1)).sum().backward()
    >>> bool((layer.recurrent_weight.grad.abs() <= bound.constant() * reach(layer)).all())
    True
    """

    def __init__(self, layer: S4D):
        self.layer = layer
        self.largest_input: Tensor | None = None
        self.total_gradient: Tensor | None = None
        layer.register_forward_hook(self._after_forward)

    def _after_forward(self, layer: S4D, inputs: Sequence[Tensor], y: Tensor) -> None:
        if y.requires_grad:  # not in a validation
            self.largest_input = inputs[0].detach().abs().amax((0, 1))
            y.register_hook(self._in_backward)

    def _in_backward(self, gradient: Tensor) -> None:
        self.total_gradient = gradient.abs().sum((0, 1))

    def constant(self) -> Tensor:
        """Return G X |C_n| of each mode, 2 G X |C_n| of a conjugate pair, ``(channels, modes)``.

        Raises
        ------
        RuntimeError
            If there was no backward pass through the layer.
        """
        if self.largest_input is None or self.total_gradient is None:
            raise RuntimeError("no backward pass has gone through the layer since it is recorded")
        C = self.layer.output_weight.detach()
        size = 2 * C.square().sum(-1).sqrt() if self.layer.has_pairs else C.abs()
        return (self.total_gradient * self.largest_input)[:, None] * size
