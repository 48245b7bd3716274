"""Trainings on the FitzHugh-Nagumo neuron: models of as many weights, and the order of the public code."""

import math
from collections.abc import Iterator, Sequence
from typing import TypedDict, Unpack

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Sampler, TensorDataset

from curse_of_memory.nn import LEM
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.tasks.sampling import Batch, Splits
from curse_of_memory.tools.devices import torch_draws
from curse_of_memory.training import fit

__all__ = [
    "MODELS",
    "PUBLIC",
    "PUBLIC_SEED",
    "Settings",
    "make",
    "public_start",
    "root_mean_square",
    "run",
    "trained",
]

PUBLIC, PUBLIC_SEED = "LEM, public order", 1234
MEMORY = 125  # steps of 0.4 in 1/ε = 50, for which chrono initialisation prepares
AT_ONCE = 128  # series that are evaluated together


def make(name: str, width: int, dt: float, seed: int) -> nn.Module:
    """Return an untrained model of :data:`MODELS`, with as many weights as a LEM of this width, or nearly."""
    return made(name, width, dt=dt, memory=MEMORY, seed=seed)


class Settings(TypedDict):
    """The settings of :func:`trained`."""

    width: int
    dt: float
    batch_size: int
    epochs: int
    learning_rate: float
    device: str


class _Recorded(Sampler):
    """Orders that are known before, one for each epoch."""

    def __init__(self, orders: Sequence[Sequence[int]]):
        self._orders, self._epoch = orders, 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = min(epoch, len(self._orders) - 1)

    def __iter__(self) -> Iterator[int]:
        return iter(self._orders[self._epoch])

    def __len__(self) -> int:
        return len(self._orders[0])


def public_start(
    width: int, dt: float, train: Batch, *, batch_size: int, epochs: int, seed: int = PUBLIC_SEED
) -> tuple[LEM, DataLoader]:
    """Return the LEM with which the public code starts, and a loader of its batches in their order.

    From one stream, torch's, the public code draws the weights, and then in each epoch the numbers by which
    its three loaders begin (for workers, of which there are none), and the one that seeds the order of the
    series for training.
    """
    index = torch.arange(len(train.inputs))
    with torch_draws(seed):
        model = LEM(width, dt=dt)
        orders = []
        for _ in range(epochs):
            orders.append([int(row) for (row,) in DataLoader(TensorDataset(index), shuffle=True)])
            for _validation_and_test in range(2):
                iter(DataLoader(TensorDataset(index)))
    loader = DataLoader(TensorDataset(*train), batch_size=batch_size, sampler=_Recorded(orders))
    return model, loader


def trained(
    model: str,
    seed: int,
    series: Splits,
    *,
    width: int,
    dt: float,
    batch_size: int,
    epochs: int,
    learning_rate: float,
    device: str,
) -> tuple[nn.Module, pd.DataFrame]:
    """Return a model of :data:`MODELS`, or :data:`PUBLIC`, at its best validation, and the history."""
    if model == PUBLIC:
        network, task = public_start(width, dt, series.train, batch_size=batch_size, epochs=epochs, seed=seed)
    else:
        network, task = make(model, width, dt, seed), series.train
    result = fit(
        network,
        task,
        validation=series.validation,
        validation_size=len(series.validation.inputs),
        metric="rmse",
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="constant",
        clip=math.inf,
        seed=seed,
        device=device,
    )
    return network, result.history


def run(
    model: str, seed: int, series: Splits, *, last_batch: int, **settings: Unpack[Settings]
) -> pd.DataFrame:
    """Train one model; return a row an epoch, the RMSE on test series at the best validation.

    Columns: ``epoch, validation, test_last, test_all``; the last two are of the last series of the test set,
    as the public code has it, and of all of them. Settings are those of :func:`trained`.
    """
    network, history = trained(model, seed, series, **settings)
    table = pd.DataFrame({"epoch": history.epoch, "validation": history.validation_rmse})
    best = table.validation.idxmin()
    parts = {"test_last": Batch(*(part[-last_batch:] for part in series.test)), "test_all": series.test}
    for name, batch in parts.items():
        table.loc[best, name] = root_mean_square(network, batch)
    return table


@torch.no_grad()
def root_mean_square(model: nn.Module, batch: Batch) -> float:
    """Return the root mean squared error of a model over all series of a `batch`."""
    device = next(model.parameters()).device

    def squares(x: Tensor, y: Tensor) -> float:
        return (model(x.to(device)) - y.to(device)).double().square().sum().item()

    chunks = zip(*(part.split(AT_ONCE) for part in batch), strict=True)
    return float(np.sqrt(sum(squares(x, y) for x, y in chunks) / batch.targets.numel()))
