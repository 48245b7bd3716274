"""Laws of forgetting, and rules of eviction, for models of ``transformers`` that one already has.

:func:`.add_expire_span` gives every attention of a decoder a predictor of spans; :mod:`.eviction` deletes by
windows, sinks or heavy hitters, and certifies what this changes. Both use what transformers registers:

- an attention function, which adds log m to the scores (``AttentionInterface``);
- a layer of its ``Cache``, which keeps the memories that are alive, for each sequence its own;
- hooks before the decoder and before each attention, which see padding and hidden states.

No class of a model is subclassed, and no code of one copied. transformers is imported when it is used.
"""
