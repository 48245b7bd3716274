"""Shared by the losses: the weight over time, where it stands, the reduction, and checks of tensors."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from curse_of_memory.theory import bias
from curse_of_memory.tools import checks


class TemporallyWeighted(nn.Module):
    """A loss with a weight over time and a reduction."""

    if TYPE_CHECKING:  # torch says of its modules that they answer with anything

        def __call__(self, *tensors: Tensor, **named: Tensor) -> Tensor: ...

    def __init__(
        self,
        power: float = 0.0,
        *,
        weight: bias.Bias | Callable[[np.ndarray], np.ndarray] | None = None,
        reduction: str = "mean",
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

    def weights(self, horizon: int, *, dtype: torch.dtype | None = None, device=None) -> Tensor:
        """Return w_1 … w_T, scaled to mean one, of shape ``(horizon,)``."""
        return torch.as_tensor(self.bias.weights(horizon, unit_mean=True), dtype=dtype, device=device)

    def _reduce(self, errors: Tensor) -> Tensor:
        return {"mean": torch.mean, "sum": torch.sum, "none": lambda e: e}[self.reduction](errors)

    def extra_repr(self) -> str:
        """Say which weight this is in ``print(loss)``."""
        return f"{self.bias.name}, reduction={self.reduction!r}"


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
    ):
        super().__init__(power, weight=weight, reduction=reduction)
        self.form = checks.one_of("form", form, self.FORMS)

    def extra_repr(self) -> str:
        """Say which weight this is, and where it stands, in ``print(loss)``."""
        return f"{super().extra_repr()}, form={self.form!r}"


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


def check_tensors(**named) -> None:
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _numbers(name: str, values: Tensor) -> None:
    if not (values.is_floating_point() or values.is_complex()):
        raise TypeError(f"{name} must be of a floating-point or complex dtype, got {values.dtype}")
