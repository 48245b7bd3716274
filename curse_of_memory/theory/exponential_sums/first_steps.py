"""The first steps of many searches for the best rates, all at once: which of the starts are worth the rest.

From every start θ a few steps of Levenberg and Marquardt, δ = −(JᵀJ + μI)⁻¹ Jᵀr, go down the residual r of
variable projection (Golub & Pereyra 1973), with μ after Nielsen (1999). By itself a start would take several
times as long, nearly all of it the time of numpy's calls.
"""

import numpy as np

from curse_of_memory.theory.exponential_sums.cascades import Cascade
from curse_of_memory.theory.exponential_sums.samples import Samples

__all__ = ["first_steps"]

_DAMPING = 1e-3  # the first μ, over the largest entry of the diagonal of JᵀJ
_LEAST = 1e-12  # the same for all μ: rates that coincide make JᵀJ singular
_SMALL = 1e-14  # relative changes of all rates at which no more steps are taken


def first_steps(
    family: Cascade, samples: Samples, thetas: np.ndarray, evaluations: int, weakest: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the θ reached from each start in so many evaluations, and the relative errors there.

    Parameters
    ----------
    family : Cascade
        The modes, at the lags of `samples`.
    samples : Samples
        What is fitted.
    thetas : numpy.ndarray, shape (k, m)
        The starts.
    evaluations : int
        Of the residual and its derivatives, from every start.
    weakest : float
        Directions of the basis weaker than this, relative to the strongest, are left out.

    Examples
    --------
    >>> samples = Samples(0.5 ** np.arange(20.0), np.ones(20))
    >>> _, errors = first_steps(Cascade(samples.lags), samples, np.log([[1.0], [0.2]]), 8, 1e-13)
    >>> bool((errors < 1e-9).all())
    True
    """
    thetas = _descending(family.clipped(thetas))
    squares, g, H = _descent(family, samples, thetas, weakest)
    damping = _DAMPING * _largest(H)
    factor = np.full(len(thetas), 2.0)
    eye = np.eye(thetas.shape[1])
    for _ in range(evaluations - 1):
        damping = np.maximum(damping, _LEAST * _largest(H))
        step = -np.linalg.solve(H + damping[:, None, None] * eye, g[:, :, None])[:, :, 0]
        if np.abs(step).max() < _SMALL:
            break
        moved = _descending(family.clipped(thetas + step))
        found, g_there, H_there = _descent(family, samples, moved, weakest)
        expected = np.sum(step * (damping[:, None] * step - g), 1)
        gain = (squares - found) / np.where(expected > 0, expected, 1.0)
        better = found < squares
        damping *= np.where(better, np.maximum(1 / 3, 1 - (2 * np.clip(gain, 0, 2) - 1) ** 3), factor)
        factor = np.where(better, 2.0, 2 * factor)
        thetas, squares = np.where(better[:, None], moved, thetas), np.where(better, found, squares)
        g = np.where(better[:, None], g_there, g)
        H = np.where(better[:, None, None], H_there, H)
    return thetas, np.sqrt(squares)


def _largest(H: np.ndarray) -> np.ndarray:
    """Return the largest entry of each diagonal, not zero where no rate moves anything."""
    return np.maximum(H.diagonal(axis1=1, axis2=2).max(1), 1e-200)


def _descending(thetas: np.ndarray) -> np.ndarray:
    """Return each θ with the largest parameter first: the order of exponentials means nothing."""
    return -np.sort(-thetas)


def _descent(
    family: Cascade, samples: Samples, thetas: np.ndarray, weakest: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return |r|², Jᵀr and JᵀJ of the residual under the best coefficients, for several θ."""
    k, m = thetas.shape
    bases, slopes = family.many(thetas)
    slopes = samples.weighed(slopes.reshape(k, -1, m * m)).reshape(k, -1, m, m)
    Q, sizes, turn = np.linalg.svd(samples.weighed(bases), full_matrices=False)
    kept = sizes > weakest * sizes[:, :1]
    Q = Q * kept[:, None, :]
    back = turn.mT / np.where(kept, sizes, np.inf)[:, None, :]  # coefficients of what is along Q
    along = samples.y @ Q
    left = samples.y - (Q @ along[:, :, None])[:, :, 0]
    c = (back @ along[:, :, None])[:, :, 0]
    moved = np.einsum("knpc,kc->knp", slopes, c)
    turned = back.mT @ np.einsum("knpc,kn->kcp", slopes, left)
    J = Q @ (Q.mT @ moved - turned) - moved
    return np.einsum("kn,kn->k", left, left), np.einsum("knp,kn->kp", J, left), J.mT @ J
