"""LSTM, GRU and Elman network: torch's own, with a linear readout and the methods of the other layers."""

from typing import ClassVar

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["GRU", "LSTM", "ElmanRNN"]


class _Gated(Streaming[Tensor]):
    """Recurrent layers of torch, one on top of the other, and the readout ŷ = C h + c of the last."""

    cell: ClassVar[type[nn.LSTM] | type[nn.GRU] | type[nn.RNN]]
    states: ClassVar[int]

    def __init__(
        self,
        width: int,
        layers: int = 1,
        *,
        input_size: int = 1,
        output_size: int = 1,
        bias: bool = True,
        dropout: float = 0.0,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = checks.positive_int("width", width)
        self.layers = checks.positive_int("layers", layers)
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = checks.positive_int("output_size", output_size)
        if inputs.dropout_probability(dropout) and layers == 1:
            raise ValueError(
                f"dropout must be 0 with one layer, since it works between layers, got {dropout!r}"
            )
        bias = checks.flag("bias", bias)
        with seeded(seed):
            self.network = self.cell(
                input_size,
                width,
                num_layers=layers,
                bias=bias,
                dropout=float(dropout),
                batch_first=True,
                **DRAWN,
            )
            self.readout = nn.Linear(width, output_size, bias=bias, **DRAWN)
        place(self, device, dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, from zeros on."""
        return self.run(x).y

    @inputs.guarded
    def run(self, x: Tensor, state: Tensor | None = None) -> Outputs[Tensor]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            One step is a chunk, too.
        state : Tensor of shape ``(batch, layers · states · width)``, optional
            States before the first step; zero if none are given.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the state after the last step.

        Raises
        ------
        ValueError
            If a shape does not fit.
        """
        batch, size = x.shape[0], self.states * self.layers * self.width
        state = inputs.initial_state(state, (batch, size), x)
        if x.shape[1] == 0:
            return Outputs(x.new_zeros(batch, 0, self.output_size), state)
        states = state.view(batch, self.states, self.layers, self.width).permute(1, 2, 0, 3).contiguous()
        h, last = self.network(x, states[0] if self.states == 1 else tuple(states))
        last = last[None] if self.states == 1 else torch.stack(last)
        return Outputs(self.readout(h), last.permute(2, 0, 1, 3).reshape(batch, size))


class LSTM(_Gated):
    """Long short-term memory c ← f ⊙ c + i ⊙ tanh(a), h = o ⊙ tanh(c), and ŷ = C h + c₀ of the last layer.

    The gates i, f, o are logistic functions of affine ones, and a is an affine one, of the input and of h.

    Parameters
    ----------
    width : int
        Width m of the state.
    layers : int
        Number of recurrent layers, one on top of the other.
    input_size, output_size : int
        Channels of x and ŷ.
    bias : bool
        Whether gates and readout have biases.
    dropout : float
        Probability of dropping a channel between two layers, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, or a dropout outside of [0, 1) or without two layers.

    Notes
    -----
    Weights are torch's, uniform between ±1/√m: the forget gates start near 1/2, so that an untrained LSTM
    about halves c at every step. `run` has a state ``(batch, 2 · layers · width)``: h of all layers, then c.

    Examples
    --------
    >>> LSTM(16, layers=2)(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    """

    cell, states = nn.LSTM, 2


class GRU(_Gated):
    """Gated recurrent unit h ← z ⊙ h + (1 − z) ⊙ n, and ŷ = C h + c₀ of the last layer.

    n = tanh(U_n x + b_n + r ⊙ (W_n h + d_n)); the gates z and r are logistic functions of affine ones of the
    input and of h.

    Parameters
    ----------
    width : int
        Width m of the state.
    layers : int
        Number of recurrent layers, one on top of the other.
    input_size, output_size : int
        Channels of x and ŷ.
    bias : bool
        Whether gates and readout have biases.
    dropout : float
        Probability of dropping a channel between two layers, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, or a dropout outside of [0, 1) or without two layers.

    Notes
    -----
    Weights are torch's, uniform between ±1/√m: the gates z start near 1/2, so that an untrained GRU about
    halves h at every step. `run` has a state ``(batch, layers · width)``.

    Examples
    --------
    >>> GRU(16, layers=2)(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    """

    cell, states = nn.GRU, 1


class ElmanRNN(_Gated):
    """Elman's network h ← tanh(U x + b + W h + d), and ŷ = C h + c₀ of the last layer.

    Its step replaces the state; that of :class:`RNN` adds to it, which makes dt a part of it.

    Parameters
    ----------
    width : int
        Width m of the state.
    layers : int
        Number of recurrent layers, one on top of the other.
    input_size, output_size : int
        Channels of x and ŷ.
    bias : bool
        Whether layers and readout have biases.
    dropout : float
        Probability of dropping a channel between two layers, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, or a dropout outside of [0, 1) or without two layers.

    Notes
    -----
    Weights are torch's, uniform between ±1/√m: by the circular law W has a spectral radius of about 1/√3 for
    large m. `run` has a state ``(batch, layers · width)``.

    Examples
    --------
    >>> ElmanRNN(16, layers=2)(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    """

    cell, states = nn.RNN, 1
