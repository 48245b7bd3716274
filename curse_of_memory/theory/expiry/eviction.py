"""What it costs to drop memories from attention: an exact certificate for any rule, bounds for known ones.

Exactly.    Weights w_i with the sum one answer o = Σ w_i v_i. Without a set D of the mass δ = Σ_D w_i, the
            rest scaled to the sum one, the answer is o', and

                o − o' = Σ_D w_i (v_i − o') = δ (v̄_D − o') ,

            with the mean v̄_D of what was dropped. It is lossless for all values iff δ = 0, as for memories
            whose mask is zero; for given values also if v̄_D = o'.

Bounds.     If each kept j has a score above those of all n dropped ones by g_j at least (below, for g_j < 0),
            then δ <= n/(n + Σ_j e^{g_j}), and no bound is smaller. Each rule says other gaps g_j.

Scope.      One answer of one head. Errors of many layers and steps do not add up to this.

Source.     Ours. Rules: windows, StreamingLLM (2309.17453), H2O (2306.14048), forget gates (2503.02130).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from curse_of_memory.tools import checks

__all__ = [
    "EvictionCertificate",
    "dropped_mass",
    "evict",
    "gate_threshold_mass",
    "heavy_hitter_mass",
    "sink_mass",
    "window_mass",
]


class EvictionCertificate(NamedTuple):
    """What an eviction changes in the answers of attention.

    Attributes
    ----------
    answer : numpy.ndarray, shape (..., width)
        o', of the memories that are kept.
    mass : numpy.ndarray, shape (...)
        δ, the weight that was dropped.
    error : numpy.ndarray, shape (...)
        |o − o'| = δ |v̄_D − o'|, in the Euclidean norm.
    bound : numpy.ndarray, shape (...)
        δ max_D |v_i − o'| >= error, which needs no weights but their mass.
    """

    answer: np.ndarray
    mass: np.ndarray
    error: np.ndarray
    bound: np.ndarray


def evict(weights: ArrayLike, values: ArrayLike, kept: ArrayLike) -> EvictionCertificate:
    """Return the answers of attention without some memories, and how far they are off, exactly.

    Parameters
    ----------
    weights : array_like, shape (..., memories)
        w_i >= 0, scaled to the sum one here: those of softmax, or of softmax and mask.
    values : array_like, shape (memories, width)
        v_i.
    kept : array_like of bool, shape (..., memories) or (memories,)
        Which memories stay.

    Returns
    -------
    EvictionCertificate

    Raises
    ------
    ValueError, TypeError
        If shapes do not fit, a weight is negative, what is kept has no weight, or `kept` is not of bools.

    Notes
    -----
    Proof. o = (1 − δ) o' + Σ_D w_i v_i, and δ o' = Σ_D w_i o'.

    Examples
    --------
    >>> found = evict([0.5, 0.25, 0.25], [[1.0], [2.0], [4.0]], [True, True, False])
    >>> float(found.mass), round(float(found.answer[0]), 6), round(float(found.error), 6)  # 2 − 4/3
    (0.25, 1.333333, 0.666667)
    """
    w, v = checks.finite_array("weights", weights), checks.finite_array("values", values, ndim=2)
    checks.finite_array("kept", kept)
    if (stay := np.asarray(kept)).dtype != bool:
        raise TypeError(f"kept must be True or False for each memory, got {checks.shown(kept)}")
    if not w.ndim or w.shape[-1] != len(v):
        raise ValueError(f"weights must have one for each of {len(v)} values, got shape {w.shape}")
    if stay.shape not in (w.shape, (len(v),)):
        raise ValueError(f"kept must have the shape of weights, {w.shape}, got {stay.shape}")
    if w.min() < 0:
        raise ValueError(f"weights must not be negative, got {w.min():g}")
    stays = np.where(stay, w, 0.0)
    left = stays.sum(-1, keepdims=True)
    if not (left > 0).all():
        raise ValueError("kept must hold some weight in every row")
    goes = np.where(stay, 0.0, w)
    answer, total = stays / left @ v, w.sum(-1)
    mass = goes.sum(-1) / total
    apart = v - answer[..., None, :]
    error = np.linalg.norm((goes[..., None] * apart).sum(-2), axis=-1) / total
    bound = mass * np.where(goes > 0, np.linalg.norm(apart, axis=-1), 0.0).max(-1)
    return EvictionCertificate(answer, mass, error, bound)


def dropped_mass(dropped: int, gaps: ArrayLike) -> float:
    """Return n/(n + Σ_j e^{g_j}), the largest mass of n dropped memories, if kept ones have the gaps g_j.

    Parameters
    ----------
    dropped : int
        n >= 0.
    gaps : array_like, shape (kept,)
        g_j: by how much at least the score of each kept memory is above all those that are dropped.

    Raises
    ------
    ValueError, TypeError
        If dropped is negative or nothing is kept.

    Notes
    -----
    Proof. With the largest dropped score as zero, Σ_D e^{s_i} <= n and Σ_K e^{s_j} >= Σ e^{g_j}. Equality for
    scores that are 0 and g_j.

    Examples
    --------
    >>> dropped_mass(2, [0.0, 0.0])
    0.5
    """
    n = checks.whole_number("dropped", dropped, least=0)
    g = checks.finite_array("gaps", gaps, ndim=1)
    top = max(0.0, float(g.max()))  # in units of e^top nothing overflows
    lost = n * math.exp(-top)
    return lost / (lost + float(np.exp(g - top).sum()))


def window_mass(memories: int, window: int, score_range: float) -> float:
    """Return the largest mass outside of a window, (N − W)/(N − W + W e^{−Δ}).

    Parameters
    ----------
    memories : int
        N >= 1.
    window : int
        W >= 1, the memories that are kept.
    score_range : float
        Δ >= 0, the largest score less the smallest.

    Raises
    ------
    ValueError, TypeError
        If memories or window is below 1, or score_range is negative.

    Examples
    --------
    >>> window_mass(100, 25, 0.0)
    0.75
    """
    N, W = checks.positive_int("memories", memories), checks.positive_int("window", window)
    delta = checks.non_negative("score_range", score_range)
    return dropped_mass(max(N - W, 0), np.full(min(N, W), -delta))


def sink_mass(memories: int, sinks: int, window: int, score_range: float, sink_gap: float) -> float:
    """Return the largest mass outside of sinks and a window, n/(n + k e^g + W e^{−Δ}), n = N − k − W.

    Parameters
    ----------
    memories : int
        N >= 1.
    sinks : int
        k >= 1, first memories that are kept.
    window : int
        W >= 1, last memories that are kept.
    score_range : float
        Δ >= 0, the largest score less the smallest, sinks aside.
    sink_gap : float
        g, by how much at least the score of each sink is above all others.

    Raises
    ------
    ValueError, TypeError
        If a number of memories is below 1, score_range is negative, or sink_gap is not finite.

    Examples
    --------
    >>> round(sink_mass(1000, 4, 96, 2.0, 8.0), 3), round(window_mass(1000, 100, 2.0), 3)
    (0.07, 0.985)
    """
    N, k = checks.positive_int("memories", memories), checks.positive_int("sinks", sinks)
    W, delta = checks.positive_int("window", window), checks.non_negative("score_range", score_range)
    gaps = np.concatenate([np.full(min(k, N), checks.real("sink_gap", sink_gap)), np.full(min(W, N), -delta)])
    return dropped_mass(max(N - k - W, 0), gaps)


def heavy_hitter_mass(memories: int, kept: int, drift: float = 0.0) -> float:
    """Return the largest mass of all but the K heaviest memories, (N − K)/(N − K + K e^{−2ε}).

    Parameters
    ----------
    memories : int
        N >= 1.
    kept : int
        K >= 1.
    drift : float
        ε >= 0: by how much scores may have moved since the heaviest were chosen, each of them.

    Raises
    ------
    ValueError, TypeError
        If memories or kept is below 1, or drift is negative.

    Notes
    -----
    It is what a window of K has if all scores are equal: heaviest ones are no worse than any, and no more can
    be said. Without a bound on the drift from past queries, by which H2O chooses, nothing can.

    Examples
    --------
    >>> heavy_hitter_mass(100, 25)
    0.75
    """
    N, K = checks.positive_int("memories", memories), checks.positive_int("kept", kept)
    epsilon = checks.non_negative("drift", drift)
    return dropped_mass(max(N - K, 0), np.full(min(N, K), -2 * epsilon))


def gate_threshold_mass(
    dropped: int, log_threshold: float, kept_log_gates: ArrayLike, score_range: float
) -> float:
    """Return n/(n + e^{−Δ} Σ_j e^{F_j}/θ), the largest mass below a threshold θ of cumulated forget gates.

    Parameters
    ----------
    dropped : int
        n >= 0, memories with F_i < log θ, which are dropped.
    log_threshold : float
        log θ <= 0.
    kept_log_gates : array_like, shape (kept,)
        F_j in [log θ, 0], cumulated log gates of memories that are kept.
    score_range : float
        Δ >= 0, the largest score less the smallest, gates aside.

    Raises
    ------
    ValueError, TypeError
        If dropped or score_range is negative, nothing is kept, or a gate is not between θ and 1.

    Notes
    -----
    Weights are in proportion to e^{s_i + F_i}. It is approached as F_i → log θ, and is about
    n θ e^Δ/Σ e^{F_j}: thresholds of forget gates lose little, but never nothing.

    Examples
    --------
    >>> f"{gate_threshold_mass(1000, -20.0, [0.0, -1.0, -5.0], score_range=2.0):.1e}"
    '1.1e-05'
    """
    low = checks.real("log_threshold", log_threshold)
    if low > 0:
        raise ValueError(f"log_threshold must not be positive, got {low:g}")
    F = checks.finite_array("kept_log_gates", kept_log_gates, ndim=1)
    if F.min() < low or F.max() > 0:
        raise ValueError(f"kept_log_gates must be in [{low:g}, 0], got {F.min():g} to {F.max():g}")
    return dropped_mass(dropped, F - low - checks.non_negative("score_range", score_range))
