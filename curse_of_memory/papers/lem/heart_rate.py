"""LEM (2110.04744) on BIDMC32HR: the heart rate from pulse waves, of patients that are known or of others."""

from collections.abc import Mapping, Sequence

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from curse_of_memory.papers.lem._comparison import Quantity, compared, selected
from curse_of_memory.papers.lem._comparison_report import (
    SAID,
    draw_curves,
    draw_ends,
    looks_of,
    printed,
    reduced,
    told,
)
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import Batch, HeartRate
from curse_of_memory.tasks.heart_windows import (
    DIVISIONS,
    Windows,
    constant_error,
    nearest_error,
    patient_mean_error,
    share_beside_training,
)
from curse_of_memory.tasks.sampling import Splits

__all__ = ["data", "plot"]

ERROR = Quantity("error", "rmse", shown="{:.2f}", unit=" bpm")
LOG, README = "log of the public code", "README of the public code"
PUBLISHED = {LOG: 0.8539, README: 0.85}  # test errors with the official division
CONSTANT = "one constant"
LINES = {CONSTANT: "--", "mean of the patient": "-.", "nearest training window": ":", LOG: "-"}
TITLES = {"official": "official division", "patients": "patients apart"}
OFFICIAL = {"train": 5565, "steps": 4000, "width": 128, "epochs": 500}
WORDS = SAID | {"train": "{} training windows"}
TICKS = 1.0, 2.0, 5.0  # of each decade


@figure_data(
    title="Heart rate from pulse waves",
    source="Long Expressive Memory (2110.04744), BIDMC32HR; settings, log and README of its public code",
)
def data(
    *,
    models: Sequence[str] = MODELS,
    samples: int = 1000,
    averaged: int = 25,
    normalised: bool = True,
    train: int = 1000,
    validation: int = 200,
    test: int = 400,
    width: int = 16,
    dt: float = 1.0,
    learning_rate: float = 0.03,
    batch_size: int = 40,
    epochs: int = 4,
    falls: Sequence[int] = (4,),
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train LEM and models of as many weights to read heart rates, of known patients and of others.

    By the recipe of the public code: Adam, whose rate falls tenfold after the epochs `falls`, selection by
    the validation windows. The windows are divided as there, and by whole patients. Read are the last
    `samples` of a window, in means of `averaged`; `train`, `validation` and `test` windows, if there are so
    many. The public code normalises nothing; where `normalised`, each window is, and so are labels while
    models learn, by the mean and the deviation of those for training.

    Columns: ``division, model, seed, epoch, validation, test, weights, status``, errors in beats a minute;
    what is known without a training has no seed, and is of all test windows.
    """
    official = HeartRate(samples=samples, averaged=averaged, normalised=normalised, data=data)
    tables = []
    for division in DIVISIONS:
        task = official.divided(division)
        splits = task.splits(train, validation, test)
        scale = float(splits.train.targets.std()) if normalised else 1.0
        trained = compared(
            _scaled(splits, scale) if normalised else splits,
            output_size=task.output_size,
            quantity=ERROR,
            seeds=seeds,
            seed=seed,
            models=models,
            width=width,
            dt=dt,
            memory=task.horizon,
            batch_size=batch_size,
            epochs=epochs,
            learning_rate=learning_rate,
            falls=falls,
            device=device,
        )
        trained[["validation", "test"]] *= scale
        known = pd.DataFrame(_known(task.windows).items(), columns=["model", "test"])
        tables.append(pd.concat([trained, known], ignore_index=True).assign(division=division))
    table = pd.concat(tables, ignore_index=True)
    beside = share_beside_training(official.windows)
    sizes = {"train": train, "steps": official.horizon, "width": width, "epochs": epochs}
    return _findings(table, beside, reduced(sizes, OFFICIAL, WORDS), official.stand_in)


def _scaled(splits: Splits, scale: float) -> Splits:
    """Return the parts with labels of mean 0 and deviation 1 in the part for training."""
    mean = splits.train.targets.mean()
    return Splits(*(Batch(part.inputs, (part.targets - mean) / scale) for part in splits))


def _known(windows: Windows) -> dict[str, float]:
    """Return the errors of answers that read no wave; of patients without a training window all are one."""
    errors = constant_error(windows), patient_mean_error(windows), nearest_error(windows)
    return dict(zip(LINES, errors, strict=False))


def _findings(table: pd.DataFrame, beside: float, scale: str, stand_in: str) -> Findings:
    headline: dict[str, float] = {
        f"test windows with a neighbour for training ({TITLES['official']}, %)": 100 * beside
    }
    runs, words, texts, paper = {}, [f"{scale}."] if scale else [], [], {}
    for division, title in TITLES.items():
        own = rows(table, division=division)
        trained, known = own.loc[own.seed.notna()].astype({"weights": int}), _lines(own)
        medians, by_seed, told_of = told(trained, ERROR)
        headline |= {f"{title}: {label}": value for label, value in medians.items()}
        headline |= {f"{title}: {name}, {ERROR.label}": value for name, value in known.items()}
        runs |= {f"{title}: {label}": values for label, values in by_seed.items()}
        lines = ", ".join(f"{name} {value:.2f}" for name, value in known.items())
        words.append(f"{title.capitalize()}: {told_of} Without a wave: {lines}.")
        if division == "official" and not stand_in:
            known |= PUBLISHED
            paper = (
                {f"{title}: LEM: test {ERROR.label}": PUBLISHED[LOG]} if "LEM" in set(trained.model) else {}
            )
        texts.append(printed(trained, ERROR, known).assign(division=title))
    text = pd.concat(texts, ignore_index=True).set_index("division").reset_index().fillna("")
    return Findings(table, " ".join(words), headline, paper, text, spreads(runs), stand_in)


def _lines(table: pd.DataFrame) -> dict[str, float]:
    """Return what is known without a training of one division, one entry where all are the same."""
    known = table.loc[table.seed.isna()].set_index("model").test
    return {CONSTANT: float(known[CONSTANT])} if known.nunique() == 1 else known.astype(float).to_dict()


def plot(data: FigureData) -> Figure:
    """Draw errors by epoch, and the test errors of all trainings for both divisions, beside what is known."""
    looks = looks_of(data.table.loc[data.table.epoch.notna()].model)
    steps = int(data.parameters["samples"]) // int(data.parameters["averaged"])
    scale = reduced({**data.parameters, "steps": steps}, OFFICIAL, WORDS)
    with plotting.style():
        figure, axes = plotting.canvas(3, width=16, height=5.8)
        _draw_training(axes[0], data, looks)
        for axis, place, division in zip(axes[1:], "bc", DIVISIONS, strict=True):
            own = rows(data.table, division=division)
            draw_ends(axis, selected(own), ERROR, looks)
            known = _lines(own)
            if division == "official" and not data.stand_in:
                known[LOG] = PUBLISHED[LOG]
            for name, value in known.items():
                axis.axhline(value, color="0.35", ls=LINES[name], lw=1.3, label=name)
            axis.set(yscale="log", title=f"({place}) {TITLES[division].capitalize()}, best validation")
        axes[2].sharey(axes[1])
        plotting.joined_legend(figure, axes, ncols=5, fontsize=11)
        for axis in axes:
            axis.yaxis.set_major_locator(LogLocator(subs=TICKS))
            axis.yaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_minor_formatter(NullFormatter())
        figure.suptitle(scale, fontsize=11)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_training(axis: Axes, data: FigureData, looks: Mapping[str, plotting.Look]) -> None:
    """Draw the validation errors with the official division, and those that the public code has logged."""
    own = rows(data.table, division="official")
    draw_curves(axis, own.loc[own.seed.notna()], ERROR, looks)
    if not data.stand_in:
        log = reference("lem/heart_rate_log")
        plotting.theory(axis, log.epoch, log.valid_rmse, lw=1.2, label=f"{LOG} (full scale)")
    axis.set(xscale="symlog", yscale="log", title="(a) While training, official division")
    axis.set_xlim(left=0)
