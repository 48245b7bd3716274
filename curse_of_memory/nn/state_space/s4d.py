"""S4D: diagonal state space layers in which every channel has modes of its own.

Equation.   In channel c:  dh/dt = Λ_c h + 1 x_c,   ŷ_c = C_c h + D_c x_c,   a step of its own length Δ_c.

Algorithm.  Whole sequences from rest: the memory K_s = C z^s φ of every channel, and its convolution with x,
            whose cost per step grows like log T whatever the number of modes. From a state, or towards one:
            the scan.
"""

import itertools
from collections.abc import Mapping, Sequence

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from curse_of_memory.nn.building.inputs import guarded, initial_state, many_models
from curse_of_memory.nn.building.many_models import of_each_model
from curse_of_memory.nn.building.own_precision import in_own_precision
from curse_of_memory.nn.building.seeding import DRAWN, place, seeded
from curse_of_memory.nn.recurrence.linear.convolution import fft_convolution
from curse_of_memory.nn.recurrence.linear.kernels import modal_kernel
from curse_of_memory.nn.recurrence.linear.linear_scan import linear_scan
from curse_of_memory.nn.state_space.modes import RING, DiagonalModes
from curse_of_memory.protocols import Outputs
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.tools import checks

__all__ = ["S4D"]

STATES_AT_ONCE = 1 << 20  # of all sequences, channels and modes together, in one piece of a scan


class S4D(DiagonalModes):
    """Diagonal state space layer ŷ = K ∗ x + D x: each channel has modes and a step of its own; none mix.

    The layer of "S4D" (2206.11893) and of the experiments of StableSSM (2311.14495), with
    K_s = 2 Re Σ_n C_n z_n^s φ_n in every channel. The layer is linear; what comes between two of them is in
    :class:`SequenceStack`.

    Parameters
    ----------
    width : int
        Channels of x and ŷ.
    states : int
        N, real states of a channel; N/2 conjugate pairs where modes are complex.
    parameterization : str or Reparameterization
        The real part of Λ is f(w), with f of :data:`curse_of_memory.reparameterizations`; a discrete-time f
        such as "lru" gives the modulus of the multiplier of a step.
    initial : {'s4d-lin', 's4d-inv', 's4d-real', 'lru', 'real'} or array of shape (modes,)
        Initial eigenvalues, cut below the fastest rate of f; the formulas are in ``nn.state_space.modes``. An
        array holds real ones, or complex ones that stand for pairs.
    discretization : {'zoh', 'bilinear', 'euler'}, optional
        What a step is; 'zoh' unless given. Must not be given for a discrete-time f.
    dt : float
        Time step of x.
    step : tuple of float, optional
        Range of the factors exp(log_step) of the steps Δ = dt · exp(log_step): drawn log-uniform, one per
        channel, and learnt. With None there is no such weight, and Δ = dt.
    ring : tuple of float
        Smallest and largest modulus, and largest phase, of the multipliers of ``initial="lru"``.
    skip : bool
        Whether there is a skip connection D.
    seed : int, optional
        Seeds the initial weights by themselves; without it torch's global generator draws them.
    device, dtype
        As for any torch module; the device may be ``"auto"``, too. Complex weights are kept as real tensors
        with a last dimension of 2.

    Raises
    ------
    ValueError, TypeError
        For sizes below one, unknown names, bad numbers, or an odd number of states for pairs.

    Notes
    -----
    C starts normal with E|C_n|² = 1, and D standard normal. `forward` needs memory for its results and a
    workspace that does not grow with the batch; `run` is for streaming: its derivatives keep all states.

    Examples
    --------
    >>> S4D(4, states=8)(torch.zeros(8, 100, 4)).shape
    torch.Size([8, 100, 4])
    """

    is_linear = True
    diagonal_parameters = frozenset({"recurrent_weight", "frequency", "log_step", "skip"})

    def __init__(
        self,
        width: int,
        states: int = 64,
        *,
        parameterization: str | Reparameterization = "exp",
        initial: str | ArrayLike = "s4d-lin",
        discretization: str | None = None,
        dt: float = 1.0,
        step: Sequence[float] | None = (1e-3, 1e-1),
        ring: Sequence[float] = RING,
        skip: bool = True,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        width, with_skip = checks.positive_int("width", width), checks.flag("skip", skip)
        with seeded(seed):
            super().__init__(states, (width,), initial, parameterization, discretization, dt, step, ring)
            self.width = self.input_size = self.output_size = width
            shape = self.recurrent_weight.shape
            readout = (
                torch.randn(*shape, 2, **DRAWN) / 2**0.5 if self.has_pairs else torch.randn(shape, **DRAWN)
            )
            self.output_weight = nn.Parameter(readout)
            self.register_parameter("skip", nn.Parameter(torch.randn(width, **DRAWN)) if with_skip else None)
        place(self, device, dtype)

    @guarded
    @in_own_precision
    def forward(self, x: Tensor) -> Tensor:
        """Return ŷ for whole sequences `x`, from h = 0 on; both have shape ``(batch, time, width)``."""
        return self._whole(self._weights(), x)

    def _whole_many(self, p: Mapping[str, Tensor], x: Tensor) -> Tensor:
        return torch.func.vmap(self._whole, in_dims=(0, 0 if x.ndim == 4 else None))(p, x)

    def _whole(self, p: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answer to whole sequences, with the weights `p`."""
        if x.shape[1] == 0:
            return torch.zeros_like(x)
        y = fft_convolution(self._responses(x.shape[1], p), x)
        return y + p["skip"] * x if "skip" in p else y

    @guarded
    @in_own_precision
    def run(self, x: Tensor, state: Tensor | None = None) -> Outputs[Tensor]:
        """Return the answers to a chunk of time, and the state after it, from which the next chunk goes on.

        Parameters
        ----------
        x : Tensor of shape ``(batch, time, width)``
            One step is a chunk, too.
        state : Tensor of shape ``(batch, width · modes)``, optional
            h before the first step, complex for pairs; zero if none is given.

        Returns
        -------
        Outputs
            ``y`` of the shape of `x`, and ``last``, the state after the last step.

        Raises
        ------
        ValueError
            If a shape does not fit.

        Examples
        --------
        >>> model, x = S4D(2, states=4, seed=0), torch.ones(1, 10, 2)
        >>> first = model.run(x[:, :5])
        >>> torch.allclose(model.run(x[:, 5:], first.last).y, model(x)[:, 5:], atol=1e-5)
        True
        """
        p = self._weights()
        z, phi = self.multipliers(p)
        state = initial_state(state, (x.shape[0], z.numel()), z)
        C = self._number(p["output_weight"])
        outputs = []
        for part in x.split(max(1, STATES_AT_ONCE // max(1, state.numel())), 1):
            h = linear_scan(z.flatten(), (phi * part[..., None]).flatten(2), state)
            state = h[:, -1] if h.shape[1] else state
            outputs.append(torch.einsum("btcn,cn->btc", h.unflatten(2, z.shape), C))
        y = torch.cat(outputs, 1)
        y = 2 * y.real if self.has_pairs else y
        return Outputs(y + p["skip"] * x if "skip" in p else y, state)

    def kernel(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the memory ρ̂_s = K_s / dt, plus D / dt at lag zero, as diagonal matrices of channels.

        Parameters
        ----------
        horizon : int
            Number of lags s = 0 … horizon − 1.
        parameters : mapping from name to tensor, optional
            Values that stand in for the module's own parameters; with :func:`torch.func.vmap` over
            them, whole batches of perturbed layers cost one call.

        Returns
        -------
        Tensor of shape ``(horizon, width, width)``
            A density per unit time: ŷ_k = dt Σ_s ρ̂_s x_{k−s}.
        """
        p = self._weights(parameters)
        kernel = self._responses(checks.positive_int("horizon", horizon), p).mT
        if "skip" in p:
            kernel = torch.cat([kernel[:1] + p["skip"], kernel[1:]])
        return torch.diag_embed(kernel) / self.dt

    def offset(self, horizon: int, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Return the answer to zero input, zeros ``(horizon, width)``; arguments as for :meth:`kernel`."""
        like = self._weights(parameters)["output_weight"]
        return like.new_zeros(checks.positive_int("horizon", horizon), self.output_size)

    @property
    def family(self) -> tuple:
        """What :meth:`run_each` uses of this layer beside weights and f: class, time of f, rule, dt."""
        return type(self), self._map.time, self.discretization, self.dt

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many layers that differ from this one in their weights only.

        Arguments, result and errors are those of :meth:`run_each`, with this layer for each.
        """
        return self.run_each([self], parameters, x)

    def run_each(self, layers: Sequence["S4D"], parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many layers of this family, which may differ in their maps f, too.

        Parameters
        ----------
        layers : sequence of S4D
            One for each model, which names its map; a single one is for all.
        parameters : mapping from name to Tensor of shape ``(model, *shape)``
            Every weight, stacked over the models.
        x : Tensor of shape ``(batch, time, width)`` or ``(model, batch, time, width)``
            Inputs from h = 0, shared by the models or for each its own.

        Returns
        -------
        Tensor of shape ``(model, batch, time, width)``

        Raises
        ------
        ValueError, TypeError
            If a shape does not fit, or a weight is missing.
        """
        p, x = many_models(self, parameters, x)
        x = of_each_model(p, x)
        z, phi = self._stepped(_each_mapped(layers, p["recurrent_weight"]), p)
        horizon = x.shape[2]
        if horizon == 0:
            return torch.zeros_like(x)
        coefficients = self._number(p["output_weight"]) * phi
        kernels = modal_kernel(z, coefficients, horizon, pairs=self.has_pairs)
        # to the convolution, channels of other models are further channels
        wide = x.permute(1, 2, 0, 3)
        y = fft_convolution(kernels.flatten(0, 1), wide.flatten(2)).view(wide.shape).permute(2, 0, 1, 3)
        y = torch.addcmul(y, p["skip"][:, None, None], x) if "skip" in p else y
        return y.to(parameters["output_weight"].dtype)

    def _responses(self, horizon: int, p: Mapping[str, Tensor]) -> Tensor:
        """Return the impulse responses K, ``(width, horizon)``."""
        z, phi = self.multipliers(p)
        coefficients = self._number(p["output_weight"]) * phi
        return modal_kernel(z, coefficients, horizon, pairs=self.has_pairs)

    def extra_repr(self) -> str:
        """Return what ``print`` shows of the layer between its brackets."""
        return f"width={self.width}, {self._kind()}"


def _each_mapped(layers: Sequence[S4D], weights: Tensor) -> Tensor:
    """Return f(w) of stacked `weights`, each by the map of its layer; neighbours of one map in one call."""
    if len(layers) == 1:
        return layers[0]._mapped(weights)
    runs = [list(run) for _, run in itertools.groupby(layers, lambda layer: layer.parameterization)]
    parts = weights.split([len(run) for run in runs])
    return torch.cat([run[0]._mapped(part) for run, part in zip(runs, parts, strict=True)])
