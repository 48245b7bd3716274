"""What a weight over time does to errors of targets of differing lengths, before any training.

Equation.   Targets i of T_i steps have weights w_it of mean one over t = 1 … T_i. Of the loss
            Σ_it w_it e_it / Σ_i T_i with errors that are all alike, step t has the share

                s_t = Σ_{i: T_i >= t} w_it / Σ_i T_i,        Σ_t s_t = 1.

            With errors that are alike and independent the mean over one target has the variance of a plain
            mean over

                n = (Σ_t w_t)² / Σ_t w_t²

            steps; for w = tᵖ, p > −1/2, n → T (2p + 1) / (p + 1)² for long T.

Source.     INTEREST (2307.11462) weighs the errors of summaries by tᵖ; the rule of n is that of Kish (1965).
"""

from collections.abc import Sequence

import numpy as np

from curse_of_memory.theory.bias.memory_bias import Bias
from curse_of_memory.tools import checks

__all__ = ["effective_steps", "step_shares"]


def effective_steps(weight: Bias, horizon: int) -> float:
    """Return n = (Σ w)² / Σ w², the number of steps that are as good as T of them, weighted.

    Parameters
    ----------
    weight : Bias
        With its weight w over t = 1 … T.
    horizon : int
        T, in steps.

    Raises
    ------
    ValueError, TypeError
        If T is no positive whole number, or the weight no Bias.

    Examples
    --------
    >>> from curse_of_memory.theory.bias import power
    >>> round(effective_steps(power(1), 3) * 14, 12)  # (1 + 2 + 3)² / (1 + 4 + 9)
    36.0
    """
    w = _weights(weight, horizon)
    return float(horizon**2 / (w**2).sum())


def step_shares(weight: Bias, lengths: Sequence[int]) -> np.ndarray:
    """Return s_t, the share of the loss that each step has, for targets of these lengths.

    Parameters
    ----------
    weight : Bias
        With its weight w over the steps t = 1 … T_i of each target.
    lengths : sequence of int
        T_i, one a target.

    Returns
    -------
    numpy.ndarray of shape ``(longest,)``

    Raises
    ------
    ValueError, TypeError
        If there is no target, a length is no positive whole number, or the weight no Bias.

    Examples
    --------
    >>> from curse_of_memory.theory.bias import power
    >>> step_shares(power(1), [1, 3]).tolist()  # (1 + 1/2, 1, 3/2) / 4
    [0.375, 0.25, 0.375]
    """
    if isinstance(lengths, str) or not isinstance(lengths, Sequence | np.ndarray):
        raise TypeError(f"lengths must be a list, got {checks.shown(lengths)}")
    own = [checks.positive_int("lengths", length) for length in lengths]
    if not own:
        raise ValueError("lengths must be those of one target at least, got none")
    shares = np.zeros(max(own))
    for length, count in zip(*np.unique(own, return_counts=True), strict=True):
        shares[:length] += count * _weights(weight, int(length))
    return shares / sum(own)


def _weights(weight: Bias, horizon: int) -> np.ndarray:
    if not isinstance(weight, Bias):
        raise TypeError(f"weight must be a Bias, such as bias.power(1), got {checks.shown(weight)}")
    return weight.weights(horizon, unit_mean=True)
