"""Gram matrices of exponentials, factored to full relative accuracy however close or far the rates are.

On [0, ∞) the functions e^{−λᵢ t} have the Gram matrix 1/(λ̄ᵢ + λⱼ), on the lags 0, dt, 2dt, ... the
matrix 1/(1 − e^{−(λ̄ᵢ + λⱼ) dt}). Both are Cauchy matrices: their Schur complements are products of
Blaschke factors, so that elimination in closed form subtracts nothing but given rates (Demmel 1999).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import lapack

__all__ = ["gram_factor", "singular_values"]

_ANY_SCALING = 2  # dgejsv: look for accuracy under scalings of rows and of columns


def gram_factor(rates: np.ndarray, scale: np.ndarray, dt: float | None = None) -> np.ndarray:
    """Return a factor R, shape (r, m), of the Gram matrix Rᴴ R of the functions scaleᵢ e^{−λᵢ t}.

    Rows fall in size, with complete pivoting, and R is accurate entry by entry.

    Parameters
    ----------
    rates : numpy.ndarray, shape (m,)
        λᵢ with positive real parts.
    scale : numpy.ndarray, shape (m,)
        Positive sizes of the functions.
    dt : float, optional
        On the lags 0, dt, ...; on [0, ∞) unless given.

    Returns
    -------
    numpy.ndarray, shape (r, m)
        r < m where rates coincide.

    Examples
    --------
    >>> R = gram_factor(np.array([1.0, 3.0]), np.ones(2))
    >>> (R.T @ R).round(12).tolist()
    [[0.5, 0.25], [0.25, 0.166666666667]]
    """
    sums = rates.conj()[:, None] + rates
    schur = 1 / sums if dt is None else -1 / np.expm1(-sums * dt)
    schur = scale[:, None] * schur * scale
    rows = []
    for _ in range(rates.size):
        k = int(np.argmax(schur.diagonal().real))
        pivot = schur[k, k].real
        if pivot <= 0:
            break
        rows.append(schur[k] / np.sqrt(pivot))
        if dt is None:
            factor = (rates - rates[k]) / (rates + rates[k].conj())
        else:
            factor = np.sinh((rates - rates[k]) * dt / 2) / np.sinh((rates + rates[k].conj()) * dt / 2)
        schur = factor.conj()[:, None] * schur * factor
    return np.array(rows)


def singular_values(matrix: NDArray[np.inexact]) -> np.ndarray:
    """Return the singular values of D₁ X D₂ to high relative accuracy, if X is well conditioned.

    One-sided Jacobi rotations (Drmač & Veselić 2008) where the usual algorithm errs by eps·σ₁.

    Parameters
    ----------
    matrix : numpy.ndarray, shape (n, n)
        Real or complex.

    Returns
    -------
    numpy.ndarray, shape (n,)
        Descending.

    Raises
    ------
    ArithmeticError
        If the rotations do not converge.

    Examples
    --------
    >>> d = 10.0 ** -np.arange(0, 60, 20)
    >>> X = np.array([[2.0, 1.0, 0.5], [1.0, 2.0, 1.0], [0.5, 1.0, 2.0]])
    >>> values = singular_values(d[:, None] * X * d)
    >>> float(values.prod() / (np.linalg.det(X) * 1e-120)).__round__(12)
    1.0
    """
    if np.iscomplexobj(matrix):
        a, b = matrix.real, matrix.imag
        # A + iB as a real matrix has every singular value twice
        return singular_values(np.block([[a, -b], [b, a]]))[::2]
    # the stubs of scipy lack this routine
    sizes, _, _, work, _, info = lapack.dgejsv(  # pyright: ignore[reportAttributeAccessIssue]
        matrix, joba=_ANY_SCALING, jobu=3, jobv=3, jobp=0
    )
    if info != 0:
        raise ArithmeticError(f"the singular values did not converge (dgejsv, info = {info})")
    return sizes * (work[0] / work[1])
