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
    chrono : float, optional
        Longest memory T that is expected, in steps, at least 2, for chrono initialisation; without it the
        biases are torch's.
    dropout : float
        Probability of dropping a channel between two layers, in training mode.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a dropout outside of [0, 1) or without two layers, or a `chrono` below 2 or
        without biases.

    Notes
    -----
    Weights are torch's, uniform between ±1/√m: the forget gates start near 1/2, so that an untrained LSTM
    about halves c at every step. `run` has a state ``(batch, 2 · layers · width)``: h of all layers, then c.

    *Chrono initialisation* (Tallec and Ollivier 2018, "Can recurrent neural networks warp time?", 1804.11188,
    section 2): forget gates have a bias ln u, with u uniform in [1, T − 1] for each unit, and input gates its
    negative. With nothing else in the gate a unit then keeps c over 1/(1 − f) = 1 + u steps, from 2 to T.
    torch's gates have two biases: the one of the input is this, the one of h is zero. All other weights are
    those of the same seed without it.

    Examples
    --------
    >>> LSTM(16, layers=2)(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    >>> i, f, _, _ = LSTM(16, chrono=1000, seed=0).network.bias_ih_l0.sigmoid().chunk(4)
    >>> bool((1 / (1 - f) <= 1000).all()), torch.allclose(i, 1 - f, atol=1e-6)
    (True, True)
    """

    cell, states = nn.LSTM, 2

    def __init__(
        self,
        width: int,
        layers: int = 1,
        *,
        input_size: int = 1,
        output_size: int = 1,
        bias: bool = True,
        chrono: float | None = None,
        dropout: float = 0.0,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        if chrono is not None and checks.real("chrono", chrono) < 2:
            raise ValueError(f"chrono must be at least 2 steps, got {checks.shown(chrono)}")
        if chrono is not None and not checks.flag("bias", bias):
            raise ValueError("chrono must be None without biases, which it sets")
        sizes = {"input_size": input_size, "output_size": output_size}
        with seeded(seed):
            super().__init__(width, layers, **sizes, bias=bias, dropout=dropout, device=device, dtype=dtype)
            if chrono is not None:
                self._remember(chrono)

    @torch.no_grad()
    def _remember(self, longest: float) -> None:
        """Give forget and input gates the biases of chrono initialisation, layer by layer."""
        for layer in range(self.layers):
            of_inputs, of_states = (getattr(self.network, f"bias_{which}_l{layer}") for which in ("ih", "hh"))
            forget = (1 + (longest - 2) * torch.rand(self.width, **DRAWN)).log()
            of_inputs[: 2 * self.width] = torch.cat([-forget, forget])  # torch's order: input, forget
            of_states[: 2 * self.width] = 0


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
