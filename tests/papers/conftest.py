from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from curse_of_memory.tasks.sampling import Batch

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items):
    """Mark the tests of the papers: most train, and what they need of the rooms below is tested there."""
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(autouse=True)
def _pictures_are_put_away():
    """What a test has drawn is closed again: pyplot keeps every figure that is open."""
    yield
    plt.close("all")


@pytest.fixture
def expect_spread():
    """A check that the spread under a label is that of these values, one a run, and holds the headline."""

    def check(found, label, values):
        spread = found.spread[label]
        # values may have been computed in another order of operations
        assert spread.low == pytest.approx(min(values), rel=1e-12)
        assert spread.high == pytest.approx(max(values), rel=1e-12)
        assert spread.runs == len(values)
        assert spread.low <= found.headline[label] <= spread.high

    return check


class Text:
    """A text in memory, in the form of WikiText2: words a, b, c, … drawn with falling frequency."""

    stand_in = ""

    def __init__(self, split="train", *, vocabulary=12, sequence_length=30, data="real"):
        self.horizon, self.vocabulary = sequence_length, vocabulary
        share = 1 / np.arange(1, vocabulary + 1)
        draw = np.random.default_rng(0 if split == "train" else 1)
        self.tokens = torch.from_numpy(draw.choice(vocabulary, 4000, p=share / share.sum()))

    def encode(self, words):
        return torch.tensor(["?abcdefghijkl".find(word) for word in words]).clamp(min=0)

    def sample(self, size, *, seed, device="cpu", dtype=None):
        starts = np.random.default_rng(seed).integers(0, 4000 - self.horizon, size)
        pieces = self.tokens[torch.from_numpy(starts)[:, None] + torch.arange(self.horizon + 1)]
        return Batch(pieces[:, :-1], pieces[:, 1:])


@pytest.fixture(scope="session")
def text():
    """What stands for the class WikiText2 where its files are not there."""
    return Text
