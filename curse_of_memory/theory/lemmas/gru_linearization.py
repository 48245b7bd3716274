"""The linear part of a GRU at rest, whose eigenvalues are the rates at which its memory ends."""

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.theory.lemmas.resolvent import square_matrix
from curse_of_memory.tools import checks

__all__ = ["gru_linearization"]


def gru_linearization(U_h: ArrayLike, b_r: ArrayLike, b_z: ArrayLike) -> np.ndarray:
    """Return A = diag(σ(b_z)) (U_h diag(σ(b_r)) − 1), with dh/dt = A h near h = 0.

    For dh/dt = z ∘ (tanh(U_h (r ∘ h) + …) − h) with gates r, z = σ(… + b) and no bias in the tanh; the
    gates' own dependence on h is of second order there. The memory of the GRU decays exponentially if A is
    Hurwitz, at the rate −max Re λ(A); in steps of dt, an eigenvalue μ is the multiplier 1 + dt μ.

    Parameters
    ----------
    U_h : array_like, shape (m, m)
        Recurrent weight of the candidate.
    b_r, b_z : array_like, shape (m,)
        Biases of the reset and the update gate, before the logistic function.

    Returns
    -------
    numpy.ndarray, shape (m, m)
        Per unit time.

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, or a number is not finite.

    Notes
    -----
    "Inverse approximation theory" (2305.19190), appendix J. `torch.nn.GRU` differs twice: its update gate
    is the share that is kept, z_torch = 1 − z, so that b_z = −(b_iz + b_hz); and its reset gate multiplies
    after the matrix, r ∘ (U_h h), so that its linear part is diag(σ(b_z)) (diag(σ(b_r)) U_h − 1) =
    diag(σ(b_r)) A diag(σ(b_r))⁻¹: another matrix with the same eigenvalues. One step of torch is dt = 1.

    Examples
    --------
    >>> gru_linearization([[0.5]], [0.0], [0.0])
    array([[-0.375]])
    """
    U_h = square_matrix("U_h", U_h)
    gates = []
    for name, values in (("b_r", b_r), ("b_z", b_z)):
        bias = checks.finite_array(name, values, ndim=1)
        if bias.size != len(U_h):
            raise ValueError(f"{name} must have one value per unit, {len(U_h)}, got {bias.size}")
        gates.append(0.5 + 0.5 * np.tanh(bias / 2))
    reset, update = gates
    return update[:, None] * (U_h * reset - np.eye(len(U_h)))
