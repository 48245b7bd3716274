"""Temporally weighted errors, drop-in for the losses of `torch.nn`.

The weight w_t = tᵖ (or any positive function of t) multiplies the error of step t, and is scaled
to mean one, so that p = 0 is the plain loss. An error of the model's memory at lag s is then
punished with b(s) = Σ_{t>s} w_t, the memory bias: "INTEREST" (2307.11462), Theorem 3.3.
"""

import numbers
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from curse_of_memory.theory import bias
from curse_of_memory.tools import checks

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


class _WithForm(_TemporallyWeighted):
    """A loss whose weight stands on the error, or where the public code has it."""

    FORMS: ClassVar[tuple[str, str]]

    def __init__(self, power: float = 0.0, *, weight=None, reduction: str = "mean", form: str = "error"):
        super().__init__(power, weight=weight, reduction=reduction)
        self.form = checks.one_of("form", form, self.FORMS)

    def extra_repr(self) -> str:
        """Say which weight this is, and where it stands, in ``print(loss)``."""
        return f"{super().extra_repr()}, form={self.form!r}"


def _error(y_hat: Tensor, y: Tensor) -> Tensor:
    """Return ŷ − y of two tensors of one shape ``(batch, time, channel)``, real or complex."""
    _tensors(y_hat=y_hat, y=y)
    if y_hat.ndim != 3 or y_hat.shape != y.shape:
        raise ValueError(
            "y_hat and y must both have shape (batch, time, channel), "
            f"got {tuple(y_hat.shape)} and {tuple(y.shape)}"
        )
    _numbers("y_hat", y_hat)
    return y_hat - y


def _tensors(**named) -> None:
    for name, value in named.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} must be a torch.Tensor, got {type(value).__name__}")


def _numbers(name: str, values: Tensor) -> None:
    if not (values.is_floating_point() or values.is_complex()):
        raise TypeError(f"{name} must be of a floating-point or complex dtype, got {values.dtype}")


def _squared(error: Tensor) -> Tensor:
    """Return |e|², which is real for complex errors, too."""
    return error.real**2 + error.imag**2 if error.is_complex() else error**2


def _real_dtype(values: Tensor) -> torch.dtype:
    return values.dtype.to_real() if values.is_complex() else values.dtype


class TemporallyWeightedMSE(_WithForm):
    """Weighted squared error, mean over batch, time and channel of w_t |ŷ_t − y_t|².

    Outputs may be complex: an error then counts by its modulus, and the loss is real.

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
    TypeError
        For what is no tensor, or whole numbers for `y_hat`.

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
        squares = _squared(_error(y_hat, y))
        w = self.effective_weights(y.shape[1], dtype=squares.dtype, device=squares.device)
        return self._reduce(w[:, None] * squares)

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

        Arguments are those of :meth:`expected`; the shape is ``(..., residual)``. Complex errors give
        the real residuals of real and imaginary part, side by side.
        """
        checks.one_of("inputs", inputs, bias.INPUTS)
        checks.positive("dt", dt)
        checks.non_negative("variance", variance)
        if not isinstance(kernel_error, Tensor):
            raise TypeError(f"kernel_error must be a tensor, got {type(kernel_error).__name__}")
        if kernel_error.ndim < 3:
            shape = tuple(kernel_error.shape)
            raise ValueError(f"kernel_error must have shape (..., time, output, input), got {shape}")
        if inputs == "random_walk":
            kernel_error = kernel_error.cumsum(-3)
        horizon, outputs, _ = kernel_error.shape[-3:]
        w = self.effective_weights(horizon, dtype=_real_dtype(kernel_error), device=kernel_error.device)
        B = w.flip(0).cumsum(0).flip(0)
        scale = (variance * dt**2 * B / (horizon * outputs)).sqrt()
        residuals = (scale[:, None, None] * kernel_error).flatten(-3)
        if offset_error is not None:
            offsets = (w / (horizon * outputs)).sqrt()[:, None] * offset_error
            residuals = torch.cat([residuals, offsets.flatten(-2)], -1)
        return torch.view_as_real(residuals).flatten(-2) if residuals.is_complex() else residuals

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

        E = variance · dt² · (1/T) Σ_s B_s |Δρ_s|² + (1/T) Σ_t w_t |Δμ_t|²,  B_s = Σ_{t>s} w_t,

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
    """Weighted absolute error, mean over batch, time and channel of w_t |ŷ_t − y_t|, complex ones by modulus.

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
        sizes = _error(y_hat, y).abs()
        w = self.weights(y.shape[1], dtype=sizes.dtype, device=sizes.device)
        return self._reduce(w[:, None] * sizes)


class TemporallyWeightedCrossEntropy(_WithForm):
    """Weighted cross-entropy, the mean over what counts of w_t · CE(logits_t, class_t).

    With ω_c the weight of class c, the mean is

        Σ w_t · CE_t  /  Σ w_t ω_{class_t},        CE_t = −ω_{class_t} log softmax(logits_t)_{class_t},

    both sums over the labels of the batch that are not ignored. For labels that all count and without
    `class_weight` the lower sum is the number of labels, since the w_t have mean one; where only some steps
    are labelled it is what their weights add up to, so that an error that is the same at all of them is the
    loss whatever the weights are. Where nothing counts, all labels ignored or at steps of weight zero, the
    mean is NaN, as torch's. With p = 0 it is `torch.nn.CrossEntropyLoss` for every choice of the options
    that both have.

    Parameters
    ----------
    power : float
        p of the weight tᵖ, t = 1 … T; `math.inf` keeps the last step only.
    weight : Bias, callable or Tensor, optional
        Any other positive weight over time, as for :class:`TemporallyWeightedMSE`. A tensor is taken for
        `class_weight`, which torch's losses call so.
    class_weight : Tensor of shape ``(class,)``, optional
        ω, the weights of the classes.
    ignore_index : int
        Labels of this value count neither in the sum nor in the mean.
    label_smoothing : float
        ε in [0, 1]: the share of a label that is spread evenly over all classes.
    reduction : {'mean', 'sum', 'none'}
        As in `torch.nn`. 'sum' and 'none' are of w_t · CE_t, with zero at ignored labels.
    form : {'error', 'on_logits'}
        Where the weight stands. ``'error'`` is the paper's. ``'on_logits'`` is what the public code
        does: CE(w_t · logits_t, class_t), with torch's mean. That is a temperature 1/w_t for step t, not a
        weight: a step with small w_t cannot be predicted with confidence, whatever the model says.

    Raises
    ------
    ValueError
        For an unknown form or reduction, a smoothing outside of [0, 1], a bad `class_weight`, or (when
        called) tensors of other shapes than those of :meth:`forward`.
    TypeError
        For what is no tensor, or of a dtype that :meth:`forward` does not name.

    Examples
    --------
    >>> loss, logits = TemporallyWeightedCrossEntropy(power=1), torch.zeros(1, 3, 2)
    >>> round(loss(logits, torch.tensor([[0, -100, 1]])).item(), 6)  # log 2 at each step that is labelled
    0.693147
    """

    FORMS = ("error", "on_logits")
    class_weight: Tensor | None

    def __init__(
        self,
        power: float = 0.0,
        *,
        weight: bias.Bias | Callable[[np.ndarray], np.ndarray] | Tensor | None = None,
        class_weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        form: str = "error",
    ):
        if isinstance(weight, Tensor):
            if class_weight is not None:
                raise ValueError(
                    "class_weight must not be given beside a tensor as weight, which means the same"
                )
            weight, class_weight = None, weight
        super().__init__(power, weight=weight, reduction=reduction, form=form)
        if class_weight is not None:
            _tensors(class_weight=class_weight)
            if class_weight.ndim != 1 or not class_weight.is_floating_point():
                got = f"{class_weight.dtype} of shape {tuple(class_weight.shape)}"
                raise ValueError(f"class_weight must be real numbers of shape (class,), got {got}")
        self.register_buffer("class_weight", class_weight)
        if isinstance(ignore_index, bool) or not isinstance(ignore_index, numbers.Integral):
            raise TypeError(f"ignore_index must be a whole number, got {ignore_index!r}")
        self.ignore_index = int(ignore_index)
        self.label_smoothing = checks.non_negative("label_smoothing", label_smoothing)
        if self.label_smoothing > 1:
            raise ValueError(f"label_smoothing must be at most 1, got {label_smoothing!r}")

    def forward(self, logits: Tensor, classes: Tensor) -> Tensor:
        """Return the loss of `logits` ``(batch, time, class)``.

        `classes` are the numbers of the right classes, ``(batch, time)``, or their probabilities, of the
        shape of `logits`. Probabilities count ω_c each in CE_t, and one label in the mean: Σ w_t.
        """
        _tensors(logits=logits, classes=classes)
        probable = classes.is_floating_point()
        if logits.ndim != 3 or classes.shape != (logits.shape if probable else logits.shape[:2]):
            raise ValueError(
                "logits must have shape (batch, time, class) and classes (batch, time), or the same for "
                f"probabilities, got {tuple(logits.shape)} and {tuple(classes.shape)}"
            )
        if not logits.is_floating_point():
            raise TypeError(f"logits must be of a floating-point dtype, got {logits.dtype}")
        if classes.is_complex() or classes.dtype == torch.bool:
            raise TypeError(f"classes must be whole numbers, or probabilities, got {classes.dtype}")
        omega = self.class_weight
        if omega is not None:
            if omega.shape != logits.shape[2:]:
                raise ValueError(
                    f"class_weight must be of {logits.shape[2]} classes as logits are, got {len(omega)}"
                )
            rounds = torch.is_autocast_enabled(
                logits.device.type
            )  # by itself, to a dtype that is wide enough
            omega = omega.to(device=logits.device, dtype=None if rounds else logits.dtype)
        classes = classes.to(logits.dtype if probable else torch.long)
        w = self.weights(logits.shape[1])
        if self.form == "on_logits":
            logits, w = w.to(logits)[:, None] * logits, torch.ones_like(w)
        options = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
        targets = classes.mT if probable else classes
        errors = functional.cross_entropy(logits.mT, targets, omega, reduction="none", **options)
        w = w.to(errors)  # whose dtype may be wider under autocast
        if self.reduction != "mean":
            return self._reduce(w * errors)
        if probable:
            return (w * errors).sum() / (w.sum() * len(errors))
        counts = classes != self.ignore_index
        share = w * counts if omega is None else w * counts * omega.to(w)[classes.where(counts, 0)]
        return (w * errors).sum() / share.sum()

    def extra_repr(self) -> str:
        """Say which weight this is, and what else differs from the plain loss, in ``print(loss)``."""
        parts = [super().extra_repr()]
        if self.class_weight is not None:
            parts.append(f"{len(self.class_weight)} classes weighted")
        if self.label_smoothing:
            parts.append(f"label_smoothing={self.label_smoothing:g}")
        return ", ".join(parts)
