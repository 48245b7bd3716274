"""The entropy of a text after its last few tokens: the least bits of any answer from these alone."""

import numpy as np
from torch import Tensor

__all__ = ["least_bits"]


def least_bits(tokens: Tensor, order: int) -> float:
    """Return the least mean bits by which any answer from the last `order` tokens alone tells the next one.

    That is the entropy of a token of this text after those before it; a text is its own measure. Before the
    first token are tokens of another kind.

    Parameters
    ----------
    tokens : Tensor of shape ``(steps,)``
        All but the first are asked.
    order : int
        How many are seen.

    Examples
    --------
    >>> import torch
    >>> text = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1, 0])
    >>> least_bits(text, 0), least_bits(text, 1), least_bits(text, 2)
    (1.0, 1.0, 0.0)
    """
    seen = tokens.numpy().astype(np.int64)
    count = int(seen.max()) + 2
    context = np.zeros(len(seen) - 1, np.int64)
    for back in range(order):
        before = np.zeros(len(seen) - 1, np.int64)
        before[back:] = 1 + seen[: len(seen) - 1 - back]
        # contexts are numbered anew, so that no number becomes too large
        context = np.unique(context * count + before, return_inverse=True)[1]
    _, pair, both = np.unique(context * count + seen[1:], return_inverse=True, return_counts=True)
    return float(np.log2(np.bincount(context)[context] / both[pair]).mean())
