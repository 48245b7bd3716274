"""The recurrent networks of the papers: linear and nonlinear, diagonal and dense."""

from collections.abc import Mapping
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.activations import RECURRENT
from curse_of_memory.nn.building.free_response import free_response
from curse_of_memory.nn.building.initial_weights import initial_weights
from curse_of_memory.nn.building.inputs import guarded, initial_state
from curse_of_memory.nn.building.kept_map import KeepsMap
from curse_of_memory.nn.building.own_precision import in_own_precision, widened
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.nn.recurrence.linear.linear_scan import linear_scan
from curse_of_memory.nn.recurrence.nonlinear.cells import euler_cell
from curse_of_memory.nn.recurrence.nonlinear.recurrence import recurrence
from curse_of_memory.protocols import Outputs
from curse_of_memory.theory import reparameterization
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.tools import checks

__all__ = ["RNN"]


class RNN(KeepsMap, Streaming[Tensor]):
    """Recurrent network dh/dt = σ(W h + U x + b), ŷ = C h, in steps of `dt` from h = 0.

    One step is h ← h + dt · σ(W h + U x_k + b) and ŷ_k = C h, read after the step, so that the
    input of a step is seen at lag zero.

    Parameters
    ----------
    width : int
        Width m of the state.
    input_size, output_size : int
        Channels of x and ŷ.
    activation : {'linear', 'tanh', 'hardtanh', 'relu'}
        σ, applied inside the recurrence as in the papers.
    parameterization : str or Reparameterization
        The recurrent weight is W = f(w), with f of :data:`curse_of_memory.reparameterizations`: "direct" w,
        "softplus" −log(1 + eʷ), "exp" −eʷ, ...; or W = (f(w) − 1)/dt for a discrete-time f such as "lru".
    diagonal : bool
        W = diag(f(w)). Otherwise W is a full matrix (direct), or W = Pᵀ diag(f(w)) P with P free:
        W then is symmetric and, by Sylvester's law of inertia, negative definite as long as P is
        invertible.
    bias : bool
        Whether there is a bias b; it starts at zero.
    dt : float
        Time step. Continuous-time stability (W negative) is stability of the steps only while
        dt · |λ| < 2 for every eigenvalue λ of W.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, a non-positive `dt`, an unknown activation or parameterization.

    Notes
    -----
    The initial decay rates of W are log-uniform between 0.01 and 1 per step, the same for every
    parameterization under one seed (but cut below the largest rate that f can have, as with "best").
    Source: "Inverse approximation theory" (2305.19190); its public code has W = Pᵀ diag(·) P, too.

    Examples
    --------
    >>> model = RNN(width=16, activation="tanh", parameterization="softplus", diagonal=True, dt=1.0)
    >>> model(torch.zeros(8, 100, 1)).shape
    torch.Size([8, 100, 1])
    """

    def __init__(
        self,
        width: int,
        *,
        input_size: int = 1,
        output_size: int = 1,
        activation: str = "linear",
        parameterization: str | Reparameterization = "direct",
        diagonal: bool = False,
        bias: bool = True,
        dt: float = 1.0,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.width = checks.positive_int("width", width)
        self.input_size = checks.positive_int("input_size", input_size)
        self.output_size = checks.positive_int("output_size", output_size)
        self.activation = checks.one_of("activation", activation, RECURRENT)
        reparameterization.get(parameterization)
        self.parameterization = parameterization
        self.diagonal = checks.flag("diagonal", diagonal)
        self.dt = checks.positive("dt", dt)
        with_bias = checks.flag("bias", bias)
        sizes = self.width, self.input_size, self.output_size
        with seeded(seed):
            initial = initial_weights(self._map, *sizes, self.diagonal, self.dt)
        self.recurrent_weight = nn.Parameter(initial.recurrent)
        self.register_parameter("basis", None if initial.basis is None else nn.Parameter(initial.basis))
        self.input_weight = nn.Parameter(initial.inputs)
        self.output_weight = nn.Parameter(initial.outputs)
        self.register_parameter("bias", nn.Parameter(torch.zeros(width, **DRAWN)) if with_bias else None)
        place(self, device, dtype)

    @classmethod
    def from_exponential_sum(
        cls,
        *,
        rates: ArrayLike,
        coefficients: ArrayLike,
        dt: float = 1.0,
        parameterization: str | Reparameterization = "direct",
        dtype: torch.dtype = torch.float64,
    ) -> "RNN":
        """Return the diagonal linear RNN whose memory on the grid is Σᵢ cᵢ exp(−λᵢ s dt).

        The step multiplier 1 + dt W of mode i is exp(−λᵢ dt); its coefficient is split evenly,
        |C_i| = |U_i| = √|c_i|, which makes the response to small changes of U and C smallest.

        Parameters
        ----------
        rates : array of shape (m,)
            Decay rates λᵢ > 0 in 1 / time.
        coefficients : array of shape (m,)
            Real coefficients cᵢ.
        dt, parameterization, dtype
            As for :class:`RNN`.

        Raises
        ------
        ValueError
            If the two arrays differ in length, or a rate is not positive.

        Examples
        --------
        >>> model = RNN.from_exponential_sum(rates=[np.log(2)], coefficients=[8.0])
        >>> model.kernel(4).squeeze().detach().numpy().round(9).tolist()
        [8.0, 4.0, 2.0, 1.0]
        """
        rates = checks.finite_array("rates", rates, ndim=1)
        coefficients = checks.finite_array("coefficients", coefficients, ndim=1)
        if rates.shape != coefficients.shape:
            sizes = f"{rates.size}, {coefficients.size}"
            raise ValueError(f"rates and coefficients must agree in length, got {sizes}")
        if not (rates > 0).all():
            raise ValueError("rates must be positive: a growing mode is no memory function")
        model = cls(
            rates.size,
            parameterization=parameterization,
            diagonal=True,
            bias=False,
            dt=dt,
            seed=0,
            dtype=dtype,
        )
        recurrent = torch.from_numpy(np.expm1(-rates * dt) / dt)
        half = np.sqrt(np.abs(coefficients))
        values = {
            "recurrent_weight": reparameterization.get(parameterization).free_weight(recurrent, dt),
            "input_weight": torch.from_numpy(half[:, None]),
            "output_weight": torch.from_numpy((np.sign(coefficients) * half)[None, :]),
        }
        model.load_state_dict({name: value.to(dtype) for name, value in values.items()})
        return model

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this network beside weights: class, σ, f, diagonal or not, dt."""
        return type(self), self.activation, self.parameterization, self.diagonal, self.dt

    @property
    def is_linear(self) -> bool:
        """Whether ŷ is linear in x (up to the bias), so that :meth:`kernel` exists."""
        return self.activation == "linear"

    @property
    def diagonal_parameters(self) -> frozenset[str]:
        """Names of the weights that are diagonals of matrices: their spectral norm is the largest entry."""
        whole_matrix = self._map.name == "direct" and not self.diagonal
        return frozenset() if whole_matrix else frozenset({"recurrent_weight"})

    def recurrence(self, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return W: its diagonal of shape ``(m,)`` if diagonal, else ``(m, m)``, in 1 / time."""
        p = self._weights(parameters)
        w = p["recurrent_weight"]
        if w.ndim == 2:
            return w
        lam = cast(Tensor, self._map.recurrent_weight(w, self.dt))
        return lam if self.diagonal else (p["basis"].T * lam) @ p["basis"]

    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ ``(batch, time, output_size)`` for `x` ``(batch, time, input_size)``, from h = 0 on."""
        return self.run(x).y

    @guarded
    @in_own_precision
    def run(self, x: Tensor, state: Tensor | None = None) -> Outputs[Tensor]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, input_size)``
            One step is a chunk, too.
        state : Tensor of shape ``(batch, width)``, optional
            h before the first step; zero if none is given.

        Returns
        -------
        Outputs
            ``y`` of shape ``(batch, time, output_size)``, and ``last``, the state after the last step.

        Examples
        --------
        >>> model, x = RNN(4, activation="tanh", seed=0), torch.ones(1, 10, 1)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:])
        True
        """
        p = self._weights()
        W, U, C, b = self.recurrence(p), p["input_weight"], p["output_weight"], p.get("bias")
        state = initial_state(state, (x.shape[0], self.width), U)
        if self.is_linear and self.diagonal:
            drive = nn.functional.linear(x, self.dt * U, None if b is None else self.dt * b)
            h = linear_scan(1 + self.dt * W, drive, state)
            last = h[:, -1] if h.shape[1] else state
            return Outputs(h @ C.T, last)
        cell = euler_cell(self.activation)
        return recurrence(cell, x, W, U, b, C, state, dt=self.dt, diagonal=self.diagonal)

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many networks that differ from this one in their weights only.

        Parameters
        ----------
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, input_size)`` or ``(model, batch, time, input_size)``
            Inputs from h = 0, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, output_size)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or a weight is missing.
        """
        p, x = inputs.many_models(self, parameters, x)
        W, U, C, b = torch.func.vmap(self.recurrence)(p), p["input_weight"], p["output_weight"], p.get("bias")
        cell = euler_cell(self.activation)
        y = recurrence(cell, x, W, U, b, C, dt=self.dt, diagonal=self.diagonal).y
        return y.to(parameters["output_weight"].dtype)

    def kernel(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the memory ρ̂_s = C (I + dt W)ˢ U, the closed form of a linear network.

        Parameters
        ----------
        horizon : int
            Number of lags s = 0 … horizon − 1.
        parameters : mapping from name to tensor, optional
            Values that stand in for the module's own parameters; with :func:`torch.func.vmap` over
            them, whole batches of perturbed networks cost one call.

        Returns
        -------
        Tensor of shape ``(horizon, output_size, input_size)``
            A density per unit time: ŷ_k = dt Σ_s ρ̂_s x_{k−s} + the offset.

        Raises
        ------
        TypeError
            If the network is not linear.
        """
        p = self._closed_form_weights(horizon, parameters)
        modes = free_response(self.recurrence(p), p["input_weight"], horizon, self.dt)
        return torch.einsum("om,tmi->toi", p["output_weight"], modes)

    def offset(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the response of a linear network to zero input, C dt Σ_{j≤k} (I + dt W)ʲ b.

        Arguments and errors are those of :meth:`kernel`; the shape is ``(horizon, output_size)``.
        """
        p = self._closed_form_weights(horizon, parameters)
        if "bias" not in p:
            return p["output_weight"].new_zeros(horizon, self.output_size)
        steps = free_response(self.recurrence(p), p["bias"][:, None], horizon, self.dt)[..., 0]
        return self.dt * steps.cumsum(0) @ p["output_weight"].T

    def _weights(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        return widened(dict(self.named_parameters()) | dict(parameters or {}))

    def _closed_form_weights(
        self, horizon: int, parameters: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        if not self.is_linear:
            raise TypeError(f"only a linear network has a closed-form memory; this one is {self.activation}")
        checks.positive_int("horizon", horizon)
        return self._weights(parameters)

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the network between its brackets."""
        shape = "diagonal" if self.diagonal else "dense"
        return f"width={self.width}, {self.activation}, {self._map.name}, {shape}, dt={self.dt:g}"
