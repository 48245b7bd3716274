"""What a power p of the weight tᵖ buys at long lags, and what it costs, as a table before any training.

Of steps t = 1, …, T weighted by w_t = tᵖ, for a long horizon T:

    bias of the memory at lag s          b(s)/b(0) = Σ_{t>s} w_t / Σ_t w_t  →  1 − (s/T)^{p+1},   p > −1
    steps that a weighted mean is worth  n = (Σ_t w_t)² / Σ_t w_t²          →  T (2p + 1)/(p + 1)², p > −1/2

b(s)/b(0) is also the share of the loss that the steps after s have: 1 − 2^{−(p+1)} for the later half.

The bias is that of INTEREST (2307.11462), Theorem 3.3; n, as of survey weights, is that of Kish (1965).
"""

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from curse_of_memory.theory.bias import effective_steps, power
from curse_of_memory.theory.exponential_sums.fits import fit_exponential_sum
from curse_of_memory.theory.exponential_sums.rate_search import ROUNDING
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.theory.targets.target import Target
from curse_of_memory.tools import checks

__all__ = ["power_tradeoff"]


def power_tradeoff(
    horizon: int,
    powers: Sequence[float] = (0.0, 1.0, 2.0, 4.0),
    *,
    lags: Sequence[int] | None = None,
    rho: Target | ArrayLike | None = None,
    terms: int = 1,
    dt: float | None = None,
) -> pd.DataFrame:
    """Return what each power p of the weight tᵖ gains at long lags, and how many steps it costs.

    The sums over steps are exact, not their limits for long horizons.

    Parameters
    ----------
    horizon : int
        T, in steps: the length of the sequences that are trained on.
    powers : sequence of float
        The powers p, ``math.inf`` for the last step alone.
    lags : sequence of int, optional
        Lags s of the bias, in steps, 0 <= s < T; T/4, T/2, 3T/4 and T − 1 unless given.
    rho : Target or array_like, shape (horizon,), optional
        A memory ρ to be learnt, at the lags 0, dt, …
    terms : int
        m, the modes of the model that is to learn it.
    dt : float, optional
        Time step of the lags of ρ; that of its labels unless given, 1 without labels.

    Returns
    -------
    pandas.DataFrame
        One row a power ``p``: ``b(s)/b(0)`` of each lag s, the weight of what is missed there;
        ``effective_steps``, n; ``batch_factor``, T/n, how many times more sequences give gradients as little
        noise as with p = 0, if errors of steps are alike and independent.

        With `rho` also ``early_error`` and ``late_error`` of the best fit found of m exponentials under this
        weight, what training on white noise tends to: √(Σ (ρ − ρ̂)² / Σ ρ²) over lags before T/2, and over the
        others (NaN or inf where ρ is zero there); and ``above_bound``, the weighted error of this
        fit over its certified lower bound: no linear model of m states comes below it by more than this
        factor (NaN where the fit is exact up to rounding, inf where nothing is proved).

    Raises
    ------
    ValueError, TypeError
        For a horizon below two, lags outside of it, powers that are no numbers, a ρ of another length, and as
        :func:`curse_of_memory.theory.exponential_sums.fit_exponential_sum` does.

    Notes
    -----
    The best fit is that of an endless training on the expected loss; noise of gradients, plateaus and initial
    weights come on top. Errors of neighbouring steps are mostly alike, so that fewer than T steps count with
    p = 0, too: then T/n is a guide and no more. And p does not change what m modes can hold: where they hold
    all of ρ, it is learnt under every p.

    Examples
    --------
    >>> power_tradeoff(100, powers=[0, 2], lags=[50]).loc[2].round(2).to_dict()
    {'b(50)/b(0)': 0.87, 'effective_steps': 55.84, 'batch_factor': 1.79}
    >>> from curse_of_memory.theory import targets
    >>> rho = targets.exponential_sum(coefficients=[1.0, 0.3], rates=[0.5, 0.01])
    >>> learnt = power_tradeoff(100, powers=[0, 4], rho=rho, terms=1)  # one mode for two
    >>> learnt.late_error.round(2).tolist(), learnt.early_error.round(2).tolist()
    ([0.66, 0.37], [0.39, 0.41])
    """
    T = checks.whole_number("horizon", horizon, least=2)
    chosen = [T // 4, T // 2, 3 * T // 4, T - 1]
    if lags is not None:
        chosen = checks.several("lags", lags, partial(checks.whole_number, least=0))
    if max(chosen) >= T:
        raise ValueError(f"lags must lie within the horizon, 0 to {T - 1}, got {max(chosen)}")
    given = checks.several("powers", powers, partial(checks.real, endless=True))
    terms = checks.positive_int("terms", terms)
    values = None if rho is None else _memory(rho, T, dt)
    rows = {}
    for p in given:
        weight = power(p)
        b = weight.discrete(T, normalize="head")
        worth = effective_steps(weight, T)
        row = {f"b({s})/b(0)": float(b[s]) for s in chosen}
        row |= {"effective_steps": worth, "batch_factor": T / worth}
        if values is not None:
            row |= _learnt(values, terms, b)
        rows[p] = row
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("p")


def _memory(rho: Target | ArrayLike, horizon: int, dt: float | None) -> np.ndarray:
    if isinstance(rho, Target):
        return rho.on_grid(horizon, 1.0 if dt is None else dt).values
    values, _ = lagged("rho", rho, dt)
    if values.size != horizon:
        raise ValueError(f"rho must have a value at each lag, {horizon}, got {values.size}")
    if not values.any():
        raise ValueError("rho must not be zero at every lag")
    return values


def _learnt(rho: np.ndarray, terms: int, b: np.ndarray) -> dict[str, float]:
    """Return the errors of the best fit of some modes under a bias, early and late, and its certificate."""
    fit = fit_exponential_sum(rho, terms, b)
    missed, half = rho - fit.on_grid(rho.size).values, rho.size // 2
    with np.errstate(divide="ignore", invalid="ignore"):
        early, late = (
            float(np.linalg.norm(missed[part]) / np.linalg.norm(rho[part]))
            for part in (slice(0, half), slice(half, None))
        )
    exact = fit.error <= ROUNDING
    certified = fit.error / fit.lower_bound if fit.lower_bound > 0 else math.nan if exact else math.inf
    return {"early_error": early, "late_error": late, "above_bound": certified}
