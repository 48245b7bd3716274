"""What a kernel measured in white noise says of the one without: bounds that hold in 99 of 100 cases.

Measured is ρ_s + σ η_s, with independent standard normal η_s. The singular values of a Hankel section move by
no more than the norm of that of the noise (Weyl), a matrix whose entries repeat along antidiagonals. It is a
series Σ_s η_s A_s of fixed p×q matrices, for which (Tropp 2012, on rectangular Gaussian series)

    P(‖Σ η_s A_s‖ >= t) <= (p + q) e^{−t²/(2v)},   v = max(‖Σ A_s A_sᵀ‖, ‖Σ A_sᵀ A_s‖),

so that noise costs a bound about σ √(2 log n) and not σ √n, its own norm.
"""

import math
from functools import cached_property

import numpy as np
from scipy import special

from curse_of_memory.theory.exponential_sums.exponential_sum import ExponentialSum
from curse_of_memory.theory.exponential_sums.lower_bounds import scaled_section, weighted_lower_bound
from curse_of_memory.tools import checks

__all__ = ["CONFIDENCE", "NoisyKernel"]

CONFIDENCE = 0.99
"""How often, at least, each statement about the kernel without noise holds."""
_MISS = 1 - CONFIDENCE
_POWERS = (0.0, 0.25, 0.5)  # of scaled sections
_COSTLY = 1e7  # numbers in the products of filters: a longer search for a proof is not begun
_EVENTS = len(_POWERS) + 3  # what must not happen for a lower bound to hold


class NoisyKernel:
    """A kernel known up to white noise of the standard deviation `sigma` at every lag; 0: known exactly.

    All errors are ℓ2 norms over the lags; relative ones are divided by the norm of the kernel without noise.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        What was measured.
    sigma : float
        σ >= 0.

    Attributes
    ----------
    whole : float
        Norm of what was measured.
    norm, low, high : float
        Of the kernel without noise: an estimate of its norm, and limits.

    Raises
    ------
    ValueError
        If the noise may be all there is.

    Examples
    --------
    >>> kernel = NoisyKernel(np.ones(100), 0.1)
    >>> kernel.low < kernel.norm < kernel.high, round(kernel.norm, 2)
    (True, 9.95)
    """

    def __init__(self, values: np.ndarray, sigma: float):
        self.values, self.sigma = values, checks.non_negative("noise", sigma)
        n, self.whole = values.size, float(np.linalg.norm(values))
        few, many = special.chdtri(n, [1 - _MISS / _EVENTS, _MISS / _EVENTS]).tolist()
        self._least, self._most = sigma**2 * few, sigma**2 * many  # what Σ σ² η² is between
        # the part of the noise along one direction
        self._along = along = -sigma * float(special.ndtri(_MISS / _EVENTS))
        square = self.whole**2
        self.norm = math.sqrt(max(0.0, square - n * sigma**2))
        self._proved: dict[int, float] = {}
        # ‖ρ + ση‖² = ‖ρ‖² + 2 ‖ρ‖ ξ + ‖ση‖², and |ξ| <= along
        self.high = along + math.sqrt(max(0.0, along**2 + square - self._least)) if sigma else self.whole
        self.low = math.sqrt(max(0.0, along**2 + square - self._most)) - along if sigma else self.whole
        if not self.low > 0:
            times = sigma * math.sqrt(n) / self.whole
            raise ValueError(
                f"noise must be well below the kernel, got {times:.2g} times the root mean square of that"
            )

    @cached_property
    def bounds(self) -> np.ndarray:
        """Lower bounds of the relative error of all linear systems of 0, 1, 2, ... states, falling."""
        return np.max([self._bounds(power) for power in _POWERS], 0)

    def _bounds(self, power: float) -> np.ndarray:
        section = scaled_section(self.values, np.ones(self.values.size), power)
        u, v = section.rows, section.columns
        variance = max(float(u.max() * v.sum()), float(v.max() * u.sum()))
        noise = self.sigma * math.sqrt(2 * variance * math.log((u.size + v.size) * _EVENTS / _MISS))
        sizes = np.maximum(section.sizes - noise, 0.0) if self.sigma else section.sizes
        tails = np.sqrt(np.cumsum(sizes[::-1] ** 2)[::-1]) - section.rounding
        return np.append(np.maximum(tails, 0.0), 0.0) / (section.gain * self.high)

    def bound(self, states: int) -> float:
        """Return a lower bound of the relative error of all systems of so many states, by filters, too."""
        if states not in self._proved:
            section = float(self.bounds[states]) if states < self.bounds.size else 0.0
            filters = 0.0
            # filters follow the noise: the bound that they give is less its whole norm
            if (states + 1) ** 2 * self.values.size <= _COSTLY and self.less_noise(1.0) > section:
                filters = self.less_noise(weighted_lower_bound(self.values, states).bound)
            self._proved[states] = max(section, filters)
        return self._proved[states]

    def less_noise(self, bound: float) -> float:
        """Return the lower bound for the kernel without noise, from a relative one for what was measured."""
        return max(0.0, bound * self.whole - math.sqrt(self._most)) / self.high

    def explains(self, fit: ExponentialSum, error: float) -> bool:
        """Tell whether noise alone may be why the residual of a `fit` is above a relative `error`.

        The best system within `error` of the kernel leaves, in 99 of 100 cases, no more than that.
        """
        allowed = error * self.high
        return self._residual(fit) ** 2 <= allowed**2 + 2 * allowed * self._along + self._most

    def errors(self, fit: ExponentialSum) -> tuple[float, float]:
        """Return the relative error of a `fit`, estimated if there is noise, and its :meth:`limit`."""
        if not self.sigma:
            return fit.error, fit.error
        residual, states = self._residual(fit), fit.rates.size
        return self.error(residual, states), self.limit(residual, states)

    def _residual(self, fit: ExponentialSum) -> float:
        return fit.error * self.whole

    def error(self, residual: float, states: int) -> float:
        """Return an estimate of the relative error of a fit of so many `states` that leaves this `residual`.

        Were the 2m numbers of a fit to enter linearly, the squared residual would have the mean
        d² + (n − 2m)σ², where d is the least error of m states, and the squared error the mean d² + 2mσ²
        (Mallows 1973).
        """
        fitted = 2 * states
        least = max(0.0, residual**2 - self.sigma**2 * (self.values.size - fitted))
        return math.sqrt(least + fitted * self.sigma**2) / self.norm

    def limit(self, residual: float, states: int) -> float:
        """Return what the relative error of such a fit does not exceed, in 99 of 100 cases.

        With d the error and ξ the part of the noise along it, ‖residual‖² = d² − 2 d ξ + ‖ση‖². ξ is bounded
        as if the 2m numbers of a fit entered linearly, and the kernel itself were one more.
        """
        if not self.sigma:
            return residual / self.whole
        along = self.sigma * math.sqrt(special.chdtri(2 * states + 1, _MISS / 2))
        beyond = max(0.0, residual**2 - self._least)
        return (along + math.sqrt(along**2 + beyond)) / self.low

    def resolution(self, states: int) -> float:
        """Return the :meth:`limit` of a fit that leaves just the noise: smaller errors cannot be shown."""
        return self.limit(self.sigma * math.sqrt(self.values.size), states)
