"""Laws by which the age of memories alone decides: windows, windows with sinks, and learnt windows.

Equations.  Window:         m(s) = 1 for the W latest memories, else 0            (Transformer-XL, 1901.02860)
            Sinks:          those, and the first k memories for ever              (StreamingLLM, 2309.17453)
            Adaptive span:  m_h(s) = min(1, max(0, 1 + (z_h − s)/R)), z_h = L σ(b_h), for every head or for
                            all of a layer, at the price α mean_h z_h             (1905.07799)

            The paper of adaptive spans learns z/L itself, cut to [0, 1], where its gradient ends; that of the
            logistic function, which it takes for spans that react to the input, never does.
"""

import math

import torch
from torch import Tensor, nn

from curse_of_memory.nn.building import inputs
from curse_of_memory.nn.building.seeding import DRAWN
from curse_of_memory.nn.forgetting.law import Law, ages_at_queries
from curse_of_memory.nn.forgetting.trapezoid import ages_before_ramp, log_trapezoid, spans_of
from curse_of_memory.tools import checks

__all__ = ["AdaptiveSpan", "Sinks", "Window"]


class Window(Law):
    """Law by which the W latest memories count, and all others are dead.

    Parameters
    ----------
    window : int
        W >= 1; a step that sees itself is one of them.

    Raises
    ------
    ValueError, TypeError
        If `window` is below one or no whole number.
    """

    def __init__(self, window: int):
        super().__init__()
        self.window = checks.positive_int("window", window)

    @property
    def last_age(self) -> int:
        """Age of the oldest of the W latest memories."""
        return self.first_age + self.window - 1

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return zero for the W latest memories, and −inf for others."""
        dead = ages_at_queries(ages, queries) > self.last_age
        return notes.new_zeros(dead.shape).masked_fill_(dead, -torch.inf)

    def last_ages(self, notes: Tensor) -> Tensor:
        """Return the age of the W-th memory."""
        return torch.full(notes.shape[:2], self.last_age, device=notes.device)

    def full_ages(self, notes: Tensor) -> Tensor:
        """Return the last age: a memory counts in full as long as it lives."""
        return self.last_ages(notes)

    def extra_repr(self) -> str:
        """Return W for printing."""
        return f"window={self.window}"


class Sinks(Window):
    """Law by which the first k memories of a sequence count for ever, and of all others the W latest.

    Parameters
    ----------
    sinks : int
        k >= 1: memories of its steps 0 to k − 1. Zero vectors before the first step are none of them.
    window : int
        W >= 1; a step that sees itself is one of them.

    Raises
    ------
    ValueError, TypeError
        If a number is below one or no whole number.
    """

    def __init__(self, sinks: int, window: int):
        super().__init__(window)
        self.sinks = checks.positive_int("sinks", sinks)

    def notes(self, states: Tensor, steps: Tensor) -> Tensor:
        """Return one for each of the first k memories, and zero for others, ``(batch, memory, 1)``."""
        return ((steps >= 0) & (steps < self.sinks)).to(states.dtype)[..., None]

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return zero for the first k and the W latest memories, and −inf for others."""
        sink = notes[:, None, None, :, 0] > 0
        dead = (ages_at_queries(ages, queries) > self.last_age) & ~sink
        return notes.new_zeros(dead.shape).masked_fill_(dead, -torch.inf)

    def last_ages(self, notes: Tensor) -> Tensor:
        """Return the age of the W-th memory, and for the first k one that is never reached."""
        never = torch.iinfo(torch.int64).max
        return torch.where(notes[..., 0] > 0, never, super().last_ages(notes))

    def extra_repr(self) -> str:
        """Return k and W for printing."""
        return f"sinks={self.sinks}, window={self.window}"


class AdaptiveSpan(Law):
    """Law by which every head, or every layer, learns one span for all of its memories.

    Parameters
    ----------
    max_span : int
        L, the limit of spans, in steps.
    ramp : int
        R >= 1, in steps.
    per_head : bool
        Whether each head has a span of its own; else the layer has one.
    initial_share : float
        p in (0, 1): every span begins as p · L.
    price : float
        α >= 0, of one step of the mean span in units of the loss.

    Raises
    ------
    ValueError, TypeError
        For an option out of its range.
    """

    max_span: int

    def __init__(
        self,
        max_span: int,
        ramp: int,
        *,
        per_head: bool = True,
        initial_share: float = 0.1,
        price: float = 0.0,
    ):
        super().__init__()
        self.max_span = checks.positive_int("max_span", max_span)
        self.ramp = checks.positive_int("ramp", ramp)
        self.per_head = checks.flag("per_head", per_head)
        self.initial_share = checks.positive("initial_share", initial_share)
        if self.initial_share >= 1:
            raise ValueError(f"initial_share must be between 0 and 1, got {initial_share!r}")
        self.price = checks.non_negative("price", price)

    def attach(self, width: int, heads: int, first_age: int) -> None:
        """Make the logits b of the spans, at which every span is p · L."""
        super().attach(width, heads, first_age)
        logit = -math.log(1 / self.initial_share - 1)
        self.logits = nn.Parameter(torch.full((heads if self.per_head else 1,), logit, **DRAWN))

    @property
    def span_of_heads(self) -> Tensor:
        """The spans z_h = L σ(b_h), ``(heads or 1,)``, in steps."""
        spans = spans_of(self.logits, self.max_span, self.ramp)
        inputs.refuse_nan("spans of AdaptiveSpan", spans)
        return spans

    def log_mask(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor:
        """Return the logarithm of the trapezoid of every head."""
        return log_trapezoid(ages, self.span_of_heads[None, :, None], self.ramp, queries)

    def last_ages(self, notes: Tensor) -> Tensor:
        """Return R − 1 + ⌈max_h z_h⌉."""
        last = self.ramp - 1 + self.span_of_heads.detach().max().ceil().long()
        return last.expand(notes.shape[:2])

    def full_ages(self, notes: Tensor) -> Tensor:
        """Return an age before the first ramp of a head, ⌈min_h z_h⌉ − 2."""
        full = ages_before_ramp(self.span_of_heads.detach().min())
        return full.expand(notes.shape[:2])

    def charge(self, ages: Tensor, notes: Tensor, queries: int) -> Tensor | None:
        """Return α mean_h z_h for each query of the block."""
        if not self.price:
            return None
        return (self.price * queries * self.span_of_heads.mean()).expand(len(ages))

    def spans(self, notes: Tensor) -> Tensor:
        """Return the largest span of the heads, for each memory."""
        return self.span_of_heads.max().expand(notes.shape[:2])

    def extra_repr(self) -> str:
        """Return L, R, whether heads differ, and α for printing."""
        return f"max_span={self.max_span}, ramp={self.ramp}, per_head={self.per_head}, price={self.price:g}"
