"""Laws of forgetting for attention, and the store of memories that are alive.

A law is handed to ``CausalSelfAttention`` or ``CausalTransformer`` as ``forgetting=``:

=====================  =================================================  ===================================
law                    what it keeps                                      when a memory dies
=====================  =================================================  ===================================
:class:`Window`        the W latest memories                              at the age W
:class:`Sinks`         those, and the first k for ever                    at the age W, the first k never
:class:`AdaptiveSpan`  one span for each head or layer, learnt            when its ramp has ended
:class:`ExpireSpan`    a span of its own for every memory, learnt         when its ramp has ended
:class:`Compressive`   the W latest memories, and means of those before   when all of its group are older
:class:`ForgetGate`    all, with weights that later steps lower           below its threshold, if it has one
=====================  =================================================  ===================================

Memories whose law has a price are charged for their spans in training: ``training.fit_stream``, on long
streams through which a state of memories is handed on, and ``training.fit`` add it to what they descend. A
loop of your own calls ``remember(x, state)`` in place of ``run``, and adds its ``price``::

    known = model.remember(x, state)
    (cross_entropy(known.y.flatten(0, 1), labels.flatten()) + known.price).backward()
    state = known.last

Rows of such a state can be chosen, repeated and begun anew: :func:`choose_rows`, :func:`replace_rows`.
"""

from curse_of_memory.nn.forgetting.compressive import Compressive
from curse_of_memory.nn.forgetting.expire_span import ExpireSpan
from curse_of_memory.nn.forgetting.forget_gate import ForgetGate
from curse_of_memory.nn.forgetting.frozen import frozen_at
from curse_of_memory.nn.forgetting.law import Law, ages_at_queries
from curse_of_memory.nn.forgetting.store import choose_rows, replace_rows
from curse_of_memory.nn.forgetting.windows import AdaptiveSpan, Sinks, Window

__all__ = [
    "AdaptiveSpan",
    "Compressive",
    "ExpireSpan",
    "ForgetGate",
    "Law",
    "Sinks",
    "Window",
    "ages_at_queries",
    "choose_rows",
    "frozen_at",
    "replace_rows",
]
