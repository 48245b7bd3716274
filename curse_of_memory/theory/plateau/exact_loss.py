"""The exact expected loss of a diagonal linear RNN on white noise, with gradient and Hessian.

J(a, w) = ∫ b(t) (Σ aᵢ e^{−wᵢ t} − ρ(t))² dt, on [0, ∞) with b = 1 ("Curse of memory", 2009.07799), or on
[0, T] with the memory bias b(t) = 1 − (t/T)^{p+1} of the weight tᵖ (INTEREST (2307.11462), Theorem 3.3).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory import bias
from curse_of_memory.theory.targets.far_bump import FarBump
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["ExactLoss", "exact_loss"]

_NODES = 16
_FEWEST = 24
_DYADIC = 2.0 ** -np.arange(1, 13)
_SETTLED = 1e-9


@dataclass(frozen=True, eq=False)
class ExactLoss:
    """J(a, w) = aᵀ K₀ a − 2 aᵀ L₀ + ‖ρ‖², with K_k = ∫ b tᵏ e^{−(wᵢ+wⱼ)t} and L_k = ∫ b tᵏ ρ e^{−wᵢ t}.

    Attributes
    ----------
    moments : callable
        w (m,) -> (K, L) of shapes (3, m, m) and (3, m), k = 0, 1, 2.
    energy : float
        ∫ b ρ².
    bump_energy : float
        ∫ b (bump of ρ)²; NaN for a target that is no `FarBump`.
    horizon : float
        T; inf for the half line, where every wᵢ must be positive.
    """

    moments: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
    energy: float
    bump_energy: float
    horizon: float

    def value(self, a: np.ndarray, w: np.ndarray) -> float:
        """Return J(a, w) for coefficients and rates of shape (m,)."""
        K, L = self.moments(w)
        return float(a @ K[0] @ a - 2 * a @ L[0] + self.energy)

    def gradient(self, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return (∂J/∂a, ∂J/∂w) = (2 (K₀a − L₀), −2 a ∘ (K₁a − L₁)), shape (2, m), for `a` and `w` (m,)."""
        K, L = self.moments(w)
        return np.array([2 * (K[0] @ a - L[0]), -2 * a * (K[1] @ a - L[1])])

    def hessian(self, a: np.ndarray, w: np.ndarray) -> np.ndarray:
        """Return the second derivatives in (a, w), shape (2, m, 2, m), for `a` and `w` of shape (m,)."""
        K, L = self.moments(w)
        mixed = -2 * K[1] * a - 2 * np.diag(K[1] @ a - L[1])
        rates = 2 * np.outer(a, a) * K[2] + 2 * np.diag(a * (K[2] @ a - L[2]))
        return np.array([[2 * K[0], mixed], [mixed.T, rates]]).transpose(0, 2, 1, 3)


def _remembered(moments: Callable) -> Callable:
    """Return `moments` with its last result kept: J, ∇J and ∇²J at the same rates share it."""
    last, known = np.empty(0), ()

    def remembered(w):
        nonlocal last, known
        if not np.array_equal(w, last):
            last, known = w.copy(), moments(w)
        return known

    return remembered


def exact_loss(target: Target, power: float | None = None, horizon: float | None = None) -> ExactLoss:
    """Return the expected loss J of a target, on [0, ∞) or on [0, `horizon`] with the bias of the weight tᵖ.

    On the half line every integral is a closed form. On [0, T] they are Gauss-Legendre sums on panels that
    resolve the target (`Target.panels`), and a rule of fewer nodes agrees to 1e-9; rates between −100/T and
    10⁶/T are resolved, so that they may be negative.

    Parameters
    ----------
    target : Target
        ρ; on the half line a `far_bump` (with height 0 for exponentials alone).
    power : float, optional
        p > −1 of the weight tᵖ on the error at time t, or ``math.inf``; needs a horizon. Without it b = 1.
    horizon : float, optional
        T, in time units.

    Raises
    ------
    ValueError
        For a power without horizon, or p <= −1, whose bias diverges at lag 0.
    TypeError
        If the half line is asked for with a target that has no closed form there.
    ArithmeticError
        If the quadrature does not settle: ρ has a jump that is not declared, or oscillates too long.

    Examples
    --------
    >>> from curse_of_memory.theory.targets.far_bump import far_bump
    >>> loss = exact_loss(far_bump(center=4.0, height=0.0))
    >>> loss.value(np.array([1.0]), np.array([1.0])), loss.value(np.array([0.0]), np.array([1.0]))
    (0.0, 0.5)
    """
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target, got {type(target).__name__}")
    if horizon is None:
        if power is not None:
            raise ValueError(
                f"power must come with a horizon, the T of its bias, got power = {power!r} alone"
            )
        return _on_half_line(target)
    horizon = checks.positive("horizon", horizon)
    if power is not None and not power > -1:
        raise ValueError(f"power must be greater than -1, where the bias is finite, got {power!r}")
    return _on_interval(target, power, horizon)


def _on_half_line(target: Target) -> ExactLoss:
    if not isinstance(target, FarBump):
        raise TypeError(f"target must be a far_bump unless there is a horizon, got {target.name}")

    def moments(w):
        # for w <= 0 the integrals diverge, though their formulas have values
        inverse = 1 / np.add.outer(w, w) if w.min() > 0 else np.full((w.size, w.size), math.nan)
        square = inverse * inverse
        return np.array([inverse, square, 2 * square * inverse]), target.moments(w)

    return ExactLoss(_remembered(moments), target.energy, target.bump_energy, math.inf)


def _on_interval(target: Target, power: float | None, horizon: float) -> ExactLoss:
    even = np.linspace(0.0, horizon, max(_FEWEST, math.ceil(horizon)) + 1)
    # graded at 0, where b may have a root
    edges = target.panels(np.concatenate([[0.0], even[1] * _DYADIC[::-1], even[1:]]))
    times, weights = _rule(power, horizon, edges, _NODES)
    values = target(times)
    energy = float(weights @ values**2)
    coarse_times, coarse = _rule(power, horizon, edges, _NODES - 4)
    rough = float(coarse @ target(coarse_times) ** 2)
    if not abs(energy - rough) <= _SETTLED * abs(energy):
        raise ArithmeticError(
            f"the integral of b rho^2 does not settle, {energy:.9g} or {rough:.9g}: does rho jump?"
        )
    measures = weights * times ** np.arange(3)[:, None]

    def moments(w):
        basis = np.exp(-np.outer(w, times))
        return (basis * measures[:, None]) @ basis.T, (measures * values) @ basis.T

    bump = float(weights @ target.bump(times) ** 2) if isinstance(target, FarBump) else math.nan
    return ExactLoss(_remembered(moments), energy, bump, horizon)


def _rule(
    power: float | None, horizon: float, edges: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes t and weights b(t) dt of a composite Gauss rule with `count` nodes a panel."""
    nodes, weights = np.polynomial.legendre.leggauss(count)
    half = np.diff(edges)[:, None] / 2
    times = (edges[:-1, None] + half * (1 + nodes)).ravel()
    weights = (half * weights).ravel()
    if power is not None:
        # b(s, T)/b(0, T) of a power is that of s/T and 1, where nothing overflows
        b = bias.power(power)
        weights = weights * (b(times / horizon, 1.0) / b(0.0, 1.0))
    return times, weights
