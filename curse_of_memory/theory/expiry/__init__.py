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

__all__ = [
    "LiveMemories",
    "LogitNormalSpans",
    "last_reached",
    "life",
    "live_memories",
    "mask",
    "ramp_steps",
    "reach",
    "serves_next_step",
    "span_kernel",
]
