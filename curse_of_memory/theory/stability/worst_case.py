"""Lower and upper bounds of E_m(β), the largest error of a linear RNN within β of its weights."""

import inspect
from collections.abc import Sequence
from typing import Any, TypedDict, Unpack

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import Bias
from curse_of_memory.theory.exponential_sums import ExponentialSum
from curse_of_memory.theory.reparameterization import Reparameterization, get
from curse_of_memory.theory.stability.bracket import WorstCase, bracket
from curse_of_memory.theory.stability.error_norms import Memory
from curse_of_memory.theory.stability.full_bracket import full_bracket, takes_ball
from curse_of_memory.theory.stability.perturbed_model import perturbed_model
from curse_of_memory.tools import checks

__all__ = ["WorstCase", "WorstCaseOptions", "worst_case_curve", "worst_case_error"]


def worst_case_error(
    fit: ExponentialSum,
    rho: Memory,
    beta: float,
    parameterization: str | Reparameterization = "softplus",
    norm: str = "l2",
    *,
    horizon: int | None = None,
    weight: ArrayLike | Bias | None = None,
    perturbed: str = "all",
    step: str = "exponential",
    ball: str = "diagonal",
    draws: int = 30,
    seed: int = 0,
    budget: int = 100,
    tolerance: float = 1e-3,
) -> WorstCase:
    """Return bounds of E_m(β) = sup{‖ρ − ρ̂(·; θ̃)‖ : |θ̃ − θ| <= β} for ρ̂(t) = Σ cᵢ uᵢ e^{f(wᵢ) t}.

    The amplitudes of `fit` are split evenly, |cᵢ| = |uᵢ|. In the ball of the papers,
    |θ̃ − θ| = max(|ΔW|₂, ‖δu‖₂, ‖δc‖₂), ΔW is any matrix: ``ball="full"``. A model that stays diagonal moves
    within max(|δw|_∞, ‖δu‖₂, ‖δc‖₂) <= β: ``ball="diagonal"``, a subset. The lower bound is the error of the
    worst model that an ascent from many starts, random draws among them, reaches. The upper bound of the
    diagonal ball encloses the memory over boxes of poles, with a branch and bound over the boxes. That of the
    full ball adds a bound of what is linear in the move and one of the rest by norms: it is close for small β
    only.

    Parameters
    ----------
    fit : ExponentialSum
        The unperturbed memory, with real rates > 0.
    rho : Target, ExponentialSum, callable, DataArray or array_like of shape (horizon,)
        The target memory; on [0, ∞) a Target or ExponentialSum.
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
    ball : {'diagonal', 'full'}
        What the recurrent weights may become: w + δw, |δw|_∞ <= β; or diag(w) + ΔW with any ΔW,
        |ΔW|₂ <= β, for "direct" and "direct-discrete", where w is the recurrent weight itself. On a grid with
        step="exponential" the full multiplier is e^{(W + ΔW) dt}.
    draws : int
        Random directions, those of `measure.perturbation_curve` under the same seed.
    seed : int
        Names the directions.
    budget : int
        The most boxes of the branch and bound of the diagonal ball; 1 gives the enclosure without it.
    tolerance : float
        Relative gap between the bounds at which it stops.

    Returns
    -------
    WorstCase

    Raises
    ------
    ValueError, TypeError
        For β < 0 or NaN, rates that are complex or do not decay, rates that f does not take, unknown names, a
        `rho` of another time step or length, or one that is not known on [0, ∞) without a horizon; for a
        full ball around a reparameterised diagonal.

    Notes
    -----
    Perturbation error: "Inverse approximation theory" (2305.19190); there, and in its code, E_m(β) is the
    largest error among 3 to 30 random draws, here `random`; "full" and "diagonal" are what
    `measure.perturbation_curve` calls the spectral ball of a dense and of a diagonal model. A map f of your
    own is bounded by interval arithmetic, or by the turns that it declares; if neither is possible nothing is
    certified, and `upper` is infinite. On [0, ∞) both bounds hold for the integrals: what sums leave out is
    bounded by the size of ρ in the complex plane, which families and formulas know, and callables do not. In
    "l1" and "w1" it costs up to 1e-3 of the norm of ρ.

    Examples
    --------
    >>> from curse_of_memory.theory import targets
    >>> fit = ExponentialSum(rates=[0.5], coefficients=[1.0])
    >>> rho = targets.exponential(0.5)
    >>> worst = worst_case_error(fit, rho, 0.1, "direct", "l1", perturbed="rates")
    >>> round(worst.lower, 9), round(worst.upper, 9)  # |1/0.4 − 1/0.5|
    (0.5, 0.5)
    >>> worst_case_error(fit, rho, 0.5, "direct").lower  # the stability radius is 0.5
    inf
    """
    beta = checks.non_negative("beta", beta)
    takes_ball(get(parameterization), ball)
    model = perturbed_model(fit, rho, parameterization, norm, horizon, weight, perturbed, step, ball)
    bounds = full_bracket if ball == "full" else bracket
    return bounds(model, beta, draws=draws, seed=seed, budget=budget, tolerance=tolerance)


class WorstCaseOptions(TypedDict, total=False):
    """The keyword arguments of :func:`worst_case_error` and :func:`worst_case_curve`."""

    horizon: int | None
    weight: ArrayLike | Bias | None
    perturbed: str
    step: str
    ball: str
    draws: int
    seed: int
    budget: int
    tolerance: float


_DEFAULTS: dict[str, Any] = {
    name: inspect.signature(worst_case_error).parameters[name].default
    for name in WorstCaseOptions.__annotations__
}


def worst_case_curve(
    fit: ExponentialSum,
    rho: Memory,
    betas: Sequence[float] | np.ndarray,
    parameterization: str | Reparameterization = "softplus",
    norm: str = "l2",
    **options: Unpack[WorstCaseOptions],
) -> xr.Dataset:
    """Return bounds of E_m(β) at several radii; the balls are nested, so that neither bound falls with β.

    Parameters
    ----------
    fit, rho, parameterization, norm
        As for :func:`worst_case_error`.
    betas : sequence of float
        Radii >= 0, strictly increasing.
    **options
        The keyword arguments of :func:`worst_case_error`: `horizon`, `weight`, `perturbed`, `step`, `ball`,
        `draws`, `seed`, `budget` and `tolerance`.

    Returns
    -------
    xarray.Dataset
        ``lower(beta)``, ``upper(beta)``, ``random(beta)``, the largest error of a draw at this or a smaller
        radius, and ``draw_error(beta, draw)``. Attributes: `centre`, `radius`, `norm`, `parameterization`,
        `perturbed`, `draws`, `ball`, `certified`.

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
        checks.one_of("option", name, _DEFAULTS)
    setting: dict[str, Any] = {**_DEFAULTS, **options}
    model_of = {name: setting[name] for name in ("horizon", "weight", "perturbed", "step", "ball")}
    search = {name: setting[name] for name in ("draws", "seed", "budget", "tolerance")}
    takes_ball(get(parameterization), setting["ball"])
    model = perturbed_model(fit, rho, parameterization, norm, **model_of)
    bounds = full_bracket if setting["ball"] == "full" else bracket
    cases: list[WorstCase] = []
    for beta in radii:
        cases.append(bounds(model, float(beta), **search, smaller=cases[-1] if cases else None))
    table = {name: np.array([getattr(one, name) for one in cases]) for name in ("lower", "upper", "random")}
    draw_errors = np.array([one.draw_errors for one in cases])
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
            "centre": cases[0].centre,
            "radius": model.radius,
            "norm": norm,
            "parameterization": model.poles.f.name,
            "perturbed": "all" if model.amplitudes else "rates",
            "draws": draw_errors.shape[1],
            "ball": setting["ball"],
            "certified": model.poles.certified,
        },
    )
