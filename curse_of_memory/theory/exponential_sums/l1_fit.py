"""The L¹ error of an exponential sum on [0, ∞), and sums of m exponentials that minimise it.

‖ρ − ρ̂‖_{L¹[0,∞)} is the norm of the difference of the two functionals ("Curse of memory" (2009.07799)).
Between sign changes of ρ − ρ̂ it integrates in closed form. If ρ is completely monotone, a mixture of e^{−λt}
with positive weights, the variation-diminishing property of the Laplace transform allows at most 2m of them.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize

from curse_of_memory.theory.approximation_rates import l1_norm
from curse_of_memory.theory.exponential_sums.exponential_sum import ExponentialSum
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["L1Fit", "fit_l1", "l1_error"]

_PER_DECADE = 80
# Where sign changes are looked for, in units of ‖ρ‖_{L¹}/ρ(0); beyond, all is decided by one sign.
_EARLY, _LATE = 1e-8, 1e30


@dataclass(frozen=True, eq=False)
class L1Fit:
    """A local minimum of the L¹ error over m coefficients and m rates.

    Attributes
    ----------
    sum : ExponentialSum
        ρ̂.
    error : float
        ‖ρ − ρ̂‖_{L¹[0,∞)}: an upper bound of the smallest one.
    sign_changes : int
        Of ρ − ρ̂. With 2m of a completely monotone ρ none can have been missed.
    """

    sum: ExponentialSum
    error: float
    sign_changes: int


class _Difference:
    """ρ − Σ cᵢ e^{−λᵢ t} and its sign changes, searched for at 0 and from `early` to `late`."""

    def __init__(self, target: Target, early: float, late: float):
        self.target = target
        points = math.ceil(_PER_DECADE * math.log10(late / early))
        self.grid = np.append(0.0, np.geomspace(early, late, points))
        self.values = target(self.grid)
        if self.values.min() < 0:
            raise ValueError(f"target must not be negative, but {target.name} is")

    def edges(self, c, lam):
        """Return 0 and the sign changes, and the sign after each."""
        signs = np.sign(self.values - np.exp(-np.multiply.outer(self.grid, lam)) @ c)
        kept = np.flatnonzero(signs)
        signs, grid = signs[kept], self.grid[kept]
        (at,) = np.nonzero(signs[1:] != signs[:-1])
        if not at.size:
            return np.zeros(1), signs[:1]
        low, high, sign = grid[at], grid[at + 1], signs[at]
        for _ in range(60):
            middle = (low + high) / 2
            left = np.sign(self.target(middle) - np.exp(-np.multiply.outer(middle, lam)) @ c) == sign
            low, high = np.where(left, middle, low), np.where(left, high, middle)
        return np.append(0.0, (low + high) / 2), np.append(sign[:1], -sign)

    def error(self, c: np.ndarray, lam: np.ndarray) -> tuple[float, int]:
        """Return the L¹ error, and the number of sign changes."""
        edges, signs = self.edges(c, lam)
        areas = _signed(signs, np.exp(-np.multiply.outer(edges, lam)) / lam)
        return self._error(c, edges, signs, areas), edges.size - 1

    def _error(self, c, edges, signs, areas) -> float:
        return float(_signed(signs, self.target.tail(edges)) - areas @ c)

    def jet(self, c: np.ndarray, lam: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
        """Return the L¹ error, its gradient and its Hessian in (c, λ)."""
        edges, signs = self.edges(c, lam)
        decays = np.exp(-np.multiply.outer(edges, lam))
        z = edges[:, None]
        areas = _signed(signs, decays / lam)
        error = self._error(c, edges, signs, areas)
        first = _signed(signs, decays * (z + 1 / lam) / lam)
        second = _signed(signs, decays * (z**2 + 2 * z / lam + 2 / lam**2) / lam)
        gradient = np.concatenate([-areas, c * first])
        curved = np.block([[0 * np.diag(c), np.diag(first)], [np.diag(first), -np.diag(c * second)]])
        if edges.size == 1:
            return error, gradient, curved
        # where the sign changes move: 2 Σ_z ∇e ∇eᵀ/|e'|
        inner, z = edges[1:], z[1:]
        slopes = np.abs(self._slope(inner) + decays[1:] @ (c * lam))
        directions = np.hstack([-decays[1:], c * z * decays[1:]])
        return error, gradient, curved + 2 * directions.T @ (directions / slopes[:, None])

    def _slope(self, times):
        step = 1e-6 * times
        return (self.target(times + step) - self.target(times - step)) / (2 * step)


def _signed(signs: np.ndarray, primitive: np.ndarray) -> np.ndarray:
    """Return Σ sign ∫ f over the pieces between edges z, from the values `primitive` of ∫_z^∞ f."""
    return signs @ (primitive - np.append(primitive[1:], 0 * primitive[:1], axis=0))


def l1_error(target: Target, fitted: ExponentialSum) -> float:
    """Return ‖ρ − ρ̂‖_{L¹[0,∞)} in closed form between the sign changes, which are found on a fine grid.

    Parameters
    ----------
    target : Target
        ρ >= 0 with a finite L¹ norm.
    fitted : ExponentialSum
        ρ̂, with real rates.

    Returns
    -------
    float
        Exact to rounding unless two sign changes are closer than 3 %; then a lower bound.

    Raises
    ------
    ValueError
        If ρ has no finite norm or is found negative, or the rates are complex.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import exponential
    >>> one = ExponentialSum(rates=[2.0], coefficients=[2.0])
    >>> round(l1_error(exponential(1.0), one), 12)  # |e^{−t} − 2 e^{−2t}| has integral 1/2
    0.5
    """
    norm = l1_norm(target)
    if np.iscomplexobj(fitted.rates) and np.any(np.imag(fitted.rates)):
        raise ValueError("fitted must have real rates")
    lam, c = np.real(fitted.rates), np.real(fitted.coefficients)
    unit = norm / max(float(target(0.0)), 1e-3 * target.norm(math.inf))
    early, late = min(_EARLY * unit, 1e-3 / lam.max()), max(_LATE * unit, 1e3 / lam.min())
    return _Difference(target, early, late).error(c, lam)[0]


def fit_l1(target: Target, terms: int) -> list[L1Fit]:
    """Return sums of 1, 2, ..., `terms` exponentials that minimise ‖ρ − ρ̂‖_{L¹[0,∞)} over c and λ.

    Meant for completely monotone ρ, such as ``targets.polynomial``. Each fit starts from the one before with
    one rate more: a least-squares fit, then Newton's method on the exact gradient and Hessian of the L¹
    error. The coefficients stay positive.

    Parameters
    ----------
    target : Target
        ρ > 0 at 0, not negative, with a finite L¹ norm and a closed form of its tail.
    terms : int
        The largest m.

    Returns
    -------
    list of L1Fit
        One for each m, each better than the one before; fewer than `terms` where the search finds no better.

    Raises
    ------
    ValueError
        If ρ has no finite norm, is found negative, or is 0 at 0.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> [round(fit.error, 4) for fit in fit_l1(polynomial(2.0), 3)]
    [0.291, 0.1029, 0.0412]
    """
    m_last = checks.positive_int("terms", terms)
    norm = l1_norm(target)
    unit = norm / checks.positive("target(0)", float(target(0.0)))
    difference = _Difference(target, _EARLY * unit, _LATE * unit)
    fits, logs = [], np.log([[0.8 * float(target(0.0))], [1 / unit]])
    for m in range(1, m_last + 1):
        logs = _minimum(difference, _least_squares(difference, _longer(logs)[1] if m > 1 else logs[1]))
        c, lam = np.exp(logs)
        error, changes = difference.error(c, lam)
        if fits and not error < fits[-1].error:
            break
        fits.append(L1Fit(ExponentialSum(rates=lam, coefficients=c), error, changes))
    return fits


def _least_squares(difference: _Difference, log_rates: np.ndarray) -> np.ndarray:
    """Return the start (ln c, ln λ): least squares on an even grid of ln(t + unit), c eliminated."""
    unit = difference.grid[1] / _EARLY
    t = unit * np.expm1(
        np.linspace(0.0, math.log1p(100 / (unit * math.exp(log_rates[0]))), 60 * log_rates.size)
    )
    values = difference.target(t) * (t + unit)

    def solved(logs):
        basis = np.exp(-np.multiply.outer(t, np.exp(logs))) * (t + unit)[:, None]
        c = np.linalg.lstsq(basis, values)[0]
        return c, basis @ c - values

    fit = optimize.least_squares(lambda logs: solved(logs)[1], log_rates, method="lm", max_nfev=2000)
    c = solved(fit.x)[0]
    return np.array([np.log(np.maximum(c, 1e-3 * np.abs(c).max())), fit.x])


def _minimum(difference: _Difference, logs: np.ndarray) -> np.ndarray:
    """Return the local minimum in (ln c, ln λ), rates ascending."""
    known = {}  # the last point: its value, gradient and Hessian are asked for separately

    def scaled(p):
        if p.tobytes() not in known:
            known.clear()
            c_and_lam = np.exp(p)
            error, gradient, hessian = difference.jet(*np.split(c_and_lam, 2))
            gradient = gradient * c_and_lam
            hessian = hessian * np.outer(c_and_lam, c_and_lam) + np.diag(gradient)
            known[p.tobytes()] = error, gradient, hessian
        return known[p.tobytes()]

    with np.errstate(all="ignore"):
        minimum = optimize.minimize(
            lambda p: scaled(p)[:2],
            logs.ravel(),
            method="trust-exact",
            jac=True,
            hess=lambda p: scaled(p)[2],
            options={"gtol": 1e-10, "maxiter": 300},
        )
    c, lam = np.split(minimum.x, 2)
    order = np.argsort(lam)
    return np.array([c[order], lam[order]])


def _longer(logs: np.ndarray) -> np.ndarray:
    """Return (ln c, ln λ) of one term more: the same spacing, half a spacing beyond either end."""
    m = logs.shape[1]
    if m == 1:
        return logs + np.array([[-3.0, -0.3], [-1.5, 1.0]])
    rungs = np.hstack([2 * logs[:, :1] - logs[:, 1:2], logs, 2 * logs[:, -1:] - logs[:, -2:-1]])
    places = np.linspace(0.5, m + 0.5, m + 1)
    return np.array([np.interp(places, np.arange(m + 2), row) for row in rungs])
