"""Shared by the losses: the weight over time and its clock, where it stands, the reduction, and checks."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.theory import bias
from curse_of_memory.tools import checks

CLOCKS = ("own", "batch")


class TemporallyWeighted(nn.Module):
    """A loss with a weight over time, the clock by which it runs, and a reduction."""

    if TYPE_CHECKING:  # torch says of its modules that they answer with anything

        def __call__(self, *tensors: Tensor, **named: Tensor | None) -> Tensor: ...

    def __init__(
        self,
        power: float = 0.0,
        *,
        weight: bias.Bias | Callable[[np.ndarray], np.ndarray] | None = None,
        reduction: str = "mean",
        clock: str = "own",
    ):
        super().__init__()
        if weight is not None and power != 0.0:
            raise ValueError("give either power or weight, not both")
        if weight is None:
            weight = bias.power(checks.real("power", power, endless=True))
        elif not isinstance(weight, bias.Bias):
            weight = bias.from_callable(weight)
        self.bias = weight
        self.reduction = checks.one_of("reduction", reduction, ("mean", "sum", "none"))
        self.clock = checks.one_of("clock", clock, CLOCKS)

    def weights(self, horizon: int, *, dtype: torch.dtype | None = None, device=None) -> Tensor:
        """Return w_1 … w_T, scaled to mean one, of shape ``(horizon,)``."""
        # what has a formula is the same each time; a function may be anything
        mean_one = _mean_one if self.bias.weight_formula is None else _kept_weights
        return torch.tensor(mean_one(self.bias, horizon), dtype=dtype, device=device)

    def weights_where(self, counts: Tensor) -> Tensor:
        """Return the weights of the steps that count, and zero at all others.

        By the target's own clock the steps of a row that count are its t = 1 … T_i, and their weights have
        mean one; by that of the batch each step has the weight that it has where all of them count.

        Parameters
        ----------
        counts : Tensor of shape ``(batch, time)``
            True where a step counts.

        Returns
        -------
        Tensor of shape ``(batch, time)``, in double precision

        Raises
        ------
        ValueError
            If none counts of a target, by its own clock, and weights differ.

        Examples
        --------
        >>> counts = torch.tensor([[True, True, True], [False, True, False]])
        >>> TemporallyWeighted(power=1).weights_where(counts).tolist()
        [[0.5, 1.0, 1.5], [0.0, 1.0, 0.0]]
        """
        steps = counts.shape[1]
        weights = self.weights(steps)
        if self.clock == "batch" or bool((weights == 1).all()) or bool(counts.all()):
            return weights.to(counts.device) * counts
        lengths, rows = counts.sum(1).unique(return_inverse=True)
        if lengths[0] == 0:
            row = int((rows == 0).nonzero()[0, 0])
            raise ValueError(
                f"targets must each have a step that counts, and row {row} has none; clock='batch' takes it"
            )
        table = torch.zeros(len(lengths), steps, dtype=torch.float64)
        for row, length in zip(table, lengths.tolist(), strict=True):
            row[:length] = self.weights(length)
        ticks = (counts.cumsum(1) - 1).clamp(min=0)
        return table.to(counts.device)[rows].gather(1, ticks) * counts

    def _reduce(self, errors: Tensor) -> Tensor:
        return {"mean": torch.mean, "sum": torch.sum, "none": lambda e: e}[self.reduction](errors)

    def _weighed(self, w: Tensor, errors: Tensor, total: Tensor | None = None) -> Tensor:
        """Return the reduction of w · errors; the mean is over all of them, or their sum over `total`.

        Weights are of the precision of :func:`wide_dtype`, and so is all up to the result: half precision
        has neither a weight of 70 000, as that of a last step may be, nor a sum of many errors.
        """
        weighed = w * errors
        mean = weighed.sum() / total if total is not None and self.reduction == "mean" else None
        return (self._reduce(weighed) if mean is None else mean).to(errors.dtype)

    def extra_repr(self) -> str:
        """Say which weight this is in ``print(loss)``."""
        clock = "" if self.clock == CLOCKS[0] else f", clock={self.clock!r}"
        return f"{self.bias.name}, reduction={self.reduction!r}{clock}"


class WithForm(TemporallyWeighted):
    """A loss whose weight multiplies the error, or stands where the public code has it: its `form`."""

    FORMS: ClassVar[tuple[str, str]]

    def __init__(
        self,
        power: float = 0.0,
        *,
        weight: bias.Bias | Callable[[np.ndarray], np.ndarray] | None = None,
        reduction: str = "mean",
        form: str = "error",
        clock: str = "own",
    ):
        super().__init__(power, weight=weight, reduction=reduction, clock=clock)
        self.form = checks.one_of("form", form, self.FORMS)

    def extra_repr(self) -> str:
        """Say which weight this is, and where it stands, in ``print(loss)``."""
        return f"{super().extra_repr()}, form={self.form!r}"


def _mean_one(weight: bias.Bias, horizon: int) -> np.ndarray:
    return weight.weights(horizon, unit_mean=True)


_kept_weights = lru_cache(maxsize=32, typed=True)(_mean_one)


def error_of(y_hat: Tensor, y: Tensor) -> Tensor:
    """Return ŷ − y of two tensors of one shape ``(batch, time, channel)``, real or complex."""
    check_tensors(y_hat=y_hat, y=y)
    if y_hat.ndim != 3 or y_hat.shape != y.shape:
        raise ValueError(
            "y_hat and y must both have shape (batch, time, channel), "
            f"got {tuple(y_hat.shape)} and {tuple(y.shape)}"
        )
    _numbers("y_hat", y_hat)
    return y_hat - y


def steps_below(lengths: Tensor, batch: int, horizon: int) -> Tensor:
    """Return which steps are below the length of their target, ``(batch, time)``."""
    check_tensors(lengths=lengths)
    if lengths.shape != (batch,) or not _whole(lengths):
        got = f"{lengths.dtype} of shape {tuple(lengths.shape)}"
        raise ValueError(f"lengths must be whole numbers of shape (batch,) = ({batch},), got {got}")
    lengths = lengths.long()
    if batch and not (int(lengths.min()) >= 1 and int(lengths.max()) <= horizon):
        got = f"{int(lengths.min())} to {int(lengths.max())}"
        raise ValueError(f"lengths must be 1 to {horizon}, the steps there are, got {got}")
    return torch.arange(horizon, device=lengths.device) < lengths[:, None]


def wide_dtype(values: Tensor) -> torch.dtype:
    """Return the real dtype of some numbers, of single precision at least."""
    real = values.dtype.to_real() if values.is_complex() else values.dtype
    return torch.promote_types(real, torch.float32)


def check_tensors(**named) -> None:
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _whole(values: Tensor) -> bool:
    return not (values.is_floating_point() or values.is_complex() or values.dtype == torch.bool)


def _numbers(name: str, values: Tensor) -> None:
    if not (values.is_floating_point() or values.is_complex()):
        raise TypeError(f"{name} must be of a floating-point or complex dtype, got {values.dtype}")
