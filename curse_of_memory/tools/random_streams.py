"""The random generators of the package, one for each name, seed and index: no two draws share one.

Algorithm.  A seed s and indices i₁ … i_n name one draw each. They are written as pairs of 32-bit words, the
            low one first, and are the entropy of a :class:`numpy.random.SeedSequence`; the number of the
            stream and n are its spawn key. What is hashed then has its length in its last word: no two names,
            seeds or indices, with zeros at the end or large numbers among them, are the same.

Batches of tasks have public seeds, ``task.sample(size, seed=(3, 1))``, which a task may use as it likes; our
own tasks draw by ``numpy.random.default_rng(seed)``, so that anybody can draw their data again. What the
package itself asks tasks for has seeds ``(s, number, …)`` from :func:`sample_seed`.
"""

import numpy as np

from curse_of_memory.tools import checks

__all__ = ["SAMPLES", "STREAMS", "sample_seed", "sample_stream", "stream"]

# A number that has been given stays: what was drawn is drawn again.
STREAMS = {
    "held out sequences": 1,
    "order of a loader": 2,
    "sequences that a map is tried on": 3,
    "inputs of the memory": 4,
    "inputs of gradients": 5,
    "combinations of outputs": 6,
    "memory used by a model": 7,
    "heads and tails": 8,
    "noise of logits": 9,
    "curves of a decay": 10,
    "corners of a ball": 11,
    "order of an epoch": 12,
    "start of a walk": 13,
    "draws of a model": 14,
}
"""What is drawn inside the package, and the number of its stream."""

SAMPLES = {
    "validation": 1,
    "training": 2,
    "perturbation directions": 3,
    "perturbation test": 4,
    "teacher calibration": 5,
    "unseen test": 6,
    "test": 7,
}
"""What is drawn by public seeds, as all that tasks are asked for, and the second entry of its seed."""

FAMILY = 0x6D656D00  # no number that anybody gives as a seed by chance
WORD = 2**32


def stream(name: str, seed: int, *index: int) -> np.random.Generator:
    """Return the numpy generator of the stream called `name`, for this `seed` and `index`.

    Parameters
    ----------
    name : str
        One of :data:`STREAMS`.
    seed : int
        That of whoever asks.
    *index : int
        Which of several draws, such as the number of a direction.

    Raises
    ------
    ValueError, TypeError
        For a name that is not registered, and for negative or too large numbers.

    Examples
    --------
    >>> first, again = (stream("held out sequences", 0, 3).random() for _ in range(2))
    >>> first == again, first == stream("held out sequences", 0).random()
    (True, False)
    """
    number = STREAMS[checks.one_of("name", name, STREAMS)]
    numbers = (checks.seed("seed", seed), *(checks.seed("index", i) for i in index))
    words = [word for n in numbers for word in (n % WORD, n // WORD)]
    return np.random.default_rng(np.random.SeedSequence(words, spawn_key=(FAMILY + number, len(index))))


def sample_seed(name: str, seed: int, *index: int) -> tuple[int, ...]:
    """Return the seed ``(seed, number, *index)`` by which the package asks a task for a batch.

    Parameters
    ----------
    name : str
        One of :data:`SAMPLES`.
    seed : int
        That of whoever asks, below 2³².
    *index : int
        Which of several batches, such as the number of a step.

    Raises
    ------
    ValueError, TypeError
        For a name that is not registered, and for negative or too large numbers.

    Examples
    --------
    >>> sample_seed("training", 5, 17)
    (5, 2, 17)
    """
    number = SAMPLES[checks.one_of("name", name, SAMPLES)]
    if checks.seed("seed", seed) >= WORD:  # numpy would take a larger one for two numbers
        raise ValueError(f"seed must be below 2^32, got {seed!r}")
    return (int(seed), number, *(checks.seed("index", i) for i in index))


def sample_stream(name: str, seed: int, *index: int) -> np.random.Generator:
    """Return numpy's generator for the seed that :func:`sample_seed` returns for the same arguments.

    Examples
    --------
    >>> first = sample_stream("perturbation directions", 0, 3).random()
    >>> first == np.random.default_rng((0, 3, 3)).random()
    True
    """
    return np.random.default_rng(sample_seed(name, seed, *index))
