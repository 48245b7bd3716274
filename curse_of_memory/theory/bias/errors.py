"""The exact expected error of a linear memory, weighted in time.

The bias b of the weight is the weight of the squared error of the memory at each lag (INTEREST (2307.11462),
Theorem 3.3).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias.memory_bias import Bias
from curse_of_memory.theory.targets.lagged import lag_step
from curse_of_memory.theory.targets.units import power_of_two
from curse_of_memory.tools import checks

__all__ = ["INPUTS", "weighted_error"]

INPUTS = ("white", "random_walk")
"""The input processes whose expected error is known exactly."""


def weighted_error(
    rho: ArrayLike,
    rho_hat: ArrayLike,
    b: Bias | ArrayLike,
    *,
    inputs: str = "white",
    variance: float = 1.0,
    dt: float | None = None,
    unit_mean: bool = False,
) -> np.ndarray:
    """Return the expected weighted mean-square error of a linear memory ρ̂ for a target ρ, exactly.

    For y_k = dt Σ_{j<=k} ρ_j x_{k−j}, k = 0..T−1, and the weight w at time (k+1) dt,

        E[(1/T) Σ_k w_k |y_k − ŷ_k|²] = variance dt (1/T) Σ_s b_s (ρ_s − ρ̂_s)²,  b_s = dt Σ_{k>=s} w_k,

    for white inputs. For a random walk x_k = Σ_{r<=k} ξ_r the kernels in it are cumulated,
    R_s = Σ_{j<=s} ρ_j, since y_k = dt Σ_i R_i ξ_{k−i}.

    Parameters
    ----------
    rho, rho_hat : array_like, shape (..., T)
        Target and model kernels at the lags 0, dt, ...; leading axes broadcast.
    b : Bias or array_like, shape (T,)
        The bias, or its discrete values b_s.
    inputs : {"white", "random_walk"}
        What x is.
    variance : float
        Of one x_k, or of one increment ξ_r (a Brownian path has `dt` here).
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    unit_mean : bool
        Rescale the weights to mean 1, as the weighted losses do.

    Returns
    -------
    numpy.ndarray
        Errors, shaped like the broadcast kernels without the last axis.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, an array b is negative or increases, or lags are not even
        or contradict each other or `dt`.
    OverflowError
        If the error exceeds double precision; kernels and weights of any size are taken.

    Examples
    --------
    >>> from curse_of_memory.theory.bias import power
    >>> float(weighted_error([1.0, 0.5], [1.0, 0.0], power(0)))  # b = 2, 1
    0.125
    """
    dt = lag_step({"rho": rho, "rho_hat": rho_hat, "b": b}, dt)
    rho, rho_hat = checks.finite_array("rho", rho), checks.finite_array("rho_hat", rho_hat)
    if not rho.ndim or rho_hat.shape[-1:] != rho.shape[-1:]:
        raise ValueError(f"rho_hat must have the lags of rho, got shapes {rho_hat.shape} and {rho.shape}")
    horizon = rho.shape[-1]
    checks.one_of("inputs", inputs, INPUTS)
    variance = checks.non_negative("variance", variance)
    sums = _discrete_bias(b, horizon, dt, unit_mean)
    # in units of powers of two nothing overflows, and no digit changes
    unit = power_of_two(max(np.abs(rho).max(), np.abs(rho_hat).max()))
    difference = rho / unit - rho_hat / unit
    if inputs == "random_walk":
        difference = np.cumsum(difference, axis=-1)
    size, top = power_of_two(np.abs(difference).max()), power_of_two(sums.max())
    # the mean weight is b_0/(T dt), so that weights of mean 1 have b_0 = T dt
    factors = (variance, dt, dt if unit_mean else 1 / horizon, unit, unit, size, size, top)
    return _product((difference / size) ** 2 @ (sums / top), factors)[()]


def _discrete_bias(b: Bias | ArrayLike, horizon: int, dt: float, unit_mean: bool) -> np.ndarray:
    """Return the checked b_s of a bias or of its values, with b_0 = 1 for weights that are rescaled."""
    if isinstance(b, Bias):
        return b.discrete(horizon, dt, normalize="head" if unit_mean else None)
    sums = checks.finite_array("b", b, ndim=1)
    if sums.size != horizon:
        raise ValueError(f"b must have {horizon} lags as rho has, got {sums.size}")
    if sums[0] <= 0 or sums[-1] < 0 or (np.diff(sums) > 0).any():
        raise ValueError("b must be positive and must not increase: it sums positive weights")
    return sums / sums[0] if unit_mean else sums


def _product(values: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Return values times all factors, of which no two alone may be multiplied: their product may overflow.

    Raises
    ------
    OverflowError
        If the result exceeds double precision.
    """
    mantissas, powers = zip(*(math.frexp(factor) for factor in factors), strict=True)
    with np.errstate(over="ignore"):
        product = np.ldexp(values * math.prod(mantissas), sum(powers))
    if not np.isfinite(product).all():
        raise OverflowError(
            "the weighted error exceeds double precision: give rho and rho_hat in another unit"
        )
    return product
