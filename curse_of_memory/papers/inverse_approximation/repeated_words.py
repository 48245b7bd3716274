"""Inverse approximation theory (2305.19190), figures 5 and 6: memory of repeated words, on stand-ins."""

from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.language_models import trained_language_models, unigram_entropy
from curse_of_memory.experiments.random_stacks import fitted_slope
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data
from curse_of_memory.report.long_table import groups, rows
from curse_of_memory.report.record import Number
from curse_of_memory.tasks import WikiText2
from curse_of_memory.tasks.text import WIKITEXT2
from curse_of_memory.tools import checks

__all__ = ["change_per_repeat", "data", "left_and_growing", "plot"]

ABOVE_NOISE = 10.0  # a change counts where it is this many roundings large


@figure_data(
    title="Memory of repeated words: a small LSTM and transformer as stand-ins for the classifiers",
    source="Inverse approximation theory (2305.19190), figures 5 and 6",
)
def data(
    *,
    words: Sequence[str] = ("the", "film", "good", "bad"),
    repeats: int = 120,
    vocabulary: int = 3000,
    width: int = 48,
    layers: int = 1,
    positions: str = "sinusoidal",
    steps: int = 150,
    batch_size: int = 8,
    learning_rate: float = 0.01,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train two language models on WikiText-2 and let them read one word n = 1, 2, … `repeats` + 1 times.

    Measured is the change of the answer from n to n + 1 repeats, as :func:`change_per_repeat` says, in
    float64: this is the Heaviside probe, with a word for the step. In the panel *change*, the columns
    ``model, word, repeats, change, noise``; in *law*, of the LSTM, ``model, word, rate, r2, start, stop,
    level`` of the line through the logarithm of the change, over the second half of what is above the
    rounding. The training sequences are as long as the longest sentence of repeats. Where the `data` are the
    stand-in, its words are the vocabulary if these are fewer than asked for.
    """
    checks.positive_int("repeats", repeats)
    source = WIKITEXT2.source(data)
    task, validation = (
        WikiText2(split, vocabulary=vocabulary, sequence_length=repeats + 1, data=source)
        for split in ("train", "validation")
    )
    unknown = [word for word, number in zip(words, task.encode(words).tolist(), strict=True) if number == 0]
    if not words or unknown:
        raise ValueError(f"words must be among the {vocabulary} most frequent, got {unknown or words!r}")
    models, losses = trained_language_models(
        task,
        validation,
        width=width,
        layers=layers,
        positions=positions,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    curves, laws = [], []
    for name, model in models.items():
        model.cpu().double()
        for word in words:
            number = int(task.encode([word])[0])
            change = change_per_repeat(model, number, repeats)
            curve = pd.DataFrame({"repeats": change.lag.values, "change": change.values})
            noise = change.attrs["noise_floor"]
            curves.append(curve.assign(model=name, word=word, panel="change", noise=noise))
            if name == "LSTM":
                laws.append({"model": name, "word": word, "panel": "law"} | asdict(fitted_slope(change)))
    table = pd.concat([*curves, pd.DataFrame(laws)], ignore_index=True)
    message, headline = _summary(table, losses, unigram_entropy(task, validation), task.stand_in)
    return Findings(table, message, headline, stand_in=task.stand_in)


def change_per_repeat(model: nn.Module, word: int, repeats: int) -> xr.DataArray:
    """Return the root mean square change of the log-probabilities of all words from n to n + 1 repeats.

    Parameters
    ----------
    model : torch.nn.Module
        Maps words ``(batch, time)`` to logits ``(batch, time, vocabulary)``, in float64.
    word : int
        The word that is repeated.
    repeats : int
        The largest n.

    Returns
    -------
    xarray.DataArray over ``lag``
        n from 1 to `repeats`. The attribute `noise_floor` is eps times the largest of the logarithms.
    """
    with torch.no_grad():
        logs = model(torch.full((1, repeats + 1), word))[0].log_softmax(-1)
    noise = torch.finfo(logs.dtype).eps * logs.abs().max().item()
    values = logs.diff(dim=0).square().mean(1).sqrt().numpy()
    return xr.DataArray(values, {"lag": np.arange(1, repeats + 1)}, ["lag"], attrs={"noise_floor": noise})


def left_and_growing(table: pd.DataFrame) -> pd.DataFrame:
    """Return how much of each change is left at the end and how often it grows, by model and word.

    Columns: ``left``, the largest change in the last quarter over the largest of all; ``growing``, the share
    of repeats, of those above the rounding, at which it is larger than the one before.
    """
    found = {}
    for key, curve in groups(rows(table, panel="change"), ["model", "word"]).items():
        late = curve.repeats > 0.75 * curve.repeats.max()
        heard = curve.change[curve.change > ABOVE_NOISE * curve.noise]
        found[key] = {
            "left": float(curve.change[late].max() / curve.change.max()),
            "growing": float((heard.diff().iloc[1:] > 0).mean()),
        }
    return pd.DataFrame(found).T.rename_axis(["model", "word"])


def _summary(
    table: pd.DataFrame, losses: dict[str, float], unigram: float, stand_in: str
) -> tuple[str, dict[str, Number]]:
    by_word = left_and_growing(table)
    headline: dict[str, Number] = {}
    headline |= {f"validation loss per word (nats), {name}": loss for name, loss in losses.items()}
    headline["the same of word frequencies alone"] = unigram
    for model, word in by_word.index:
        share = by_word.loc[(model, word)]
        headline[f"change left in the last quarter, {model}, “{word}”"] = float(share["left"])
        headline[f"share of repeats at which it grows, {model}, “{word}”"] = float(share["growing"])
    laws = rows(table, panel="law")
    for word, rate, r2 in zip(laws.word, laws.rate, laws.r2, strict=True):
        headline[f"fitted rate per repeat, LSTM, “{word}”"] = rate
        headline[f"R² of that line, “{word}”"] = r2
    lstm, transformer = by_word.loc["LSTM"], by_word.loc["transformer"]
    left, growing = transformer.left, transformer.growing
    text = "these" if stand_in else "WikiText-2"
    message = (
        f"Stand-ins trained here on {text}. The answer of the LSTM settles exponentially, at rates of "
        f"{laws.rate.min():.2g} to {laws.rate.max():.2g} per repeat: in the last quarter of "
        f"{table.repeats.max():.0f} repeats it changes by at most {lstm.left.max():.1g} of its largest "
        f"change. That of the transformer still changes by {left.min():.2g} to {left.max():.2g} of it, and "
        f"grows at {growing.min():.0%} to {growing.max():.0%} of the repeats."
    )
    return message, headline


def plot(data: FigureData) -> Figure:
    """Draw the change of the answer per repeat, a panel a model, with the fitted exponentials of the LSTM."""
    table = data.table
    looks = plotting.looks(dict.fromkeys(table.word))
    changes = rows(table, panel="change")
    with plotting.style():
        figure, (lstm, transformer) = plotting.canvas(2, width=9.6, height=4.4)
        for axis, model in ((lstm, "LSTM"), (transformer, "transformer")):
            for word, (color, mark) in looks.items():
                curve = rows(changes, model=model, word=word)
                heard = curve.loc[curve.change > ABOVE_NOISE * curve.noise]
                axis.plot(heard.repeats, heard.change, mark, color=color, ms=3, label=f"“{word}”")
                if model == "transformer":
                    axis.plot(heard.repeats, heard.change, color=color, lw=0.8)
            axis.set(yscale="log", xlabel="repeats $n$ of the word")
        laws = rows(table, panel="law")[["start", "stop", "level", "rate"]]
        for start, stop, level, rate in laws.itertuples(index=False):
            ends = np.array([start, stop])
            plotting.theory(lstm, ends, level * np.exp(-rate * (ends - start)), ls="--", lw=1.2)
        lstm.add_line(plotting.entry("fitted exponential", ls="--", lw=1.2))
        seen = rows(changes, model="transformer").change
        label = "range of the transformer"
        lstm.axhspan(seen.min(), seen.max(), color=plotting.INK, alpha=0.2, lw=0, label=label)
        lstm.set_ylabel(r"$\|\log p_{n+1}-\log p_n\|$ (root mean square)")
        lstm.set_title("Small LSTM (for figure 5)")
        transformer.set_title("Small transformer (for figure 6)")
        transformer.set_ylim(seen.min() / 3, seen.max() * 3)
        plotting.joined_legend(figure, [lstm], ncols=len(looks) + 2)
        place = "here" if data.stand_in else "on WikiText-2"
        figure.suptitle(f"Stand-ins trained {place}, not the paper's classifiers", fontsize=11)
        plotting.say_stand_in(figure, data.stand_in)
    return figure
