"""Exact theory of memory: targets ρ, biases b, best exponential sums. Imports no torch."""
