"""Students of a teacher, trained from several seeds in one sweep and perturbed: their errors E_m(β)."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curse_of_memory.experiments.grid import product_of
from curse_of_memory.experiments.perturbed_networks import trained_and_perturbed
from curse_of_memory.nn import RNN
from curse_of_memory.tasks import TeacherFilter

__all__ = ["FromRest", "errors_by_seed", "filter_of", "medians", "perturbed_students"]


class FromRest(nn.Module):
    """The answer of a `model` less its answer to zero input, H_t(x) − H_t(0): the theory takes H_t(0) = 0."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model
        self.input_size = model.input_size

    def forward(self, x: Tensor) -> Tensor:
        """Map ``(batch, time, input_size)`` to ``(batch, time, channel)``."""
        return self.model(x) - self.model(torch.zeros_like(x[:1]))


def filter_of(teacher: nn.Module, horizon: int) -> TeacherFilter:
    """Return the task to learn `teacher` from rest over `horizon` steps, its answers of variance one."""
    return TeacherFilter(FromRest(teacher), horizon, normalized=True)


def perturbed_students(
    task: TeacherFilter,
    widths: Sequence[int],
    seeds: Sequence[int],
    *,
    activation: str,
    diagonal: bool,
    steps: int,
    batch_size: int,
    learning_rate: float,
    draws: int,
    samples: int,
    device: str,
) -> pd.DataFrame:
    """Train RNNs of all widths under all seeds in one sweep, and perturb them: a table of E_m(β).

    The error is the mean squared error over the variance of the target, the largest of the draws within β in
    the spectral ball.

    Parameters
    ----------
    task : TeacherFilter
        With answers of variance one.
    widths, seeds : sequence of int
        Every combination is trained; a seed names the initial weights and the directions. All read the same
        batches.
    activation : str
        Of the students.
    diagonal : bool
        Whether their recurrent weight is diagonal.
    steps, batch_size, learning_rate : int or float
        Of the training.
    draws, samples : int
        Random directions, and the sequences for the error. Weights are selected by min(samples, 1280) others.
    device : str
        Where all of it is computed.

    Returns
    -------
    pandas.DataFrame
        Columns ``m, seed, beta, error``.
    """
    settings = product_of(m=widths, seed=seeds)
    models = [
        RNN(
            setting["m"],
            activation=activation,
            diagonal=diagonal,
            seed=setting["seed"],
        )
        for setting in settings
    ]
    return trained_and_perturbed(
        models,
        settings,
        task,
        seed=seeds[0],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        draws=draws,
        samples=samples,
        device=device,
    )


def errors_by_seed(curves: pd.DataFrame, beta: float) -> pd.DataFrame:
    """Return the errors at radius `beta`, one row a seed and one column a width, the narrowest first."""
    return curves.loc[np.isclose(curves.beta, beta)].pivot(index="seed", columns="m", values="error")


def medians(curves: pd.DataFrame, beta: float) -> pd.Series:
    """Return the median error over the seeds at radius `beta`, by width, the narrowest first."""
    return curves.loc[np.isclose(curves.beta, beta)].groupby("m").error.median().sort_index()
