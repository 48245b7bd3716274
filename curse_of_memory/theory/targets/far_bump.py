"""Exponentials plus a Gaussian bump far back in time, with every inner product in closed form.

The target of the plateau analysis of "Curse of memory" (2009.07799), ρ_ω(t) = ρ̄(t) + ρ₀(t − 1/ω): training
fits the exponentials ρ̄ at once, and waits for the bump at t = 1/ω.
"""

import math
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike
from scipy import special

from curse_of_memory.theory.formulas import exact
from curse_of_memory.theory.targets.decays import Decay
from curse_of_memory.theory.targets.exponentials import (
    coefficients_and_rates,
    exponential_formula,
    exponential_values,
    gram_form,
)
from curse_of_memory.theory.targets.target import Target, t
from curse_of_memory.tools import checks

__all__ = ["FarBump", "far_bump"]


@dataclass(frozen=True)
class FarBump(Target):
    """ρ(t) = Σ cⱼ e^{−λⱼ t} + h N(t; μ, s), N the density of the normal distribution.

    Attributes
    ----------
    center, width, height : float
        μ, s (time units) and h, the integral of the whole bump.
    coefficients, rates : tuple of float
        cⱼ (per unit time) and λⱼ > 0.
    """

    center: float
    width: float
    height: float
    coefficients: tuple[float, ...]
    rates: tuple[float, ...]

    def bump(self, t: ArrayLike) -> np.ndarray:
        """Return the bump h N(t; μ, s) alone, for times t of any shape."""
        z = np.minimum((np.asarray(t, dtype=float) - self.center) / self.width, 1e3)
        return self.height / (math.sqrt(2 * math.pi) * self.width) * np.exp(-(z**2) / 2)

    def _values(self, t):
        return exponential_values(self.coefficients, self.rates, t) + self.bump(t)

    @property
    def closed(self):
        """Whether tails are closed forms: no coefficient is negative, hence |ρ| = ρ."""
        return self.height >= 0 and min(self.coefficients) >= 0

    def _tail(self, t):
        if not self.closed:
            return super()._tail(t)
        near = exponential_values(self.coefficients, self.rates, t, integrals=1)
        z = (t - self.center) / (math.sqrt(2) * self.width)
        return near + self.height / 2 * special.erfc(z)

    def _l2(self):
        return math.sqrt(self.energy)

    def _energy(self, t):
        near = np.exp(-np.multiply.outer(t, self.rates)) * self.coefficients
        pairs = np.reshape(
            [gram_form(self.coefficients, self.rates, start) for start in np.ravel(t).tolist()], np.shape(t)
        )
        bump = self.height**2 / (4 * math.sqrt(math.pi) * self.width)
        bump = bump * special.erfc((t - self.center) / self.width)
        # seen from t, the bump is at μ − t and the exponentials have decayed by e^{−λt}
        cross = near * self._overlap(np.array(self.rates), self.center - t[..., None])
        return np.maximum(pairs + 2 * cross.sum(-1) + bump, 0.0)

    def _overlap(self, w, center):
        """Return ∫_0^∞ e^{−wt} h N(t; center, s) dt."""
        mean = center - w * self.width**2
        z = -mean / (math.sqrt(2) * self.width)
        # erfc keeps the digits where the maximum of t ↦ e^{−wt} N(t) is inside, erfcx where it is not
        inside = np.exp(w * (w * self.width**2 / 2 - center) * (z < 0)) * special.erfc(np.minimum(z, 0))
        outside = np.exp(-((center / self.width) ** 2) / 2) * special.erfcx(np.maximum(z, 0))
        return self.height / 2 * np.where(z > 0, outside, inside)

    def _magnitude(self, low, high, height):
        near = np.exp(-np.multiply.outer(low, self.rates)) @ np.abs(self.coefficients)
        apart = np.maximum(np.maximum(low - self.center, self.center - high), 0.0)
        tall = abs(self.height) / (math.sqrt(2 * math.pi) * self.width)
        return near + tall * np.exp((height - apart) / self.width * (height + apart) / (2 * self.width))

    @property
    def bump_energy(self) -> float:
        """∫_0^∞ (h N)² = h² erfc(−μ/s)/(4√π s)."""
        share = special.erfc(-self.center / self.width)
        return float(self.height**2 / (4 * math.sqrt(math.pi) * self.width) * share)

    @property
    def energy(self) -> float:
        """∫_0^∞ ρ², in closed form."""
        c = np.array(self.coefficients)
        near = gram_form(c, np.array(self.rates))
        return float(near + 2 * c @ self._bump_moments(np.array(self.rates))[0] + self.bump_energy)

    def moments(self, w: np.ndarray) -> np.ndarray:
        """Return ∫_0^∞ tᵏ e^{−wt} ρ(t) dt for k = 0, 1, 2.

        The bump's are B₀ = h e^{−wμ + w²s²/2} erfc((ws² − μ)/(√2 s))/2 and, with ν = μ − ws²,
        B₁ = ν B₀ + s² h N(0; μ, s), B₂ = ν B₁ + s² B₀; good to rounding of the larger term of each sum.

        Parameters
        ----------
        w : numpy.ndarray, shape (m,)
            Rates > 0, per unit time.

        Returns
        -------
        numpy.ndarray, shape (3, m)
        """
        w = np.asarray(w, dtype=float)
        inverse = 1 / np.add.outer(w, self.rates)
        square = inverse * inverse
        c = np.array(self.coefficients)
        return np.array([inverse @ c, square @ c, 2 * (square * inverse) @ c]) + self._bump_moments(w)

    def _bump_moments(self, w):
        mean = self.center - w * self.width**2
        zeroth = self._overlap(w, self.center)
        first = mean * zeroth + self.width**2 * self.bump(0.0)
        return np.array([zeroth, first, mean * first + self.width**2 * zeroth])


def far_bump(
    center: float,
    width: float = 0.5,
    height: float = 1.0,
    *,
    coefficients: ArrayLike = (1.0,),
    rates: ArrayLike = (1.0,),
) -> FarBump:
    """ρ(t) = Σ cⱼ e^{−λⱼ t} + height · N(t; center, width), e^{−t} and a bump of integral one by default.

    Parameters
    ----------
    center : float
        μ = 1/ω >= 0, how far back the bump is, in time units.
    width : float
        s > 0, the standard deviation, in time units.
    height : float
        The integral of the whole bump over the real line; 0 leaves the exponentials alone.
    coefficients, rates : array_like, shape (k,)
        cⱼ and λⱼ > 0 of the exponentials.

    Raises
    ------
    ValueError
        If a rate or the width is not positive, the center is negative, or there are not as many rates as
        coefficients.

    Examples
    --------
    >>> rho = far_bump(center=8.0)
    >>> round(rho.norm(1), 12), round(rho.bump_energy, 6)  # 1 + 1, and 1/(2 √π s)
    (2.0, 0.56419)
    """
    center, width = checks.non_negative("center", center), checks.positive("width", width)
    height = checks.real("height", height)
    c, lam = (tuple(values.tolist()) for values in coefficients_and_rates(coefficients, rates))
    gauss = sympy.exp(-(((t - exact(center)) / exact(width)) ** 2) / 2) / (
        sympy.sqrt(2 * sympy.pi) * exact(width)
    )
    formula = exponential_formula(c, lam, t) + exact(height) * gauss
    name = f"far_bump(center={center:g}, width={width:g})"
    return FarBump(name, formula, Decay("exponential", min(lam)), center, width, height, c, lam)
