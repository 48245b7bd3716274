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
from curse_of_memory.training.streams.stream import checked_text

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
        For bad numbers, or what is no text of tokens below `vocabulary`.

    Examples
    --------
    >>> import torch
    >>> even = torch.arange(600) % 3
    >>> [round(loss, 2) for loss in ngram_losses(even, even, 3, 2)]
    [1.1, 0.01]
    """
    checks.positive_int("vocabulary", vocabulary)
    checks.positive_int("order", order)
    w = checked_text("training", training, below=vocabulary, least=1).cpu().numpy()
    u = checked_text("unseen", unseen, below=vocabulary, least=1).cpu().numpy()
    if vocabulary * (len(w) + 1) >= 2**63:  # a context and a token are one number
        raise ValueError(f"vocabulary must be below {2**63 // (len(w) + 1)}, got {vocabulary}")
    probability = np.full(len(u), 1 / vocabulary)
    of_w, of_u = np.zeros(len(w), np.int64), np.zeros(len(u), np.int64)
    losses = []
    for _ in range(order):
        known = of_w != UNKNOWN
        grams, place, counts = np.unique(
            of_w[known] * vocabulary + w[known], return_inverse=True, return_counts=True
        )
        contexts = max(of_w.max(), of_u.max()) + 1  # the last one of a text is followed by nothing
        followers = np.bincount(grams // vocabulary, minlength=contexts)
        occurrences = np.bincount(of_w[known], minlength=contexts)
        had = of_u != UNKNOWN
        had[had] = occurrences[of_u[had]] > 0
        places = np.full(len(u), UNKNOWN)
        places[had] = _places(grams, of_u[had] * vocabulary + u[had])
        seen = np.where(places[had] == UNKNOWN, 0, counts[places[had]])
        different, all_ = followers[of_u[had]], occurrences[of_u[had]]
        probability[had] = (seen + different * probability[had]) / (all_ + different)
        losses.append(float(-np.log(probability).mean()))
        of_next = np.full(len(w), UNKNOWN)
        of_next[known] = place
        of_w, of_u = _shifted(of_next), _shifted(places)
    return losses


def _places(grams: NDArray, wanted: NDArray) -> NDArray:
    """Return where `wanted` are among the sorted `grams`; those that are not there are unknown."""
    places = np.minimum(np.searchsorted(grams, wanted), len(grams) - 1)
    return np.where(grams[places] == wanted, places, UNKNOWN)


def _shifted(ends: NDArray) -> NDArray:
    """Return the contexts of tokens, which are the grams that end one token before."""
    return np.concatenate([[UNKNOWN], ends[:-1]])
