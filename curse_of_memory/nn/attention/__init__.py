"""Attention over the past of a sequence: causal heads, transformers, positions."""
