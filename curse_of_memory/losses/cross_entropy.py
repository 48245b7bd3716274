"""Temporally weighted cross-entropy."""

import numbers
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from curse_of_memory.losses._weighted import WithForm, check_tensors, steps_below, wide_dtype
from curse_of_memory.theory import bias
from curse_of_memory.tools import checks

__all__ = ["IGNORED", "TemporallyWeightedCrossEntropy"]

IGNORED = -100
"""The label that losses leave out, torch's and ours, unless they say another one."""


class TemporallyWeightedCrossEntropy(WithForm):
    """Weighted cross-entropy, the mean over what counts of w_t · CE(logits_t, class_t).

    With ω_c the weight of class c, the mean is

        Σ w_t · CE_t  /  Σ w_t ω_{class_t},        CE_t = −ω_{class_t} log softmax(logits_t)_{class_t},

    both sums over the labels of the batch that are not ignored. Targets may be of differing lengths, filled
    up with ignored labels: those that count are a target's own steps t = 1 … T_i, its end mark among them
    where it is a label, and their weights have mean one. Without `class_weight` the lower sum is then the
    number of labels. An error that is the same at all labels is the loss whatever the weights are, and with
    p = 0 it is `torch.nn.CrossEntropyLoss` for every choice of the options that both have.

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
    clock : {'own', 'batch'}
        How t runs where labels are ignored. ``'own'``: over the labels of each target that count, in their
        order. ``'batch'``: over all steps of the batch, t = 1 … T, whose weights have mean one; the mean is
        then over what the weights of the labels add up to, and a row may be without any. Where nothing counts
        at all, it is NaN, as torch's.

    Raises
    ------
    ValueError
        For an unknown form, reduction or clock, a smoothing outside of [0, 1], a bad `class_weight`, or (when
        called) tensors of other shapes than those of :meth:`forward`, lengths below one or above `time`, or,
        by its own clock and with weights that differ, a target of which no label counts.
    TypeError
        For what is no tensor, or of a dtype that :meth:`forward` does not name.

    Notes
    -----
    INTEREST (2307.11462) weighs the errors of summaries, which are of differing lengths, by this rule. Which
    clock it has, and whether its end mark counts, is not public.

    Examples
    --------
    >>> loss, logits = TemporallyWeightedCrossEntropy(power=1), torch.zeros(1, 3, 2)
    >>> round(loss(logits, torch.tensor([[0, 1, -100]])).item(), 6)  # log 2 at each step that is labelled
    0.693147
    >>> apart = TemporallyWeightedCrossEntropy(power=1, reduction="none")
    >>> (apart(logits, torch.tensor([[0, 1, -100]])) / apart(logits[:, :1], torch.tensor([[0]]))).tolist()
    [[0.6666666865348816, 1.3333333730697632, 0.0]]
    """

    FORMS = ("error", "on_logits")
    class_weight: Tensor | None

    def __init__(
        self,
        power: float = 0.0,
        *,
        weight: bias.Bias | Callable[[np.ndarray], np.ndarray] | Tensor | None = None,
        class_weight: Tensor | None = None,
        ignore_index: int = IGNORED,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
        form: str = "error",
        clock: str = "own",
    ):
        if isinstance(weight, Tensor):
            if class_weight is not None:
                raise ValueError(
                    "class_weight must not be given beside a tensor as weight, which means the same"
                )
            weight, class_weight = None, weight
        super().__init__(power, weight=weight, reduction=reduction, form=form, clock=clock)
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

    def forward(self, logits: Tensor, classes: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Return the loss of `logits` ``(batch, time, class)``.

        `classes` are the numbers of the right classes, ``(batch, time)``, or their probabilities, of the
        shape of `logits`. Probabilities count ω_c each in CE_t, and one label in the mean: Σ w_t. Of targets
        of differing `lengths` ``(batch,)`` nothing counts from that step on, whatever the labels are.
        """
        check_tensors(logits=logits, classes=classes)
        probable = classes.is_floating_point()
        if logits.ndim != 3 or classes.shape != (logits.shape if probable else logits.shape[:2]):
            raise ValueError(
                "logits must have shape (batch, time, class) and classes (batch, time), or the same for "
                f"probabilities, classes last, got {tuple(logits.shape)} and {tuple(classes.shape)}"
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
        counts = self._counting(classes)
        if lengths is not None:
            counts = counts & steps_below(lengths, *counts.shape).to(counts.device)
            # what stands beyond a length may be no number: it must not reach the gradient, either
            logits = logits.where(counts[..., None], 0)
            classes = (
                classes.where(counts[..., None], 0) if probable else classes.where(counts, self.ignore_index)
            )
        w = self.weights_where(counts)
        if self.form == "on_logits":
            logits, w = w.to(logits)[..., None] * logits, counts.to(w)
        options = {"ignore_index": self.ignore_index, "label_smoothing": self.label_smoothing}
        # all steps are rows, as they lie in memory: torch takes longer where classes come before steps
        targets = classes.flatten(0, 1)
        errors = functional.cross_entropy(logits.flatten(0, 1), targets, omega, reduction="none", **options)
        errors = errors.view(logits.shape[:2])
        w = w.to(errors.device, wide_dtype(errors))
        return self._weighed(w, errors, _shares(w, omega, classes, counts).sum())

    def counted(self, classes: Tensor) -> float:
        """Return what the mean over `classes` is divided by, and parts of a set are weighed by.

        Examples
        --------
        >>> TemporallyWeightedCrossEntropy(power=1).counted(torch.tensor([[0, 1, -100], [1, -100, -100]]))
        3.0
        """
        counts = self._counting(classes)
        w = counts.to(torch.float64) if self.form == "on_logits" else self.weights_where(counts)
        return _shares(w, self.class_weight, classes, counts).sum().item()

    def _counting(self, classes: Tensor) -> Tensor:
        """Return which labels are not ignored, ``(batch, time)``; of probabilities all."""
        if classes.is_floating_point():
            return torch.ones(classes.shape[:2], dtype=torch.bool, device=classes.device)
        return classes.long() != self.ignore_index  # bytes, for which torch takes -100 for 156

    def extra_repr(self) -> str:
        """Say which weight this is, and what else differs from the plain loss, in ``print(loss)``."""
        words = [super().extra_repr()]
        if self.class_weight is not None:
            words.append(f"{len(self.class_weight)} classes weighted")
        if self.label_smoothing:
            words.append(f"label_smoothing={self.label_smoothing:g}")
        return ", ".join(words)


def _shares(w: Tensor, omega: Tensor | None, classes: Tensor, counts: Tensor) -> Tensor:
    """Return what each step counts in the mean: its weight, times that of its class where it has one."""
    if omega is None or classes.is_floating_point():
        return w
    return w * omega.to(w)[classes.where(counts, 0).long()]
