"""Least squares over the rates of exponentials alone: variable projection (Golub & Pereyra 1973).

Σ cᵢ e^{−λᵢ t} is linear in c, so the best c is eliminated and only λ is searched.
"""

from typing import Generic, TypeVar

import numpy as np
from scipy.optimize import leastsq

from curse_of_memory.theory.exponential_sums.modes import Family
from curse_of_memory.theory.exponential_sums.samples import Samples

__all__ = ["WEAKEST", "Projection"]

# A direction of the basis this much weaker than the strongest fits little, and at the price of huge
# coefficients of opposite sign whose rounding errors (1e-16/1e-10 of what they fit) would show.
WEAKEST = 1e-10
_STOP = 1e-12  # relative changes of residual and parameters at which a search ends
_APART = 1e-300  # a derivative that is smaller than all others, and not zero
_Modes = TypeVar("_Modes", bound=Family)


class Projection(Generic[_Modes]):
    """The relative weighted residual under the best coefficients, as a function of θ alone.

    Parameters
    ----------
    family : Family
        The modes, at the lags of `samples`.
    samples : Samples
        What is fitted.
    ridge : float
        Sum over the squares of the coefficients, times the square of this, added to the squared residual.
    weakest : float
        Directions of the basis weaker than this, relative to the strongest, are left out.
    """

    def __init__(self, family: _Modes, samples: Samples, ridge: float = 0.0, weakest: float = WEAKEST):
        self.family, self.samples, self.ridge, self.weakest = family, samples, ridge, weakest
        self._theta = np.full(1, np.nan)
        self._solved = np.empty((0, 0)), np.empty((0, 0))

    def _solve(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return an orthonormal basis Q of the range of the basis Φ, and B with Φ⁺ = B Qᵀ."""
        # residual and Jacobian are asked for at the same point, one after the other
        if not np.array_equal(theta, self._theta):
            basis = self._extended(self.samples.weighed(self.family.basis(theta)), np.eye(theta.size))
            left, sizes, right = np.linalg.svd(basis, full_matrices=False)
            keep = sizes > self.weakest * sizes[0]
            self._theta, self._solved = theta.copy(), (left[:, keep], right[keep].T / sizes[keep])
        return self._solved

    def _extended(self, weighed, coefficients):
        """Return rows of the residual, and below them those of the ridge if there is one."""
        return np.concatenate([weighed, self.ridge * coefficients]) if self.ridge else weighed

    def _target(self, parameters):
        return self._extended(self.samples.y, np.zeros(parameters))

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """Return √w (ρ − ρ̂) over the norm of √w ρ."""
        Q, _ = self._solve(theta)
        y = self._target(theta.size)
        return y - Q @ (Q.T @ y)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Return the derivative of :meth:`residual`, shape (n, parameters)."""
        Q, B = self._solve(theta)
        y = self._target(theta.size)
        fitted = Q.T @ y
        left = y - Q @ fitted
        c = B @ fitted
        moved, turned = np.empty((y.size, theta.size)), np.empty((Q.shape[1], theta.size))
        # d(P⊥ y) = −P⊥ dΦ c − (P⊥ dΦ Φ⁺)ᵀ y, where dΦ has the few columns that one parameter moves
        for i, (columns, slope) in enumerate(self.family.slopes(theta)):
            slope = self.samples.weighed(slope)
            slope = self._extended(slope, np.zeros((theta.size, slope.shape[1])))
            moved[:, i] = slope @ c[columns]
            turned[:, i] = B[columns].T @ (slope.T @ left)
        return Q @ (Q.T @ moved) - moved - Q @ turned

    def search(self, start: np.ndarray, evaluations: int = 400) -> tuple[np.ndarray, float]:
        """Return the θ of least error reached from `start` in so many evaluations, and that error.

        MINPACK in scipy 1.17 reads one number beyond the Jacobian when it takes the norm of the last column
        again, so that the last digits change from call to call. One more parameter, which moves one more
        residual by next to nothing and nothing else, stays the last column, and its norm is taken but once.
        """
        count = start.size

        def residual(theta: np.ndarray) -> np.ndarray:
            return np.append(self.residual(theta[:count]), 0.0)

        def jacobian(theta: np.ndarray) -> np.ndarray:
            slopes = self.jacobian(theta[:count])
            whole = np.zeros((len(slopes) + 1, count + 1))
            whole[:-1, :-1], whole[-1, -1] = slopes, _APART
            return whole

        # the covariance that is returned with it overflows where parameters do nothing
        with np.errstate(over="ignore", invalid="ignore"):
            minimum, *_ = leastsq(
                residual,
                np.append(start, 0.0),
                Dfun=jacobian,
                full_output=True,
                maxfev=evaluations,
                diag=np.ones(count + 1),
                ftol=_STOP,
                xtol=_STOP,
                gtol=_STOP,
            )
        theta = self.family.clipped(minimum[:count])
        return theta, self.error(theta)

    def error(self, theta: np.ndarray) -> float:
        """Return the relative error of the sum as evaluated in float64, rounded coefficients included."""
        Q, B = self._solve(theta)
        fitted = self.family.basis(theta) @ (B @ (Q.T @ self._target(theta.size)))
        return float(np.linalg.norm(self.samples.y - self.samples.weighed(fitted[:, None])[:, 0]))
