"""Trainings of LEM and of models of as many weights on one data set, selected by its validation part."""

import math
from collections.abc import Sequence, Sized
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypedDict, Unpack

import pandas as pd
from torch import Tensor, nn
from torch.utils.data import Dataset

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.nn import LEM
from curse_of_memory.nn.building.seeding import seeded
from curse_of_memory.papers.lem._equal_weights import number_of_weights
from curse_of_memory.papers.lem._models import MODELS, made
from curse_of_memory.tasks.sampling import Batch, Splits
from curse_of_memory.tools import checks
from curse_of_memory.tools.devices import torch_draws
from curse_of_memory.training import FitResult, fit

__all__ = ["ACCURACY", "Quantity", "Settings", "compared", "last_answers", "run", "selected", "trained"]


@dataclass(frozen=True)
class Quantity:
    """What is measured on the validation and test sequences.

    Attributes
    ----------
    name : str
        As figures call it, such as ``"accuracy"``.
    metric : str
        Of :func:`curse_of_memory.training.fit`: ``"accuracy"``, for which models learn by cross-entropy, or
        ``"rmse"``, for which they learn by the mean squared error.
    shown : str
        How a number is printed.
    unit : str
        Printed behind it.
    factor : float
        By which numbers are multiplied before they are shown: 100 for a share in percent.
    """

    name: str
    metric: str
    shown: str = "{:.1f}"
    unit: str = ""
    factor: float = 1.0

    def text(self, value: float) -> str:
        """Return a value as it is printed, with its unit."""
        return self.shown.format(self.factor * value) + self.unit

    @property
    def label(self) -> str:
        """The label of an axis."""
        return f"{self.name} ({self.unit.strip()})" if self.unit.strip() else self.name

    @property
    def loss(self) -> nn.Module:
        """What models learn by."""
        return nn.CrossEntropyLoss() if self.metric == "accuracy" else nn.MSELoss()


ACCURACY = Quantity("accuracy", "accuracy", unit=" %", factor=100.0)
"""Share of sequences whose class has the largest of the answers."""


class Settings(TypedDict, total=False):
    """How a model of :data:`MODELS` is made and trained."""

    width: int
    dt: float
    memory: float
    batch_size: int
    epochs: int
    learning_rate: float
    falls: Sequence[int]
    clip: float
    evaluation_size: int
    device: str
    kaiming: bool
    input_dropout: float


CHECKPOINT_EVERY = 20  # updates: within an epoch, since one of them may take minutes

Parts = Splits | tuple[Dataset, Dataset, Dataset]
"""Sequences for training, for validation and for testing: in memory, or data sets that are read."""


def _size(part: Batch | Dataset) -> int:
    """Return the number of sequences."""
    if isinstance(part, Batch):
        return len(part.inputs)
    assert isinstance(part, Sized)  # or it could not be gone through in epochs
    return len(part)


def last_answers(answers: Tensor) -> Tensor:
    """Return the answers ``(batch, channel)`` after the last step, also of models that answer every step."""
    return answers if answers.ndim == 2 else answers[:, -1]


def compared(
    splits: Parts,
    *,
    output_size: int,
    quantity: Quantity,
    seeds: int,
    seed: int,
    models: Sequence[str] = MODELS,
    other_seeds: int | None = None,
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Train every model from several seeds; return a row an epoch, as :func:`run` has it, of each training.

    Parameters
    ----------
    splits : Splits, or three torch Datasets
        Inputs ``(sequence, time, channel)``; targets classes ``(sequence,)`` or numbers
        ``(sequence, channel)``.
    output_size : int
        Classes, or channels of the targets.
    quantity : Quantity
    seeds, seed : int
        How many trainings of LEM there are, and the seed of the first.
    models : sequence of str
        Which.
    other_seeds : int, optional
        Trainings of each of the others; as many unless given.
    settings
        Of :func:`trained`.

    Raises
    ------
    ValueError, TypeError
        For no models, unknown ones, or one twice, or inputs of which all would be dropped; before any is
        trained.
    """
    checks.several("models", models, lambda name, model: checks.one_of(name, model, MODELS))
    if not 0 <= checks.real("input_dropout", settings.get("input_dropout", 0.0)) < 1:
        raise ValueError(f"input_dropout must be in [0, 1), got {settings.get('input_dropout')!r}")
    wanted = []
    for model in models:
        count = seeds if model == "LEM" or other_seeds is None else other_seeds
        wanted += product_of(model=[model], seed=range(seed, seed + count))
    common = {"splits": splits, "output_size": output_size, "quantity": quantity}
    return run_grid(run, wanted, common | settings)


def run(
    model: str,
    seed: int,
    splits: Parts,
    output_size: int,
    quantity: Quantity,
    **settings: Unpack[Settings],
) -> pd.DataFrame:
    """Train one model as :func:`trained` does, and return its numbers by epoch.

    Parameters
    ----------
    model, seed, splits, output_size, quantity, settings
        Of :func:`trained`.

    Returns
    -------
    pandas.DataFrame
        Columns ``epoch, validation, test, weights, status``: the test value stands where the validation is
        better than ever before, so that the last of them is the one by which the training counts.
    """
    network, result = trained(model, seed, splits, output_size, quantity, **settings)
    history = result.history
    return pd.DataFrame(
        {
            "epoch": history.epoch.astype(int),
            "validation": history[f"validation_{quantity.metric}"],
            "test": history[f"test_{quantity.metric}"],
            "weights": number_of_weights(network),
            "status": result.status,
        }
    )


def trained(
    model: str,
    seed: int,
    splits: Parts,
    output_size: int,
    quantity: Quantity,
    *,
    width: int,
    dt: float,
    memory: float,
    batch_size: int,
    epochs: int,
    learning_rate: float,
    falls: Sequence[int] = (),
    clip: float = math.inf,
    evaluation_size: int = 500,
    device: str = "auto",
    kaiming: bool = True,
    input_dropout: float = 0.0,
) -> tuple[nn.Module, FitResult]:
    """Train one model by the official recipe: Adam, epochs over all sequences, selection by validation.

    Parameters
    ----------
    model, seed
        One of :data:`MODELS`, and what names its weights and batches.
    splits, output_size, quantity
        As for :func:`compared`.
    width, dt, memory
        As for :func:`made`.
    batch_size, epochs, learning_rate : number
        Of :func:`curse_of_memory.training.fit`.
    falls : sequence of int
        Epochs after which the learning rate falls tenfold.
    clip : float
        Largest norm of the gradient.
    evaluation_size : int
        Sequences that are evaluated together.
    device : str
    kaiming : bool
        Whether LEM's readout starts as most of the public code has it; else as torch's own.
    input_dropout : float
        Probability with which each number of an input is dropped while a model of any sort is trained; the
        seed names which.

    Returns
    -------
    network : torch.nn.Module
        At its best validation.
    result : FitResult
    """
    train, validation, test = splits
    first, _ = train[0] if isinstance(train, Dataset) else (train.inputs[0], None)
    network = made(
        model,
        width,
        dt=dt,
        memory=memory,
        seed=seed,
        input_size=first.shape[-1],
        output_size=output_size,
        pooling="last",
    )
    if isinstance(network, LEM) and network.readout is not None and not kaiming:
        with seeded(seed):
            network.readout.reset_parameters()
    whole = nn.Sequential(nn.Dropout(input_dropout), network) if input_dropout else network
    with torch_draws(seed) if input_dropout else nullcontext():
        result = fit(
            whole,
            train,
            loss=quantity.loss,
            output=last_answers,
            validation=validation,
            test=test,
            metric=quantity.metric,
            epochs=epochs,
            batch_size=min(batch_size, _size(train)),
            validation_size=_size(validation),
            evaluation_size=evaluation_size,
            learning_rate=learning_rate,
            schedule=list(falls) if falls else "constant",
            clip=clip,
            checkpoint_every=CHECKPOINT_EVERY,
            seed=seed,
            device=device,
        )
    return network, result


def selected(table: pd.DataFrame) -> pd.DataFrame:
    """Return the row of each training that counts: of the best validation, with its test value."""
    return table.loc[table.test.notna()].groupby(["model", "seed"], sort=False).tail(1)
