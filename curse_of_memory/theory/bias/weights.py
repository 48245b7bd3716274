"""Weights w(t) on errors with their memory biases b(s), and the exact weighted error of a linear memory.

A weight w > 0 on the error at time t in (0, T] weighs the memory at lag s by b(s) = ∫_s^T w(r) dr
(INTEREST (2307.11462), Theorem 3.3): it decreases strictly, so every such error prefers short memory.

>>> flat, late = power(0), power(2)
>>> flat.head_tail_ratio(64), round(late.head_tail_ratio(64), 3)
(64.0, 21.836)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import sympy
from numpy.typing import ArrayLike
from scipy import special

from curse_of_memory.theory.bias.memory_bias import Bias, T, s, steps, t
from curse_of_memory.theory.formulas import compiled, exact, in_symbol, values_like
from curse_of_memory.theory.targets.lagged import lag_step
from curse_of_memory.theory.targets.units import power_of_two
from curse_of_memory.tools import checks

__all__ = [
    "INPUTS",
    "Bias",
    "T",
    "exponential",
    "from_callable",
    "from_formula",
    "power",
    "s",
    "t",
    "weighted_error",
]

INPUTS = ("white", "random_walk")
"""The input processes whose expected error is known exactly."""


@dataclass(frozen=True)
class _Power(Bias):
    p: float

    def _weight(self, t):
        with np.errstate(over="ignore"):
            return t**self.p

    def _relative_weight(self, t):
        return (t / (t[-1] if self.p >= 0 else t[0])) ** self.p

    def _integral(self, s, T):
        # r^p dr is largest at T for p > −1 and at s for p < −1; the factor r^p may overflow where the result
        # does not, so its root is multiplied twice
        base = np.full(s.shape, T) if self.p > -1 else s
        with np.errstate(over="ignore", divide="ignore"):
            half = base ** (self.p / 2)
            return half * (base * self._scaled(s, T)) * half

    def _relative_integral(self, s, T):
        scaled = self._scaled(s, T)
        return scaled if self.p > -1 else (s / s.min()) ** (self.p + 1) * scaled

    def _scaled(self, s, T):
        """Return b(s) over T^{p+1}, or for p < −1 over s^{p+1}: (1 − (s/T)^{|p+1|})/|p+1|, or log(T/s)."""
        q = self.p + 1
        if q <= 0 and s.min() == 0:
            raise ValueError(f"b(0) = ∫_0^T t^p dt diverges for p = {self.p:g} <= -1; ask for s > 0")
        near = s > T / 2
        with np.errstate(divide="ignore"):
            # log(s/T) by the formula that keeps its digits
            log_ratio = np.where(near, np.log1p(np.where(near, (s - T) / T, 0.0)), np.log(s / T))
        finite = np.where(s > 0, log_ratio, -1.0)
        return np.where(s > 0, -finite * special.exprel(abs(q) * finite), 1 / q if q else math.inf)


@dataclass(frozen=True)
class _LastStep(Bias):
    """The limit of (t/T)^p as p → ∞."""

    def _weight(self, t):
        raise ValueError("w at p = inf is the limit of (t/T)^p, which needs T: ask for weights(horizon)")

    def _relative_weight(self, t):
        return np.where(t == t[-1], 1.0, 0.0)

    def weights(self, horizon, dt=1.0, unit_mean=False):
        relative = self._relative_weight(steps(horizon, dt))
        return relative / relative.mean() if unit_mean else relative

    def _integral(self, s, T):
        return np.where(s < T, 1.0, 0.0)

    @property
    def formula(self):
        return sympy.Integer(1)


def power(p: float) -> Bias:
    """w(t) = t^p, the temporally rescaled error (INTEREST (2307.11462)).

    b(s) = (T^{p+1} − s^{p+1})/(p+1), or ln(T/s) for p = −1. The README of the paper's code prints
    w = 1/t^p; the paper and its code use t^p.

    Parameters
    ----------
    p : float
        Any real power; p <= −1 has no continuous bias at s = 0. ``math.inf`` is the limit of
        (t/T)^p: only the last step weighs, and b(s) is 1 for s < T and 0 at T.

    Examples
    --------
    >>> round(float(power(1)(3.0, T=5.0)), 12)  # (25 − 9)/2
    8.0
    >>> power(1).formula
    T**2/2 - s**2/2
    """
    if (p := checks.real("p", p, endless=True)) == math.inf:
        return _LastStep("t^inf", None)
    return _Power(f"t^{p:g}", t ** exact(p), p)


@dataclass(frozen=True)
class _Exponential(Bias):
    rate: float

    def _weight(self, t):
        with np.errstate(over="ignore"):
            return np.exp(self.rate * t)

    def _relative_weight(self, t):
        return np.exp(self.rate * (t - (t[-1] if self.rate >= 0 else t[0])))

    def _integral(self, s, T):
        with np.errstate(over="ignore"):
            half = np.exp(max(self.rate, 0.0) * T / 2)
            return half * self._relative_integral(s, T) * half

    def _relative_integral(self, s, T):
        # growing weights are scaled by their value at T and falling ones by that at 0: neither overflows
        gap = T - s
        return np.exp(min(self.rate, 0.0) * s) * gap * special.exprel(-abs(self.rate) * gap)


def exponential(rate: float) -> Bias:
    """w(t) = e^{rate t}, b(s) = (e^{rate T} − e^{rate s})/rate.

    Parameters
    ----------
    rate : float
        Any real rate, per unit time.

    Examples
    --------
    >>> float(exponential(0.0)(1.0, T=3.0))
    2.0
    """
    rate = checks.real("rate", rate)
    return _Exponential(f"exp({rate:g}t)", sympy.exp(exact(rate) * t), rate)


@dataclass(frozen=True)
class _Opaque(Bias):
    func: Callable[[np.ndarray], ArrayLike]

    def _weight(self, t):
        return _positive(self.func(t), t, self.name)


def from_callable(func: Callable[[np.ndarray], ArrayLike], name: str = "callable") -> Bias:
    """w(t) = func(t), any positive function of time.

    Parameters
    ----------
    func : callable
        Maps an array of times to weights of the same shape.
    name : str
        What legends call it.

    Raises
    ------
    TypeError
        If `func` cannot be called; weights that are not positive raise where they are evaluated.

    Examples
    --------
    >>> from_callable(np.sqrt).head_tail_ratio(64) == power(0.5).head_tail_ratio(64)
    True
    """
    checks.function("func", func)
    return _Opaque(name, None, func)


@dataclass(frozen=True)
class _Formula(Bias):
    def _weight(self, times):
        with np.errstate(over="ignore"):
            return _positive(compiled(self.weight_formula, t)(times), times, self.name)


def from_formula(expr: sympy.Expr | str, name: str | None = None) -> Bias:
    """w(t) = a formula in the one symbol ``t``, a sympy expression or its text, positive for t > 0.

    Parameters
    ----------
    expr : sympy.Expr or str
        The formula.
    name : str, optional
        What legends call it; the formula unless given.

    Raises
    ------
    ValueError
        If `expr` has another symbol, or sympy knows that it is not positive; other weights that are not
        positive raise where they are evaluated.

    Examples
    --------
    >>> from_formula("1 + t").formula
    T**2/2 + T - s**2/2 - s
    """
    formula = in_symbol(expr, t)
    if formula.is_positive is False:
        raise ValueError(f"expr must be positive for t > 0, got {formula}")
    return _Formula(name or str(formula), formula)


def weighted_error(
    rho: ArrayLike,
    rho_hat: ArrayLike,
    b: Bias | ArrayLike,
    *,
    inputs: str = "white",
    variance: float = 1.0,
    dt: float | None = None,
    unit_mean: bool = False,
) -> np.ndarray:
    """Return the expected weighted mean-square error of a linear memory ρ̂ for a target ρ, exactly.

    For y_k = dt Σ_{j<=k} ρ_j x_{k−j}, k = 0..T−1, and the weight w at time (k+1) dt,

        E[(1/T) Σ_k w_k |y_k − ŷ_k|²] = variance dt (1/T) Σ_s b_s (ρ_s − ρ̂_s)²,  b_s = dt Σ_{k>=s} w_k,

    for white inputs. For a random walk x_k = Σ_{r<=k} ξ_r the kernels in it are cumulated,
    R_s = Σ_{j<=s} ρ_j, since y_k = dt Σ_i R_i ξ_{k−i}.

    Parameters
    ----------
    rho, rho_hat : array_like, shape (..., T)
        Target and model kernels at the lags 0, dt, ...; leading axes broadcast.
    b : Bias or array_like, shape (T,)
        The bias, or its discrete values b_s.
    inputs : {"white", "random_walk"}
        What x is.
    variance : float
        Of one x_k, or of one increment ξ_r (a Brownian path has `dt` here).
    dt : float, optional
        Time step; that of the lags unless given, 1 without labels.
    unit_mean : bool
        Rescale the weights to mean 1, as the weighted losses do.

    Returns
    -------
    numpy.ndarray
        Errors, shaped like the broadcast kernels without the last axis.

    Raises
    ------
    ValueError
        If lengths differ, a value is not finite, an array b is negative or increases, or lags are not even
        or contradict each other or `dt`.
    OverflowError
        If the error exceeds double precision; kernels and weights of any size are taken.

    Examples
    --------
    >>> float(weighted_error([1.0, 0.5], [1.0, 0.0], power(0)))  # b = 2, 1
    0.125
    """
    dt = lag_step({"rho": rho, "rho_hat": rho_hat, "b": b}, dt)
    rho, rho_hat = checks.finite_array("rho", rho), checks.finite_array("rho_hat", rho_hat)
    if not rho.ndim or rho_hat.shape[-1:] != rho.shape[-1:]:
        raise ValueError(f"rho_hat must have the lags of rho, got shapes {rho_hat.shape} and {rho.shape}")
    horizon = rho.shape[-1]
    checks.one_of("inputs", inputs, INPUTS)
    variance = checks.non_negative("variance", variance)
    sums = _discrete_bias(b, horizon, dt, unit_mean)
    # in units of powers of two nothing overflows, and no digit changes
    unit = power_of_two(max(np.abs(rho).max(), np.abs(rho_hat).max()))
    difference = rho / unit - rho_hat / unit
    if inputs == "random_walk":
        difference = np.cumsum(difference, axis=-1)
    size, top = power_of_two(np.abs(difference).max()), power_of_two(sums.max())
    # the mean weight is b_0/(T dt), so that weights of mean 1 have b_0 = T dt
    factors = (variance, dt, dt if unit_mean else 1 / horizon, unit, unit, size, size, top)
    return _product((difference / size) ** 2 @ (sums / top), factors)[()]


def _discrete_bias(b: Bias | ArrayLike, horizon: int, dt: float, unit_mean: bool) -> np.ndarray:
    """Return the checked b_s of a bias or of its values, with b_0 = 1 for weights that are rescaled."""
    if isinstance(b, Bias):
        return b.discrete(horizon, dt, normalize="head" if unit_mean else None)
    sums = checks.finite_array("b", b, ndim=1)
    if sums.size != horizon:
        raise ValueError(f"b must have {horizon} lags as rho has, got {sums.size}")
    if sums[0] <= 0 or sums[-1] < 0 or (np.diff(sums) > 0).any():
        raise ValueError("b must be positive and must not increase: it sums positive weights")
    return sums / sums[0] if unit_mean else sums


def _product(values: np.ndarray, factors: Sequence[float]) -> np.ndarray:
    """Return values times all factors, of which no two alone may be multiplied: their product may overflow.

    Raises
    ------
    OverflowError
        If the result exceeds double precision.
    """
    mantissas, powers = zip(*(math.frexp(factor) for factor in factors), strict=True)
    with np.errstate(over="ignore"):
        product = np.ldexp(values * math.prod(mantissas), sum(powers))
    if not np.isfinite(product).all():
        raise OverflowError(
            "the weighted error exceeds double precision: give rho and rho_hat in another unit"
        )
    return product


def _positive(weights: ArrayLike, t: np.ndarray, name: str) -> np.ndarray:
    weights = values_like(t, weights, f"w = {name}")
    bad = weights <= 0
    if bad.any():
        raise ValueError(f"w = {name} must be positive, but w({t[bad][0]:g}) = {weights[bad][0]:g}")
    return weights
