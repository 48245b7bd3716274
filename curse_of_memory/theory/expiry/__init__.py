"""Theory of memories that expire (Expire-Span, 2105.06548): their life, their number, price and worth."""

from curse_of_memory.theory.expiry.life import (
    last_reached,
    life,
    mask,
    ramp_steps,
    reach,
    serves_next_step,
    span_kernel,
)
from curse_of_memory.theory.expiry.live_memories import LiveMemories, LogitNormalSpans, live_memories
from curse_of_memory.theory.expiry.look_ahead import blind_span, learnt_span, safe_step
from curse_of_memory.theory.expiry.price import (
    charge,
    charge_gradient,
    exponential_span,
    ramp_factor,
    sharp_span,
    window_error,
)
from curse_of_memory.theory.expiry.span_loss import BestSpan, SpanLoss, span_loss

__all__ = [
    "BestSpan",
    "LiveMemories",
    "LogitNormalSpans",
    "SpanLoss",
    "blind_span",
    "charge",
    "charge_gradient",
    "exponential_span",
    "last_reached",
    "learnt_span",
    "life",
    "live_memories",
    "mask",
    "ramp_factor",
    "ramp_steps",
    "reach",
    "safe_step",
    "serves_next_step",
    "sharp_span",
    "span_kernel",
    "span_loss",
    "window_error",
]
