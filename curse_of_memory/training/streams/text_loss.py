"""The loss per step asked of a stream, in a chunk, and over rows through which a state is handed on."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from curse_of_memory.losses.cross_entropy import IGNORED
from curse_of_memory.measure.refusals import in_one_line
from curse_of_memory.training.metrics import Metric
from curse_of_memory.training.processes import OneProcess
from curse_of_memory.training.streams.carried import CarriedState
from curse_of_memory.training.streams.chunks import ChunkAnswer, answer_chunk
from curse_of_memory.training.streams.memory_means import MemoryMeans
from curse_of_memory.training.streams.stream import Stream
from curse_of_memory.training.untouched import untouched

__all__ = ["check_targets", "evaluated_rows", "token_loss"]

Reader = Callable[[Tensor, Any], ChunkAnswer]


def token_loss(logits: Tensor, targets: Tensor, reduction: str = "mean") -> Tensor:
    """Return the cross-entropy in nats of `targets` ``(rows, time)`` and `logits` ``(rows, time, token)``."""
    _check_logits(logits, targets.shape)
    wide = torch.promote_types(logits.dtype, torch.float32)
    return nn.functional.cross_entropy(
        logits.to(wide).flatten(0, 1), targets.flatten(), ignore_index=IGNORED, reduction=reduction
    )


def _check_logits(logits: Tensor, steps: tuple[int, ...]) -> None:
    if logits.ndim != 3 or logits.shape[:2] != steps or not logits.is_floating_point():
        raise ValueError(
            f"model must answer tokens {tuple(steps)} with logits (rows, time, token), real numbers, "
            f"got {tuple(logits.shape)} of {str(logits.dtype).removeprefix('torch.')}"
        )


def check_targets(model: nn.Module, device: torch.device, **streams: Stream) -> None:
    """Refuse `streams`, by their names, that ask for what a `model` on `device` has no logit of.

    Without labels these are tokens that are read, too. Else an embedding would tell of it in the middle of a
    run, or on CUDA the end of the process.
    """
    step = next(iter(streams.values())).inputs[:1]
    try:
        with untouched(model, device), torch.no_grad():
            model.eval()
            logits = answer_chunk(model, torch.zeros_like(step, device=device)[None], None).y
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of any kind: it is a stranger's
        refusal = TypeError if isinstance(error, TypeError) else ValueError
        raise refusal(f"model does not answer a chunk of one step: {in_one_line(error)}") from error
    _check_logits(logits, (1, 1))
    count = logits.shape[-1]
    for name, stream in streams.items():
        read = stream.targets if stream.labelled else torch.cat([stream.inputs[:1], stream.targets])
        if (last := int(read.max())) >= count:
            most = f"from 0 to {count - 1}, as the model has logits, got {last}"
            if stream.labelled:
                raise ValueError(f"labels of {name} must be {most}")
            raise ValueError(f"{name} must be tokens {most}; or give labels, if the next token is not asked")


@torch.no_grad()
def evaluated_rows(
    read: Reader,
    rows: Sequence[Tensor],
    chunk: int,
    place: OneProcess,
    factors: Sequence[float] = (1.0,),
    metric: Metric | None = None,
) -> tuple[list[float], MemoryMeans, float]:
    """Return what a model says of a whole stream in rows.

    Parameters
    ----------
    read : callable
        Returns what a model answers to a chunk from a state.
    rows : sequence of three tensors
        Inputs, targets, and which steps there are, ``(rows, time)``: this process's share of
        :func:`.side_by_side`.
    chunk : int
        Steps that are read at a time.
    place : OneProcess
        Where they are evaluated.
    factors : sequence of float
        By which logits are multiplied.
    metric : Metric, optional
        What else is asked for.

    Returns
    -------
    losses : list of float
        Per step asked, for each factor; NaN if an answer is lost.
    means : MemoryMeans
        Of what is remembered.
    score : float
        Value of the metric; the first loss without one.
    """
    inputs, targets, _ = rows
    carried, sums, means = CarriedState(), [0.0] * len(factors), MemoryMeans()
    lost = 0
    scores: list[float] = []
    counts: list[float] = []
    for start in range(0, inputs.shape[1], chunk):
        x, y, there = (part[:, start : start + chunk].to(place.device) for part in rows)
        answer = read(x, carried.state(lambda: None))
        carried.hand_on(answer.last)
        lost += answer.lost
        if answer.lost:  # processes go on side by side to the end
            continue
        means.add(answer.live, answer.spans, there)
        for k, factor in enumerate(factors):
            scaled = answer.y if factor == 1 else factor * answer.y
            sums[k] += token_loss(scaled, y, "sum").item()
        if metric is not None:
            scores.append(metric.mean(answer.y, y).item())
            counts.append(metric.count(y))
    if place.mean_number(lost):
        return [math.nan] * len(factors), MemoryMeans(), math.nan
    counted = place.mean_number((targets != IGNORED).sum().item())
    losses = [place.mean_number(total) / counted for total in sums]
    return losses, means, losses[0] if metric is None else metric.over(scores, counts, place)
