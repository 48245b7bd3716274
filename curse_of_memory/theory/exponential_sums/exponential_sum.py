"""A sum of m exponentials, the memory of a linear RNN of m states."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from curse_of_memory.theory.exponential_sums.rate_search import ROUNDING
from curse_of_memory.theory.exponential_sums.variable_projection import WEAKEST
from curse_of_memory.theory.targets.lagged import lag_grid
from curse_of_memory.tools import checks

__all__ = ["ExponentialSum"]

_SAME = 1e-9  # relative difference up to which two numbers count as conjugate


@dataclass(frozen=True, eq=False, kw_only=True)
class ExponentialSum:
    """ρ̂(t) = Σ cᵢ e^{−λᵢ t}, Re λᵢ > 0: the memory of a stable linear system of m states.

    Parameters
    ----------
    rates : array_like, shape (m,)
        λᵢ per unit time, real or in conjugate pairs, with positive real parts. A rate of the imaginary
        part π/dt may be alone, with a real coefficient: on the lags it alternates in sign.
    coefficients : array_like, shape (m,)
        cᵢ per unit time; conjugate where the rates are.
    error : float
        (Σ w_s (ρ_s − ρ̂_s)² / Σ w_s ρ_s²)^{1/2} over the lags fitted; NaN if nothing was.
    dt : float
        Time step of the values fitted.
    conditioning : float
        The strongest over the weakest direction of the weighted exponentials on the lags fitted;
        infinite if there were terms to spare.

    Raises
    ------
    ValueError, TypeError
        If the sum is not stable, not real, or of no terms.

    Examples
    --------
    >>> float(ExponentialSum(rates=[1.0, 2.0], coefficients=[3.0, -1.0])(0.0))
    2.0
    >>> damped = ExponentialSum(rates=[0.1 + 1j, 0.1 - 1j], coefficients=[0.5, 0.5])
    >>> float(damped(math.pi).round(6))  # e^{−t/10} cos t
    -0.730403
    """

    rates: NDArray[np.inexact]
    coefficients: NDArray[np.inexact]
    error: float = math.nan
    dt: float = 1.0
    conditioning: float = math.nan

    if TYPE_CHECKING:  # what is array_like becomes an array

        def __init__(
            self,
            *,
            rates: ArrayLike,
            coefficients: ArrayLike,
            error: float = math.nan,
            dt: float = 1.0,
            conditioning: float = math.nan,
        ) -> None: ...

    def __post_init__(self):
        rates, c = _numbers("rates", self.rates), _numbers("coefficients", self.coefficients)
        if rates.shape != c.shape:
            raise ValueError(f"rates and coefficients must agree in length, got {rates.size}, {c.size}")
        if not (rates.real > 0).all():
            raise ValueError("rates must have positive real parts: a growing mode is no memory function")
        alone = _alternating(rates, c, checks.positive("dt", self.dt))
        if not _closed(rates[~alone], c[~alone]):
            raise ValueError("rates and coefficients must be real or come in conjugate pairs")
        object.__setattr__(self, "rates", rates)
        object.__setattr__(self, "coefficients", c)

    @property
    def lower_bound(self) -> float:
        """Lower bound of `error` over all linear systems of as many states; 0 if nothing was fitted."""
        return 0.0

    @property
    def at_limit(self) -> bool:
        """Whether rounding, not `terms`, limits the error: `conditioning` beyond 1e9, or `error` below 1e-14.

        Other sums of as many terms may then be closer, with coefficients that float64 cannot hold.
        """
        return bool(self.conditioning >= 0.1 / WEAKEST or self.error < ROUNDING)

    @property
    def alternates(self) -> bool:
        """Whether a real term changes sign at each lag, Im λ = π/dt: no continuous-time system has one."""
        return bool(_alternating(self.rates, self.coefficients, self.dt).any())

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return ρ̂(t) for times t >= 0, any shape; between the lags an alternating term is a cosine."""
        times = checks.finite_array("t", t)
        if times.min() < 0:
            raise ValueError(f"t must not be negative, got {times.min():g}")
        return np.real(np.exp(-np.multiply.outer(times, self.rates)) @ self.coefficients)

    def on_grid(self, horizon: int) -> xr.DataArray:
        """Return ρ̂ at the lags 0, dt, ..., (horizon − 1) dt, over ``lag`` in time units."""
        return lag_grid(
            self(self.dt * np.arange(checks.positive_int("horizon", horizon))), self.dt, "rho_hat"
        )


def _numbers(name: str, values: ArrayLike) -> NDArray[np.inexact]:
    """Return `values` as a vector of floats, or of complex numbers if one of them is not real."""
    if not (isinstance(values, list | tuple | np.ndarray) and _has_complex(values)):
        return checks.finite_array(name, values, ndim=1)
    numbers = np.asarray(values, dtype=complex)
    real, imaginary = (
        checks.finite_array(name, part, ndim=1) for part in (np.real(numbers), np.imag(numbers))
    )
    return numbers if imaginary.any() else real


def _has_complex(values: ArrayLike) -> bool:
    try:
        return np.iscomplexobj(values)
    except ValueError:  # lists of several lengths
        return False


def _alternating(rates: NDArray[np.inexact], c: NDArray[np.inexact], dt: float) -> NDArray[np.bool]:
    """Tell which terms are real on the lags and alternate in sign."""
    turns = np.abs(np.abs(rates.imag) * dt - math.pi) <= _SAME * math.pi
    return turns & (np.abs(c.imag) <= _SAME * np.abs(c).max())


def _closed(rates: NDArray[np.inexact], c: NDArray[np.inexact]) -> bool:
    """Tell whether terms come in conjugate pairs, up to rounding."""
    if not rates.size:
        return True
    if (rates.imag > 0).sum() != (rates.imag < 0).sum():
        return False
    apart = np.abs(rates[:, None] - rates.conj()) / np.abs(rates)
    scale = np.abs(c).max() or 1.0
    apart = np.maximum(apart, np.abs(c[:, None] - c.conj()) / scale)
    return bool((apart.min(1) <= _SAME).all())
