"""StableSSM (2311.14495): gradient over weight and loss of language models on WikiText-2, by map."""

import math
from collections.abc import Mapping, Sequence
from itertools import product
from typing import cast

import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import nn

from curse_of_memory.experiments.grid import product_of, run_grid
from curse_of_memory.experiments.language_models import WordModel, sweep_words, unigram_entropy, word_s4d
from curse_of_memory.nn import S4D, SequenceStack
from curse_of_memory.nn.gradient_bounds import GradientBound, largest_ratio, reach
from curse_of_memory.papers.stable_ssm._ratios import draw_ratios, typical_ratio, typical_ratios
from curse_of_memory.report import plotting
from curse_of_memory.report.figure import FigureData, Findings, figure_data, spreads
from curse_of_memory.report.long_table import rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import WikiText2
from curse_of_memory.tasks.text import WIKITEXT2

__all__ = ["data", "losses_at_the_end", "plot", "quoted_differences"]

RECORDS = 10  # of one training
COLUMNS = ["panel", "parameterization", "learning_rate", "seed", "step", "ratio", "of_bound", "loss"]
COLUMNS += ["reach", "gradient"]
READ_OFF = 0.14  # error of a difference of two losses of the paper, each read off to 0.1 nats


@figure_data(
    title="Language models on WikiText-2: gradient over weight, and loss",
    source="StableSSM (2311.14495), ratio curves and losses of language models on WikiText-103",
)
def data(
    *,
    parameterizations: Sequence[str] = ("relu", "softplus", "exp", "tanh", "best"),
    learning_rates: Sequence[float] = (0.001, 0.01),
    vocabulary: int = 250,
    width: int = 32,
    states: int = 8,
    layers: int = 2,
    sequence_length: int = 64,
    steps: int = 130,
    batch_size: int = 8,
    seeds: int = 3,
    data: str = "auto",
    seed: int = 0,
    device: str = "auto",
) -> Findings:
    """Train stacks of S4D layers of real modes to say the next word of WikiText-2, and watch their gradients.

    AdamW, cosine schedule, no clipping. Under one seed all maps start from the same modes and see the same
    text. No text is seen twice, so that the validation loss is that of the training, with less noise. Rows of
    the panel *training* hold, at a ``step``, ``ratio`` = max |∂L/∂w|/|w| over all recurrent weights,
    ``of_bound`` = max |∂L/∂w| over its bound of theorem 3.6, and the validation ``loss``, in nats per word.
    Rows of *weights* hold ``reach`` = |f'|/f² and ``gradient`` = |∂L/∂w| over the constant of its bound, at
    most the reach: of each recurrent weight of the first layer at the last step, under the first seed and the
    last learning rate.
    Columns: ``panel, parameterization, learning_rate, seed, step, ratio, of_bound, loss, reach, gradient``.
    Where the `data` are the stand-in, its words are fewer than the text of WikiText-2 has.
    """
    if len(parameterizations) < 2:
        raise ValueError(
            f"parameterizations must be two or more, to compare; got {list(parameterizations)!r}"
        )
    source = WIKITEXT2.source(data)
    task, validation = (
        WikiText2(split, vocabulary=vocabulary, sequence_length=sequence_length, data=source)
        for split in ("train", "validation")
    )
    table = run_grid(
        _trained,
        product_of(learning_rate=learning_rates),
        common={
            "parameterizations": parameterizations,
            "starts": range(seed, seed + seeds),
            "task": task,
            "validation": validation,
            "width": width,
            "states": states,
            "layers": layers,
            "steps": steps,
            "batch_size": batch_size,
            "device": device,
            "with_weights": learning_rates[-1],
        },
    )
    return _findings(table.loc[:, COLUMNS], unigram_entropy(task, validation), task.stand_in)


def _trained(
    learning_rate: float,
    parameterizations: Sequence[str],
    starts: Sequence[int],
    task: WikiText2,
    validation: WikiText2,
    width: int,
    states: int,
    layers: int,
    steps: int,
    batch_size: int,
    device: str,
    with_weights: float,
) -> pd.DataFrame:
    """Train a model with every map from every start, all at once; return the rows of *training*.

    Those of *weights* are there, too, of the models of the first start, if `with_weights` is this rate.
    """
    runs = [(name, start) for name in parameterizations for start in starts]
    models = [
        word_s4d(task.vocabulary, width, layers, start, states=states, parameterization=name)
        for name, start in runs
    ]
    gradients = {id(model): _Gradients(model) for model in models}
    result = sweep_words(
        models,
        task,
        validation,
        steps=steps,
        batch_size=batch_size,
        learning_rate=learning_rate,
        validate_every=max(1, steps // RECORDS),
        watch=lambda model: gradients[id(model)].watched(model),
        seed=[start for _, start in runs],
        device=device,
    )
    tables = []
    for member, ((name, start), model) in enumerate(zip(runs, models, strict=True)):
        own, run = result.isel(member=member), {"parameterization": name, "seed": start}
        seen = {"ratio": own.ratio, "of_bound": own.of_bound, "loss": own.validation_loss}
        training = pd.DataFrame({"step": own.step, **seen}).dropna()
        tables.append(training.assign(panel="training", **run))
        if learning_rate == with_weights and start == starts[0]:
            weights = gradients[id(model)].of_first_layer
            tables.append(weights.assign(panel="weights", step=own.steps.item(), **run))
    return pd.concat(tables, ignore_index=True)


class _Gradients:
    """The gradients of the recurrent weights of all layers of a model, over weights and over bounds."""

    def __init__(self, model: WordModel):
        blocks = cast(SequenceStack, model.network).blocks
        self._bounds = [GradientBound(cast(S4D, block.mixing)) for block in blocks]
        self.of_first_layer = pd.DataFrame()

    def watched(self, model: nn.Module) -> dict[str, float]:
        """Return the largest |gradient|/|weight|, and the largest gradient over its bound.

        The weights of the first layer that have a gradient are kept: ``reach, gradient``.
        """
        shares = [(_over_constant(b) / reach(b.layer)).nan_to_num(0).max().item() for b in self._bounds]
        first = self._bounds[0]
        columns = {"reach": reach(first.layer), "gradient": _over_constant(first)}
        table = pd.DataFrame({name: values.flatten().cpu() for name, values in columns.items()})
        self.of_first_layer = table.loc[table.gradient > 0]
        return {"ratio": largest_ratio(b.layer for b in self._bounds), "of_bound": max(shares)}


def _over_constant(bound: GradientBound) -> torch.Tensor:
    """Return |∂L/∂w| over the constant of its bound, for every recurrent weight of a layer."""
    gradient = bound.layer.recurrent_weight.grad
    assert gradient is not None  # watched after backward passes
    return gradient.abs() / bound.constant()


def losses_at_the_end(table: pd.DataFrame) -> pd.DataFrame:
    """Return the loss of each training at its last step, ``(learning_rate, seed) × parameterization``.

    Parameters
    ----------
    table : pandas.DataFrame
        As :func:`data` makes it.
    """
    training = rows(table, panel="training")
    last = rows(training, step=training.step.max())
    losses = last.set_index(["learning_rate", "seed", "parameterization"]).loss
    return losses.unstack(sort=False)


def _quoted_losses() -> pd.Series:
    """Return the paper's losses, ``(learning_rate, parameterization)``."""
    return reference("stable_ssm/wikitext_loss").set_index(["learning_rate", "parameterization"]).loss


def quoted_differences(last: str) -> pd.Series:
    """Return the paper's losses minus that of the map `last`, ``(learning_rate, parameterization)``."""
    losses = _quoted_losses()
    rates = losses.index.get_level_values("learning_rate")
    against = pd.Series([losses.get((rate, last), math.nan) for rate in rates], losses.index)
    differences = (losses - against).dropna()
    return differences.loc[differences.index.get_level_values("parameterization") != last]


def _findings(table: pd.DataFrame, unigram: float, stand_in: str) -> Findings:
    ends, rates = losses_at_the_end(table), list(dict.fromkeys(table.learning_rate))
    *others, last = ends
    printed = {
        name: f"{low:g}" if low == high else f"{low:g} to {high:g}"
        for name, low, high in reference("stable_ssm/wikitext_ratio")[
            ["parameterization", "low", "high"]
        ].itertuples(index=False)
    }
    quoted, differences = _quoted_losses(), quoted_differences(last)
    headline, by_seed, paper, words = {}, {}, {}, []
    for rate in rates:
        typical = typical_ratios(rows(table, learning_rate=rate))
        for name in typical:
            label = f"typical max |gradient|/|weight|, {name}, learning rate {rate:g}"
            by_seed[label] = typical[name].dropna()
            headline[label] = typical_ratio(by_seed[label])
            if name in printed:
                paper[label] = printed[name]
            if rate == rates[-1]:
                words.append(f"{headline[label]:.2g} ({name})")
    gaps = ends[others].sub(ends[last], axis=0)
    for rate, name in product(rates, ends):
        what, ours, theirs = (
            ("loss per word", ends, quoted)
            if name == last
            else (f"loss per word minus that of {last}", gaps, differences)
        )
        label = f"{what} (nats), {name}, learning rate {rate:g}"
        by_seed[label] = ours.loc[rate, name]
        headline[label] = float(by_seed[label].mean())
        if (rate, name) in theirs.index:
            paper[label] = round(float(theirs.loc[rate, name]), 3)
    headline["loss per word (nats), word frequencies alone"] = unigram
    headline["a gradient over its bound, at most"] = float(table.of_bound.max())
    message = (
        f"Learning rate {rates[-1]:g}: geometric mean of the largest |gradient|/|weight| {', '.join(words)}; "
        f"loss per word {ends.loc[rates[-1], last].mean():.2f} ({last}), and of the others "
        f"{gaps.loc[rates[-1]].min(axis=None):+.3f} to {gaps.loc[rates[-1]].max(axis=None):+.3f} against it. "
        f"No gradient of any step is above {table.of_bound.max():.1g} of its bound."
    )
    return Findings(table, message, headline, paper, spread=spreads(by_seed), stand_in=stand_in)


def plot(data: FigureData) -> Figure:
    """Draw the ratios at the last learning rate, weights against their bound, and the losses at the end."""
    table = data.table
    rates = list(dict.fromkeys(table.learning_rate))
    looks = plotting.looks(dict.fromkeys(table.parameterization))
    with plotting.style():
        figure, (ratios, weights, losses) = plotting.canvas(3, width=13, height=4.6)
        draw_ratios(ratios, rows(table, learning_rate=rates[-1]), looks)
        ratios.set_title(f"Through training, learning rate {rates[-1]:g}")
        each = rows(table, panel="weights")
        for name, (color, mark) in looks.items():
            own = rows(each, parameterization=name)
            weights.plot(own.reach, own.gradient, mark, color=color, mfc="none", ms=3, mew=0.6)
        span = [each.reach.min(), each.reach.max()]
        weights.plot(span, span, "-", color=plotting.INK, label="bound (theorem 3.6)")
        weights.legend(loc="lower right")
        weights.set(
            xscale="log",
            yscale="log",
            xlabel=r"$|f'(w)|\,/\,f(w)^2$",
            ylabel=r"$|\partial L/\partial w|\,/\,(G\,X\,|C|)$",
            title="Every weight of a layer",
        )
        _draw_losses(losses, losses_at_the_end(table), looks, beside_paper=not data.stand_in)
        plotting.joined_legend(figure, [ratios], ncols=5)
        plotting.say_stand_in(figure, data.stand_in)
    return figure


def _draw_losses(
    axis: Axes, ends: pd.DataFrame, looks: Mapping[str, plotting.Look], *, beside_paper: bool
) -> None:
    """Draw the losses minus that of the last map, seed by seed; `beside_paper`, with the paper's in grey."""
    *others, last = ends
    rates = ends.index.unique("learning_rate")
    differences = quoted_differences(last)
    for place, (rate, name) in enumerate(product(rates, others)):
        color, mark = looks[name]
        gaps = ends.loc[rate, name] - ends.loc[rate, last]
        axis.plot([place] * len(gaps), gaps, mark, color=color, mfc="none", ms=6)
        if beside_paper and (rate, name) in differences.index:
            axis.errorbar(place, differences[rate, name], READ_OFF, fmt=mark, color="0.6", ms=6, mfc="none")
    if beside_paper:
        axis.errorbar([], [], [], fmt="o", color="0.6", mfc="none", label="paper, read off")
        axis.legend(loc="best")
    axis.axhline(0, color=plotting.INK, lw=0.8)
    middles = [len(others) * (k + 0.5) - 0.5 for k in range(len(rates))]
    axis.set_xticks(middles, [f"learning rate {rate:g}" for rate in rates])
    axis.grid(visible=False, axis="x")
    axis.set(ylabel=f"loss minus that of {last} (nats)", title="Loss at the end")
