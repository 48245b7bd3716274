"""Inverse approximation theory (2305.19190), figure 9 and table 1: MNIST with four parameterisations."""

from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import Tensor, nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.sequence_classifiers import loss_and_accuracy
from curse_of_memory.nn import RNN
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import SequentialImages
from curse_of_memory.tasks.images import IMAGES
from curse_of_memory.training import fit

__all__ = ["data", "paired_differences", "plot"]


class _Classifier(nn.Module):
    """A recurrent network whose last output is the answer, ``(batch, class)``."""

    def __init__(self, rnn: RNN):
        super().__init__()
        self.rnn = rnn

    def forward(self, x: Tensor) -> Tensor:
        return self.rnn(x)[:, -1]


@figure_data(
    title="MNIST with four parameterisations of the recurrent weight",
    source="Inverse approximation theory (2305.19190), figure 9 and table 1",
)
def data(
    *,
    parameterizations: Sequence[str] = ("direct", "softplus", "exp", "inverse"),
    learning_rates: Sequence[float] = (0.003, 0.03),
    width: int = 32,
    row_by_row: bool = True,
    steps: int = 200,
    batch_size: int = 128,
    seeds: int = 3,
    validation_images: int = 1000,
    test_images: int = 2000,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train tanh RNNs h ← h + tanh(f(w) ⊙ h + U x + b) that differ in f only, from the same W = f(w).

    The answer is read off after the last step. Under one seed every parameterisation starts from the same W
    and sees the same batches, so that differences are taken pair by pair; errors are standard errors over the
    seeds. Columns: ``parameterization, learning_rate, seed, split, step, training_loss, validation_loss,
    accuracy``; the rows of split *test* are of the weights with the least validation loss. Where the `data`
    are the stand-in, all its images are held out and tested if these are fewer than asked for.
    """
    sizes = {"train": None, "validation": validation_images, "test": test_images}
    source = IMAGES["mnist"].source(data)
    splits = {
        split: SequentialImages("mnist", split, row_by_row=row_by_row, size=size, data=source)
        for split, size in sizes.items()
    }
    table = run_grid(
        _trained,
        product_of(
            parameterization=parameterizations, learning_rate=learning_rates, seed=range(seed, seed + seeds)
        ),
        common={
            "splits": splits,
            "width": width,
            "steps": steps,
            "batch_size": batch_size,
            "device": device,
        },
    )
    return _findings(table, splits["test"].stand_in)


def _trained(
    parameterization: str,
    learning_rate: float,
    seed: int,
    splits: Mapping[str, SequentialImages],
    width: int,
    steps: int,
    batch_size: int,
    device: str,
) -> pd.DataFrame:
    """Train one classifier; return one row per validation, and the row of the test."""
    rnn = RNN(
        width,
        input_size=splits["train"].input_size,
        output_size=10,
        activation="tanh",
        parameterization=parameterization,
        diagonal=True,
        seed=seed,
    )
    model = _Classifier(rnn)
    result = fit(
        model,
        splits["train"],
        loss=nn.CrossEntropyLoss(),
        validation=splits["validation"],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        clip=1.0,
        validate_every=max(1, steps // 10),
        validation_size=len(splits["validation"]),
        watch=lambda model: {"accuracy": loss_and_accuracy(model, splits["validation"])[1]},
        seed=seed,
        device=device,
    )
    loss, share = loss_and_accuracy(model, splits["test"])
    last = {"step": result.steps, "validation_loss": loss, "accuracy": share, "split": "test"}
    curve = result.history.drop(columns="learning_rate").assign(split="validation")
    return pd.concat([curve, pd.DataFrame([last])], ignore_index=True)


def _findings(table: pd.DataFrame, stand_in: str) -> Findings:
    parameterizations, learning_rates = (
        list(dict.fromkeys(table[column])) for column in ("parameterization", "learning_rate")
    )
    test = rows(table, split="test").set_index(["learning_rate", "parameterization", "seed"])
    groups = test.groupby(level=[0, 1], sort=False)
    loss, error = groups.validation_loss.mean(), groups.validation_loss.sem()
    share, share_error = 100 * groups.accuracy.mean(), 100 * groups.accuracy.sem()
    paired = paired_differences(table)
    headline, by_seed, sentences = {}, {}, []
    for rate in learning_rates:
        for name in parameterizations:
            label = f"test loss, {name}, learning rate {rate:g}"
            headline[label] = loss[rate, name]
            by_seed[label] = groups.validation_loss.get_group((rate, name))
        if "softplus" in parameterizations and rate in paired.index:
            mean, half = paired.loc[rate].loc["softplus"]
            sentences.append(f"{mean:+.3f} ± {half:.3f} at learning rate {rate:g}")
    message = f"Test loss of softplus minus that of direct, pair by pair: {', '.join(sentences)}."
    printed = reference("inverse_approximation/table1").set_index("parameterization")
    paper = {
        f"test loss, {name}, learning rate {rate:g}": printed.loss[name]
        for rate, name in product(learning_rates, parameterizations)
        if name in printed.index
    }
    cells = {}
    for rate in learning_rates:
        cells[f"loss, {rate:g}"] = [f"{loss[rate, n]:.4f} ({error[rate, n]:.4f})" for n in parameterizations]
        cells[f"accuracy (%), {rate:g}"] = [
            f"{share[rate, n]:.1f} ({share_error[rate, n]:.1f})" for n in parameterizations
        ]
    if not stand_in:
        cells["loss, paper"] = [_quoted(printed, n, "loss") for n in parameterizations]
        cells["accuracy (%), paper"] = [_quoted(printed, n, "accuracy") for n in parameterizations]
    index = pd.Index(parameterizations, name="parameterisation")
    printed_cells = pd.DataFrame(cells, index=index)
    return Findings(table, message, headline, paper, printed_cells, spreads(by_seed), stand_in)


def paired_differences(table: pd.DataFrame) -> pd.DataFrame:
    """Return mean and standard error of the test losses minus those of "direct" under the same seed.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`data` makes it.

    Returns
    -------
    pandas.DataFrame
        Columns ``mean, error``, index ``learning_rate, parameterization``; without rows if there is no
        "direct".
    """
    test = rows(table, split="test")
    wide = test.pivot(index=["learning_rate", "seed"], columns="parameterization", values="validation_loss")
    if "direct" not in wide:
        return pd.DataFrame(columns=["mean", "error"])
    differences = wide.drop(columns="direct").sub(wide.direct, axis=0)
    groups = differences.groupby(level="learning_rate")
    return pd.DataFrame(
        {"mean": pd.DataFrame(groups.mean()).stack(), "error": pd.DataFrame(groups.sem()).stack()}
    )


def _quoted(printed: pd.DataFrame, name: str, column: str) -> str:
    if name not in printed.index:
        return "—"
    return f"{printed.loc[name, column]:g} ({printed.loc[name, f'{column}_error']:g})"


def plot(data: FigureData) -> Figure:
    """Draw validation losses against the step, and test losses minus that of "direct" under the same seed."""
    table = data.table
    rates = list(dict.fromkeys(table.learning_rate))
    looks = plotting.looks(dict.fromkeys(table.parameterization))
    test = rows(table, split="test").set_index(["learning_rate", "seed", "parameterization"])
    with plotting.style():
        figure, axes = plotting.canvas(len(rates) + 1, width=3.4 * (len(rates) + 1), height=3.5)
        for axis, rate in zip(axes, rates, strict=False):
            curves = rows(table, split="validation", learning_rate=rate)
            for name, (color, mark) in looks.items():
                losses = rows(curves, parameterization=name).groupby("step").validation_loss
                mean, error = losses.mean(), losses.sem()
                axis.plot(mean.index, mean, mark, ls="-", color=color, label=name, mfc="none")
                axis.fill_between(mean.index, mean - error, mean + error, color=color, alpha=0.15, lw=0)
            axis.set(xlabel="training step", title=f"learning rate {rate:g}", ylim=(0.4, 2.6))
        axes[0].set_ylabel("cross-entropy, validation")
        axes[0].legend()
        paired = paired_differences(table)
        others = [name for name in looks if name != "direct"]
        for k, (rate, name) in enumerate(product(rates, others)):
            color, mark = looks[name]
            if (rate, name) not in paired.index:
                continue
            differences = (
                test.validation_loss[rate].unstack()[name] - test.validation_loss[rate].unstack().direct
            )
            axes[-1].plot(
                k + np.linspace(-0.2, 0.2, len(differences)), differences, mark, color=color, mfc="none"
            )
            mean, error = paired.loc[(rate, name)]
            axes[-1].errorbar(k, mean, error, color=color, marker="_", ms=22, capsize=4)
        axes[-1].axhline(0, color=plotting.INK, lw=0.8)
        axes[-1].set(
            title="test loss minus that of direct",
            xticks=range(len(rates) * len(others)),
            xticklabels=[f"{name}\n{rate:g}" for rate, name in product(rates, others)],
        )
        axes[-1].tick_params(axis="x", labelsize=8)
        plotting.say_stand_in(figure, data.stand_in)
    return figure
