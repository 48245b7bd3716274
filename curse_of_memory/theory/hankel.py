"""Hankel singular values of a memory, the lower bounds they give for systems of m states, and truncation.

The Hankel operator of a memory ρ maps inputs of the past to outputs of the future,
(Γf)(s) = ∫_0^∞ ρ(s + t) f(t) dt. A system of m states has a Γ̂ of rank m, so that ‖Γ − Γ̂‖ >= σ_{m+1}(Γ):
no linear RNN of m states, trained or not, comes closer than σ_{m+1} in the Hankel norm, hence neither
in the larger H∞ norm nor in ∫|ρ − ρ̂|; and a system that attains it in the Hankel norm exists (Adamyan,
Arov & Krein 1971). For weighted ℓ2 norms see :mod:`curse_of_memory.theory.exponential_sums.lower_bounds`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.exponential_sums.gramians import gram_factor, singular_values
from curse_of_memory.theory.exponential_sums.lower_bounds import (
    LowerBound,
    bound_of_filters,
    weighted_lower_bound,
)
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks

__all__ = [
    "BalancedTruncation",
    "LowerBound",
    "balanced_truncation",
    "bound_of_filters",
    "hankel_singular_values",
    "weighted_lower_bound",
]

_GRID = 4000  # frequencies at which the error of a truncation is measured
_RANGE = 1e3  # beyond the slowest and the fastest rate, as a factor


def hankel_singular_values(source: ArrayLike | ExponentialSum, *, dt: float | None = None) -> np.ndarray:
    """Return the Hankel singular values of sampled values, or those of an exponential sum exactly.

    Parameters
    ----------
    source : array_like, shape (n,), or ExponentialSum
        Samples ρ_0, ..., ρ_{n−1}: of the finite section H_ij = ρ_{i+j} with n//2 rows and n + 1 − n//2
        columns, of any step. A sum: of its Hankel operator on L²(0, ∞), or of its infinite Hankel matrix.
    dt : float, optional
        For a sum: take the infinite matrix H_ij = ρ̂((i + j) dt). Its singular values times dt tend to
        those of the operator as dt → 0.

    Returns
    -------
    numpy.ndarray, shape (n//2,) or (m,)
        σ_1 >= σ_2 >= ...; for a sum as many as it has terms, 0 for those without effect.

    Raises
    ------
    ValueError
        For NaNs, fewer than 2 samples, lags that are not even, a sum that is not stable, or dt <= 0.
    TypeError
        If the source is neither, or `dt` is given with samples.

    Notes
    -----
    The singular values of samples have the absolute accuracy eps·σ_1: smaller ones are rounding
    errors. Those of a sum are the singular values of R C Rᵀ, with C = diag(c) and the Gram matrix Rᴴ R
    of the exponentials in closed form (:mod:`curse_of_memory.theory.exponential_sums.gramians`): they keep a
    relative accuracy of about 1e-12 each, however small, for positive coefficients, and as a rule for
    coefficients of either sign and complex pairs, unless coefficients cancel.

    Examples
    --------
    >>> hankel_singular_values((1 + 0.1 * np.arange(100.0)) ** -1.1)[:3].round(3)
    array([9.937, 1.133, 0.099])
    >>> hankel_singular_values(ExponentialSum(rates=[0.5], coefficients=[3.0]))  # c/(2λ)
    array([3.])
    """
    if isinstance(source, ExponentialSum):
        return _of_sum(source, _checked_step(source, dt))
    if dt is not None:
        raise TypeError("dt is for exponential sums; samples have a step already")
    if callable(source):
        raise TypeError(
            f"source must be sampled values or an ExponentialSum, got {type(source).__name__}: "
            "sample it on a grid of lags first"
        )
    values, _ = lagged("source", source)
    if values.size < 2:
        raise ValueError(f"source must have at least 2 samples, got {values.size}")
    return np.linalg.svd(sliding_window_view(values, values.size + 1 - values.size // 2), compute_uv=False)


def _checked_step(source: ExponentialSum, dt: float | None) -> float | None:
    dt = None if dt is None else checks.positive("dt", dt)
    if source.alternates and (dt is None or abs(dt - source.dt) > 1e-9 * source.dt):
        raise ValueError(f"source must not alternate, or dt be its own step {source.dt:g}, got dt = {dt}")
    return dt


def _of_sum(source: ExponentialSum, dt: float | None) -> np.ndarray:
    """Return the Hankel singular values of a sum, 0 for terms without effect."""
    sigma = np.zeros(source.rates.size)
    factor, phase = _factor(source, dt)
    if factor.size:
        positive = singular_values((factor * phase) @ factor.T)
        sigma[: positive.size] = positive
    return sigma


def _factor(source: ExponentialSum, dt: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return R with √|cᵢ| in its columns, and the phases cᵢ/|cᵢ|, of the terms with cᵢ ≠ 0."""
    active = source.coefficients != 0
    size = np.abs(source.coefficients[active])
    return gram_factor(source.rates[active], np.sqrt(size), dt), source.coefficients[active] / size


@dataclass(frozen=True, eq=False)
class BalancedTruncation:
    """A reduced exponential sum, with lower bound, measured value and upper bound of its H∞ error.

    Attributes
    ----------
    sum : ExponentialSum
        The reduced ρ̂.
    singular_values : numpy.ndarray
        Hankel singular values σ_k of the sum that was reduced.
    lower : float
        σ_{m+1}: no system of m states has a smaller error, in the Hankel, H∞ or L¹ norm.
    measured : float
        max_ω |∫ (ρ − ρ̂)(t) e^{−iωt} dt| over a grid of frequencies: not above the H∞ norm.
    upper : float
        2 Σ_{k>m} σ_k, which the H∞ norm does not exceed (Enns 1984, Glover 1984).
    """

    sum: ExponentialSum
    singular_values: np.ndarray
    lower: float
    measured: float
    upper: float


def balanced_truncation(source: ExponentialSum, terms: int) -> BalancedTruncation:
    """Return an exponential sum reduced to `terms` terms by balanced truncation, and its error.

    The states kept are those that inputs reach and outputs show best: in balanced coordinates both Gramians
    of x' = Ax + bu, y = cᵀx are diag(σ_k), and the states of the smallest σ_k are left out (Moore 1981). In
    continuous time.

    Parameters
    ----------
    source : ExponentialSum
        Real rates or conjugate pairs.
    terms : int
        m, fewer than the source has terms with effect.

    Returns
    -------
    BalancedTruncation
        Sums of positive coefficients at real rates stay so.

    Raises
    ------
    TypeError
        If `source` is no exponential sum.
    ValueError
        If there are not more terms with effect than `terms`, or a conjugate pair of states of one σ
        would be torn apart; if a term alternates in sign, as none does in continuous time.

    Examples
    --------
    >>> source = ExponentialSum(rates=[1.0, 2.0, 30.0], coefficients=[1.0, -3.0, 1.0])
    >>> reduced = balanced_truncation(source, terms=1)
    >>> reduced.lower <= reduced.measured <= reduced.upper * (1 + 1e-9)
    True
    """
    if not isinstance(source, ExponentialSum):
        raise TypeError(f"source must be an ExponentialSum, got {type(source).__name__}")
    terms = checks.positive_int("terms", terms)
    sigma = hankel_singular_values(source)
    if terms >= (sigma > 0).sum():
        raise ValueError(f"terms must be fewer than the {(sigma > 0).sum()} with effect, got {terms}")
    reduced = _balanced(source, terms)
    return BalancedTruncation(
        reduced,
        sigma,
        lower=float(sigma[terms]),
        measured=_largest_response(source, reduced),
        upper=2 * float(sigma[terms:].sum()),
    )


def _balanced(source: ExponentialSum, terms: int) -> ExponentialSum:
    """Return the leading block of the balanced realisation, diagonalised.

    With Γ = E C Eᵀ, E = ŨR for isometric Ũ, and RΦRᵀ = UΣVᴴ, the shift of E by −Λ reads
    −Σ^{−1/2} UᴴRΛΦRᵀV Σ^{−1/2} in balanced coordinates: nothing is inverted but Σ.
    """
    R, phase = _factor(source)
    active = source.coefficients != 0
    size = np.sqrt(np.abs(source.coefficients[active]))
    U, sigma, V = np.linalg.svd((R * phase) @ R.T)
    root = np.sqrt(sigma[:terms])
    observed = (U[:, :terms].conj().T @ R) / root[:, None]
    reached = (phase * (V[:terms].conj() @ R)).T / root
    shift, modes = np.linalg.eig((observed * source.rates[active]) @ reached)
    c = (size @ reached @ modes) * np.linalg.solve(modes, observed @ (phase * size))
    rates, coefficients = _mirrored(shift, c)
    return ExponentialSum(rates=rates, coefficients=coefficients)


def _mirrored(
    rates: NDArray[np.inexact], c: NDArray[np.inexact]
) -> tuple[NDArray[np.inexact], NDArray[np.inexact]]:
    """Return terms made exactly real or conjugate that are so up to rounding."""
    alone = np.abs(rates.imag) <= 1e-9 * np.abs(rates)
    upper, lower = (rates.imag > 0) & ~alone, (rates.imag < 0) & ~alone
    if upper.sum() != lower.sum():
        raise ValueError("terms must not part two states of one singular value: take one more")
    if upper.any():
        rates, c = (np.concatenate([z[alone].real, z[upper], z[upper].conj()]) for z in (rates, c))
    else:
        rates, c = rates[alone].real, c[alone].real
    order = np.lexsort([np.imag(rates), np.real(rates)])
    return rates[order], c[order]


def _largest_response(one: ExponentialSum, other: ExponentialSum) -> float:
    """Return the largest difference of the transfer functions Σ cᵢ/(iω + λᵢ) on a grid of ω."""
    rates = np.concatenate([one.rates, other.rates])
    c = np.concatenate([one.coefficients, -other.coefficients])
    size = np.abs(rates)
    ladder = np.geomspace(size.min() / _RANGE, size.max() * _RANGE, _GRID)
    # a resonance is as wide as its damping
    peaks = np.abs(np.imag(rates)) + np.multiply.outer(np.tan(np.linspace(-1.5, 1.5, 61)), np.real(rates))
    omega = np.concatenate([[0.0], ladder, peaks.ravel()])
    return float(np.abs((1 / (1j * omega[:, None] + rates)) @ c).max())
