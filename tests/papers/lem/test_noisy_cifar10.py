"""The figure of noisy CIFAR-10: its data set is read in batches, as if it were in memory."""

from typing import Any

import pandas as pd
import pytest
import torch

from curse_of_memory.papers.lem._comparison import ACCURACY, run
from curse_of_memory.tasks import Batch, NoisyImages
from curse_of_memory.tasks.sampling import Splits


@pytest.mark.slow
def test_fixed_noise_can_be_in_the_data_or_in_the_batch():
    """A training that reads the data set is that on its sequences in memory, to the last bit."""
    parts = [
        NoisyImages(split, horizon=40, size=size, data="stand-in")
        for split, size in (("train", 30), ("validation", 10), ("test", 10))
    ]
    whole = Splits(*(Batch(*map(torch.stack, zip(*part, strict=True))) for part in parts))
    settings: dict[str, Any] = {
        "width": 4,
        "dt": 0.4,
        "memory": 40,
        "batch_size": 10,
        "epochs": 2,
        "learning_rate": 0.01,
    }
    read, held = (
        run("LEM", 0, some, 10, ACCURACY, **settings, evaluation_size=4, device="cpu")
        for some in ((parts[0], parts[1], parts[2]), whole)
    )
    pd.testing.assert_frame_equal(read, held, check_exact=True)
