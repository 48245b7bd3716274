"""Stability radius of an exponential sum, and E_m(β) for a family of widths with envelope and crossings.

A memory is stably approximated if E(β) = limsup_m E_m(β) is continuous up to some β₀ > 0 while E_m(0) → 0
("Inverse approximation theory" (2305.19190)). In a family of widths this shows as one envelope; where it
fails, the curves of consecutive widths cross at ever smaller β.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Unpack

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.stability.error_norms import Memory
from curse_of_memory.theory.stability.full_bracket import takes_ball
from curse_of_memory.theory.stability.perturbed_model import stable_rates
from curse_of_memory.theory.stability.pole_map import UNCERTIFIED, PoleMap
from curse_of_memory.theory.stability.worst_case import (
    WorstCase,
    WorstCaseOptions,
    worst_case_curve,
    worst_case_error,
)
from curse_of_memory.tools import checks

__all__ = [
    "WorstCase",
    "crossing",
    "limit_curve",
    "stability_radius",
    "worst_case_curve",
    "worst_case_error",
]


def stability_radius(
    fit: ExponentialSum | ArrayLike,
    parameterization: str | Reparameterization = "direct",
    *,
    step: str = "exponential",
    dt: float | None = None,
    ball: str = "diagonal",
) -> float:
    """Return the largest β such that every model whose free weights are off by less than β is stable.

    With λᵢ = −f(wᵢ) that is the least distance of a wᵢ to a weight with f(w) >= 0, or outside the domain
    of f: min λᵢ for "direct", min 1/λᵢ for "inverse", infinite for a stable reparameterisation. In steps of
    Euler's method, 1 + dt f(w), or of a discrete-time f, multipliers of modulus one are the boundary.

    Parameters
    ----------
    fit : ExponentialSum or array_like of shape (m,)
        The sum, or its rates λᵢ > 0.
    parameterization : str or Reparameterization
        f, as in `curse_of_memory.reparameterizations`.
    step : {'exponential', 'euler'}
        What a step does to a mode; "exponential" is continuous time.
    dt : float, optional
        Time step; that of `fit`, or 1 for rates.
    ball : {'diagonal', 'full'}
        Whether w moves, |δw|_∞ < β, or the whole matrix, |ΔW|₂ < β, for "direct" and "direct-discrete". The
        distance of a diagonal matrix to instability is that of its nearest entry, so that both are equal.

    Returns
    -------
    float
        In units of the free weight. Infinite, too, for a map of your own that is stable up to 1e9 |w| (with
        `turns`; else 1e15 |w|) from each weight w: nothing is checked beyond that.

    Raises
    ------
    ValueError, TypeError
        If a rate is complex, not positive or no value of f, or for unknown names; for a map that neither goes
        through interval arithmetic nor declares its turns, so that nothing is certain of it.

    Notes
    -----
    The ball of "Inverse approximation theory" (2305.19190) is the full one. For "direct" the
    bound β₀ <= decay rate of theorem 3.9 can be read off: the radius of fits of e^{−λt} is at most λ.

    Examples
    --------
    >>> stability_radius([0.5, 2.0]), stability_radius([0.5, 2.0], "inverse")
    (0.5, 0.5)
    >>> stability_radius([0.5, 2.0], "softplus")
    inf
    """
    rates = stable_rates(fit)
    takes_ball(get(parameterization), ball)
    if dt is None:
        dt = fit.dt if isinstance(fit, ExponentialSum) else 1.0
    poles = PoleMap(get(parameterization), checks.positive("dt", dt), step)
    if not poles.certified:
        raise ValueError(UNCERTIFIED.format(name=poles.f.name))
    return float(poles.radius(poles.weights(rates)).min())


def limit_curve(
    family: Mapping[int, ExponentialSum] | Sequence[ExponentialSum],
    rho: Memory,
    betas: Sequence[float] | np.ndarray,
    parameterization: str | Reparameterization = "softplus",
    norm: str = "l2",
    **options: Unpack[WorstCaseOptions],
) -> xr.Dataset:
    """Return bounds of E_m(β) for fits of several widths m, with their envelope over m and their crossings.

    Parameters
    ----------
    family : mapping from width to ExponentialSum, or sequence of ExponentialSum
        The fits; the width of one in a sequence is its number of rates.
    rho, betas, parameterization, norm
        As for :func:`worst_case_curve`.
    **options
        The keyword arguments of :func:`worst_case_error`.

    Returns
    -------
    xarray.Dataset
        ``lower``, ``upper`` and ``random`` over ``(m, beta)``. ``envelope_lower`` and ``envelope_upper``
        over ``beta``: the largest over the wider half of the widths, in place of limsup_m.
        ``crossing(wide)``: where the lower curve of a width crosses that of the next narrower one; in
        ``crossing_earliest`` the wide upper curve crosses the narrow lower one, in ``crossing_latest`` the
        wide lower one the narrow upper one, and E_m itself crosses between them. ``radius(m)``.

    Raises
    ------
    ValueError, TypeError
        As :func:`worst_case_curve`, and for fewer than two widths.

    Examples
    --------
    >>> from curse_of_memory.theory import targets
    >>> fits = [ExponentialSum(rates=[r], coefficients=[1.0]) for r in (0.5, 0.4)]
    >>> family = dict(zip((1, 2), fits))
    >>> curves = limit_curve(family, targets.exponential(0.5), [0.1, 0.2], "direct", budget=1)
    >>> dict(curves.sizes), curves.radius.values.tolist()
    ({'m': 2, 'beta': 2, 'wide': 1}, [0.5, 0.4])
    """
    fits = _by_width(family)
    widths = sorted(fits)
    if len(widths) < 2:
        raise ValueError(f"family must have at least two different widths, got {widths}")
    curves = [worst_case_curve(fits[m], rho, betas, parameterization, norm, **options) for m in widths]
    table = xr.concat(
        [curve[["lower", "upper", "random"]] for curve in curves],
        xr.Variable("m", widths),
        combine_attrs="drop",
    )
    table["radius"] = ("m", [curve.attrs["radius"] for curve in curves])
    wider = table.isel(m=slice(len(widths) // 2, None))
    table["envelope_lower"], table["envelope_upper"] = wider.lower.max("m"), wider.upper.max("m")
    bounds = {"crossing": ("lower", "lower"), "crossing_earliest": ("lower", "upper")}
    bounds["crossing_latest"] = ("upper", "lower")
    for name, (of_narrow, of_wide) in bounds.items():
        crossings = [
            crossing(table.beta.values, table[of_narrow].sel(m=a).values, table[of_wide].sel(m=b).values)
            for a, b in pairwise(widths)
        ]
        table[name] = ("wide", crossings)
    return table.assign_coords(wide=widths[1:])


def _by_width(family: Mapping[int, ExponentialSum] | Sequence[ExponentialSum]) -> dict[int, ExponentialSum]:
    """Return the fits by their width, after checking that all are sums of exponentials."""
    fits = family.values() if isinstance(family, Mapping) else family
    good = isinstance(fits, Iterable) and not isinstance(fits, type)
    if not (good and all(isinstance(fit, ExponentialSum) for fit in fits)):
        raise TypeError(f"family must be sums of exponentials, got {checks.shown(family)}")
    return dict(family) if isinstance(family, Mapping) else {len(fit.rates): fit for fit in family}


def crossing(beta: np.ndarray, narrow: np.ndarray, wide: np.ndarray) -> float:
    """Return the first β > 0 at which the wider model becomes the worse one, or NaN.

    The two perturbation errors are interpolated on logarithmic axes. Where a memory cannot be
    approximated stably, the crossings of consecutive widths march to zero.

    Parameters
    ----------
    beta : numpy.ndarray, shape (n,)
        Radii, increasing.
    narrow, wide : numpy.ndarray, shape (n,)
        Perturbation errors of the narrower and the wider model; inf where they overflow, NaN where one is
        missing and left out.

    Raises
    ------
    ValueError, TypeError
        If they are not three arrays of one length, or radii do not increase.

    Examples
    --------
    >>> beta = np.array([0.0, 0.1, 1.0])
    >>> round(crossing(beta, np.array([1.0, 1.0, 1.0]), np.array([0.1, 0.1, 10.0])), 3)
    0.316
    """
    beta = checks.finite_array("beta", beta, ndim=1)
    if (np.diff(beta) <= 0).any():
        raise ValueError("beta must increase strictly")
    largest = np.finfo(float).max  # an overflow is an error larger than every other
    errors = []
    for name, values in {"narrow": narrow, "wide": wide}.items():
        if type(values) is np.ndarray and values.dtype.kind == "f":
            values = np.where(np.isnan(values), 0.0, values)  # what is not above zero does not count
        values = checks.finite_array(name, values, ndim=1, infinite=True)
        if values.size != beta.size:
            raise ValueError(f"{name} must have one error per beta, {beta.size}, got {values.size}")
        errors.append(np.minimum(values, largest))
    narrow, wide = errors
    seen = (beta > 0) & (narrow > 0) & (wide > 0)
    x, gap = np.log(beta[seen]), np.log(wide[seen]) - np.log(narrow[seen])
    turns = np.flatnonzero((gap[:-1] < 0) & (gap[1:] >= 0))
    if turns.size == 0:
        return math.nan
    i = turns[0]
    return float(np.exp(np.interp(0.0, gap[i : i + 2], x[i : i + 2])))
