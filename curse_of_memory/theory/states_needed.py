"""How many states a linear state space needs to match a memory kernel, proved from below, met from above.

The bound from below is that of Eckart & Young (1936) for sections of the Hankel matrix, whose optimal
approximation in another norm is that of Adamyan, Arov & Krein (1971); see :func:`states_needed`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import ArrayLike

from curse_of_memory.theory.decay.noise import own_floor
from curse_of_memory.theory.exponential_sums import ExponentialFit, fit_exponential_sums
from curse_of_memory.theory.exponential_sums.noisy_kernel import CONFIDENCE, NoisyKernel
from curse_of_memory.theory.exponential_sums.rate_search import MODES, ROUNDING
from curse_of_memory.theory.targets.lagged import lagged
from curse_of_memory.tools import checks
from curse_of_memory.tools.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["StatesNeeded", "states_needed"]

_MANY = 0.99  # of one, from where per cent have three digits


@dataclass(frozen=True, eq=False, kw_only=True)
class StatesNeeded:
    """How many states match a kernel within an error: proved from below, met from above.

    Attributes
    ----------
    states : int or None
        The number of states of `fit`; None if no fit that was tried is within the error. See `is_least`.
    below : int
        So many states do not suffice, nor do fewer: a theorem, whatever the modes.
    above : int or None
        So many states suffice, since `fit` does: equal to `states`, unless noise hides whether it does.
    error : float
        Relative error of `fit`; under noise an estimate of that against the kernel without noise.
    limit : float
        What that error does not exceed: `error` itself, under noise in 99 of 100 cases.
    asked : float
        The relative error that was asked for.
    noise : float
        Standard deviation of the noise at each lag, in the unit of the kernel.
    fit : ExponentialFit
        Σ cᵢ e^{−λᵢ t}, of `states` terms; the best one found if that is None.
    fits : tuple of ExponentialFit
        The fits of 1, 2, ... terms that were tried.
    kernel : NoisyKernel
        What was fitted, over a power of two, and the bounds that are proved of it.
    """

    states: int | None
    below: int
    above: int | None
    error: float
    limit: float
    asked: float
    noise: float
    fit: ExponentialFit = field(repr=False)
    fits: tuple[ExponentialFit, ...] = field(repr=False)
    kernel: NoisyKernel = field(repr=False)

    @property
    def is_least(self) -> bool:
        """Whether `above` is the least number of states there is: all fewer are proved not to suffice."""
        return self.above == self.below + 1

    @cached_property
    def table(self) -> pd.DataFrame:
        """Table by the number of ``states``: ``bound``, ``error``, ``limit``; bounds are computed when asked.

        No linear system of so many states has a relative error below ``bound``; the fit has ``error``, which
        ``limit`` is not below. Under noise all three are against the kernel without noise.
        """
        rows = [(m, self.kernel.bound(m), *self.kernel.errors(fit)) for m, fit in enumerate(self.fits, 1)]
        return pd.DataFrame(rows, columns=["states", "bound", "error", "limit"]).set_index("states")

    def plot(self, ax: "Axes | None" = None) -> "Axes":
        """Draw errors of the fits against the number of states, and shade what no system of so many reaches.

        Parameters
        ----------
        ax : matplotlib.axes.Axes, optional
            Where; new ones unless given.

        Returns
        -------
        matplotlib.axes.Axes

        Raises
        ------
        ModuleNotFoundError
            Without matplotlib, which the extra ``figures`` brings.
        """
        require("figures", "matplotlib")
        if ax is None:
            import matplotlib.pyplot as plt

            ax = plt.figure(layout="constrained").add_subplot()
        table = self.table
        shown = table[["bound", "error", "limit"]].to_numpy()
        bottom = 10 ** (math.ceil(math.log10(max(min([*shown[shown > 0], self.asked]), 1e-16))) - 1)
        height = table.bound.clip(lower=bottom) - bottom
        no_system = "no linear system"
        ax.bar(table.index, height, 0.7, bottom, color="0.85", ec="0.5", label=no_system)
        ax.plot(table.index, table.error.clip(lower=bottom), "o-", color="C0", label="fit")
        if self.noise:
            ax.plot(table.index, table.limit, "^:", color="C0", label=f"its limit ({CONFIDENCE:.0%})")
        ax.axhline(self.asked, color="0.2", ls=":", label=f"asked: {_percent(self.asked)}")
        if self.states is not None:
            ax.plot(self.states, max(self.error, bottom), "o", ms=12, mfc="none", mec="C3")
        ax.set(yscale="log", xlabel="states", ylabel="relative error", xticks=table.index)
        ax.set_ylim(bottom=bottom)
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, frameon=False)
        return ax

    def __str__(self) -> str:
        within = f"the kernel within {_percent(self.asked)}"
        off = f"the fit is off by {_percent(self.limit)}" + (" at most" if self.noise else "")
        sure = f" ({CONFIDENCE:.0%} confidence)" if self.noise else ""
        if self.states is None:
            best = f"the best fit tried, of {self.fit.rates.size}, is off by {_percent(self.error)}"
            too_few = "1 state is" if self.below == 1 else f"{self.below} states are"
            return f"More than {too_few} needed to match {within}, proved{sure}: {best}."
        match = "1 state matches" if self.states == 1 else f"{self.states} states match"
        if self.is_least:
            return f"{match} {within}, and fewer are proved to be too few: {off}{sure}."
        proved = f"; {self.below} and fewer are proved to be too few" if self.below else ""
        if self.above is None:
            return (
                f"{match} {within} as far as noise of {self.noise:.3g} a lag can tell: {off}{proved}{sure}."
            )
        open_ones = " to ".join(str(m) for m in sorted({self.below + 1, self.above - 1}))
        return f"{match} {within}: {off}{proved}; for {open_ones} there is neither fit nor proof{sure}."


def _percent(value: float) -> str:
    # two digits, and all of those before the point
    return f"{100 * value:.{3 if value >= _MANY else 2}g} %" if value > ROUNDING else "rounding"


def states_needed(
    kernel: ArrayLike | xr.DataArray | pd.Series,
    error: float = 0.01,
    *,
    dt: float | None = None,
    noise: float | str | None = None,
    modes: str = "complex",
    most: int = 16,
) -> StatesNeeded:
    """Return how many states a linear state space needs to match `kernel` within a relative `error`.

    A system h_k = A h_{k−1} + B x_k, ŷ_k = C h_k of m states has a kernel ρ̂_s = C A^s B. Asked is for the
    least m with

        (Σ_s (ρ_s − ρ̂_s)² / Σ_s ρ_s²)^{1/2} <= error,

    the sums over the lags given: on white noise this is the error of the answers, too. *From above* a sum
    of m exponentials is fitted whose error is evaluated in this norm. *From below* a theorem holds in the
    same norm for all systems of m states, unstable and non-diagonal ones, too: every section of the Hankel
    matrix ρ̂_{i+j} has at most rank m, so that the singular values σ_{m+1}, σ_{m+2}, ... of weighted sections
    of that of ρ bound the error (:func:`curse_of_memory.weighted_lower_bound`). Where the two do not meet,
    the answer is a bracket.

    Parameters
    ----------
    kernel : array_like, shape (n,), n >= 2
        ρ_s with its sign at the lags 0, dt, ..., (n − 1) dt, with or without labels: for instance
        ``model.kernel(n)[:, 0, 0].detach()`` of a linear layer. :func:`curse_of_memory.memory_function`
        measures |ρ_s|, which is the same only if ρ keeps its sign.
    error : float
        Between 0 and 1; 0.01 is one per cent.
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    noise : float or "tail", optional
        Standard deviation of the noise at each lag, independent and normal, in the unit of the kernel. What
        is asked for is then the error against the kernel without noise. "tail": the level of the longest
        tail that is nothing but noise. Unless given, the attribute ``noise_floor`` of `kernel`, or 0.
    modes : {"real", "complex", "discrete"}
        What the fit may have: rates that are real, or in conjugate pairs, too, or alternate in sign, too, as
        for :func:`curse_of_memory.fit_exponential_sum`. The bound from below holds for all of them.
    most : int
        The most states of a fit that is tried; at most n//2 are.

    Returns
    -------
    StatesNeeded
        ``print`` tells it in words; ``.table`` has errors and bounds of every number of states, ``.plot()``
        draws them. :meth:`curse_of_memory.nn.SSM.from_exponential_sum` makes a layer of ``.fit``.

    Raises
    ------
    ValueError, TypeError
        For fewer than two samples, NaN, a kernel of zeros, lags that are not even, an error that is not
        between 0 and 1, unknown `modes`, noise as large as the kernel, or no tail of pure noise.

    Notes
    -----
    **Which norm.** The optimal Hankel-norm approximation of Adamyan, Arov and Krein (Math. USSR Sb. 15, 1971)
    attains σ_{m+1} of the infinite Hankel matrix, in its operator norm, which no fit on finitely many lags
    measures. So here both sides are in the ℓ2 norm, where the bound is a theorem (Eckart and Young 1936) and
    the error of a fit a sum, at the price that they need not meet; as a rule they do within a per cent.

    **The section is finite.** The answer is about the lags given. Beyond the last one the kernel is unknown,
    and the fit decays; more lags may change the answer.

    **Noise.** Let σ be `noise`. `below` holds with 99 % confidence: the singular values of a section of n
    lags move by about σ √(n log n), which takes about σ √(2 log n) off a bound
    (:mod:`curse_of_memory.theory.exponential_sums.noisy_kernel`). A fit is good once its `limit` is within
    `error`, which holds with 99 %, too, as far as the 2m numbers of a fit enter linearly: that is simulated
    and not proved. But no limit is below some 3 σ n^{1/4} over the norm of the kernel. Where that is above
    `error`, ``above`` is None, and ``states`` is the least number whose residual noise alone explains: with
    more one would fit noise. If `noise` is given too large, there may be too few states, if too small, more
    than the kernel has. Fewer lags, averages of repeated measurements or a larger `error` help.

    **Cost.** About a second for some hundred lags and few states, ten for sixteen; up to a minute and 0.6 GB
    for a hundred thousand lags.

    Examples
    --------
    >>> t = np.arange(200)
    >>> needed = states_needed(np.exp(-0.02 * t) * np.cos(0.3 * t), error=0.01)
    >>> needed.states, needed.is_least
    (2, True)
    >>> print(states_needed((1 + 0.1 * t) ** -1.1))
    3 states match the kernel within 1 %, and fewer are proved to be too few: the fit is off by 0.52 %.
    """
    values, dt = lagged("kernel", kernel, dt)
    if not 0 < (asked := checks.real("error", error)) < 1:
        raise ValueError(f"error must lie between 0 and 1, got {error!r}")
    checks.one_of("modes", modes, MODES)
    most = checks.positive_int("most", most)
    if values.size < 2:
        raise ValueError(f"kernel must have at least 2 lags, got {values.size}")
    if not values.any():
        raise ValueError("kernel must not be zero at every lag: any error is infinite relative to that")
    search = _Search(values, dt, _noise(kernel, values, noise), asked, modes, min(most, values.size // 2))
    return search.answer()


def _noise(kernel: object, values: np.ndarray, noise: float | str | None) -> float:
    """Return the standard deviation of the noise that is given, labelled, or found in the tail."""
    if noise is None:
        attributes = kernel.attrs if isinstance(kernel, xr.DataArray) else {}
        return checks.non_negative("noise_floor of kernel", attributes.get("noise_floor", 0.0))
    if not isinstance(noise, str):
        return checks.non_negative("noise", noise)
    checks.one_of("noise", noise, ["tail"])
    unit = float(np.abs(values).max())
    if not (level := unit * own_floor(np.abs(values) / unit)):
        raise ValueError("noise must be a number: no tail of the kernel is nothing but noise")
    return level


class _Search:
    """The search for the least number of states: what is fitted, and what is proved."""

    def __init__(self, values: np.ndarray, dt: float, noise: float, asked: float, modes: str, most: int):
        self.values, self.dt, self.noise = values, dt, noise
        self.asked, self.modes, self.most = asked, modes, most
        # powers of two: nothing is rounded, and squares do not overflow
        exponent = int(np.frexp(np.abs(values).max())[1])
        self.kernel = NoisyKernel(np.ldexp(values, -exponent), math.ldexp(noise, -exponent))

    def answer(self) -> StatesNeeded:
        """Return the answer."""
        least = max(0, int((self.kernel.bounds > self.asked).sum()) - 1)  # proved by sections alone
        fits, above, states = [], None, None
        for fits in self.fits(min(least + 1, self.most)):
            rest = fits[least:]
            shown = [fit.rates.size for fit in rest if self.kernel.errors(fit)[1] <= self.asked]
            explained = [fit.rates.size for fit in rest if self.kernel.explains(fit, self.asked)]
            above = min(shown, default=None)
            states = above or min(explained, default=None)
            # a state more may bring the limit down, where noise allows it
            in_vain = states and (self.kernel.resolution(states) > self.asked or len(fits) > states)
            if above or in_vain:
                break
        fit = fits[-1] if states is None else fits[states - 1]
        error, limit = self.kernel.errors(fit)
        return StatesNeeded(
            states=states,
            below=self.below(least, len(fits) if states is None else states - 1),
            above=above,
            error=error,
            limit=limit,
            asked=self.asked,
            noise=self.noise,
            fit=fit,
            fits=tuple(fits),
            kernel=self.kernel,
        )

    def fits(self, terms: int) -> Iterator[list[ExponentialFit]]:
        """Yield fits of 1, 2, ... states, first up to `terms`, then up to more and more."""
        extra = 1
        while True:
            yield fit_exponential_sums(self.values, terms, dt=self.dt, modes=self.modes)
            if terms >= self.most:
                return
            terms, extra = min(terms + extra, self.most), 2 * extra

    def below(self, least: int, top: int) -> int:
        """Return the most states up to `top` that are proved too few; `least` are known to be."""
        if top <= least or self.kernel.bound(top) > self.asked:
            return max(least, top)
        low, high = least, top
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self.kernel.bound(middle) > self.asked else (low, middle)
        return low
