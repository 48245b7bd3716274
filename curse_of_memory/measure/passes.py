"""How many sequences go through a model in one forward pass, by steps and by bytes of answers."""

from collections.abc import Iterator

import torch
from tqdm.auto import tqdm

from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.tools import checks

__all__ = ["answer_bytes", "passes", "sequences_at_once"]

STEPS_AT_ONCE = 2**15  # of all sequences of one forward pass together: more leave the cache of a CPU
BYTES_AT_ONCE = 2**28  # of all their answers, in float64, with three more arrays like them


def answer_bytes(system: SequenceMap, x: torch.Tensor) -> int:
    """Return the bytes that the answer to one sequence like ``x[0]`` takes, with three working copies."""
    y = system.answer(x[:1])
    return 4 * (16 if y.is_complex() else 8) * max(1, y.numel())


def sequences_at_once(length: int, bytes_of_one: int, chunk: int | None = None) -> int:
    """Return how many sequences of `length` steps go into one pass: `chunk`, if that is given.

    Examples
    --------
    >>> sequences_at_once(100, 3200), sequences_at_once(32, 32 * 32 * 50_000), sequences_at_once(10**6, 32)
    (327, 5, 1)
    """
    if chunk is not None:
        return checks.positive_int("chunk", chunk)
    return max(1, min(STEPS_AT_ONCE // length, BYTES_AT_ONCE // bytes_of_one))


def passes(count: int, rows: int, label: str, progress: bool) -> Iterator[slice]:
    """Yield the slices of `count` sequences, `rows` at a time, with a progress bar if `progress`."""
    for start in tqdm(range(0, count, rows), desc=label, leave=False, disable=not progress):
        yield slice(start, start + rows)
