"""Bounds on the states and Jacobians of Long Expressive Memory, its time constants, and how errors add up.

Equation.   One step of LEM, with the logistic function σ̂ and 0 < Δt <= 1:

                g_z = Δt σ̂(W₁ y + V₁ x + b₁) ,        g_y = Δt σ̂(W₂ y + V₂ x + b₂) ,
                z' = (1 − g_z) ⊙ z + g_z ⊙ tanh(W_z y + V_z x + b_z) ,
                y' = (1 − g_y) ⊙ y + g_y ⊙ tanh(W_y z' + V_y x + b_y) .

            Norms are the largest modulus of a vector, and of matrices the largest absolute row sum; η is the
            largest norm of W₁, W₂, W_z, W_y.

Source.     The claims are those of "Long Expressive Memory for Sequence Modeling" (2110.04744); the
            inequalities are proved here, below each function, and hold whatever the paper's constants are.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = [
    "JacobianBounds",
    "accumulated_error",
    "allowed_growth",
    "frozen_gate_error",
    "jacobian_bounds",
    "largest_state",
    "time_constant",
]


class JacobianBounds(NamedTuple):
    """What is proven of J = ∂(y_n, z_n)/∂(y_0, z_0) after n steps.

    Attributes
    ----------
    lower : float
        ‖J v‖ >= lower ‖v‖ for every v; 0 where nothing is proven, for steps Δt(1 + η/2) >= 1.
    norm : float
        ‖J‖ >= norm, which is more than `lower`; 0 where that is.
    upper : float
        ‖J‖ <= upper.
    departure : float
        ‖J − I‖ <= departure.
    """

    lower: float
    norm: float
    upper: float
    departure: float


def largest_state(steps: ArrayLike, dt: float) -> np.ndarray:
    """Return 1 − (1 − Δt)ⁿ, which no component of y_n and z_n exceeds in modulus from a start at zero.

    Parameters
    ----------
    steps : array_like
        n >= 0.
    dt : float
        Δt in (0, 1].

    Returns
    -------
    numpy.ndarray
        Of the shape of `steps`, to full relative precision, however small Δt is.

    Raises
    ------
    ValueError, TypeError
        If steps are negative or no numbers, or dt is not in (0, 1].

    Notes
    -----
    Proof. A step is a mean of the old state and of a number in (−1, 1) that weighs g <= Δt, so that
    1 − |z'| >= (1 − g)(1 − |z|) >= (1 − Δt)(1 − |z|), and likewise for y. By induction
    1 − |z_n| >= (1 − Δt)ⁿ. It is attained in the limit of open gates and saturated goals.

    Examples
    --------
    >>> largest_state([0, 1, 2], 0.5).tolist()
    [0.0, 0.5, 0.75]
    """
    dt = _step(dt)
    n = checks.finite_array("steps", steps)
    if n.min() < 0:
        raise ValueError(f"steps must not be negative, got {n.min():g}")
    if dt == 1:
        return np.where(n > 0, 1.0, 0.0)[()]
    return -np.expm1(n * math.log1p(-dt))[()]


def allowed_growth(eta: float, dt: float) -> float:
    """Return 1.5ηΔt(1 + ηΔt), by which at most the norm of the Jacobian of one step exceeds 1.

    Parameters
    ----------
    eta : float
        η >= 0, the largest absolute row sum of the recurrent weights.
    dt : float
        Δt in (0, 1].

    Raises
    ------
    ValueError, TypeError
        If eta is negative, dt not in (0, 1], or one is no number.

    Notes
    -----
    For states in [−1, 1], where they stay. Proof. Of a perturbation of norm 1, z' takes at most
    (1 − g_z) + ¼Δtη · 2 + g_z η, since σ̂' <= ¼, |tanh − z| <= 2 and tanh' <= 1; this is below 1 + 1.5ηΔt.
    In the same way y' takes at most (1 − g_y) + ½Δtη + g_y η (1 + 1.5ηΔt) <= 1 + 1.5ηΔt + 1.5(ηΔt)².

    Examples
    --------
    >>> allowed_growth(2.0, 0.25)
    1.125
    """
    eta, dt = checks.non_negative("eta", eta), _step(dt)
    return 1.5 * eta * dt * (1 + eta * dt)


def jacobian_bounds(eta: float, dt: float, steps: int) -> JacobianBounds:
    """Return bounds of J = ∂(y_n, z_n)/∂(y_0, z_0) after n steps, for starts in [−1, 1] and all inputs.

    They depend on n Δt nearly alone: for Δt → 0 at n Δt = T, ‖J‖ is from e^{−(1 + η/4)T} to e^{1.5ηT}, and
    in no direction below e^{−(1 + 1.5η)T}. So gradients neither explode nor vanish over a given T, in however
    many steps it is taken; and nothing is proven of many steps of a fixed Δt.

    Parameters
    ----------
    eta : float
        η >= 0, the largest absolute row sum of the recurrent weights.
    dt : float
        Δt in (0, 1].
    steps : int
        n >= 1.

    Raises
    ------
    ValueError, TypeError
        If eta is negative, dt not in (0, 1], steps below 1, or one is no number.

    Notes
    -----
    All are bounds of one step to the power n, since J is a product.

    - *upper*: 1 + :func:`allowed_growth`.
    - *departure*: (1 + Δt(1 + 1.5η(1 + ηΔt)))ⁿ − 1, as a step changes z by g_z z + ½Δtη + g_z η at most, and
      y likewise, with z' in the place of z.
    - *lower*: a step is undone by y = M⁻¹(y' − g_y tanh' W_y z'), M = diag(1 − g_y) + D W₂ with |D| <= Δt/2,
      ‖M v‖ >= (1 − Δt − ½Δtη)‖v‖, then z = (z' − B y)/(1 − g_z) with ‖B‖ <= ½Δtη + g_z η. So its inverse has
      a norm of at most k = (1 + 1.5ηΔt κ)/(1 − Δt) or κ = (1 + ηΔt)/(1 − Δt − ½Δtη), whichever is larger.
    - *norm*: J of one step has the determinant det(1 − g_z) det M, of modulus
      [(1 − Δt)(1 − Δt − ½Δtη)]^h at least; the largest modulus of the 2h eigenvalues of a product, which a
      norm is not below, is no less than the 2h-th root of its determinant.

    Examples
    --------
    >>> few, many = (jacobian_bounds(1.0, 1 / n, n) for n in (100, 10_000))
    >>> round(few.upper, 2), round(many.upper, 2)
    (4.5, 4.48)
    >>> round(few.norm, 2), round(many.norm, 2)
    (0.28, 0.29)
    """
    growth, steps = allowed_growth(eta, dt), checks.positive_int("steps", steps)
    kept, mixed = 1 - dt, 1 - dt * (1 + eta / 2)
    lower = norm = 0.0
    if mixed > 0:
        back = (1 + eta * dt) / mixed
        lower = math.exp(-steps * math.log(max(back, (1 + 1.5 * eta * dt * back) / kept)))
        norm = math.exp(steps / 2 * (math.log(kept) + math.log(mixed)))
    return JacobianBounds(lower, norm, 1 + _compounded(growth, steps), _compounded(dt + growth, steps))


def frozen_gate_error(bias: float, eta: float, steps: int) -> float:
    """Return a bound on |y_n − Y_n|, of a LEM with gates that a bias opens, at Δt = 1, and of tanh alone.

    Y_n = tanh(W_y tanh(W_z Y_{n−1} + …) + …), a network of two layers at each step, is what
    y becomes for b → ∞ when V₁ = V₂ = W₁ = W₂ = 0 and b₁ = b₂ = b. On this rests that LEM approximates
    everything that tanh networks do.

    Parameters
    ----------
    bias : float
        b.
    eta : float
        η >= 0, the largest absolute row sum of W_y and W_z.
    steps : int
        n >= 1, from one start in [−1, 1].

    Raises
    ------
    ValueError, TypeError
        If eta is negative, steps below 1, or one is no number.

    Notes
    -----
    It is 2(1 + η) σ̂(−b) Σ_{k<n} η^{2k}, about e^{−b}. Proof. A gate leaves 1 − g = σ̂(−b) of the old state, so
    that |z' − tanh(…)| <= 2σ̂(−b), and so for y; the map from Y to Y has the Lipschitz constant η², and errors
    add up as in :func:`accumulated_error`.

    Examples
    --------
    >>> f"{frozen_gate_error(20.0, 0.5, 100):.2g}"
    '8.2e-09'
    """
    b, eta = checks.real("bias", bias), checks.non_negative("eta", eta)
    left = float(np.exp(-np.logaddexp(0, b)))
    return accumulated_error(2 * (1 + eta) * left, eta * eta, steps)


def accumulated_error(step_error: float, lipschitz: float, steps: int) -> float:
    """Return ε Σ_{k<n} Lᵏ: how far n steps of two maps part that differ by ε, one of them L-Lipschitz.

    Parameters
    ----------
    step_error : float
        ε >= 0, wherever the other map goes.
    lipschitz : float
        L >= 0, in the same norm.
    steps : int
        n >= 1, from one start.

    Raises
    ------
    ValueError, TypeError
        If a number is negative, steps below 1, or one is no number.

    Notes
    -----
    Proof. |f̂(φ̂) − f(φ)| <= |f̂(φ̂) − f(φ̂)| + |f(φ̂) − f(φ)| <= ε + L|φ̂ − φ|: the discrete lemma of Grönwall.

    Examples
    --------
    >>> round(accumulated_error(0.1, 2.0, 3), 12), accumulated_error(0.1, 1.0, 5)
    (0.7, 0.5)
    """
    error = checks.non_negative("step_error", step_error)
    L, n = checks.non_negative("lipschitz", lipschitz), checks.positive_int("steps", steps)
    if error == 0 or L == 1:
        return n * error
    return error * _compounded(L - 1, n) / (L - 1)


def time_constant(bias: ArrayLike, dt: float) -> np.ndarray:
    """Return −1/ln(1 − Δt σ̂(b)): over how many steps a unit with the constant gate Δt σ̂(b) keeps 1/e.

    From 0 for an open gate at Δt = 1 to infinity: a bias alone sets any time scale.

    Parameters
    ----------
    bias : array_like
        b of the gate, whose other weights are zero.
    dt : float
        Δt in (0, 1].

    Returns
    -------
    numpy.ndarray
        In steps, of the shape of `bias`.

    Raises
    ------
    ValueError, TypeError
        If a bias is no finite number, or dt not in (0, 1].

    Notes
    -----
    Without its goal, a unit is z_n = (1 − Δt σ̂(b))ⁿ z_0.

    Examples
    --------
    >>> time_constant([0.0, -10.0], 1.0).round(2).tolist()
    [1.44, 22026.97]
    """
    dt, b = _step(dt), checks.finite_array("bias", bias)
    gate = dt * np.exp(-np.logaddexp(0, -b))
    # near Δt = 1 an open gate leaves 1 − Δt + Δt σ̂(−b), which 1 − gate would round
    left = (1 - dt) + dt * np.exp(-np.logaddexp(0, b))
    with np.errstate(divide="ignore"):  # a gate of zero keeps for ever
        return (-1 / np.where(gate < 0.5, np.log1p(-np.minimum(gate, 0.5)), np.log(left)))[()]


def _compounded(growth: float, steps: int) -> float:
    """Return (1 + growth)^steps − 1, infinite where no float holds it."""
    if growth <= -1:
        return -1.0
    exponent = steps * math.log1p(growth)
    return math.expm1(exponent) if exponent < 709 else math.inf


def _step(dt: float) -> float:
    if (number := checks.positive("dt", dt)) > 1:
        raise ValueError(f"dt must be in (0, 1], got {dt!r}")
    return number
