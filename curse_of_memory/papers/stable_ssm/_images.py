"""Images by learning rate and map: the figures of MNIST (StableSSM (2311.14495), table 2) and CIFAR-10."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.sequence_classifiers import loss_and_accuracy
from curse_of_memory.nn import S4D, SequenceStack
from curse_of_memory.papers.stable_ssm._by_rate import KINDS, by_rate_plot, loss_cells, rate_text, sound
from curse_of_memory.papers.stable_ssm._maps import GROWING, map_of
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, FigureFunction, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import SequentialImages
from curse_of_memory.tasks.images import IMAGES
from curse_of_memory.training import fit

__all__ = ["by_learning_rate_of", "draw_losses", "quoted_losses"]

REAL_PART = 0.5  # |Re λ| at the start, of the public code
GUESSING = math.log(10)


def by_learning_rate_of(images_of: str, *, title: str, source: str) -> FigureFunction[...]:
    """Return the function `data` of the figure of one set of images, "mnist" or "cifar10"."""

    @figure_data(f"stable_ssm/{images_of}", title=title, source=source)
    def data(
        *,
        kinds: Sequence[str] = KINDS,
        learning_rates: Sequence[float] = (5e-4, 5e-3, 5e-2, 5e-1),
        width: int = 16,
        states: int = 16,
        row_by_row: bool = True,
        steps: int = 60,
        batch_size: int = 128,
        seeds: int = 3,
        validation_images: int = 500,
        test_images: int = 1000,
        data: str = "auto",
        seed: int = 0,
        device: str = "auto",
    ) -> Findings:
        """Train one S4D layer with GELU, GLU, residual and layer norm on images.

        AdamW with weight decay 0.01, cosine schedule, no clipping. A row lasts as long as its pixels: time is
        measured in pixels whatever is read in a step. Under one seed all kinds start from the same |λ| and
        see the same batches; "direct, growing start" has Re λ = +1/2 as the public code, the others −1/2.
        ``loss`` is the test loss of the weights with the least validation loss, NaN where the run diverged.
        Columns: ``kind, learning_rate, seed, status, loss, accuracy, training_images``, the last how many of
        the published training images were found. Where the `data` are the stand-in, all its images are held
        out and tested if these are fewer than asked for.
        """
        sizes = {"train": None, "validation": validation_images, "test": test_images}
        source = IMAGES[images_of].source(data)
        splits = {
            split: SequentialImages(images_of, split, row_by_row=row_by_row, size=size, data=source)
            for split, size in sizes.items()
        }
        table = run_grid(
            _trained,
            product_of(kind=kinds, learning_rate=learning_rates, seed=range(seed, seed + seeds)),
            common={
                "splits": splits,
                "width": width,
                "states": states,
                "steps": steps,
                "batch_size": batch_size,
                "device": device,
            },
        )
        table["training_images"] = splits["train"].published
        stand_in = splits["test"].stand_in
        return _findings(table, quoted_losses("" if stand_in else images_of), stand_in)

    return data


def _trained(
    kind: str,
    learning_rate: float,
    seed: int,
    splits: Mapping[str, SequentialImages],
    width: int,
    states: int,
    steps: int,
    batch_size: int,
    device: str,
) -> dict[str, float | str]:
    """Train one classifier; return how it ended, its test loss and its accuracy."""
    model = _classifier(kind, splits["train"], width, states, seed=seed)
    result = fit(
        model,
        splits["train"],
        loss=nn.CrossEntropyLoss(),
        validation=splits["validation"],
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule="cosine",
        weight_decay=0.01,
        clip=math.inf,
        validate_every=max(1, steps // 5),
        validation_size=len(splits["validation"]),
        seed=seed,
        device=device,
    )
    diverged = result.status == "diverged"
    loss, accuracy = (math.nan, math.nan) if diverged else loss_and_accuracy(model, splits["test"])
    return {"status": result.status, "loss": loss, "accuracy": accuracy}


def quoted_losses(images_of: str) -> pd.DataFrame:
    """Return the paper's losses, ``parameterization, learning_rate, loss``; no rows but for "mnist"."""
    table = reference("stable_ssm/table2")
    return table if images_of == "mnist" else table.iloc[:0]


def _classifier(kind: str, images: SequentialImages, width: int, states: int, *, seed: int) -> SequenceStack:
    """Return an untrained classifier: one S4D layer whose modes start at |Re λ| = 1/2 per pixel."""
    sign = 1 if kind == GROWING else -1
    eigenvalues = sign * REAL_PART + 1j * math.pi * np.arange(states // 2)
    pixels = images.images[0].numel() // (3 if images.name == "cifar10" else 1)
    duration = pixels / images.horizon
    return SequenceStack(
        lambda inside: S4D(inside, states, parameterization=map_of(kind), initial=eigenvalues, dt=duration),
        width,
        input_size=images.input_size,
        output_size=images.output_size,
        pooling="mean",
        seed=seed,
    )


def _findings(table: pd.DataFrame, quoted: pd.DataFrame, stand_in: str = "") -> Findings:
    printed, losses = loss_cells(table), quoted.set_index(["parameterization", "learning_rate"]).loss
    for name in dict.fromkeys(quoted.parameterization):
        # NaN is what the paper prints, a dash is for rates that it does not have
        theirs = [losses.get((name, rate)) for rate in dict.fromkeys(table.learning_rate)]
        printed[f"{name}, paper"] = [
            "—" if loss is None else "NaN" if math.isnan(loss) else f"{loss:.3g}" for loss in theirs
        ]
    headline, by_seed, paper = {}, {}, {}
    for (kind, rate), runs in groups(table, ["kind", "learning_rate"]).items():
        label = f"test loss, {kind}, learning rate {rate:g}"
        headline[label], by_seed[label] = float(runs.loss.mean(skipna=False)), runs.loss
        loss = losses.get((map_of(kind), rate), math.nan)
        # the paper's "direct" starts growing
        if math.isfinite(loss) and kind != "direct":
            paper[label] = float(loss)
    found = "training images of the stand-in" if stand_in else "published training images found"
    headline[found] = int(table.training_images.iloc[0])
    return Findings(table, _words(table, stand_in), headline, paper, printed, spreads(by_seed), stand_in)


def _words(table: pd.DataFrame, stand_in: str) -> str:
    finite = sound(table, math.inf)
    least = table.groupby("kind", sort=False).loss.min()
    each = [f"{least[kind]:.3g}, {rate_text(rate)} ({kind})" for kind, rate in finite.items()]
    images = table.training_images.iloc[0]
    return (
        f"Least test loss, and largest learning rate at which no run diverges: {'; '.join(each)}. "
        f"The training files {'that stand in' if stand_in else 'found here'} hold {images} images."
    )


def draw_losses(data: FigureData, quoted: pd.DataFrame | None) -> Figure:
    """Draw the test loss of every run against its learning rate, the paper's `quoted` losses in grey.

    Losses on data that stand in for the paper's are not to be compared with these: they are left out.
    """
    with plotting.style():
        figure = by_rate_plot(
            data,
            label="cross-entropy, test",
            level=GUESSING,
            level_label="guessing, ln 10",
            quoted=None if data.stand_in else quoted,
        )
        plotting.say_stand_in(figure, data.stand_in)
    return figure
