"""What the public code of LEM draws from torch's generator: a permutation, weights, a division, noise.

Everything comes from one stream of seed 5544, in this order: on psMNIST the permutation of the pixels, then
the weights of the model, then the order of the training images, of which the last are held out, and on noisy
CIFAR-10 the noise. Here it is drawn in the same order: the division is that of the public code.
"""

import torch
from torch import Tensor

from curse_of_memory.tools import checks

__all__ = ["SEED", "PublicStream"]

SEED = 5544
WIDTH, CLASSES = 128, 10  # of the public models


class PublicStream:
    """The stream of random numbers of the public code of LEM, read in its order.

    Parameters
    ----------
    seed : int
        Of torch's generator.

    Examples
    --------
    >>> PublicStream().order(784)[:4].tolist()  # the first pixels of psMNIST
    [327, 72, 48, 129]
    """

    def __init__(self, seed: int = SEED):
        self._generator = torch.Generator().manual_seed(checks.seed("seed", seed))

    def order(self, count: int) -> Tensor:
        """Return a random order of the numbers below `count`, ``torch.randperm(count)``."""
        return torch.randperm(checks.positive_int("count", count), generator=self._generator)

    def weights(self, input_size: int) -> None:
        """Pass by what the initial weights of a public model with so many inputs take from the stream.

        The cell of h = 128 units has maps to 4h, 3h and h units, which are drawn uniformly, twice: by
        ``torch.nn.Linear`` and by the cell. The readout of ten classes is drawn uniformly, and its weights
        once more normally. A number of either kind takes one of the stream.
        """
        cell = 4 * WIDTH * (checks.positive_int("input_size", input_size) + 1) + 4 * WIDTH * (WIDTH + 1)
        readout = CLASSES * (WIDTH + 1) + CLASSES * WIDTH
        torch.empty(2 * cell + readout).uniform_(generator=self._generator)

    def normal(self, *shape: int) -> Tensor:
        """Return standard normal numbers, ``torch.randn(*shape)``."""
        sizes = [checks.positive_int("shape", size) for size in shape]
        return torch.randn(sizes, generator=self._generator)
