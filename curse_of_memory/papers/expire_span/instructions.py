"""Instructions in the text world of LIGHT: error against live memory, of spans and of windows."""

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from curse_of_memory.experiments.grid import run_grid
from curse_of_memory.papers.expire_span._stream_trainings import AMOUNTS, LAWS, Sizes, network, trained
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.tasks.labelled_streams import AgeLaw, Instructions, LabelledStream, law_of_ages
from curse_of_memory.tools import checks

__all__ = ["SIGHT", "data", "guessing_by_receiver", "plot"]

SIGHT = "guesses what is out of sight"


@figure_data(
    title="Instructions in LIGHT",
    source="Expire-Span (2105.06548), the task in LIGHT; rules of projects/longcontext, its settings unknown",
)
def data(
    *,
    rooms: int = 3,
    agents: int = 4,
    prices: Sequence[float] = (1e-4,),
    windows: Sequence[int] = (48,),
    words: int = 200_000,
    layers: int = 2,
    width: int = 32,
    heads: int = 2,
    block: int = 16,
    max_span: int = 256,
    ramp: int = 16,
    initial_share: float = 0.2,
    batch_size: int = 16,
    updates: int = 250,
    learning_rate: float = 0.003,
    tried_steps: int = 8000,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train transformers on the walk through a part of the world, and ask who sent each message.

    The part has some `rooms` and `agents`, and rooms are named, not described. The line is the error by the
    window W of who knows every message that it saw in the last layers · W words, and takes the most frequent
    sender for the receiver where it saw none: ages and senders are those of `words` words. Errors of
    trainings are counted on a stream of `tried_steps` words of its own.

    Columns: ``law, value, seed, live, error``; `live` is the mean number of memories that a word sees, a
    mean over layers, and on the line the window.
    """
    task = Instructions(
        checks.positive_int("rooms", rooms),
        checks.whole_number("agents", agents, least=4),  # of three the sender is known by the receiver
        descriptions=False,
        data=data,
    )
    stream = task.stream(checks.positive_int("words", words), seed=(seed, 9))
    if not bool(stream.asked.any()):
        raise ValueError(f"words must be enough for a question, got {words}")
    law = law_of_ages(stream.ages, guessing_by_receiver(stream))
    reach = np.unique(np.geomspace(1, max(2, math.ceil(law.least_reach(0.0) / layers)), 61).astype(int))
    sight = [law.floor(layers * int(window)) for window in reach]
    line = pd.DataFrame({"law": SIGHT, "value": reach * 1.0, "live": reach, "error": sight})
    sizes = Sizes(
        layers,
        width,
        heads,
        block,
        max_span,
        ramp,
        initial_share,
        batch_size,
        updates,
        learning_rate,
        tried_steps,
    )
    count = checks.positive_int("seeds", seeds)
    runs = [
        {"law": name, "value": float(value), "seed": k}
        for name, values in (("Expire-Span", prices), ("window", windows))
        for value in values
        for k in range(seed, seed + count)
    ]
    source = "stand-in" if task.stand_in else "real"
    common = {"rooms": rooms, "agents": agents, "source": source, "sizes": sizes, "device": device}
    table = pd.concat([line, run_grid(_run, runs, common)], ignore_index=True)
    found = table.reindex(columns=["law", "value", "seed", "live", "error"])
    return _findings(found, law, stream, task.stand_in)


def guessing_by_receiver(stream: LabelledStream) -> float:
    """Return the error of the most frequent sender for each receiver, in a stream.

    The name of the receiver is the word at which the sender is asked.
    """
    receivers, senders = stream.inputs[stream.asked].numpy(), stream.labels[stream.asked].numpy()
    right = sum(np.bincount(senders[receivers == one]).max() for one in np.unique(receivers))
    return 1 - float(right) / len(senders)


def _run(
    law: str, value: float, seed: int, rooms: int, agents: int, source: str, sizes: Sizes, device: str
) -> dict[str, float]:
    """Train one transformer; return its error on a stream of its own, and how many memories are alive."""
    task = Instructions(rooms, agents, descriptions=False, data=source)
    model = network(LAWS[law](value, sizes), sizes, task.vocabulary, seed, vocabulary=task.vocabulary)
    found = trained(model, task, sizes, seed, device)
    return {"error": 1 - found.accuracy, "live": float(np.mean(found.live))}


def _findings(table: pd.DataFrame, law: AgeLaw, stream: LabelledStream, stand_in: str) -> Findings:
    ages = stream.ages[stream.asked].numpy()
    headline: dict[str, float | str] = {
        "words since the sender was named: median": float(np.median(ages)),
        "words since the sender was named: 90 %": float(np.quantile(ages, 0.9)),
        "words since the sender was named: 99 %": float(np.quantile(ages, 0.99)),
        "error of guessing by the receiver": law.guessing,
    }
    runs: dict[str, np.ndarray] = {}
    sentences = []
    for (name, value), some in groups(table.query("law != @SIGHT"), ["law", "value"]).items():
        setting = f"{name}, {AMOUNTS[str(name)]} {value:g}"
        for label, numbers in (("error", some.error), ("live memories", some.live)):
            runs[f"{setting}: {label}"] = numbers.to_numpy()
            headline[f"{setting}: {label}"] = float(numbers.median())
        wrong = f"{100 * some.error.min():.0f} to {100 * some.error.max():.0f} % wrong"
        sentences.append(
            f"{name} ({AMOUNTS[str(name)]} {value:g}) {wrong} with {some.live.mean():.0f} live memories"
        )
    message = (
        f"The sender was named {np.median(ages):.0f} words before in the median, in one question of ten over "
        f"{np.quantile(ages, 0.9):.0f}. Each seed: {'; '.join(sentences)} "
        f"({100 * law.guessing:.0f} % by the most frequent sender for the receiver)."
    )
    return Findings(table, message, headline, spread=spreads(runs), stand_in=stand_in)


def plot(data: FigureData) -> Figure:
    """Draw the error of every training against its live memories, and that of sight and guesses as a line."""
    line = rows(data.table, law=SIGHT)
    looks = plotting.looks(law for law in LAWS if law in set(data.table.law))
    with plotting.style():
        figure, axes = plotting.canvas(1, width=6.4, height=4.2)
        axis = axes[0]
        plotting.theory(
            axis, line.live, 100 * line.error, label="knows what is in sight, else guesses, by window"
        )
        guessed = 100 * float(data.headline["error of guessing by the receiver"])
        axis.axhline(guessed, color=plotting.INK, lw=1, ls=":", label="most frequent sender")
        for law, look in looks.items():
            own = rows(data.table, law=law)
            plotting.measured(axis, own.live, 100 * own.error, look, ms=6, label=f"{law}, each seed")
        axis.set(
            xscale="log",
            ylim=(0, 1.15 * guessed),
            xlabel="memories alive, mean over words and layers",
            ylabel="wrong answers (%)",
            title=f"{data.parameters['rooms']} rooms, {data.parameters['agents']} agents",
        )
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter(NullFormatter())
        plotting.joined_legend(figure, axes, ncols=2)
        plotting.say_stand_in(figure, data.stand_in)
    return figure
