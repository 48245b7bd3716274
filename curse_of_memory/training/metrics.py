"""Metrics on a set of sequences: the loss, accuracy, RMSE or a function, exact over chunks of any size.

Equation.   A set is cut into chunks i of which each has the mean m_i over c_i things that count (sequences,
            labels or numbers). The mean over the set is Σ c_i m_i / Σ c_i, whatever the chunks are; a root is
            taken of that mean, in the end.
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from curse_of_memory.losses.cross_entropy import IGNORED, TemporallyWeightedCrossEntropy
from curse_of_memory.tools import checks
from curse_of_memory.training.demands import real_number
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.unread import Unread, piece

__all__ = ["METRICS", "Metric", "evaluated", "metric_of"]

METRICS = ("loss", "accuracy", "rmse")
"""Names of the metrics by which weights are selected."""

Measure = Callable[[Tensor, Tensor], Tensor]


class Metric:
    """A number that says how good answers are: a mean over what counts, of a function of a chunk.

    Parameters
    ----------
    name : str
        What its columns are called by: ``validation_<name>`` and ``test_<name>``.
    mean : callable
        ``mean(answers, targets)`` is the mean over a chunk, one real number.
    count : callable, optional
        ``count(targets)`` is what that mean is divided by; the number of sequences unless given.
    largest : bool
        Whether larger is better.
    root : bool
        Whether the root is taken of the mean over the set.
    """

    def __init__(
        self,
        name: str,
        mean: Measure,
        count: Callable[[Tensor], float] = len,
        *,
        largest: bool = False,
        root: bool = False,
    ):
        self.name, self.mean, self.count = name, mean, count
        self._sign, self._root = -1 if largest else 1, root

    def better(self, value: float, best: float) -> bool:
        """Return whether `value` is strictly better than the `best` so far, or that is NaN: there is none."""
        return not self._sign * value >= self._sign * best

    def over(self, means: Sequence[float], counts: Sequence[float], place: OneProcess) -> float:
        """Return the value on a set from its chunks, those of all processes of `place` together."""
        total = float(sum(counts))
        counted = place.mean_number(total)
        if not counted:
            raise ValueError(
                f"metric {self.name!r} must have something to count in validation and test data, got nothing"
            )
        parts = [(mean, count) for mean, count in zip(means, counts, strict=True) if count]
        if place.size == 1 and len(parts) == 1:  # comes out as it was, to the last bit
            mean = float(parts[0][0])
        else:  # shares of one that are all 1 come to 1, and to nothing above it
            mean = place.mean_number(float(sum(mean * count for mean, count in parts))) / counted
        return math.sqrt(mean) if self._root and mean >= 0 else mean


def metric_of(given: str | Measure, loss: Measure) -> Metric:
    """Return the metric that is called so, or measured by a function of answers and targets.

    Parameters
    ----------
    given : str or callable
        One of :data:`METRICS`; or a function, whose value is a mean over sequences of which less is better.
    loss : callable
        That of the training. A label that it ignores counts for no accuracy.

    Raises
    ------
    ValueError, TypeError
        For an unknown name, and for what is none.

    Examples
    --------
    >>> answers, targets = torch.tensor([[0.1, 0.9], [0.7, 0.3], [0.2, 0.8]]), torch.tensor([1, 1, -100])
    >>> metric_of("accuracy", torch.nn.CrossEntropyLoss()).mean(answers, targets).item()
    0.5
    """
    if callable(given) and not isinstance(given, type):
        name = getattr(given, "__name__", type(given).__name__)
        return Metric(name if name.isidentifier() and name not in METRICS else "metric", given)
    name = checks.one_of("metric", given, METRICS) if isinstance(given, str) else None
    if name is None:
        raise TypeError(f"metric must be one of {', '.join(map(repr, METRICS))} or a function, got {given!r}")
    if name == "loss":
        return Metric(name, loss, _counted_by(loss))
    if name == "rmse":
        return Metric(name, _mean_square, Tensor.numel, root=True)
    ignored = getattr(loss, "ignore_index", IGNORED)
    return Metric(
        name,
        lambda answers, targets: _share_right(answers, targets, ignored),
        lambda targets: int((_labels(targets) != ignored).sum()),
        largest=True,
    )


def evaluated(
    answer: Callable[[Tensor], Tensor],
    pair: Sequence[Tensor] | Unread,
    metrics: Sequence[Metric],
    place: OneProcess,
    size: int | None = None,
) -> list[float]:
    """Return the values of `metrics` on a set, `size` sequences at a time.

    Parameters
    ----------
    answer : callable
        What the model answers to inputs, in the precision of errors.
    pair : pair of tensors, or Unread
        Inputs and targets, of which this process has its share. They stay as they are.
    metrics : sequence of Metric
        What is asked for.
    place : OneProcess
        Where the run takes place.
    size : int, optional
        All sequences at once unless given.
    """
    length = len(pair) if isinstance(pair, Unread) else len(pair[0])
    step = size or length
    means: list[list[float]] = [[] for _ in metrics]
    counts: list[list[float]] = [[] for _ in metrics]
    with torch.no_grad():
        for start in range(0, length, step):
            inputs, right = piece(pair, slice(start, start + step))
            answers = answer(inputs.clone())
            for metric, seen, counted in zip(metrics, means, counts, strict=True):
                # whoever measures may work in place
                seen.append(real_number(metric.mean(answers.clone(), right.clone()), metric.name).item())
                counted.append(metric.count(right))
    return [metric.over(m, c, place) for metric, m, c in zip(metrics, means, counts, strict=True)]


def _counted_by(loss: Measure) -> Callable[[Tensor], float]:
    """Return what the mean of a loss is divided by: the labels that count, where it ignores some."""
    if isinstance(loss, TemporallyWeightedCrossEntropy) and loss.reduction == "mean":
        return loss.counted
    if isinstance(loss, nn.CrossEntropyLoss) and loss.reduction == "mean":
        plain = TemporallyWeightedCrossEntropy(class_weight=loss.weight, ignore_index=loss.ignore_index)
        return lambda targets: (
            len(targets) if targets.is_floating_point() else plain.counted(targets.reshape(1, -1))
        )
    return len


def _mean_square(answers: Tensor, targets: Tensor) -> Tensor:
    if answers.shape != targets.shape:
        shapes = f"{tuple(answers.shape)} and {tuple(targets.shape)}"
        raise ValueError(f"metric 'rmse' must have answers and targets of one shape, got {shapes}")
    return (answers - targets).abs().double().square().mean()


def _labels(targets: Tensor) -> Tensor:
    """Return the labels: `targets`, or the most probable ones if those are probabilities."""
    return targets.argmax(-1) if targets.is_floating_point() else targets


def _share_right(answers: Tensor, targets: Tensor, ignored: int) -> Tensor:
    labels = _labels(targets)
    if answers.is_complex() or answers.shape[:-1] != labels.shape or answers.shape[-1:] in ((), (1,)):
        shapes = f"{tuple(answers.shape)} and {tuple(targets.shape)}"
        raise ValueError(
            f"metric 'accuracy' must have answers (..., class) of two classes at least, and labels (...), "
            f"got {shapes}"
        )
    return (answers.argmax(-1) == labels)[labels != ignored].double().mean()
