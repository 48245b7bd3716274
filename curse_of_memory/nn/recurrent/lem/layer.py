"""Long Expressive Memory as a layer: in place of an LSTM, in one direction or both, and in several layers."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.lengths import checked_lengths, within
from curse_of_memory.nn.building.own_precision import in_own_precision
from curse_of_memory.nn.building.padded import Padded
from curse_of_memory.nn.building.seeding import place, seeded
from curse_of_memory.nn.recurrent.lem.direction import LEARNT_STEPS, SINGLE
from curse_of_memory.nn.recurrent.lem.network import Network
from curse_of_memory.nn.recurrent.lem.public_layout import from_public, read_public, to_public
from curse_of_memory.protocols import Outputs
from curse_of_memory.tools import checks

__all__ = ["LEM", "TimeSteps"]

POOLINGS = ("none", "last")


class TimeSteps(NamedTuple):
    """The steps that a LEM takes, each unit its own at every step of time: from 0 to dt.

    Attributes
    ----------
    z, y : Tensor of shape ``(batch, time, directions · width)``
        Δt_n and Δ̄t_n, the shares of the way to their goals that z and y go.
    """

    z: Tensor
    y: Tensor


class LEM(Padded):
    """Long Expressive Memory: states y and z, each unit at a rate of its own at every step, and ŷ = C y + c.

    A step moves z, and then y with the new z. From y = z = 0, or given states, and with the logistic function
    σ̂,

        Δt_n = dt σ̂(W₁ y_{n−1} + V₁ x_n + b₁),
        Δ̄t_n = dt σ̂(W₂ y_{n−1} + V₂ x_n + b₂),
        z_n = (1 − Δt_n) ⊙ z_{n−1} + Δt_n ⊙ tanh(W_z y_{n−1} + V_z x_n + b_z),
        y_n = (1 − Δ̄t_n) ⊙ y_{n−1} + Δ̄t_n ⊙ tanh(W_y z_n + V_y x_n + b_y).

    Parameters
    ----------
    width : int
        Units h of y, and of z.
    layers : int
        Number of layers, one on top of the other; each reads the y of the one below.
    dt : float
        Δt in (0, 1], the largest step of a unit; how to choose it is said below.
    learn_dt : {'no', 'one', 'each'}
        Whether dt is a weight, too: one in each layer and direction, or one for each unit of y and of z.
        It stays in (0, 1] and starts at `dt`.
    bidirectional : bool
        Whether each layer is two, of which the second reads from the end; their y stand side by side.
    input_size, output_size : int
        Channels of x and ŷ. With an `output_size` of None there is no readout, and the answer is y itself.
    dropout : float
        Probability of dropping a channel between two layers, in training mode.
    pooling : {'none', 'last'}
        Whether each step is answered, or only the last one of a sequence (of two directions each after its
        own last step), without time: ``(batch, output_size)``. Of the highest layer there are then no arrays
        over time on the CPU, neither forwards nor backwards.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a dt that is not in (0, 1] or a tensor, whose gradient would be lost, an unknown
        `learn_dt` or `pooling`, or a dropout outside of [0, 1) or without two layers.

    Notes
    -----
    *How to choose dt.* A unit keeps 1 − Δt_n of what it holds at each step: some 2/dt steps where gates are
    half open, longer where they close. The public code's settings have N dt from 3 to 1000 for N steps: 3
    (EigenWorms, N = 17 984, dt = 0.00017), 48 to 242 (adding), 126 (keywords), 165 and 243 (images by
    pixels), 440 (noisy images), 948 (heart rate), 1000 (FitzHugh-Nagumo, dt = 1). A large step forgets, a
    small one hardly sees: begin with dt = 1 where much happens at every step, with N dt from 5 to 50 where
    few steps from far back decide, and search by factors of three; or let it be learnt. dt is no unit of
    time here: measurements count the lags of a LEM in steps.

    *Weights.* ``network.direction(i)`` has those of a layer in one direction, and can load those of another:
    four blocks of h rows, y gate (W₂ …), z gate (W₁ …), goal of z (W_z …), goal of y (W_y …); two biases, as
    the public code and torch's LSTM have. So there are as many as in an ``nn.LSTM``, 4h(m + h) + 8h a layer.
    They start uniform between ±1/√h, C normal with variance 2/h; and are drawn as the public code draws its
    own, so that one seed is one start there and here.

    *States.* `run` has a state ``(batch, 2 · layers · directions · width)``: y of all layers, and within them
    of both directions, then z.

    Sources: Rusch, Mishra, Erichson and Mahoney, "Long Expressive Memory for Sequence Modeling" (2110.04744),
    equation (3); its public code (tk-rusch/LEM) for settings, initial weights and :meth:`from_official`.

    Examples
    --------
    >>> layer = LEM(16, dt=0.1, input_size=3, output_size=2, seed=0)
    >>> layer(torch.zeros(8, 100, 3)).shape
    torch.Size([8, 100, 2])
    >>> x = torch.ones(2, 10, 3)
    >>> first = layer.run(x[:, :5])
    >>> torch.allclose(layer.run(x[:, 5:], first.last).y, layer(x)[:, 5:], atol=1e-6)
    True
    >>> torch.allclose(layer.run(x, lengths=[5, 10]).last[0], first.last[0])
    True
    >>> LEM(16, input_size=3, pooling="last", seed=0)(x).shape
    torch.Size([2, 1])
    """

    def __init__(
        self,
        width: int,
        layers: int = 1,
        *,
        dt: float = 1.0,
        learn_dt: str = "no",
        bidirectional: bool = False,
        input_size: int = 1,
        output_size: int | None = 1,
        dropout: float = 0.0,
        pooling: str = "none",
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = checks.positive_int("width", width)
        self.layers = checks.positive_int("layers", layers)
        self.bidirectional = checks.flag("bidirectional", bidirectional)
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = None if output_size is None else checks.positive_int("output_size", output_size)
        if inputs.dropout_probability(dropout) and layers == 1:
            raise ValueError(
                f"dropout must be 0 with one layer, since it works between layers, got {dropout!r}"
            )
        self.pooling = checks.one_of("pooling", pooling, POOLINGS)
        self.learn_dt = checks.one_of("learn_dt", learn_dt, LEARNT_STEPS)
        with seeded(seed):
            self.network = Network(
                self.width,
                self.layers,
                dt=_checked_step(dt),
                learn_dt=learn_dt,
                bidirectional=self.bidirectional,
                input_size=self.input_size,
                dropout=float(dropout),
            )
            wide = self.network.count * self.width
            self.readout = None if self.output_size is None else nn.Linear(wide, self.output_size, **SINGLE)
            if self.readout is not None:
                nn.init.kaiming_normal_(self.readout.weight)
        place(self, device, dtype)

    @property
    def time_step(self) -> float | Tensor:
        """Largest step dt as a number; or, if learnt, of every direction, alone or ``(y and z, width)``."""
        directions = [self.network.direction(i) for i in range(len(self.network.directions))]
        steps = [direction.time_step(direction.input_weight.dtype) for direction in directions]
        learnt = [step for step in steps if isinstance(step, Tensor)]
        return torch.stack(learnt) if learnt else steps[0]

    @inputs.guarded
    @in_own_precision
    def _run(self, x: Tensor, state: Tensor | None, steps: Tensor | None) -> Outputs[Tensor]:
        last_only = self.pooling == "last"
        if self.readout is None:
            y, last = self.network.run(x, state, steps, None, last_only=last_only)
        else:
            C, c = self.readout.weight.to(x.dtype), self.readout.bias.to(x.dtype)
            few = len(C) <= self.width  # the loops then read out on their way, and y needs no memory
            y, last = self.network.run(x, state, steps, C if few else None, last_only=last_only)
            y = (y if few else y @ C.mT) + c
        return Outputs(y[:, 0] if last_only else y, last)

    def step(self, x: Tensor, state: Tensor | None = None) -> Outputs[Tensor]:
        """Return the answer to one step, and the state after it, from which the next step goes on.

        Parameters, errors and answers are those of :meth:`Streaming.step`; in two directions there is no
        step.
        """
        if self.bidirectional:
            raise ValueError("a bidirectional layer has no step: who reads from the end needs all of it")
        return super().step(x, state)

    def steps(
        self,
        x: Tensor,
        state: Tensor | None = None,
        *,
        lengths: Sequence[int] | Tensor | None = None,
        layer: int = 0,
    ) -> TimeSteps:
        """Return Δt_n of z and Δ̄t_n of y, the steps that the gates choose: for figures, and to see why.

        Parameters
        ----------
        x, state, lengths
            As for :meth:`run`. In padding the steps are zero.
        layer : int
            Of which layer, from 0 on.

        Returns
        -------
        TimeSteps
            ``z`` and ``y``, each of shape ``(batch, time, directions · width)``.

        Examples
        --------
        >>> steps = LEM(4, dt=0.5, seed=0).steps(torch.ones(1, 10, 1))
        >>> bool((steps.z > 0).all()), bool((steps.y < 0.5).all())
        (True, True)
        """
        inputs.sequence(self, x)
        if checks.whole_number("layer", layer, least=0) >= self.layers:
            raise ValueError(f"layer must be below {self.layers}, the number of layers, got {layer}")
        if lengths is None:
            return TimeSteps(*self._steps(x, state, None, layer).chunk(2, -1))
        given = checked_lengths(lengths, x)
        inside = within(given, x.shape[1])[..., None]
        taken = self._steps(x.where(inside, 0), state, given, layer)
        return TimeSteps(*taken.masked_fill(~inside, 0).chunk(2, -1))

    @in_own_precision
    def _steps(self, x: Tensor, state: Tensor | None, lengths: Tensor | None, layer: int) -> Tensor:
        return self.network.steps(x, state, lengths, layer)

    @classmethod
    def from_official(
        cls,
        state_dict: Mapping[str, Tensor],
        *,
        dt: float,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> "LEM":
        """Return the layer with the weights of a model of the paper's public code (tk-rusch/LEM).

        Parameters
        ----------
        state_dict : mapping from name to Tensor
            What its ``state_dict()`` returns: weights and biases of ``inp2hid``, ``hid2hid`` and
            ``transform_z``, and those of the readout, if it has one, under any name.
        dt : float
            Its time step, which is not among them.
        device, dtype
            As for :class:`LEM`; the dtype of the tensors if none is given.

        Returns
        -------
        LEM
            Of one layer in one direction. It wants ``(batch, time, channel)``, the public code
            ``(time, batch, channel)``; and answers every step, that code mostly the last.

        Raises
        ------
        ValueError, TypeError
            If a tensor is missing, has another shape, or is one too many: it is named.
        """
        cell, readout = read_public(state_dict)
        layer = cls(
            cell["hid2hid.weight"].shape[1],
            dt=dt,
            input_size=cell["inp2hid.weight"].shape[1],
            output_size=len(readout["weight"]) if readout else None,
            seed=0,
            device=device,
            dtype=cell["inp2hid.weight"].dtype if dtype is None else dtype,
        )
        layer.network.direction(0).load_state_dict(from_public(cell))
        if layer.readout is not None:
            layer.readout.load_state_dict(readout)
        return layer

    def official_state_dict(self) -> dict[str, Tensor]:
        """Return copies of the weights under the names and in the layout of the public code, without dt.

        Raises
        ------
        ValueError
            For several layers, two directions or a dt for each unit, none of which the public code has.
        """
        if self.layers > 1 or self.bidirectional or self.learn_dt == "each":
            raise ValueError(
                "official weights are of one layer in one direction with one dt, but this LEM has "
                f"layers={self.layers}, bidirectional={self.bidirectional}, learn_dt={self.learn_dt!r}"
            )
        cell = to_public(self.network.direction(0).state_dict())
        readout = {} if self.readout is None else self.readout.state_dict()
        named = {f"cell.{name}": tensor for name, tensor in cell.items()}
        return named | {f"classifier.{name}": tensor.clone() for name, tensor in readout.items()}

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the layer between its brackets."""
        step = self.time_step
        shown = f"dt={step:g}" if isinstance(step, float) else f"learn_dt={self.learn_dt!r}"
        both = f"bidirectional={self.bidirectional}, pooling={self.pooling!r}"
        return f"width={self.width}, layers={self.layers}, {shown}, {both}"


def _checked_step(dt: float) -> float:
    """Return dt if it is a number in (0, 1]; refuse it otherwise."""
    if isinstance(dt, Tensor):
        what = f"a tensor of shape {tuple(dt.shape)}"
        raise TypeError(f"dt must be a number, which learn_dt='one' or 'each' makes a weight, got {what}")
    if not 0 < (step := checks.real("dt", dt)) <= 1:
        raise ValueError(f"dt must be above 0 and at most 1, got {dt!r}")
    return step
