"""Temporally weighted cross-entropy."""

import numbers
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curse_of_memory.losses._weighted import WithForm, check_tensors
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks

__all__ = ["TemporallyWeightedCrossEntropy"]


class TemporallyWeightedCrossEntropy(WithForm):
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
            check_tensors(class_weight=class_weight)
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
        check_tensors(logits=logits, classes=classes)
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
        # all steps are rows, as they lie in memory: torch takes longer where classes come before steps
        targets = classes.flatten(0, 1)
        errors = functional.cross_entropy(logits.flatten(0, 1), targets, omega, reduction="none", **options)
        errors = errors.view(logits.shape[:2])
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
        words = [super().extra_repr()]
        if self.class_weight is not None:
            words.append(f"{len(self.class_weight)} classes weighted")
        if self.label_smoothing:
            words.append(f"label_smoothing={self.label_smoothing:g}")
        return ", ".join(words)
