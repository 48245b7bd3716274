"""Weights w of a temporally weighted error and the memory bias b(s) = ∫ₛ w(r) dr they put on lag s."""

from curse_of_memory.theory.bias.weights import (
    INPUTS,
    Bias,
    T,
    exponential,
    from_callable,
    from_formula,
    power,
    s,
    t,
    weighted_error,
)

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
