"""The plateau of training: how long gradient flow takes to find a far memory, and how that time grows.

Where a target remembers something at t = 1/ω, the gradient towards it is of the size e^{−w/ω}, and gradient
flow stays on a plateau of the loss for a time that grows exponentially in 1/ω ("Curse of memory"
(2009.07799), optimisation).
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy import stats

from curse_of_memory.theory.plateau.exact_loss import exact_loss
from curse_of_memory.theory.plateau.gradient_flow import gradient_flow
from curse_of_memory.theory.reparameterization import Reparameterization
from curse_of_memory.theory.targets.far_bump import FarBump
from curse_of_memory.tools import checks

__all__ = ["GrowthRate", "Plateau", "growth_rate", "plateau_time"]


@dataclass(frozen=True, eq=False)
class Plateau:
    """The time τ at which the loss left its plateau, and the trajectory up to then.

    Attributes
    ----------
    time : float
        τ, in units of the gradient flow; where the flow was stopped, if it was not `reached`.
    reached : bool
        Whether the loss fell below the threshold.
    threshold : float
        (1 − drop) ∫ b (bump)².
    trajectory : xarray.Dataset
        As of :func:`gradient_flow`; its last time is τ.
    """

    time: float
    reached: bool
    threshold: float
    trajectory: xr.Dataset

    @property
    def resolved(self) -> bool:
        """Whether |∇J| stayed well above its rounding errors; if not, τ may depend on them."""
        return self.trajectory.attrs["resolved"]


@dataclass(frozen=True)
class GrowthRate:
    """The slope of ln τ against 1/ω, with a confidence interval over seeds.

    Attributes
    ----------
    slope : float
        Mean over the seeds of their least-squares slopes.
    low, high : float
        Its confidence interval (Student's t over the seeds); infinite with one seed.
    intercept : float
        Of the mean line, ln τ = intercept + slope/ω.
    seeds : int
        How many.
    confidence : float
        Of the interval.
    """

    slope: float
    low: float
    high: float
    intercept: float
    seeds: int
    confidence: float


def plateau_time(
    target: FarBump,
    terms: int = 4,
    *,
    drop: float = 0.03,
    seed: int = 0,
    parameterization: str | Reparameterization = "direct",
    power: float | None = None,
    horizon: float | None = None,
    time_limit: float = 1e10,
    method: str = "LSODA",
    tolerance: float = 1e-8,
) -> Plateau:
    """Return the first time τ of gradient flow at which the loss J is below (1 − drop) ∫ b (bump)².

    By then a share `drop` of the far bump is fitted. The share must be small: one exponential more removes
    only a few percent of a far bump.

    Parameters
    ----------
    target : FarBump
        ρ, from :func:`curse_of_memory.theory.targets.far_bump.far_bump`.
    terms : int
        m.
    drop : float
        Share of the energy of the bump, between 0 and 1.
    seed, parameterization, power, horizon, time_limit, method, tolerance
        As of :func:`curse_of_memory.theory.plateau.gradient_flow.gradient_flow`.

    Returns
    -------
    Plateau

    Raises
    ------
    ValueError, TypeError
        For a target without bump, a share outside (0, 1), or as `gradient_flow` does.

    Examples
    --------
    >>> from curse_of_memory.theory.targets.far_bump import far_bump
    >>> [round(plateau_time(far_bump(center=d)).time, 1) for d in (4, 6, 8)]
    [7.1, 16.7, 59.1]
    """
    if not isinstance(target, FarBump) or target.height == 0:
        raise TypeError("target must be a far_bump of a height other than 0: the plateau waits for its bump")
    if not 0 < checks.real("drop", drop) < 1:
        raise ValueError(f"drop must be between 0 and 1, got {drop!r}")
    threshold = (1 - drop) * exact_loss(target, power, horizon).bump_energy
    trajectory = gradient_flow(
        target,
        terms,
        seed=seed,
        parameterization=parameterization,
        power=power,
        horizon=horizon,
        stop_below=threshold,
        time_limit=time_limit,
        method=method,
        tolerance=tolerance,
    )
    reached = trajectory.attrs["status"] == "reached"
    return Plateau(float(trajectory.time[-1]), reached, threshold, trajectory)


def growth_rate(delays: ArrayLike, times: ArrayLike, confidence: float = 0.95) -> GrowthRate:
    """Return the line ln τ = intercept + slope · delay fitted to the times of several seeds.

    The times of one seed share their start and are not independent: each seed gives one slope, and the
    interval is Student's over the seeds.

    Parameters
    ----------
    delays : array_like, shape (n,)
        1/ω, at least two different ones, in time units.
    times : array_like, shape (seeds, n)
        τ > 0.
    confidence : float
        Between 0 and 1.

    Raises
    ------
    ValueError
        If shapes do not fit, a time is not positive, or there is one delay only.

    Examples
    --------
    >>> rate = growth_rate([4, 6, 8], np.exp([[4, 6, 8], [8, 12, 16]]))
    >>> round(rate.slope, 6), rate.low < 1.5 < rate.high
    (1.5, True)
    """
    delays = checks.finite_array("delays", delays, ndim=1)
    times = checks.finite_array("times", times, ndim=2)
    if times.shape[1] != delays.size:
        raise ValueError(
            f"times must have one column for each of {delays.size} delays, got shape {times.shape}"
        )
    if times.min() <= 0:
        raise ValueError(f"times must be positive, got {times.min():g}")
    if np.ptp(delays) == 0:
        raise ValueError("delays must be at least two different numbers")
    if not 0 < checks.real("confidence", confidence) < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence!r}")
    slopes, intercepts = np.polynomial.polynomial.polyfit(delays, np.log(times).T, 1)[::-1]
    seeds, slope = slopes.size, float(slopes.mean())
    margin = math.inf
    if seeds > 1:
        margin = stats.t.ppf((1 + confidence) / 2, seeds - 1) * slopes.std(ddof=1) / math.sqrt(seeds)
    return GrowthRate(
        slope, float(slope - margin), float(slope + margin), float(intercepts.mean()), seeds, confidence
    )
