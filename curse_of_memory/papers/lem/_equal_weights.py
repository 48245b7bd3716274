"""Models of as many weights as another, by their width."""

import bisect
from collections.abc import Callable

from torch import nn

__all__ = ["number_of_weights", "of_as_many_weights"]


def number_of_weights(model: nn.Module) -> int:
    """Return how many numbers a model learns; those that are fixed do not count."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def of_as_many_weights(made: Callable[[int], nn.Module], count: int) -> nn.Module:
    """Return the model of those `made` from widths 1, 2, … whose number of weights is nearest to `count`.

    Parameters
    ----------
    made : callable
        Returns a model of some width; wider ones have more weights.
    count : int
        Number of weights. Of two models that are equally near, the narrower one is taken.

    Examples
    --------
    >>> of_as_many_weights(lambda width: nn.Linear(width, 2), 13).in_features  # 2 width + 2 weights: 12 or 14
    5
    """

    def weights_at(width: int) -> int:
        return number_of_weights(made(width))

    high = 1
    while weights_at(high) < count:
        high *= 2
    enough = 1 + bisect.bisect_left(range(1, high), count, key=weights_at)
    return made(min((max(1, enough - 1), enough), key=lambda width: abs(weights_at(width) - count)))
