"""The copying code of INTEREST (2307.11462) in small: its weights on logits, and how it clips and draws."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from curse_of_memory.losses import TemporallyWeightedCrossEntropy, TemporallyWeightedMSE
from curse_of_memory.nn import RNN
from curse_of_memory.papers.audit._table import Row
from curse_of_memory.report.long_table import curve, rows
from curse_of_memory.report.reference_numbers import reference
from curse_of_memory.tasks import LinearFunctional
from curse_of_memory.tasks.copying import Copying
from curse_of_memory.theory import bias, targets
from curse_of_memory.tools.random_streams import stream

__all__ = ["copying_rows", "copying_weights", "cross_entropy", "margin_curves", "used_gradient"]

CLASSES = 10  # of the copying task: blank, eight digits, marker
FOR_INFINITY = 100  # the power that stands for infinity in the code
MARGIN, SPREAD = 10.0, 4.0  # how far the right class is ahead in fixed logits, and the noise on them
CLIP = 0.5  # the bound on gradients in the linear-functional runs
MARGINS = 10.0 ** np.arange(-1, 5.01, 0.1)


def copying_weights(power: float) -> Callable[[np.ndarray], np.ndarray]:
    """Return w as the copying code has it: (i/n)^p at steps i = 0 … n − 1, but w_0 = 1, and ones for p = 100.

    The code divides by the sum, and our losses by the mean: logits divided by n give its numbers.

    Examples
    --------
    >>> copying_weights(2)(np.array([1.0, 2.0, 3.0, 4.0])).tolist()
    [1.0, 0.0625, 0.25, 0.5625]
    """

    def weight(t: np.ndarray) -> np.ndarray:
        if power == FOR_INFINITY:
            return np.ones_like(t)
        return np.where(t == 1, 1.0, (np.maximum(t - 1, 1.0) / t.size) ** power)

    return weight


def cross_entropy(margin: float | np.ndarray, weight: float = 1.0) -> np.ndarray:
    """Return the loss of logits with the right class ahead of the others by `margin`, times `weight`.

    Examples
    --------
    >>> bool(np.isclose(cross_entropy(5.0, weight=0.0), np.log(CLASSES)))  # chance
    True
    """
    return np.log1p((CLASSES - 1) * np.exp(-weight * np.asarray(margin, dtype=float)))


def used_gradient(clip_first: bool, seed: int) -> float:
    """Return the norm of the gradient that an optimiser is given, with clipping after or before ``backward``.

    Before ``backward``, as in the copying code, there is no gradient yet, and nothing is clipped.
    """
    task = LinearFunctional(targets.named("iat-code-polynomial"), 100)
    model = RNN(8, diagonal=True, seed=seed, dtype=torch.float64)
    x, y = task.sample(64, seed=seed, dtype=torch.float64)
    loss = TemporallyWeightedMSE()(model(x), y)
    if clip_first:
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        loss.backward()
    else:
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), CLIP)
    gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.cat(gradients)))


def _right(task: Copying, sequences: int, seed: int, place: torch.device) -> tuple[Tensor, Tensor]:
    """Return one-hot right answers ``(batch, time, class)`` and the classes."""
    classes = task.sample(sequences, seed=seed).targets.to(place)
    return nn.functional.one_hot(classes, CLASSES).double(), classes


def margin_curves(task: Copying, sequences: int, seed: int, place: torch.device) -> pd.DataFrame:
    """Return the loss against the margin, in closed form and of logits with that margin, as long tables."""
    n = task.horizon
    right, classes = _right(task, sequences, seed, place)
    outside = TemporallyWeightedCrossEntropy()
    inside = TemporallyWeightedCrossEntropy(form="on_logits")
    some = MARGINS[::10]
    ways = {
        "weight on the error": (1.0, outside, some[some < 30]),
        "weight on the logits": (1 / n, lambda z, y: inside(z / n, y), some),
    }
    curves = []
    for name, (weight, loss, margins) in ways.items():
        exact = cross_entropy(MARGINS, weight)
        seen = [float(loss(m * right, classes)) for m in margins]
        curves.append(curve(MARGINS, exact, panel="margin", curve=name, kind="exact"))
        curves.append(curve(margins, seen, panel="margin", curve=name, kind="measured"))
    return pd.concat(curves, ignore_index=True)


def copying_rows(task: Copying, power: float, sequences: int, seed: int, place: torch.device) -> list[Row]:
    """Return the rows on the copying code: weights on logits, their sum and first step, clipping, seeds."""
    logs = reference("interest/copying_logs")
    last = rows(logs, epoch=logs.epoch.max())
    logged = dict(zip(zip(last.memory_length, last.p, strict=True), last.loss.tolist(), strict=True))
    return [*_logit_rows(task, power, sequences, seed, place, logged), *_code_rows(task, power, seed, logged)]


def _logit_rows(
    task: Copying,
    power: float,
    sequences: int,
    seed: int,
    place: torch.device,
    logged: Mapping[tuple[int, float], float],
) -> list[Row]:
    """Return the rows on the weight inside the cross-entropy, which is a temperature there."""
    n = task.horizon
    right, classes = _right(task, sequences, seed, place)
    noise = torch.from_numpy(stream("noise of logits", seed).standard_normal(right.shape)).to(place)
    fixed = MARGIN * right + SPREAD * noise
    outside = TemporallyWeightedCrossEntropy()
    inside = TemporallyWeightedCrossEntropy(form="on_logits")
    place_of = (
        "place of the weight, copying",
        r"$w\,\mathrm{CE}(z)$",
        r"code: $\mathrm{CE}(wz)$, $\Sigma w=1$",
    )
    reached = logged[10, 0]
    weights = copying_weights(power)(np.arange(1.0, n + 1))
    second = float(weights[1] / weights.sum())
    needed = math.log((CLASSES - 1) / math.expm1(reached))

    def gradient(z: Tensor, form: str) -> float:
        """Return the gradient's norm, with weights of sum one in both forms."""
        z = z.clone().requires_grad_()
        loss = inside(z / n, classes) if form == "on_logits" else outside(z, classes) / n
        return float(torch.linalg.vector_norm(torch.autograd.grad(loss, z)[0]))

    numbers = {
        "loss of fixed logits, p = 0": (float(outside(fixed, classes)), float(inside(fixed / n, classes))),
        "accuracy of fixed logits": tuple(
            task.accuracy(z, classes).everywhere for z in (fixed, fixed * (1 / n))
        ),
        f"margin of the logits for the logged loss {reached:.3g}": (needed, needed * n),
        f"cross-entropy of the second step at margin {MARGIN:g}, p = {power:g}": (
            float(cross_entropy(MARGIN)),
            float(cross_entropy(MARGIN, second)),
        ),
        "gradient at zero logits, weights of sum 1": tuple(
            gradient(0 * right, form) for form in ("error", "on_logits")
        ),
        f"gradient at margin {MARGIN:g}, weights of sum 1": tuple(
            gradient(MARGIN * right, form) for form in ("error", "on_logits")
        ),
    }
    return [Row(*place_of, quantity, *both) for quantity, both in numbers.items()]


def _code_rows(
    task: Copying, power: float, seed: int, logged: Mapping[tuple[int, float], float]
) -> list[Row]:
    """Return the rows on the sum and the first step of the weights, on clipping, on seeds and on infinity."""
    n = task.horizon
    paper, code = bias.power(power).weights(n), copying_weights(power)(np.arange(1.0, n + 1))
    # two runs that nothing ties together; each is a seed here, so that the row can be made again
    first, second = (task.sample(256, seed=s).targets[:, -task.memory_length :] for s in (seed, seed + 1))
    return [
        Row(
            "scale of the weights",
            "mean 1 (linear functionals)",
            "sum 1 (copying)",
            f"weight of a step at p = 0, n = {n}",
            1.0,
            1 / n,
        ),
        Row(
            "first step",
            "$w_0=(1/n)^p$",
            "code: $w_0=1$",
            f"its share of all weights, p = {power:g}",
            float(paper[0] / paper.sum()),
            float(code[0] / code.sum()),
        ),
        Row(
            "gradient clipping",
            "after backward",
            "code: before backward",
            f"norm of the gradient used, bound {CLIP:g}",
            used_gradient(False, seed),
            used_gradient(True, seed),
        ),
        Row(
            "data of two runs of one seed",
            "the same",
            "code: numpy is not seeded",
            "share of equal digits to recall",
            1.0,
            float((first == second).double().mean()),
        ),
        Row(
            "p = ∞ in the logs",
            "last step only",
            "all ones: p = 0 with other data",
            "final logged loss, 150 digits: p = 0, p = 100",
            logged[150, 0],
            logged[150, FOR_INFINITY],
        ),
    ]
