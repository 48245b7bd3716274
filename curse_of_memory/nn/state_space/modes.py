"""Modes of diagonal state space layers: eigenvalues, discretisation rules, and initial values.

Equations.  A mode is dh/dt = λ h + v with λ = f(w) + i ω. A step of length Δ, with u = Δ λ, is

                h_k = z h_{k−1} + φ v_k ,

                zoh        z = e^u                       φ = Δ (e^u − 1) / u      (v constant in the step)
                bilinear   z = (1 + u/2) / (1 − u/2)     φ = Δ / (1 − u/2)
                euler      z = 1 + u                     φ = Δ                    (the step of nn.RNN)

            A reparameterisation of discrete time gives the multiplier itself, z = f(w) e^{i Δ ω}, with φ = Δ.
            Complex modes stand for themselves and their conjugates: what they add up to is 2 Re Σ.

Starts.     With n = 0 … N/2 − 1 for N states in pairs, or n = 0 … N − 1 for real ones:

                s4d-lin    λ = −1/2 + i π n                                        ("S4D", 2206.11893)
                s4d-inv    λ = −1/2 + i (N/π) (N/(2n + 1) − 1)                     (same)
                s4d-real   λ = −(n + 1)                                            (same)
                lru        e^{Δλ} uniform in the ring r_min <= |z| <= r_max,       ("LRU", 2303.06349)
                           with phases uniform in [0, max_phase]
                real       λ = −rate/Δ, rates log-uniform in 0.01 to 1 per step    (as nn.RNN)
"""

import math
from collections.abc import Mapping, Sequence
from typing import cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.initial_weights import FASTEST_RATE, SLOWEST_RATE
from curse_of_memory.nn.building.kept_map import KeepsMap
from curse_of_memory.nn.building.own_precision import widened
from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.building.streaming import Streaming
from curse_of_memory.theory import reparameterization
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.tools import checks

__all__ = ["DISCRETIZATIONS", "INITIAL", "DiagonalModes", "discretize"]

DISCRETIZATIONS = ("zoh", "bilinear", "euler")
INITIAL = ("s4d-lin", "s4d-inv", "s4d-real", "lru", "real")
REAL = ("s4d-real", "real")
RING = (0.0, 1.0, 2 * math.pi)


def discretize(eigenvalues: Tensor, step: Tensor | float, rule: str) -> tuple[Tensor, Tensor]:
    """Return multipliers z and input gains φ of one `step` of modes with these `eigenvalues`, by the `rule`.

    Examples
    --------
    >>> z, phi = discretize(torch.tensor([-1.0]), math.log(2), "zoh")
    >>> round(z.item(), 6), round(phi.item(), 6)
    (0.5, 0.5)
    """
    u = step * eigenvalues
    if rule == "zoh":
        return u.exp(), step * _mean_exponential(u)
    if rule == "bilinear":
        return (1 + u / 2) / (1 - u / 2), step / (1 - u / 2)
    return 1 + u, step * torch.ones_like(u)


def _mean_exponential(u: Tensor) -> Tensor:
    """Return (e^u − 1)/u, the mean of e^{u s} over 0 <= s <= 1, for small and for zero u, too."""
    small = u.abs() < 0.5
    near, one = torch.where(small, u, 0), u.new_ones(())
    series, terms = torch.ones_like(near), 8 if u.dtype in (torch.float32, torch.complex64) else 14
    for n in range(terms, 1, -1):  # Σ uⁿ/(n + 1)!, of which the next term is below the rounding
        series = torch.addcmul(one, series, near, value=1 / n)
    far = torch.where(small, 1, u)
    return torch.where(small, series, (far.exp() - 1) / far)


class DiagonalModes(KeepsMap, Streaming[Tensor]):
    """Diagonal modes as weights of a layer; subclasses add what drives them and what reads them out.

    Parameters ``recurrent_weight`` (w) and, for complex modes, ``frequency`` (ω) have shape
    ``(*channels, modes)``; ``log_step`` has shape `channels`, and Δ = dt · exp(log_step). All are real.

    Parameters
    ----------
    states : int
        N, the number of real states: even for complex modes, of which there are N/2.
    channels : tuple of int
        Sets of modes: ``()`` for one, ``(channel,)`` for one per channel.
    initial : str or array of shape ``(modes,)``
        One of :data:`INITIAL`, or eigenvalues λ: real, or complex ones that stand for pairs.
    parameterization : str or Reparameterization
        f.
    discretization : str, optional
        One of :data:`DISCRETIZATIONS`, "zoh" unless given; must not be given for an f of discrete time.
    dt : float
        Time step of the inputs.
    step : tuple of float, optional
        Range from which exp(log_step) is drawn, log-uniform; without it there is no such parameter, Δ = dt.
    ring : tuple of float
        r_min, r_max and max_phase of "lru".
    """

    def __init__(
        self,
        states: int,
        channels: tuple[int, ...],
        initial: str | ArrayLike,
        parameterization: str | Reparameterization,
        discretization: str | None,
        dt: float,
        step: Sequence[float] | None,
        ring: Sequence[float],
    ):
        super().__init__()
        self.dt = checks.positive("dt", dt)
        reparameterization.get(parameterization)
        self.parameterization = parameterization
        if self._map.time == "discrete":
            if discretization is not None:
                raise ValueError(
                    f"discretization must not be given for {self._map.name!r}, which gives the multiplier of "
                    f"a step itself; got {discretization!r}"
                )
        else:
            rule = "zoh" if discretization is None else discretization
            discretization = checks.one_of("discretization", rule, DISCRETIZATIONS)
        self.discretization = discretization

        log_step = None if step is None else _log_uniform(channels, *_range("step", step)).log()
        delta = self.dt * (torch.ones(channels, **DRAWN) if log_step is None else log_step.exp())[..., None]
        eigenvalues = _initial_eigenvalues(initial, states, delta, ring).expand(*channels, -1)
        decay = eigenvalues.real
        if self._map.time == "discrete":
            decay = torch.expm1(delta * decay) / self.dt
        decay = decay.clamp(min=-0.95 * self._map.fastest(self.dt))
        try:
            weight = cast(Tensor, self._map.free_weight(decay, self.dt))
        except ValueError as error:
            raise ValueError(f"initial must hold what the parameterization can be: {error}") from None
        self.recurrent_weight = nn.Parameter(weight.clone())
        self.frequency: nn.Parameter | None
        self.log_step: nn.Parameter | None
        frequency = nn.Parameter(eigenvalues.imag.clone()) if eigenvalues.is_complex() else None
        self.register_parameter("frequency", frequency)
        self.register_parameter("log_step", None if log_step is None else nn.Parameter(log_step))

    @property
    def architecture(self) -> tuple:
        """What ``run_many`` uses of this layer beside weights: class, f, discretisation, dt."""
        return type(self), self.parameterization, self.discretization, self.dt

    @property
    def has_pairs(self) -> bool:
        """Whether modes are complex, each of them standing for itself and its conjugate."""
        return self.frequency is not None

    def multipliers(self, parameters: Mapping[str, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Return multipliers z and input gains φ of all modes, ``(*channels, modes)``; complex for pairs.

        `parameters` stand in for the module's own, by name.
        """
        p = self._weights(parameters)
        return self._stepped(self._mapped(p["recurrent_weight"]), p)

    def _stepped(self, decay: Tensor, p: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Return multipliers and input gains of modes with the real part, or modulus, `decay` = f(w)."""
        step = (
            self.dt * p["log_step"].exp()[..., None] if "log_step" in p else torch.full_like(decay, self.dt)
        )
        if self._map.time == "discrete":
            if self.has_pairs:
                angle = step * p["frequency"]
                decay = torch.complex(decay * angle.cos(), decay * angle.sin())
            return decay, step * torch.ones_like(decay)
        eigenvalues = torch.complex(decay, p["frequency"]) if self.has_pairs else decay
        assert self.discretization is not None  # of continuous time
        return discretize(eigenvalues, step, self.discretization)

    def _number(self, weight: Tensor) -> Tensor:
        """Return a weight of modes as numbers: for pairs complex ones, made of its last dimension."""
        return torch.complex(weight[..., 0], weight[..., 1]) if self.has_pairs else weight

    def run_many(self, parameters: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers of many models that differ from this one in their weights only.

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
        return self._whole_many(p, x).to(parameters["output_weight"].dtype)

    def _whole_many(self, p: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Return the answers to whole sequences `x` from h = 0, with stacked weights `p`."""
        raise NotImplementedError

    def _weights(self, parameters: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        return widened(dict(self.named_parameters()) | dict(parameters or {}))

    def _kind(self) -> str:
        modes = "conjugate pairs" if self.has_pairs else "real modes"
        rule = self.discretization or "discrete"
        return f"{self.recurrent_weight.shape[-1]} {modes}, {self._map.name}, {rule}, dt={self.dt:g}"


def _initial_eigenvalues(
    initial: str | ArrayLike, states: int, delta: Tensor, ring: Sequence[float]
) -> Tensor:
    """Return initial eigenvalues, ``(modes,)`` or one set for each step of `delta`; complex for pairs."""
    checks.positive_int("states", states)
    low, high, phase = (checks.non_negative("ring", r) for r in _listed("ring", ring, 3))
    if not low < high <= 1:
        raise ValueError(f"ring must have 0 <= r_min < r_max <= 1, got {tuple(ring)!r}")
    if not isinstance(initial, str):
        return _given(initial, states)
    checks.one_of("initial", initial, INITIAL)
    if initial not in REAL and states % 2:
        raise ValueError(f"states must be even for {initial!r}, whose modes are pairs, got {states}")
    modes = states if initial in REAL else states // 2
    n = torch.arange(modes, **DRAWN)
    if initial == "s4d-real":
        return -(n + 1)
    if initial == "real":
        return -_log_uniform((*delta.shape[:-1], modes), SLOWEST_RATE, FASTEST_RATE) / delta
    if initial == "s4d-lin":
        return torch.complex(torch.full_like(n, -0.5), math.pi * n)
    if initial == "s4d-inv":
        return torch.complex(torch.full_like(n, -0.5), states / math.pi * (states / (2 * n + 1) - 1))
    shape = (*delta.shape[:-1], modes)
    # a disc's area grows with the square of the radius
    square = low**2 + (high**2 - low**2) * torch.rand(shape, **DRAWN)
    return torch.complex(square.log() / 2, phase * torch.rand(shape, **DRAWN)) / delta


def _given(eigenvalues: ArrayLike, states: int) -> Tensor:
    values = np.asarray(eigenvalues)
    for part in (np.real(values), np.imag(values)):
        checks.finite_array("initial", part, ndim=1)
    modes, what = (states / 2, "pairs") if np.iscomplexobj(values) else (states, "real modes")
    if values.size != modes:
        raise ValueError(f"initial must have {modes:g} eigenvalues for {what}, got {values.size}")
    return torch.from_numpy(values.astype(complex if np.iscomplexobj(values) else float))


def _range(name: str, values: Sequence[float]) -> tuple[float, float]:
    low, high = (checks.positive(name, value) for value in _listed(name, values, 2))
    if low > high:
        raise ValueError(f"{name} must be (low, high), got {tuple(values)!r}")
    return low, high


def _listed(name: str, values: Sequence[float], count: int) -> tuple:
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != count:
        raise TypeError(f"{name} must be {count} numbers, got {checks.shown(values)}")
    return tuple(values)


def _log_uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Return numbers whose logarithms are uniform."""
    return low * torch.exp(math.log(high / low) * torch.rand(shape, **DRAWN))
