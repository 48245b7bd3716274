"""What trainings of LEM and of other models come to: in numbers, in words, in a table and in a picture."""

import textwrap
from collections.abc import Iterable, Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from curse_of_memory.papers.lem._comparison import Quantity, selected
from curse_of_memory.papers.lem._models import MODELS
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData
from curse_of_memory.report.long_table import rows

__all__ = ["draw", "draw_curves", "draw_ends", "draw_logs", "looks_of", "printed", "reduced", "told"]

LEM_LOOK = plotting.Look("crimson", "D")
SAID = {
    "width": "{} units",
    "epochs": "{} epochs",
    "steps": "{} steps",
    "batch_size": "batches of {}",
}
"""How sizes that many experiments have are said."""

LINES = ("--", "-", ":", "-.", (0, (6, 1, 1, 1, 1, 1)))
"""Styles of the lines for what is known, in turn."""


def told(table: pd.DataFrame, quantity: Quantity) -> tuple[dict[str, float], dict[str, np.ndarray], str]:
    """Return headline numbers, their values by seed, and a sentence: the median test value of each model.

    Values are multiplied by the factor of the `quantity`, as they are shown.
    """
    ends = selected(table)
    runs = {model: quantity.factor * rows(ends, model=model).test.to_numpy() for model in ends.model.unique()}
    by_seed = {f"{model}: test {quantity.label}": values for model, values in runs.items()}
    headline = {label: float(np.median(values)) for label, values in by_seed.items()}
    shown = []
    for model, values in runs.items():
        low, middle, high = (quantity.shown.format(np.quantile(values, q)) for q in (0.0, 0.5, 1.0))
        shown.append(f"{model} {middle} ({low} to {high})")
    least, most = min(map(len, runs.values())), max(map(len, runs.values()))
    number = (
        f"{least} to {most} trainings" if least < most else "1 training" if most == 1 else f"{most} trainings"
    )
    words = f"Test {quantity.label} at the best validation, median and range of {number}: {', '.join(shown)}."
    return headline, by_seed, words


def reduced(sizes: Mapping[str, int], official: Mapping[str, int], said: Mapping[str, str]) -> str:
    """Return which `sizes` are not the `official` ones, in words; an empty text if all are.

    Parameters
    ----------
    sizes, official : mapping from str to int
        By the name of a parameter; what else is in `sizes` is left aside.
    said : mapping from str to str
        How one of them is said, with braces for the number.

    Examples
    --------
    >>> reduced({"width": 24, "epochs": 5, "steps": 9}, {"width": 128, "epochs": 5, "steps": 2000}, SAID)
    'Reduced scale, sizes of the public code in brackets: 24 units (128), 9 steps (2000)'
    """
    other = [
        f"{said[name].format(_spaced(sizes[name]))} ({_spaced(number)})"
        for name, number in official.items()
        if sizes[name] != number
    ]
    return f"Reduced scale, sizes of the public code in brackets: {', '.join(other)}" if other else ""


def _spaced(number: int) -> str:
    """Return a whole number with blanks between its thousands, if it has five digits or more."""
    return f"{number:,}".replace(",", " ") if number > 9999 else f"{number}"


def printed(table: pd.DataFrame, quantity: Quantity, known: Mapping[str, float]) -> pd.DataFrame:
    """Return the table of all models in texts: weights, validation and test; then what is `known`.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`compared` returns it.
    quantity : Quantity
    known : mapping from str to float
        Test values of what is not trained here, such as chance or a published result, by what it is.
    """
    made = []
    for model, own in selected(table).groupby("model", sort=False):
        row = {"model": model, "weights": f"{own.weights.iloc[0]}", "trainings": f"{len(own)}"}
        for part in ("validation", "test"):
            low, middle, high = (quantity.text(float(np.quantile(own[part], q))) for q in (0.0, 0.5, 1.0))
            row |= {part: middle, f"{part}, range": f"{low} to {high}"}
        made.append(row)
    made += [{"model": name, "test": quantity.text(value)} for name, value in known.items()]
    return pd.DataFrame(made).fillna("")


def draw(
    data: FigureData,
    quantity: Quantity,
    lines: Mapping[str, float],
    *,
    logged: pd.DataFrame | None = None,
    note: str = "",
) -> Figure:
    """Draw validation by epoch, and the test value of each training beside lines for what is known.

    Parameters
    ----------
    data : FigureData
        Whose table :func:`compared` returned.
    quantity : Quantity
    lines : mapping from str to float
        Test values that are known, by what they are: chance, a constant answer, a published result.
    logged : pandas.DataFrame, optional
        Logs of public code, ``epoch, validation``; of several, ``log`` says whose.
    note : str
        Written above the whole figure, such as that its scale is reduced.
    """
    looks = looks_of(data.table.loc[data.table.epoch.notna()].model)
    with plotting.style():
        figure, (left, right) = plotting.canvas(2, width=13, height=5.6)
        draw_curves(left, data.table, quantity, looks)
        if logged is not None:
            draw_logs(left, logged, quantity)
        draw_ends(right, selected(data.table), quantity, looks)
        for (name, value), style in zip(lines.items(), LINES, strict=False):
            right.axhline(quantity.factor * value, color="0.35", ls=style, lw=1.3, label=name)
        plotting.joined_legend(figure, [left, right], ncols=4, fontsize=11)
        if note:
            figure.suptitle(textwrap.fill(note, 130), fontsize=11)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def looks_of(trained: Iterable[str]) -> dict[str, plotting.Look]:
    """Return the look of each model, LEM first; those that are none of :data:`MODELS` are variants of LEM."""
    trained = list(dict.fromkeys(trained))
    looks = {"LEM": LEM_LOOK, **plotting.looks(MODELS[1:])}
    looks["stable S4D"] = looks["stable S4D"]._replace(mark="v")  # LEM has the mark that it would have
    variants = [model for model in trained if model not in looks]
    looks |= {model: plotting.Look("darkorange", mark) for model, mark in zip(variants, "dPX", strict=False)}
    return {model: look for model, look in looks.items() if model in trained}


def draw_logs(axis: Axes, logged: pd.DataFrame, quantity: Quantity) -> None:
    """Draw what public codes have `logged` by epoch, each log in its own line, as :func:`draw` has it."""
    whose = logged.log if "log" in logged else pd.Series("the public code", logged.index)
    for (name, own), style in zip(logged.groupby(whose, sort=False), ("-", ":"), strict=False):
        known = quantity.factor * own.validation
        plotting.theory(axis, own.epoch, known, lw=1.2, ls=style, label=f"log of {name}")


def draw_curves(
    axis: Axes, table: pd.DataFrame, quantity: Quantity, looks: Mapping[str, plotting.Look]
) -> None:
    """Draw the validation value by epoch: the median over the trainings of each model, and their range."""
    for model, look in looks.items():
        own = rows(table, model=model).pivot(index="seed", columns="epoch", values="validation")
        values = quantity.factor * own
        plotting.over_seeds(axis, own.columns, values, look, markevery=0.12, lw=1.4, ms=5, label=model)
    axis.set(xlabel="epoch", ylabel=f"{quantity.label}, validation", title="(a) While training")


def draw_ends(
    axis: Axes,
    ends: pd.DataFrame,
    quantity: Quantity,
    looks: Mapping[str, plotting.Look],
    *,
    hollow: bool = False,
) -> None:
    """Draw the test value of each training, a row each of `ends`, as full marks or `hollow` ones."""
    for place, (model, look) in enumerate(looks.items()):
        own = quantity.factor * rows(ends, model=model).test
        spots = place + np.linspace(-0.2, 0.2, len(own)) if len(own) > 1 else [place]
        plotting.measured(axis, spots, own, look, hollow=hollow, ms=7)
    axis.set_xticks(range(len(looks)), list(looks), rotation=20)
    axis.set(ylabel=f"{quantity.label}, test", title="(b) At the best validation, each training")
