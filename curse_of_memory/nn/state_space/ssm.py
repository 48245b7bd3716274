"""Diagonal state space models: one linear state for all channels, the nonlinearity outside the recurrence.

Equation.   dh/dt = Λ h + U x + b,   ŷ = C σ(h) + D x,   Λ diagonal;
            in steps h_k = z ⊙ h_{k−1} + φ ⊙ (U x_k + b), with z and φ of ``state_space.modes``.

Algorithm.  All inputs of the modes in one product, a scan over time, all outputs in another product.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from curse_of_memory.nn.building.activations import ACTIVATIONS, RECURRENT
from curse_of_memory.nn.building.inputs import guarded, initial_state
from curse_of_memory.nn.building.own_precision import in_own_precision
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.recurrence.linear.kernels import modal_kernel
from curse_of_memory.nn.recurrence.linear.linear_scan import linear_scan
from curse_of_memory.nn.state_space.modes import RING, DiagonalModes
from curse_of_memory.protocols import Outputs
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.tools import checks

__all__ = ["SSM"]


class SSM(DiagonalModes):
    """State space model dh/dt = Λ h + U x + b, ŷ = C σ(h) + D x, with Λ diagonal.

    The layer of the theory of StableSSM (2311.14495) and of "SSMs are universal approximators" (2309.13414):
    linear in time, the nonlinearity *outside* the recurrence. With σ inside it is :class:`RNN` with an
    activation. With ``initial="lru", parameterization="lru", skip=True`` it is the linear recurrent unit
    (2303.06349).

    Parameters
    ----------
    width : int
        Width m of the real state; m/2 conjugate pairs where modes are complex.
    input_size, output_size : int
        Channels of x and ŷ.
    activation : {'linear', 'tanh', 'hardtanh', 'relu'}
        σ; all but 'linear' need real modes.
    parameterization : str or Reparameterization
        The real part of Λ is f(w), with f of :data:`curse_of_memory.reparameterizations`; a discrete-time f
        such as "lru" gives the modulus of the multiplier of a step.
    initial : {'real', 'lru', 's4d-lin', 's4d-inv', 's4d-real'} or array of shape (modes,)
        Initial eigenvalues, cut below the fastest rate of f; the formulas are in ``nn.state_space.modes``. An
        array holds real ones, or complex ones that stand for pairs.
    discretization : {'zoh', 'bilinear', 'euler'}, optional
        What a step is; 'zoh' unless given. Must not be given for a discrete-time f.
    dt : float
        Time step.
    ring : tuple of float
        Smallest and largest modulus, and largest phase, of the multipliers of ``initial="lru"``.
    bias, skip : bool
        Whether there is a bias b, which starts at zero, and a skip connection D.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too. Complex weights are kept as real tensors
        with a last dimension of 2.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, unknown names, bad numbers, an odd width for pairs, or an activation for them.

    Notes
    -----
    Real modes start with U and C uniform between ±1/√m, so that one seed gives the weights of a diagonal
    :class:`RNN`, which ``discretization="euler"`` equals. Pairs start as the linear recurrent unit: U is
    normal with E|U|² = 1/input_size, times √(1 − |z|²), and C normal with E|2 C|² = 2/(number of pairs).
    The frequencies are learnt as they are, and the factors √(1 − |z|²) as part of U.

    Examples
    --------
    >>> model = SSM(16, activation="tanh", parameterization="best", seed=0)
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
        initial: str | ArrayLike = "real",
        discretization: str | None = None,
        dt: float = 1.0,
        ring: Sequence[float] = RING,
        bias: bool = True,
        skip: bool = False,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        width = checks.positive_int("width", width)
        with_bias, with_skip = checks.flag("bias", bias), checks.flag("skip", skip)
        with seeded(seed):
            super().__init__(width, (), initial, parameterization, discretization, dt, None, ring)
            self.width = width
            self.input_size = checks.positive_int("input_size", input_size)
            self.output_size = checks.positive_int("output_size", output_size)
            self.activation = checks.one_of("activation", activation, RECURRENT)
            if self.has_pairs and not self.is_linear:
                raise ValueError(f"activation must be 'linear' for complex modes, got {activation!r}")
            self.input_weight = nn.Parameter(self._initial_input())
            self.output_weight = nn.Parameter(self._initial_output())
            shift = torch.zeros_like(self.input_weight[:, 0]) if with_bias else None
            self.register_parameter("bias", None if shift is None else nn.Parameter(shift))
            size = self.output_size, self.input_size
            skips = torch.randn(size, **DRAWN) / math.sqrt(self.input_size) if with_skip else None
            self.register_parameter("skip", None if skips is None else nn.Parameter(skips))
        place(self, device, dtype)

    @classmethod
    def from_exponential_sum(
        cls,
        *,
        rates: ArrayLike,
        coefficients: ArrayLike,
        dt: float = 1.0,
        parameterization: str | Reparameterization = "direct",
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float64,
    ) -> "SSM":
        """Return the linear layer of one channel whose memory on the grid is Σᵢ cᵢ exp(−λᵢ s dt).

        Λ is −λ, held over a step (zoh) or by a discrete-time f; c is split evenly, |C_i| = |U_i|.

        Parameters
        ----------
        rates, coefficients : array_like, shape (m,)
            λᵢ and cᵢ, real or in conjugate pairs, as :class:`curse_of_memory.exponential_sums.ExponentialSum`
            takes them: those of a fit, such as ``states_needed(kernel).fit``.
        dt : float
            Time step; that of the fit.
        parameterization, device, dtype
            As for :class:`SSM`.

        Returns
        -------
        SSM
            Without bias or skip, of width m. Modes of a layer are all real or all pairs, though: each real
            rate beside pairs becomes a pair of frequency 0, and the width one more.

        Raises
        ------
        ValueError, TypeError
            If the sum is not stable or not real, or the parameterisation cannot be such a rate.

        Examples
        --------
        >>> layer = SSM.from_exponential_sum(rates=[np.log(2)], coefficients=[8.0])
        >>> layer.kernel(4).squeeze().detach().numpy().round(9).tolist()
        [8.0, 4.0, 2.0, 1.0]
        """
        given = ExponentialSum(rates=rates, coefficients=coefficients, dt=dt)
        eigenvalues, c = -given.rates, given.coefficients.astype(given.rates.dtype)
        if np.iscomplexobj(eigenvalues):
            paired = np.abs(eigenvalues.imag) * dt < math.pi * (1 - 1e-9)
            lone = (eigenvalues.imag == 0) | ~paired
            kept = (eigenvalues.imag > 0) | lone
            # a pair counts twice
            eigenvalues, c = eigenvalues[kept], np.where(lone, c / 2, c)[kept]
        pairs = np.iscomplexobj(eigenvalues)
        layer = cls(
            eigenvalues.size * (2 if pairs else 1),
            parameterization=parameterization,
            initial=eigenvalues,
            dt=dt,
            bias=False,
            seed=0,
            dtype=torch.float64,
        )
        decay = torch.from_numpy(eigenvalues.real.copy())
        if layer._map.time == "discrete":
            decay = torch.expm1(dt * decay) / dt
        with torch.no_grad():
            # not as the layer starts: that cuts off the fastest rates
            layer.recurrent_weight.copy_(layer._map.free_weight(decay, dt))
            _, phi = layer.multipliers()
            whole = torch.from_numpy(c) * dt / phi
            half = whole.abs().sqrt()
            inputs, outputs = half, torch.where(half > 0, whole / half, 0)
            if pairs:
                inputs, outputs = torch.view_as_real(inputs + 0j), torch.view_as_real(outputs)
            layer.input_weight.copy_(inputs[:, None])
            layer.output_weight.copy_(outputs[None])
        place(layer, device, dtype)
        return layer

    def _initial_input(self) -> Tensor:
        modes = len(self.recurrent_weight)
        if not self.has_pairs:
            return (2 * torch.rand(modes, self.input_size, **DRAWN) - 1) / math.sqrt(modes)
        z, _ = (t.detach() for t in self.multipliers())
        # an unstable mode has no variance to be normalised
        gain = (1 - z.abs().square()).clamp(min=0).sqrt()
        noise = torch.randn(modes, self.input_size, 2, **DRAWN)
        return gain[:, None, None] * noise / math.sqrt(2 * self.input_size)

    def _initial_output(self) -> Tensor:
        modes = len(self.recurrent_weight)
        if not self.has_pairs:
            return (2 * torch.rand(self.output_size, modes, **DRAWN) - 1) / math.sqrt(modes)
        return torch.randn(self.output_size, modes, 2, **DRAWN) / (2 * math.sqrt(modes))

    @property
    def architecture(self) -> tuple:
        """What :meth:`run_many` uses of this model beside weights: class, f, discretisation, dt, σ."""
        return *super().architecture, self.activation

    @property
    def is_linear(self) -> bool:
        """Whether ŷ is linear in x (up to the bias), so that :meth:`kernel` exists."""
        return self.activation == "linear"

    @property
    def diagonal_parameters(self) -> frozenset[str]:
        """Names of the weights that are diagonals of matrices: their spectral norm is the largest entry."""
        return frozenset({"recurrent_weight", "frequency"} if self.has_pairs else {"recurrent_weight"})

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
        state : Tensor of shape ``(batch, modes)``, optional
            h before the first step, complex for pairs; zero if none is given.

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
        >>> model, x = SSM(4, initial="lru", parameterization="lru", seed=0), torch.ones(1, 10, 1)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:], atol=1e-6)
        True
        """
        return self._answer(self._weights(), x, state)

    def _whole_many(self, p: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of models whose weights `p` are stacked: more sequences for the one scan."""
        z, phi = self.multipliers(p)
        models, (batch, time) = len(z), x.shape[-3:-1]
        # one product a model, over its sequences and steps together
        x = x.flatten(-3, -2).expand(models, -1, -1)
        drive = self._into_modes(x, p["input_weight"])
        if "bias" in p:
            drive = drive + self._number(p["bias"])[:, None]
        drive = (phi[:, None] * drive).view(models * batch, time, -1)
        h = linear_scan(z.repeat_interleave(batch, 0), drive).view(models, batch * time, -1)
        y = self._out_of_modes(ACTIVATIONS[self.activation](h), p["output_weight"])
        if "skip" in p:
            y = y + x @ p["skip"].mT
        return y.unflatten(1, (batch, time))

    def _answer(self, p: Mapping[str, Tensor], x: Tensor, state: Tensor | None) -> Outputs[Tensor]:
        """Return what :meth:`run` does, with the weights `p`."""
        z, phi = self.multipliers(p)
        state = initial_state(state, (x.shape[0], z.shape[0]), z)
        drive = self._into_modes(x, p["input_weight"])
        if "bias" in p:
            drive = drive + self._number(p["bias"])
        h = linear_scan(z, phi * drive, state)
        y = self._out_of_modes(ACTIVATIONS[self.activation](h), p["output_weight"])
        if "skip" in p:
            y = y + x @ p["skip"].T
        return Outputs(y, h[:, -1] if h.shape[1] else state)

    def _into_modes(self, x: Tensor, weight: Tensor) -> Tensor:
        if not self.has_pairs:
            return x @ weight.mT
        real, imaginary = weight.unbind(-1)
        return torch.complex(x @ real.mT, x @ imaginary.mT)

    def _out_of_modes(self, h: Tensor, weight: Tensor) -> Tensor:
        if not self.has_pairs:
            return h @ weight.mT
        real, imaginary = weight.unbind(-1)
        return 2 * (h.real @ real.mT - h.imag @ imaginary.mT)

    def kernel(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the memory ρ̂_s = C zˢ φ U / dt, plus D / dt at lag zero, of a linear model.

        Parameters
        ----------
        horizon : int
            Number of lags s = 0 … horizon − 1.
        parameters : mapping from name to tensor, optional
            Values that stand in for the module's own parameters; with :func:`torch.func.vmap` over
            them, whole batches of perturbed models cost one call.

        Returns
        -------
        Tensor of shape ``(horizon, output_size, input_size)``
            A density per unit time: ŷ_k = dt Σ_s ρ̂_s x_{k−s} + the offset.

        Raises
        ------
        TypeError
            If the model is not linear.
        """
        p = self._closed_form_weights(horizon, parameters)
        kernel = self._response(horizon, p, self._number(p["input_weight"]))
        if "skip" in p:
            kernel = torch.cat([kernel[:1] + p["skip"], kernel[1:]])
        return kernel / self.dt

    def offset(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the response of a linear model to zero input, C Σ_{j≤k} zʲ φ b.

        Arguments and errors are those of :meth:`kernel`; the shape is ``(horizon, output_size)``.
        """
        p = self._closed_form_weights(horizon, parameters)
        if "bias" not in p:
            return p["output_weight"].new_zeros(horizon, self.output_size)
        return self._response(horizon, p, self._number(p["bias"])[:, None])[..., 0].cumsum(0)

    def _response(self, horizon: int, p: Mapping[str, Tensor], start: Tensor) -> Tensor:
        """Return C zˢ φ v for each column v of `start`, ``(horizon, output, column)``."""
        z, phi = self.multipliers(p)
        coefficients = self._number(p["output_weight"])[:, None] * (phi[:, None] * start).T
        return modal_kernel(z, coefficients, horizon, pairs=self.has_pairs).movedim(-1, 0)

    def _closed_form_weights(
        self, horizon: int, parameters: Mapping[str, Tensor] | None
    ) -> dict[str, Tensor]:
        if not self.is_linear:
            raise TypeError(f"only a linear model has a closed-form memory; this one is {self.activation}")
        checks.positive_int("horizon", horizon)
        return self._weights(parameters)

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the model between its brackets."""
        return f"{self.input_size}, {self.output_size}, {self.activation}, {self._kind()}"
