"""The memory of stacked layers: ℓ exponential layers remember like t^{ℓ−1} e^{−β₀t}/(ℓ−1)!.

A stack of scalar layers dhᵢ/dt = −λᵢ hᵢ + hᵢ₋₁ with h₀ = x and y = h_ℓ has the convolution of its layers as
memory,

    ρ(t) = e^{−λ₁·} ∗ ⋯ ∗ e^{−λ_ℓ·} (t) = (−1)^{ℓ−1} [λ₁, …, λ_ℓ] e^{−λt},

a divided difference over the rates; for equal rates it is t^{ℓ−1} e^{−λt}/(ℓ−1)!, and always it lies
between the values of that for the fastest and for the slowest rate. Layers add a power of t: the
exponential rate stays that of the slowest layer. Source: StableSSM (2311.14495), theorem 3.3.
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.signal import lfilter

from curse_of_memory.theory.targets.lagged import causal_times, lag_grid
from curse_of_memory.tools import checks

__all__ = ["LayeredMemory"]

_DEGREE = 16  # beyond the number of layers: 2^-16/16! is below a rounding


@dataclass(frozen=True)
class LayeredMemory:
    """Memory of a stack of scalar linear layers.

    Parameters
    ----------
    rates : tuple of float
        λ₁, …, λ_ℓ > 0 per unit time, one a layer, in any order.
    gain : float
        Product of the input and output weights of all layers, in 1/time^ℓ.

    Raises
    ------
    ValueError, TypeError
        If there is no rate, one is not positive, or a number is not finite.

    Examples
    --------
    >>> memory = LayeredMemory((1.0, 1.0, 1.0))
    >>> float(memory(2.0).round(9)), round(2.0**2 / 2 * math.exp(-2.0), 9)
    (0.270670566, 0.270670566)
    """

    rates: tuple[float, ...]
    gain: float = 1.0

    def __post_init__(self):
        rates = checks.finite_array("rates", self.rates, ndim=1)
        if rates.min() <= 0:
            raise ValueError(f"rates must be positive, got {rates.min():g}")
        checks.real("gain", self.gain)
        object.__setattr__(self, "rates", tuple(sorted(rates.tolist())))

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return ρ(t) for times `t` >= 0 of any shape.

        A divided difference is the corner entry of the exponential of a bidiagonal matrix (Opitz 1964). All
        that is added and multiplied here is positive, so that close rates leave no differences to cancel: the
        relative error is a few ℓ (1 + (λ_max − λ_min) t) roundings and that of the argument of e^{−λt}.
        """
        t = causal_times(t)
        corner = _chain_exponential(np.array(self.rates), t.ravel())[:, 0, -1]
        return (self.gain * corner.reshape(t.shape))[()]

    def upper(self, t: ArrayLike) -> np.ndarray:
        """Return |gain| t^{ℓ−1} e^{−β₀t}/(ℓ−1)! >= |ρ(t)|, β₀ the slowest rate, for times `t` >= 0."""
        return self._equal(t, self.rates[0])

    def lower(self, t: ArrayLike) -> np.ndarray:
        """Return |gain| t^{ℓ−1} e^{−λt}/(ℓ−1)! <= |ρ(t)|, λ the fastest rate, for times `t` >= 0."""
        return self._equal(t, self.rates[-1])

    def _equal(self, t: ArrayLike, rate: float) -> np.ndarray:
        t = causal_times(t)
        power = len(self.rates) - 1
        return (abs(self.gain) * t**power * np.exp(-rate * t) / math.factorial(power))[()]

    def discrete(self, horizon: int, dt: float = 1.0) -> xr.DataArray:
        """Return the memory of the stack in steps of `dt`, h ← h + dt (−λh + input), read after the step.

        For equal rates it is gain · dt^{ℓ−1} C(s + ℓ − 1, s) (1 − λ dt)^s at lag s, which tends to ρ(s dt)
        as dt → 0.

        Parameters
        ----------
        horizon : int
            Number of lags.
        dt : float
            Time step.

        Returns
        -------
        xarray.DataArray over ``lag`` (time units)
            A density per unit time.

        Raises
        ------
        ValueError, TypeError
            If a number is bad, or the steps are unstable: λ dt >= 2.
        """
        dt = checks.positive("dt", dt)
        if self.rates[-1] * dt >= 2:
            raise ValueError(f"dt must be below 2 over the fastest rate, {2 / self.rates[-1]:g}, got {dt:g}")
        values = np.zeros(checks.positive_int("horizon", horizon))
        values[0] = self.gain * dt ** (len(self.rates) - 1)
        for rate in self.rates:
            values = np.asarray(lfilter([1.0], [1.0, rate * dt - 1], values))
        return lag_grid(values, dt, "memory")


def _chain_exponential(rates: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return exp(t (−diag(rates) + ones above the diagonal)), shape (times, layers, layers).

    By the positive Taylor series of the matrix less its smallest diagonal entry, and repeated squaring. (The
    expm of scipy takes differences of nearly equal exponentials above the diagonal of a triangular matrix.)
    """
    squarings = np.ceil(np.log2(np.maximum(2 * (rates[-1] - rates[0]) * t, 1.0))).astype(int)
    step = (t * 0.5**squarings)[:, None, None]
    positive = step * (np.diag(rates[-1] - rates) + np.eye(rates.size, k=1))
    term = np.broadcast_to(np.eye(rates.size), positive.shape)
    total = term.copy()
    for degree in range(1, rates.size + _DEGREE):
        term = term @ positive / degree
        total += term
    total *= np.exp(-rates[-1] * step)
    for done in range(squarings.max()):
        total = np.where((squarings > done)[:, None, None], total @ total, total)
    return total
