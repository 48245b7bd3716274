"""What the figures of sMNIST, psMNIST and noisy CIFAR-10 share: official sizes, published results, words."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.lem._comparison import ACCURACY, compared, selected
from curse_of_memory.papers.lem._comparison_report import SAID, draw, printed, reduced, told
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.report.figure import FigureData, FigureFunction, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import UnitImages
from curse_of_memory.tasks.images import IMAGES
from curse_of_memory.tasks.sampling import Splits

__all__ = ["CHANCE", "accuracies", "draw_accuracies", "pixels_of", "published"]

CHANCE = 0.1
SHARE = replace(ACCURACY, shown="{:.2f}")
AT_ONCE = 250  # images that are evaluated together
MNIST = {"train_images": 57_000, "validation_images": 3000, "test_images": 10_000, "averaged": 1}
CIFAR10 = {"train_images": 48_000, "validation_images": 2000, "test_images": 10_000, "horizon": 1000}
TRAINING = {"width": 128, "epochs": 120}
OFFICIAL = {
    "smnist": MNIST | TRAINING | {"batch_size": 128},
    "psmnist": MNIST | TRAINING | {"batch_size": 128},
    "noisy_cifar10": CIFAR10 | TRAINING | {"batch_size": 100},
}
"""Sizes of the public code, by experiment and by the name of the parameter."""

WORDS = SAID | {
    "train_images": "{} images for training",
    "validation_images": "{} for validation",
    "test_images": "{} for testing",
    "averaged": "means of squares of side {}",
    "horizon": "{} steps",
}
"""The sizes in words."""

DRAWN = ("LEM", "coRNN", "UnICORNN")  # whose published results are lines
README, LOG = "README of the public code", "log of the public code"


def published(experiment: str) -> dict[str, float]:
    """Return published test accuracies, by model and source."""
    table = rows(reference("lem/image_results"), experiment=experiment)
    values = zip(table.model, table.source, table.test_accuracy_percent, strict=True)
    return {f"{model} ({source})": percent / 100 for model, source, percent in values}


def _scale(data: FigureData, experiment: str) -> str:
    """Return which sizes of a figure are not those of the public code, in words."""
    sizes = {**data.parameters, "train_images": int(data.table.training_images.iloc[0])}
    return reduced(sizes, OFFICIAL[experiment], WORDS)


def accuracies(
    experiment: str, table: pd.DataFrame, sizes: Mapping[str, int], *, stand_in: str, data_part: str = ""
) -> Findings:
    """Return what trainings come to, beside chance and what has been published.

    Parameters
    ----------
    experiment : str
        One of :data:`OFFICIAL`.
    table : pandas.DataFrame
        As :func:`curse_of_memory.papers.lem._comparison.compared` returns it.
    sizes : mapping
        What is to be held against the sizes of the public code, by name.
    stand_in : str
        What stands in for the images; published results are then left out.
    data_part : str
        How many of the images that were asked for there were, if not all of them.
    """
    table = table.assign(training_images=sizes["train_images"])
    headline, by_seed, words = told(table, SHARE)
    known = {"chance": CHANCE} | ({} if stand_in else published(experiment))
    ours = f"LEM: test {SHARE.label}"
    paper = {ours: 100 * known[f"LEM ({README})"]} if ours in headline and not stand_in else {}
    least = selected(table).set_index("model").test
    lost = [model for model in least.index.unique() if (least[[model]] < 1.5 * CHANCE).any()]
    scale = reduced(sizes, OFFICIAL[experiment], WORDS)
    message = f"{scale}. {words}" if scale else words
    if lost:
        message += f" Some trainings of {', '.join(lost)} end near chance, {SHARE.text(CHANCE)}."
    text = printed(table, SHARE, known)
    return Findings(table, message, headline, paper, text, spreads(by_seed), stand_in, data_part=data_part)


def draw_accuracies(experiment: str, data: FigureData) -> Figure:
    """Draw the trainings, chance and published results; logs of public codes where the sizes are theirs."""
    scale = _scale(data, experiment)
    lines = {"chance": CHANCE}
    if not data.stand_in:
        at = " at full scale" if scale else ""
        results = published(experiment)
        lines |= {f"{m}{at}, README": results[k] for m in DRAWN if (k := f"{m} ({README})") in results}
    logs = rows(reference("lem/image_logs"), experiment=experiment)
    logs = logs.assign(validation=logs.valid_accuracy_percent / 100, log=logs.model)
    return draw(data, SHARE, lines, logged=None if scale or data.stand_in else logs, note=scale)


def pixels_of(
    experiment: str,
    *,
    title: str,
    permuted: bool,
    step: float,
    rate: float,
    norm: float,
) -> FigureFunction[...]:
    """Return the function `data` of "smnist" or "psmnist": its defaults are a reduced scale.

    Parameters
    ----------
    experiment, title : str
    permuted : bool
        Whether the pixels are.
    step, rate, norm : float
        Defaults of the time step of LEM, the learning rate and the largest norm of the gradient.
    """

    @figure_data(
        f"lem/{experiment}",
        title=title,
        source="Long Expressive Memory (2110.04744); settings, log and README of its public code",
    )
    def data(
        *,
        models: Sequence[str] = MODELS,
        averaged: int = 2,
        train_images: int = 400,
        validation_images: int = 100,
        test_images: int = 300,
        width: int = 24,
        dt: float = step,
        learning_rate: float = rate,
        batch_size: int = 40,
        epochs: int = 5,
        falls: Sequence[int] = (100,),
        clip: float = norm,
        seeds: int = 3,
        data: str = "auto",
        seed: int = 0,
        device: str = "auto",
    ) -> Findings:
        """Train LEM and models of as many weights to classify digits that are read pixel by pixel.

        By the recipe of the public code: Adam, whose rate falls tenfold after the epochs `falls`, gradients
        of norm `clip` at most, selection by the validation images of its own division. `averaged` is the side
        of the squares of pixels whose mean is a step. Columns: ``model, seed, epoch, validation, test,
        weights, status, training_images``.
        """
        source = IMAGES["mnist"].source(data)
        counts = {"train": train_images, "validation": validation_images, "test": test_images}
        parts = [
            UnitImages(split, permuted=permuted, averaged=averaged, size=size, data=source)
            for split, size in counts.items()
        ]
        table = compared(
            Splits(*(part.all() for part in parts)),
            output_size=parts[0].output_size,
            quantity=ACCURACY,
            seeds=seeds,
            seed=seed,
            models=models,
            width=width,
            dt=dt,
            memory=parts[0].horizon,
            batch_size=batch_size,
            epochs=epochs,
            learning_rate=learning_rate,
            falls=falls,
            clip=clip,
            evaluation_size=AT_ONCE,
            device=device,
        )
        sizes = dict(zip((f"{split}_images" for split in counts), map(len, parts), strict=True))
        sizes |= {"averaged": averaged, "width": width, "epochs": epochs, "batch_size": batch_size}
        return accuracies(experiment, table, sizes, stand_in=parts[0].stand_in)

    return data
