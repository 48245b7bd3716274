"""LEM (2110.04744) on noisy CIFAR-10: an image in 32 rows has to be kept in mind while noise follows."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from curse_of_memory.papers.lem._comparison import ACCURACY, compared
from curse_of_memory.papers.lem._images import accuracies, draw_accuracies
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.tasks import NoisyImages
from curse_of_memory.tasks.images import IMAGES

__all__ = ["data", "plot"]

EXPERIMENT = "noisy_cifar10"
AT_ONCE = 100  # images that are evaluated together


@figure_data(
    title="Noisy CIFAR-10",
    source="Long Expressive Memory (2110.04744); settings, log and README of its public code",
)
def data(
    *,
    models: Sequence[str] = MODELS,
    noise: str = "fixed",
    horizon: int = 52,
    train_images: int = 500,
    validation_images: int = 100,
    test_images: int = 300,
    width: int = 24,
    dt: float = 0.2,
    learning_rate: float = 0.008,
    batch_size: int = 50,
    epochs: int = 8,
    falls: Sequence[int] = (100,),
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM and models of as many weights to classify images that noise follows.

    By the recipe of the public code: Adam, whose rate falls tenfold after the epochs `falls`, no clipping,
    selection by validation images. The noise is one sample behind all images ("fixed"), as there, or one
    behind each ("fresh"). Where there are fewer training or validation images than asked for, since not all
    files are here, all of them are taken. Columns: ``model, seed, epoch, validation, test, weights, status,
    training_images``.
    """
    source = IMAGES["cifar10"].source(data)
    counts = {"train": train_images, "validation": validation_images, "test": test_images}

    def images(split: str) -> NoisyImages:
        whole = NoisyImages(split, noise=noise, horizon=horizon, data=source)
        if len(whole) <= counts[split]:
            return whole
        return NoisyImages(split, noise=noise, horizon=horizon, size=counts[split], data=source)

    parts = images("train"), images("validation"), images("test")
    table = compared(
        parts,
        output_size=parts[0].output_size,
        quantity=ACCURACY,
        seeds=seeds,
        seed=seed,
        models=models,
        width=width,
        dt=dt,
        memory=horizon,
        batch_size=batch_size,
        epochs=epochs,
        learning_rate=learning_rate,
        falls=falls,
        evaluation_size=AT_ONCE,
        device=device,
    )
    sizes = dict(zip((f"{split}_images" for split in counts), map(len, parts), strict=True))
    sizes |= {"horizon": horizon, "width": width, "epochs": epochs, "batch_size": batch_size}
    missing = [
        f"{len(part)} of {count} images of the part {split!r}"
        for part, (split, count) in zip(parts, counts.items(), strict=True)
        if len(part) < count
    ]
    part = "" if parts[0].stand_in else ", ".join(missing)
    return accuracies(EXPERIMENT, table, sizes, stand_in=parts[0].stand_in, data_part=part)


def plot(data: FigureData) -> Figure:
    """Draw accuracies by epoch, and of each training at its best validation, beside published ones."""
    return draw_accuracies(EXPERIMENT, data)
