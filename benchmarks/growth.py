"""How time grows with the length of the sequence: log-log slopes.

Between the two longest, arrays outgrow the caches and become so large that the system hands out cleared
memory for them at every call; a convolution has a factor log T of its own, too.
"""

from collections.abc import Callable

import numpy as np
import torch

from benchmarks.rows import draws
from benchmarks.timing import take_turns
from curse_of_memory.nn.recurrence.linear.convolution import fft_convolution
from curse_of_memory.nn.recurrence.linear.kernels import modal_kernel
from curse_of_memory.nn.recurrence.linear.linear_scan import linear_scan
from curse_of_memory.nn.recurrence.nonlinear.cells import euler_cell
from curse_of_memory.nn.recurrence.nonlinear.recurrence import recurrence

LENGTHS = (100, 1_000, 10_000, 100_000)


def works(device: str) -> dict[str, Callable[[int], Callable]]:
    """Return, by name, the functions from a length to the work of it."""
    normal = draws(device, torch.float64)
    m = 16
    a = torch.linspace(0.1, 0.999, m, dtype=torch.float64, device=device)
    W, U = normal(m, m, scale=0.1), normal(m, 1)

    def scan(T: int) -> Callable:
        drive = normal(4, T, m)
        return lambda: linear_scan(a, drive)

    def layer(T: int) -> Callable:
        x, coefficients = normal(4, T, m), normal(m, m)
        return lambda: fft_convolution(modal_kernel(a.expand(m, m), coefficients, T), x)

    def loop(T: int) -> Callable:
        x, cell = normal(4, T, 1), euler_cell("tanh")
        return lambda: recurrence(cell, x, W, U, dt=0.1)

    return {"linear scan": scan, "kernel and convolution": layer, "tanh recurrence": loop}


def slope(lengths, seconds) -> float:
    """Return the slope of log time against log length, of the best line."""
    return float(np.polyfit(np.log(lengths), np.log(seconds), 1)[0])


def growth(device: str, budget: float) -> list[tuple[str, list[float], float, float]]:
    """Return for each work: name, seconds at each length, slope over all, and over the two longest."""
    found = []
    for name, work in works(device).items():
        seconds = [take_turns({name: work(T)}, budget, device).seconds[name] for T in LENGTHS]
        found.append((name, seconds, slope(LENGTHS, seconds), slope(LENGTHS[-2:], seconds[-2:])))
    return found
