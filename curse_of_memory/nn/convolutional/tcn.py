"""Temporal convolutional networks: causal dilated convolutions in residual blocks.

Equation.   A block of n causal convolutions ∗_d with dilation d (two in the paper) and the network are

                z^{(0)} = x,   z^{(i)} = σ(b^{(i)} + W^{(i)} ∗_d z^{(i−1)}),   block(x) = σ(z^{(n)} + P x),
                ŷ = C block_L(… block_1(x)) + c,

            P the identity, or a matrix where the channels change. Without residual part, block(x) = z^{(n)}.
            So ŷ_t is a function of x_t … x_{t−R+1}, R = 1 + n (k − 1) Σ_l d_l: the memory ends at lag R.

Algorithm.  Convolutions (``causal_convolution``) in turn, each with a buffer of the inputs it still needs.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.activations import ACTIVATIONS, RECURRENT
from curse_of_memory.nn.building.many_models import affine, of_each_model, weights_of_part, without_dropout
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.nn.convolutional.causal_convolution import CausalConvolution
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["TCN"]


class _Block(nn.Module):
    """A residual block σ(z^{(n)} + P x)."""

    def __init__(
        self,
        convolutions: list[CausalConvolution],
        activation: str,
        skip: nn.Linear | None,
        residual: bool,
        dropout: float,
    ):
        super().__init__()
        self.convolutions, self.skip = nn.ModuleList(convolutions), skip
        self.activation, self.residual, self.dropout = activation, residual, nn.Dropout(dropout)

    @property
    def each(self) -> Iterable[CausalConvolution]:
        """Its convolutions, in order."""
        return cast(Iterable[CausalConvolution], self.convolutions)

    def many(self, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many blocks of this kind to ``(model, batch, time, channel)``."""
        sigma, z = ACTIVATIONS[self.activation], x
        for i, convolution in enumerate(self.each):
            z = sigma(convolution.many(weights_of_part(weights, f"convolutions.{i}"), z))
        if not self.residual:
            return z
        return sigma(z + (x if self.skip is None else affine(weights, "skip", x)))

    def advance(
        self, x: Tensor, buffers: Iterator[Tensor | None], lost: Tensor | None, finite: bool
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        """Return the answers of the block, its new buffers, and a mask of the answers that are lost.

        Its convolutions take the next of `buffers`. `lost` is the same mask of `x`, None if nothing is lost;
        `finite` says that neither x nor buffers hold NaN or inf.
        """
        sigma, z, last, known = ACTIVATIONS[self.activation], x, [], lost
        for convolution, before in zip(self.each, buffers, strict=False):
            z, after, lost = convolution.advance(z, before, lost, finite=finite)
            z = self.dropout(sigma(z))
            last.append(after)
        if self.residual:
            z = sigma(z + (x if self.skip is None else self.skip(x)))
            lost = lost | known if lost is not None and known is not None else lost
        return z, last, lost


class TCN(Streaming[tuple[Tensor, ...]]):
    """Temporal convolutional network with a readout at every step.

    Parameters
    ----------
    widths : sequence of int
        Channels of each block.
    kernel_size : int
        Taps k of every filter.
    dilations : sequence of int, optional
        d of each block; 1, 2, 4, … unless given.
    convolutions : int
        Convolutions n in a block.
    residual : bool
        Whether a block adds its input to what its convolutions answer.
    weight_norm : bool
        Whether filters are g V/‖V‖, with V and one g per output channel learnt.
    dropout : float
        Probability with which a channel at a step is dropped after each convolution, in training mode.
    activation : {'linear', 'tanh', 'hardtanh', 'relu'}
        σ.
    bias : bool
        Whether convolutions and readout have one.
    input_size, output_size : int
        Channels of x and ŷ.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a dropout outside of [0, 1), an unknown activation, or a number of dilations that
        is not that of blocks.

    Notes
    -----
    "An empirical evaluation of generic convolutional and recurrent networks" (Bai, Kolter, Koltun,
    1803.01271), whose networks these are with ReLU, `weight_norm` and `dropout`, but that there dropout takes
    whole channels. One linear convolution a block, no residual, no bias and the dilations kˡ are the linear
    CNN of "Approximation theory of convolutional architectures for time series modelling" (Jiang, Li and Li
    2021).

    Examples
    --------
    >>> model = TCN([16, 16, 16], kernel_size=3)
    >>> model(torch.zeros(8, 100, 1)).shape, model.receptive_field
    (torch.Size([8, 100, 1]), 29)
    """

    dt = 1.0  # a network of steps: its memory is one per step

    def __init__(
        self,
        widths: Sequence[int],
        kernel_size: int = 3,
        *,
        dilations: Sequence[int] | None = None,
        convolutions: int = 2,
        residual: bool = True,
        weight_norm: bool = False,
        dropout: float = 0.0,
        activation: str = "relu",
        bias: bool = True,
        input_size: int = 1,
        output_size: int = 1,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        widths = _whole_numbers("widths", widths)
        if not widths:
            raise ValueError("widths must name at least one block")
        doubling = [2**i for i in range(len(widths))]
        self.dilations = _whole_numbers("dilations", doubling if dilations is None else dilations)
        if len(self.dilations) != len(widths):
            raise ValueError(f"dilations must be one for each of {len(widths)} blocks, got {self.dilations}")
        checks.positive_int("convolutions", convolutions)
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = checks.positive_int("output_size", output_size)
        self.kernel_size = checks.positive_int("kernel_size", kernel_size)
        self.activation = checks.one_of("activation", activation, RECURRENT)
        self.dropout = inputs.dropout_probability(dropout)
        bias, residual = checks.flag("bias", bias), checks.flag("residual", residual)
        weight_norm = checks.flag("weight_norm", weight_norm)
        with seeded(seed):
            blocks, before = [], self.input_size
            for width, dilation in zip(widths, self.dilations, strict=True):
                sizes = [before] + [width] * convolutions
                filters = [
                    CausalConvolution(
                        sizes[i],
                        width,
                        self.kernel_size,
                        dilation=dilation,
                        weight_norm=weight_norm,
                        bias=bias,
                        **DRAWN,
                    )
                    for i in range(convolutions)
                ]
                needs_matrix = residual and before != width
                skip = nn.Linear(before, width, bias=False, **DRAWN) if needs_matrix else None
                blocks.append(_Block(filters, self.activation, skip, residual, self.dropout))
                before = width
            self.blocks = nn.ModuleList(blocks)
            self.readout = nn.Linear(before, self.output_size, bias=bias, **DRAWN)
        place(self, device, dtype)

    @property
    def _each_block(self) -> Iterable[_Block]:
        return cast(Iterable[_Block], self.blocks)

    @property
    def receptive_field(self) -> int:
        """Number of lags that an output can see, R = 1 + n (k − 1) Σ d: lags 0 to R − 1."""
        return 1 + sum(convolution.waits for block in self._each_block for convolution in block.each)

    @property
    def is_linear(self) -> bool:
        """Whether ŷ is linear in x (up to the bias), so that :meth:`kernel` exists."""
        return self.activation == "linear" and self.dropout == 0

    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, after zeros."""
        return self.run(x).y

    def run(self, x: Tensor, state: Sequence[Tensor] | None = None) -> Outputs[tuple[Tensor, ...]]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            One step is a chunk, too.
        state : sequence of Tensor, optional
            For each convolution the inputs that it still needs, ``(batch, (k − 1) d, channel)``; zero if none
            are given.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the state after the last step.

        Raises
        ------
        ValueError
            If a shape does not fit.

        Examples
        --------
        >>> model, x = TCN([4, 4], seed=0), torch.ones(1, 10, 1)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:])
        True
        """
        inputs.sequence(self, x)
        count = sum(len(block.convolutions) for block in self._each_block)
        inputs.state_of_each(state, count, "convolutions")
        buffers, last, lost = iter([None] * count if state is None else state), [], None
        if not inputs.all_finite(x):
            numbers = x.isfinite()
            x, lost = x.where(numbers, 0), ~numbers.all(-1)
        for block in self._each_block:
            x, after, lost = block.advance(x, buffers, lost, finite=state is None and lost is None)
            last += after
        y = self.readout(x)
        return Outputs(y if lost is None else inputs.nan_where(lost, y), tuple(last))

    @property
    def architecture(self) -> tuple:
        """All that :meth:`run_many` uses of this network but weights: dilations, σ, residual, dropout."""
        first = next(iter(self._each_block))
        sizes = self.dilations, len(first.convolutions)
        return type(self), *sizes, self.activation, first.residual, self.dropout

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many networks that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, input_size)`` or ``(model, batch, time, input_size)``
            Inputs after zeros, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, output_size)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, a weight is missing, or there is dropout in training mode.
        """
        without_dropout(self, self.dropout)
        p, x = inputs.many_models(self, parameters, x)
        z = of_each_model(p, x)
        for i, block in enumerate(self._each_block):
            z = block.many(weights_of_part(p, f"blocks.{i}"), z)
        return affine(p, "readout", z).to(parameters["readout.weight"].dtype)

    def kernel(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the memory ρ̂_s of a linear network, its finite impulse response.

        Parameters
        ----------
        horizon : int
            Number of lags s = 0 … horizon − 1.
        parameters : mapping from name to tensor, optional
            Values that stand in for the module's own parameters.

        Returns
        -------
        Tensor of shape ``(horizon, output_size, input_size)``
            Zero from lag `receptive_field` on.

        Raises
        ------
        TypeError
            If the network is not linear.
        """
        y = self._answers(horizon, parameters)
        return (y[1:] - y[0]).permute(1, 2, 0)

    def offset(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the response of a linear network to zero input, ``(horizon, output_size)``.

        Arguments and errors are those of :meth:`kernel`.
        """
        return self._answers(horizon, parameters)[0]

    def _answers(self, horizon: int, parameters: Mapping[str, Tensor] | None) -> Tensor:
        """Return the answers of a linear network to zero input and to a unit impulse in each channel."""
        if not self.is_linear:
            raise TypeError(
                f"only a linear network without dropout has a closed-form memory; this one is "
                f"{self.activation}, with dropout {self.dropout:g}"
            )
        checks.positive_int("horizon", horizon)
        weights = dict(self.named_parameters()) | dict(parameters or {})
        x = weights["readout.weight"].new_zeros(1 + self.input_size, horizon, self.input_size)
        x[1:, 0] = torch.eye(self.input_size).to(x)
        return torch.func.functional_call(self, weights, (x,))


def _whole_numbers(name: str, values: Sequence[int]) -> tuple[int, ...]:
    if isinstance(values, str) or not isinstance(values, Sequence):
        raise TypeError(
            f"{name} must be a sequence of whole numbers, one for each block, got {checks.shown(values)}"
        )
    return tuple(checks.positive_int(name, value) for value in values)
