"""The decay of a memory curve: its class (exponential, polynomial, ...), its rate, and how certain they are.

A confidence in the class, intervals for the numbers, and whether the same law holds on a shorter range.
"""

from curse_of_memory.theory.decay.fitted import DecayFit, decay
from curse_of_memory.theory.decay.intervals import DecayIntervals, decay_intervals
from curse_of_memory.theory.decay.settling import Settling, settling

__all__ = ["DecayFit", "DecayIntervals", "Settling", "decay", "decay_intervals", "settling"]
