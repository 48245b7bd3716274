"""E_m(β) of an exponential sum as a bracket: the worst memory within β of the weights of a linear RNN."""

import inspect
from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory import checks
from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.perturbation.bracket import WorstCase, bracket, perturbed_model
from curse_of_memory.theory.reparameterization import Reparameterization

__all__ = ["WorstCase", "worst_case_curve", "worst_case_error"]


def worst_case_error(
    fit: ExponentialSum,
    rho,
    beta: float,
    parameterization: str | Reparameterization = "softplus",
    norm: str = "l2",
    *,
    horizon: int | None = None,
    weight: ArrayLike | Bias | None = None,
    perturbed: str = "all",
    step: str = "exponential",
    draws: int = 30,
    seed: int = 0,
    budget: int = 100,
    tolerance: float = 1e-3,
) -> WorstCase:
    """Bracket E_m(β) = sup{‖ρ − ρ̂(·; θ̃)‖ : |θ̃ − θ| <= β} for ρ̂(t) = Σ cᵢ uᵢ e^{f(wᵢ) t}.

    The amplitudes of `fit` are split evenly, |cᵢ| = |uᵢ|, and |θ̃ − θ| = max(|δw|_∞, ‖δu‖₂, ‖δc‖₂): the
    spectral norm of a diagonal matrix and the lengths of two vectors. The lower bound is the error at the
    worst point that a projected ascent from many starts, random draws among them, has found. The upper bound
    encloses the memory over boxes of poles, with a branch and bound over the boxes.

    Parameters
    ----------
    fit : ExponentialSum
        The unperturbed memory, with real rates > 0.
    rho : Target, ExponentialSum, callable, DataArray or array_like of shape (horizon,)
        The memory it is held against; on [0, ∞) a Target or ExponentialSum.
    beta : float
        Radius >= 0.
    parameterization : str or Reparameterization
        f, as in `curse_of_memory.reparameterizations`.
    norm : {'l2', 'l1', 'w1', 'expected'}
        (∫Δ²)^{1/2}; ∫|Δ|; ∫|Δ| + |Δ(0)| + ∫|Δ'|, the papers' W^{1,∞} norm of the functional; or the root of
        the expected mean squared error of `losses.TemporallyWeightedMSE` for white inputs of variance one.
        With a horizon: dt Σ for ∫, and differences of neighbours for Δ' dt.
    horizon : int, optional
        Number of lags, each ``fit.dt``; [0, ∞) in continuous time unless given.
    weight : Bias or array_like of shape (horizon,), optional
        The weight of each lag in "l2", a bias giving ``weight.discrete(horizon, dt)``; in "expected" a bias
        whose weights over time are scaled to mean one as the losses do, or the numbers B_s = Σ_{t>s} w_t.
    perturbed : {'all', 'rates'}
        Whether u and c move as well as w.
    step : {'exponential', 'euler'}
        The multiplier of a step is e^{f(w) dt}, or 1 + dt f(w) as in ``nn.RNN``; the unperturbed one is
        e^{−λ dt} in both. A discrete-time f is the multiplier itself.
    draws : int
        Random directions, those of `measure.perturbation_curve` under the same seed.
    seed : int
        Names the directions.
    budget : int
        Boxes that the branch and bound may look at; 1 gives the plain enclosure.
    tolerance : float
        Relative gap at which it stops.

    Returns
    -------
    WorstCase

    Raises
    ------
    ValueError, TypeError
        For β < 0 or NaN, rates that are complex or do not decay, rates that f does not take, unknown names, a
        `rho` of another time step or length, or one that is not known on [0, ∞) without a horizon.

    Notes
    -----
    Perturbation error: "Inverse approximation theory" (2305.19190); there, and in its code, E_m(β) is the
    largest error among 3 to 30 random draws, here `random`. On [0, ∞) integrals are Gauss-Legendre sums:
    their error is estimated from two resolutions, not proved.

    Examples
    --------
    >>> from curse_of_memory.theory import targets
    >>> fit = ExponentialSum(rates=[0.5], coefficients=[1.0])
    >>> rho = targets.exponential(0.5)
    >>> found = worst_case_error(fit, rho, 0.1, "direct", "l1", perturbed="rates")
    >>> round(found.lower, 9), round(found.upper, 9)  # |1/0.4 − 1/0.5|
    (0.5, 0.5)
    >>> worst_case_error(fit, rho, 0.5, "direct").lower  # the stability radius is 0.5
    inf
    """
    beta = checks.non_negative("beta", beta)
    model = perturbed_model(fit, rho, parameterization, norm, horizon, weight, perturbed, step)
    return bracket(model, beta, draws=draws, seed=seed, budget=budget, tolerance=tolerance)


_DEFAULTS = {
    name: p.default
    for name, p in inspect.signature(worst_case_error).parameters.items()
    if p.kind == p.KEYWORD_ONLY
}
_SEARCH = {name: _DEFAULTS[name] for name in ("draws", "seed", "budget", "tolerance")}
_MODEL = {name: default for name, default in _DEFAULTS.items() if name not in _SEARCH}


def worst_case_curve(
    fit: ExponentialSum,
    rho,
    betas: Sequence[float],
    parameterization: str | Reparameterization = "softplus",
    norm: str = "l2",
    **options,
) -> xr.Dataset:
    """Bracket E_m(β) at several radii; balls are nested, so that neither bound decreases with β.

    Parameters
    ----------
    fit, rho, parameterization, norm
        As for :func:`worst_case_error`.
    betas : sequence of float
        Radii >= 0, strictly increasing.
    **options
        The keyword arguments of :func:`worst_case_error`.

    Returns
    -------
    xarray.Dataset
        ``lower(beta)``, ``upper(beta)``, ``random(beta)``, the largest error of a draw at this or a smaller
        radius, and ``draw_error(beta, draw)``. Attributes: `centre`, `radius`, `norm`, `parameterization`,
        `perturbed`, `draws`.

    Raises
    ------
    ValueError, TypeError
        As :func:`worst_case_error`, and for radii that do not increase.

    Examples
    --------
    >>> from curse_of_memory.theory import targets
    >>> fit = ExponentialSum(rates=[0.5], coefficients=[1.0])
    >>> curve = worst_case_curve(fit, targets.exponential(0.5), [0.0, 0.1, 0.6], "direct")
    >>> (curve.random <= curve.lower).all().item(), curve.upper.values[-1].item()
    (True, inf)
    """
    radii = checks.finite_array("betas", betas, ndim=1)
    if (radii < 0).any() or (np.diff(radii) <= 0).any():
        raise ValueError(f"betas must be non-negative and strictly increasing, got {list(betas)!r}")
    for name in options:
        checks.one_of("option", name, [*_MODEL, *_SEARCH])
    setting = {name: options.get(name, default) for name, default in _MODEL.items()}
    search = {name: options.get(name, default) for name, default in _SEARCH.items()}
    model = perturbed_model(fit, rho, parameterization, norm, **setting)
    found: list[WorstCase] = []
    for beta in radii:
        found.append(bracket(model, float(beta), **search, smaller=found[-1] if found else None))
    table = {name: np.array([getattr(one, name) for one in found]) for name in ("lower", "upper", "random")}
    draw_errors = np.array([one.draw_errors for one in found])
    return xr.Dataset(
        {
            "lower": ("beta", np.maximum.accumulate(table["lower"])),
            # what bounds the error in a larger ball does so in a smaller one
            "upper": ("beta", np.minimum.accumulate(table["upper"][::-1])[::-1]),
            "random": ("beta", np.maximum.accumulate(table["random"])),
            "draw_error": (("beta", "draw"), draw_errors),
        },
        coords={"beta": radii, "draw": np.arange(draw_errors.shape[1])},
        attrs={
            "centre": found[0].centre,
            "radius": model.radius,
            "norm": norm,
            "parameterization": model.poles.f.name,
            "perturbed": "all" if model.amplitudes else "rates",
            "draws": draw_errors.shape[1],
        },
    )
