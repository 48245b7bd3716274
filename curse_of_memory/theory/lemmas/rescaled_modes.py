"""Exponential sums with poles wₖ or wₖ/k, and the worst error of their memory for weights off by β.

Appendix C of "Inverse approximation theory" (2305.19190) sets the plain model Σ cₖ e^{wₖ t} against the
rescaled one Σ cₖ e^{wₖ t/k}, on ρ(t) = Σ k^{−2} e^{−t/k} and on ρ(t) = Σ k^{−2} e^{−t/k²}.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = ["RescaledModes", "appendix_c"]

_MODELS = ("plain", "rescaled")


@dataclass(frozen=True, eq=False, kw_only=True)
class RescaledModes:
    """ρ(t) = Σ cₖ e^{−λₖ t} with weights wₖ = −λₖ/sₖ, perturbed by at most β in each.

    Parameters
    ----------
    coefficients : array_like, shape (K,)
        cₖ > 0, per unit time.
    rates : array_like, shape (K,)
        λₖ > 0, per unit time.
    scales : array_like, shape (K,)
        sₖ > 0: the pole is sₖ wₖ.

    Raises
    ------
    ValueError, TypeError
        If the arrays differ in length, or hold what is not positive.

    Notes
    -----
    For every t, |Σ cₖ (e^{(−λₖ + sₖδₖ)t} − e^{−λₖt})| over |δₖ| <= β is largest at δₖ = β for all k: every
    term then is positive, and |e^{x} − 1| <= e^{|x|} − 1. So this one corner is the worst case in every
    norm that grows with |ρ(t)|, among them L¹ and L², and the errors below are exact.

    Examples
    --------
    >>> modes = RescaledModes(coefficients=[1.0], rates=[0.5], scales=[1.0])
    >>> modes.worst_error(0.1), modes.radius
    (0.5, 0.5)
    """

    coefficients: np.ndarray
    rates: np.ndarray
    scales: np.ndarray

    def __post_init__(self):
        for name in ("coefficients", "rates", "scales"):
            values = checks.finite_array(name, getattr(self, name), ndim=1)
            if values.min() <= 0:
                raise ValueError(f"{name} must be positive, got {values.min():g}")
            object.__setattr__(self, name, values)
        if not self.coefficients.size == self.rates.size == self.scales.size:
            raise ValueError("coefficients, rates and scales must have one entry per mode each")

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return ρ(t) for times `t` >= 0 of any shape."""
        t = checks.finite_array("t", t)
        return np.exp(-np.multiply.outer(t, self.rates)) @ self.coefficients

    @property
    def radius(self) -> float:
        """Smallest β at which a mode stops decaying, min λₖ/sₖ."""
        return float((self.rates / self.scales).min())

    def norm(self, order: int = 1) -> float:
        """Return the L¹ or L² norm of ρ on t >= 0, for `order` 1 or 2."""
        c, rate = self.coefficients, self.rates
        if _order(order) == 1:
            return math.fsum(c / rate)
        return math.sqrt(math.fsum((np.outer(c, c) / np.add.outer(rate, rate)).ravel()))

    def worst_error(self, beta: float, order: int = 1) -> float:
        """Return E(β) = sup over |δₖ| <= β of |ρ̃ − ρ| in L¹ or L², inf from `radius` on.

        In L¹ it is Σ cₖ sₖβ/(λₖ(λₖ − sₖβ)). The coefficients are not perturbed.

        Parameters
        ----------
        beta : float
            β >= 0, in the units of w.
        order : {1, 2}
            Which norm.

        Raises
        ------
        ValueError, TypeError
            If β is negative, or the order another number.
        """
        beta, order = checks.non_negative("beta", beta), _order(order)
        if beta >= self.radius:
            return math.inf
        c, rate, moved = self.coefficients, self.rates, self.scales * beta
        if order == 1:
            return math.fsum(c * moved / (rate * (rate - moved)))
        # ⟨dⱼ, dₖ⟩ is a second difference of 1/(λⱼ + λₖ), here without the cancellation
        total = np.add.outer(rate, rate)
        one, other = moved[:, None], moved[None, :]
        gram = np.outer(c * moved, c * moved) * (2 * total - one - other)
        gram /= total * (total - one) * (total - other) * (total - one - other)
        return math.sqrt(math.fsum(gram.ravel()))


def _order(order: int) -> int:
    if order not in (1, 2):
        raise ValueError(f"order must be 1 or 2, got {order!r}")
    return order


def appendix_c(terms: int, power: int = 1, model: str = "plain") -> RescaledModes:
    """Return the first `terms` modes of ρ(t) = Σ k^{−2} e^{−t/k^q} as the plain or the rescaled model.

    In L¹, relative to the norm of the partial sum, for k <= K and H_K = Σ 1/k:

    ======== ======================= ============= =============================
    q        model                   radius        E_K(β) / |ρ_K|
    ======== ======================= ============= =============================
    1        plain, wₖ = −1/k        1/K           Σ β/(1 − kβ) / H_K
    1        rescaled, wₖ = −1       1             β/(1 − β), the same for all K
    2        plain, wₖ = −1/k²       1/K²          Σ k²β/(1 − k²β) / K
    2        rescaled, wₖ = −1/k     1/K           Σ kβ/(1 − kβ) / K
    ======== ======================= ============= =============================

    Only one of the four radii does not shrink to zero.

    Parameters
    ----------
    terms : int
        K.
    power : {1, 2}
        q.
    model : {'plain', 'rescaled'}
        Poles wₖ or wₖ/k.

    Returns
    -------
    RescaledModes

    Raises
    ------
    ValueError, TypeError
        For fewer than one term, another power, or an unknown model.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), appendix C. As K → ∞, |ρ_K| in L¹ is H_K (q = 1) or K (q =
    2) and diverges: the whole sums are bounded and tend to zero, but are not integrable, so the error of a
    partial sum is measured against the partial sum. In L² the sum for q = 1 converges, |ρ|² = 2ζ(3).

    Examples
    --------
    >>> appendix_c(50).radius, appendix_c(50, model="rescaled").radius, appendix_c(50, 2, "rescaled").radius
    (0.02, 1.0, 0.02)
    """
    k = np.arange(1.0, checks.positive_int("terms", terms) + 1)
    if power not in (1, 2):
        raise ValueError(f"power must be 1 or 2, got {power!r}")
    checks.one_of("model", model, _MODELS)
    return RescaledModes(
        coefficients=k**-2.0,
        rates=k ** -float(power),
        scales=1 / k if model == "rescaled" else np.ones_like(k),
    )
