"""LEM (2110.04744) on Google12: which of twelve keywords is spoken, after 126 frames of its mel spectrum."""

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from curse_of_memory.papers.lem._comparison import ACCURACY, compared
from curse_of_memory.papers.lem._comparison_report import SAID, draw, printed, reduced, told
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Keywords
from curse_of_memory.tasks.keywords import COLLECTION

__all__ = ["data", "plot"]

README = 0.957  # test accuracy
CHANCE, LARGEST = "one of twelve", "largest class alone"
OF_README = "README of the public code"
PARTS = ("training", "validation", "test")
OFFICIAL = {"clips": COLLECTION, "width": 128, "epochs": 60, "batch_size": 100}


@figure_data(
    title="Google12 keywords",
    source="Long Expressive Memory (2110.04744), Google12; settings, log and README of its public code",
)
def data(
    *,
    width: int = 20,
    dt: float = 1.0,
    batch_size: int = 20,
    epochs: int = 5,
    falls: Sequence[int] = (4,),
    learning_rate: float = 0.015,
    input_dropout: float = 0.03,
    models: Sequence[str] = MODELS,
    split: str = "speakers",
    clips_per_class: int = 40,
    seeds: int = 3,
    other_seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM and models of as many weights to tell twelve keywords apart; select by the validation clips.

    - `seeds` LEMs of `width` units and time step `dt`, `other_seeds` of each of the other `models`: Adam,
      whose rate falls tenfold after each of the epochs `falls`; inputs are dropped with the probability
      `input_dropout` in training.
    - `split`, `clips_per_class` and `data` as for :class:`curse_of_memory.tasks.Keywords`: a division by
      speakers, or, where the whole collection is, the official one. Numbers of the public code stand beside
      ours for the latter alone.

    Columns: ``model, seed, epoch, validation, test, weights, status``; the test accuracy stands where the
    validation is better than ever before. What is known without a training has no seed.
    """
    task = Keywords(split, clips_per_class=clips_per_class, data=data)
    official = task.split == "official"
    trained = compared(
        task.splits,
        output_size=task.output_size,
        quantity=ACCURACY,
        seeds=seeds,
        seed=seed,
        models=models,
        other_seeds=other_seeds,
        width=width,
        dt=dt,
        memory=task.horizon,
        batch_size=batch_size,
        epochs=epochs,
        falls=falls,
        learning_rate=learning_rate,
        input_dropout=input_dropout,
        kaiming=False,
        device=device,
    )
    lines = {CHANCE: 1 / task.output_size}
    if official:
        counted = task.splits.test.targets.bincount()
        lines |= {LARGEST: (counted.max() / counted.sum()).item(), OF_README: README}
    known = pd.DataFrame(
        {"model": list(lines), "test": list(lines.values()), "weights": 0, "status": "known"}
    )
    headline, by_seed, words = told(trained, ACCURACY)
    counts = {f"clips for {part}": len(of.targets) for part, of in zip(PARTS, task.splits, strict=True)}
    message = (
        f"{words} One of twelve is {100 / task.output_size:.1f}. There are "
        f"{', '.join(f'{count} {what}' for what, count in counts.items())}"
        f"{'' if official else ', a reduced scale'}."
    )
    return Findings(
        pd.concat([trained, known], ignore_index=True),
        message,
        headline | counts,
        {"LEM: test accuracy (%)": 100 * README} if official else {},
        printed(trained, ACCURACY, lines),
        spreads(by_seed),
        task.stand_in,
        data_part=task.part,
    )


def _scale(data: FigureData) -> str:
    """Return what the figure says of its sizes, if they are not those of the public code."""
    clips = sum(int(data.headline[f"clips for {part}"]) for part in PARTS)
    sizes = {**data.parameters, "clips": min(clips, COLLECTION)}  # and recordings of noise, if all are here
    return reduced(sizes, OFFICIAL, SAID | {"clips": "{} clips"})


def plot(data: FigureData) -> Figure:
    """Draw accuracy by epoch, and on the test clips of all trainings beside what is known."""
    known = data.table.loc[data.table.seed.isna()].set_index("model").test
    logged = None
    if OF_README in known:
        log = reference("lem/google12_log")
        logged = pd.DataFrame({"epoch": log.epoch, "validation": log.valid_accuracy_percent / 100})
    return draw(data, ACCURACY, known.to_dict(), logged=logged, note=_scale(data))
