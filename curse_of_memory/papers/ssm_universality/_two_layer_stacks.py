"""Two state space layers with a nonlinearity between them, the second without memory.

    h_k = W h_{k−1} + U x_k + b,    ŷ_k = c · σ(C h_k) + d .

The second layer is a state space layer, too, whose W is zero. With W = 0 in the first layer as well this is a
network of one hidden layer at each step: the element-wise functions of "SSMs are universal approximators"
(2309.13414). With σ(z) = z² it is a sum of squares of convolutions, a Volterra functional of second order.
"""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.nn import SSM
from curse_of_memory.tools import checks

__all__ = ["NONLINEARITIES", "TwoLayers", "without_memory"]

NONLINEARITIES = {"relu": torch.relu, "tanh": torch.tanh, "square": torch.square}


def without_memory(states: int, **options) -> SSM:
    """Return a layer with W = 0, which training keeps: its multipliers are z = 1 + w with w = −1.

    Parameters
    ----------
    states : int
        Of the layer.
    **options
        Of :class:`~curse_of_memory.nn.SSM`.
    """
    layer = SSM(states, initial=[-1.0] * states, discretization="euler", **options)
    layer.recurrent_weight.requires_grad_(False)
    return layer


class TwoLayers(nn.Module):
    """A linear state space layer, σ, and a layer without memory.

    Parameters
    ----------
    first : SSM
        The layer that may have a memory.
    nonlinearity : {'relu', 'square', 'tanh'}
        σ, between the layers.
    seed : int
        Of the initial weights of the second layer.
    """

    def __init__(self, first: SSM, nonlinearity: str, *, seed: int):
        super().__init__()
        self.first = first
        self.nonlinearity = checks.one_of("nonlinearity", nonlinearity, NONLINEARITIES)
        dtype = first.input_weight.dtype
        self.second = without_memory(1, input_size=first.output_size, seed=seed, dtype=dtype)
        # one state is one number: what the two maps of the second layer say, one of them says
        self.second.output_weight.requires_grad_(False).fill_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        """Map `x` of shape ``(batch, time, 1)`` to the same shape, from rest."""
        return self.second(NONLINEARITIES[self.nonlinearity](self.first(x)))

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this stack beside weights: both layers, and σ between them."""
        return self.first.architecture, self.nonlinearity, self.second.architecture

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many stacks that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, 1)`` or ``(model, batch, time, 1)``
            Inputs, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, 1)``
        """
        for name, layer in (("first", self.first), ("second", self.second)):
            own = {key: parameters[f"{name}.{key}"] for key, _ in layer.named_parameters()}
            x = layer.run_many(own, x if layer is self.first else NONLINEARITIES[self.nonlinearity](x))
        return x

    @property
    def readout(self) -> Tensor:
        """The weights c of the second layer, ``(first.output_size,)``."""
        return self.second.input_weight[0]
