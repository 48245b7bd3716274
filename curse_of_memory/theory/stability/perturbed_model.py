"""The model whose weights are perturbed: its checked weights, poles, target memory and norm of the error."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.stability.ascent import Ball, Neighbourhood, Points
from curse_of_memory.theory.stability.error_norms import NORMS, Memory, on_steps
from curse_of_memory.theory.stability.error_rows import Rows
from curse_of_memory.theory.stability.half_line import half_line
from curse_of_memory.theory.stability.half_line_norm import HalfLine
from curse_of_memory.theory.stability.pole_map import PoleMap
from curse_of_memory.tools import checks

__all__ = ["PERTURBED", "SLOWEST", "SPREAD", "Model", "perturbed_model", "stable_rates"]

PERTURBED = ("all", "rates")
SLOWEST, SPREAD = 1e-150, 1e250
"""The least rate of a mode whose norms are still numbers, and the largest ratio of two rates."""


@dataclass(frozen=True, eq=False)
class Model:
    """The unperturbed model and the norm of its error: all that does not depend on β.

    Attributes
    ----------
    rho, norm
        The target memory, and the norm of the error.
    amplitudes : bool
        Whether u and c are perturbed.
    poles : PoleMap
        From free weights to poles.
    centre : Points
        The unperturbed weights.
    steps : Rows or None
        The rows of the norm, on a grid; on [0, ∞) they depend on β.
    radius : float
        The stability radius.
    kept : numpy.ndarray of bool
        Which modes count: those of amplitude zero do not if amplitudes are not perturbed.
    unmoved : numpy.ndarray
        The unperturbed free weights of all modes.
    """

    rho: Memory
    norm: str
    amplitudes: bool
    poles: PoleMap
    centre: Points
    steps: Rows | None
    radius: float
    kept: np.ndarray
    unmoved: np.ndarray

    @property
    def still(self) -> bool:
        """Whether the memory is zero and no perturbation changes it."""
        return not self.amplitudes and not self.centre.u.any()

    def whole(self, x: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return w, u and c of all modes of one model, shape (m,); those that do not count are unmoved."""
        weights = np.array([self.unmoved, *np.zeros((2, self.kept.size))])
        weights[:, self.kept] = np.concatenate(x.all)
        w, u, c = weights
        return w, u, c

    def near(self, beta: float) -> Neighbourhood:
        """Return the models within `beta`."""
        return Neighbourhood(self.centre, beta, self.amplitudes)

    def ball(self, beta: float, rows: Rows) -> Ball:
        """Return the models within `beta`, whose error is the norm of `rows`."""
        return Ball(self.centre, beta, self.amplitudes, self.poles, rows)

    def line(self, slowest: float, fastest: float, sampled: bool = False) -> HalfLine | None:
        """Return the norm on [0, ∞) for modes with rates between these; None if that of ρ is infinite."""
        slowest = max(slowest, SLOWEST)
        return half_line(self.rho, self.norm, slowest, min(fastest, SPREAD * slowest), sampled)


def stable_rates(fit: ExponentialSum | ArrayLike) -> np.ndarray:
    """Return the rates λᵢ of a sum, or given as such, after checking that they are real and positive.

    Examples
    --------
    >>> stable_rates([0.1, 0.2])
    array([0.1, 0.2])
    """
    rates = fit.rates if isinstance(fit, ExponentialSum) else fit
    if isinstance(rates, np.ndarray) and np.iscomplexobj(rates):
        raise TypeError("fit must have real rates: perturbed complex pairs are not supported")
    rates = np.atleast_1d(checks.finite_array("fit", rates))
    if rates.ndim > 1:
        raise ValueError(f"fit must be rates of one dimension, got shape {rates.shape}")
    if rates.min() <= 0:
        raise ValueError(f"fit must be stable, with every rate > 0, got {rates.min():g}")
    return rates


def perturbed_model(
    fit: ExponentialSum,
    rho: Memory,
    parameterization: str | Reparameterization,
    norm: str,
    horizon: int | None,
    weight: ArrayLike | Bias | None,
    perturbed: str,
    step: str,
    ball: str = "diagonal",
) -> Model:
    """Return the unperturbed model, from arguments of `worst_case_error` that are checked here."""
    if not isinstance(fit, ExponentialSum):
        raise TypeError(f"fit must be an ExponentialSum, got {type(fit).__name__}")
    rates = stable_rates(fit)
    a = checks.finite_array("coefficients", fit.coefficients, ndim=1)
    checks.one_of("norm", norm, NORMS)
    checks.one_of("perturbed", perturbed, PERTURBED)
    if horizon is None and weight is not None:
        raise ValueError("weight is per lag: give horizon, too")
    poles = PoleMap(get(parameterization), fit.dt, step, continuous=horizon is None)
    if horizon is None:
        steps = None
        half_line(rho, norm, rates.min(), rates.max())  # refuses early what it cannot integrate
    else:
        steps = on_steps(rho, norm, horizon, fit.dt, weight)
    amplitudes = perturbed == "all"
    # a full matrix couples all modes
    all_count = amplitudes or ball == "full" or not a.any()
    kept = np.ones(a.size, dtype=bool) if all_count else a != 0
    unmoved = poles.weights(rates)
    w, a = unmoved[kept], a[kept]
    root = np.sqrt(np.abs(a))
    centre = Points(w[None], root[None], (np.sign(a) * root)[None])
    radius = float(poles.radius(w).min()) if amplitudes or a.any() else math.inf
    return Model(rho, norm, amplitudes, poles, centre, steps, radius, kept, unmoved)
