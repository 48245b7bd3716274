"""Laws of forgetting for attention, and the store of memories that are alive.

A law is handed to ``CausalSelfAttention`` or ``CausalTransformer`` as ``forgetting=``:

===================  ==========================================================  =================
law                  what it keeps                                               dies
===================  ==========================================================  =================
:class:`Window`      the W latest memories                                       at the age W
:class:`Sinks`       those, and the first k for ever                             at the age W
:class:`AdaptiveSpan`  one span for each head or layer, learnt                   at its span
:class:`ExpireSpan`  a span of its own for every memory, learnt                  at its span
:class:`ForgetGate`  all, with weights that later steps lower                    never
===================  ==========================================================  =================
"""

from curse_of_memory.nn.forgetting.expire_span import ExpireSpan
from curse_of_memory.nn.forgetting.forget_gate import ForgetGate
from curse_of_memory.nn.forgetting.frozen import frozen_at
from curse_of_memory.nn.forgetting.law import Law, ages_at_queries
from curse_of_memory.nn.forgetting.windows import AdaptiveSpan, Sinks, Window

__all__ = [
    "AdaptiveSpan",
    "ExpireSpan",
    "ForgetGate",
    "Law",
    "Sinks",
    "Window",
    "ages_at_queries",
    "frozen_at",
]
