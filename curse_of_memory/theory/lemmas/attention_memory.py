"""Causal softmax attention of white inputs as a target: its limit, and expected errors of predictors.

Attention answers white inputs x_j = σ ξ_j, the present x and n − 1 past ones, with y = Σ_j p_j v_j, where
p = softmax_j(q·k_j/√d), and q is an affine map of x, k_j and v_j are affine maps of x_j.

Limit.      But for a constant, scores are θ·ξ_j with θ = σ Kᵀq/√d: y is a mean over the inputs, weighed by
            w = e^{θ·ξ − |θ|²/2}. The normal law so weighed is N(θ, 1): given many, attention forgets them,

                y → σ V θ(x) + b_v,     affine in the present; without projections σ² x/√d.

Rate.       Left are fluctuations of a finite sample: given x, E|y − limit|² is e^{|θ|²} σ² tr V(1 + θθᵀ)Vᵀ/n.
            The mean over x of this is infinite if θ has a variance s² ≥ 1/2 in some direction. Single past
            inputs z then decide, those with s a z − s² a²/2 = log n for a of the present, and

                E|y − limit|² = n^{−γ + o(1)},     γ = (√(1 + 4/s²) − 1)/2;     one channel: s = 1, γ = 0.618…

Exactly.    The present has a weight e^ω, too: y − limit = σV[p₀(ξ₀ − θ) + Σ p_j(ξ_j − θ)]. Past inputs are
            independent. With 1/D = ∫ e^{−tD} dt and 1/D² = ∫ t e^{−tD} dt for the sum D of all weights, every
            moment is an integral over t of products of moments of one input, for any n.

Memory.     Functions of different past inputs are uncorrelated, as are Hermite polynomials h_p of different
            degree. Of all f₀(x) + Σ_j f(x, x_j) with f of degree P in the past x_j, the best has the error

                E Var(y | x) − (n − 1) Σ_{1 ≤ p ≤ P} E|E[y h_p(ξ_j) | x]|².

            Degree 1 takes a sum of past inputs, which a linear layer holds. Degree 2 takes one of squares: a
            nonlinear map before the memory, and so a second layer. Any f at all is called additive.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import eval_hermitenorm, gamma
from scipy.stats import norm, qmc

from curse_of_memory.tools import checks

__all__ = ["Present", "errors_given", "expected_errors", "golden_law", "no_projection", "presents"]

TILE, EDGE = 0.1, 9.0  # of grids over a normal law, in standard deviations
LOG_TILE, BELOW, ABOVE = 0.3, 50.0, 10.0  # of the grid over log t
LARGEST_VARIANCE = 2.0  # of inputs for which these grids do
PRESENTS = 512  # that expected errors are averaged over if there are several channels


class Present(NamedTuple):
    """What a present input x determines of the answer of attention, in the symbols of this module.

    Attributes
    ----------
    tilt, own : float
        |θ|, and ω, the logarithm of the weight of x itself.
    limit, offset, along : arrays of shape ``(channels,)``
        The limit of y, σV(ξ₀ − θ), and σVθ/|θ|.
    across : float
        The sum of squares of σV in the directions orthogonal to θ.
    """

    tilt: float
    own: float
    limit: np.ndarray
    offset: np.ndarray
    along: np.ndarray
    across: float


def no_projection(channels: int) -> np.ndarray:
    """Return the maps of attention without projections, q = k = v = x."""
    return np.stack([np.eye(channels + 1, channels)] * 3)


def presents(x: np.ndarray, maps: np.ndarray, variance: float = 1.0) -> Iterator[Present]:
    """Yield the :class:`Present` of each input in `x`.

    Parameters
    ----------
    x : array of shape ``(inputs, channels)``
        Present inputs.
    maps : array of shape ``(3, channels + 1, channels)``
        Q, K and V, by which a row of inputs is multiplied, each with its bias as the last row.
    variance : float
        σ², of the inputs.
    """
    Q, K, V = maps
    sigma = math.sqrt(variance)
    thetas = sigma / math.sqrt(x.shape[1]) * (x @ Q[:-1] + Q[-1]) @ K[:-1].T
    squares = variance * np.sum(V[:-1] ** 2)
    for xi, theta in zip(x / sigma, thetas, strict=True):
        tilt = float(np.linalg.norm(theta))
        limit, offset, along = (sigma * v @ V[:-1] for v in (theta, xi - theta, theta / tilt))
        yield Present(tilt, theta @ xi - tilt**2 / 2, limit + V[-1], offset, along, squares - along @ along)


def expected_errors(
    steps: Sequence[int], maps: np.ndarray, *, variance: float = 1.0, degrees: int = 3, seed: int = 0
) -> pd.DataFrame:
    """Return the least mean squared error per channel of each family of predictors, from integrals.

    Parameters
    ----------
    steps : sequence of int
        n, the numbers of inputs so far, the present among them.
    maps : array of shape ``(3, channels + 1, channels)``
        Q, K and V as in :func:`presents`, of one head.
    variance : float
        σ², of the inputs; at most 2.
    degrees : int
        The largest degree P.
    seed : int
        Of the presents to average over if there are several channels; for one this is an integral, too.

    Returns
    -------
    DataFrame
        Columns ``step, constant, limit, memoryless, degree 1, …, additive``.

    Raises
    ------
    ValueError
        For a larger variance, a step below one, or maps of another shape.

    Examples
    --------
    >>> expected_errors([2], no_projection(1), degrees=1).round(4).to_dict("records")
    [{'step': 2, 'constant': 1.0, 'limit': 0.141, 'memoryless': 0.1323, 'degree 1': 0.0213, 'additive': 0.0}]
    """
    if checks.positive("variance", variance) > LARGEST_VARIANCE:
        raise ValueError(f"variance must be at most {LARGEST_VARIANCE:g}, got {variance!r}")
    maps = checks.finite_array("maps", maps, ndim=3)
    channels = maps.shape[2]
    if maps.shape != (3, channels + 1, channels):
        raise ValueError(f"maps must have shape (3, channels + 1, channels), got {maps.shape}")
    if channels == 1:
        xi = np.arange(TILE / 2 - EDGE, EDGE, TILE)[:, None]
        chance = TILE * norm.pdf(xi[:, 0])
    else:
        # the stubs know only the newer name of this argument, `rng`; scipy takes either
        normal = qmc.MultivariateNormalQMC(np.zeros(channels), seed=seed)  # pyright: ignore[reportCallIssue]
        xi = normal.random(PRESENTS)
        chance = np.full(PRESENTS, 1 / PRESENTS)
    past = np.array([checks.positive_int("steps", n) - 1.0 for n in steps])
    given = [errors_given(x, past, degrees) for x in presents(math.sqrt(variance) * xi, maps, variance)]
    errors, means = (np.tensordot(chance, np.stack(values), 1) for values in zip(*given, strict=True))
    between = np.tensordot(chance, [((mean - means) ** 2).sum(-1) for _, mean in given], 1)
    names = ["limit", "memoryless", *(f"degree {p}" for p in range(1, degrees + 1)), "additive"]
    table = pd.DataFrame(errors / channels, columns=names)
    table.insert(0, "constant", between / channels + table["memoryless"])
    table.insert(0, "step", list(steps))
    return table


def errors_given(x: Present, past: np.ndarray, degrees: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the errors of all predictors, and E[y | x], given the present, for each number of past inputs.

    Parameters
    ----------
    x : Present
        What the present input determines.
    past : array
        Numbers of past inputs.
    degrees : int
        The largest degree P.

    Returns
    -------
    tuple of arrays
        Errors summed over channels, ``(numbers, degrees + 3)``: limit, memoryless, degrees 1 … P,
        additive; and means ``(numbers, channels)``.
    """
    t = np.exp(np.arange(-BELOW - math.log(past.max() + 1), ABOVE, LOG_TILE))
    z = np.arange(-EDGE, EDGE + 2 * x.tilt, TILE)  # ξ along θ, up to where its law weighed twice is, 2|θ|
    # weights above e³⁰⁰ would overflow; e^{−tw} is zero there for all t
    chance, w = TILE * norm.pdf(z), np.exp(np.minimum(x.tilt * z - x.tilt**2 / 2, 300.0))
    pull, stays, gone = w * (z - x.tilt), np.exp(-np.outer(t, w)), -np.expm1(-np.outer(t, w))
    log_one = np.log1p(-np.minimum(gone @ chance, 1 - 1e-16))
    first = -gone @ (chance * pull)  # as E pull = 0, and without its cancellation
    second, square = stays @ (chance * pull**2), stays @ (chance * w**2)
    m, own = past[:, None], math.exp(x.own)

    def all_but(k: int) -> np.ndarray:
        """Return dt e^{−t e^ω} times E e^{−tw} of all past inputs but k."""
        return (m >= k) * np.exp(np.maximum(m - k, 0) * log_one - t * own) * t * LOG_TILE

    means = np.stack([own * all_but(0).sum(1), (m * first * all_but(1)).sum(1)])
    mixed = own * (t * m * first * all_but(1)).sum(1)
    squares = m * second * all_but(1) + m * (m - 1) * first**2 * all_but(2)
    moments = np.array([[own**2 * (t * all_but(0)).sum(1), mixed], [mixed, (t * squares).sum(1)]])
    # given one of the past inputs: the mean of 1/D, and with it those of p₀ and of the sum along θ
    inverse = all_but(1) @ stays
    known = np.stack([own * inverse, pull * inverse + ((m - 1) * first * all_but(2)) @ stays])
    degree = np.arange(degrees + 1)
    hermite = eval_hermitenorm(degree, z[:, None]) / np.sqrt(gamma(degree + 1)) * chance[:, None]
    shares, shares_across = known @ hermite, (w * inverse) @ hermite

    vectors = np.stack([x.offset, x.along])
    form, mean = vectors @ vectors.T, means.T @ vectors
    limit = np.einsum("ij,ijn->n", form, moments) + x.across * (t * m * square * all_but(1)).sum(1)
    memoryless = limit - (mean**2).sum(1)
    # ξ across θ is of degree 1 by itself
    gains = np.einsum("ij,inp,jnp->np", form, shares, shares)[:, 1:] + x.across * shares_across[:, :-1] ** 2
    polynomial = memoryless[:, None] - m * np.cumsum(gains, 1)
    known -= shares[..., :1]
    gain = np.einsum("ij,inz,jnz,z->n", form, known, known, chance) + x.across * (w * inverse) ** 2 @ chance
    return np.column_stack([limit, memoryless, polynomial, memoryless - past * gain]), x.limit + mean


def golden_law(n: ArrayLike) -> np.ndarray:
    """Return C √(log n) n^{1−φ}, φ = (1 + √5)/2, which E(y − x)² of one channel approaches as n grows.

    That is n E[(z − a)²/(1 + n e^{a²/2 − az})²], of the one past input z that rivals all others. The largest
    eigenvalue of the form az − a²/2 is μ = (√5 − 1)/4 = 1/(2φ): the chance that it exceeds log n is n^{−φ}.

    Parameters
    ----------
    n : array_like
        Numbers of inputs, at least 1.
    """
    phi = (1 + math.sqrt(5)) / 2
    C = (1 - phi) * math.pi / math.sin(math.pi * phi) * (1 - 1 / phi) ** 2 / (1 + phi**-2) * (2 * phi) ** 1.5
    return C / math.sqrt(2 * math.pi * (1 + phi**2)) * np.sqrt(np.log(n)) * np.asarray(n, float) ** (1 - phi)
