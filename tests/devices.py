"""The devices that tests run on: ``@pytest.mark.parametrize("device", DEVICES)``.

``pytest -m cuda`` is what runs on a GPU, where there is one, and ``pytest -m cpu`` the same on the CPU.
"""

import pytest
import torch

ON_CUDA = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no CUDA device"),
]
CUDA = pytest.param("cuda", marks=ON_CUDA)
DEVICES = [pytest.param("cpu", marks=pytest.mark.cpu), CUDA]
