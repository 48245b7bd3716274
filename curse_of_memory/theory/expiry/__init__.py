"""Theory of memories that expire (Expire-Span, 2105.06548): their life, their number, price and worth."""

from curse_of_memory.theory.expiry.eviction import (
    EvictionCertificate,
    dropped_mass,
    evict,
    gate_threshold_mass,
    heavy_hitter_mass,
    sink_mass,
    window_mass,
)
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
from curse_of_memory.theory.expiry.shortening import shortened_gradient, shortened_mask, shortened_span
from curse_of_memory.theory.expiry.span_loss import BestSpan, SpanLoss, span_loss
from curse_of_memory.theory.expiry.water_level import KindSpans, exponential_kinds, kind_spans, largest_saving

__all__ = [
    "BestSpan",
    "EvictionCertificate",
    "KindSpans",
    "LiveMemories",
    "LogitNormalSpans",
    "SpanLoss",
    "blind_span",
    "charge",
    "charge_gradient",
    "dropped_mass",
    "evict",
    "exponential_kinds",
    "exponential_span",
    "gate_threshold_mass",
    "heavy_hitter_mass",
    "kind_spans",
    "largest_saving",
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
    "shortened_gradient",
    "shortened_mask",
    "shortened_span",
    "sink_mass",
    "span_kernel",
    "span_loss",
    "window_error",
    "window_mass",
]
