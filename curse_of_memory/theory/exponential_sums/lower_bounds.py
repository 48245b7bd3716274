"""Lower bounds of the weighted ℓ2 error of every linear system of m states, with filters that prove them.

Every section of the Hankel matrix H(ρ̂)_ij = ρ̂_{i+j} of a system of m states has rank m at most, and
so has X H(ρ̂) Yᵀ for all matrices X and Y. With rows x_a and y_b, filters, its entries are

    F_ab(ρ̂) = x_aᵀ H(ρ̂) y_b = Σ_s (x_a ∗ y_b)_s ρ̂_s,

so for the error e = ρ − ρ̂ the theorem of Eckart, Young and Mirsky gives

    Σ_{k>m} σ_k²(F(ρ)) <= ‖F(e)‖_F² <= γ Σ_s w_s e_s²,

where γ is the largest eigenvalue of the Gram matrix Σ_s (x_a∗y_b)_s (x_c∗y_d)_s / w_s. Any filters
bound the error from below; the search for good ones is a smooth problem, and the bound they give is
checked in the end with all rounding errors counted.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias.lag_weights import lag_weights, unit_peak
from curse_of_memory.theory.bias.memory_bias import Bias
from curse_of_memory.theory.exponential_sums.filters import FilterSearch, ladder
from curse_of_memory.theory.targets.lagged import lag_step, lagged
from curse_of_memory.tools import checks

__all__ = ["LowerBound", "ScaledSection", "bound_of_filters", "scaled_section", "weighted_lower_bound"]

_EPS = np.finfo(float).eps
_OVERSHOT = 1.002  # of what is enough, so that it is left when rounding errors are taken off
_COSTLY = 2e5  # numbers in the products of filters, for a second try
_EXTRA, _MANY = (1, 4), 12  # filters beyond m, and in all: few are sharp where singular values fall fast
_FAINTEST = 1e-200  # lags with less weight are left out: they bound nothing, and their inverse overflows
# Rows of a section are multiplied by (a + 1/2)^{−p/2} and by the weight to a power: then all lags count alike
_SCALINGS = ((0.0, 0.0), (0.25, 1.0), (0.5, 0.5), (0.5, 1.0))
_WORTH = 1.02  # of a bound over the one before: where so much is gained more filters are tried


@dataclass(frozen=True, eq=False)
class LowerBound:
    """A lower bound of the error of all systems of m states, with the filters that prove it.

    Attributes
    ----------
    bound : float
        Σ w_s (ρ_s − ρ̂_s)² >= bound² Σ w_s ρ_s² for every ρ̂ of m states.
    terms : int
        m.
    section : float
        What Hankel sections with scaled rows and columns give, without the search for filters.
    left, right : numpy.ndarray, shapes (k, p) and (k, q)
        Filters x_a and y_b; without any rows where they were no better than the sections.
    lags : numpy.ndarray, shape (p + q − 1,)
        The lags that they act on, in steps, equally spaced.
    """

    bound: float
    terms: int
    section: float
    left: np.ndarray
    right: np.ndarray
    lags: np.ndarray


def weighted_lower_bound(
    values: ArrayLike,
    terms: int,
    weight: ArrayLike | Bias | None = None,
    *,
    dt: float | None = None,
    filters: int | None = None,
    enough: float = math.inf,
) -> LowerBound:
    """Return a lower bound of the relative weighted ℓ2 error of all linear systems of `terms` states.

    The error is (Σ w_s (ρ_s − ρ̂_s)² / Σ w_s ρ_s²)^{1/2}, and ρ̂ may be any response C A^s B with A of size
    m×m: complex, unstable, with repeated eigenvalues, trained or not. Where the singular values fall
    fast the bound comes within about a hundredth of the best fit. It is rigorous in float64: what
    rounding may have added is taken off, so that nothing is left below about 1e-13.

    Parameters
    ----------
    values : array_like, shape (n,)
        ρ_s at the lags 0, dt, ..., (n − 1) dt.
    terms : int
        m >= 1. From n <= 2m on every kernel can be met, and the bound is 0.
    weight : array_like, shape (n,), or Bias, optional
        w_s >= 0, or a bias, which then gives ``weight.discrete(n, dt)``; ones by default. Lags without
        weight are left out: the longest-lived equally spaced lags that have weight are used.
    dt : float, optional
        Time step, for a bias; that of the lags unless given, 1 without labels.
    filters : int, optional
        How many on each side, more than m. By default m + 1, m + 4 and 12 are tried, unless they start too
        far below what scaled sections give without any search. More are slower and sharpen the bound where
        singular values fall slowly.
    enough : float
        Stop the search where the bound reaches this value.

    Returns
    -------
    LowerBound

    Raises
    ------
    ValueError
        If there are NaNs, negative weights, nothing but zeros, or too few filters; for lags that are not
        even, or contradict `dt`.

    Notes
    -----
    A bound takes tenths of a second for some hundred lags, up to two seconds for 30 000. The search is given
    up early where it stays below what sections of the Hankel matrix with scaled rows and columns tell, as for
    noise and many states.

    Examples
    --------
    >>> rho = (1 + 0.1 * np.arange(100.0)) ** -1.1
    >>> floor = weighted_lower_bound(rho, terms=3)
    >>> bool(0.0017 < floor.bound < 0.00181)  # the best fit has the error 0.001809
    True
    """
    step = lag_step({"values": values, "weight": weight}, dt)
    kernel, dt = lagged("values", values, step)
    terms = checks.positive_int("terms", terms)
    w = lag_weights(weight, kernel.size, dt)
    if filters is not None and checks.positive_int("filters", filters) <= terms:
        raise ValueError(f"filters must be more than terms = {terms}, got {filters}")
    unit, _ = unit_peak(kernel, w)
    # of norm one, so that the search ends where it ends whatever the scale
    unit = unit / np.linalg.norm(np.sqrt(w) * unit)
    lags = _weighted_lags(unit, np.where(w < _FAINTEST, 0.0, w), terms)
    none = np.empty((0, 0))
    if lags.size <= 2 * terms:
        return LowerBound(0.0, terms, 0.0, none, none, lags)
    rho, some = unit[lags], w[lags]
    whole = float(np.linalg.norm(np.sqrt(w) * unit)) * (1 + (w.size + 4) * _EPS)
    section = max(_section(rho, some, terms, *powers) for powers in _SCALINGS) / whole
    best = LowerBound(section, terms, section, none, none, lags)
    search, before = FilterSearch(rho, some, terms), 0.0
    tries = {terms + extra for extra in _EXTRA} | {max(_MANY, terms + 1)} if filters is None else {filters}
    for k in sorted(tries):
        # what a section cannot tell from rounding, filters do not either
        if section == 0 or best.bound >= enough or (best.bound > section and k**2 * rho.size > _COSTLY):
            break
        pair = search.best(k, enough * whole * _OVERSHOT, best.bound * whole if filters is None else 0.0)
        if pair is None:
            continue
        X, Y = pair
        bound = _proven(X, Y, rho, some, terms) / whole
        if bound > best.bound:
            best = LowerBound(float(bound), terms, section, X, Y, lags)
        if bound < _WORTH * before:
            break
        before = bound
    return best


def bound_of_filters(
    values: ArrayLike,
    terms: int,
    left: ArrayLike,
    right: ArrayLike,
    weight: ArrayLike | Bias | None = None,
    *,
    dt: float | None = None,
) -> float:
    """Return the lower bound that given filters prove, less rounding errors; checks a :class:`LowerBound`.

    Parameters
    ----------
    values : array_like, shape (n,)
        ρ_s, with p + q − 1 = n.
    terms : int
        m.
    left, right : array_like, shapes (k, p) and (l, q)
        The filters x_a and y_b.
    weight : array_like, shape (n,), or Bias, optional
        Positive weights w_s, ones by default.
    dt : float, optional
        Time step, for a bias; that of the lags unless given, 1 without labels.

    Returns
    -------
    float
        As ``LowerBound.bound``.

    Raises
    ------
    ValueError
        If lengths do not fit, a weight is not positive, or a value is NaN.

    Examples
    --------
    >>> round(bound_of_filters([1.0, 0.0, 1.0], 1, np.eye(2), np.eye(2)), 12)
    0.5
    """
    step = lag_step({"values": values, "weight": weight}, dt)
    kernel, dt = lagged("values", values, step)
    terms = checks.positive_int("terms", terms)
    X, Y = checks.finite_array("left", left, ndim=2), checks.finite_array("right", right, ndim=2)
    if X.shape[1] + Y.shape[1] - 1 != kernel.size:
        raise ValueError(
            f"left and right must have p and q columns with p + q - 1 = {kernel.size}, "
            f"got {X.shape[1]} and {Y.shape[1]}"
        )
    w = lag_weights(weight, kernel.size, dt)
    if w.min() == 0:
        raise ValueError("weight must be positive at every lag")
    rho, _ = unit_peak(kernel, w)
    whole = float(np.linalg.norm(np.sqrt(w) * rho)) * (1 + (w.size + 4) * _EPS)
    return float(_proven(X, Y, rho, w, terms) / whole)


def _weighted_lags(values: np.ndarray, w: np.ndarray, terms: int) -> np.ndarray:
    """Return the equally spaced lags, all of positive weight and more than 2m, that hold the most energy.

    On every other lag, or every third, a system of m states is one of m states still.
    """
    if w.min() > 0:
        return np.arange(w.size)
    best, energy = np.empty(0, int), -1.0
    for stride in range(1, max(1, (w.size - 1) // (2 * terms)) + 1):
        for first in range(stride):
            lags = np.arange(first, w.size, stride)
            for run in np.split(lags, np.flatnonzero(w[lags] == 0)):
                run = run[w[run] > 0]
                held = np.sum((np.sqrt(w[run]) * values[run]) ** 2)
                if run.size > 2 * terms and held > energy:
                    best, energy = run, held
    return best


def _section(rho: np.ndarray, w: np.ndarray, terms: int, power: float, of_weight: float) -> float:
    """Return the bound of a scaled Hankel section D H E, or of a ladder of its rows."""
    section = scaled_section(rho, w, power, of_weight)
    tail = np.linalg.norm(section.sizes[terms:]) - section.rounding
    return float(max(0.0, tail) / section.gain)


class ScaledSection(NamedTuple):
    """The singular values of D H E, and what they say of errors: see :func:`scaled_section`.

    Attributes
    ----------
    sizes : numpy.ndarray
        Singular values.
    rounding : float
        A bound of the rounding error of the norm of any of them.
    gain : float
        ‖D H(e) E‖_F <= gain (Σ w_s e_s²)^{1/2} for every e.
    rows, columns : numpy.ndarray
        The squares of the diagonals of D and E.
    """

    sizes: np.ndarray
    rounding: float
    gain: float
    rows: np.ndarray
    columns: np.ndarray


def scaled_section(rho: np.ndarray, w: np.ndarray, power: float, of_weight: float = 0.0) -> ScaledSection:
    """Return the singular values of a scaled Hankel section D H E, or of a ladder of its rows.

    With D = diag(√u), E = diag(√v) an error of lag s counts Σ_{a+b=s} u_a v_b times in ‖D H E‖_F².

    Parameters
    ----------
    rho, w : numpy.ndarray, shape (n,)
        ρ_s and w_s > 0.
    power : float
        u_a and v_a are (a + 1/2)^{−power}, ...
    of_weight : float
        ... times the weight to this power, divided by two.

    Examples
    --------
    >>> section = scaled_section(np.array([1.0, 0.0, 1.0]), np.ones(3), power=0.0)
    >>> section.sizes.tolist(), round(section.gain, 9)  # lag 1 is there twice
    ([1.0, 1.0], 1.414213562)
    """
    rows = ladder((rho.size + 1) // 2)
    columns = rho.size - rows[-1]
    falling = np.minimum.accumulate(w)[np.minimum(2 * np.arange(rho.size), rho.size - 1)]
    scale = (np.arange(rho.size) + 0.5) ** -power * falling ** (of_weight / 2)
    u, v = scale[rows], scale[:columns]
    matrix = np.sqrt(u)[:, None] * sliding_window_view(rho, columns)[rows] * np.sqrt(v)
    often = np.zeros(rho.size)
    for row, some in zip(rows, u, strict=True):
        often[row : row + columns] += some * v
    sizes = np.linalg.svd(matrix, compute_uv=False)
    rounding = _svd_error(matrix.shape, sizes[0]) + 8 * _EPS * float(np.linalg.norm(sizes))
    gain = math.sqrt((often / w).max()) / (1 - (rows.size + 8) * _EPS)
    return ScaledSection(sizes, rounding, float(gain), u, v)


def _svd_error(shape: tuple[int, ...], largest: float) -> float:
    """Return a bound of the Frobenius norm of a backward error of the singular values."""
    return 8 * max(shape) * _EPS * largest * math.sqrt(min(shape))


def _proven(X: np.ndarray, Y: np.ndarray, rho: np.ndarray, w: np.ndarray, terms: int) -> float:
    """Return the lower bound of the absolute error that the filters prove, rounding errors taken off."""
    pairs = [(x, y) for x in X for y in Y]
    P = np.array([np.convolve(x, y) for x, y in pairs])
    # a sum of so many products, in any order, errs by so much of the sum of their absolute values
    gamma = (min(X.shape[1], Y.shape[1]) + 4) * _EPS
    dP = gamma * np.convolve(np.abs(X).max(0), np.abs(Y).max(0))
    F = np.array([math.fsum(p) for p in P * rho]).reshape(len(X), len(Y))
    dF = math.sqrt(len(pairs)) * (1.0 + 1e-9) * np.sum((dP + 2 * _EPS * np.abs(P).max(0)) * np.abs(rho))
    sizes = np.linalg.svd(F, compute_uv=False)
    tail = float(np.linalg.norm(sizes[terms:])) - dF - _svd_error(F.shape, sizes[0])
    root = np.sqrt(w)
    weighted = P / root
    spread = float(np.linalg.norm(weighted, 2)) + math.sqrt(len(pairs)) * float(np.linalg.norm(dP / root)) * (
        1.0 + 1e-9
    )
    spread += _svd_error(weighted.shape, spread) + 4 * _EPS * float(np.linalg.norm(weighted))
    return max(0.0, tail) / spread * (1 - 16 * _EPS)
