"""How well m exponentials of fixed, equally spaced rates approximate a memory, in the norm of functionals.

With x = e^{−βt} the sum Σ cⱼ e^{−jβt}, j = 1..m, is x times a polynomial of degree m − 1, and its error is

    ‖ρ − ρ̂‖_{L¹} = ∫_0^∞ |ρ − ρ̂| dt = (1/β) ∫_0^1 |ρ/x − q(x)| dx ,

so that the rates of polynomial approximation hold: this is the proof of the Jackson rate of "Curse of memory"
(2009.07799). The sign of the Chebyshev polynomial U_n is orthogonal to every polynomial of degree below n,
hence |∫ (ρ/x) sgn U_n dx|, n >= m, bounds every q from below; the q that interpolates at the zeros of U_m
bounds the best from above. The two agree where its error changes sign at these zeros alone.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from curse_of_memory.theory.quadrature import bounded_minimum, panel_sums
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["EquispacedError", "best_spacing", "equispaced_error", "l1_norm", "truncation_terms"]

_HALVINGS = 25
# Panels after the last zero, in units of 1/β: at their end the sum has decayed to rounding.
_BEYOND = np.append(0.0, 2.0 ** np.arange(-3, 7))
_SPACINGS = np.geomspace(1e-7, 10.0, 49)


@dataclass(frozen=True)
class EquispacedError:
    """The smallest L¹ error of Σ cⱼ e^{−jβt}, j = 1..m, between two bounds.

    Attributes
    ----------
    lower : float
        No such sum is closer: duality, in closed form through the tails of ρ.
    upper : float
        The error of the interpolating sum, integrated by adaptive Gauss-Legendre rules to 1e-9.
    terms : int
        m.
    rate : float
        β, per unit time.
    """

    lower: float
    upper: float
    terms: int
    rate: float


def _zeros(n: int) -> np.ndarray:
    """Return θ with x = cos²(θ/2) the zeros of U_n moved to (0, 1), the largest x first."""
    return math.pi * np.arange(1, n + 1) / (n + 1)


def _dual(target: Target, n: int, rate: float) -> float:
    """Return |∫ ρ sgn U_n(x(t)) dt|, whose signs change at the zeros."""
    times = np.concatenate([[0.0], -2 * np.log(np.cos(_zeros(n) / 2)) / rate])
    tails = np.append(target.tail(times), 0.0)
    return float(abs(np.diff(tails) @ (-1.0) ** np.arange(n + 1)))


def equispaced_error(target: Target, terms: int, rate: float = 1.0, extra: int = 8) -> EquispacedError:
    """Return a bracket of min_c ‖ρ − Σ cⱼ e^{−jβt}‖_{L¹[0,∞)} over the coefficients of m fixed exponents.

    Parameters
    ----------
    target : Target
        ρ >= 0 with a finite L¹ norm.
    terms : int
        m.
    rate : float
        β > 0, per unit time.
    extra : int
        The lower bound is the largest of those by U_m, ..., U_{m+extra}.

    Returns
    -------
    EquispacedError
        Each bound is moved outward by the rounding errors, 4 (m + extra + 2) eps ‖ρ‖_{L¹}.

    Raises
    ------
    ValueError
        If ρ has no finite norm, or a negative value, which the tails ∫|ρ| do not show.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> bracket = equispaced_error(polynomial(2.0), terms=4, rate=0.4)
    >>> round(bracket.lower, 6), round(bracket.upper, 6)  # equal: no coefficients do better
    (0.116332, 0.116332)
    """
    m, rate = checks.positive_int("terms", terms), checks.positive("rate", rate)
    extra = int(checks.non_negative("extra", extra))
    norm = l1_norm(target)
    error = _interpolation_error(target, m, rate)
    upper, spread = _panels_sum(target, m, rate, error)
    lower = max(_dual(target, n, rate) for n in range(m, m + extra + 1))
    # ends of sums of m numbers that add up to the norm
    rounding = 4 * (m + extra + 2) * np.finfo(float).eps * norm
    return EquispacedError(
        float(max(lower - rounding, 0.0)), float((1 + 1e-9) * upper + spread + rounding), m, rate
    )


def _interpolation_error(target: Target, m: int, rate: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return |ρ − ρ̂| of the ρ̂ that interpolates ρ/x at the zeros of U_m, by the barycentric formula."""
    theta = _zeros(m)
    x = np.cos(theta / 2) ** 2
    pulls = (-1.0) ** np.arange(m) * np.sin(theta) ** 2
    values = _not_negative(target, -np.log(x) / rate) / x

    def error(times):
        t = times.ravel()
        at = np.exp(-rate * t)
        differences = at[:, None] - x
        differences[differences == 0] = math.ulp(0.5)
        shares = pulls / differences
        errors = np.abs(_not_negative(target, t) - at * (shares @ values) / shares.sum(axis=1))
        return errors.reshape(times.shape)

    return error


def _not_negative(target: Target, times: np.ndarray) -> np.ndarray:
    values = target(times)
    if values.min() < 0:
        raise ValueError(
            f"target must not be negative, but {target.name} is at t = {times[values.argmin()]:g}"
        )
    return values


def _panels_sum(target: Target, m: int, rate: float, error: Callable) -> tuple[float, float]:
    """Return ∫_0^∞ of `error`, and how far a second rule is from it where halving did not settle it.

    Panels end at the zeros, are no longer than half their distance from 0, where ρ may be steep, and are
    halved where the two rules differ: around other sign changes, and kinks of ρ.
    """
    zeros = -2 * np.log(np.cos(_zeros(m) / 2)) / rate
    end = zeros[-1] + _BEYOND[-1] / rate
    start = 1e-3 * min(target.norm(1) / target.norm(math.inf), 1 / rate)
    graded = np.geomspace(start, end, 2 + math.ceil(2 * math.log2(end / start)))
    edges = np.unique(np.concatenate([[0.0], zeros, zeros[-1] + _BEYOND / rate, graded]))
    # what ρ has between them must not escape both rules
    edges = target.panels(edges)
    low, half = edges[:-1], np.diff(edges) / 2
    total, most = float(target.tail(end)), 2 * low.size
    floor = 1e-14 * target.norm(1) / low.size
    for _ in range(_HALVINGS):
        fine, coarse = (panel_sums(error, low, half, *rule) for rule in (_GAUSS, _LOBATTO))
        settled = np.abs(fine - coarse) <= max(1e-11 * (total + fine.sum()) / fine.size, floor)
        total += float(fine[settled].sum())
        unsettled, rest = float(np.abs(fine - coarse)[~settled].sum()), float(fine[~settled].sum())
        # a few panels stay unsettled, around what is not smooth; all of them where ρ̂ is rounding errors
        if settled.all() or low[~settled].size > most / 2:
            break
        low, half = low[~settled], half[~settled] / 2
        low, half = np.concatenate([low, low + 2 * half]), np.concatenate([half, half])
    return total + rest, unsettled


def _lobatto(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the nodes and weights of the Gauss-Lobatto rule, which has both ends among its nodes."""
    last = np.polynomial.Legendre.basis(n - 1)
    nodes = np.concatenate([[-1.0], np.sort(last.deriv().roots().real), [1.0]])
    return nodes, 2 / (n * (n - 1) * last(nodes) ** 2)


# a kink beyond the outermost nodes of two Gauss rules would escape them both
_GAUSS, _LOBATTO = np.polynomial.legendre.leggauss(14), _lobatto(11)


def best_spacing(target: Target, terms: int, extra: int = 0) -> EquispacedError:
    """Return the bracket of :func:`equispaced_error` at the spacing β with the smallest upper bound.

    The bracket certifies this β; that no other is better is only as sure as a search over 1e-7 <= β <= 10
    per unit time, on a grid of six to a decade and then locally.

    Parameters
    ----------
    target : Target
        ρ >= 0 with a finite L¹ norm.
    terms : int
        m.
    extra : int
        As of `equispaced_error`.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> bracket = best_spacing(polynomial(2.0), terms=4)
    >>> round(bracket.rate, 2), round(bracket.upper, 4)
    (0.35, 0.1141)
    """
    m = checks.positive_int("terms", terms)
    l1_norm(target)

    def bound(log_rate):
        return equispaced_error(target, m, math.exp(log_rate), extra=0).upper

    grid = np.log(_SPACINGS)
    best = int(np.argmin([bound(log_rate) for log_rate in grid]))
    around = (float(grid[max(best - 1, 0)]), float(grid[min(best + 1, grid.size - 1)]))
    log_rate, _ = bounded_minimum(bound, *around, tolerance=1e-4)
    return equispaced_error(target, m, math.exp(log_rate), extra)


def truncation_terms(omega: float, error: float) -> float:
    """Return ω ε^{−1/ω}: the order of the m at which truncation of t^{−(1+ω)} gives an error ε.

    An upper-bound argument without its constant ("Curse of memory" (2009.07799)): cut ρ at T ~ ε^{−1/ω},
    and approximate what is left at the Jackson rate.

    Parameters
    ----------
    omega : float
        ω > 0.
    error : float
        ε > 0.

    Examples
    --------
    >>> round(truncation_terms(1.0, 1e-3))
    1000
    """
    omega, error = checks.positive("omega", omega), checks.positive("error", error)
    return omega * error ** (-1 / omega)


def l1_norm(target: Target) -> float:
    """Return ‖ρ‖_{L¹} of a `target` with a finite norm.

    Raises
    ------
    TypeError, ValueError
        If it is no target, or its norm is infinite.

    Examples
    --------
    >>> from curse_of_memory.theory.targets import polynomial
    >>> l1_norm(polynomial(3.0))
    0.5
    """
    if not isinstance(target, Target):
        raise TypeError(f"target must be a Target, got {type(target).__name__}")
    norm = target.norm(1)
    if not math.isfinite(norm):
        raise ValueError(f"target must have a finite L1 norm, which {target.name} has not")
    return norm
