"""Models that learn to copy under the weights tᵖ, and the authors' logs of theirs: one row a validation."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.losses import TemporallyWeightedCrossEntropy
from curse_of_memory.nn import RNN
from curse_of_memory.nn.attention.transformer import CausalTransformer
from curse_of_memory.nn.convolutional.tcn import TCN
from curse_of_memory.nn.stack import SequenceStack
from curse_of_memory.nn.state_space.ssm import SSM
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.training import sweep

__all__ = ["HALF", "MODELS", "ON_LOGITS", "authors_runs", "copying_runs", "last_rows"]

HALF = 0.5  # of the digits
ON_LOGITS = "TCN, weight on the logits"
SCORES = ["cross_entropy", "recall", "everywhere"]  # of a validation, beside the loss
Network = TCN | RNN | SequenceStack | CausalTransformer


def _tcn(task: Copying, seed: int, width: int, levels: int, kernel_size: int) -> TCN:
    return TCN(
        [width] * levels,
        kernel_size,
        seed=seed,
        input_size=task.input_size,
        output_size=task.output_size,
    )


def _rnn(task: Copying, seed: int, width: int, levels: int, kernel_size: int) -> RNN:
    return RNN(
        2 * width, activation="tanh", seed=seed, input_size=task.input_size, output_size=task.output_size
    )


def _ssm(task: Copying, seed: int, width: int, levels: int, kernel_size: int) -> SequenceStack:
    def mixing(inside: int) -> SSM:
        return SSM(
            4 * inside,
            input_size=inside,
            output_size=inside,
            initial="lru",
            parameterization="lru",
            ring=(0.8, 1.0, 2 * math.pi),
        )

    return SequenceStack(
        mixing, width, layers=1, seed=seed, input_size=task.input_size, output_size=task.output_size
    )


def _transformer(task: Copying, seed: int, width: int, levels: int, kernel_size: int) -> CausalTransformer:
    return CausalTransformer(
        width,
        heads=2,
        positions="sinusoidal",
        seed=seed,
        input_size=task.input_size,
        output_size=task.output_size,
    )


MODELS: Mapping[
    str, Callable[[Copying, int, int, int, int], TCN | RNN | SequenceStack | CausalTransformer]
] = {
    "TCN": _tcn,
    ON_LOGITS: _tcn,
    "tanh RNN": _rnn,
    "SSM": _ssm,
    "transformer": _transformer,
}


def _trained(
    model: str,
    powers: Sequence[float],
    seeds: Sequence[int],
    task: Copying,
    sizes: Sequence[int],
    settings: Mapping[str, Any],
) -> pd.DataFrame:
    """Train a model under every weight from every seed, all at once; return a row per validation of each."""
    plain, form = TemporallyWeightedCrossEntropy(), "on_logits" if model == ON_LOGITS else "error"

    def score(logits: Tensor, classes: Tensor) -> dict[str, float]:
        right = task.accuracy(logits, classes)._asdict()
        return {"cross_entropy": plain(logits, classes).item()} | right

    runs = [(p, seed) for p in powers for seed in seeds]
    history = sweep(
        [MODELS[model](task, seed, *sizes) for _, seed in runs],
        task,
        loss=[TemporallyWeightedCrossEntropy(p, form=form) for p, _ in runs],
        score=score,
        seed=[seed for _, seed in runs],
        **settings,
    )
    tables = []
    for member, (p, seed) in enumerate(runs):
        own = history.isel(member=member)
        columns = {"loss": own.validation_loss} | {name: own[name] for name in SCORES}
        rows = pd.DataFrame({"step": own.step, **columns}).dropna()  # a run that diverged ends there
        tables.append(rows.assign(p=p, seed=seed))
    return pd.concat(tables, ignore_index=True)


def copying_runs(
    names: Sequence[str],
    task: Copying,
    powers: Sequence[float],
    seeds: Sequence[int],
    *,
    width: int,
    levels: int,
    kernel_size: int,
    steps: int,
    batch_size: int,
    learning_rate: float,
    validate_every: int,
    validation_size: int,
    device: str,
) -> pd.DataFrame:
    """Train models to copy, under the weights tᵖ of mean one, and return a row per validation of each run.

    Parameters
    ----------
    names : sequence of str
        "TCN", "TCN, weight on the logits", "tanh RNN", "SSM", "transformer".
    task : Copying
        With classes.
    powers, seeds : sequence
        Every combination is trained; a seed names the initial weights and the batches.
    width, levels, kernel_size : int
        Sizes of the TCN; SSM and transformer have the same width, the RNN twice that.
    steps, batch_size, learning_rate, validate_every, validation_size, device
        As for :func:`curse_of_memory.training.sweep`.

    Returns
    -------
    pandas.DataFrame
        Columns ``model, p, seed, step, loss, cross_entropy, recall, everywhere``, one row per validation: the
        loss that is trained, the one without weights, and the accuracy on recalled positions and on all.
    """
    settings = {
        "steps": steps,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "validate_every": validate_every,
        "validation_size": validation_size,
        "device": device,
    }
    table = run_grid(
        _trained,
        product_of(model=names),
        {
            "task": task,
            "powers": [float(p) for p in powers],
            "seeds": seeds,
            "sizes": (width, levels, kernel_size),
            "settings": settings,
        },
    )
    return table.loc[:, ["model", "p", "seed", "step", "loss", *SCORES]]


def authors_runs() -> pd.DataFrame:
    """Return the authors' 24 runs: ``memory_length, p, epoch, loss, accuracy, grad_norm, everywhere``.

    Their loss has the weight on the logits; `everywhere` is the accuracy as a share.
    """
    logs = reference("interest/copying_logs")
    return logs.assign(everywhere=logs.accuracy / 100)


def last_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the last validation of each run, by model, p and seed."""
    return table.groupby(["model", "p", "seed"], sort=False).last()
