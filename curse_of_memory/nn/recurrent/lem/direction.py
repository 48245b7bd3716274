"""One layer of LEM in one direction: its weights, how they are drawn, its time step, and what it answers."""

import math

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.seeding import DRAWN, Place
from curse_of_memory.nn.recurrence.nonlinear.cells import GATED
from curse_of_memory.nn.recurrence.nonlinear.recurrence import recurrence
from curse_of_memory.nn.recurrent.lem.public_layout import from_public
from curse_of_memory.protocols import Outputs

__all__ = ["LEARNT_STEPS", "SINGLE", "Direction"]

LEARNT_STEPS = ("no", "one", "each")
"""Whether dt is learnt: not, as one number, or as one for each unit of y and of z."""

SINGLE: Place = {"device": "cpu", "dtype": torch.float32}
"""Where weights are drawn, and how precisely, whatever they become: as the public code draws its own."""

FROZEN = -1e30  # what a gate is given in padding: its logistic function is zero, and the states stand still


class Direction(nn.Module):
    """The weights of one layer of LEM in one direction.

    Parameters
    ----------
    width, input_size : int
        Units h, and channels of its inputs.
    dt : float
        Time step in (0, 1], the initial one if it is learnt.
    learn_dt : {'no', 'one', 'each'}
        Whether it is.

    Notes
    -----
    Rows are four blocks of h: y gate, z gate, goal of z, goal of y. A learnt step is dt = exp(−abs w), which
    is in (0, 1] whatever w, ``log_dt``, is. Steps of w change it by factors, as suits a number that may be 1
    or 10⁻⁴. At dt = 1, w = 0, the derivative is the one from above, so that it can be learnt from there, too.
    Weight decay pulls dt towards 1.
    """

    def __init__(self, width: int, input_size: int, dt: float, learn_dt: str):
        super().__init__()
        drawn = _drawn(width, input_size)
        self.input_weight = nn.Parameter(drawn["input_weight"])
        self.recurrent_weight = nn.Parameter(drawn["recurrent_weight"])
        self.input_bias = nn.Parameter(drawn["input_bias"])
        self.recurrent_bias = nn.Parameter(drawn["recurrent_bias"])
        self.dt = dt
        shape = {"no": None, "one": (), "each": (2, width)}[learn_dt]
        start = None if shape is None else nn.Parameter(torch.full(shape, math.log(dt), **DRAWN))
        self.log_dt: nn.Parameter | None
        self.register_parameter("log_dt", start)

    def time_step(self, dtype: torch.dtype) -> float | Tensor:
        """Return dt as a number; or, if it is learnt, as a tensor, of shape () or (2, width): of y, of z."""
        if self.log_dt is None:
            return self.dt
        w = self.log_dt.to(dtype)
        return torch.where(w < 0, w, -w).exp().clamp(min=torch.finfo(dtype).tiny)

    def run(
        self,
        x: Tensor,
        initial: Tensor,
        inside: Tensor | None,
        readout: Tensor | None = None,
        *,
        last_only: bool = False,
    ) -> Outputs[Tensor]:
        """Return y of every step, or a linear readout of it, and the last states.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            Inputs.
        initial : Tensor of shape ``(batch, 2 · width)``
            y and z before the first step.
        inside : Tensor of shape ``(batch, time)``, optional
            Where there is no padding, through which states stay as they are.
        readout : Tensor of shape ``(output, width)``, optional
            C of C y.
        last_only : bool
            Return y after the last step alone, ``(batch, 1, width)``.
        """
        W, U, b = self._weights(x.dtype)
        if inside is not None:
            gates = torch.arange(len(U), device=U.device) < len(U) // 2
            U = torch.cat([U, torch.where(gates, FROZEN, 0.0).to(U.dtype)[:, None]], 1)
            x = torch.cat([x, (~inside)[..., None].to(x.dtype)], -1)
        dt = self.time_step(x.dtype)
        dt = dt.flatten() if isinstance(dt, Tensor) and dt.ndim else dt
        return recurrence(GATED, x, W, U, b, readout, initial, dt=dt, last_only=last_only)

    def steps(self, x: Tensor, y: Tensor) -> Tensor:
        """Return Δt_n and Δ̄t_n, one after the other in front of ``(batch, time, width)``.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            Inputs.
        y : Tensor of shape ``(batch, time, width)``
            y before each step.
        """
        W, U, b = (t[: 2 * y.shape[-1]] for t in self._weights(x.dtype))
        of_y, of_z = (y @ W.mT + x @ U.mT + b).sigmoid().chunk(2, -1)
        dt = self.time_step(x.dtype)
        dt_y, dt_z = dt if isinstance(dt, Tensor) and dt.ndim else (dt, dt)
        return torch.stack([dt_z * of_z, dt_y * of_y])

    def _weights(self, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
        W, U = self.recurrent_weight.to(dtype), self.input_weight.to(dtype)
        return W, U, self.input_bias.to(dtype) + self.recurrent_bias.to(dtype)


def _drawn(width: int, input_size: int) -> dict[str, Tensor]:
    """Return initial weights, uniform between ±1/√h, drawn as by the public code.

    Its affine maps are torch's, which draw their weights when they are made; then it draws all once more.
    """
    maps = {
        "inp2hid": nn.Linear(input_size, 4 * width, **SINGLE),
        "hid2hid": nn.Linear(width, 3 * width, **SINGLE),
        "transform_z": nn.Linear(width, width, **SINGLE),
    }
    bound = 1 / math.sqrt(width)
    tensors = {f"{name}.{what}": p for name, map_ in maps.items() for what, p in map_.named_parameters()}
    with torch.no_grad():
        return from_public({name: p.uniform_(-bound, bound) for name, p in tensors.items()})
