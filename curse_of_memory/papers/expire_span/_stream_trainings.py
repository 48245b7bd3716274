"""Transformers of Expire-Span with any law of forgetting, trained on streams that ask for something."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import (
    AdaptiveSpan,
    Compressive,
    ExpireSpan,
    ForgetGate,
    Law,
    Sinks,
    Window,
)
from curse_of_memory.tasks.labelled_streams import NOT_ASKED, LabelledStream
from curse_of_memory.training import StreamEvaluation, evaluate_stream, fit_stream

__all__ = [
    "AMOUNTS",
    "LAWS",
    "SINKS",
    "Sizes",
    "StreamTask",
    "in_rows",
    "network",
    "other_laws",
    "trained",
    "trained_with_looks",
]

SINKS = 4  # first memories that are kept with a window
THRESHOLD = 1e-4  # weight below which memories of forget gates are dead
TEST = 2  # entry of the seed of the test stream, beside those of training and validation
ROWS = 32  # of streams that are tried
LOOKS = 6  # at the stream by which weights are selected
FAR = 0.99  # share of the questions whose answers lie in the steps before a row, if not in it


class StreamTask(Protocol):
    """What is asked of a task here."""

    def stream(self, steps: int, *, seed: tuple[int, ...]) -> LabelledStream:
        """Return a stream of so many steps."""
        ...


@dataclass(frozen=True)
class Sizes:
    """Of the transformer, and of its training.

    Attributes
    ----------
    layers, width, heads : int
        Of the transformer; the inner width of its feed-forward parts is 2 · width.
    block : int
        M, steps that are read at a time, and for which there are positions.
    max_span, ramp : int
        L and R, of the laws that have them, in steps. Means of compressive memory reach back to L, and the
        slowest forget gates leave the threshold of a memory's weight after L steps at first.
    initial_share : float
        p: spans begin as p · L.
    rows, steps : int
        Streams that are read side by side, and updates of Adam.
    learning_rate : float
    tried : int
        Steps of the streams by which weights are selected, and of those by which errors are counted.
    """

    layers: int
    width: int
    heads: int
    block: int
    max_span: int
    ramp: int
    initial_share: float
    rows: int
    steps: int
    learning_rate: float
    tried: int


def _compressive(memories: float, sizes: Sizes) -> Compressive:
    """Return the law of a window, and as many means, of as many steps as it takes to reach back to L."""
    window = max(1, round(memories / 2))
    means = max(1, round(memories) - window)
    return Compressive(window, max(1, math.ceil((sizes.max_span - window) / means)), means)


def _forget_gate(threshold: float, sizes: Sizes) -> ForgetGate:
    """Return forget gates of which the slowest keep L memories at first: log θ/log f = L.

    With the threshold 1e-4 they are 83 at least, since a gate forgets within nine steps or more.
    """
    return ForgetGate(threshold, slowest=max(9.0, sizes.max_span / -math.log(threshold)))


LAWS: dict[str, Callable[[float, Sizes], Law]] = {
    "Expire-Span": lambda price, sizes: ExpireSpan(
        sizes.max_span, sizes.ramp, initial_share=sizes.initial_share, price=price
    ),
    "window": lambda window, sizes: Window(int(window)),
    "adaptive span": lambda price, sizes: AdaptiveSpan(
        sizes.max_span, sizes.ramp, initial_share=sizes.initial_share, price=price
    ),
    "sinks": lambda window, sizes: Sinks(SINKS, int(window) - SINKS),
    "compressive memory": _compressive,
    "forget gate": _forget_gate,
}
"""Laws by name, from one number: by that their memories are made more or fewer, but those of forget gates."""
AMOUNTS = {
    "Expire-Span": "price",
    "window": "W",
    "adaptive span": "price",
    "sinks": "W",
    "compressive memory": "memories",
    "forget gate": "threshold",
}
"""What that number is."""


def other_laws(price: float, windows: Sequence[int]) -> dict[str, list[float]]:
    """Return the number of each law to compare with, but windows: one for each.

    Adaptive spans have ten times the `price` of Expire-Span; sinks, and compressive memory, as many memories
    as the middle one of the `windows`, which has to be above the number of sinks.
    """
    middle = windows[(len(windows) - 1) // 2]
    if middle <= SINKS:
        raise ValueError(f"windows must have a middle one above {SINKS}, the number of sinks, got {middle}")
    return {
        "adaptive span": [10 * price],
        "sinks": [middle],
        "compressive memory": [middle],
        "forget gate": [THRESHOLD],
    }


def network(
    law: Law,
    sizes: Sizes,
    classes: int,
    seed: int,
    *,
    vocabulary: int | None = None,
    input_size: int = 1,
) -> CausalTransformer:
    """Return the transformer of the paper, pre-norm, with a law of forgetting.

    Parameters
    ----------
    law : Law
        Of all its layers.
    sizes : Sizes
    classes : int
        Of the answers.
    seed : int
        Of its weights.
    vocabulary : int, optional
        Of its tokens; vectors unless given.
    input_size : int
        Channels of vectors.
    """
    # what is read at a time must be in the window of compressive memory
    block = min(sizes.block, law.window) if isinstance(law, Compressive) else sizes.block
    return CausalTransformer(
        sizes.width,
        sizes.layers,
        heads=sizes.heads,
        feedforward=2 * sizes.width,
        output_size=classes,
        positions="block",
        activation="relu",
        attention_bias=False,
        scaled_residuals=True,
        forgetting=law,
        sees_itself=False,
        zero_memories=sizes.block,
        block=block,
        seed=seed,
        vocabulary=vocabulary,
        input_size=input_size,
    )


def _drawn(task: StreamTask, steps: int, seed: tuple[int, ...], given: str) -> LabelledStream:
    """Return a stream in which something is asked; the arguments `given` have said how long it is."""
    stream = task.stream(steps, seed=seed)
    if not bool(stream.asked.any()):
        raise ValueError(f"{given} must be enough for a question, got {steps} steps")
    return stream


def in_rows(task: StreamTask, steps: int, rows: int, seed: tuple[int, ...]) -> LabelledStream:
    """Return a stream cut into rows, each after the steps before it, in which nothing is asked.

    Who reads rows side by side, each from a state at rest, cannot know what is asked near the beginning of
    one, for its answer is in the row before. Here every row has as many steps before it as 99 % of the ages
    do not exceed. The questions are those of the whole stream, none lost and none asked twice.

    Parameters
    ----------
    task : StreamTask
    steps : int
        In which something may be asked; each row has as many, rounded up.
    rows : int
        How many rows there are, one after the other in what is returned.
    seed : tuple of int
        Names the draw.
    """
    first = _drawn(task, steps, seed, "tried_steps")
    before = math.ceil(float(first.ages[first.asked].double().quantile(FAR)))
    length = -(-steps // rows)
    whole = task.stream(before + rows * length, seed=seed)
    places = length * torch.arange(rows)[:, None] + torch.arange(before + length)
    inputs, labels, ages = (part[places] for part in whole)
    labels[:, :before], ages[:, :before] = NOT_ASKED, -1
    return LabelledStream(*(part.flatten(0, 1) for part in (inputs, labels, ages)))


def trained(
    model: nn.Module, task: StreamTask, sizes: Sizes, seed: int, device: str = "auto"
) -> StreamEvaluation:
    """Train a model on a stream that never repeats; return what it says of another one.

    The weights are those of the best accuracy on a third stream, which is looked at six times.
    """
    return trained_with_looks(model, task, sizes, seed, device)[0]


def trained_with_looks(
    model: nn.Module, task: StreamTask, sizes: Sizes, seed: int, device: str = "auto"
) -> tuple[StreamEvaluation, bool]:
    """Return what :func:`trained` does, and whether the last look at the third stream was the best one."""
    updates = sizes.steps * sizes.rows * sizes.block + 1
    learnt = _drawn(task, updates, (seed, 0), "updates, batch_size and block")
    seen, test = (in_rows(task, sizes.tried, ROWS, (seed, part)) for part in (1, TEST))
    looks = fit_stream(
        model,
        learnt.inputs,
        seen.inputs,
        labels=learnt.labels,
        validation_labels=seen.labels,
        steps=sizes.steps,
        rows=sizes.rows,
        chunk=sizes.block,
        learning_rate=sizes.learning_rate,
        validate_every=max(1, sizes.steps // LOOKS),
        validation_rows=ROWS,
        metric="accuracy",
        seed=seed,
        device=device,
    ).history.validation_accuracy
    said = evaluate_stream(model, test.inputs, labels=test.labels, rows=ROWS, chunk=128, device=device)
    return said, bool(looks.iloc[-1] > looks.iloc[:-1].max())
