"""Weights w(t) on errors, the memory biases b(s) = ∫_s^T w(r) dr that they imply, and weighted errors."""

from curse_of_memory.theory.bias.errors import INPUTS, weighted_error
from curse_of_memory.theory.bias.memory_bias import Bias, T, s, t
from curse_of_memory.theory.bias.ragged import effective_steps, step_shares
from curse_of_memory.theory.bias.weights import exponential, from_callable, from_formula, power

__all__ = [
    "INPUTS",
    "Bias",
    "T",
    "effective_steps",
    "exponential",
    "from_callable",
    "from_formula",
    "power",
    "s",
    "step_shares",
    "t",
    "weighted_error",
]
