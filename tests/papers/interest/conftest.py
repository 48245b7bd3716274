"""Copying in small, for the figures that are made of the same runs."""

import pandas as pd
import pytest

from curse_of_memory.papers.interest._copying_runs import MODELS


@pytest.fixture(scope="session")
def tiny_copying():
    """Arguments of ``data`` with which it takes a second."""
    tiny = {"memory_length": 2, "blank": 4, "powers": (0, 10), "seeds": 2, "width": 4, "levels": 2}
    return tiny | {"steps": 10, "batch_size": 8, "validate_every": 5, "samples": 32}


@pytest.fixture(scope="session")
def runs_that_learn():
    """A function that returns a table in which the run i of every model is right from ``times[p][i]`` on."""

    def table(times):
        rows = [
            (name, float(p), seed, step, 10.0 * seed + step, 0.0, float(step >= time), float(step >= time))
            for name in MODELS
            for p, learnt in times.items()
            for seed, time in enumerate(learnt)
            for step in (0, 1, 2, 4, 8)
        ]
        columns = ["model", "p", "seed", "step", "loss", "cross_entropy", "recall", "everywhere"]
        return pd.DataFrame(rows, columns=columns)

    return table
