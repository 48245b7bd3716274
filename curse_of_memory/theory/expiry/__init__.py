"""Theory of memories that expire (Expire-Span, 2105.06548): their life, their number, price and worth.

=============================================  ===============================================================
question                                       answer
=============================================  ===============================================================
how much a memory counts, and for how long     :func:`mask`, :func:`life`, :func:`ramp_steps`
how far back a stack of layers knows anything  :func:`reach`, :func:`last_reached`, :func:`span_kernel`
how many memories are alive                    :func:`live_memories`, :class:`LogitNormalSpans`
the best span at a price                       :func:`span_loss`, :func:`exponential_span`, :func:`sharp_span`
what training charges for a span               :func:`charge`, :func:`charge_gradient`
which span training ends at                    :func:`learnt_span`, :func:`blind_span`, :func:`safe_step`
what spans save against one window             :func:`kind_spans`, :func:`largest_saving`
what shortening at random leaves of a span     :func:`shortened_span`, :func:`shortened_mask`
what it costs to drop memories                 :func:`evict`; bounds: :func:`window_mass` and others
=============================================  ===============================================================

Spans, ages and ramps are in steps.
"""

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
