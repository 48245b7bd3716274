"""Transformers of Expire-Span with any law of forgetting, trained on streams that ask for something."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import nn

from curse_of_memory.nn import CausalTransformer
from curse_of_memory.nn.forgetting import AdaptiveSpan, ExpireSpan, Law, Sinks, Window
from curse_of_memory.tasks.labelled_streams import LabelledStream
from curse_of_memory.training import StreamEvaluation, evaluate_stream, fit_stream

__all__ = ["LAWS", "SINKS", "Sizes", "StreamTask", "network", "trained"]

SINKS = 4  # first memories that are kept with a window
TEST = 2  # entry of the seed of the test stream, beside those of training and validation


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
        L and R, of the laws that have them, in steps.
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


LAWS: dict[str, Callable[[float, Sizes], Law]] = {
    "Expire-Span": lambda price, sizes: ExpireSpan(
        sizes.max_span, sizes.ramp, initial_share=sizes.initial_share, price=price
    ),
    "window": lambda window, sizes: Window(int(window)),
    "adaptive span": lambda price, sizes: AdaptiveSpan(
        sizes.max_span, sizes.ramp, initial_share=sizes.initial_share, price=price
    ),
    "sinks": lambda window, sizes: Sinks(SINKS, int(window) - SINKS),
}
"""Laws by name, from the one number by which their memories are made more or fewer: a price, or a window."""


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
        block=sizes.block,
        seed=seed,
        vocabulary=vocabulary,
        input_size=input_size,
    )


def trained(
    model: nn.Module, task: StreamTask, sizes: Sizes, seed: int, device: str = "auto"
) -> StreamEvaluation:
    """Train a model on a stream that never repeats; return what it says of another one.

    The weights are those of the best accuracy on a third stream, which is looked at twelve times.
    """
    learnt = task.stream(sizes.steps * sizes.rows * sizes.block + 1, seed=(seed, 0))
    seen, test = (task.stream(sizes.tried, seed=(seed, part)) for part in (1, TEST))
    fit_stream(
        model,
        learnt.inputs,
        seen.inputs,
        labels=learnt.labels,
        validation_labels=seen.labels,
        steps=sizes.steps,
        rows=sizes.rows,
        chunk=sizes.block,
        learning_rate=sizes.learning_rate,
        validate_every=max(1, sizes.steps // 12),
        validation_rows=32,
        metric="accuracy",
        seed=seed,
        device=device,
    )
    return evaluate_stream(model, test.inputs, labels=test.labels, rows=32, chunk=128, device=device)
