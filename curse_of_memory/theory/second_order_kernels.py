"""Volterra kernels of second order, and the least error of m squares and of m exponential states.

Equation.   y_k = Σ_s Σ_r K(s, r) x_{k−s} x_{k−r}, K symmetric. A state space layer with m outputs v_j ∗ x
            and σ(z) = z² after it has K̂ = Σ_{j≤m} c_j v_j v_jᵀ, of rank m at most. For independent normal
            x of variance one, and with the best constant added, the error at the last step has

                Var(y − ŷ) = 2 |K − K̂|_F²,        hence |K − K̂|_F / |K|_F >= (Σ_{i>m} λ_i² / Σ_i λ_i²)^{1/2}

            with the eigenvalues λ_i of K, |λ_1| >= |λ_2| >= …  (Eckart-Young), attained by its eigenvectors.

            A product of two convolutions has rank two, (a ∗ x)(b ∗ x) = ¼ [((a + b) ∗ x)² − ((a − b) ∗ x)²].
            With m states of rates λ, v = Φ c with Φ_sj = e^{−λ_j s}, the best is K̂ = Q Qᵀ K Q Qᵀ, Q R = Φ.
"""

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize

from curse_of_memory.tools import checks

__all__ = [
    "DURATION",
    "FASTEST",
    "KERNELS",
    "PRODUCT_RATES",
    "SLOWEST",
    "kernel_values",
    "rank_errors",
    "state_errors",
]

DURATION = 8.0
"""Length of every sequence in time units: T steps are T/8 to a unit, and memories grow with T."""
PRODUCT_RATES = (0.5, 6.0)
"""Rates of the two exponentials a and b whose convolutions the kernel "product" multiplies, per time unit."""
KERNELS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "product": lambda s, r: (
        np.exp(-PRODUCT_RATES[0] * s - PRODUCT_RATES[1] * r) / 2
        + np.exp(-PRODUCT_RATES[1] * s - PRODUCT_RATES[0] * r) / 2
    ),
    "infinite rank": lambda s, r: (1 + s + r) ** -2.0,
}
"""K(s, r) by name, s and r in time units: of rank two, and of infinite rank."""
SLOWEST, FASTEST = 0.3, 8.0
"""Range of the rates at the start of a search or a training, per time unit."""
EPS = float(np.finfo(float).eps)


def kernel_values(name: str, horizon: int) -> np.ndarray:
    """Return K at all pairs of lags, ``(horizon, horizon)``, scaled so that the last y has variance one.

    Parameters
    ----------
    name : {'product', 'infinite rank'}
        Of :data:`KERNELS`.
    horizon : int
        T, the steps of a sequence, which lasts ``DURATION``.

    Raises
    ------
    TypeError, ValueError
        For an unknown name, or a horizon that is no positive whole number.

    Examples
    --------
    >>> K = kernel_values("product", 64)
    >>> round(2 * float((K**2).sum()), 12)  # the variance of y for normal inputs of variance one
    1.0
    """
    K = KERNELS[checks.one_of("name", name, KERNELS)]
    times = np.arange(checks.positive_int("horizon", horizon)) * DURATION / horizon
    values = K(times[:, None], times[None, :])
    return values / (math.sqrt(2) * np.linalg.norm(values))


def rank_errors(K: np.ndarray) -> np.ndarray:
    """Return the least |K − K̂|/|K| over symmetric K̂ of rank m, for m = 0, 1, …, T: m squares at most.

    Parameters
    ----------
    K : array of shape (T, T)
        Symmetric, not zero.

    Examples
    --------
    >>> rank_errors(np.diag([4.0, 3.0])).tolist()
    [1.0, 0.6, 0.0]
    """
    squares = np.sort(np.linalg.eigvalsh(K) ** 2)
    return np.sqrt(np.append(np.cumsum(squares)[::-1], 0.0) / squares.sum())


def state_errors(K: np.ndarray, states: int) -> list[float]:
    """Return |K − Q Qᵀ K Q Qᵀ|/|K| at the best real rates found, for 1, 2, …, `states` exponentials.

    A descent over the logarithms of the rates, from geometric ladders, and from the rates of one state less
    with one more at either end. Upper bounds of the least error, which do not grow with the number of states.

    Parameters
    ----------
    K : array of shape (T, T)
        Symmetric, not zero; lags are multiples of ``DURATION``/T.
    states : int
        The largest number of exponentials.
    """
    checks.positive_int("states", states)
    times = np.arange(len(K)) * DURATION / len(K)
    whole = np.linalg.norm(K) ** 2

    def lost(logs: np.ndarray) -> tuple[float, np.ndarray]:
        decay = np.multiply.outer(times, np.exp(logs))
        basis = np.exp(-decay)
        Q, R = np.linalg.qr(basis)
        seen = K @ Q
        inside = Q.T @ seen
        left = 1 - np.linalg.norm(inside) ** 2 / whole
        if left <= EPS or not np.diag(R).all():
            return math.log(max(left, EPS)), np.zeros_like(logs)
        # d|Qᵀ K Q|² = 4 tr(R⁻¹ (Qᵀ K Q) (K Q)ᵀ (1 − Q Qᵀ) dΦ): d(Q Qᵀ) is (1 − Q Qᵀ) dΦ Φ⁺ and its transpose
        slope = 4 * (seen - Q @ inside) @ np.linalg.solve(R, inside).T
        return math.log(left), (slope * decay * basis).sum(0) / (whole * left)

    errors, before = [], np.empty(0)
    for m in range(1, states + 1):
        starts = [np.linspace(math.log(SLOWEST), math.log(FASTEST), m)]
        starts += [np.append(before, edge) for edge in (math.log(SLOWEST / 2), math.log(2 * FASTEST))]
        bounds = [(math.log(SLOWEST / 10), math.log(len(K) / DURATION * 5))] * m
        fits = [minimize(lost, start, jac=True, method="L-BFGS-B", bounds=bounds) for start in starts]
        best = min(fits, key=lambda fit: fit.fun)
        before = best.x
        errors.append(min([math.exp(best.fun / 2), *errors]))
    return errors
