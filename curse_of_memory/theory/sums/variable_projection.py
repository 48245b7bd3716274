"""Least squares over the rates of exponentials alone: variable projection (Golub & Pereyra 1973).

Σ cᵢ e^{−λᵢ t} is linear in c, so the best c is eliminated and only λ is searched.
"""

import numpy as np
from scipy.optimize import least_squares

from curse_of_memory.theory.sums.modes import Family

__all__ = ["WEAKEST", "Projection"]

# A direction of the basis this much weaker than the strongest fits little, and at the price of huge
# coefficients of opposite sign whose rounding errors (1e-16/1e-10 of what they fit) would show.
WEAKEST = 1e-10
_STOP = {"ftol": 1e-12, "xtol": 1e-12, "gtol": 1e-12}


class Projection:
    """The relative weighted residual under the best coefficients, as a function of θ alone.

    Parameters
    ----------
    family : Family
        The modes.
    root_weight : numpy.ndarray, shape (n,)
        √w_s >= 0.
    values : numpy.ndarray, shape (n,)
        ρ_s.

    Raises
    ------
    ValueError
        If the values vanish wherever there is weight.
    """

    def __init__(self, family: Family, root_weight: np.ndarray, values: np.ndarray):
        self.family, self.root_weight = family, root_weight
        self.scale = np.linalg.norm(root_weight * values)
        if self.scale == 0:
            raise ValueError("values must not be zero at every lag with weight")
        self.y = root_weight * values / self.scale
        self._theta, self._solved = None, None

    def _solve(self, theta):
        """Return an orthonormal basis Q of the range of the basis Φ, and B with Φ⁺ = B Qᵀ."""
        # residual and Jacobian are asked for at the same point, one after the other
        if not np.array_equal(theta, self._theta):
            left, sizes, right = np.linalg.svd(
                self.root_weight[:, None] * self.family.basis(theta), full_matrices=False
            )
            keep = sizes > WEAKEST * sizes[0]
            self._theta, self._solved = theta.copy(), (left[:, keep], right[keep].T / sizes[keep])
        return self._solved

    def amplitudes(self, theta: np.ndarray) -> np.ndarray:
        """Return the best coefficients of the columns of the basis."""
        Q, B = self._solve(theta)
        return self.scale * (B @ (Q.T @ self.y))

    def residual(self, theta: np.ndarray) -> np.ndarray:
        """Return √w (ρ − ρ̂) over the norm of √w ρ."""
        Q, _ = self._solve(theta)
        return self.y - Q @ (Q.T @ self.y)

    def jacobian(self, theta: np.ndarray) -> np.ndarray:
        """Return the derivative of :meth:`residual`, shape (n, parameters)."""
        Q, B = self._solve(theta)
        fitted = Q.T @ self.y
        left = self.y - Q @ fitted
        c = B @ fitted
        moved, turned = np.empty((self.y.size, theta.size)), np.empty((Q.shape[1], theta.size))
        # d(P⊥ y) = −P⊥ dΦ c − (P⊥ dΦ Φ⁺)ᵀ y, where dΦ has the few columns that one parameter moves
        for i, (columns, slope) in enumerate(self.family.slopes(theta)):
            slope = self.root_weight[:, None] * slope
            moved[:, i] = slope @ c[columns]
            turned[:, i] = B[columns].T @ (slope.T @ left)
        return Q @ (Q.T @ moved) - moved - Q @ turned

    def search(self, start: np.ndarray, evaluations: int = 400) -> tuple[np.ndarray, float]:
        """Return the local minimum below `start`, or what `evaluations` lead to, and the error there."""
        found = least_squares(
            self.residual, start, self.jacobian, method="lm", max_nfev=evaluations, **_STOP
        ).x
        theta = self.family.clipped(found)
        return theta, self.error(theta)

    def error(self, theta: np.ndarray) -> float:
        """Return the error of the sum as it is evaluated, with the rounding of its coefficients."""
        fitted = self.root_weight * (self.family.basis(theta) @ (self.amplitudes(theta) / self.scale))
        return float(np.linalg.norm(self.y - fitted))
