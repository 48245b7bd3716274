"""Weights w of a temporally weighted error and the memory bias b(s) = ∫ₛ w(r) dr they put on lag s."""

from curse_of_memory.theory.bias.errors import INPUTS, weighted_error
from curse_of_memory.theory.bias.memory_bias import Bias, T, s, t
from curse_of_memory.theory.bias.weights import exponential, from_callable, from_formula, power

__all__ = [
    "INPUTS",
    "Bias",
    "T",
    "exponential",
    "from_callable",
    "from_formula",
    "power",
    "s",
    "t",
    "weighted_error",
]
