"""Rows of fits by exponentials: the best sum of m terms on a hundred lags."""

import numpy as np
import torch

from benchmarks import peers_fits
from benchmarks.rows import Case, Row
from curse_of_memory.theory.exponential_sums import ExponentialFit, fit_exponential_sum, rate_search

NOTE = "ours finds the best sums of 1, 2, ... terms, each from many starts; nothing is kept between calls"


def anew() -> None:
    """Forget the fits that are kept, so that a call is timed and not a look-up."""
    rate_search._real_rates.cache_clear()


def best_sum(terms: int, rate: float, goal: float) -> Row:
    """The best sum of real exponentials for (1 + rate · t)^−1.1, against one search from one start."""

    def make(device: str, small: bool) -> Case:
        m, T = (2, 20) if small else (terms, 100)
        values = (1 + rate * np.arange(T)) ** -1.1

        def fast() -> ExponentialFit:
            anew()
            return fit_exponential_sum(values, m)

        def plain() -> np.ndarray:
            return peers_fits.log_spaced(values, m)

        def agree():
            # what must not be above the plain way's error: the larger of the two is the plain one
            reached = torch.tensor([peers_fits.error(values, plain())], dtype=torch.float64)
            return [reached], [torch.maximum(reached, torch.tensor([fast().error], dtype=torch.float64))]

        return Case(
            plain=plain,
            fast=fast,
            agree=agree,
            peers=peers_fits.peers(values, m, lambda: fast().error),
            note=NOTE,
        )

    name = f"best sum of {terms} exponentials for (1 + {rate:g} t)^−1.1, 100 lags"
    return Row(name, "scipy's least_squares from log-spaced rates", goal, make)


ROWS = [best_sum(4, 1.0, 1.0), best_sum(8, 1.0, 1.0), best_sum(4, 0.1, 1.0)]
