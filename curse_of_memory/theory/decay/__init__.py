"""How a memory curve decays: its class, exponent or rate, and how sure that is."""

from curse_of_memory.theory.decay.fitted import DecayFit, decay

__all__ = ["DecayFit", "decay"]
