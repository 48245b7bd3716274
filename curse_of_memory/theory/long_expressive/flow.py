"""The differential equation that Long Expressive Memory steps, and how far off its steps are.

Equation.   z˙ = σ̂(W₁ y + V₁ u + b₁) ⊙ (tanh(W_z y + V_z u + b_z) − z) = f(y, z, u) ,
            y˙ = σ̂(W₂ y + V₂ u + b₂) ⊙ (tanh(W_y z + V_y u + b_y) − y) = g(y, z, u) .

            LEM steps z, and then y with the new z, both with the input of the new time. After n steps its
            states are off by Δt (E_y, E_z)(n Δt) + O(Δt²), where E is zero at the start and

                E_z˙ = Df [E_y − y˙/2, E_z − z˙/2, u˙/2] ,        E_y˙ = Dg [E_y − y˙/2, E_z + z˙/2, u˙/2] ,

            D the derivative in a direction of (y, z, u). Signs of the halves are those of what a step takes
            from its beginning (−) and from its end (+).

Proof.      A step from the solution misses it by Δt²(½ f_u u˙ − ½ f_y y˙ − ½ f_z z˙) and
            Δt²(½ g_u u˙ + ½ g_z z˙ − ½ g_y y˙), by Taylor's theorem; 1/Δt such defects per unit time are
            carried on by the linearised equation. Proved here; the form of the ODE is that of the public
            code's step (tk-rusch/LEM), 2110.04744.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import solve_ivp

from curse_of_memory.tools import checks

__all__ = ["Flow", "FlowEnd"]

TINY = 1e-30  # of a complex step, whose derivatives have no rounding


class FlowEnd(NamedTuple):
    """Where a flow ends.

    Attributes
    ----------
    state : numpy.ndarray of shape (2h,)
        y, then z.
    error : numpy.ndarray of shape (2h,)
        E: steps of Δt end at state + Δt · error + O(Δt²).
    """

    state: np.ndarray
    error: np.ndarray


@dataclass(frozen=True)
class Flow:
    """The ODE of one layer of LEM.

    Parameters
    ----------
    W : array_like, shape (4h, h)
        Recurrent weights in blocks of h rows: gate of y, gate of z, goal of z, goal of y.
    V : array_like, shape (4h, m)
        Weights of the input, in the same blocks.
    b : array_like, shape (4h,)
        Biases, in the same blocks.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or a number is not finite.

    Examples
    --------
    >>> flow = Flow(np.zeros((4, 1)), np.zeros((4, 1)), np.zeros(4))  # y˙ = −y/2, z˙ = −z/2
    >>> flow.field(np.array([1.0, 0.5]), np.array([0.0])).tolist()
    [-0.5, -0.25]
    """

    W: np.ndarray
    V: np.ndarray
    b: np.ndarray

    def __post_init__(self):
        W = checks.finite_array("W", self.W, ndim=2)
        V = checks.finite_array("V", self.V, ndim=2)
        b = checks.finite_array("b", self.b, ndim=1)
        if W.shape[0] != 4 * W.shape[1]:
            raise ValueError(f"W must have four blocks of as many rows as columns, got shape {W.shape}")
        if len(V) != len(W):
            raise ValueError(f"V must have as many rows as W, {len(W)}, got {len(V)}")
        if b.shape != (len(W),):
            raise ValueError(f"b must have one value for each row of W, {len(W)}, got {b.size}")
        for name, value in (("W", W), ("V", V), ("b", b)):
            object.__setattr__(self, name, value)

    def field(self, state: np.ndarray, u: np.ndarray) -> np.ndarray:
        """Return (y˙, z˙), shape (2h,).

        Parameters
        ----------
        state : numpy.ndarray, shape (2h,)
            y, then z; complex numbers, too.
        u : numpy.ndarray, shape (m,)
            Input.
        """
        y, z = np.split(state, 2)
        W, drive = np.split(self.W, 4), np.split(self.V @ u + self.b, 4)
        gate_y, gate_z = (1 / (1 + np.exp(-(W[i] @ y + drive[i]))) for i in (0, 1))
        goal_z, goal_y = np.tanh(W[2] @ y + drive[2]), np.tanh(W[3] @ z + drive[3])
        return np.concatenate([gate_y * (goal_y - y), gate_z * (goal_z - z)])

    def end(
        self,
        u: Callable[[float], ArrayLike],
        slope: Callable[[float], ArrayLike],
        duration: float,
        *,
        tolerance: float = 1e-11,
    ) -> FlowEnd:
        """Return where the solution from zero is after a `duration`, and the error E of steps over Δt.

        Parameters
        ----------
        u, slope : callable
            Input and its derivative, each of shape (m,), by time.
        duration : float
            T, in the unit in which Δt is counted.
        tolerance : float
            Relative one of the integrator; the absolute one is a hundredth of it.

        Raises
        ------
        ValueError, TypeError
            If a function cannot be called, or a number is not positive.
        RuntimeError
            If the integrator fails.
        """
        checks.function("u", u)
        checks.function("slope", slope)
        duration, tolerance = checks.positive("duration", duration), checks.positive("tolerance", tolerance)
        size = len(self.W) // 2

        def both(t: float, pair: np.ndarray) -> np.ndarray:
            state, error = np.split(pair, 2)
            x, half = np.asarray(u(t), float), np.asarray(slope(t), float) / 2
            speed = self.field(state, x)
            back = error - speed / 2
            ahead = np.concatenate([back[: size // 2], error[size // 2 :] + speed[size // 2 :] / 2])
            of_z = self._along(state, x, back, half)[size // 2 :]
            of_y = self._along(state, x, ahead, half)[: size // 2]
            return np.concatenate([speed, of_y, of_z])

        solved = solve_ivp(
            both, (0, duration), np.zeros(2 * size), "DOP853", rtol=tolerance, atol=tolerance / 100
        )
        if not solved.success:
            raise RuntimeError(f"the flow could not be integrated: {solved.message}")
        return FlowEnd(*np.split(solved.y[:, -1], 2))

    def _along(self, state: np.ndarray, u: np.ndarray, by: np.ndarray, by_u: np.ndarray) -> np.ndarray:
        """Return the derivative of the field in the direction (`by`, `by_u`), by a complex step."""
        return np.imag(self.field(state + 1j * TINY * by, u + 1j * TINY * by_u)) / TINY
