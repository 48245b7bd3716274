"""Temporally weighted errors, drop-in for the losses of `torch.nn`.

The weight w_t = tᵖ (or any positive function of t) multiplies the error of step t, and is scaled
to mean one, so that p = 0 is the plain loss. An error of the model's memory at lag s is then
punished with b(s) = Σ_{t>s} w_t, the memory bias: "INTEREST" (2307.11462), Theorem 3.3.
"""

from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curse_of_memory import checks
from curse_of_memory.theory import bias

__all__ = ["TemporallyWeightedCrossEntropy", "TemporallyWeightedMAE", "TemporallyWeightedMSE"]


class _TemporallyWeighted(nn.Module):
    """What the three losses share: the weight over time and the reduction."""

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
            weight = bias.power(power)
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


class _WithForm(_TemporallyWeighted):
    """A loss whose weight stands on the error, or where the public code has it."""

    FORMS: ClassVar[tuple[str, str]]

    def __init__(self, power: float = 0.0, *, weight=None, reduction: str = "mean", form: str = "error"):
        super().__init__(power, weight=weight, reduction=reduction)
        self.form = checks.one_of("form", form, self.FORMS)

    def extra_repr(self) -> str:
        """Say which weight this is, and where it stands, in ``print(loss)``."""
        return f"{super().extra_repr()}, form={self.form!r}"


def _check_pair(y_hat: Tensor, y: Tensor) -> None:
    if y_hat.ndim != 3 or y_hat.shape != y.shape:
        raise ValueError(
            "y_hat and y must both have shape (batch, time, channel), "
            f"got {tuple(y_hat.shape)} and {tuple(y.shape)}"
        )


class TemporallyWeightedMSE(_WithForm):
    """Weighted squared error, mean over batch, time and channel of w_t (ŷ_t − y_t)².

    Parameters
    ----------
    power : float
        p of the weight tᵖ, t = 1 … T; `math.inf` keeps the last step only.
    weight : Bias or callable, optional
        Any other positive weight: an object of :mod:`curse_of_memory.bias`, or a function of the
        array of steps t = 1 … T.
    reduction : {'mean', 'sum', 'none'}
        As in `torch.nn`.
    form : {'error', 'inside_square'}
        Where the weight stands. ``'error'`` is the paper's. ``'inside_square'`` is what the public
        code does, (w_t ŷ_t − w_t y_t)²: the error of step t then counts w_t², for the weight tᵖ as
        if p had been 2p, and the weights no longer have mean one.

    Raises
    ------
    ValueError
        For an unknown form or reduction, a weight that is not positive, or (when called) tensors
        that are not both ``(batch, time, channel)``.

    Examples
    --------
    >>> loss = TemporallyWeightedMSE(power=1)
    >>> loss(torch.ones(1, 3, 1), torch.zeros(1, 3, 1)).item()
    1.0
    >>> loss.weights(3).tolist()
    [0.5, 1.0, 1.5]
    """

    FORMS = ("error", "inside_square")

    def effective_weights(self, horizon: int, *, dtype: torch.dtype | None = None, device=None) -> Tensor:
        """Return what multiplies the squared error of each step: w_t, or w_t² inside the square."""
        w = self.weights(horizon, dtype=dtype, device=device)
        return w if self.form == "error" else w**2

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the loss of `y_hat` against `y`, both ``(batch, time, channel)``."""
        _check_pair(y_hat, y)
        w = self.effective_weights(y.shape[1], dtype=y_hat.dtype, device=y_hat.device)
        return self._reduce(w[:, None] * (y_hat - y) ** 2)

    def residuals(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the numbers whose squares add up to :meth:`expected`, for least-squares solvers.

        Arguments are those of :meth:`expected`; the shape is ``(..., residual)``.
        """
        checks.one_of("inputs", inputs, bias.INPUTS)
        checks.positive("dt", dt)
        checks.non_negative("variance", variance)
        if kernel_error.ndim < 3:
            shape = tuple(kernel_error.shape)
            raise ValueError(f"kernel_error must have shape (..., time, output, input), got {shape}")
        if inputs == "random_walk":
            kernel_error = kernel_error.cumsum(-3)
        horizon, outputs, _ = kernel_error.shape[-3:]
        w = self.effective_weights(horizon, dtype=kernel_error.dtype, device=kernel_error.device)
        B = w.flip(0).cumsum(0).flip(0)
        scale = (variance * dt**2 * B / (horizon * outputs)).sqrt()
        residuals = (scale[:, None, None] * kernel_error).flatten(-3)
        if offset_error is not None:
            offsets = (w / (horizon * outputs)).sqrt()[:, None] * offset_error
            residuals = torch.cat([residuals, offsets.flatten(-2)], -1)
        return residuals

    def expected(
        self,
        kernel_error: Tensor,
        *,
        offset_error: Tensor | None = None,
        dt: float = 1.0,
        variance: float = 1.0,
        inputs: str = "white",
    ) -> Tensor:
        """Return the expected loss of a linear model on a linear target, without data.

        E = variance · dt² · (1/T) Σ_s B_s Δρ_s² + (1/T) Σ_t w_t Δμ_t²,  B_s = Σ_{t>s} w_t,

        for ŷ_k − y_k = dt Σ_s Δρ_s x_{k−s} + Δμ_k; the mean over outputs, the sum over inputs.
        It is differentiable.

        Parameters
        ----------
        kernel_error : Tensor of shape ``(..., time, output, input)``
            Δρ_s = ρ̂_s − ρ_s, densities per unit time.
        offset_error : Tensor of shape ``(..., time, output)``, optional
            Δμ_k, the part of the error that does not depend on the input.
        dt : float
            Time step.
        variance : float
            Variance of the independent steps ξ: of each input (white), or of each increment of it.
        inputs : {'white', 'random_walk'}
            x_k = ξ_k, or x_k = Σ_{r≤k} ξ_r, for which cumulated kernels take the place of Δρ.

        Returns
        -------
        Tensor of shape ``(...)``

        Raises
        ------
        ValueError
            For kernels of fewer dimensions, unknown inputs, or a bad `dt` or `variance`.
        """
        residuals = self.residuals(
            kernel_error, offset_error=offset_error, dt=dt, variance=variance, inputs=inputs
        )
        return residuals.square().sum(-1)


class TemporallyWeightedMAE(_TemporallyWeighted):
    """Weighted absolute error, mean over batch, time and channel of w_t |ŷ_t − y_t|.

    A weight inside the absolute value is the same weight, so there is one form only.

    Parameters
    ----------
    power, weight, reduction
        As for :class:`TemporallyWeightedMSE`, and so are the errors raised.

    Examples
    --------
    >>> loss = TemporallyWeightedMAE(power=2)
    >>> loss(torch.zeros(1, 2, 1), torch.tensor([[[0.0], [1.0]]])).item()  # w = (0.4, 1.6)
    0.800000011920929
    """

    def forward(self, y_hat: Tensor, y: Tensor) -> Tensor:
        """Return the loss of `y_hat` against `y`, both ``(batch, time, channel)``."""
        _check_pair(y_hat, y)
        w = self.weights(y.shape[1], dtype=y_hat.dtype, device=y_hat.device)
        return self._reduce(w[:, None] * (y_hat - y).abs())


class TemporallyWeightedCrossEntropy(_WithForm):
    """Weighted cross-entropy, mean over batch and time of w_t · CE(logits_t, class_t).

    Parameters
    ----------
    power, weight, reduction
        As for :class:`TemporallyWeightedMSE`.
    form : {'error', 'on_logits'}
        Where the weight stands. ``'error'`` is the paper's. ``'on_logits'`` is what the public code
        does: CE(w_t · logits_t, class_t). That is a temperature 1/w_t for step t, not a weight: a
        step with small w_t cannot be predicted with confidence, whatever the model says.

    Raises
    ------
    ValueError
        For an unknown form or reduction, or tensors of other shapes than those of :meth:`forward`.
    """

    FORMS = ("error", "on_logits")

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of `logits` ``(batch, time, class)`` against `classes` ``(batch, time)``."""
        if logits.ndim != 3 or logits.shape[:2] != classes.shape:
            raise ValueError(
                "logits must have shape (batch, time, class) and classes (batch, time), "
                f"got {tuple(logits.shape)} and {tuple(classes.shape)}"
            )
        w = self.weights(classes.shape[1], dtype=logits.dtype, device=logits.device)
        if self.form == "on_logits":
            return self._reduce(functional.cross_entropy((w[:, None] * logits).mT, classes, reduction="none"))
        return self._reduce(w * functional.cross_entropy(logits.mT, classes, reduction="none"))
