"""N-grams of tokens: what a text costs if only the last few tokens are looked at.

Equation.   Witten and Bell's interpolation (1991). After a context v of k − 1 tokens, which the training text
            has C(v) times, followed by T(v) different tokens,

                P_k(w | v) = (C(v w) + T(v) P_{k−1}(w | v')) / (C(v) + T(v)),

            with v' the context without its first token, P_0 = 1/vocabulary, and P_k = P_{k−1} after a context
            that the training text never has. All P_k are distributions, nothing is tuned.
"""

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = ["ngram_losses"]

UNKNOWN = -1  # a context that the training text does not have, or that begins before the text


def ngram_losses(training: Tensor, unseen: Tensor, vocabulary: int, order: int) -> list[float]:
    """Return the losses of the k-grams of a text on another, in nats per token, for k = 1 … `order`.

    Parameters
    ----------
    training, unseen : Tensor of shape ``(tokens,)``
        Numbers below `vocabulary`: what is counted, and what is predicted.
    vocabulary : int
        Number of tokens.
    order : int
        The largest k.

    Raises
    ------
    ValueError, TypeError
        For bad numbers.

    Examples
    --------
    >>> import torch
    >>> even = torch.arange(600) % 3
    >>> [round(loss, 2) for loss in ngram_losses(even, even, 3, 2)]
    [1.1, 0.01]
    """
    checks.positive_int("vocabulary", vocabulary)
    checks.positive_int("order", order)
    w, u = training.numpy(), unseen.numpy()
    probability = np.full(len(u), 1 / vocabulary)
    of_w, of_u = np.zeros(len(w), np.int64), np.zeros(len(u), np.int64)
    losses = []
    for _ in range(order):
        known = of_w != UNKNOWN
        grams, place, counts = np.unique(
            of_w[known] * vocabulary + w[known], return_inverse=True, return_counts=True
        )
        followers = np.bincount(grams // vocabulary)
        occurrences = np.bincount(of_w[known])
        places = _places(grams, of_u * vocabulary + u, of_u != UNKNOWN)
        seen = np.where(places == UNKNOWN, 0, counts[places])
        different, all_ = followers[of_u], occurrences[of_u]  # of an unknown context whatever they are
        better = (seen + different * probability) / (all_ + different)
        probability = np.where(of_u == UNKNOWN, probability, better)
        losses.append(float(-np.log(probability).mean()))
        of_next = np.full(len(w), UNKNOWN)
        of_next[known] = place
        of_w, of_u = _shifted(of_next), _shifted(places)
    return losses


def _places(grams: NDArray, wanted: NDArray, there: NDArray) -> NDArray:
    """Return where `wanted` are among the sorted `grams`; unknown are those that are not, or not `there`."""
    places = np.minimum(np.searchsorted(grams, wanted), len(grams) - 1)
    return np.where(there & (grams[places] == wanted), places, UNKNOWN)


def _shifted(ends: NDArray) -> NDArray:
    """Return the contexts of tokens, which are the grams that end one token before."""
    return np.concatenate([[UNKNOWN], ends[:-1]])
