"""The error of perturbed models on one fixed set of test sequences, with its standard error."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from curse_of_memory.measure.copies import copies_of
from curse_of_memory.measure.guards import ROWS
from curse_of_memory.measure.passes import BYTES_AT_ONCE, answer_bytes
from curse_of_memory.measure.sequence_map import SequenceMap
from curse_of_memory.protocols import Task

__all__ = ["GROUPS", "sampled_error", "with_standard_error"]

GROUPS = 16  # that the test sequences fall into, for the standard error of their mean
STEPS_AT_ONCE = 2**20  # of all copies together, but at least one copy
A_MEAN = 1e-3  # how far, relative, a mean of groups may be from the loss of all, to be it


def sampled_error(
    system: SequenceMap,
    task: Task,
    loss: nn.Module,
    samples: int,
    seed: tuple[int, ...],
    place: torch.device,
    chunk: int | None = None,
) -> Callable[[Mapping[str, Tensor]], Tensor]:
    """Return a function of stacked weights that gives errors on test sequences and their standard errors.

    Parameters
    ----------
    system : SequenceMap
        What is perturbed; it is checked on the first sequences.
    task
        With ``sample(size, seed=, device=, dtype=)``.
    loss : torch.nn.Module
        ``loss(y_hat, y) -> scalar``. Where the answers to all sequences do not fit, it has to be a mean over
        sequences: a mean of such means then stands for it.
    samples : int
        Test sequences.
    seed : tuple of int
        Names them.
    place : torch.device
        Where they are.
    chunk : int, optional
        Sequences at once, of all copies together.

    Returns
    -------
    callable
        ``error(weights)``, from weights ``(copy, *shape)`` by name to a tensor ``(2, copy)``.
    """
    # half precisions have no FFT, by which tasks answer
    drawn = torch.promote_types(system.dtype, torch.float32)
    x, y = task.sample(samples, seed=seed, device=place, dtype=drawn)
    x = x.to(system.dtype) if x.is_floating_point() else x
    system.check(x[:ROWS], y[:ROWS])
    one = answer_bytes(system, x)
    room = max(1, BYTES_AT_ONCE // one)
    sequences = chunk or min(max(samples, STEPS_AT_ONCE // x.shape[1]), room)
    copies, whole = max(1, sequences // samples), samples <= room
    answers = copies_of(system)
    if not whole:
        _demand_a_mean(system, loss, x, y)

    def in_pieces(weights: Mapping[str, Tensor]) -> Tensor:
        """Return the errors ``(2, 1)`` of one copy, never holding all of its answers."""
        rows = min(sequences, max(1, samples // GROUPS))
        means, counts = [], []
        for inputs, targets in zip(x.split(rows), y.split(rows), strict=True):
            means.append(_real(loss(answers(weights, inputs)[0], targets)))
            counts.append(len(inputs))
        return _of_means(torch.stack(means), torch.tensor(counts, device=x.device))[:, None]

    def error(stacked: Mapping[str, Tensor]) -> Tensor:
        errors = []
        for group in zip(*(w.split(copies) for w in stacked.values()), strict=True):
            weights = dict(zip(stacked, group, strict=True))
            if whole:
                y_hat = torch.cat([answers(weights, some) for some in x.split(sequences)], 1)
                errors += [with_standard_error(loss, one, y)[:, None] for one in y_hat]
            else:
                errors.append(in_pieces(weights))
        return torch.cat(errors, 1)

    return error


def with_standard_error(loss: Callable[[Tensor, Tensor], Tensor], y_hat: Tensor, y: Tensor) -> Tensor:
    """Return the loss of `y_hat` against `y` and its standard error over sequences, ``(2,)``, in float64.

    The sequences are taken as independent draws, in G ≤ 16 groups of equal size. Of a loss that is a mean of
    theirs the standard error is s / √G, with s the standard deviation of the losses of the groups; of any
    other, that of the jackknife, √((G − 1) Σ (L₋g − mean)² / G), with L₋g the loss of all groups but g. From
    16 groups it is known to about a fifth (χ² of 15 degrees of freedom); of one sequence it is infinite.

    Examples
    --------
    >>> y = torch.arange(32.0)[:, None, None]
    >>> value, error = with_standard_error(lambda a, b: (a - b).mean(), y, 0 * y).tolist()
    >>> round(value, 6), round(error, 6)
    (15.5, 2.380476)
    """
    value = _real(loss(y_hat, y))
    groups = torch.arange(len(y), device=y.device).tensor_split(min(GROUPS, len(y)))
    counts = torch.tensor([len(rows) for rows in groups], device=y.device)
    if len(groups) == 1:
        return torch.stack([value, torch.full_like(value, torch.inf)])
    means = torch.stack([_real(loss(y_hat[rows], y[rows])) for rows in groups])
    mean, standard_error = _of_means(means, counts)
    if (mean - value).abs() <= A_MEAN * value.abs():
        return torch.stack([value, standard_error])
    others = [torch.cat([rows for rows in groups if rows is not left]) for left in groups]
    without = torch.stack([_real(loss(y_hat[rows], y[rows])) for rows in others])
    share = (len(groups) - 1) / len(groups)
    return torch.stack([value, (share * (without - without.mean()).square().sum()).sqrt()])


def _real(value: Tensor) -> Tensor:
    if value.is_complex() or value.ndim:
        raise TypeError(f"loss must be one real number, got {value.dtype} of shape {tuple(value.shape)}")
    return value.double()


def _of_means(means: Tensor, counts: Tensor) -> Tensor:
    """Return the mean of groups of `counts` sequences with `means`, and its standard error, ``(2,)``."""
    weights = counts / counts.sum()
    mean = (weights * means).sum()
    spread = (weights.square() * (means - mean).square()).sum() * len(means) / (len(means) - 1)
    return torch.stack([mean, spread.sqrt()])


def _demand_a_mean(system: SequenceMap, loss: Callable, x: Tensor, y: Tensor) -> None:
    y_hat = system.answer(x[:4])
    halves = [_real(loss(y_hat[rows], y[:4][rows])) for rows in (slice(0, 2), slice(2, 4))]
    if not torch.isclose((halves[0] + halves[1]) / 2, _real(loss(y_hat, y[:4])), rtol=A_MEAN):
        raise ValueError("loss must be a mean over sequences where the answers to all samples do not fit")
