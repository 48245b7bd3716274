"""The decay of a memory curve: its class (exponential, polynomial, ...), its rate, and a confidence."""

from curse_of_memory.theory.decay.fitted import DecayFit, decay

__all__ = ["DecayFit", "decay"]
