"""Best sums of m exponentials: the best memory a linear RNN with m real eigenvalues can have.

ρ̂(t) = Σ cᵢ e^{−λᵢ t} is linear in c, so c is eliminated and only λ is searched: variable projection
(Golub & Pereyra 1973). With the weight b(s) of `curse_of_memory.bias` this is the least-squares
problem that training on white noise solves (INTEREST (2307.11462), Theorem 3.3).
"""

import math
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike
from scipy.linalg import hankel
from scipy.optimize import least_squares

from curse_of_memory import checks
from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.target import lag_grid

__all__ = ["ExponentialSum", "fit_exponential_sum"]

# Beyond these λ dt an exponential is 1 at every lag, or 0 at every lag but the first, to rounding.
_SLOWEST, _FASTEST = 1e-18, 40.0
# Geometric ladders of λ dt to start from: (lowest times the number of lags, highest).
_LADDERS = ((5.0, 5.0), (0.5, 2.0), (0.5, 0.5), (0.05, 5.0), (0.1, 0.2))
# A direction of the basis this much weaker than the strongest fits little, and at the price of huge
# coefficients of opposite sign whose rounding errors (1e-16/1e-10 of what they fit) would show.
_WEAKEST = 1e-10
_ROUNDING = 1e-14
_STOP = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12, "max_nfev": 400}


@dataclass(frozen=True, eq=False)
class ExponentialSum:
    """ρ̂(t) = Σ cᵢ e^{−λᵢ t} with real λᵢ > 0, as fitted.

    Attributes
    ----------
    rates : numpy.ndarray, shape (m,)
        λᵢ, ascending, per unit time.
    coefficients : numpy.ndarray, shape (m,)
        cᵢ, per unit time; 0 for terms that rounding errors leave nothing to do.
    error : float
        (Σ w_s (ρ_s − ρ̂_s)² / Σ w_s ρ_s²)^{1/2} over the lags fitted.
    dt : float
        Time step of the values fitted.
    """

    rates: np.ndarray
    coefficients: np.ndarray
    error: float
    dt: float

    def __call__(self, t: ArrayLike) -> np.ndarray:
        """Return ρ̂(t) for times t >= 0, any shape."""
        t = checks.finite_array("t", t)
        if t.min() < 0:
            raise ValueError(f"t must not be negative, got {t.min():g}")
        return np.exp(-np.multiply.outer(t, self.rates)) @ self.coefficients

    def on_grid(self, horizon: int) -> xr.DataArray:
        """Return ρ̂ at the lags 0, dt, ..., (horizon − 1) dt, over ``lag`` in time units."""
        return lag_grid(
            self(self.dt * np.arange(checks.positive_int("horizon", horizon))), self.dt, "rho_hat"
        )


def fit_exponential_sum(
    values: ArrayLike, terms: int = 4, weight: ArrayLike | Bias | None = None, dt: float = 1.0
) -> ExponentialSum:
    """Fit Σ cᵢ e^{−λᵢ s dt} to `values` in weighted least squares, over c and real λ > 0.

    The problem is not convex: the result is the best local minimum from deterministic starts, so its
    error is an upper bound of the best one; it never grows with `terms`. Where no best sum exists (an
    oscillating target wants rates to coincide), coefficients are large and of opposite signs, cut at
    about 1e10 times the values.

    Parameters
    ----------
    values : array_like, shape (n,)
        ρ_s at the lags 0, dt, ..., (n − 1) dt.
    terms : int
        m, at most half the number of lags with positive weight.
    weight : array_like, shape (n,), or Bias, optional
        w_s >= 0, or a bias, which then gives ``weight.discrete(n, dt)``; ones by default.
    dt : float
        Time step.

    Returns
    -------
    ExponentialSum

    Raises
    ------
    ValueError
        If there are NaNs, negative weights, too many terms, or nothing but zeros to fit.

    Examples
    --------
    >>> fit = fit_exponential_sum(0.5 ** np.arange(20.0), terms=1)
    >>> float(fit.rates[0].round(6)), float(fit.coefficients[0].round(6))
    (0.693147, 1.0)
    """
    values = checks.finite_array("values", values, ndim=1)
    terms, dt = checks.positive_int("terms", terms), checks.positive("dt", dt)
    w = _weights(weight, values.size, dt)
    if terms > (w > 0).sum() / 2:
        raise ValueError(f"terms must be at most half the {(w > 0).sum()} weighted lags, got {terms}")
    problem = _Projection(np.sqrt(w / w.max()), values)
    directions = _directions(values)
    log_rates, error = np.empty(0), np.inf
    for m in range(1, terms + 1):
        starts = [np.log(np.geomspace(low / values.size, high, m)) for low, high in _LADDERS]
        starts.append(_shift_invariant(directions[:, :m]))
        if m > 1:
            starts.append(_stretched(log_rates))
        for start in starts:
            found, found_error = problem.search(start)
            if found_error < error:
                log_rates, error = found, found_error
        if error < _ROUNDING:
            break
    spare = terms - log_rates.size
    c = np.append(problem.coefficients(log_rates), np.zeros(spare))
    rates = np.append(np.exp(log_rates), _FASTEST / 2.0 ** np.arange(1, spare + 1))
    order = np.argsort(rates)
    return ExponentialSum(rates[order] / dt, c[order], error, dt)


def _stretched(log_rates: np.ndarray) -> np.ndarray:
    """Return one more log rate than given: the same ladder, a rung longer and half a rung wider."""
    m = log_rates.size
    if m == 1:
        return log_rates + np.array([-1.0, 1.0])
    rungs = np.sort(log_rates)
    rungs = np.concatenate([[2 * rungs[0] - rungs[1]], rungs, [2 * rungs[-1] - rungs[-2]]])
    return np.interp(np.linspace(0.5, m + 0.5, m + 1), np.arange(m + 2), rungs)


def _directions(values: np.ndarray) -> np.ndarray:
    """Return the left singular vectors of the Hankel matrix of `values`, at most 200 of them."""
    columns = min(values.size // 2, 200)
    matrix = hankel(values[: values.size - columns + 1], values[values.size - columns :])
    return np.linalg.svd(matrix, full_matrices=False)[0]


def _shift_invariant(directions: np.ndarray) -> np.ndarray:
    """Return the log rates by which m directions shift into themselves: exact for sums of m exponentials."""
    decays = np.abs(np.linalg.eigvals(np.linalg.lstsq(directions[:-1], directions[1:])[0]))
    rates = -np.log(np.clip(np.sort(decays), math.exp(-_FASTEST), 1 - 1e-6))
    # oscillations come as pairs of one modulus, and equal rates would never part
    return np.log(rates * np.linspace(1.1, 0.9, rates.size))


def _weights(weight: ArrayLike | Bias | None, size: int, dt: float) -> np.ndarray:
    if weight is None:
        return np.ones(size)
    if isinstance(weight, Bias):
        return weight.discrete(size, dt, normalize="head")
    w = checks.finite_array("weight", weight, ndim=1)
    if w.size != size:
        raise ValueError(f"weight must have one value per lag, {size}, got {w.size}")
    if w.min() < 0 or w.max() == 0:
        raise ValueError("weight must not be negative, nor zero everywhere")
    return w


class _Projection:
    """The relative weighted residual under the best coefficients, as a function of log(λ dt) alone."""

    def __init__(self, root_weight: np.ndarray, values: np.ndarray):
        self.lags = np.arange(values.size)
        self.root_weight = root_weight
        self.scale = np.linalg.norm(root_weight * values)
        if self.scale == 0:
            raise ValueError("values must not be zero at every lag with weight")
        self.y = root_weight * values / self.scale

    def _basis(self, log_rates):
        return self.root_weight[:, None] * np.exp(-np.outer(self.lags, np.exp(_clipped(log_rates))))

    def _solve(self, log_rates):
        """Return the basis Φ, an orthonormal basis Q of its range, and B with Φ⁺ = B Qᵀ."""
        basis = self._basis(log_rates)
        left, sizes, right = np.linalg.svd(basis, full_matrices=False)
        keep = sizes > _WEAKEST * sizes[0]
        return basis, left[:, keep], right[keep].T / sizes[keep]

    def coefficients(self, log_rates: np.ndarray) -> np.ndarray:
        _, Q, B = self._solve(log_rates)
        return self.scale * (B @ (Q.T @ self.y))

    def residual(self, log_rates: np.ndarray) -> np.ndarray:
        _, Q, _ = self._solve(log_rates)
        return self.y - Q @ (Q.T @ self.y)

    def jacobian(self, log_rates: np.ndarray) -> np.ndarray:
        basis, Q, B = self._solve(log_rates)
        fitted = Q.T @ self.y
        free = _clipped(log_rates) == log_rates
        slopes = -self.lags[:, None] * np.exp(_clipped(log_rates)) * basis * free
        # d(P⊥ y) = −P⊥ dΦ c − (P⊥ dΦ Φ⁺)ᵀ y, where dΦ has the one column that its rate moves
        moved = slopes * (B @ fitted)
        return Q @ (Q.T @ moved) - moved - Q @ (B.T * (slopes.T @ (self.y - Q @ fitted)))

    def search(self, log_start: np.ndarray) -> tuple[np.ndarray, float]:
        """Return the log rates of the local minimum below `log_start`, and the error there."""
        log_rates = _clipped(least_squares(self.residual, log_start, self.jacobian, method="lm", **_STOP).x)
        return log_rates, self.error(log_rates, self.coefficients(log_rates))

    def error(self, log_rates: np.ndarray, coefficients: np.ndarray) -> float:
        """Return the error of the sum as it is evaluated, with the rounding of its coefficients."""
        return float(np.linalg.norm(self.y - self._basis(log_rates) @ (coefficients / self.scale)))


def _clipped(log_rates: np.ndarray) -> np.ndarray:
    return np.clip(log_rates, math.log(_SLOWEST), math.log(_FASTEST))
