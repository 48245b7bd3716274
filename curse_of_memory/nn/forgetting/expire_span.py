"""Expire-Span: every memory says, when it is written, for how long it will be needed.

Equation.   The state h_i from which a memory is made predicts its span, and with it its mask for the age s,

                e_i = L σ(w · h_i / c + b),          m_i(s) = min(1, max(0, 1 + (e_i − s)/R)),

            one w, b per layer, shared by its heads. The price of memory

                α/(R T) Σ_{t,i} (e_i − (t − i)) 1[0 < m_ti < 1]

            over T steps, a mean over sequences, is added to the loss. Its gradient is that of α/T Σ e_i; its
            value says nothing of memory (:mod:`curse_of_memory.theory.expiry.price`).

Precision.  Weights and states may be in half precision, or autocast at work. Spans are computed in float32
            all the same, from the states as they are: a logit that is rounded to bfloat16 moves its span by
            up to 4e-4 L, and whole ages beyond 256 are no numbers of bfloat16. So spans, prices, dates of
            death and numbers of live memories are those of float32. What is rounded is log m, relatively by
            2⁻⁹ in bfloat16, when it is added to scores.

Source.     Equations 3 to 7 and appendix A of "Not All Memories are Created Equal" (2105.06548), with ages
            at which memories are charged as in its public code.
"""

import contextlib
import math

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building.own_precision import under_autocast
from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.law import Law
from curse_of_memory.nn.forgetting.trapezoid import ages_before_ramp, log_trapezoid, ramp_charge, spans_of
from curse_of_memory.tools import checks

__all__ = ["ExpireSpan"]


class ExpireSpan(Law):
    """Law by which every memory has a span of its own, learnt from what it holds.

    Parameters
    ----------
    max_span : int
        L, the limit of all spans, in steps.
    ramp : int
        R >= 1: over how many steps a memory fades. Gradients see a use only if it falls on the ramp.
    initial_share : float
        p in (0, 1): every span begins as p · L.
    price : float
        α >= 0, of one step of the mean span in units of the loss. Where few steps are asked the loss is a
        mean over these, and the price one over all steps.
    pre_divide : float
        c > 0, by which states are divided before they are read, for large L (equation 8).
    shorten : bool
        In training, cut all spans at u · L, with one u from [0, 1) for a pass, the same for all layers and
        sequences: spans that are cut learn nothing from it.

    Raises
    ------
    ValueError, TypeError
        For an option out of its range.

    Notes
    -----
    Weights: ``predictor.weight``, ``(1, width)``, zero at first, and ``predictor.bias``, ``(1,)``, at first
    log p/(1 − p): the layout of the public code.

    Examples
    --------
    >>> import torch
    >>> from curse_of_memory.nn import CausalSelfAttention
    >>> law = ExpireSpan(max_span=100, ramp=8, initial_share=0.2)
    >>> attention = CausalSelfAttention(16, heads=2, sees_itself=False, forgetting=law)
    >>> last = attention.remember(torch.ones(1, 60, 16))
    >>> last.live[0, [0, 10, 40]].tolist()  # R − 1 + ⌈e⌉ = 27 of them are alive
    [0, 10, 27]
    """

    max_span: int

    def __init__(
        self,
        max_span: int,
        ramp: int,
        *,
        initial_share: float = 0.1,
        price: float = 0.0,
        pre_divide: float = 1.0,
        shorten: bool = False,
    ):
        super().__init__()
        self.max_span = checks.positive_int("max_span", max_span)
        self.ramp = checks.positive_int("ramp", ramp)
        self.initial_share = checks.positive("initial_share", initial_share)
        if self.initial_share >= 1:
            raise ValueError(f"initial_share must be between 0 and 1, got {initial_share!r}")
        self.price = checks.non_negative("price", price)
        self.pre_divide = checks.positive("pre_divide", pre_divide)
        self.shorten = checks.flag("shorten", shorten)

    def attach(self, width: int, heads: int, first_age: int) -> None:
        """Make the predictor: no weights yet, and the bias at which every span is p · L."""
        super().attach(width, heads, first_age)
        self.predictor = nn.Linear(width, 1, **DRAWN)
        nn.init.zeros_(self.predictor.weight)
        nn.init.constant_(self.predictor.bias, -math.log(1 / self.initial_share - 1))

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return the spans e_i, ``(batch, memory, 1)``, in float32 at least, under autocast, too."""
        weight, bias, device = self.predictor.weight, self.predictor.bias, states.device.type
        dtype = torch.promote_types(weight.dtype, torch.float32)
        with torch.autocast(device, enabled=False) if under_autocast(device) else contextlib.nullcontext():
            states = states.to(dtype)
            if self.pre_divide != 1:
                states = states / self.pre_divide
            logits = nn.functional.linear(states, weight.to(dtype), bias.to(dtype))
            return spans_of(logits, self.max_span, self.ramp)

    def shortened(self, notes: Tensor, share: float | Tensor) -> Tensor:
        """Return spans of at most u · L for the `share` u."""
        return notes.clamp(max=float(share) * self.max_span)

    @property
    def shortens(self) -> bool:
        """Whether spans are cut at random in training."""
        return self.shorten

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return the logarithm of the trapezoid, the same for all heads."""
        return log_trapezoid(ages, notes[:, None, :, 0], self.ramp, queries)

    def last_ages(self, notes: Tensor) -> Tensor:
        """Return R − 1 + ⌈e⌉, exactly the last age with m > 0."""
        return self.ramp - 1 + notes[..., 0].detach().ceil().long()

    def full_ages(self, notes: Tensor) -> Tensor:
        """Return an age before the ramp, ⌈e⌉ − 2: at the age e itself, where m = 1, it has begun."""
        return ages_before_ramp(notes[..., 0].detach())

    def charge(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor | None:
        """Return α/R Σ (e_i − s) over the queries for which a memory is on its ramp."""
        if not self.price:
            return None
        e = notes[..., 0]
        return self.price / self.ramp * ramp_charge(ages, e, self.ramp, queries, self.first_age)

    def spans(self, notes: Tensor) -> Tensor:
        """Return e_i, without the random cut of training."""
        return notes[..., 0]

    def extra_repr(self) -> str:
        """Return L, R, p and α for printing."""
        sizes = f"max_span={self.max_span}, ramp={self.ramp}"
        return f"{sizes}, initial_share={self.initial_share:g}, price={self.price:g}"
