"""Reparameterisations λ = f(w) of recurrent weights: the known maps, your own, and what is proved of them."""

from curse_of_memory.theory.reparameterization.registry import (
    REPARAMETERIZATIONS,
    Registry,
    Reparameterization,
    best,
    get,
)

__all__ = ["REPARAMETERIZATIONS", "Registry", "Reparameterization", "best", "get"]
