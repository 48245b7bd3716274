"""Turns on the clock: ratios with their spread, and what the machine reaches."""

import contextlib
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

SHORTEST = 0.02  # seconds on the clock at a time: faster work is repeated within a turn


@dataclass(frozen=True)
class Timing:
    """Seconds of each way (medians), and the ratio of the first to each with its quartiles."""

    seconds: dict[str, float]
    ratios: dict[str, np.ndarray]

    def quartiles(self, name: str) -> np.ndarray:
        """Return the quartiles of how many times faster `name` is than the first way."""
        return np.quantile(self.ratios[name], [0.25, 0.5, 0.75])


def take_turns(ways: dict[str, Callable], budget: float, device: str = "cpu") -> Timing:
    """Time the ways in turns, so that what else the machine does meets all of them, for `budget` seconds."""
    repeats = {name: _repeats(way, device) for name, way in ways.items()}
    found: dict[str, list[float]] = {name: [] for name in ways}
    end = time.perf_counter() + budget
    while time.perf_counter() < end or len(found[next(iter(ways))]) < 3:
        for name, way in ways.items():
            found[name].append(_seconds(way, repeats[name], device))
    first = np.array(found[next(iter(ways))])
    return Timing(
        {name: float(np.median(values)) for name, values in found.items()},
        {name: first / np.array(values) for name, values in found.items()},
    )


def _repeats(way: Callable, device: str) -> int:
    way()  # compilation and plans are not what is measured
    return max(1, int(SHORTEST / _seconds(way, 1, device)))


def _seconds(way: Callable, repeats: int, device: str) -> float:
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    wait()
    start = time.perf_counter()
    for _ in range(repeats):
        way()
    wait()
    return (time.perf_counter() - start) / repeats


class TimeIsUp(Exception):  # noqa: N818 - it is no error
    """The time for a row is over."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `TimeIsUp` in the body after so many seconds, at the next step of Python; at once without any."""
    if seconds <= 0:
        raise TimeIsUp
    if math.isinf(seconds):
        yield
        return

    def stop(number: int, frame: object) -> None:
        raise TimeIsUp

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@dataclass(frozen=True)
class Machine:
    """Flops per second of a large product, by dtype, and bytes per second of a large copy."""

    flops: dict[torch.dtype, float]
    traffic: float

    def bound(self, case) -> float:
        """Return the seconds that the products and the memory traffic of a case take at least."""
        return max(case.flops / self.flops[case.dtype], case.traffic / self.traffic)


def measure_machine(device: str, size: int = 2048) -> Machine:
    """Measure what this machine reaches: the best of a few tries."""

    def best(work: Callable) -> float:
        work()
        return min(_seconds(work, 1, device) for _ in range(5))

    flops = {}
    for dtype in (torch.float32, torch.float64):
        a = torch.randn(size, size, dtype=dtype, device=device)
        flops[dtype] = 2 * size**3 / best(lambda a=a: a @ a)
    source = torch.zeros(4 * size, size, dtype=torch.float64, device=device)
    target = torch.zeros_like(source)
    return Machine(flops, 2 * source.nbytes / best(lambda: target.copy_(source)))
