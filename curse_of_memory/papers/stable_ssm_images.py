"""StableSSM (2311.14495), table 2, and the same for CIFAR-10: images, by learning rate and map."""

import math
from collections.abc import Sequence
from itertools import product

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.nn import S4D, SequenceStack
from curse_of_memory.papers.figure import FigureData, Findings, figure_data
from curse_of_memory.papers.image_classifiers import measured
from curse_of_memory.papers.reference_numbers import reference
from curse_of_memory.papers.stable_ssm_by_rate import KINDS, by_rate_plot, loss_cells, rate_text, sound
from curse_of_memory.papers.stable_ssm_maps import GROWING, map_of
from curse_of_memory.tasks import SequentialImages
from curse_of_memory.training import fit

__all__ = ["cifar10_data", "cifar10_plot", "mnist_data", "mnist_plot"]

REAL_PART = 0.5  # |Re λ| at the start, of the public code
GUESSING = math.log(10)


@figure_data(
    "stable_ssm/mnist",
    title="MNIST by learning rate and reparameterisation",
    source="StableSSM (2311.14495), table 2",
)
def mnist_data(
    *,
    kinds: Sequence[str] = KINDS,
    learning_rates: Sequence[float] = (5e-4, 5e-3, 5e-2, 5e-1),
    hidden: int = 16,
    states: int = 16,
    row_by_row: bool = True,
    steps: int = 60,
    batch_size: int = 128,
    seeds: int = 3,
    validation_images: int = 500,
    test_images: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train one S4D layer with GELU, GLU, residual and layer norm on MNIST; see :func:`cifar10_data`."""
    table, words = _trained(
        "mnist",
        kinds,
        learning_rates,
        range(seed, seed + seeds),
        sizes=(hidden, states),
        row_by_row=row_by_row,
        steps=steps,
        batch_size=batch_size,
        images=(validation_images, test_images),
        device=device,
    )
    printed = loss_cells(table)
    quoted = reference("stable_ssm_table2").set_index(["parameterization", "learning_rate"])
    paper = {}
    for name in dict.fromkeys(quoted.index.get_level_values(0)):
        losses = {rate: quoted.loss.get((name, rate)) for rate in learning_rates}
        # NaN is what the paper prints, a dash is for rates that it does not have
        printed[f"{name}, paper"] = [
            "—" if loss is None else "NaN" if math.isnan(loss) else f"{loss:.3g}" for loss in losses.values()
        ]
    headline = _headline(table)
    for kind, rate in product(kinds, learning_rates):
        loss = quoted.loss.get((map_of(kind), rate), math.nan)
        # the paper's direct starts growing
        if math.isfinite(loss) and kind != "direct":
            paper[_label(kind, rate)] = float(loss)
    return Findings(table, words, headline, paper, printed)


@figure_data(
    "stable_ssm/cifar10",
    title="CIFAR-10 by learning rate and reparameterisation",
    source="StableSSM (2311.14495), CIFAR-10 by learning rate",
)
def cifar10_data(
    *,
    kinds: Sequence[str] = KINDS,
    learning_rates: Sequence[float] = (5e-4, 5e-3, 5e-2, 5e-1),
    hidden: int = 16,
    states: int = 16,
    row_by_row: bool = True,
    steps: int = 60,
    batch_size: int = 128,
    seeds: int = 3,
    validation_images: int = 500,
    test_images: int = 1000,
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train one S4D layer with GELU, GLU, residual and layer norm on CIFAR-10.

    AdamW with weight decay 0.01, cosine schedule, no clipping. A row lasts as long as its pixels: time is
    measured in pixels whatever is read in a step. Under one seed all kinds start from the same |λ| and see
    the same batches; "direct, growing start" has Re λ = +1/2 as the public code, the others −1/2. ``loss`` is
    the test loss of the weights with the least validation loss, NaN where the run diverged. Columns: ``kind,
    learning_rate, seed, status, loss, accuracy, training_images``, the last how many of the published
    training images were found.
    """
    table, words = _trained(
        "cifar10",
        kinds,
        learning_rates,
        range(seed, seed + seeds),
        sizes=(hidden, states),
        row_by_row=row_by_row,
        steps=steps,
        batch_size=batch_size,
        images=(validation_images, test_images),
        device=device,
    )
    return Findings(table, words, _headline(table), printed=loss_cells(table))


def _trained(
    images_of: str,
    kinds: Sequence[str],
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    *,
    sizes: tuple[int, int],
    row_by_row: bool,
    steps: int,
    batch_size: int,
    images: tuple[int, int],
    device: str,
) -> tuple[pd.DataFrame, str]:
    """Return one row per run, and what is seen."""
    counts = {"train": None, "validation": images[0], "test": images[1]}
    splits = {s: SequentialImages(images_of, s, row_by_row=row_by_row, size=n) for s, n in counts.items()}
    rows = []
    for kind, rate, i in product(kinds, learning_rates, seeds):
        model = _classifier(kind, splits["train"], *sizes, seed=i)
        result = fit(
            model,
            splits["train"],
            loss=nn.CrossEntropyLoss(),
            validation=splits["validation"],
            steps=steps,
            batch_size=batch_size,
            learning_rate=rate,
            schedule="cosine",
            weight_decay=0.01,
            clip=math.inf,
            validate_every=max(1, steps // 5),
            validation_size=images[0],
            seed=i,
            device=device,
        )
        lost = result.status == "diverged"
        loss, accuracy = (math.nan, math.nan) if lost else measured(model, splits["test"])
        rows.append((kind, rate, i, result.status, loss, accuracy))
    table = pd.DataFrame(rows, columns=["kind", "learning_rate", "seed", "status", "loss", "accuracy"])
    table["training_images"] = splits["train"].published
    return table, _words(table)


def _classifier(kind: str, images: SequentialImages, hidden: int, states: int, *, seed: int) -> SequenceStack:
    sign = 1 if kind == GROWING else -1
    eigenvalues = sign * REAL_PART + 1j * math.pi * np.arange(states // 2)
    pixels = images.images[0].numel() // (3 if images.name == "cifar10" else 1)
    duration = pixels / images.horizon
    return SequenceStack(
        lambda width: S4D(width, states, parameterization=map_of(kind), initial=eigenvalues, dt=duration),
        hidden,
        input_size=images.input_size,
        output_size=images.output_size,
        pooling="mean",
        seed=seed,
    )


def _label(kind: str, rate: float) -> str:
    return f"test loss, {kind}, learning rate {rate:g}"


def _headline(table: pd.DataFrame) -> dict[str, float]:
    means = table.groupby(["kind", "learning_rate"], sort=False).loss.apply(lambda v: v.mean(skipna=False))
    return {_label(*at): float(loss) for at, loss in means.items()} | {
        "published training images found": int(table.training_images.iloc[0])
    }


def _words(table: pd.DataFrame) -> str:
    finite = sound(table, math.inf)
    least = table.groupby("kind", sort=False).loss.min()
    each = [f"{least[kind]:.3g}, {rate_text(rate)} ({kind})" for kind, rate in finite.items()]
    found = table.training_images.iloc[0]
    return (
        f"Least test loss, and largest learning rate at which no run diverges: {'; '.join(each)}. "
        f"The training files found here hold {found} images."
    )


def mnist_plot(data: FigureData) -> Figure:
    """Draw the test loss of every run against its learning rate, the paper's table 2 in grey."""
    quoted = reference("stable_ssm_table2").dropna(subset="loss")
    rates = data.table.learning_rate
    quoted = quoted[quoted.learning_rate.between(rates.min(), rates.max())]
    return _plot(data, quoted)


def cifar10_plot(data: FigureData) -> Figure:
    """Draw the test loss of every run against its learning rate."""
    return _plot(data, None)


def _plot(data: FigureData, quoted: pd.DataFrame | None) -> Figure:
    return by_rate_plot(
        data, label="cross-entropy, test", level=GUESSING, level_label="guessing, ln 10", quoted=quoted
    )
